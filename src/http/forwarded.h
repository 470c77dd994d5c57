/* internal: who the client is when proxies that we trust stand between (rule 14). */
#ifndef SLUICE_HTTP_FORWARDED_H
#define SLUICE_HTTP_FORWARDED_H

#include <stdbool.h>

#include "http/fields.h"
#include "http/router.h"
#include "net/addr.h"

/* Hops that are read; a list that is longer ends there. */
#define HTTP_HOPS_MAX 32

/*
 * Removes Forwarded and all X-Forwarded-*: for when there is no trusted proxy.
 */
void http_forwarded_remove(struct http_fields *);

/*
 * The address of the client. When the peer is not in `trusted`, that is the peer, and Forwarded and all
 * X-Forwarded-* are removed from `fields`: nobody who may be believed wrote them. When it is, X-Forwarded-For,
 * or without that Forwarded (RFC 7239), is read from the right: the first address that is not trusted is the
 * client, or else the leftmost; what is no address ("unknown", "_hidden") ends the list. Never fails.
 */
struct net_addr http_client_addr(const struct net_addr *peer, const struct http_cidr *trusted,
				 unsigned count, struct http_fields *fields);

/* "1.2.3.4", "1.2.3.4:80", "::1", "[::1]" or "[::1]:80"; the port is 0 when there is none. */
bool http_hop_parse(struct str text, struct net_addr *);

#endif
