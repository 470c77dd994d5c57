// SPDX-License-Identifier: Apache-2.0
#include "base/hist.h"

#include "base/compiler.h"

#define STEPS (1u << HIST_SUB_BITS)

/* One thread writes; a reader of another thread sees each number whole, old or new. */
static inline uint64_t get(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void set(uint64_t *p, uint64_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline unsigned bucket_of(uint64_t v)
{
	unsigned shift;

	if (v < STEPS)
		return (unsigned)v;
	/* The leading bit and the HIST_SUB_BITS after it stay. */
	shift = 63 - HIST_SUB_BITS - (unsigned)__builtin_clzll(v);
	return (shift << HIST_SUB_BITS) + (unsigned)(v >> shift);
}

uint64_t hist_bucket_low(unsigned i)
{
	unsigned shift = i >> HIST_SUB_BITS;

	if (shift <= 1)
		return i;
	shift--;
	return (uint64_t)(i - (shift << HIST_SUB_BITS)) << shift;
}

uint64_t hist_bucket_high(unsigned i)
{
	return i + 1 < HIST_BUCKETS ? hist_bucket_low(i + 1) - 1 : UINT64_MAX;
}

void hist_add(struct hist *h, uint64_t v)
{
	uint64_t *bucket = &h->buckets[bucket_of(v)];

	if (h->count == 0 || v < h->min)
		set(&h->min, v);
	if (v > h->max)
		set(&h->max, v);
	set(&h->sum, h->sum + v);
	set(&h->count, h->count + 1);
	set(bucket, *bucket + 1);
}

void hist_merge(struct hist *into, const struct hist *from)
{
	uint64_t count = 0, min = get(&from->min), max = get(&from->max);

	/* The writer may be in the middle of an addition: the buckets are what counts. */
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		uint64_t n = get(&from->buckets[i]);

		into->buckets[i] += n;
		count += n;
	}
	if (count == 0)
		return;
	into->min = into->count ? SL_MIN(into->min, min) : min;
	into->max = SL_MAX(into->max, max);
	into->sum += get(&from->sum);
	into->count += count;
}

uint64_t hist_quantile(const struct hist *h, double part)
{
	double rank = part * (double)h->count;
	uint64_t seen = 0;

	for (unsigned i = 0; h->count && i < HIST_BUCKETS; i++) {
		uint64_t low = hist_bucket_low(i);

		seen += h->buckets[i];
		if (seen == 0 || (double)seen < rank)
			continue;
		low += (hist_bucket_high(i) - low) / 2;
		/* No answer that was never there: the ends are known exactly. */
		return SL_MIN(SL_MAX(low, h->min), h->max);
	}
	return h->max;
}

uint64_t hist_count_to(const struct hist *h, uint64_t value)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < HIST_BUCKETS && hist_bucket_high(i) <= value; i++)
		n += h->buckets[i];
	return n;
}
