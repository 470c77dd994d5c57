/* internal: what a backend gives to the loop, and what the loop offers to backends. Only io/ includes this. */
#ifndef SLUICE_IO_BACKEND_H
#define SLUICE_IO_BACKEND_H

#include <pthread.h>
#include <stdatomic.h>

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
	/*
	 * Sleeps at most timeout_ns (-1: no bound), calls io_loop_woke once, then finishes ops. Must not sleep
	 * when it called back or finished anything before that. 0 or -errno.
	 */
	int (*wait)(struct io_loop *, int64_t timeout_ns);
	/* From any thread: ends a wait. */
	void (*wakeup)(struct io_loop *);
	uint64_t (*now_ns)(struct io_loop *);
	const char *(*features)(struct io_loop *);
	/* The system calls of its world; NULL: the kernel's. */
	ssize_t (*try_send)(struct io_fd *, const struct iovec *, unsigned n, unsigned flags);
	ssize_t (*try_sendfile)(struct io_fd *, int file, int64_t off, size_t len);
	ssize_t (*try_recv)(struct io_fd *, const struct iovec *, unsigned n);
	ssize_t (*try_splice_in)(struct io_fd *, int pipe, size_t len);
	ssize_t (*try_splice_out)(struct io_fd *, int pipe, size_t len, bool more);
	int (*try_connect)(struct io_fd *, const struct sockaddr *, socklen_t, bool first);
	int (*shutdown)(struct io_fd *);
	void (*set_reset)(struct io_fd *);
	int (*sock_name)(struct io_fd *, bool peer, struct sockaddr_storage *, socklen_t *);
	bool (*quiet)(struct io_fd *);
	int (*socket)(struct io_loop *, int domain, int type);
	ssize_t (*try_read)(struct io_loop *, int file, void *mem, size_t len, int64_t off);
	int (*try_openat)(struct io_loop *, const struct io_openat *);
};

/* io_fd.ready, for the readiness backends; the loop's own system calls keep it true. */
enum io_ready {
	IO_READY_IN = 1,        /* there may be something to read; unset: the poller will say */
	IO_READY_OUT = 2,       /* there may be room to write; unset: the poller will say */
	IO_READY_EOF = 4,       /* an end or an error was announced: a short read is not the last */
	IO_READY_TRIED = 8,     /* no longer new: it was read once, or is watched, or connects */
	IO_READY_WATCH_IN = 16, /* the poller watches for reading */
	IO_READY_WATCH_OUT = 32, /* and for writing */
};

/* io_fd.closing. */
enum io_closing {
	IO_FD_OPEN,    /* ops may be submitted */
	IO_FD_CLOSING, /* cancelled ops are still to call back */
	IO_FD_DRAINED, /* queued for close(2) */
};

struct io_pool; /* helper threads: io/pool.c */

struct io_loop {
	const struct io_backend *backend;
	void *state; /* the backend's */
	uint64_t now_ns;
	struct io_op *done, **done_tail; /* finished, callbacks to be made */
	struct io_task *tasks, **tasks_tail;
	struct io_task mark; /* where the tasks of this round end */
	struct io_fd *drained, **drained_tail;
	_Atomic(struct io_msg *) posts; /* a stack, turned round when taken */
	_Atomic int sleeping;           /* a poster makes a system call only for a sleeper */
	_Atomic int stop;
	pthread_t thread;
	bool owned, turning;
	uint32_t gen;
	unsigned helpers;
	uint64_t fds, inflight; /* open descriptors; ops whose final callback is still to come */
	struct io_pool *pool;
	struct io_stats stats;
	struct io_wheel wheel;
};

extern const struct io_backend io_backend_uring, io_backend_epoll, io_backend_poll,
	io_backend_select, io_backend_sim;

/* Every change of op->state goes through here; asserts that it is a legal one. */
void io_op_set_state(struct io_op *, enum io_state);
/* Final completion: frees the slot, queues the callback. */
void io_op_finish(struct io_op *, int result);
/*
 * A completion with IO_MORE: calls back now; only from inside backend->wait. The op is still in flight
 * afterwards when its state is still IO_INFLIGHT.
 */
void io_op_more(struct io_op *, int result);
/* wait() is awake: nobody needs to wake it, and the cached time is now. */
void io_loop_woke(struct io_loop *);

/* The codes are ordered: read side, write side, without an io_fd. */
static inline bool io_code_reads(unsigned code)
{
	return code <= IO_WAIT_IN;
}

static inline bool io_code_has_fd(unsigned code)
{
	return code <= IO_WAIT_OUT;
}

/* The kernel's system calls, which backends share: io/sys.c. */
ssize_t io_sys_send(struct io_fd *, const struct iovec *, unsigned n, unsigned flags);
ssize_t io_sys_sendfile(struct io_fd *, int file, int64_t off, size_t len);
ssize_t io_sys_recv(struct io_fd *, const struct iovec *, unsigned n);
ssize_t io_sys_splice_in(struct io_fd *, int pipe, size_t len);
ssize_t io_sys_splice_out(struct io_fd *, int pipe, size_t len, bool more);
int io_sys_connect(struct io_fd *, const struct sockaddr *, socklen_t, bool first);
int io_sys_shutdown(struct io_fd *);
void io_sys_set_reset(struct io_fd *);
bool io_sys_quiet(struct io_fd *);
int io_sys_name(struct io_fd *, bool peer, struct sockaddr_storage *, socklen_t *);
int io_sys_socket(int domain, int type);
ssize_t io_sys_try_read(int file, void *mem, size_t len, int64_t off);
int io_sys_try_openat(const struct io_openat *);
/* May block. */
int io_sys_openat(const struct io_openat *);
/* True for an errno that accept(2) reports of a connection that died in the queue, and not of the listener. */
bool io_sys_accept_goes_on(int error);

/*
 * Ops without an io_fd, for backends without a native way: done at once when that cannot block (cached pages
 * and names), otherwise on helper threads. -EAGAIN: IO_POOL_QUEUE_MAX ops wait already.
 */
#define IO_POOL_QUEUE_MAX 4096
#define IO_HELPERS_MAX 64
void io_pool_submit(struct io_loop *, struct io_op *);
/* True when the op had not begun and is now finished with -ECANCELED. */
bool io_pool_cancel(struct io_loop *, struct io_op *);
/* Joins the threads. Nothing may be in flight. */
void io_pool_free(struct io_loop *);

#endif
