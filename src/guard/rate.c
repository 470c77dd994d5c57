// SPDX-License-Identifier: Apache-2.0
#include "guard/rate.h"

#include <assert.h>

#include "base/clock.h"
#include "base/compiler.h"

/*
 * No product below overflows: a time is less than 2^63 and a rate's count less than 2^64, so `now` in units is less than
 * 2^127; a quota of requests is at most 2^32 periods of at most 2^63 ns, one of bytes 2^64 of 2^30.
 */

static uint64_t saturated(guard_u128 v)
{
	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

/* The wide division is a call, and hardly ever needed. */
static uint64_t divide(guard_u128 v, uint64_t by)
{
	return SL_LIKELY(v <= UINT64_MAX) ? (uint64_t)v / by : saturated(v / by);
}

static uint64_t divide_up(guard_u128 v, uint64_t by)
{
	return divide(v + (by - 1), by);
}

static uint32_t as_u32(uint64_t v)
{
	return (uint32_t)SL_MIN(v, (uint64_t)UINT32_MAX);
}

void guard_rate_init(struct guard_rate *r, const struct guard_limit_config *config)
{
	assert(config->period_ns || !config->count);
	*r = (struct guard_rate){
		.algorithm = config->algorithm,
		.count = config->count,
		.period_ns = config->period_ns,
	};
	switch (config->algorithm) {
	case GUARD_FIXED_WINDOW:
	case GUARD_SLIDING_WINDOW:
		r->capacity = config->count;
		break;
	case GUARD_TOKEN_BUCKET:
		r->capacity = config->burst ? config->burst : config->count;
		break;
	case GUARD_LEAKY_BUCKET:
	case GUARD_GCRA:
		r->capacity = (uint64_t)config->burst + 1;
		break;
	}
	r->room = (guard_u128)r->capacity * r->period_ns;
}

void guard_rate_init_bytes(struct guard_rate *r, uint64_t per_s, uint64_t burst)
{
	uint64_t usual = SL_MAX(per_s / (1000 / GUARD_BYTES_BURST_MS), 1);

	assert(per_s);
	*r = (struct guard_rate){
		.algorithm = GUARD_TOKEN_BUCKET,
		.count = per_s,
		.period_ns = CLOCK_NS_PER_S,
		.capacity = burst ? burst : usual,
	};
	r->room = (guard_u128)r->capacity * r->period_ns;
}

/* Buckets. */

/* In units, how far the key is from its whole quota. */
static guard_u128 bucket_used(const struct guard_rate *r, guard_u128 state, uint64_t now_ns)
{
	guard_u128 now = (guard_u128)now_ns * r->count;

	return state > now ? state - now : 0;
}

static bool bucket_take(const struct guard_rate *r, guard_u128 *state, uint64_t now_ns,
			uint32_t cost, struct guard_verdict *v)
{
	guard_u128 used = bucket_used(r, *state, now_ns);
	guard_u128 after = used + (guard_u128)cost * r->period_ns;

	v->allowed = after <= r->room;
	if (v->allowed) {
		if (r->algorithm == GUARD_LEAKY_BUCKET)
			v->delay_ns = divide_up(used, r->count);
		if (cost)
			*state = (guard_u128)now_ns * r->count + after;
		used = after;
	} else {
		v->retry_ns =
			cost > r->capacity ? UINT64_MAX : divide_up(after - r->room, r->count);
	}
	/* A late clock may see more than the whole quota used. */
	v->remaining = used < r->room ? as_u32(divide(r->room - used, r->period_ns)) : 0;
	v->reset_ns = divide_up(used, r->count);
	return v->allowed;
}

uint64_t guard_rate_reserve(const struct guard_rate *r, guard_u128 *state, uint64_t now_ns,
			    uint64_t bytes)
{
	guard_u128 after = bucket_used(r, *state, now_ns) + (guard_u128)bytes * r->period_ns;

	*state = (guard_u128)now_ns * r->count + after;
	return after > r->room ? divide_up(after - r->room, r->count) : 0;
}

void guard_rate_refund(const struct guard_rate *r, guard_u128 *state, uint64_t bytes)
{
	guard_u128 back = (guard_u128)bytes * r->period_ns;

	*state -= SL_MIN(*state, back);
}

/* Windows: bits 64 and up of a state are the number, 32 to 63 the window before, 0 to 31 this one. */

struct window {
	uint64_t number;
	uint32_t before, here;
};

static struct window window_unpack(guard_u128 state)
{
	return (struct window){(uint64_t)(state >> 64), (uint32_t)(state >> 32), (uint32_t)state};
}

static guard_u128 window_pack(struct window w)
{
	return (guard_u128)w.number << 64 | (uint64_t)w.before << 32 | w.here;
}

/* Moves on to the window `number`; one that is over already is the caller's late clock. */
static struct window window_at(const struct guard_rate *r, guard_u128 state, uint64_t number)
{
	struct window w = window_unpack(state);

	if (number <= w.number)
		return w;
	w.before = r->algorithm == GUARD_SLIDING_WINDOW && number - w.number == 1 ? w.here : 0;
	w.here = 0;
	w.number = number;
	return w;
}

/* Moves on to the window of now_ns; divides only when it has changed. */
static struct window window_now(const struct guard_rate *r, guard_u128 state, uint64_t now_ns)
{
	struct window w = window_unpack(state);

	if (SL_LIKELY(now_ns < w.number * r->period_ns + r->period_ns))
		return w;
	return window_at(r, state, now_ns / r->period_ns);
}

/* What is left of it at now_ns; all of it for a clock that has not come to it. */
static uint64_t window_left(const struct guard_rate *r, const struct window *w, uint64_t now_ns)
{
	uint64_t start = w->number * r->period_ns;

	return now_ns > start ? start + r->period_ns - now_ns : r->period_ns;
}

/*
 * The part of a window after which `here` more fit beside `before`, which fades: the smallest e with
 * before * (period - e) <= room_for * period.
 */
static uint64_t window_fades(const struct guard_rate *r, uint32_t before, uint64_t room_for)
{
	if (before <= room_for)
		return 0;
	return r->period_ns - divide((guard_u128)room_for * r->period_ns, before);
}

static uint64_t window_retry(const struct guard_rate *r, const struct window *w, uint64_t now_ns,
			     uint32_t cost)
{
	uint64_t start = w->number * r->period_ns;

	if (cost > r->count)
		return UINT64_MAX;
	if ((uint64_t)w->here + cost <= r->count)
		return start + window_fades(r, w->before, r->count - w->here - cost) - now_ns;
	start += r->period_ns;
	if (r->algorithm == GUARD_SLIDING_WINDOW)
		start += window_fades(r, w->here, r->count - cost);
	return start - now_ns;
}

static bool window_take(const struct guard_rate *r, guard_u128 *state, uint64_t now_ns,
			uint32_t cost, struct guard_verdict *v)
{
	struct window w = window_now(r, *state, now_ns);
	uint64_t left = window_left(r, &w, now_ns);
	/* In requests times period_ns. */
	guard_u128 used = (guard_u128)w.here * r->period_ns + (guard_u128)w.before * left;
	guard_u128 after = used + (guard_u128)cost * r->period_ns;

	v->allowed = after <= r->room;
	if (v->allowed) {
		used = after;
		w.here += cost;
		if (cost)
			*state = window_pack(w);
	} else {
		v->retry_ns = window_retry(r, &w, now_ns, cost);
	}
	if (!w.before)
		v->remaining = (uint32_t)r->count - w.here;
	else if (used < r->room)
		v->remaining = as_u32(divide(r->room - used, r->period_ns));
	if (!w.here && !w.before)
		return v->allowed;
	v->reset_ns = w.number * r->period_ns + r->period_ns - now_ns;
	if (w.here && r->algorithm == GUARD_SLIDING_WINDOW)
		v->reset_ns += r->period_ns;
	return v->allowed;
}

/* All of them. */

static bool rate_has_windows(const struct guard_rate *r)
{
	return r->algorithm <= GUARD_SLIDING_WINDOW;
}

bool guard_rate_take(const struct guard_rate *r, guard_u128 *state, uint64_t now_ns, uint32_t cost,
		     struct guard_verdict *v)
{
	*v = (struct guard_verdict){.limit = as_u32(r->capacity)};
	return rate_has_windows(r) ? window_take(r, state, now_ns, cost, v)
				   : bucket_take(r, state, now_ns, cost, v);
}

guard_u128 guard_rate_owed(const struct guard_rate *r, guard_u128 state, uint64_t now_ns)
{
	if (!rate_has_windows(r))
		return bucket_used(r, state, now_ns);
	struct window w = window_now(r, state, now_ns);
	return (guard_u128)w.here * r->period_ns +
	       (guard_u128)w.before * window_left(r, &w, now_ns);
}

guard_u128 guard_rate_worse(const struct guard_rate *r, guard_u128 a, guard_u128 b)
{
	if (r->algorithm != GUARD_SLIDING_WINDOW)
		return SL_MAX(a, b);
	uint64_t number = SL_MAX((uint64_t)(a >> 64), (uint64_t)(b >> 64));
	struct window x = window_at(r, a, number), y = window_at(r, b, number);
	x.before = SL_MAX(x.before, y.before);
	x.here = SL_MAX(x.here, y.here);
	return window_pack(x);
}
