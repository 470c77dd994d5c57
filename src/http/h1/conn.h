/* internal: what the files of the HTTP/1 wire share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H1_CONN_H
#define SLUICE_HTTP_H1_CONN_H

#include "base/arena.h"
#include "http/h1/input.h"
#include "http/h1/wire.h"
#include "http/server.h"
#include "io/io.h"
#include "net/conn.h"
#include "net/pump.h"

enum h1_state {
	H1_IDLE,     /* between requests, on the worker's idle list */
	H1_HEAD,     /* part of a head has come */
	H1_OPEN,     /* a handler has the request and has not answered */
	H1_BODY,     /* the response is moving */
	H1_REST,     /* the response is queued, the rest of the request is read away */
	H1_LAST,     /* the last response is queued; the conn is closed when it has left */
	H1_CLOSING,  /* conn_close was called */
	H1_CLOSED,   /* the conn is gone, a handler still has to answer */
	H1_UPGRADED, /* the conn will be handed over */
};

struct h1_stream {
	struct http_stream http;
	struct h1_conn *h1;
	struct h1_stream *next; /* in the queue of responses that have not left */
	struct io_task task;
	struct arena arena;
	struct h1_parser parser;
	struct h1_request framing;
	struct seg_owner *head_owner; /* of the bytes that the request's views point into */
	struct h1_gather gather;      /* or here, when the head came in pieces */
	/* the request's body */
	struct source body;
	struct h1_chunked chunked;
	uint64_t body_left;
	bool body_done, body_waiting, continued;
	/* the response */
	struct pump pump;
	struct source *response;
	http_upgraded *upgraded;
	uint64_t end_mark; /* where it ends in the conn's output */
	int why;
	bool keep_alive, chunk_out, complete;
};

/* Small: an idle connection is this and a conn. */
struct h1_conn {
	struct http_session session;
	struct http_worker *worker;
	struct conn *conn;
	struct io_timer timer;
	struct h1_stream *stream;   /* being read or answered */
	struct h1_stream *flushing; /* answered, not all left; oldest first */
	struct h1_input in;
	struct net_addr *peer;   /* when somebody asked */
	uint32_t requests, mark; /* mark: progress at the last look of the timer, cut to 32 bits */
	uint16_t listener;
	uint8_t state, flushing_count, timer_kind;
	bool running : 1;     /* inside h1_run */
	bool idle : 1;        /* on the worker's idle list */
	bool client_last : 1; /* the peer said that it sends no more */
};

extern const struct http_wire_ops h1_wire_ops;

static inline struct h1_stream *h1_stream_of(struct http_stream *s)
{
	return SL_CONTAINER(s, struct h1_stream, http);
}

void h1_set_state(struct h1_conn *, enum h1_state);
/* Runs the connection from the top of the loop, now or soon. */
void h1_kick(struct h1_stream *);
/* The conn is broken or must be cut: everything ends. */
void h1_fail(struct h1_conn *, int why);
/* Makes h1->in hold bytes: PULL_DATA, or what the conn says. */
enum pull h1_fill(struct h1_conn *);
void h1_in_advance(struct h1_conn *, size_t n);
/* respond.c: remembers the address of the peer. */
void h1_peer_keep(struct h1_conn *);
void h1_peer_free(struct h1_conn *);

/* body.c: prepares s->http.request_body for what the framing says. */
void h1_body_init(struct h1_stream *);
/* Reads the rest away: 1 all read; 0 waits; -errno: too much, or broken. */
int h1_body_discard(struct h1_stream *);
/* After input came: true when it was the body's. */
bool h1_body_wake(struct h1_stream *);

#endif
