// SPDX-License-Identifier: Apache-2.0
#include "base/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/thread.h"

/* Pages are aligned to their own size, so that an object finds its page by masking its address. */
#define PAGE_BYTES 65536u
#define PAGE_BYTES_LARGE 262144u
#define LARGE_OBJECT_BYTES 4096u
#define MEMORY_PAGE_BYTES 4096u

struct slab_page {
	struct slab_page *next, *prev;
	struct slab_object *free;
	uint32_t used;  /* objects that are not here: given out, or waiting in the pool's stack */
	uint32_t fresh; /* objects from here on were never given out */
};

static _Thread_local struct slab *thread_slabs;

static inline uint32_t stride_of(const struct slab *s)
{
	return (s->size + 7) & ~7u;
}

static inline uint32_t page_bytes(const struct slab *s)
{
	return s->size > LARGE_OBJECT_BYTES ? PAGE_BYTES_LARGE : PAGE_BYTES;
}

static inline uint32_t first_offset(const struct slab *s)
{
	return s->size % MEMORY_PAGE_BYTES ? 64 : MEMORY_PAGE_BYTES;
}

static inline uint32_t page_count(const struct slab *s)
{
	return (page_bytes(s) - first_offset(s)) / stride_of(s);
}

static void list_slab(struct slab *s)
{
	if (s->listed)
		return;
	assert(s->size > 0 && s->size <= SLAB_OBJECT_BYTES_MAX);
	s->listed = 1;
	s->next = thread_slabs;
	thread_slabs = s;
}

static void unlist_slab(struct slab *s)
{
	struct slab **at = &thread_slabs;

	if (!s->listed)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->next = NULL;
	s->listed = 0;
}

static void page_link(struct slab *s, struct slab_page *page)
{
	page->prev = NULL;
	page->next = s->partial;
	if (page->next)
		page->next->prev = page;
	s->partial = page;
}

static void page_unlink(struct slab *s, struct slab_page *page)
{
	if (page->prev)
		page->prev->next = page->next;
	else
		s->partial = page->next;
	if (page->next)
		page->next->prev = page->prev;
	page->next = page->prev = NULL;
}

static void *map_bytes(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void *map_aligned(size_t bytes)
{
	/* The kernel places mappings side by side, so that after the first one the plain call is mostly enough. */
	uint8_t *p = map_bytes(bytes);

	if (!p || ((uintptr_t)p & (bytes - 1)) == 0)
		return p;
	munmap(p, bytes);
	p = map_bytes(2 * bytes);
	if (!p)
		return NULL;

	size_t before = -(uintptr_t)p & (bytes - 1);

	if (before)
		munmap(p, before);
	munmap(p + before + bytes, bytes - before);
	return p + before;
}

static struct slab_page *page_new(struct slab *s)
{
	struct slab_page *page = map_aligned(page_bytes(s));

	if (!page)
		return NULL;
	list_slab(s);
	/* The mapping is zeroed: nothing is used, nothing was given out. */
	page_link(s, page);
	s->pages++;
	s->capacity += page_count(s);
	return page;
}

static void page_release(struct slab *s, struct slab_page *page)
{
	page_unlink(s, page);
	if (munmap(page, page_bytes(s))) {
		/* A hole needs one mapping more than the process may have: the page stays ours. */
		page_link(s, page);
		return;
	}
	s->pages--;
	s->capacity -= page_count(s);
}

static void page_put(struct slab *s, struct slab_object *o)
{
	struct slab_page *page = (void *)((uintptr_t)o & ~(uintptr_t)(page_bytes(s) - 1));

	assert(page->used > 0);
	o->next = page->free;
	page->free = o;
	if (page->used-- == page_count(s))
		page_link(s, page);
	if (page->used == 0 && s->capacity - page_count(s) >= s->used + s->keep)
		page_release(s, page);
}

static void *page_take(struct slab *s, struct slab_page *page)
{
	struct slab_object *o = page->free;

	if (o)
		page->free = o->next;
	else
		o = (void *)((uint8_t *)page + first_offset(s) +
			     (size_t)page->fresh++ * stride_of(s));
	if (++page->used == page_count(s))
		page_unlink(s, page);
	return o;
}

static void *block_alloc(struct slab *s)
{
	size_t align = s->size % 64 ? 16 : 64;
	void *p = NULL;

	list_slab(s);
	if (s->size % MEMORY_PAGE_BYTES == 0)
		align = MEMORY_PAGE_BYTES;
	return posix_memalign(&p, align, s->size) ? NULL : p;
}

void *slab_alloc_slow(struct slab *s)
{
	void *object;

	if (SL_ASAN) {
		object = block_alloc(s);
	} else {
		struct slab_page *page = s->partial ? s->partial : page_new(s);

		object = page ? page_take(s, page) : NULL;
	}
	if (object)
		s->used++;
	return object;
}

void *slab_zalloc(struct slab *s)
{
	void *object = slab_alloc(s);

	if (object)
		memset(object, 0, s->size);
	return object;
}

void slab_free_slow(struct slab *s, void *object)
{
	if (!object)
		return;
	assert(s->used > 0);
	s->used--;
	if (SL_ASAN)
		free(object);
	else
		page_put(s, object);
}

void slab_destroy(struct slab *s)
{
	assert(s->used == 0);
	/* With nothing to keep, a page goes with its last object. */
	uint32_t keep = s->keep;

	s->keep = 0;
	while (s->hot) {
		struct slab_object *o = s->hot;

		s->hot = o->next;
		s->hot_count--;
		page_put(s, o);
	}
	while (s->partial && s->partial->used == 0) {
		uint32_t pages = s->pages;

		page_release(s, s->partial);
		if (s->pages == pages)
			break;
	}
	s->keep = keep;
	unlist_slab(s);
}

struct slab *slab_first(void)
{
	return thread_slabs;
}

size_t slab_thread_exit(void)
{
	size_t used = 0;

	for (struct slab *s = thread_slabs, *next; s; s = next) {
		next = s->next;
		used += s->used;
		if (s->used == 0)
			slab_destroy(s);
	}
	return used;
}

static _Thread_local struct base_thread_hook *thread_hooks;

void base_thread_at_exit(struct base_thread_hook *hook)
{
	hook->next = thread_hooks;
	thread_hooks = hook;
}

size_t base_thread_exit(void)
{
	struct base_thread_hook *hook;

	while ((hook = thread_hooks) != NULL) {
		thread_hooks = hook->next;
		hook->run();
	}
	return slab_thread_exit();
}
