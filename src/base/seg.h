/* internal: segments (bytes that say what they are), pooled buffers, and chains of segments. */
#ifndef SLUICE_BASE_SEG_H
#define SLUICE_BASE_SEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/* A set of these in an `unsigned kinds` says what a consumer can take. */
enum seg_kind { SEG_MEM = 1, SEG_FILE = 2, SEG_PIPE = 4 };
#define SEG_ALL (SEG_MEM | SEG_FILE | SEG_PIPE)

/*
 * Keeps the bytes of segments alive. The count is not atomic: an owner and its segments live on one
 * thread. `free` is called when the last reference goes.
 */
struct seg_owner {
	uint32_t refs;
	void (*free)(struct seg_owner *);
};

/* Bytes inside a pipe, leased to whoever holds the segment (net/relay). */
struct pipe_lease;

struct seg {
	enum seg_kind kind;
	size_t len;
	union {
		const uint8_t *mem;
		struct {
			int fd;
			off_t off;
		} file;
		struct pipe_lease *pipe;
	} u;
	struct seg_owner *owner; /* NULL: static bytes that outlive everything */
};

static inline struct seg_owner *seg_owner_ref(struct seg_owner *o)
{
	if (o)
		o->refs++;
	return o;
}

static inline void seg_owner_unref(struct seg_owner *o)
{
	if (o && --o->refs == 0)
		o->free(o);
}

/* Takes over the caller's reference to `owner`. */
static inline struct seg seg_mem(const void *p, size_t len, struct seg_owner *owner)
{
	return (struct seg){.kind = SEG_MEM, .len = len, .u.mem = p, .owner = owner};
}

static inline struct seg seg_file(int fd, off_t off, size_t len, struct seg_owner *owner)
{
	return (struct seg){.kind = SEG_FILE, .len = len, .u.file = {fd, off}, .owner = owner};
}

static inline void seg_release(struct seg *s)
{
	seg_owner_unref(s->owner);
	s->owner = NULL;
	s->len = 0;
}

/*
 * Drops the first n <= len bytes; the owner stays. Of a SEG_PIPE only the length shrinks: the caller has taken
 * those bytes out of the pipe.
 */
void seg_advance(struct seg *, size_t n);

/* 16 KiB with its header; pooled by thread. Filled from `start` to `end`. */
#define BUF_BYTES 16384

struct buf {
	struct seg_owner owner;
	uint32_t start, end;
	uint8_t data[];
};
#define BUF_CAPACITY (BUF_BYTES - (unsigned)sizeof(struct buf))

/* One reference, empty; NULL without memory. */
struct buf *buf_alloc(void);
static inline void buf_unref(struct buf *b)
{
	if (b)
		seg_owner_unref(&b->owner);
}

/*
 * Segments in order. Appending takes over the segment's reference; a MEM segment that continues the bytes
 * of the last one under the same owner is merged. Nodes are pooled by thread.
 */
struct seg_node {
	struct seg_node *next;
	struct seg seg;
};

struct seg_chain {
	struct seg_node *head, *tail;
	size_t bytes;
};

/* 0 or -ENOMEM; on failure the segment is still the caller's. An empty segment is released at once. */
int seg_chain_append(struct seg_chain *, struct seg);
/* Releases the first n bytes, n <= bytes. */
void seg_chain_consume(struct seg_chain *, size_t n);
/* Moves the first segment out to the caller. False when empty. */
bool seg_chain_take(struct seg_chain *, struct seg *);
void seg_chain_clear(struct seg_chain *);

#endif
