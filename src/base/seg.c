// SPDX-License-Identifier: Apache-2.0
#include "base/seg.h"

#include <assert.h>
#include <errno.h>

#include "base/slab.h"

/* What a thread holds ready after a peak: 4 MiB of buffers, and the nodes of a thousand segments. */
#define BUF_KEEP 256
#define NODE_KEEP 1024

static _Thread_local struct slab buf_pool = SLAB_INIT("buf", BUF_BYTES, BUF_KEEP);
static _Thread_local struct slab node_pool =
	SLAB_INIT("seg_node", sizeof(struct seg_node), NODE_KEEP);

void seg_advance(struct seg *s, size_t n)
{
	assert(n <= s->len);
	s->len -= n;
	if (s->kind == SEG_MEM)
		s->u.mem += n;
	else if (s->kind == SEG_FILE)
		s->u.file.off += (off_t)n;
}

static void buf_free(struct seg_owner *owner)
{
	slab_free(&buf_pool, SL_CONTAINER(owner, struct buf, owner));
}

struct buf *buf_alloc(void)
{
	struct buf *b = slab_alloc(&buf_pool);

	if (!b)
		return NULL;
	b->owner.refs = 1;
	b->owner.free = buf_free;
	b->start = b->end = 0;
	return b;
}

static inline bool continues(const struct seg *last, const struct seg *s)
{
	return last->kind == SEG_MEM && s->kind == SEG_MEM && last->owner == s->owner &&
	       last->u.mem + last->len == s->u.mem;
}

int seg_chain_append(struct seg_chain *c, struct seg s)
{
	if (s.len == 0) {
		seg_release(&s);
		return 0;
	}
	if (c->tail && continues(&c->tail->seg, &s)) {
		c->tail->seg.len += s.len;
		c->bytes += s.len;
		/* The node holds a reference already, so this is never the last one. */
		seg_release(&s);
		return 0;
	}

	struct seg_node *node = slab_alloc(&node_pool);

	if (!node)
		return -ENOMEM;
	node->next = NULL;
	node->seg = s;
	if (c->tail)
		c->tail->next = node;
	else
		c->head = node;
	c->tail = node;
	c->bytes += s.len;
	return 0;
}

bool seg_chain_take(struct seg_chain *c, struct seg *out)
{
	struct seg_node *node = c->head;

	if (!node)
		return false;
	*out = node->seg;
	c->bytes -= node->seg.len;
	c->head = node->next;
	if (!c->head)
		c->tail = NULL;
	slab_free(&node_pool, node);
	return true;
}

void seg_chain_consume(struct seg_chain *c, size_t n)
{
	assert(n <= c->bytes);
	while (n && n >= c->head->seg.len) {
		struct seg s;

		n -= c->head->seg.len;
		seg_chain_take(c, &s);
		seg_release(&s);
	}
	if (n) {
		seg_advance(&c->head->seg, n);
		c->bytes -= n;
	}
}

void seg_chain_clear(struct seg_chain *c)
{
	seg_chain_consume(c, c->bytes);
}
