/* internal: an operation of the I/O loop, and the descriptor that it works on. */
#ifndef SLUICE_IO_OP_H
#define SLUICE_IO_OP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/seg.h"

/*
 * The rules, which every backend obeys:
 * 1. io_submit never calls back inline;
 * 2. each submitted op finishes with exactly one final callback (IO_MULTI: any number of callbacks with IO_MORE
 *    set in op->flags, then one final without);
 * 3. the op and its buffers belong to the loop until that callback;
 * 4. in the final callback the op is idle: free it, reuse it, submit it again;
 * 5. cancel is a wish: the result is -ECANCELED or the real one.
 * Everything here but io_post and io_loop_stop is called on the loop's own thread, which is asserted.
 */
struct io_loop;
struct io_op;

enum io_code {
	/* Read side of an io_fd; one at a time. */
	IO_ACCEPT, /* result: a new non-blocking, close-on-exec descriptor. IO_MULTI. */
	IO_RECV, /* result: bytes, 0 at the end of the stream. IO_MULTI only without u.recv.mem. */
	IO_WAIT_IN, /* result: 0 when readable (data, end, or error) */
	/* Write side of an io_fd; one at a time. */
	IO_CONNECT,  /* result: 0 */
	IO_SEND,     /* result: bytes > 0, perhaps fewer than asked */
	IO_WAIT_OUT, /* result: 0 when writable (or in error) */
	/* Without an io_fd: never block the loop, run natively (io_uring) or on the loop's helper threads. */
	IO_READ,  /* pread(2) of u.file; result: bytes, 0 at the end of the file */
	IO_WRITE, /* pwrite(2), or write(2) when off is -1 */
	IO_FSYNC,
	IO_OPENAT, /* openat2(2); result: a descriptor */
	IO_WORK,   /* u.work.run on a helper thread; result: what it returned */
};

enum io_state {
	IO_IDLE,      /* the caller's */
	IO_QUEUED,    /* submitted, not yet with the kernel */
	IO_INFLIGHT,  /* with the kernel, a helper thread, or waiting for readiness */
	IO_CANCELING, /* cancel was asked for; the final callback is still to come */
	IO_DONE,      /* finished, its callback is queued */
};

enum io_flag {
	IO_MULTI = 1, /* set by the caller: keep going until an error, the end, or cancel */
	IO_MORE = 2,  /* set by the loop during a callback that is not the final one */
};

/*
 * result >= 0, or -errno. -EBUSY: that side of the io_fd already has an op; -ECANCELED: by io_cancel or io_close;
 * -EAGAIN: too many ops wait for a helper thread.
 */
typedef void io_cb(struct io_op *op, int result);

struct io_openat {
	int dirfd;
	const char *path;
	uint64_t flags, mode, resolve; /* struct open_how */
};

struct io_op {
	io_cb *cb;
	struct io_loop *loop;
	struct io_fd *fd; /* NULL for the codes without one */
	uint8_t code, state;
	uint16_t flags;
	int32_t result;     /* the loop's until the callback */
	struct io_op *next; /* the loop's queue link */
	union {
		/*
		 * mem NULL: the loop picks a pooled buffer when there are bytes (an idle connection holds none); in the
		 * callback with result > 0, buf holds them from start to end and its reference is the callee's.
		 * Otherwise up to cap bytes go to mem.
		 */
		struct {
			struct buf *buf;
			void *mem;
			size_t cap;
		} recv;
		/* The vector and its bytes stay until the callback. n <= IO_IOV_MAX. */
		struct {
			const struct iovec *iov;
			unsigned n;
		} send;
		struct {
			const struct sockaddr *addr;
			socklen_t len;
		} connect;
		struct {
			int fd;
			void *mem;
			size_t len;
			int64_t off;
		} file;
		struct io_openat *open; /* stays until the callback */
		struct {
			/* On another thread: touches only what the op owns. */
			int (*run)(struct io_op *);
		} work;
	} u;
};

#define IO_IOV_MAX 64

/* A descriptor that a loop watches. Embedded by its owner; idle after io_fd_init, until io_close. */
struct io_fd {
	struct io_loop *loop;
	int fd;
	uint32_t gen;      /* stale readiness dies by it */
	uint16_t inflight; /* ops not yet finished */
	uint8_t closing;
	uint8_t ready; /* readiness backends: what is known to be possible without asking */
	struct io_op *rd, *wr;
	struct io_fd *next; /* the loop's queue link */
	void (*closed)(struct io_fd *);
};

#endif
