/* internal: bump allocation for memory that dies together (one stream, one configuration). */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/str.h"

#define ARENA_BLOCK_BYTES 4096

struct arena_block;

/*
 * Blocks of ARENA_BLOCK_BYTES come from a pool of the thread; larger requests have a block of their own.
 * `limit` bounds the sum of the blocks (0: no bound). Made on one thread and freed there, unless `shared` is
 * set at init: then blocks come from malloc and the arena may be freed by another thread (configuration).
 * An empty arena holds no memory.
 */
struct arena {
	uint8_t *at, *end;
	struct arena_block *blocks;
	size_t total, limit;
	uint8_t shared;
};

void arena_init(struct arena *, size_t limit);
void arena_init_shared(struct arena *);
void *arena_zalloc(struct arena *, size_t);
/* A terminated copy; .p is NULL on exhaustion. */
struct str arena_dup(struct arena *, struct str);
/* A terminated string, or STR_NONE on exhaustion. */
struct str arena_printf(struct arena *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Frees everything at once; the arena is empty then, and may be used again. */
void arena_free(struct arena *);
void *arena_alloc_slow(struct arena *, size_t);

/* Aligned to 16. NULL when the limit or memory is exhausted. Not zeroed. */
static inline void *arena_alloc(struct arena *a, size_t n)
{
	/* Both ends are multiples of 16, so what fits also fits when rounded up; n = 0 takes the slow way. */
	if (SL_ASAN || SL_UNLIKELY(n - 1 >= (size_t)(a->end - a->at)))
		return arena_alloc_slow(a, n);

	void *p = a->at;

	a->at += (n + 15) & ~(size_t)15;
	return p;
}

#endif
