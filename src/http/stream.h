/* internal: http_stream, one request and its response whatever the wire, and what handlers are. */
#ifndef SLUICE_HTTP_STREAM_H
#define SLUICE_HTTP_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/source.h"
#include "http/fields.h"
#include "io/io.h"
#include "net/addr.h"

struct conn;
struct http_stream;
struct http_filter;
struct http_worker;
struct http_route;
struct http_generation;
struct http_upstream_note;

enum http_error {
	HTTP_ERROR_INTERNAL,  /* ours */
	HTTP_ERROR_CANCEL,    /* nobody wants it any more */
	HTTP_ERROR_TRUNCATED, /* the body cannot be finished: the peer must see it cut */
};

/* Called once with the connection after http_upgrade, from the top of the loop; the callee owns it. */
typedef void http_upgraded(struct http_stream *, struct conn *);

struct http_wire_ops {
	const char *name;
	int (*inform)(struct http_stream *, const struct http_head *);
	int (*respond)(struct http_stream *, const struct http_head *, struct source *body);
	int (*upgrade)(struct http_stream *, const struct http_head *, http_upgraded *);
	void (*reset)(struct http_stream *, enum http_error);
	int (*peer)(struct http_stream *, bool peer, struct net_addr *);
};

struct handler_ops {
	const char *name;
	/* It never pulls request_body: that is read away before `open`; refused when malformed (400) or too large (413). */
	bool skips_body;
	bool falls_back; /* when http_stream.fallback is set it answers with that, or 503 */
	/* Mask of 1 << enum http_method that it serves, 0: all; it answers 405 to others itself. */
	uint32_t methods;
	/*
	 * This worker's state for one configured handler; NULL without memory. `config` is immutable and outlives it. No
	 * attach: the config is the state.
	 */
	void *(*attach)(const void *config, struct http_worker *);
	/* After the last stream that used it. NULL: nothing to free. */
	void (*detach)(void *state);
	/*
	 * A request: answer now or later, exactly once, by http_respond, http_upgrade or http_reset. May be inside
	 * the wire's own call. 0, or -errno: then the wire answers 500 (503 for -ENOMEM, -EMFILE, -EAGAIN), if
	 * nothing was answered.
	 */
	int (*open)(void *state, struct http_stream *);
	/*
	 * Optional: the peer is gone and nobody wants the answer. The handler still answers, soon; http_reset will
	 * do. At most once, from the top of the loop.
	 */
	void (*gone)(struct http_stream *);
	/*
	 * The last call, exactly once, when every segment is released; why is 0 when the whole response left,
	 * else -errno. The arena dies after it. NULL: nothing to free.
	 */
	void (*on_close)(struct http_stream *, int why);
};

/*
 * Made by a wire, used by a handler. Fields of the request are views that live until on_close.
 */
struct http_stream {
	const struct http_wire_ops *wire;
	const struct handler_ops *handler;         /* NULL until the router chose one */
	void *handler_state;                       /* what attach gave */
	void *data;                                /* the handler's own, for this stream */
	const struct http_upstream_note *upstream; /* http/note.h; NULL: no server was asked */
	struct http_worker *worker;
	struct http_route *route;           /* NULL when no site or route matched */
	struct http_generation *generation; /* that it began under; NULL before dispatch */
	/* Forwarded and X-Forwarded-* are there only when a trusted proxy wrote them. */
	struct http_head request;
	const struct net_addr *client; /* when it is not the peer: see http_client */
	/*
	 * NULL when there is no body. Pulled by the handler when and if it wants; the first pull answers Expect:
	 * 100-continue. The handler need not close it: the wire drains or cuts what is left (RFC 9112 section 9.3).
	 */
	struct source *request_body;
	struct arena *arena;
	unsigned caps;               /* seg kinds that wire and filters carry without copying */
	uint16_t status;             /* of the response, once it began */
	uint8_t responded;           /* http_respond, http_upgrade or http_reset was called */
	uint8_t step;                /* of the route: the next one to run */
	uint8_t fallback;            /* set by a step: see handler_ops.falls_back */
	struct http_filter *filters; /* http/filter.h */
	uint64_t began_ns;           /* first byte of the request */
	uint64_t body_max; /* of the request's, by the route: a pull past it is -EMSGSIZE */
	uint64_t body_bytes_in, body_bytes_out;
};

/* 1xx, any number, before the response. Dropped for HTTP/1.0. 0 or -EINVAL. */
static inline int http_inform(struct http_stream *s, const struct http_head *head)
{
	return s->wire->inform(s, head);
}

/*
 * Once. Owns `body` in every case (NULL: none). The wire adds the framing, Connection, and Date and Server unless
 * `fields` has them; the head and what it points to need live only until the call returns, but head->block, which
 * must live until on_close. A HEAD request or a status without content: the wire closes the body unpulled.
 * content_length >= 0 promises that many bytes: a source that gives fewer is a truncated transfer, shown as cut.
 */
int http_respond(struct http_stream *, const struct http_head *, struct source *body);

/* The whole body in memory; `body` is copied into the arena. 0 or -errno; nothing was answered on failure. */
int http_respond_text(struct http_stream *, unsigned status, struct str type, struct str body);
/* A plain error page, or the route's own. */
int http_respond_error(struct http_stream *, unsigned status);
/* The same with fields of the caller's (Allow, Retry-After, Content-Range). */
int http_respond_error_with(struct http_stream *, unsigned status, const struct http_field *,
			    unsigned count);

static inline int http_upgrade(struct http_stream *s, const struct http_head *head,
			       http_upgraded *upgraded)
{
	return s->wire->upgrade(s, head, upgraded);
}

static inline void http_reset(struct http_stream *s, enum http_error error)
{
	s->wire->reset(s, error);
}

/* After HTTP_STEP_WAIT (http/router.h), from the top of the loop: 0 goes on; 1: the step answered; or -errno. */
void http_stream_resume(struct http_stream *, int result);

/* The peer's address. */
static inline int http_peer(struct http_stream *s, struct net_addr *a)
{
	return s->wire->peer(s, true, a);
}

/* The address of the client: the peer's, or what proxies that we trust say (rule 14). 0 or -errno. */
int http_client(struct http_stream *, struct net_addr *);

#endif
