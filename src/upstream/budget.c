// SPDX-License-Identifier: Apache-2.0
#include "upstream/budget.h"

#include "base/clock.h"

/* A second: its number, 20 bits, then requests and retries, 22 bits each. */
#define COUNT_BITS 22
#define TIME_SHIFT (2 * COUNT_BITS)
#define TIME_MASK ((1u << 20) - 1)
#define ONE_REQUEST (1ull << COUNT_BITS)
#define ONE_RETRY 1ull
/* A second that is ahead of ours by less than this is that of a thread with a later clock; else a very old one. */
#define AHEAD_MAX 1024u

static uint32_t requests_of(uint64_t word)
{
	return (uint32_t)(word >> COUNT_BITS) & BUDGET_COUNT_MAX;
}

static uint32_t retries_of(uint64_t word)
{
	return (uint32_t)word & BUDGET_COUNT_MAX;
}

/* False when the count would be over its end, or the second is over for the others already. */
static bool add(struct budget *b, uint64_t second, uint32_t requests, uint32_t retries)
{
	_Atomic uint64_t *at = &b->seconds[second % BUDGET_SECONDS];
	uint64_t word = atomic_load_explicit(at, memory_order_relaxed), next;
	uint32_t mine = (uint32_t)second & TIME_MASK;

	do {
		uint32_t its = (uint32_t)(word >> TIME_SHIFT);
		bool empty = requests_of(word) == 0 && retries_of(word) == 0;

		next = word;
		if (its != mine) {
			if (!empty && ((its - mine) & TIME_MASK) < AHEAD_MAX)
				return false;
			next = (uint64_t)mine << TIME_SHIFT;
		}
		if (requests > BUDGET_COUNT_MAX - requests_of(next) ||
		    retries > BUDGET_COUNT_MAX - retries_of(next))
			return false;
		next += requests * ONE_REQUEST + retries * ONE_RETRY;
	} while (!atomic_compare_exchange_weak(at, &word, next));
	return true;
}

/* Takes back a retry that was one too many, unless its second was begun anew meanwhile. */
static void take_back(struct budget *b, uint64_t second)
{
	_Atomic uint64_t *at = &b->seconds[second % BUDGET_SECONDS];
	uint64_t word = atomic_load_explicit(at, memory_order_relaxed);

	while (word >> TIME_SHIFT == (second & TIME_MASK) && retries_of(word) > 0)
		if (atomic_compare_exchange_weak(at, &word, word - ONE_RETRY))
			return;
}

void budget_requests(struct budget *b, uint64_t now_ns, uint32_t count)
{
	add(b, now_ns / CLOCK_NS_PER_S, count, 0);
}

bool budget_retry(struct budget *b, uint32_t percent, uint64_t now_ns)
{
	uint64_t second = now_ns / CLOCK_NS_PER_S, requests = 0, retries = 0, allowed;

	/* Counted first, then looked at: who comes second of two sees both. */
	if (!add(b, second, 0, 1))
		return false;
	for (unsigned i = 0; i < BUDGET_SECONDS; i++) {
		uint64_t word = atomic_load(&b->seconds[i]);
		uint32_t age = ((uint32_t)second - (uint32_t)(word >> TIME_SHIFT)) & TIME_MASK;

		if (age >= BUDGET_SECONDS)
			continue;
		requests += requests_of(word);
		retries += retries_of(word);
	}
	allowed = requests * percent / 100;
	if (allowed < (uint64_t)BUDGET_RETRIES_MIN * BUDGET_SECONDS)
		allowed = (uint64_t)BUDGET_RETRIES_MIN * BUDGET_SECONDS;
	if (retries <= allowed)
		return true;
	take_back(b, second);
	return false;
}
