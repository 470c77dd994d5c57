// SPDX-License-Identifier: Apache-2.0
/*
 * Plain connections that bring much at once: the loop only says that there is something, and a pull reads it into several
 * buffers. They are sent and free again while they are in the cache, before the next connection has its turn; a ring of
 * buffers that the kernel fills for all connections at once is cold each time it comes round.
 */
#include "net/plain.h"

#include <errno.h>

/* Buffers of one read. */
#define BULK_BUFS_MAX 8
/* Reads before others have their turn. */
#define BULK_READS_MAX 8
/* So many receives in a row that leave room in their buffer end it: for those an op is cheaper. */
#define BULK_PATIENCE 8

/* Full: there is more. */
static void bulk_note(struct plain *p, bool full)
{
	if (full)
		p->bulk = BULK_PATIENCE;
	else if (p->bulk)
		p->bulk--;
}

void plain_note_received(struct plain *p, size_t n)
{
	p->readable = n == BUF_CAPACITY;
	p->reads = 0;
	bulk_note(p, p->readable);
	/* It would go on to fill buffers for a flow that is read in another way from now on. */
	if (p->bulk && p->receiving)
		io_cancel(&p->rd);
}

static unsigned bulk_alloc(struct buf **bufs, struct iovec *iov, size_t want)
{
	unsigned n = 0;

	for (size_t room = 0; room < want && n < BULK_BUFS_MAX; room += BUF_CAPACITY) {
		struct buf *b = buf_alloc();

		if (!b)
			break;
		bufs[n] = b;
		iov[n++] = (struct iovec){b->data, BUF_CAPACITY};
	}
	return n;
}

/* The buffers hold `got` bytes. */
static void bulk_keep(struct plain *p, struct buf **bufs, unsigned n, size_t got)
{
	for (unsigned i = 0; i < n; i++) {
		struct buf *b = bufs[i];

		b->end = (uint32_t)SL_MIN(got, BUF_CAPACITY);
		got -= b->end;
		/* After a loss what follows would pass for what was lost. */
		if (!b->end || p->conn.source.error) {
			buf_unref(b);
		} else if (seg_chain_append(&p->in, seg_mem(b->data, b->end, &b->owner))) {
			buf_unref(b);
			p->conn.source.error = -ENOMEM;
		}
	}
}

enum pull plain_read_bulk(struct plain *p, size_t want)
{
	struct buf *bufs[BULK_BUFS_MAX];
	struct iovec iov[BULK_BUFS_MAX];
	unsigned n = p->reads++ < BULK_READS_MAX ? bulk_alloc(bufs, iov, want) : 0;
	/* Without memory, too, it is the loop's turn. */
	ssize_t got = n ? io_try_recv(&p->fd, iov, n) : -EAGAIN;

	bulk_keep(p, bufs, n, got > 0 ? (size_t)got : 0);
	if (got <= 0)
		return plain_read_nothing(p, got);
	if (p->reads == 1)
		bulk_note(p, got >= BUF_CAPACITY);
	p->readable = (size_t)got == n * (size_t)BUF_CAPACITY;
	p->conn.bytes_in += (size_t)got;
	return p->in.head ? PULL_DATA : PULL_FAIL;
}
