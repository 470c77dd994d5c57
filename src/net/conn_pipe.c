// SPDX-License-Identifier: Apache-2.0
/* Plain connections and pipes: what is received into one, and what leaves out of one. */
#include "net/plain.h"

#include <errno.h>
#include <unistd.h>

#include "net/pipe.h"

/* A splice that brought this much probably left some. */
#define PIPE_GO_ON_BYTES 65536

static void plain_is_readable(struct io_op *op, int result)
{
	struct plain *p = SL_CONTAINER(op, struct plain, rd);

	p->receiving = false;
	p->readable = result == 0;
	p->reads = 0;
	if (result < 0 && result != -ECANCELED)
		plain_received_end(p, result);
	if (p->state == PLAIN_LINGER)
		plain_receive(p);
	if (!p->waiting || p->state != PLAIN_OPEN)
		return;
	p->waiting = false;
	source_wake(&p->conn.source);
}

void plain_wait_readable(struct plain *p)
{
	p->receiving = true;
	p->rd.code = IO_WAIT_IN;
	p->rd.cb = plain_is_readable;
	p->rd.flags = 0;
	io_submit(p->conn.loop, &p->rd);
}

enum pull plain_wait_pipe(struct plain *p)
{
	p->waiting = true;
	if (p->receiving) {
		/* A receive into memory would take what the splice is to find. */
		if (p->rd.code == IO_RECV)
			io_cancel(&p->rd);
		return PULL_WAIT;
	}
	plain_wait_readable(p);
	return PULL_WAIT;
}

/* An op receives this, into memory. */
static enum pull pipe_none(struct plain *p)
{
	p->bulk = 0;
	p->waiting = true;
	plain_receive(p);
	return PULL_WAIT;
}

enum pull plain_read_nothing(struct plain *p, ssize_t result)
{
	p->readable = false;
	if (result == -EAGAIN && p->piping)
		return plain_wait_pipe(p);
	if (result == -EAGAIN) {
		p->waiting = true;
		plain_receive(p);
		return PULL_WAIT;
	}
	/*
	 * A send in flight may have been told of a reset, which makes this look like an end, and its callback is still to
	 * come. What is received by an op comes after that.
	 */
	if (result == 0 && p->sending)
		return pipe_none(p);
	plain_received_end(p, (int)result);
	return p->eof ? PULL_END : PULL_FAIL;
}

enum pull plain_pull_pipe(struct plain *p, size_t want, struct seg *out)
{
	if (p->receiving || !p->readable)
		return plain_wait_pipe(p);
	struct pipe_lease *lease = pipe_lease_take();
	if (!lease)
		return pipe_none(p);
	ssize_t n = io_try_splice_in(&p->fd, lease->write_fd, SL_MIN(want, lease->bytes_max));
	if (n > 0) {
		p->readable = n >= PIPE_GO_ON_BYTES;
		p->conn.bytes_in += (size_t)n;
		lease->held = (uint32_t)n;
		*out = (struct seg){.kind = SEG_PIPE, .len = (size_t)n};
		out->u.pipe = lease;
		out->owner = &lease->owner;
		return PULL_DATA;
	}
	seg_owner_unref(&lease->owner);
	if (n == -EINVAL || n == -EOPNOTSUPP) {
		p->readable = false;
		p->no_splice = true;
		p->piping = false;
		return pipe_none(p);
	}
	return plain_read_nothing(p, n);
}

enum pull plain_pull_copy(struct plain *p, size_t want, struct seg *out)
{
	struct seg *s = &p->in.head->seg;
	struct buf *b = buf_alloc();
	ssize_t n = -ENOMEM;

	want = SL_MIN(want, SL_MIN(s->len, BUF_CAPACITY));
	if (b && (n = read(s->u.pipe->read_fd, b->data, want)) <= 0)
		n = -EIO;
	if (n < 0) {
		buf_unref(b);
		p->conn.source.error = (int)n;
		return PULL_FAIL;
	}
	b->end = (uint32_t)n;
	s->u.pipe->held -= (uint32_t)n;
	seg_chain_consume(&p->in, (size_t)n);
	*out = seg_mem(b->data, (size_t)n, &b->owner);
	return PULL_DATA;
}

ssize_t plain_send_pipe(struct plain *p)
{
	struct seg_node *node = p->out.head;
	struct pipe_lease *lease = node->seg.u.pipe;
	bool more = node->next || p->conn.last;
	ssize_t n = io_try_splice_out(&p->fd, lease->read_fd, node->seg.len, more);

	if (n == -EAGAIN)
		return plain_sleep(p, IO_WAIT_OUT);
	if (n > 0)
		lease->held -= (uint32_t)n;
	/* Nothing in a pipe that holds something: what follows must not take its place. */
	return n ? n : -EIO;
}
