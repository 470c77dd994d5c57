/* internal: the request as the server gets it: target, fields, and what it tells of the client. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_PROXY_REQUEST_H
#define SLUICE_HANDLER_PROXY_REQUEST_H

#include <stdbool.h>

#include "base/arena.h"
#include "handler/proxy.h"
#include "http/fields.h"
#include "http/stream.h"
#include "net/addr.h"
#include "upstream/config.h"

struct proxy_request;
struct upstream_turn;

/* Fills p->out, p->upgrade, p->expects and p->idempotent. 0; -EBADMSG: 400; -E2BIG: 431; -ENOMEM. */
int proxy_request_build(struct proxy_request *);
/* What hangs on the server of this try: Host and fields with $server. 0, -ENOMEM or -E2BIG. */
int proxy_request_address(struct proxy_request *);

/*
 * The target in origin-form (RFC 9112 section 3.2.1). Without strip and prefix: the client's, byte for byte. With: strip
 * is taken off where it is whole segments, and prefix is put before. What is left of the path stays as the
 * client wrote it wherever that means the path that the router matched; else (escapes inside what is stripped, dot segments
 * across it) it is the matched path, escaped anew. The query never changes. STR_NONE without memory.
 */
struct str proxy_target(const struct http_head *, struct str strip, struct str prefix,
			struct arena *);

/*
 * X-Forwarded-For, -Proto, -Host and Forwarded (RFC 7239) to `out`: what stands in `in` came from a proxy that we trust,
 * and is continued. peer NULL: unknown. 0, -ENOMEM or -E2BIG.
 */
int proxy_forwarded_add(struct http_fields *out, const struct http_fields *in,
			const struct net_addr *peer, struct str host, struct str scheme,
			struct arena *);
/* Via (RFC 9110 section 7.6.3), continued; version: of the message that came. in may be out. As above. */
int proxy_via_add(struct http_fields *out, const struct http_fields *in, unsigned version,
		  struct arena *);
/* The lines of a list and `more`, joined. STR_NONE without memory. */
struct str proxy_list_append(const struct http_fields *in, enum http_name, struct str more,
			     struct arena *);

/* What stands for the variables of field values. */
struct proxy_vars {
	struct http_stream *stream;
	struct str server;
};
/* As struct proxy_fields says. 0, -ENOMEM or -E2BIG. What expands to no valid value is left out. */
int proxy_fields_apply(struct http_fields *, const struct proxy_fields *, const struct proxy_vars *,
		       struct arena *);

/* What the balance of the group wants to know of the request. */
void proxy_turn_key(struct upstream_turn *, const struct upstream_config *, struct http_stream *);

/* Safe to send twice (RFC 9110 section 9.2.2). */
bool proxy_idempotent(enum http_method);
/* A protocol that may be upgraded to: never h2c, which would carry requests past us. */
bool proxy_upgrade_allowed(struct str protocols);

#endif
