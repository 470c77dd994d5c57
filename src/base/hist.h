/* internal: log-linear histogram of unsigned 64-bit values with about 3 % relative error. */
#ifndef SLUICE_BASE_HIST_H
#define SLUICE_BASE_HIST_H

#include <stdint.h>

/* 32 linear steps for every power of two; values below 32 are exact. */
#define HIST_SUB_BITS 5
#define HIST_BUCKETS ((64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS)

/* Zero it to begin. One writer; merge copies on the reader's side. */
struct hist {
	uint64_t count, sum, min, max;
	uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The value below which `part` (0 to 1) of all lie, as the middle of its bucket; 0 when empty. */
uint64_t hist_quantile(const struct hist *, double part);

#endif
