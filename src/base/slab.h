/* internal: typed pools of equal objects; one pool belongs to one thread. */
#ifndef SLUICE_BASE_SLAB_H
#define SLUICE_BASE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab_page;

/*
 * Objects of one size, aligned to 16 (to 64 when the size is a multiple of 64). The last freed is the first
 * given, so a busy pool stays in the cache. Pages go back to the system when whole and when more than
 * `keep` objects are free. Under AddressSanitizer free objects are poisoned.
 * Usually: static _Thread_local struct slab pool = SLAB_INIT("conn", sizeof(struct conn), 64);
 */
struct slab {
	const char *name;
	uint32_t size, keep;
	uint32_t used, free;
	struct slab_page *partial; /* pages with free objects */
	size_t pages;
};

#define SLAB_INIT(name_, size_, keep_)                            \
	{                                                         \
		.name = (name_), .size = (size_), .keep = (keep_) \
	}

/* Uninitialised memory, or NULL when the system has none: the caller refuses its work. */
void *slab_alloc(struct slab *);
/* Zeroed. */
void *slab_zalloc(struct slab *);
/* `object` came from this slab; NULL is allowed. */
void slab_free(struct slab *, void *object);
/* Gives back every page. Nothing may be in use. */
void slab_destroy(struct slab *);

#endif
