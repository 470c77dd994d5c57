// SPDX-License-Identifier: Apache-2.0
#include "upstream/breaker.h"

#include "base/clock.h"
#include "base/compiler.h"

/*
 * The word, from its low end: state 2 bits; round 10, one for each time it was half open, never 0, by which late probes of
 * an earlier one are told; probes that are out or succeeded 10; those that succeeded 10; the time of the state in
 * milliseconds 32. Elapsed times are taken modulo 2^32 ms: after 49 idle days it may be wrong for open_ms.
 */
#define STATE_MASK 3u
#define ROUND_SHIFT 2
#define OUT_SHIFT 12
#define GOOD_SHIFT 22
#define TIME_SHIFT 32
#define FIELD_MASK 0x3ffu
/* The clocks of two workers, each cached for a turn of its loop, differ by less than this. */
#define SKEW_MS_MAX 65536u

struct state {
	enum breaker_state state;
	uint32_t round, out, good, since_ms;
};

static struct state unpack(uint64_t word)
{
	return (struct state){
		.state = (enum breaker_state)(word & STATE_MASK),
		.round = (uint32_t)(word >> ROUND_SHIFT) & FIELD_MASK,
		.out = (uint32_t)(word >> OUT_SHIFT) & FIELD_MASK,
		.good = (uint32_t)(word >> GOOD_SHIFT) & FIELD_MASK,
		.since_ms = (uint32_t)(word >> TIME_SHIFT),
	};
}

static uint64_t pack(struct state s)
{
	return (uint64_t)s.since_ms << TIME_SHIFT | (uint64_t)s.good << GOOD_SHIFT |
	       (uint64_t)s.out << OUT_SHIFT | (uint64_t)s.round << ROUND_SHIFT | s.state;
}

static bool set_state(struct breaker *b, uint64_t *seen, struct state to)
{
	return atomic_compare_exchange_strong_explicit(&b->word, seen, pack(to),
						       memory_order_relaxed, memory_order_relaxed);
}

static uint64_t load(const struct breaker *b)
{
	return atomic_load_explicit(&b->word, memory_order_relaxed);
}

static bool time_is_up(struct state s, uint32_t open_ms, uint32_t now_ms)
{
	uint32_t elapsed = now_ms - s.since_ms;

	return elapsed >= open_ms && elapsed < UINT32_MAX - SKEW_MS_MAX;
}

static uint32_t probes_of(const struct upstream_breaker_config *c)
{
	return SL_MAX(1u, SL_MIN(c->probes, BREAKER_PROBES_MAX));
}

/* The state with one more probe out; false when there is no place for it. */
static bool probe_state(struct state *s, const struct upstream_breaker_config *c, uint32_t now_ms)
{
	bool up = time_is_up(*s, c->open_ms, now_ms);

	if (s->state == BREAKER_OPEN) {
		if (!up)
			return false;
		s->state = BREAKER_HALF_OPEN;
		s->round = s->round % FIELD_MASK + 1;
		s->out = 1;
		s->good = 0;
		s->since_ms = now_ms;
		return true;
	}
	if (s->out >= probes_of(c)) {
		if (!up)
			return false;
		s->out = s->good;
		s->since_ms = now_ms;
	}
	s->out++;
	return true;
}

enum breaker_state breaker_state(const struct breaker *b)
{
	return unpack(load(b)).state;
}

bool breaker_would_allow(const struct breaker *b, const struct upstream_breaker_config *c,
			 uint64_t now_ns)
{
	struct state s = unpack(load(b));

	return SL_LIKELY(s.state == BREAKER_CLOSED) || !breaker_on(c) ||
	       probe_state(&s, c, (uint32_t)(now_ns / CLOCK_NS_PER_MS));
}

bool breaker_allow(struct breaker *b, const struct upstream_breaker_config *c, uint64_t now_ns,
		   uint32_t *probe, enum breaker_change *change)
{
	uint64_t word = load(b);

	*probe = 0;
	*change = BREAKER_SAME;
	for (;;) {
		struct state s = unpack(word);
		enum breaker_state was = s.state;

		if (SL_LIKELY(was == BREAKER_CLOSED) || !breaker_on(c))
			return true;
		if (!probe_state(&s, c, (uint32_t)(now_ns / CLOCK_NS_PER_MS)))
			return false;
		if (!set_state(b, &word, s))
			continue;
		*probe = s.round;
		*change = was == BREAKER_OPEN ? BREAKER_PROBING : BREAKER_SAME;
		return true;
	}
}

static enum breaker_change open_it(struct breaker *b, uint64_t *word, struct state s,
				   uint64_t now_ns)
{
	s.state = BREAKER_OPEN;
	s.out = s.good = 0;
	s.since_ms = (uint32_t)(now_ns / CLOCK_NS_PER_MS);
	return set_state(b, word, s) ? BREAKER_OPENED : BREAKER_SAME;
}

static void forget(struct breaker *b)
{
	window_clear(&b->window);
	atomic_store_explicit(&b->consecutive, 0, memory_order_relaxed);
}

static enum breaker_change report_probe(struct breaker *b, const struct upstream_breaker_config *c,
					uint64_t now_ns, uint32_t probe, bool good, bool abandoned)
{
	uint64_t word = load(b);

	for (;;) {
		struct state s = unpack(word);
		enum breaker_change change = BREAKER_SAME;

		if (s.state != BREAKER_HALF_OPEN || s.round != probe)
			return BREAKER_SAME;
		if (abandoned) {
			s.out = s.out > s.good ? s.out - 1 : s.good;
		} else if (!good) {
			change = open_it(b, &word, s, now_ns);
			if (change == BREAKER_OPENED)
				return change;
			continue;
		} else if (++s.good >= probes_of(c)) {
			/* Nobody counts before it is closed. */
			forget(b);
			s.state = BREAKER_CLOSED;
			s.out = s.good = 0;
			change = BREAKER_SHUT;
		} else {
			/* A place that was given again while its probe was late. */
			s.out = SL_MAX(s.out, s.good);
		}
		if (set_state(b, &word, s))
			return change;
	}
}

static bool over(uint32_t part, uint32_t all, uint32_t percent)
{
	return percent && (uint64_t)part * 100 >= (uint64_t)all * percent;
}

static bool tripped(struct breaker *b, const struct upstream_breaker_config *c, uint64_t now_ns,
		    bool failed)
{
	if (failed) {
		uint32_t row = atomic_fetch_add_explicit(&b->consecutive, 1, memory_order_relaxed);

		if (c->consecutive && row + 1 >= c->consecutive)
			return true;
	}
	if (!c->window_ms)
		return false;

	struct window_sum sum = window_sum(&b->window, c->window_ms, now_ns);

	if (sum.requests < SL_MIN(c->requests_min, BREAKER_REQUESTS_MIN_MAX))
		return false;
	return over(sum.failures, sum.requests, c->error_percent) ||
	       (c->slow_ms && over(sum.slow, sum.requests, c->slow_percent));
}

enum breaker_change breaker_report(struct breaker *b, const struct upstream_breaker_config *c,
				   uint64_t now_ns, uint32_t probe, enum upstream_outcome outcome,
				   uint64_t duration_ns)
{
	bool failed = outcome == UPSTREAM_FAILED;
	bool slow = c->slow_ms && c->slow_percent && duration_ns > c->slow_ms * CLOCK_NS_PER_MS;

	if (!breaker_on(c))
		return BREAKER_SAME;
	if (probe)
		return report_probe(b, c, now_ns, probe, !failed && !slow,
				    outcome == UPSTREAM_ABANDONED);

	uint64_t word = load(b);
	struct state s = unpack(word);

	if (outcome == UPSTREAM_ABANDONED || s.state != BREAKER_CLOSED)
		return BREAKER_SAME;
	if (!failed && atomic_load_explicit(&b->consecutive, memory_order_relaxed))
		atomic_store_explicit(&b->consecutive, 0, memory_order_relaxed);
	if (c->window_ms && (c->error_percent || c->slow_percent))
		window_add(&b->window, c->window_ms, now_ns, failed, slow);
	if (SL_LIKELY(!failed && !slow) || !tripped(b, c, now_ns, failed))
		return BREAKER_SAME;
	return open_it(b, &word, s, now_ns);
}

void breaker_reset(struct breaker *b)
{
	forget(b);
	atomic_store_explicit(&b->word, 0, memory_order_relaxed);
}
