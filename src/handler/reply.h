/* internal: small answers and URL pieces that several handlers need. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_REPLY_H
#define SLUICE_HANDLER_REPLY_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/fields.h"
#include "http/stream.h"

/* http_respond_error with one more field: Allow, Content-Range. */
int reply_error_with(struct http_stream *, unsigned status, enum http_name, struct str value);

/* Answers with a redirect and no body. As http_respond; -ENOMEM when location.p is NULL. */
int reply_redirect(struct http_stream *, unsigned status, struct str location);

/* True when a client wants JSON: "?format=json", or Accept ranks application/json over text. */
bool reply_wants_json(const struct http_stream *);

/* The value of `name` in a query, as it stands there; STR_NONE when it is not in it. */
struct str reply_query_value(struct str query, struct str name);

/*
 * A query as it may stand in a URL and in a field: what is neither visible ASCII nor allowed in a URL becomes
 * %XX; what is encoded already stays. STR_NONE on exhaustion.
 */
struct str reply_query_encode(struct str query, struct arena *);

#endif
