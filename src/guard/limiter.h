/* internal: what a limiter is made of, for the files of this room. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_LIMITER_H
#define SLUICE_GUARD_LIMITER_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "guard/table.h"

/* Counters are spread, so that threads do not wait for one another's cache lines. */
#define GUARD_STRIPES 16

struct guard_counts {
	_Alignas(64) _Atomic uint64_t allowed;
	_Atomic uint64_t refused, delayed, would_refuse, evicted, keys;
};

/* What is kept over reloads: of all limiters that were joined with one configuration, but for `dry_run`. */
struct guard_core {
	struct list link; /* in the registry, the newest last; under its lock */
	struct guard_registry *registry;
	struct guard_limit_config config; /* its strings are in `names` */
	uint32_t uses;                    /* limiters; under the registry's lock */
	struct guard_rate rate, bytes_rate;
	struct guard_table table, bytes_table; /* without buckets when there is no such limit */
	struct guard_holds holds;
	_Atomic uint64_t log_next_ns, log_count;
	struct guard_counts counts[GUARD_STRIPES];
	char names[];
};

/* One join. */
struct guard_limiter {
	_Atomic uint32_t refs;
	struct guard_core *core;
	struct guard_limit_config config;
};

struct guard_registry {
	pthread_mutex_t lock;
	struct list cores;
	uint32_t refs; /* its owner's, and one of each core */
};

/* What guard_table_store did, counted. */
void guard_core_count_stored(struct guard_core *, enum guard_stored);

#endif
