/* public: an HTTP server: routes, requests and responses, and folders of files */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H
#define SLUICE_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_http;
struct sl_request;

/* A view; not terminated. p is NULL when there is nothing. */
struct sl_str {
	const char *p;
	size_t len;
};

/*
 * Answers with sl_respond, once, inside the call or later on the same thread; the request lives until then. What
 * is not answered keeps its connection.
 */
typedef void sl_http_handler(struct sl_request *, void *owner);

/* A server in the making: routes are added, then it starts. NULL without memory. */
SL_API struct sl_http *sl_http_new(struct sl_loop *);
/* The path itself and all below it; the longest path wins. 0, -EINVAL, -EEXIST, -EBUSY after the start. */
SL_API int sl_http_route(struct sl_http *, const char *path, sl_http_handler *handler, void *owner);
/* Serves the folder's files below `path`: index.html, ranges, conditional requests, no hidden files. */
SL_API int sl_http_files(struct sl_http *, const char *path, const char *folder);
/* Listens and serves; an address as for sl_listen. 0, or -errno with a sentence in why. Once. */
SL_API int sl_http_start(struct sl_http *, const char *address, char *why, size_t why_len);
SL_API size_t sl_http_address(const struct sl_http *, char *text, size_t text_len);
/*
 * Stops accepting, finishes what is in hand, closes. `stopped` may be NULL; then, or after it returned, the server is
 * gone. Also for one that was never started.
 */
SL_API void sl_http_stop(struct sl_http *, void (*stopped)(void *owner), void *owner);

/* Views that live until sl_respond. The path is decoded and has no dot segments. */
SL_API struct sl_str sl_request_method(const struct sl_request *);
SL_API struct sl_str sl_request_path(const struct sl_request *);
SL_API struct sl_str sl_request_query(const struct sl_request *);
SL_API struct sl_str sl_request_host(const struct sl_request *);
/* The first field of that name, any case. */
SL_API struct sl_str sl_request_field(const struct sl_request *, const char *name);

/* A field of the response to come. 0; -EINVAL for a name or value that HTTP forbids; -ENOMEM; -E2BIG. */
SL_API int sl_response_field(struct sl_request *, const char *name, const char *value);
/* The whole response; the body is copied. status 200 to 599. 0 or -errno; the request is gone either way. */
SL_API int sl_respond(struct sl_request *, unsigned status, const char *type, const void *body,
		      size_t len);

#ifdef __cplusplus
}
#endif

#endif
