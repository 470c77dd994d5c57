/* internal: plain connections, as the files that make them up see them. Only net/conn*.c include this. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_PLAIN_H
#define SLUICE_NET_PLAIN_H

#include "net/conn.h"

/* Segments that leave in one call. */
#define PLAIN_IOV 32

struct plain_dial;

enum plain_state {
	PLAIN_OPEN,   /* the owner's */
	PLAIN_ENDING, /* conn_close came; the queue is being sent */
	PLAIN_LINGER, /* FIN is sent, the peer's rest is read away */
	PLAIN_GONE,   /* io_close was called */
};

/*
 * What only a connection needs that waits to send, or lingers: an idle one does not pay for it. Lingering begins
 * when nothing is left to send, so it is one or the other.
 */
struct plain_aside {
	struct io_op op;
	struct plain *plain;
	struct io_timer timer; /* of the lingering */
	size_t lingered;       /* bytes read away */
	struct iovec iov[PLAIN_IOV];
};

struct plain {
	struct conn conn;
	struct io_fd fd;
	struct io_op rd;
	struct io_task task;
	struct seg_chain in, out;
	struct buf *tail; /* the open buffer at the end of `out` */
	struct plain_aside *aside;
	struct plain_dial *dial; /* while it connects */
	uint8_t state;
	uint8_t bulk;  /* above 0: much comes at once, and is read by conn_bulk.c */
	uint8_t reads; /* of it since the loop last said that there is something */
	bool eof : 1;
	bool waiting : 1;   /* a pull returned PULL_WAIT */
	bool receiving : 1; /* rd is in flight */
	bool shut : 1;      /* FIN is wanted or sent */
	bool fin_sent : 1;
	bool was_full : 1;
	bool failed : 1; /* a failure to send was reported */
	bool no_linger : 1;
	bool sending : 1;  /* aside->op is in flight */
	bool piping : 1;   /* the last pull asked for a pipe */
	bool readable : 1; /* there may be something to read or to splice, and no op waits for it */
	bool no_splice : 1; /* the kernel refused once */
};

static inline struct plain *plain_of(struct conn *c)
{
	return SL_CONTAINER(c, struct plain, conn);
}

/* Arms the receive unless something forbids it. */
void plain_receive(struct plain *);
/* The receive found that the peer sends no more, or broke. */
void plain_received_end(struct plain *, int result);
/* Sends what the kernel takes now; waits for room when it takes no more. */
void plain_push(struct plain *);
/* From the top of the loop: sends, ends and tells whatever is due. */
void plain_step(struct plain *);
/* -errno of sending: everything after it is swallowed. */
void plain_fail(struct plain *, int err);
/* Waits to send (IO_SEND) or for room (IO_WAIT_OUT), then plain_step. 0 or -ENOMEM. */
int plain_sleep(struct plain *, enum io_code);

/* Waits with p->rd until there is something to read. */
void plain_wait_readable(struct plain *);
/* A read or splice brought no bytes (0 or -errno): waits, or tells of the end. */
enum pull plain_read_nothing(struct plain *, ssize_t result);

/*
 * conn_bulk.c: an op received so much; and a read of `want` bytes or a little more out of a socket that may have them,
 * when nothing waits in memory. PULL_DATA: p->in holds some.
 */
void plain_note_received(struct plain *, size_t);
enum pull plain_read_bulk(struct plain *, size_t want);

/* conn_pipe.c: a pull into a pipe, when nothing waits in memory; and the pipe at the head of the output. */
enum pull plain_pull_pipe(struct plain *, size_t want, struct seg *);
enum pull plain_wait_pipe(struct plain *);
ssize_t plain_send_pipe(struct plain *);
/* A segment that was given back in a pipe, for who takes only memory. */
enum pull plain_pull_copy(struct plain *, size_t want, struct seg *);

/* conn_dial.c: plain_step while it connects. */
void plain_dial_step(struct plain *);
void plain_dial_free(struct plain *);

#endif
