/* internal: log-linear histogram of unsigned 64-bit values with about 3 % relative error. */
#ifndef SLUICE_BASE_HIST_H
#define SLUICE_BASE_HIST_H

#include <stdint.h>

/* 32 linear steps for every power of two; values below 32 are exact. */
#define HIST_SUB_BITS 5
#define HIST_BUCKETS ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

/*
 * Zero it to begin. One thread adds; any other may take part of it with hist_merge into a histogram of its own,
 * and asks that one. `sum` wraps around at 2^64.
 */
struct hist {
	uint64_t count, sum, min, max;
	uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value below which `part` (0 to 1) of all lie, as the middle of its bucket; 0 when empty. */
uint64_t hist_quantile(const struct hist *, double part);

/* How many values are at most `value`, counting whole buckets: exact when value is a hist_bucket_high(). */
uint64_t hist_count_to(const struct hist *, uint64_t value);
/* The smallest and the largest value that bucket i < HIST_BUCKETS counts. */
uint64_t hist_bucket_low(unsigned i);
uint64_t hist_bucket_high(unsigned i);

#endif
