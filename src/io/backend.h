/* internal: what a backend gives to the loop, and what the loop offers to backends. Only io/ includes this. */
#ifndef SLUICE_IO_BACKEND_H
#define SLUICE_IO_BACKEND_H

#include <stdatomic.h>
#include <threads.h>

#include "io/io.h"

struct io_backend {
	const char *name;
	/* 0 or -errno with a sentence in why. Sets loop->state. */
	int (*init)(struct io_loop *, const struct io_options *, char *why, size_t why_len);
	void (*fini)(struct io_loop *);
	/* Begins to watch; may refuse. */
	int (*attach)(struct io_loop *, struct io_fd *);
	/* op is IO_QUEUED and in its fd's slot. Finishes by io_op_finish, now or later. */
	void (*submit)(struct io_loop *, struct io_op *);
	/* op is IO_CANCELING. */
	void (*cancel)(struct io_loop *, struct io_op *);
	/* Nothing is in flight any more: forget it and close it. */
	void (*detach)(struct io_loop *, struct io_fd *);
	/* Sleeps at most timeout_ns (-1: no bound), then finishes ops. 0 or -errno. */
	int (*wait)(struct io_loop *, int64_t timeout_ns);
	/* From any thread: ends a wait. */
	void (*wakeup)(struct io_loop *);
	uint64_t (*now_ns)(struct io_loop *);
	const char *(*features)(struct io_loop *);
	/* The system calls of its world; NULL: the kernel's. */
	ssize_t (*try_send)(struct io_fd *, const struct iovec *, unsigned n, unsigned flags);
	ssize_t (*try_sendfile)(struct io_fd *, int file, int64_t off, size_t len);
	int (*shutdown)(struct io_fd *);
	void (*set_reset)(struct io_fd *);
	int (*sock_name)(struct io_fd *, bool peer, struct sockaddr_storage *, socklen_t *);
	int (*socket)(struct io_loop *, int domain, int type);
};

struct io_pool; /* helper threads: io/pool.c */

struct io_loop {
	const struct io_backend *backend;
	void *state; /* the backend's */
	uint64_t now_ns;
	struct io_op *done, **done_tail; /* finished, callbacks to be made */
	struct io_task *tasks, **tasks_tail;
	struct io_fd *closing;
	_Atomic(struct io_msg *) posts; /* a stack, turned round when taken */
	_Atomic int sleeping;           /* a poster makes a system call only for a sleeper */
	_Atomic int stop;
	thrd_t thread;
	bool owned;
	unsigned helpers;
	struct io_pool *pool;
	struct io_stats stats;
	struct io_wheel wheel;
};

extern const struct io_backend io_backend_uring, io_backend_epoll, io_backend_poll,
	io_backend_select, io_backend_sim;

/* Final completion: frees the slot, queues the callback. */
void io_op_finish(struct io_op *, int result);
/* A completion with IO_MORE: calls back now; only from inside backend->wait. */
void io_op_more(struct io_op *, int result);

/* Ops without an io_fd, for backends without a native way: runs them on helper threads. */
void io_pool_submit(struct io_loop *, struct io_op *);
/* True when the op had not begun and is now finished with -ECANCELED. */
bool io_pool_cancel(struct io_loop *, struct io_op *);
void io_pool_free(struct io_loop *);

#endif
