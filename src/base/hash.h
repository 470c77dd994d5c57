/* internal: open-addressing hash table from bytes to pointers, and the keyed hash behind it. */
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Keyed at process start from getrandom, so that peers cannot aim at buckets (hash flooding). */
uint64_t hash_bytes(const void *, size_t);
/* The same with a fixed key, for results that must not change between runs (consistent hashing). */
uint64_t hash_bytes_fixed(const void *, size_t, uint64_t key);

struct hash_slot {
	uint64_t hash;  /* 0: free */
	struct str key; /* owned by the value's owner; must live as long as the entry */
	void *value;
};

/* Linear probing with backward-shift deletion; grows at 3/4 full up to count_max entries. One thread. */
struct hash {
	struct hash_slot *slots;
	uint32_t mask, count, count_max;
};

/* count_max 0: bounded by memory alone. */
void hash_init(struct hash *, uint32_t count_max);
void hash_destroy(struct hash *);
void *hash_get(const struct hash *, struct str key);
/* With hash_bytes(key) known to the caller. */
void *hash_get_hashed(const struct hash *, struct str key, uint64_t hash);
/* 0; -EEXIST; -ENOSPC at count_max; -ENOMEM. value is not NULL. */
int hash_put(struct hash *, struct str key, void *value);
/* The removed value, or NULL. */
void *hash_del(struct hash *, struct str key);

#endif
