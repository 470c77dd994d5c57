/* internal: the HTTP client: calls (a request and its response) over links (connections to a server). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_CLIENT_H
#define SLUICE_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/source.h"
#include "http/fields.h"
#include "io/io.h"

struct conn;
struct http_call;
struct http_link;

/* How far a call came; what may be tried again depends on it. */
enum http_call_stage {
	HTTP_CALL_IDLE,
	HTTP_CALL_CONNECT, /* nothing has left: not a byte of it can have been seen */
	HTTP_CALL_SEND,    /* the head has been queued, perhaps part of the body */
	HTTP_CALL_WAIT,    /* all of the request has left, not a byte came back */
	HTTP_CALL_HEAD,    /* part of a head, or 1xx, came back */
	HTTP_CALL_BODY,    /* the final head is there */
	HTTP_CALL_DONE,
};

#define HTTP_CALL_INFORMS_MAX 16

struct http_call_ops {
	/*
	 * A 1xx, but not 100 (which lets a body that waits for it go) and not 101; its views live until this returns. NULL:
	 * not wanted. More than HTTP_CALL_INFORMS_MAX of them, 100 among them, are refused.
	 */
	void (*inform)(struct http_call *, const struct http_head *);
	/* The final head is in call->response, what follows in call->body. From the top of the loop. */
	void (*respond)(struct http_call *);
	/*
	 * The last call: the link is done with it. 0: the whole response came. Else -errno: before `respond` there will be no
	 * response; after it the body fails with the same. From the top of the loop, or, with 0, from inside the pull that
	 * reached the end of the body: the callee touches nothing of the consumer's. `body` stays good until it is closed.
	 * -ECONNRESET: the server went away without a byte; -ENODATA: within a head or a body; -EBADMSG: see `refused`;
	 * -ETIMEDOUT; -ECANCELED: by http_link_close, or the body was closed early; what connecting, sending or
	 * receiving failed with; or the error of request_body (then it is in request_body->error, too).
	 */
	void (*done)(struct http_call *, int why);
};

/*
 * Embedded by its owner, zeroed, then the first part is set. Times are 0 for no bound. -ETIMEDOUT tells by `stage` which
 * time was over.
 */
struct http_call {
	const struct http_call_ops *ops;
	void *owner;
	struct arena *arena; /* for what the link keeps of the call; outlives it and `body` */
	/*
	 * method, method_text, target (as it is sent), authority (sent as Host) and fields without those that speak of the
	 * connection or of framing; Host and Expect among them are left out. content_length with a body: -1 is sent
	 * chunked. All of it lives until `done`.
	 */
	const struct http_head *request;
	struct source
		*request_body; /* pulled when the link can send; never closed by it. NULL: none */
	struct str upgrade;    /* the protocol that is asked for; .p NULL: none */
	/* The body waits for 100 or expect_timeout_ms; it is not sent at all when the final head comes before that. */
	bool expect_continue;
	uint32_t connect_timeout_ms, first_byte_timeout_ms, between_timeout_ms, expect_timeout_ms;

	/*
	 * What comes back; set to zero by http_call_start. The views of `response` point into what was received, which is
	 * held until `done` was called and `body`, if there is one, was closed; or until http_call_cancel.
	 */
	struct http_head response;
	struct source *body; /* NULL: none. Closing it early cuts the link */
	uint8_t stage;       /* enum http_call_stage */
	bool reused;         /* the link had carried a call before */
	bool body_begun;     /* a byte of request_body was pulled */
	bool responded;      /* `respond` was called */
	uint64_t bytes_out,
		bytes_in; /* bodies: what was sent of the request's, what came of the response's */
	uint64_t began_ns, connected_ns, first_byte_ns; /* io_now_ns; 0: did not happen */
	const char *refused; /* why the response was refused (-EBADMSG), for the log */

	struct http_link *link; /* the client's, as is what follows */
	struct h1_exchange *exchange;
};

/* Links and what their owner hears of them. */
struct http_link_ops {
	/*
	 * It can take another call: from the same places as `done`, before that; or from the top of the loop later, when the
	 * answer was seen before the last bytes of the request had left.
	 */
	void (*idle)(struct http_link *);
	/* From the top of the loop: it is gone, was idle or not; its memory is free after this. */
	void (*closed)(struct http_link *);
};

struct http_link {
	struct io_loop *loop;
	const struct http_link_ops *ops;
	void *owner, *data; /* its owner's own */
	uint32_t calls;     /* that were started on it */
	bool usable;        /* not closing, and no call on it: http_call_start may be called */
};

/*
 * Owns conn. HTTP/1.1. connecting: http_link_connected will tell; a call that starts before that waits. NULL without memory:
 * the conn is closed.
 */
struct http_link *http_link_new(struct conn *, bool connecting, const struct http_link_ops *,
				void *owner);
/* For conn_plain_connect: tells the link that its conn has connected, or not. consumer is the link. */
void http_link_connected(struct conn *, void *consumer, int result);
/* Closes it. A call on it fails with -ECANCELED. */
void http_link_close(struct http_link *);
/*
 * Whether the server has not hung up behind our back: asks the kernel. For requests that must not be sent twice; for others
 * the loop's own knowledge (link->usable) is enough.
 */
bool http_link_alive(struct http_link *);

/* The link is usable. Nothing is called back inline. */
void http_call_start(struct http_link *, struct http_call *);
/*
 * Ends it here and now: no callback follows, its memory is the owner's, `body` fails (who waits for it is woken later).
 * The link is closed unless it was done. Not from inside a pull of request_body. Harmless before the start and
 * after the end, while the arena lives.
 */
void http_call_cancel(struct http_call *);
/*
 * After `respond` with 101, in that callback or later: the conn, with what came after the head still to be pulled. The link is
 * gone with that, `done` is not called any more, `closed` is. Views of the response are good until `respond` returns.
 */
struct conn *http_call_take_conn(struct http_call *);

#endif
