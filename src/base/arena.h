/* internal: bump allocation for memory that dies together (one stream, one configuration). */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define ARENA_BLOCK_BYTES 4096

struct arena_block;

/*
 * Blocks of ARENA_BLOCK_BYTES come from a pool of the thread; larger requests have a block of their own.
 * `limit` bounds the sum (0: no bound). Made on one thread and freed there, unless `shared` is set at
 * init: then blocks come from malloc and the arena may be freed by another thread (configuration).
 */
struct arena {
	uint8_t *at, *end;
	struct arena_block *blocks;
	size_t total, limit;
	uint8_t shared;
};

void arena_init(struct arena *, size_t limit);
void arena_init_shared(struct arena *);
/* Aligned to 16. NULL when the limit or memory is exhausted. Not zeroed. */
void *arena_alloc_slow(struct arena *, size_t);
void *arena_zalloc(struct arena *, size_t);
/* A terminated copy; .p is NULL on exhaustion. */
struct str arena_dup(struct arena *, struct str);
/* A terminated string, or STR_NONE on exhaustion. */
struct str arena_printf(struct arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_free(struct arena *);

static inline void *arena_alloc(struct arena *a, size_t n)
{
	n = (n + 15) & ~(size_t)15;
	if (__builtin_expect((size_t)(a->end - a->at) < n, 0))
		return arena_alloc_slow(a, n);
	void *p = a->at;
	a->at += n;
	return p;
}

#endif
