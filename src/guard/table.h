/* internal: the tables of the limiters: what each key has used, in fixed memory, for all threads. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_TABLE_H
#define SLUICE_GUARD_TABLE_H

#include <stdatomic.h>
#include <stddef.h>

#include "guard/rate.h"

/*
 * A key belongs into one bucket, chosen by its hash, and there into any of GUARD_WAYS places. A bucket has a lock of its
 * own, held for some ten nanoseconds, and never while anything else is waited for: threads meet only when they ask for
 * keys of the same bucket at the same time. Places are a third more than keys_max, so that few buckets are full
 * before the table is.
 *
 * When a bucket is full, the key that owes least goes; most of the time it owes nothing, and nothing is lost. What the worst of
 * those that were evicted owed is kept as the bucket's floor, and whoever is not in the bucket starts there. So no key ever gets
 * more than its rate by being evicted, whoever floods the table; and the price is paid by newcomers to a bucket in
 * which everybody owes something, not by those who are in it.
 */
#define GUARD_WAYS 11

struct guard_bucket {
	_Alignas(64) _Atomic uint32_t lock;
	uint32_t tags[GUARD_WAYS]; /* the low half of the key; 0: free */
	guard_u128 floor;
	guard_u128 states[GUARD_WAYS];
};
_Static_assert(sizeof(struct guard_bucket) == 256, "four cache lines");

struct guard_table {
	struct guard_bucket *buckets;
	uint32_t bucket_count;
};

/* 0 or -ENOMEM. Memory that was never used is not resident. */
int guard_table_init(struct guard_table *, uint32_t keys_max);
void guard_table_destroy(struct guard_table *);
size_t guard_table_bytes(const struct guard_table *);

/* The place of a key between lock and unlock. What *state says is the key's; of one that is not there, the floor. */
struct guard_place {
	struct guard_bucket *bucket;
	guard_u128 *state; /* in its place, or `newcomer` */
	guard_u128 newcomer;
	uint32_t tag;
	int way; /* -1: it is not there */
};
void guard_table_lock(const struct guard_table *, uint64_t key, struct guard_place *);
/* Lets it go. A newcomer is forgotten. */
void guard_table_unlock(struct guard_place *);
enum guard_stored {
	GUARD_STORED,
	GUARD_STORED_NEW, /* in a free place */
	GUARD_STORED_REPLACE /* of a key that owed nothing any more */,
	GUARD_STORED_EVICT /* of one that owed something */
};
/* Keeps a newcomer too, and lets it go. */
enum guard_stored guard_table_store(struct guard_place *, const struct guard_rate *,
				    uint64_t now_ns);

/*
 * How many at a time. What is held cannot be evicted: of a bucket that is full, all others are counted together, until the
 * last of them has left. Too many are never let in.
 */
#define GUARD_HOLD_WAYS 7

struct guard_holds {
	struct guard_hold_bucket *buckets;
	uint32_t bucket_count;
};
int guard_holds_init(struct guard_holds *, uint32_t keys_max);
void guard_holds_destroy(struct guard_holds *);
size_t guard_holds_bytes(const struct guard_holds *);
bool guard_holds_enter(const struct guard_holds *, uint64_t key, uint32_t max);
/* After guard_holds_enter said true. */
void guard_holds_leave(const struct guard_holds *, uint64_t key);

#endif
