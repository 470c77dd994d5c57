// SPDX-License-Identifier: Apache-2.0
#include "handler/files/cache.h"

#include <assert.h>
#include <stdlib.h>

struct file_entry *file_entry_new(struct str key, struct file_rep *identity)
{
	struct file_entry *entry = malloc(sizeof(*entry) + key.len);

	if (!entry)
		return NULL;
	*entry = (struct file_entry){.refs = 1, .offered = 1u << HTTP_IDENTITY};
	entry->reps[HTTP_IDENTITY] = identity;
	list_init(&entry->waiters);
	list_init(&entry->clock);
	memcpy(entry + 1, key.p, key.len);
	entry->key = (struct str){(const char *)(entry + 1), key.len};
	return entry;
}

void file_entry_unref(struct file_entry *entry)
{
	if (!entry || --entry->refs > 0)
		return;
	assert(!entry->cached);
	assert(list_empty(&entry->waiters));
	for (unsigned i = 0; i < HTTP_CODING_COUNT; i++)
		file_rep_unref(entry->reps[i]);
	free(entry);
}

void file_cache_init(struct file_cache *cache, uint32_t entries_max, uint32_t fds_max,
		     uint64_t bytes_max)
{
	*cache = (struct file_cache){
		.entries_max = entries_max,
		.fds_max = fds_max,
		.bytes_max = bytes_max,
	};
	hash_init(&cache->table, entries_max);
	list_init(&cache->clock);
}

/* Any function of the key will do: who aims many keys at one slot only gets the table's own speed. */
static struct file_entry **recent_slot(struct file_cache *cache, struct str key)
{
	uint64_t first = 0, last = 0;

	if (SL_LIKELY(key.len >= sizeof(first))) {
		memcpy(&first, key.p, sizeof(first));
		memcpy(&last, key.p + key.len - sizeof(last), sizeof(last));
	} else if (key.len > 0) {
		first = (uint8_t)key.p[0];
		last = (uint8_t)key.p[key.len - 1];
	}
	uint64_t mixed = (first + last * 3 + key.len) * 0x9e3779b97f4a7c15ull;

	return &cache->recent[mixed >> 58];
}

_Static_assert(FILE_CACHE_RECENT == 1 << (64 - 58),
	       "the shift keeps as many bits as there are slots");

struct file_entry *file_cache_get(struct file_cache *cache, struct str key)
{
	struct file_entry **slot = recent_slot(cache, key);
	struct file_entry *entry = *slot;

	if (SL_LIKELY(entry && str_eq(entry->key, key)))
		return entry;
	entry = hash_get(&cache->table, key);
	if (entry)
		*slot = entry;
	return entry;
}

static void charge(struct file_cache *cache, struct file_entry *entry)
{
	entry->fds = 0;
	entry->bytes = 0;
	for (unsigned i = 0; i < HTTP_CODING_COUNT; i++) {
		const struct file_rep *rep = entry->reps[i];

		if (!rep)
			continue;
		if (rep->fd >= 0)
			entry->fds++;
		if (rep->content)
			entry->bytes += rep->size;
	}
	cache->fds += entry->fds;
	cache->bytes += entry->bytes;
}

static void discharge(struct file_cache *cache, struct file_entry *entry)
{
	cache->fds -= entry->fds;
	cache->bytes -= entry->bytes;
}

void file_cache_drop(struct file_cache *cache, struct file_entry *entry)
{
	if (!entry->cached)
		return;
	struct file_entry **slot = recent_slot(cache, entry->key);

	if (*slot == entry)
		*slot = NULL;
	hash_del(&cache->table, entry->key);
	list_del(&entry->clock);
	discharge(cache, entry);
	entry->cached = false;
	file_entry_unref(entry);
}

/* The entry that the clock gives up next; NULL when there is none. */
static struct file_entry *clock_next(struct file_cache *cache)
{
	while (!list_empty(&cache->clock)) {
		struct list *item = cache->clock.next;
		struct file_entry *entry = SL_CONTAINER(item, struct file_entry, clock);

		if (!entry->used)
			return entry;
		entry->used = false;
		list_del(item);
		list_add(&cache->clock, item);
	}
	return NULL;
}

static void evict(struct file_cache *cache)
{
	while (cache->fds > cache->fds_max || cache->bytes > cache->bytes_max) {
		struct file_entry *entry = clock_next(cache);

		if (!entry)
			return;
		cache->evictions++;
		file_cache_drop(cache, entry);
	}
}

void file_cache_put(struct file_cache *cache, struct file_entry *entry)
{
	if (cache->entries_max == 0 || entry->cached)
		return;
	struct file_entry *old = file_cache_get(cache, entry->key);

	if (old)
		file_cache_drop(cache, old);
	while (cache->table.count >= cache->entries_max) {
		cache->evictions++;
		file_cache_drop(cache, clock_next(cache));
	}
	if (hash_put(&cache->table, entry->key, entry) < 0)
		return;
	entry->refs++;
	entry->cached = true;
	entry->used = true;
	list_add(&cache->clock, &entry->clock);
	charge(cache, entry);
	evict(cache);
}

void file_cache_recount(struct file_cache *cache, struct file_entry *entry)
{
	if (!entry->cached)
		return;
	discharge(cache, entry);
	charge(cache, entry);
	evict(cache);
}

void file_cache_clear(struct file_cache *cache)
{
	while (!list_empty(&cache->clock)) {
		struct list *item = cache->clock.next;

		file_cache_drop(cache, SL_CONTAINER(item, struct file_entry, clock));
	}
	hash_destroy(&cache->table);
	hash_init(&cache->table, cache->entries_max);
}

unsigned file_cache_shed_fds(struct file_cache *cache, unsigned count)
{
	uint32_t before = cache->fds;
	uint32_t target = before > count ? before - count : 0;

	while (cache->fds > target) {
		cache->evictions++;
		file_cache_drop(cache, clock_next(cache));
	}
	return before - cache->fds;
}
