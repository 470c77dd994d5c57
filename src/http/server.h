/* internal: a worker's HTTP side: takes connections, keeps handler states of each configuration, counts, drains. */
#ifndef SLUICE_HTTP_SERVER_H
#define SLUICE_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"
#include "base/list.h"
#include "http/date.h"
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

/* The worker alone writes. */
#define HTTP_COUNT(counter, n)                                                              \
	atomic_store_explicit(&(counter),                                                   \
			      atomic_load_explicit(&(counter), memory_order_relaxed) + (n), \
			      memory_order_relaxed)

/* One handler state for each route of one configuration, in one worker. */
struct http_generation {
	struct http_generation *next;
	struct http_config *config;
	void **states;
	uint32_t uses; /* streams, plus one while it is the current one */
};

/* After the last use. */
void http_generation_free(struct http_generation *);

/* A connection as the worker sees it, embedded by each wire. */
struct http_session {
	struct list link; /* in `idle` or `busy` */
	const struct http_session_ops *ops;
};
struct http_session_ops {
	void (*drain)(
		struct http_session *); /* close when the work in hand is done; at once when idle */
	/* An idle one makes room: closed without a wait for its peer, which could hold the descriptor for seconds. */
	void (*evict)(struct http_session *);
	void (*abort)(struct http_session *); /* cut */
};

/* Called when a response is done, before on_close of the handler; the stream is still whole. why as in on_close. */
typedef void http_log_fn(struct http_worker *, const struct http_stream *, int why);

struct http_worker {
	struct io_loop *loop;
	struct http_generation *current, *old;
	struct http_generation *prepared; /* between http_worker_prepare and what follows it */
	struct list idle; /* keep-alive connections between requests, oldest first */
	struct list busy; /* the others */
	uint32_t connections, connections_max; /* 0: no bound but the descriptors */
	bool draining;
	struct http_counts counts;
	/*
	 * Answers, by the nanoseconds from the first byte of the request until the last of the response left, as the loop's
	 * clock has them: it ticks once a turn.
	 */
	struct hist request_ns;
	http_log_fn *log; /* NULL: off */
	void *owner;      /* the program's worker */
	unsigned index;
	void (*drained)(
		struct http_worker *); /* after http_worker_drain: the last connection is gone */
	uint64_t date_until_ns;        /* `date` is right until then */
	char date[HTTP_DATE_BYTES];
};

/* Takes a reference of the configuration. 0 or -errno. */
int http_worker_init(struct http_worker *, struct io_loop *, struct http_config *);
/*
 * The way to another configuration, in two steps, so that all workers change or none. prepare makes the handler states
 * beside the current ones: 0 or -errno. Then adopt, which cannot fail: new requests use it, those in flight keep theirs;
 * or discard, which is harmless when nothing was prepared.
 */
int http_worker_prepare(struct http_worker *, struct http_config *);
void http_worker_adopt(struct http_worker *);
void http_worker_discard(struct http_worker *);
/* Whether the configuration has a router for this listener. */
static inline bool http_worker_listens(const struct http_worker *w, unsigned listener)
{
	const struct http_config *c = w->current->config;

	return listener < c->router_count && c->routers[listener];
}
/*
 * Serves HTTP/1 on it. Owns conn. `listener` is the number of its listening address: configurations keep the numbers of
 * addresses that they share; a connection whose number has no router any more is closed after its request.
 */
void http_worker_serve(struct http_worker *, struct conn *, unsigned listener);
/* Closes the oldest idle keep-alive connection. False when there is none. */
bool http_worker_close_idle(struct http_worker *);
/* Idle connections are closed, the others after their response (Connection: close); then `drained`. */
void http_worker_drain(struct http_worker *);
/* Cuts what is left; `drained` follows from the loop. */
void http_worker_abort(struct http_worker *);
/* No connection may be left. */
void http_worker_free(struct http_worker *);

/* For wires: a session begins, does or waits for work, ends. begin is false when the worker is full. */
bool http_session_begin(struct http_worker *, struct http_session *);
void http_session_busy(struct http_worker *, struct http_session *);
void http_session_idle(struct http_worker *, struct http_session *);
void http_session_end(struct http_worker *, struct http_session *);
/*
 * For who goes on with a connection after http_upgrade, from inside http_upgraded: it is counted, told to drain and cut in
 * the place of the wire's session, which ends then. Never refused. It begins as busy.
 */
void http_session_take_over(struct http_worker *, struct http_session *);

/*
 * For wires: routes a parsed request and opens its handler. Answers 404, 405, 413, 421 and OPTIONS itself. The wire
 * has zeroed the stream and set wire, worker, request, request_body, arena, caps and began_ns.
 */
void http_stream_dispatch(struct http_stream *, unsigned listener);
/* For wires: an answer without a handler, for a request that was refused before dispatch. */
void http_stream_refuse(struct http_stream *, unsigned status);
/* For wires, the end: log, on_close, generation; then the wire frees the arena. */
void http_stream_finish(struct http_stream *, int why);
/* The Date value, made once a second. */
struct str http_worker_date(struct http_worker *);

#endif
