/* internal: what the files of the HTTP/1 client share: a link, and the exchange of one call over it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H1_LINK_H
#define SLUICE_HTTP_H1_LINK_H

#include "http/client.h"
#include "http/h1/input.h"
#include "http/h1/parse.h"
#include "net/conn.h"
#include "net/pump.h"

enum link_state {
	LINK_CONNECTING, /* the conn is not connected yet; perhaps a call waits */
	LINK_IDLE,       /* no call: whatever comes ends it */
	LINK_HEAD,       /* a call has begun, its final head has not come */
	LINK_BODY,       /* the final head was given; what follows it is being pulled */
	LINK_LEAVING, /* the call is over, but the engine has not said yet that its last bytes have left */
	LINK_SWITCHED, /* 101 was given, and the conn waits to be taken */
	LINK_CLOSING,  /* conn_close was called; perhaps a call still has to hear why */
	LINK_TAKEN,    /* the conn is somebody else's */
};

/* An idle link is this and a conn: 168 and 344 bytes. */
struct h1_link {
	struct http_link link;
	struct conn *conn;
	struct http_call *call;   /* NULL: none */
	struct http_call *ending; /* while `idle` is told of its end */
	struct h1_input in;
	struct io_timer timer;
	struct io_task task;
	uint64_t since_ns; /* what the timer bounds began then */
	uint64_t mark;     /* bytes that had left then */
	int why;           /* for `done`, when closing */
	uint8_t state;
};

/* In the arena of its call; the link forgets it when the call is over, its body may live on. */
struct h1_exchange {
	struct h1_link *link;   /* NULL when over */
	struct http_call *call; /* NULL when over */
	struct h1_parser parser;
	struct h1_response framing;
	struct h1_gather gather;
	struct seg_owner
		*head_owner; /* of the bytes that the head's views point into; NULL: gathered */
	/* the request's body */
	struct pump pump;
	bool pumping;   /* between pump_start and its end */
	bool expecting; /* it waits for 100 */
	bool sent;      /* all of the request is with the conn */
	uint8_t informs;
	/* the response's body */
	struct source body;
	struct h1_chunked chunked;
	uint64_t left;
	struct io_loop *loop;
	struct io_task task; /* wakes the consumer after a cancel */
	bool given;          /* call->body is it */
	bool closed, ended, waiting;
};

static inline struct h1_link *h1_link_of(struct http_link *link)
{
	return SL_CONTAINER(link, struct h1_link, link);
}

void h1_link_set_state(struct h1_link *, enum link_state);
/* A byte moved, or a wait begins: from now on the time counts. */
void h1_link_touch(struct h1_link *);
/* It is cut; a call on it is told why from the top of the loop. Harmless when it closes already. */
void h1_link_fail(struct h1_link *, int why);
/* The response's end was reached: tells `idle` and `done`. The call, and perhaps the link, are gone after it. */
void h1_link_finish(struct h1_link *);
/* What call->body_begun and call->bytes_out say. */
void h1_link_count_out(struct h1_link *);

/* client_send.c: the request's head, and its body. 0 or -errno. */
int h1_link_send_head(struct h1_link *);
void h1_link_send_body(struct h1_link *);
/* Stops the body; its source is left alone from now on. */
void h1_link_stop_body(struct h1_exchange *);

/* client_head.c: reads heads and tells of them, as far as they have come. */
void h1_link_read_heads(struct h1_link *);

/* client_body.c: makes call->body of what the framing says. */
void h1_exchange_body(struct h1_exchange *);
void h1_exchange_wake(struct h1_exchange *);
/* The call is over, why: 0 or -errno. What the consumer of the body may still pull says so. */
void h1_exchange_over(struct h1_exchange *, int why);
/* The owner of the call is done with the response, too. */
void h1_exchange_drop(struct h1_exchange *);

#endif
