/* internal: circuit breaker: who fails too often is not asked for a while, then tried with a few requests. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_BREAKER_H
#define SLUICE_UPSTREAM_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "upstream/upstream.h"
#include "upstream/window.h"

/* Of requests_min and of probes: larger ones of the configuration act like these. */
#define BREAKER_REQUESTS_MIN_MAX 8000u
#define BREAKER_PROBES_MAX 1000u

/*
 * Of one server or one group, used by all workers, without a lock: the state, its time and the probes are one word that
 * changes by exchange, and a request that goes well costs one exchange in the window. A lock would cost as much when it is
 * free, and a worker that loses the CPU while it holds one would stop all the others. Zeroed: closed.
 */
struct breaker {
	_Atomic uint64_t word;
	_Atomic uint32_t consecutive;
	struct window window;
};

/* What a call changed, for the log: exactly one caller sees each change. */
enum breaker_change { BREAKER_SAME, BREAKER_OPENED, BREAKER_PROBING, BREAKER_SHUT };

/* Whether it has a trigger at all; else everything passes and nothing is counted. */
static inline bool breaker_on(const struct upstream_breaker_config *c)
{
	return c->error_percent || c->consecutive || (c->slow_ms && c->slow_percent);
}

enum breaker_state breaker_state(const struct breaker *);
/* Whether breaker_allow would, without taking the place of a probe. */
bool breaker_would_allow(const struct breaker *, const struct upstream_breaker_config *,
			 uint64_t now_ns);
/*
 * Lets a request through or not. *probe: not 0 when it is one of those that half-open lets through; to be given to
 * breaker_report, which each request that was let through calls once. Probes that did not come back within open_ms
 * do not hold up others: their places are given again.
 */
bool breaker_allow(struct breaker *, const struct upstream_breaker_config *, uint64_t now_ns,
		   uint32_t *probe, enum breaker_change *);
/*
 * duration_ns 0: not known. What comes back from before the breaker opened changes nothing, and UPSTREAM_ABANDONED
 * only frees the probe's place. A slow probe is a failed one.
 */
enum breaker_change breaker_report(struct breaker *, const struct upstream_breaker_config *,
				   uint64_t now_ns, uint32_t probe, enum upstream_outcome,
				   uint64_t duration_ns);
/* Closed, and nothing counted. */
void breaker_reset(struct breaker *);

#endif
