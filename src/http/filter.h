/* internal: filters of responses: what a step of a route puts around them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_FILTER_H
#define SLUICE_HTTP_FILTER_H

#include "http/stream.h"

/*
 * What a step puts around a response: limits of the rate, fields, counts. In the stream's arena. Filters see the
 * response in the order in which they were added.
 */
struct http_filter {
	struct http_filter *next;
	const struct http_filter_ops *ops;
};
struct http_filter_ops {
	/*
	 * Before the head leaves: may change *head, whose fields are a copy, and wrap *body (NULL: none). 0 or
	 * -errno: then *body is as it was, and the response goes on without this filter. NULL: not wanted.
	 */
	int (*respond)(struct http_filter *, struct http_stream *, struct http_head *head,
		       struct source **body);
	/* The stream is over, whatever happened; before on_close. NULL: not wanted. */
	void (*finish)(struct http_filter *, struct http_stream *, int why);
};

/* From a step or a handler, before the response. */
void http_stream_add_filter(struct http_stream *, struct http_filter *);

#endif
