/* internal: host and port of a request: what Host, :authority and an absolute target hold (rule 11). */
#ifndef SLUICE_HTTP_AUTHORITY_H
#define SLUICE_HTTP_AUTHORITY_H

#include <stdbool.h>

#include "base/str.h"

/* A name in the DNS has at most 253 bytes; RFC 3986 section 3.2.2 advises against more than 255. */
#define HTTP_HOST_MAX 255
#define HTTP_PORT_DIGITS_MAX 5

/*
 * Splits "host", "host:port" or "[v6]:port" and checks it against RFC 3986 section 3.2: a registered name, an
 * IPv4 address or an IPv6 address in brackets (which *host keeps; no zone), not empty, at most HTTP_HOST_MAX
 * bytes; a port of at most five digits up to 65535. User information is refused: RFC 9110 section
 * 4.2.4. *port is STR_NONE without a colon and empty after a bare one. False: not an authority.
 */
bool http_authority_split(struct str authority, struct str *host, struct str *port);

/* The host of an authority that http_authority_split accepted before. */
struct str http_authority_host(struct str authority);

#endif
