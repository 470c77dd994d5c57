/* internal: what an intermediary does to the fields of a message: hop-by-hop fields, Via. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_HOP_H
#define SLUICE_HTTP_HOP_H

#include <stdbool.h>

#include "http/fields.h"

/*
 * Rule 13, RFC 9110 section 7.6.1: removes Connection, what it names, Keep-Alive, Proxy-Connection, TE (but "trailers"),
 * Trailer stays, Transfer-Encoding, Upgrade, Proxy-Authenticate, Proxy-Authorization, Content-Length (the
 * framing is the next hop's own). *upgrade gets the value of Upgrade when Connection names it, else STR_NONE; NULL: not
 * asked for. -EBADMSG when Connection names Host, Content-Length or X-Forwarded-*: 400, or 502 from a server.
 */
int http_hop_remove(struct http_fields *, struct str *upgrade);
/* Connection may name this many fields that are not its own kind; more are refused in the same way. */
#define HTTP_HOP_NAMED_MAX 32

/* Takes out the fields that `gone` says of. */
void http_fields_remove_if(struct http_fields *,
			   bool (*gone)(const struct http_field *, const void *), const void *data);
/* Takes out every field of that name, or of that name and id HTTP_OTHER. */
void http_fields_remove(struct http_fields *, enum http_name);
void http_fields_remove_named(struct http_fields *, struct str name);
/* One field of that name and no other. 0 or as http_fields_add. */
int http_fields_set(struct http_fields *, struct arena *, enum http_name, struct str value);
int http_fields_set_named(struct http_fields *, struct arena *, struct str name, struct str value);

/* The value of a cookie in the request's Cookie fields (RFC 6265 section 4.2), or STR_NONE. */
struct str http_cookie(const struct http_fields *, struct str name);

#endif
