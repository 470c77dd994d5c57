// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "io/uring.h"

int uring_bufs_open(struct uring_bufs *b, struct uring_ring *r, unsigned count)
{
	struct io_uring_buf_reg reg = {.bgid = URING_BUF_GROUP};
	void *map;
	int rc;

	*b = (struct uring_bufs){.count = 1};
	while (b->count < count && b->count < URING_BUFS_MAX)
		b->count *= 2;
	/* The kernel wants the ring at the beginning of a page; what we know of it follows. */
	b->map_bytes = b->count * (sizeof(struct io_uring_buf) + sizeof(struct buf *));
	map = mmap(NULL, b->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	reg.ring_addr = (uintptr_t)map;
	reg.ring_entries = b->count;
	rc = io_uring_register_buf_ring(&r->io, &reg, 0);
	if (rc) {
		munmap(map, b->map_bytes);
		return rc;
	}
	b->ring = map;
	b->held = (struct buf **)(void *)((struct io_uring_buf *)map + b->count);
	return 0;
}

void uring_bufs_close(struct uring_bufs *b)
{
	for (unsigned id = 0; id < b->count; id++)
		buf_unref(b->held[id]);
	munmap(b->ring, b->map_bytes);
	*b = (struct uring_bufs){0};
}

static void offer(struct uring_bufs *b, unsigned id)
{
	io_uring_buf_ring_add(b->ring, b->held[id]->data, BUF_CAPACITY, (unsigned short)id,
			      (int)b->count - 1, (int)b->added++);
}

static bool fill_place(struct uring_bufs *b, unsigned id)
{
	b->held[id] = buf_alloc();
	if (!b->held[id])
		return false;
	b->filled++;
	offer(b, id);
	return true;
}

void uring_bufs_fill(struct uring_bufs *b)
{
	for (unsigned id = 0; id < b->count && b->filled < b->count; id++) {
		if (!b->held[id] && !fill_place(b, id))
			return;
	}
}

struct buf *uring_bufs_take(struct uring_bufs *b, unsigned id, unsigned len)
{
	assert(id < b->count && b->held[id] && len <= BUF_CAPACITY);

	struct buf *taken = b->held[id];

	taken->start = 0;
	taken->end = len;
	b->filled--;
	fill_place(b, id);
	return taken;
}

void uring_bufs_return(struct uring_bufs *b, unsigned id)
{
	assert(id < b->count && b->held[id]);
	offer(b, id);
}

void uring_bufs_commit(struct uring_bufs *b)
{
	if (b->added)
		io_uring_buf_ring_advance(b->ring, (int)b->added);
	b->added = 0;
}
