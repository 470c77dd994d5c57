/* internal: load levels: how the process is doing, and what should go first. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_LOAD_H
#define SLUICE_GUARD_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum guard_level { GUARD_NORMAL, GUARD_DEGRADED, GUARD_CRITICAL };

/* One measure: at or above `enter` the level begins, below `leave` it may end. enter 0: the measure does not count. */
struct guard_threshold {
	uint32_t enter, leave;
};

/* Immutable. [0] degraded, [1] critical. */
struct guard_load_config {
	struct guard_threshold
		cpu_percent[2]; /* of the CPUs that the workers may use, by this process */
	struct guard_threshold lag_ms[2]; /* a loop's longest turn of the last second */
	struct guard_threshold
		error_percent[2]; /* 5xx answers of the last ten seconds, from 20 requests on */
	struct guard_threshold queue[2]; /* requests that wait for a server */
	uint32_t hold_ms;                /* a level lasts at least this long before it falls */
	bool on;
};
void guard_load_config_init(struct guard_load_config *);

/* The measures of one moment. */
struct guard_load_sample {
	uint32_t cpu_percent, lag_ms, error_percent, queue;
};

/* Sans-IO: from samples to a level, with hysteresis. Zero it to begin. */
struct guard_load {
	_Atomic uint8_t level; /* any thread reads it */
	uint64_t since_ns;
	struct guard_load_sample last;
};
/* True when the level changed. */
bool guard_load_update(struct guard_load *, const struct guard_load_config *,
		       const struct guard_load_sample *, uint64_t now_ns);
static inline enum guard_level guard_load_level(const struct guard_load *l)
{
	return (enum guard_level)atomic_load_explicit(&l->level, memory_order_relaxed);
}
const char *guard_level_name(enum guard_level);

/*
 * Adaptive concurrency, sans-IO and of one thread: the limit follows the gradient of the latency, the smallest mean of the
 * last while over the present one. Every half minute the smallest is looked for again by letting a
 * quarter of them in for a few hundred requests. Zero it, then set min, max and limit.
 */
struct guard_adaptive {
	uint32_t min, max;
	double limit;
	uint64_t rtt_min_ns, rtt_min_until_ns;
	double rtt_now_ns;
	uint32_t in_flight;
	bool looking; /* for the smallest latency; then these: */
	uint32_t look_skip, look_count;
	double look_sum_ns, resume; /* the limit that comes back */
	uint64_t cut_until_ns;
};
/* Whether another one may begin; the lowest priority (0) stops at 80 % of the limit, the highest (7) at all of it. */
bool guard_adaptive_begin(struct guard_adaptive *, unsigned priority);
/* took_ns 0: it was dropped or failed, which counts as congestion. */
void guard_adaptive_end(struct guard_adaptive *, uint64_t took_ns, uint64_t now_ns);
/* Ends one that says nothing: nobody waited for its answer. */
void guard_adaptive_drop(struct guard_adaptive *);

#endif
