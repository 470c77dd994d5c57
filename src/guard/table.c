// SPDX-License-Identifier: Apache-2.0
#include "guard/table.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "base/compiler.h"

/* Tables from this size on are worth large pages: most of the cost of a cold key is the walk to its page. */
#define TABLE_HUGE_BYTES (8u << 20)
/* Turns before a thread lets another one run, which may hold the lock and have been interrupted. */
#define LOCK_SPINS 128

static void *table_map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (bytes >= TABLE_HUGE_BYTES)
		(void)madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static SL_COLD void lock_wait(_Atomic uint32_t *lock)
{
	for (unsigned spins = 1;; spins++) {
		if (!atomic_load_explicit(lock, memory_order_relaxed) &&
		    !atomic_exchange_explicit(lock, 1, memory_order_acquire))
			return;
		if (spins % LOCK_SPINS)
			pause_briefly();
		else
			(void)sched_yield();
	}
}

static inline void lock_take(_Atomic uint32_t *lock)
{
	if (SL_UNLIKELY(atomic_exchange_explicit(lock, 1, memory_order_acquire)))
		lock_wait(lock);
}

static inline void lock_release(_Atomic uint32_t *lock)
{
	atomic_store_explicit(lock, 0, memory_order_release);
}

/* The high half of a key chooses the bucket, the low half tells the keys in it apart. */
static inline uint32_t bucket_of(uint64_t key, uint32_t count)
{
	return (uint32_t)((key >> 32) * count >> 32);
}

static inline uint32_t tag_of(uint64_t key)
{
	uint32_t tag = (uint32_t)key;

	return tag ? tag : 1;
}

typedef uint32_t tags4 __attribute__((vector_size(16)));

/* Which of four tags it is, as bits from `at` on; some of them set in each lane. */
static inline tags4 tags_match(const uint32_t *tags, unsigned at, uint32_t tag)
{
	const tags4 bits = {1u << at, 2u << at, 4u << at, 8u << at};
	tags4 four;

	memcpy(&four, tags + at, sizeof(four));
	return (tags4)(four == tag) & bits;
}

/*
 * The index, or -1, among n: 4 to 12. Without a branch on what is found, which nobody could predict, so that a processor
 * need not wait for the memory of one key before it goes on to the next.
 */
static inline int tag_find(const uint32_t *tags, unsigned n, uint32_t tag)
{
	tags4 found = tags_match(tags, 0, tag) | tags_match(tags, SL_MIN(4, n - 4), tag) |
		      tags_match(tags, n - 4, tag);

	return __builtin_ffs((int)(found[0] | found[1] | found[2] | found[3])) - 1;
}

int guard_table_init(struct guard_table *t, uint32_t keys_max)
{
	uint64_t places = ((uint64_t)keys_max * 4 + 2) / 3;

	t->bucket_count = (uint32_t)((places + GUARD_WAYS - 1) / GUARD_WAYS);
	t->buckets = table_map(guard_table_bytes(t));
	return t->buckets ? 0 : -ENOMEM;
}

void guard_table_destroy(struct guard_table *t)
{
	if (t->buckets)
		(void)munmap(t->buckets, guard_table_bytes(t));
	*t = (struct guard_table){0};
}

size_t guard_table_bytes(const struct guard_table *t)
{
	return (size_t)t->bucket_count * sizeof(struct guard_bucket);
}

void guard_table_lock(const struct guard_table *t, uint64_t key, struct guard_place *place)
{
	struct guard_bucket *b = &t->buckets[bucket_of(key, t->bucket_count)];

	/* The lines of a cold bucket are fetched side by side. */
	__builtin_prefetch(&b->states[0], 1);
	__builtin_prefetch(&b->states[4], 1);
	__builtin_prefetch(&b->states[8], 1);
	lock_take(&b->lock);
	place->bucket = b;
	place->tag = tag_of(key);
	place->way = tag_find(b->tags, GUARD_WAYS, place->tag);
	if (SL_LIKELY(place->way >= 0)) {
		place->state = &b->states[place->way];
	} else {
		place->newcomer = b->floor;
		place->state = &place->newcomer;
	}
}

void guard_table_unlock(struct guard_place *place)
{
	lock_release(&place->bucket->lock);
	place->bucket = NULL;
}

/* A place for a newcomer to a bucket that is full. */
static enum guard_stored place_evict(struct guard_place *place, const struct guard_rate *rate,
				     uint64_t now_ns)
{
	struct guard_bucket *b = place->bucket;
	guard_u128 least = guard_rate_owed(rate, b->states[0], now_ns);

	place->way = 0;
	for (int i = 1; i < GUARD_WAYS && least; i++) {
		guard_u128 owed = guard_rate_owed(rate, b->states[i], now_ns);
		if (owed < least) {
			least = owed;
			place->way = i;
		}
	}
	/* Also when nothing is owed any more: by a clock that is late it may be. */
	b->floor = guard_rate_worse(rate, b->floor, b->states[place->way]);
	return least ? GUARD_STORED_EVICT : GUARD_STORED_REPLACE;
}

enum guard_stored guard_table_store(struct guard_place *place, const struct guard_rate *rate,
				    uint64_t now_ns)
{
	struct guard_bucket *b = place->bucket;
	enum guard_stored how = GUARD_STORED;

	if (SL_UNLIKELY(place->way < 0)) {
		how = GUARD_STORED_NEW;
		place->way = tag_find(b->tags, GUARD_WAYS, 0);
		if (place->way < 0)
			how = place_evict(place, rate, now_ns);
		b->tags[place->way] = place->tag;
		b->states[place->way] = place->newcomer;
	}
	guard_table_unlock(place);
	return how;
}

/* Holds. */

struct guard_hold_bucket {
	_Alignas(64) _Atomic uint32_t lock;
	uint32_t others; /* holds of keys that found no place */
	uint32_t tags[GUARD_HOLD_WAYS];
	uint32_t counts[GUARD_HOLD_WAYS];
};
_Static_assert(sizeof(struct guard_hold_bucket) == 64, "one cache line");

int guard_holds_init(struct guard_holds *h, uint32_t keys_max)
{
	/* Twice as many places: here a full bucket is felt. */
	h->bucket_count =
		(uint32_t)(((uint64_t)keys_max * 2 + GUARD_HOLD_WAYS - 1) / GUARD_HOLD_WAYS);
	h->buckets = table_map(guard_holds_bytes(h));
	return h->buckets ? 0 : -ENOMEM;
}

void guard_holds_destroy(struct guard_holds *h)
{
	if (h->buckets)
		(void)munmap(h->buckets, guard_holds_bytes(h));
	*h = (struct guard_holds){0};
}

size_t guard_holds_bytes(const struct guard_holds *h)
{
	return (size_t)h->bucket_count * sizeof(struct guard_hold_bucket);
}

/*
 * The counter that is the key's. A key is never in both: while `others` counts anybody, nobody new gets a place, for he
 * may be one of them.
 */
static uint32_t *hold_counter(struct guard_hold_bucket *b, uint32_t tag)
{
	int way = tag_find(b->tags, GUARD_HOLD_WAYS, tag);

	if (way < 0 && !b->others) {
		way = tag_find(b->tags, GUARD_HOLD_WAYS, 0);
		if (way >= 0)
			b->tags[way] = tag;
	}
	return way < 0 ? &b->others : &b->counts[way];
}

bool guard_holds_enter(const struct guard_holds *h, uint64_t key, uint32_t max)
{
	struct guard_hold_bucket *b = &h->buckets[bucket_of(key, h->bucket_count)];

	assert(max);
	lock_take(&b->lock);
	uint32_t *count = hold_counter(b, tag_of(key));
	bool entered = *count < max;
	if (entered)
		++*count;
	lock_release(&b->lock);
	return entered;
}

void guard_holds_leave(const struct guard_holds *h, uint64_t key)
{
	struct guard_hold_bucket *b = &h->buckets[bucket_of(key, h->bucket_count)];

	lock_take(&b->lock);
	int way = tag_find(b->tags, GUARD_HOLD_WAYS, tag_of(key));
	uint32_t *count = way < 0 ? &b->others : &b->counts[way];
	assert(*count);
	if (!--*count && way >= 0)
		b->tags[way] = 0;
	lock_release(&b->lock);
}
