/* internal: the loop's operations over readiness; what epoll, poll and select share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_IO_READY_H
#define SLUICE_IO_READY_H

#include "io/backend.h"

/* What one descriptor may take of a turn before the others have theirs. */
#define READY_RECV_TURN_BYTES 65536
#define READY_ACCEPT_TURN_MAX 64

/*
 * A new connection often has its first bytes already (always, when accepting is deferred), and a short one is over
 * before it need be watched. While that holds, an edge poller hears of descriptors only after a first read.
 */
#define READY_LUCK_MAX 16
#define READY_LUCK_PROBE 32

struct ready;

/* What is below. `want` is a set of IO_READY_IN and IO_READY_OUT. */
struct ready_poller {
	/*
	 * True: reports a change once, so a registration stays and only grows (edge). False: reports as long as
	 * it lasts, so only what somebody waits for is watched (level).
	 */
	bool edge;
	/* Changes what is watched. 0 or -errno. */
	int (*watch)(struct ready *, struct io_fd *, unsigned want);
	/* The descriptor is about to be closed. NULL: close(2) says it all. */
	void (*forget)(struct ready *, struct io_fd *);
	/* Room for descriptors below count. 0 or -errno; NULL when the poller has no table. */
	int (*grow)(struct ready *, unsigned count);
};

struct ready_slot {
	struct io_fd *fd; /* NULL: not attached */
	int next; /* READY_UNQUEUED, READY_LAST, or the descriptor of the next pending one */
};
#define READY_UNQUEUED (-2)
#define READY_LAST (-1)

/* The first member of a readiness backend's state. */
struct ready {
	struct io_loop *loop;
	const struct ready_poller *poller;
	struct ready_slot *slots; /* by descriptor */
	unsigned count;
	int pending, pending_last; /* descriptors to look at before sleeping */
	int wake_fd;               /* an eventfd */
	bool called_back;          /* since the flush began */
	unsigned luck;             /* above 0: new descriptors are read before they are watched */
	unsigned unwatched; /* those that were not; one of READY_LUCK_PROBE is tried all the same */
	struct buf *warm;   /* for the next recv; handed over when it gets bytes */
};

/* 0 or -errno; opens wake_fd, and makes room for it in the tables. */
int ready_init(struct ready *, struct io_loop *, const struct ready_poller *);
void ready_fini(struct ready *);

/* Members of the backend. */
int ready_attach(struct io_loop *, struct io_fd *);
void ready_submit(struct io_loop *, struct io_op *);
void ready_cancel(struct io_loop *, struct io_op *);
void ready_detach(struct io_loop *, struct io_fd *);
void ready_wakeup(struct io_loop *);
uint64_t ready_now_ns(struct io_loop *);

/*
 * Before the poller sleeps: does what is known to be possible, and tells the poller what changed. Returns the
 * timeout for poll(2) in milliseconds, rounded up: never awake too early.
 */
int ready_flush(struct ready *, int64_t timeout_ns);
/* For level pollers: makes wake_fd quiet again. */
void ready_take_wakeup(struct ready *);
/* `events` are those of poll(2), which epoll shares. */
void ready_event(struct ready *, struct io_fd *, unsigned events);

#endif
