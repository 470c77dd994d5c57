/* internal: the I/O loop. One operation, one completion, the same rules over every backend. */
#ifndef SLUICE_IO_IO_H
#define SLUICE_IO_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "io/op.h"
#include "io/timer.h"

/* The rules that all of this obeys, and the operations themselves, are in io/op.h. */

/* Takes over a non-blocking descriptor. 0; -ENOMEM, the poller's error, -EMFILE: select's end: it stays the caller's. */
int io_fd_init(struct io_loop *, struct io_fd *, int descriptor);
/* op: cb, code, flags, fd and u are set by the caller; idle. Failure arrives by callback. */
void io_submit(struct io_loop *, struct io_op *);
/* Harmless on an idle op. */
void io_cancel(struct io_op *);
/* Cancels all, drains, then close(2), then `closed` (never inline; NULL allowed when the owner need not know). */
void io_close(struct io_fd *, void (*closed)(struct io_fd *));

/*
 * The fast path before sleeping: bytes taken now, or -EAGAIN (submit IO_SEND or IO_WAIT_OUT), or -errno.
 * A backend that batches sends answers -EAGAIN at once, unless IO_SEND_NOW is set.
 */
enum io_send_flag { IO_SEND_NOW = 1, IO_SEND_MORE = 2 /* MSG_MORE: a file follows */ };
ssize_t io_try_send(struct io_fd *, const struct iovec *, unsigned n, unsigned flags);
/*
 * connect(2): 0, -EINPROGRESS (on loopback it may be there at the next call; else submit IO_WAIT_OUT, or IO_SEND when there
 * is something to send, and call again), or -errno. The same address each time. first: there is something to send at
 * once, and TCP need not acknowledge the connection before that.
 */
int io_try_connect(struct io_fd *, const struct sockaddr *, socklen_t, bool first);
/*
 * sendfile(2) from file[off..off+len): bytes, 0 at the file's end, -EAGAIN, -errno. Blocks only on cold pages. The
 * program ignores SIGPIPE: unlike io_try_send, this call cannot ask for silence.
 */
ssize_t io_try_sendfile(struct io_fd *, int file, int64_t off, size_t len);
/* recvmsg(2): bytes, 0 at the end of the stream, -EAGAIN, -errno. No op of the read side may be in flight. */
ssize_t io_try_recv(struct io_fd *, const struct iovec *, unsigned n);
/*
 * splice(2) between a socket and a pipe, up to len bytes: bytes, -EAGAIN, -errno. In: 0 at the end of the stream; the
 * pipe is empty, for a full one would look like a quiet socket. Out: `more` as IO_SEND_MORE; not silent either.
 */
ssize_t io_try_splice_in(struct io_fd *, int pipe, size_t len);
ssize_t io_try_splice_out(struct io_fd *, int pipe, size_t len, bool more);
/*
 * Reading and opening without waiting, for what the kernel has in memory: as IO_READ and IO_OPENAT, or -EAGAIN (submit
 * the op). A read may also say -EOPNOTSUPP: this file system cannot tell.
 */
ssize_t io_try_read(struct io_loop *, int file, void *mem, size_t len, int64_t off);
int io_try_openat(struct io_loop *, const struct io_openat *);
/* Stops sending (a FIN follows what was sent). Nothing may be in flight on the write side. */
int io_shutdown(struct io_fd *);
/* SO_LINGER 0: the close that follows sends a reset, so that the peer cannot take a cut transfer for a whole one. */
void io_set_reset(struct io_fd *);
/* getpeername(2) or getsockname(2). */
int io_name(struct io_fd *, bool peer, struct sockaddr_storage *, socklen_t *);
/* Asks whether a connected socket has nothing to tell: no byte, no end, no error. Takes nothing from it. */
bool io_quiet(struct io_fd *);
/* A new non-blocking socket of the backend's world (the kernel's, or the simulator's). */
int io_socket(struct io_loop *, int domain, int type);

/* Work for later in this turn: runs after the callbacks, before the loop sleeps; FIFO. Embed it, zeroed. */
struct io_task {
	struct io_task *next,
		**at; /* at: NULL when idle; deferring a queued task again is harmless */
	void (*run)(struct io_task *);
};
void io_defer(struct io_loop *, struct io_task *);
/* Takes back a queued task. Harmless when idle. */
void io_undefer(struct io_loop *, struct io_task *);

/*
 * The only call for other threads: `run` is called on the loop's thread, in order per sender, perhaps before the call
 * returns; the loop must live until it does.
 */
struct io_msg {
	struct io_msg *next;
	void (*run)(struct io_loop *, struct io_msg *);
};
void io_post(struct io_loop *, struct io_msg *);

enum io_engine {
	IO_ENGINE_AUTO,
	IO_ENGINE_URING,
	IO_ENGINE_EPOLL,
	IO_ENGINE_POLL,
	IO_ENGINE_SELECT,
	IO_ENGINE_SIM
};

struct io_options {
	enum io_engine engine;
	unsigned
		helpers; /* threads for blocking work, started when needed; 0: IO_HELPERS_DEFAULT */
	unsigned recv_bufs; /* io_uring: provided buffers; 0: IO_RECV_BUFS_DEFAULT */
	void *sim;          /* IO_ENGINE_SIM: its struct sim (io/sim.h) */
};
#define IO_HELPERS_DEFAULT 2
#define IO_RECV_BUFS_DEFAULT 128

/*
 * 0; -ENOSYS, -EPERM, ... when the chosen engine is impossible here, with a sentence in why[why_len].
 * IO_ENGINE_AUTO falls back to epoll and logs one line. The loop belongs to the first thread that runs it.
 */
int io_loop_new(const struct io_options *, struct io_loop **, char *why, size_t why_len);
/*
 * True while an operation is in flight, or a task, a message or a close waits for its turn: before io_loop_free, turn
 * until it is false. A loop that was stopped may not have run what was posted before.
 */
bool io_loop_busy(struct io_loop *);
/* Nothing may be open, armed or in flight. */
void io_loop_free(struct io_loop *);
/* Turns until io_loop_stop (any thread). 0 or -errno when the poller itself failed. */
int io_loop_run(struct io_loop *);
void io_loop_stop(struct io_loop *);
/* One turn that sleeps at most timeout_ns (-1: until something happens). For tests and embedding. */
int io_loop_turn(struct io_loop *, int64_t timeout_ns);

/* Cached once a turn: CLOCK_MONOTONIC (virtual under the simulator). */
uint64_t io_now_ns(const struct io_loop *);
const char *io_engine_name(const struct io_loop *);
/* "auto", "io_uring", "epoll", "poll", "select": the engine or -EINVAL. */
int io_engine_parse(const char *);
/* One word a feature that was found at start, space separated, for `sluice version`. */
const char *io_loop_features(const struct io_loop *);

struct io_stats {
	uint64_t turns, ops, events, timers, tasks, posts;
	uint64_t busy_ns; /* CPU time of the loop's thread */
};
void io_loop_stats(const struct io_loop *, struct io_stats *);

#endif
