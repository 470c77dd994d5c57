/* internal: typed pools of equal objects; one pool belongs to one thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_SLAB_H
#define SLUICE_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define SLAB_OBJECT_BYTES_MAX 65536
/* Free objects that wait in a pool's stack. Each may hold back a page, hence few. */
#define SLAB_HOT_MAX 16

struct slab_page;
struct slab_object {
	struct slab_object *next;
};

/*
 * Objects of one size, aligned to 8 (to 16 or 64 when the size is a multiple of that, to a memory page when it is
 * a multiple of that): an object of 488 bytes costs 488. A few free objects wait in a stack: the last freed is the first given, so a busy
 * pool stays in the cache. Others return to their page, and a whole page returns to the system when at
 * least `keep` free objects remain without it. Memory of a page that was never given out is never touched.
 * Usually: static _Thread_local struct slab pool = SLAB_INIT("conn", sizeof(struct conn), 64);
 *
 * Under AddressSanitizer every object is a block of malloc instead, so that a use after free, an overrun
 * and a leak are shown with the place that allocated the object.
 */
struct slab {
	struct slab_object *hot;
	uint16_t hot_count, hot_max;
	uint8_t listed;
	uint32_t used;     /* objects given out */
	uint32_t capacity; /* objects in all pages: capacity - used are free */
	uint32_t keep, size, pages;
	struct slab_page *partial; /* pages that hold free objects of their own */
	const char *name;
	struct slab *next; /* of this thread */
};

#define SLAB_INIT(name_, size_, keep_)                             \
	{                                                          \
		.name = (name_), .size = (size_), .keep = (keep_), \
		.hot_max = SL_MIN((keep_), SLAB_HOT_MAX)           \
	}

/* Zeroed; or NULL as slab_alloc. */
void *slab_zalloc(struct slab *);
/* Gives back every page. Nothing may be in use. */
void slab_destroy(struct slab *);

/* All pools of the calling thread that ever held a page, to show them: slab_first(), then ->next. */
struct slab *slab_first(void);
/* Destroys those pools of the calling thread that have nothing in use. The number of objects still in use. */
size_t slab_thread_exit(void);

void *slab_alloc_slow(struct slab *);
void slab_free_slow(struct slab *, void *object);

/* Uninitialised memory, or NULL when the system has none: the caller refuses its work. */
static inline void *slab_alloc(struct slab *s)
{
	struct slab_object *o = s->hot;

	if (SL_UNLIKELY(!o))
		return slab_alloc_slow(s);
	s->hot = o->next;
	s->hot_count--;
	s->used++;
	return o;
}

/* `object` came from this slab, on this thread; NULL is allowed. */
static inline void slab_free(struct slab *s, void *object)
{
	struct slab_object *o = object;

	if (SL_ASAN || SL_UNLIKELY(!o || s->hot_count >= s->hot_max)) {
		slab_free_slow(s, object);
		return;
	}
	o->next = s->hot;
	s->hot = o;
	s->hot_count++;
	s->used--;
}

#endif
