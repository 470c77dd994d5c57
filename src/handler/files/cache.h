/* internal: the open-file cache of one route in one worker, bounded in entries, bytes and descriptors. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_CACHE_H
#define SLUICE_HANDLER_FILES_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "base/str.h"
#include "handler/files/rep.h"

/*
 * One file by its path below the root, with its representations. Counted: the cache, requests that make or
 * await it, and compression hold it.
 */
struct file_entry {
	uint32_t refs;
	bool cached;         /* in the table */
	bool hidden;         /* reached through the configuration only; no request may name it */
	bool used;           /* since the clock's hand last passed */
	uint8_t offered;     /* mask of codings that a client may be given */
	uint8_t compressing; /* mask of codings that are being made */
	uint8_t refused;     /* mask of codings that did not make it smaller */
	uint32_t fds;        /* charged to the cache */
	uint64_t bytes;
	uint64_t fresh_until_ns;                  /* trusted without asking the folder */
	struct file_rep *reps[HTTP_CODING_COUNT]; /* reps[HTTP_IDENTITY] is never NULL */
	struct list waiters;                      /* requests that await a coding */
	struct list clock;
	struct str key;
};

/* One reference, not in any cache; takes over `identity`. NULL without memory. */
struct file_entry *file_entry_new(struct str key, struct file_rep *identity);
void file_entry_unref(struct file_entry *);

/* A hot path of few files finds them here, for a fraction of what the keyed hash costs. A power of two. */
#define FILE_CACHE_RECENT 64

/*
 * The eviction is the clock's: entries used since the hand last passed get another round. Counters are for
 * `status` and tests.
 */
struct file_cache {
	struct hash table;
	struct file_entry
		*recent[FILE_CACHE_RECENT]; /* in the table too; at most one for each slot */
	struct list clock;                  /* the hand is at its head */
	uint32_t entries_max, fds_max;
	uint64_t bytes_max;
	uint32_t fds;
	uint64_t bytes;
	uint64_t hits, misses, evictions;
};

/* fds_max bounds the descriptors that entries keep open. entries_max 0: nothing is kept. */
void file_cache_init(struct file_cache *, uint32_t entries_max, uint32_t fds_max,
		     uint64_t bytes_max);
void file_cache_clear(struct file_cache *);
/* The entry, fresh or not, without a reference; NULL. */
struct file_entry *file_cache_get(struct file_cache *, struct str key);
/* Adds it (with a reference of the cache's own) in place of one with the same key, and evicts down to the limits. */
void file_cache_put(struct file_cache *, struct file_entry *);
/* Takes it out. Harmless when it is not in. */
void file_cache_drop(struct file_cache *, struct file_entry *);
/* After the representations of an entry changed: counts them anew, and evicts down to the limits. */
void file_cache_recount(struct file_cache *, struct file_entry *);
/* Frees about `count` descriptors for somebody who ran out. The number freed. */
unsigned file_cache_shed_fds(struct file_cache *, unsigned count);

#endif
