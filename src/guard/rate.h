/* internal: the algorithms of the limiters, sans-IO: what one key has used of its quota, in 16 bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_RATE_H
#define SLUICE_GUARD_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "guard/limit.h"

typedef unsigned __int128 guard_u128;

/*
 * One configured rate. Immutable. Everything is exact: no number is rounded but those that are told.
 *
 * Token bucket, leaky bucket and GCRA are one thing, "virtual scheduling": the state is the time at which the key will
 * have its whole quota again, in units of 1/count ns. So a token takes `period_ns` units to come, and neither "3 a second"
 * nor any other rate drifts. They differ in what they hold at once, and in who waits.
 *
 * Of windows the state is the number of the window (periods since the clock's zero), and what was let through in it and,
 * when it slides, in the one before.
 */
struct guard_rate {
	enum guard_algorithm algorithm;
	uint64_t count, period_ns; /* count 0: no limit */
	uint64_t capacity;         /* the whole quota: what may pass at once */
	guard_u128 room;           /* the same in units: capacity * period_ns */
};

/*
 * The quota: of windows `count`; of a token bucket `burst`, or `count` without one; of GCRA and a leaky bucket 1 + burst.
 * period_ns is not 0.
 */
void guard_rate_init(struct guard_rate *, const struct guard_limit_config *);
/* A token bucket of bytes. per_s is not 0; burst 0: what passes in GUARD_BYTES_BURST_MS. */
void guard_rate_init_bytes(struct guard_rate *, uint64_t per_s, uint64_t burst);
#define GUARD_BYTES_BURST_MS 50

/*
 * A key that never was has state 0. Whether `cost` fits at now_ns (below 2^63): then it is charged. cost 0 only asks. A
 * clock that is behind the key's own counts as the key's.
 */
bool guard_rate_take(const struct guard_rate *, guard_u128 *state, uint64_t now_ns, uint32_t cost,
		     struct guard_verdict *);

/*
 * For buckets of bytes: charges them in any case, and tells the time until they are due. So those who share a bucket are
 * served in the order in which they asked.
 */
uint64_t guard_rate_reserve(const struct guard_rate *, guard_u128 *state, uint64_t now_ns,
			    uint64_t bytes);
/* What was reserved and not used. */
void guard_rate_refund(const struct guard_rate *, guard_u128 *state, uint64_t bytes);

/* A number that is greater when more is owed at now_ns; 0: the key is as good as one that never was. */
guard_u128 guard_rate_owed(const struct guard_rate *, guard_u128 state, uint64_t now_ns);
/* A state that never lets pass what one of the two would not. */
guard_u128 guard_rate_worse(const struct guard_rate *, guard_u128 a, guard_u128 b);

#endif
