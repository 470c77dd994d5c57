// SPDX-License-Identifier: Apache-2.0
#include "io/ready.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"

#define READY_SLOTS_MIN 64
#define READY_WATCH_SHIFT 4

static void ready_clear(struct io_fd *fd, unsigned bits)
{
	fd->ready &= (uint8_t)~bits;
}

/* Somebody looks at it before the loop sleeps. */
static void ready_queue(struct ready *r, const struct io_fd *fd)
{
	struct ready_slot *slot = &r->slots[fd->fd];

	if (slot->next != READY_UNQUEUED)
		return;
	slot->next = READY_LAST;
	if (r->pending == READY_LAST)
		r->pending = fd->fd;
	else
		r->slots[r->pending_last].next = fd->fd;
	r->pending_last = fd->fd;
}

static void ready_finish(struct ready *r, struct io_op *op, int result)
{
	struct io_fd *fd = op->fd;

	io_op_finish(op, result);
	/* A level poller must stop watching what nobody waits for; an edge poller need not be told. */
	if (!r->poller->edge)
		ready_queue(r, fd);
}

static int ready_grow(struct ready *r, unsigned descriptor)
{
	unsigned count = r->count ? r->count : READY_SLOTS_MIN;
	struct ready_slot *slots;

	while (count <= descriptor)
		count *= 2;
	if (count == r->count)
		return 0;
	slots = reallocarray(r->slots, count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (unsigned i = r->count; i < count; i++)
		slots[i] = (struct ready_slot){.next = READY_UNQUEUED};
	r->slots = slots;
	if (r->poller->grow) {
		int rc = r->poller->grow(r, count);

		if (rc < 0)
			return rc;
	}
	r->count = count;
	return 0;
}

int ready_init(struct ready *r, struct io_loop *loop, const struct ready_poller *poller)
{
	int rc;

	*r = (struct ready){
		.loop = loop,
		.poller = poller,
		.pending = READY_LAST,
		.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	};
	if (r->wake_fd < 0)
		return -errno;
	rc = ready_grow(r, (unsigned)r->wake_fd);
	if (rc < 0)
		ready_fini(r);
	return rc;
}

void ready_fini(struct ready *r)
{
	close(r->wake_fd);
	r->wake_fd = -1;
	buf_unref(r->warm);
	r->warm = NULL;
	free(r->slots);
	r->slots = NULL;
}

int ready_attach(struct io_loop *loop, struct io_fd *fd)
{
	struct ready *r = loop->state;
	int rc = ready_grow(r, (unsigned)fd->fd);

	if (rc < 0)
		return rc;
	assert(!r->slots[fd->fd].fd);
	r->slots[fd->fd].fd = fd;
	return 0;
}

void ready_detach(struct io_loop *loop, struct io_fd *fd)
{
	struct ready *r = loop->state;

	if (r->poller->forget)
		r->poller->forget(r, fd);
	/* A pending slot stays in its queue: the descriptor may be a new one by the time it is looked at. */
	r->slots[fd->fd].fd = NULL;
	close(fd->fd);
}

void ready_wakeup(struct io_loop *loop)
{
	struct ready *r = loop->state;
	uint64_t one = 1;
	ssize_t n;

	/* It can only fail when the counter is full, and then the loop is being woken. */
	do {
		n = write(r->wake_fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

void ready_take_wakeup(struct ready *r)
{
	uint64_t count;

	/* Nothing to read means that it is quiet already. */
	if (read(r->wake_fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN || errno == EINTR);
}

uint64_t ready_now_ns(struct io_loop *loop)
{
	(void)loop;
	return clock_monotonic_ns();
}

/* True when a failed read is not the connection's failure; false: *result is the op's. */
static bool ready_read_again(struct io_fd *fd, int *result)
{
	if (errno != EAGAIN) {
		*result = -errno;
		return false;
	}
	ready_clear(fd, IO_READY_IN | IO_READY_EOF);
	return true;
}

static void ready_accept(struct ready *r, struct io_fd *fd, struct io_op *op)
{
	for (unsigned i = 0; i < READY_ACCEPT_TURN_MAX; i++) {
		int result = accept4(fd->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (result < 0) {
			if (io_sys_accept_goes_on(errno))
				continue;
			if (!ready_read_again(fd, &result))
				ready_finish(r, op, result);
			return;
		}
		if (!(op->flags & IO_MULTI)) {
			ready_finish(r, op, result);
			return;
		}
		r->called_back = true;
		io_op_more(op, result);
		if (op->state != IO_INFLIGHT)
			return;
	}
	ready_queue(r, fd);
}

/* Less than asked for: the socket is drained, unless its end was announced. */
static void ready_note_recv(struct io_fd *fd, size_t got, size_t asked)
{
	if (got < asked && !(fd->ready & IO_READY_EOF))
		ready_clear(fd, IO_READY_IN);
}

static void ready_recv_mem(struct ready *r, struct io_fd *fd, struct io_op *op)
{
	ssize_t n;
	int result;

	do {
		n = recv(fd->fd, op->u.recv.mem, op->u.recv.cap, 0);
	} while (n < 0 && errno == EINTR);
	result = (int)n;
	if (n < 0 && ready_read_again(fd, &result))
		return;
	if (n > 0)
		ready_note_recv(fd, (size_t)n, op->u.recv.cap);
	ready_finish(r, op, result);
}

static void ready_recv(struct ready *r, struct io_fd *fd, struct io_op *op)
{
	size_t taken = 0;

	while (taken < READY_RECV_TURN_BYTES) {
		struct buf *buf = r->warm ? r->warm : buf_alloc();
		ssize_t n;
		int result;

		if (!buf) {
			ready_finish(r, op, -ENOMEM);
			return;
		}
		r->warm = buf;
		do {
			n = recv(fd->fd, buf->data, BUF_CAPACITY, 0);
		} while (n < 0 && errno == EINTR);
		result = (int)n;
		if (n <= 0) {
			if (n == 0 || !ready_read_again(fd, &result))
				ready_finish(r, op, result);
			return;
		}
		ready_note_recv(fd, (size_t)n, BUF_CAPACITY);
		taken += (size_t)n;
		buf->end = (uint32_t)n;
		op->u.recv.buf = buf;
		r->warm = NULL;
		if (!(op->flags & IO_MULTI)) {
			ready_finish(r, op, result);
			return;
		}
		r->called_back = true;
		io_op_more(op, result);
		if (op->state != IO_INFLIGHT || !(fd->ready & IO_READY_IN))
			return;
	}
	ready_queue(r, fd);
}

static void ready_read(struct ready *r, struct io_fd *fd)
{
	struct io_op *op = fd->rd;

	switch (op->code) {
	case IO_RECV:
		if (op->u.recv.mem)
			ready_recv_mem(r, fd, op);
		else
			ready_recv(r, fd, op);
		break;
	case IO_ACCEPT:
		ready_accept(r, fd, op);
		break;
	case IO_WAIT_IN:
		/* What the owner reads now is not seen here, so IO_READY_IN stays. */
		ready_finish(r, op, 0);
		break;
	default:
		assert(!"an op of the write side in the read slot");
	}
}

static void ready_send(struct ready *r, struct io_fd *fd, struct io_op *op)
{
	ssize_t n = io_sys_send(fd, op->u.send.iov, op->u.send.n, 0);

	if (n != -EAGAIN)
		ready_finish(r, op, (int)n);
}

/* The poller has something to say of a socket that connects. */
static void ready_connected(struct ready *r, struct io_fd *fd, struct io_op *op)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(fd->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	/* An event from before connect(2) says that the socket is writable, and proves nothing. */
	if (!error && io_sys_name(fd, true, &peer, &len) == -ENOTCONN) {
		ready_clear(fd, IO_READY_OUT);
		return;
	}
	ready_finish(r, op, -error);
}

static void ready_write(struct ready *r, struct io_fd *fd)
{
	struct io_op *op = fd->wr;

	switch (op->code) {
	case IO_SEND:
		ready_send(r, fd, op);
		break;
	case IO_CONNECT:
		ready_connected(r, fd, op);
		break;
	case IO_WAIT_OUT:
		ready_finish(r, op, 0);
		break;
	default:
		assert(!"an op of the read side in the write slot");
	}
}

static void ready_connect(struct ready *r, struct io_fd *fd, struct io_op *op)
{
	if (connect(fd->fd, op->u.connect.addr, op->u.connect.len) == 0) {
		ready_finish(r, op, 0);
		return;
	}
	if (errno != EINPROGRESS && errno != EINTR) {
		ready_finish(r, op, -errno);
		return;
	}
	ready_clear(fd, IO_READY_IN | IO_READY_OUT | IO_READY_EOF);
	fd->ready |= IO_READY_TRIED;
	ready_queue(r, fd);
}

/*
 * The owner works on the descriptor itself, so what is known of it may be old; an edge that has passed does not
 * come again. One look tells; when there is nothing, the next edge is still to come.
 */
static void ready_wait(struct ready *r, struct io_fd *fd, struct io_op *op, unsigned bit)
{
	struct pollfd pfd = {.fd = fd->fd, .events = bit == IO_READY_IN ? POLLIN : POLLOUT};

	if (fd->ready & bit) {
		if (poll(&pfd, 1, 0) > 0) {
			ready_finish(r, op, 0);
			return;
		}
		ready_clear(fd, bit);
	}
	ready_queue(r, fd);
}

void ready_submit(struct io_loop *loop, struct io_op *op)
{
	struct ready *r = loop->state;
	struct io_fd *fd = op->fd;

	if (!io_code_has_fd(op->code)) {
		io_pool_submit(loop, op);
		return;
	}
	io_op_set_state(op, IO_INFLIGHT);
	switch (op->code) {
	case IO_CONNECT:
		ready_connect(r, fd, op);
		return;
	case IO_WAIT_IN:
		ready_wait(r, fd, op, IO_READY_IN);
		return;
	case IO_WAIT_OUT:
		ready_wait(r, fd, op, IO_READY_OUT);
		return;
	case IO_SEND:
		if (fd->ready & IO_READY_OUT)
			ready_send(r, fd, op);
		break;
	default:
		/* A single read may be done at once: its callback is queued. A multishot one calls back in wait. */
		if (fd->ready & IO_READY_IN && !(op->flags & IO_MULTI))
			ready_read(r, fd);
	}
	if (op->state == IO_INFLIGHT)
		ready_queue(r, fd);
}

void ready_cancel(struct io_loop *loop, struct io_op *op)
{
	/* Work that a helper thread has begun ends with its own result. */
	if (!io_code_has_fd(op->code))
		io_pool_cancel(loop, op);
	else
		ready_finish(loop->state, op, -ECANCELED);
}

static void ready_watch(struct ready *r, struct io_fd *fd)
{
	unsigned watched = (fd->ready >> READY_WATCH_SHIFT) & (IO_READY_IN | IO_READY_OUT);
	unsigned want = (fd->rd ? IO_READY_IN : 0u) | (fd->wr ? IO_READY_OUT : 0u);
	int rc;

	if (r->poller->edge)
		want |= watched;
	if (want == watched)
		return;
	rc = r->poller->watch(r, fd, want);
	if (rc == 0) {
		ready_clear(fd, IO_READY_WATCH_IN | IO_READY_WATCH_OUT);
		fd->ready |= (uint8_t)(want << READY_WATCH_SHIFT);
		return;
	}
	if (fd->rd)
		ready_finish(r, fd->rd, rc);
	if (fd->wr)
		ready_finish(r, fd->wr, rc);
}

/* Reads a new descriptor when that is worth it. True when it had bytes: then it need not be watched yet. */
static bool ready_try_new(struct ready *r, struct io_fd *fd)
{
	struct io_op *op = fd->rd;
	bool called_back = r->called_back, lucky;

	fd->ready |= IO_READY_TRIED;
	if (!op || op->code != IO_RECV || (!r->luck && ++r->unwatched % READY_LUCK_PROBE))
		return false;
	r->called_back = false;
	ready_read(r, fd);
	lucky = r->called_back || op->state != IO_INFLIGHT;
	r->called_back |= called_back;
	if (!lucky) {
		r->luck -= r->luck > 0;
		return false;
	}
	r->luck += r->luck < READY_LUCK_MAX;
	ready_queue(r, fd);
	return true;
}

int ready_flush(struct ready *r, int64_t timeout_ns)
{
	int at = r->pending, next;

	r->pending = READY_LAST;
	r->called_back = false;
	for (; at != READY_LAST; at = next) {
		struct io_fd *fd = r->slots[at].fd;

		next = r->slots[at].next;
		r->slots[at].next = READY_UNQUEUED;
		if (!fd)
			continue;
		if (r->poller->edge && !(fd->ready & IO_READY_TRIED) && ready_try_new(r, fd))
			continue;
		if (fd->rd && fd->ready & IO_READY_IN)
			ready_read(r, fd);
		if (fd->wr && fd->ready & IO_READY_OUT)
			ready_write(r, fd);
		ready_watch(r, fd);
	}
	/* Whatever was called back may have made work, or set a timer that is earlier than this timeout. */
	if (r->called_back || r->loop->done || r->pending != READY_LAST)
		return 0;
	if (timeout_ns < 0)
		return -1;
	timeout_ns = (timeout_ns + (int64_t)CLOCK_NS_PER_MS - 1) / (int64_t)CLOCK_NS_PER_MS;
	return timeout_ns < INT_MAX ? (int)timeout_ns : INT_MAX;
}

void ready_event(struct ready *r, struct io_fd *fd, unsigned events)
{
	unsigned bits = 0;

	if (events & (POLLIN | POLLRDHUP | POLLHUP | POLLERR | POLLNVAL))
		bits |= IO_READY_IN;
	if (events & (POLLOUT | POLLHUP | POLLERR | POLLNVAL))
		bits |= IO_READY_OUT;
	if (events & (POLLRDHUP | POLLHUP | POLLERR))
		bits |= IO_READY_EOF;
	fd->ready |= (uint8_t)bits;
	if (fd->rd && bits & IO_READY_IN)
		ready_read(r, fd);
	if (fd->wr && fd->ready & IO_READY_OUT)
		ready_write(r, fd);
}
