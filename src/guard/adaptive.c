// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/compiler.h"
#include "guard/load.h"

/* How far above its smallest the latency may be before the limit falls: what queues in a healthy server. */
#define ADAPTIVE_TOLERANCE 1.5
/* The limit goes this part of the way to where it should be, each time as many have ended as it lets in. */
#define ADAPTIVE_STEP 0.4
/* The present latency is a mean of about as many as are let in, and so many more. */
#define ADAPTIVE_SMOOTH 16
/* After one that failed. */
#define ADAPTIVE_CUT 0.9
/* How often the smallest latency is looked for again, by letting a quarter of them in: where nothing queues. */
#define ADAPTIVE_LOOK_NS (30 * CLOCK_NS_PER_S)
#define ADAPTIVE_LOOK_SAMPLES 200
#define ADAPTIVE_LOOK_SHARE 0.25
#define ADAPTIVE_PRIORITY_MAX 7
#define ADAPTIVE_LOWEST_SHARE 0.8

/* Newton's way, so that nobody needs the library of mathematics; more than exact enough. */
static double square_root(double v)
{
	double r = v > 1 ? v / 2 : 1;

	for (unsigned i = 0; i < 20; i++)
		r = (r + v / r) / 2;
	return r;
}

static double adaptive_clamp(const struct guard_adaptive *a, double limit)
{
	double min = SL_MAX(a->min, 1u);

	return SL_MIN(SL_MAX(limit, min), SL_MAX((double)a->max, min));
}

bool guard_adaptive_begin(struct guard_adaptive *a, unsigned priority)
{
	double share = ADAPTIVE_LOWEST_SHARE + (1 - ADAPTIVE_LOWEST_SHARE) *
						       SL_MIN(priority, ADAPTIVE_PRIORITY_MAX) /
						       ADAPTIVE_PRIORITY_MAX;

	if (a->in_flight && a->in_flight + 1 > adaptive_clamp(a, a->limit) * share)
		return false;
	a->in_flight++;
	return true;
}

/* Those that are in flight, and those that come after them while what they left is worked off, tell nothing. */
static void adaptive_look(struct guard_adaptive *a)
{
	a->looking = true;
	a->look_skip = 2 * a->in_flight;
	a->look_count = 0;
	a->look_sum_ns = 0;
	a->resume = a->limit;
	a->limit = adaptive_clamp(a, a->limit * ADAPTIVE_LOOK_SHARE);
}

static void adaptive_looked(struct guard_adaptive *a, uint64_t took_ns, uint64_t now_ns)
{
	if (a->look_skip) {
		a->look_skip--;
		return;
	}
	a->look_sum_ns += (double)took_ns;
	if (++a->look_count < SL_MAX(4 * (uint32_t)a->limit, ADAPTIVE_LOOK_SAMPLES))
		return;
	a->rtt_min_ns = (uint64_t)(a->look_sum_ns / a->look_count);
	a->rtt_min_until_ns = now_ns + ADAPTIVE_LOOK_NS;
	a->rtt_now_ns = (double)a->rtt_min_ns;
	a->limit = adaptive_clamp(a, a->resume);
	a->looking = false;
}

static void adaptive_cut(struct guard_adaptive *a, uint64_t now_ns)
{
	/* A burst that fails together is one failure. */
	if (now_ns < a->cut_until_ns)
		return;
	a->cut_until_ns = now_ns + (uint64_t)a->rtt_now_ns + CLOCK_NS_PER_MS;
	a->limit = adaptive_clamp(a, a->limit * ADAPTIVE_CUT);
	a->resume = adaptive_clamp(a, a->resume * ADAPTIVE_CUT);
}

static void adaptive_follow(struct guard_adaptive *a, uint64_t took_ns, bool busy)
{
	a->rtt_now_ns += ((double)took_ns - a->rtt_now_ns) / (ADAPTIVE_SMOOTH + a->limit);
	/* Who does not come near the limit learns nothing about it. */
	if (!busy)
		return;
	double gradient = ADAPTIVE_TOLERANCE * (double)a->rtt_min_ns / a->rtt_now_ns;
	gradient = SL_MIN(SL_MAX(gradient, 0.5), 1.0);
	double aim = a->limit * gradient + square_root(a->limit);
	a->limit = adaptive_clamp(a, a->limit + (aim - a->limit) * ADAPTIVE_STEP / a->limit);
}

void guard_adaptive_drop(struct guard_adaptive *a)
{
	a->in_flight -= a->in_flight > 0;
}

void guard_adaptive_end(struct guard_adaptive *a, uint64_t took_ns, uint64_t now_ns)
{
	bool busy = a->in_flight >= a->limit / 2;

	guard_adaptive_drop(a);
	a->limit = adaptive_clamp(a, a->limit);
	if (!took_ns) {
		adaptive_cut(a, now_ns);
		return;
	}
	if (!a->looking && now_ns >= a->rtt_min_until_ns)
		adaptive_look(a);
	if (a->looking)
		adaptive_looked(a, took_ns, now_ns);
	else
		adaptive_follow(a, took_ns, busy);
}
