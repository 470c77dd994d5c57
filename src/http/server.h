/* internal: a worker's HTTP side: takes connections, keeps handler states of each configuration, counts, drains. */
#ifndef SLUICE_HTTP_SERVER_H
#define SLUICE_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "http/router.h"
#include "http/stream.h"

struct conn;

/* Counters, written by the worker alone with relaxed atomic stores; read by anybody. */
struct http_counts {
	_Atomic uint64_t connections, connections_active, connections_idle, requests,
		requests_active;
	_Atomic uint64_t bytes_in, bytes_out, refused, timeouts, aborted;
	_Atomic uint64_t status[6]; /* [1] 1xx ... [5] 5xx */
};

/* One handler state for each route of one configuration, in one worker. */
struct http_generation {
	struct http_generation *next;
	struct http_config *config;
	void **states;
	uint32_t uses; /* streams, plus one while it is the current one */
};

/* Called when a response is done, before on_close of the handler; the stream is still whole. why as in on_close. */
typedef void http_log_fn(struct http_worker *, const struct http_stream *, int why);

struct http_worker {
	struct io_loop *loop;
	struct http_generation *current;
	struct list idle; /* keep-alive connections between requests, oldest first */
	struct list busy; /* the others */
	uint32_t connections, connections_max;
	bool draining;
	struct http_counts counts;
	http_log_fn *log; /* NULL: off */
	void *owner;      /* the program's worker */
	unsigned index;
	void (*drained)(struct http_worker
				*); /* after http_worker_drain, when the last connection is gone */
	int64_t date_s;             /* what `date` shows */
	char date[32];              /* "Date: " is not part of it */
};

/* Takes a reference of the configuration. 0 or -errno. */
int http_worker_init(struct http_worker *, struct io_loop *, struct http_config *);
/* New requests use it; those in flight keep theirs. 0 or -errno (then the old one stays). */
int http_worker_reload(struct http_worker *, struct http_config *);
/* Serves HTTP/1 on it. Owns conn. */
void http_worker_serve(struct http_worker *, struct conn *, unsigned listener);
/* Closes the oldest idle keep-alive connection. False when there is none. */
bool http_worker_close_idle(struct http_worker *);
/* Idle connections are closed, the others after their response (Connection: close); then `drained`. */
void http_worker_drain(struct http_worker *);
/* Cuts what is left. */
void http_worker_abort(struct http_worker *);
void http_worker_free(struct http_worker *);

/*
 * Routes a parsed request and opens its handler: for wires. Answers 404, 405, 421, 413 and OPTIONS itself. The
 * wire has set request, body, arena, caps and its ops.
 */
void http_stream_dispatch(struct http_stream *, const struct http_router *);
/* The end: log, on_close, generation. For wires. */
void http_stream_finish(struct http_stream *, int why);
/* The Date value, cached per second. */
struct str http_worker_date(struct http_worker *);

#endif
