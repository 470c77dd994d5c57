#include "net/plain.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/slab.h"
#include "net/conn_names.h"

/* MEM up to here is copied to join its neighbours: cheaper than one more element for the kernel. */
#define PLAIN_COPY_MAX 1024
/* A receive this small joins the buffer before it, so that many small ones cannot hold many buffers. */
#define PLAIN_JOIN_MAX 4096
/* What one connection may send before others get their turn. */
#define PLAIN_TURN_BYTES (4u * 1024 * 1024)

static _Thread_local struct slab plain_slab = SLAB_INIT("conn", sizeof(struct plain), 256);
static _Thread_local struct slab aside_slab =
	SLAB_INIT("conn aside", sizeof(struct plain_aside), 256);

/* Receiving. */

static void plain_received(struct io_op *op, int result);

void plain_receive(struct plain *p)
{
	if (p->receiving || p->dial || p->eof || p->conn.source.error || p->state == PLAIN_GONE)
		return;
	p->receiving = true;
	if (p->bulk && p->state == PLAIN_OPEN) {
		plain_wait_readable(p);
		return;
	}
	p->rd.code = IO_RECV;
	p->rd.cb = plain_received;
	/* The first receive is alone: a connection that brings one request has nothing to cancel at its end. */
	p->rd.flags = p->conn.bytes_in && !p->piping ? IO_MULTI : 0;
	p->rd.u.recv.mem = NULL;
	io_submit(p->conn.loop, &p->rd);
}

static bool plain_join(struct plain *p, const struct buf *b)
{
	struct seg_node *last = p->in.tail;
	uint32_t n = b->end - b->start;

	if (!last || n > PLAIN_JOIN_MAX || last->seg.kind != SEG_MEM || !last->seg.owner ||
	    last->seg.owner->free != b->owner.free || last->seg.owner->refs != 1)
		return false;
	struct buf *into = SL_CONTAINER(last->seg.owner, struct buf, owner);
	const uint8_t *end = last->seg.u.mem + last->seg.len;
	if (end != into->data + into->end || BUF_CAPACITY - into->end < n)
		return false;
	memcpy(into->data + into->end, b->data + b->start, n);
	into->end += n;
	last->seg.len += n;
	p->in.bytes += n;
	return true;
}

static int plain_keep(struct plain *p, struct buf *b)
{
	if (plain_join(p, b)) {
		buf_unref(b);
		return 0;
	}
	struct seg s = seg_mem(b->data + b->start, b->end - b->start, &b->owner);
	int err = seg_chain_append(&p->in, s);
	if (err)
		buf_unref(b);
	return err;
}

static void plain_gone(struct io_fd *fd);

static void plain_io_close(struct plain *p)
{
	if (p->state == PLAIN_GONE)
		return;
	p->state = PLAIN_GONE;
	io_undefer(p->conn.loop, &p->task);
	io_close(&p->fd, plain_gone);
}

void plain_fail(struct plain *p, int err)
{
	if (!p->conn.error)
		p->conn.error = err;
	if (p->state == PLAIN_ENDING || p->state == PLAIN_LINGER) {
		/* An orderly end now would pass what is missing off as the whole. */
		if (p->conn.queued)
			io_set_reset(&p->fd);
		plain_io_close(p);
		return;
	}
	if (p->state == PLAIN_OPEN)
		io_defer(p->conn.loop, &p->task);
}

static void plain_lingered(struct plain *p, const struct buf *b)
{
	p->aside->lingered += b->end - b->start;
	if (p->aside->lingered > CONN_LINGER_BYTES)
		plain_io_close(p);
}

static void plain_data(struct plain *p, struct buf *b)
{
	p->conn.bytes_in += b->end - b->start;
	plain_note_received(p, b->end - b->start);
	if (p->state == PLAIN_LINGER)
		plain_lingered(p, b);
	/* Who still sends while we send our last is not read for ever. */
	if (p->state == PLAIN_ENDING && p->receiving)
		io_cancel(&p->rd);
	/* After a loss what follows would pass for what was lost. */
	if (p->state != PLAIN_OPEN || p->conn.source.error) {
		buf_unref(b);
		return;
	}
	int err = plain_keep(p, b);
	if (err)
		p->conn.source.error = err;
	if (p->in.bytes >= CONN_AHEAD_BYTES && p->receiving)
		io_cancel(&p->rd);
}

void plain_received_end(struct plain *p, int result)
{
	if (result == 0 && p->conn.error && p->conn.error != -EPIPE) {
		/* Linux tells of a reset once: when a send was told of it, what is received now only looks like the end. */
		p->conn.source.error = p->conn.error;
	} else if (result == 0) {
		p->eof = true;
	} else {
		p->conn.source.error = result;
		plain_fail(p, result);
	}
}

static void plain_received(struct io_op *op, int result)
{
	struct plain *p = SL_CONTAINER(op, struct plain, rd);

	if (!(op->flags & IO_MORE))
		p->receiving = false;
	if (result > 0) {
		struct buf *b = op->u.recv.buf;
		op->u.recv.buf = NULL;
		plain_data(p, b);
	} else if (result != -ECANCELED) {
		plain_received_end(p, result);
	}
	if (p->state == PLAIN_LINGER && (p->eof || p->conn.source.error))
		plain_io_close(p);
	else if (p->state == PLAIN_LINGER)
		plain_receive(p);
	if (!p->waiting || p->state != PLAIN_OPEN)
		return;
	if (result == -ECANCELED) {
		if (p->piping)
			plain_wait_pipe(p);
		else
			plain_receive(p);
		return;
	}
	p->waiting = false;
	source_wake(&p->conn.source);
}

/* There is something that neither an op nor a splice is to take. */
static bool plain_may_read(const struct plain *p)
{
	return p->readable && !p->receiving && !p->piping && !p->eof && !p->conn.source.error;
}

static enum pull plain_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct plain *p = plain_of(SL_CONTAINER(source, struct conn, source));
	struct seg_node *first = p->in.head;

	p->piping = kinds & SEG_PIPE && !p->no_splice;
	if (!first && plain_may_read(p)) {
		enum pull r = plain_read_bulk(p, want);
		if (r != PULL_DATA)
			return r;
		first = p->in.head;
	}
	if (first && first->seg.kind == SEG_PIPE && !(kinds & SEG_PIPE))
		return plain_pull_copy(p, want, out);
	if (first && first->seg.len <= want) {
		seg_chain_take(&p->in, out);
		return PULL_DATA;
	}
	if (first) {
		*out = first->seg;
		out->len = want;
		seg_owner_ref(out->owner);
		seg_chain_consume(&p->in, want);
		return PULL_DATA;
	}
	if (source->error)
		return PULL_FAIL;
	if (p->eof)
		return PULL_END;
	if (p->piping && !p->dial)
		return plain_pull_pipe(p, want, out);
	p->waiting = true;
	plain_receive(p);
	return PULL_WAIT;
}

static void plain_unpull(struct conn *c, struct seg s)
{
	struct plain *p = plain_of(c);
	struct seg_chain rest = p->in;

	/* Whoever waited has given the conn on. */
	p->waiting = false;
	p->in = (struct seg_chain){0};
	if (s.len && seg_chain_append(&p->in, s)) {
		seg_release(&s);
		c->source.error = -ENOMEM;
	} else if (!s.len) {
		seg_release(&s);
	}
	if (!rest.head)
		return;
	if (p->in.tail)
		p->in.tail->next = rest.head;
	else
		p->in.head = rest.head;
	p->in.tail = rest.tail;
	p->in.bytes += rest.bytes;
}

static void plain_source_close(struct source *source, int why)
{
	(void)source;
	(void)why;
	assert(!"the source of a conn ends with conn_close");
}

/* Sending. */

static void plain_took(struct plain *p, size_t n)
{
	seg_chain_consume(&p->out, n);
	p->conn.bytes_out += n;
	p->conn.queued -= n;
	if (!p->conn.queued && p->tail) {
		buf_unref(p->tail);
		p->tail = NULL;
	}
}

static void plain_sent(struct io_op *op, int result)
{
	struct plain *p = SL_CONTAINER(op, struct plain_aside, op)->plain;

	p->sending = false;
	slab_free(&aside_slab, p->aside);
	p->aside = NULL;
	if (p->state == PLAIN_GONE)
		return;
	if (result < 0) {
		plain_fail(p, result);
		return;
	}
	plain_took(p, (size_t)result);
	plain_step(p);
}

static unsigned plain_gather(struct plain *p, struct iovec *iov, bool *more)
{
	unsigned n = 0;
	struct seg_node *node = p->out.head;

	for (; node && node->seg.kind == SEG_MEM && n < PLAIN_IOV; node = node->next)
		iov[n++] = (struct iovec){(void *)(uintptr_t)node->seg.u.mem, node->seg.len};
	*more = node && node->seg.kind != SEG_MEM;
	return n;
}

int plain_sleep(struct plain *p, enum io_code code)
{
	struct plain_aside *aside = slab_alloc(&aside_slab);

	if (!aside)
		return -ENOMEM;
	aside->plain = p;
	aside->op = (struct io_op){.cb = plain_sent, .fd = &p->fd, .code = (uint8_t)code};
	if (code == IO_SEND) {
		bool more;
		aside->op.u.send.iov = aside->iov;
		aside->op.u.send.n = plain_gather(p, aside->iov, &more);
	}
	p->aside = aside;
	p->sending = true;
	io_submit(p->conn.loop, &aside->op);
	return 0;
}

static ssize_t plain_send_mem(struct plain *p)
{
	struct iovec iov[PLAIN_IOV];
	bool more;
	unsigned n = plain_gather(p, iov, &more);
	more |= p->conn.last;
	ssize_t sent = io_try_send(&p->fd, iov, n, more ? IO_SEND_NOW | IO_SEND_MORE : 0);

	if (sent == -EAGAIN)
		return plain_sleep(p, IO_SEND);
	return sent;
}

static ssize_t plain_send_file(struct plain *p)
{
	struct seg *s = &p->out.head->seg;
	ssize_t sent = io_try_sendfile(&p->fd, s->u.file.fd, s->u.file.off, s->len);

	if (sent == -EAGAIN)
		return plain_sleep(p, IO_WAIT_OUT);
	/* The file became shorter than was promised: the peer must not take the rest for complete. */
	return sent ? sent : -ENODATA;
}

static ssize_t plain_send_head(struct plain *p)
{
	switch (p->out.head->seg.kind) {
	case SEG_FILE:
		return plain_send_file(p);
	case SEG_PIPE:
		return plain_send_pipe(p);
	default:
		return plain_send_mem(p);
	}
}

void plain_push(struct plain *p)
{
	size_t budget = PLAIN_TURN_BYTES;

	while (p->out.bytes && !p->sending && !p->conn.error) {
		ssize_t n = plain_send_head(p);
		if (n < 0) {
			plain_fail(p, (int)n);
			return;
		}
		plain_took(p, (size_t)n);
		if ((size_t)n >= budget) {
			io_defer(p->conn.loop, &p->task);
			return;
		}
		budget -= (size_t)n;
	}
}

static void plain_linger_over(struct io_timer *t)
{
	plain_io_close(SL_CONTAINER(t, struct plain_aside, timer)->plain);
}

static void plain_begin_linger(struct plain *p)
{
	if (p->no_linger || p->eof || p->conn.source.error ||
	    !(p->aside = slab_zalloc(&aside_slab))) {
		plain_io_close(p);
		return;
	}
	p->state = PLAIN_LINGER;
	p->aside->plain = p;
	p->aside->lingered = p->in.bytes;
	p->aside->timer.fire = plain_linger_over;
	io_timer_set(p->conn.loop, &p->aside->timer, CONN_LINGER_MS);
	seg_chain_clear(&p->in);
	plain_receive(p);
}

/* After the queue emptied: the FIN or the end that waited for it. */
static void plain_settle(struct plain *p)
{
	if (p->conn.queued || p->sending || p->dial || p->state == PLAIN_GONE)
		return;
	if (p->state == PLAIN_ENDING && (p->no_linger || p->eof)) {
		plain_io_close(p);
		return;
	}
	if (p->shut && !p->fin_sent) {
		p->fin_sent = true;
		int err = io_shutdown(&p->fd);
		if (err && err != -ENOTCONN) {
			plain_fail(p, err);
			return;
		}
	}
	if (p->state == PLAIN_ENDING)
		plain_begin_linger(p);
}

static void plain_notify(struct plain *p)
{
	struct conn *c = &p->conn;
	bool tell = false;

	if (p->state != PLAIN_OPEN)
		return;
	if (c->error && !p->failed)
		tell = p->failed = true;
	if (p->was_full && c->queued <= CONN_SEND_LOW) {
		p->was_full = false;
		tell = true;
	}
	if (c->want_drained && !c->queued) {
		c->want_drained = false;
		tell = true;
	}
	if (tell && c->drained)
		c->drained(c, c->consumer);
}

void plain_step(struct plain *p)
{
	if (p->dial)
		plain_dial_step(p);
	if (p->dial || p->state == PLAIN_GONE)
		return;
	plain_push(p);
	if (p->conn.error && !p->sending && p->out.head) {
		seg_chain_clear(&p->out);
		p->conn.queued = 0;
	}
	plain_settle(p);
	plain_notify(p);
}

static void plain_run_task(struct io_task *task)
{
	plain_step(SL_CONTAINER(task, struct plain, task));
}

static void plain_flush(struct conn *c)
{
	struct plain *p = plain_of(c);

	/* The first bytes are sent with the connecting. */
	if (p->dial)
		return;
	plain_push(p);
	if (!c->queued && !p->shut && !c->want_drained && !p->was_full && !c->error)
		io_undefer(c->loop, &p->task);
}

static uint8_t *plain_reserve(struct conn *c, size_t n)
{
	struct plain *p = plain_of(c);

	assert(n <= CONN_RESERVE_MAX);
	if (c->error || p->state != PLAIN_OPEN)
		return NULL;
	if (p->tail && BUF_CAPACITY - p->tail->end >= n)
		return p->tail->data + p->tail->end;
	struct buf *b = buf_alloc();
	if (!b)
		return NULL;
	buf_unref(p->tail);
	p->tail = b;
	return b->data;
}

static int plain_queue(struct plain *p, struct seg s)
{
	int err = seg_chain_append(&p->out, s);

	if (err) {
		seg_release(&s);
		plain_fail(p, err);
		return err;
	}
	p->conn.queued += s.len;
	if (p->conn.queued >= CONN_SEND_HIGH)
		p->was_full = true;
	io_defer(p->conn.loop, &p->task);
	return 0;
}

static void plain_commit(struct conn *c, size_t n)
{
	struct plain *p = plain_of(c);
	struct buf *b = p->tail;

	if (!n)
		return;
	assert(b && BUF_CAPACITY - b->end >= n);
	struct seg s = seg_mem(b->data + b->end, n, seg_owner_ref(&b->owner));
	b->end += n;
	(void)plain_queue(p, s);
}

static int plain_send(struct conn *c, struct seg s)
{
	struct plain *p = plain_of(c);

	if (c->error || p->state != PLAIN_OPEN || !s.len) {
		seg_release(&s);
		return p->state == PLAIN_OPEN ? c->error : -EPIPE;
	}
	if (s.kind == SEG_MEM && s.len <= PLAIN_COPY_MAX) {
		uint8_t *at = plain_reserve(c, s.len);
		if (at) {
			memcpy(at, s.u.mem, s.len);
			plain_commit(c, s.len);
			seg_release(&s);
			return c->error;
		}
	}
	return plain_queue(p, s);
}

static void plain_shutdown(struct conn *c)
{
	struct plain *p = plain_of(c);

	p->shut = true;
	io_defer(c->loop, &p->task);
}

static void plain_close(struct conn *c, int why)
{
	struct plain *p = plain_of(c);

	c->drained = NULL;
	p->waiting = false;
	if (p->state == PLAIN_GONE)
		return;
	if (c->error && why >= 0)
		why = c->error;
	/* There is nobody yet whom an orderly end could reach. */
	if (p->dial)
		why = -ECANCELED;
	if (why < 0) {
		/* What was reset by the peer has nobody left who could be told. */
		if (c->source.error != -ECONNRESET)
			io_set_reset(&p->fd);
		plain_io_close(p);
		return;
	}
	if (p->state != PLAIN_OPEN)
		return;
	p->state = PLAIN_ENDING;
	p->shut = true;
	p->no_linger = why == CONN_DONE;
	io_defer(c->loop, &p->task);
}

static void plain_gone(struct io_fd *fd)
{
	struct plain *p = SL_CONTAINER(fd, struct plain, fd);
	void (*closed)(void *) = p->conn.closed;
	void *consumer = p->conn.consumer;

	assert(!p->sending && !p->receiving);
	if (p->aside) {
		io_timer_stop(&p->aside->timer);
		slab_free(&aside_slab, p->aside);
		p->aside = NULL;
	}
	seg_chain_clear(&p->in);
	seg_chain_clear(&p->out);
	buf_unref(p->tail);
	plain_dial_free(p);
	conn_free_names(&p->conn);
	slab_free(&plain_slab, p);
	if (closed)
		closed(consumer);
}

static int plain_name(struct conn *c, bool peer, struct net_addr *a)
{
	return io_name(&plain_of(c)->fd, peer, &a->u.storage, &a->len);
}

static bool plain_quiet(struct conn *c)
{
	struct plain *p = plain_of(c);

	return !p->in.head && !p->eof && !c->source.error && !c->error && io_quiet(&p->fd);
}

static const struct source_ops plain_source_ops = {.pull = plain_pull, .close = plain_source_close};

static const struct conn_ops plain_ops = {
	.name = "plain",
	.send = plain_send,
	.reserve = plain_reserve,
	.commit = plain_commit,
	.flush = plain_flush,
	.shutdown = plain_shutdown,
	.close = plain_close,
	.unpull = plain_unpull,
	.name_of = plain_name,
	.quiet = plain_quiet,
};

struct conn *conn_plain_new(struct io_loop *loop, int fd)
{
	struct plain *p = slab_zalloc(&plain_slab);

	if (!p || io_fd_init(loop, &p->fd, fd)) {
		slab_free(&plain_slab, p);
		close(fd);
		return NULL;
	}
	p->conn.source.ops = &plain_source_ops;
	p->conn.ops = &plain_ops;
	p->conn.loop = loop;
	p->conn.caps = SEG_ALL;
	p->rd.fd = &p->fd;
	p->task.run = plain_run_task;
	return &p->conn;
}

void conn_want_drained(struct conn *c)
{
	c->want_drained = true;
	if (!c->queued && c->ops == &plain_ops)
		io_defer(c->loop, &plain_of(c)->task);
}
