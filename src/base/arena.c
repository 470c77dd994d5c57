// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/slab.h"

#if SL_ASAN
#include <sanitizer/asan_interface.h>
/* Poisoned bytes between two allocations. */
#define GAP_BYTES 16
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define GAP_BYTES 0
#endif

struct arena_block {
	struct arena_block *next;
	bool pooled; /* else from malloc */
	bool shared; /* by many allocations: ARENA_BLOCK_BYTES long */
};
_Static_assert(sizeof(struct arena_block) % 16 == 0, "what follows is aligned to 16");

/* A request above this has a block of its own; the rest of the current block stays in use. */
#define OWN_BLOCK_BYTES (ARENA_BLOCK_BYTES / 4)

/* As many as there are streams in a turn of a busy loop: returning pages to the system each turn costs more than serving. */
#define ARENA_KEEP 1024

static _Thread_local struct slab block_pool = SLAB_INIT("arena", ARENA_BLOCK_BYTES, ARENA_KEEP);

void arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){.limit = limit};
}

void arena_init_shared(struct arena *a)
{
	*a = (struct arena){.shared = 1};
}

static struct arena_block *block_new(struct arena *a, size_t bytes, bool shared)
{
	bool pooled = shared && !a->shared;
	struct arena_block *block;

	if (a->limit && (bytes > a->limit || a->total > a->limit - bytes))
		return NULL;
	block = pooled ? slab_alloc(&block_pool) : malloc(bytes);
	if (!block)
		return NULL;
	block->pooled = pooled;
	block->shared = shared;
	block->next = a->blocks;
	a->blocks = block;
	a->total += bytes;
	return block;
}

/* n is a multiple of 16. */
static void *take(struct arena *a, size_t n)
{
	if (n <= (size_t)(a->end - a->at)) {
		void *p = a->at;

		a->at += n;
		return p;
	}
	if (n > OWN_BLOCK_BYTES) {
		struct arena_block *own = block_new(a, sizeof(*own) + n, false);

		return own ? own + 1 : NULL;
	}

	struct arena_block *block = block_new(a, ARENA_BLOCK_BYTES, true);

	if (!block)
		return NULL;
	a->at = (uint8_t *)(block + 1) + n;
	a->end = (uint8_t *)block + ARENA_BLOCK_BYTES;
	ASAN_POISON_MEMORY_REGION(block + 1, ARENA_BLOCK_BYTES - sizeof(*block));
	return block + 1;
}

void *arena_alloc_slow(struct arena *a, size_t n)
{
	if (n > PTRDIFF_MAX - ARENA_BLOCK_BYTES)
		return NULL;

	void *p = take(a, (SL_MAX(n, 1) + 15 + GAP_BYTES) & ~(size_t)15);

	if (p)
		ASAN_UNPOISON_MEMORY_REGION(p, n);
	return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p)
		memset(p, 0, n);
	return p;
}

struct str arena_dup(struct arena *a, struct str s)
{
	char *p = s.len < SIZE_MAX ? arena_alloc(a, s.len + 1) : NULL;

	if (!p)
		return STR_NONE;
	if (s.len)
		memcpy(p, s.p, s.len);
	p[s.len] = 0;
	return (struct str){p, s.len};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);

	char *p = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);

	if (!p)
		return STR_NONE;
	va_start(args, fmt);
	vsnprintf(p, (size_t)len + 1, fmt, args);
	va_end(args);
	return (struct str){p, (size_t)len};
}

void arena_free(struct arena *a)
{
	while (a->blocks) {
		struct arena_block *block = a->blocks;

		a->blocks = block->next;
		if (block->shared)
			ASAN_UNPOISON_MEMORY_REGION(block, ARENA_BLOCK_BYTES);
		if (block->pooled)
			slab_free(&block_pool, block);
		else
			free(block);
	}
	a->at = a->end = NULL;
	a->total = 0;
}
