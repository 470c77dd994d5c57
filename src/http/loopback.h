/* internal: the loopback wire: requests without a connection, for tests of handlers and for calls inside the process. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_LOOPBACK_H
#define SLUICE_HTTP_LOOPBACK_H

#include "http/server.h"

struct loopback;

/* A request. Views stay until the exchange is freed. */
struct loopback_request {
	const char *method;    /* "GET" */
	const char *authority; /* "example.com" */
	const char *target; /* "/a?b"; one that http_path_normalise refuses is answered with 400 */
	const struct http_field *fields; /* by name or by id */
	unsigned field_count;
	struct source *body; /* owned by the exchange; NULL: none */
	int64_t body_length; /* -1: not known */
	unsigned kinds;      /* what the consumer takes; 0: SEG_MEM */
	uint64_t pull_max;   /* stop after so many bytes of the response; 0: no bound */
};

/* What came back. Grows while the loop turns. */
struct loopback {
	struct http_stream http;
	struct arena arena;
	struct http_head response; /* copied: fields of the block come first */
	uint8_t *body;
	size_t body_len, body_cap;
	unsigned informed; /* 1xx heads so far */
	struct source *source;
	uint64_t promised; /* content_length, or UINT64_MAX */
	uint64_t
		pull_max; /* stops pulling after so many bytes, until it is raised and loopback_pull called */
	uint64_t segs[5]; /* segments that came, by kind */
	bool head_done;   /* `response` is filled */
	bool done;        /* on_close was called */
	int result;       /* then: 0, or why it was cut */
	struct io_task task;
	unsigned kinds;
	struct source *request_body;
};

/*
 * Sends a request to a worker's router `listener`; turn the loop until `done`. NULL without memory. The whole body is
 * collected, at most LOOPBACK_BODY_MAX bytes (then it is cut with -EMSGSIZE); SEG_FILE is read with pread.
 */
#define LOOPBACK_BODY_MAX (64u * 1024 * 1024)
struct loopback *loopback_send(struct http_worker *, unsigned listener,
			       const struct loopback_request *);
/* Goes on pulling after pull_max was raised. */
void loopback_pull(struct loopback *);
/* The peer goes away: closes the response's source, tells the handler. */
void loopback_cancel(struct loopback *);
/* Only when done. */
void loopback_free(struct loopback *);

#endif
