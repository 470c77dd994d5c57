// SPDX-License-Identifier: Apache-2.0
#include "upstream/window.h"

#include "base/clock.h"
#include "base/compiler.h"

/* A bucket: its time, 22 bits, then requests, failures and slow ones, 14 bits each. */
#define COUNT_BITS 14
#define TICK_SHIFT (3 * COUNT_BITS)
#define TICK_MASK ((1u << 22) - 1)
#define COUNT_MASK WINDOW_COUNT_MAX
#define ONE_REQUEST (1ull << 2 * COUNT_BITS)
#define ONE_FAILURE (1ull << COUNT_BITS)
#define ONE_SLOW 1ull
/* What is left of each count when it is shifted right by one: without the bit of its neighbour. */
#define HALF_MASK 0x1fffull
#define HALVES (HALF_MASK << 2 * COUNT_BITS | HALF_MASK << COUNT_BITS | HALF_MASK)
/* A bucket that is ahead of us by less than this belongs to a thread with a later clock; else it is a very old one. */
#define AHEAD_TICKS_MAX 1024u

static uint64_t tick_of(uint32_t window_ms, uint64_t now_ns)
{
	return now_ns / (window_ms * (CLOCK_NS_PER_MS / WINDOW_BUCKETS));
}

static uint32_t requests_of(uint64_t word)
{
	return (uint32_t)(word >> 2 * COUNT_BITS) & COUNT_MASK;
}

static uint64_t halved(uint64_t word)
{
	uint64_t counts = word & ((1ull << TICK_SHIFT) - 1);

	return (word - counts) | (counts >> 1 & HALVES);
}

void window_add(struct window *w, uint32_t window_ms, uint64_t now_ns, bool failed, bool slow)
{
	uint64_t tick = tick_of(window_ms, now_ns), next;
	uint32_t mine = (uint32_t)tick & TICK_MASK;
	_Atomic uint64_t *bucket = &w->buckets[tick % WINDOW_BUCKETS];
	uint64_t word = atomic_load_explicit(bucket, memory_order_relaxed);

	do {
		uint32_t its = (uint32_t)(word >> TICK_SHIFT);

		if (its == mine)
			next = requests_of(word) < WINDOW_COUNT_MAX ? word : halved(word);
		else if (requests_of(word) && ((its - mine) & TICK_MASK) < AHEAD_TICKS_MAX)
			return;
		else
			next = (uint64_t)mine << TICK_SHIFT;
		next += ONE_REQUEST + (failed ? ONE_FAILURE : 0) + (slow ? ONE_SLOW : 0);
	} while (!atomic_compare_exchange_weak_explicit(bucket, &word, next, memory_order_relaxed,
							memory_order_relaxed));
}

struct window_sum window_sum(const struct window *w, uint32_t window_ms, uint64_t now_ns)
{
	uint32_t now = (uint32_t)tick_of(window_ms, now_ns) & TICK_MASK;
	struct window_sum sum = {0};

	for (unsigned i = 0; i < WINDOW_BUCKETS; i++) {
		uint64_t word = atomic_load_explicit(&w->buckets[i], memory_order_relaxed);

		if (((now - (uint32_t)(word >> TICK_SHIFT)) & TICK_MASK) >= WINDOW_BUCKETS)
			continue;
		sum.requests += requests_of(word);
		sum.failures += (uint32_t)(word >> COUNT_BITS) & COUNT_MASK;
		sum.slow += (uint32_t)word & COUNT_MASK;
	}
	return sum;
}

void window_clear(struct window *w)
{
	for (unsigned i = 0; i < WINDOW_BUCKETS; i++)
		atomic_store_explicit(&w->buckets[i], 0, memory_order_relaxed);
}
