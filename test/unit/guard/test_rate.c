// SPDX-License-Identifier: Apache-2.0

/* The algorithms against references that keep everything that happened, on random schedules in virtual time. */

#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "guard/rate.h"
#include "random.h"
#include "unit.h"

#define EVENTS_MAX 2000
#define SCHEDULES 300
#define NOW_MAX ((1ull << 63) - 1)
#define DAY_NS (86400 * CLOCK_NS_PER_S)

static const enum guard_algorithm all[] = {GUARD_FIXED_WINDOW, GUARD_SLIDING_WINDOW,
					   GUARD_TOKEN_BUCKET, GUARD_LEAKY_BUCKET, GUARD_GCRA};

/* What was let through, and a bucket as one would explain it: tokens, and when they were last counted. */
struct reference {
	const struct guard_rate *rate;
	struct {
		uint64_t at_ns;
		uint32_t cost;
	} passed[EVENTS_MAX];
	unsigned count;
	guard_u128 tokens; /* times period_ns */
	uint64_t counted_ns;
};

static void reference_init(struct reference *ref, const struct guard_rate *rate)
{
	ref->rate = rate;
	ref->count = 0;
	ref->tokens = rate->room;
	ref->counted_ns = 0;
}

static void reference_fill(struct reference *ref, uint64_t now_ns)
{
	guard_u128 more = (guard_u128)(now_ns - ref->counted_ns) * ref->rate->count;

	ref->tokens = SL_MIN(ref->tokens + more, ref->rate->room);
	ref->counted_ns = now_ns;
}

/* What passed in the window `number`. */
static uint64_t reference_in(const struct reference *ref, uint64_t number)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < ref->count; i++)
		if (ref->passed[i].at_ns / ref->rate->period_ns == number)
			sum += ref->passed[i].cost;
	return sum;
}

static bool reference_fits(struct reference *ref, uint64_t now_ns, uint32_t cost)
{
	const struct guard_rate *r = ref->rate;
	uint64_t number = now_ns / r->period_ns, left = r->period_ns - now_ns % r->period_ns;
	guard_u128 before = 0;

	if (r->algorithm > GUARD_SLIDING_WINDOW) {
		reference_fill(ref, now_ns);
		return ref->tokens >= (guard_u128)cost * r->period_ns;
	}
	if (r->algorithm == GUARD_SLIDING_WINDOW && number)
		before = (guard_u128)reference_in(ref, number - 1) * left;
	return before + (guard_u128)(reference_in(ref, number) + cost) * r->period_ns <= r->room;
}

static void reference_pass(struct reference *ref, uint64_t now_ns, uint32_t cost)
{
	reference_fill(ref, now_ns);
	ref->tokens -= SL_MIN((guard_u128)cost * ref->rate->period_ns, ref->tokens);
	assert_true(ref->count < EVENTS_MAX);
	ref->passed[ref->count].at_ns = now_ns;
	ref->passed[ref->count++].cost = cost;
}

static void random_rate(struct random *r, enum guard_algorithm algorithm, struct guard_rate *rate)
{
	static const uint64_t periods[] = {CLOCK_NS_PER_MS, CLOCK_NS_PER_S, 60 * CLOCK_NS_PER_S,
					   7 * DAY_NS, 999999937};
	const struct guard_limit_config config = {
		.algorithm = algorithm,
		.count = (uint32_t)(1 + random_below(r, random_below(r, 2) ? 5 : 1000)),
		.period_ns = periods[random_below(r, SL_ARRAY_SIZE(periods))],
		.burst = (uint32_t)random_below(r, 20),
	};

	guard_rate_init(rate, &config);
}

/* Steps that are a fraction of what one request costs, now and then a long pause, and sometimes a window's very end. */
static uint64_t random_step(struct random *r, const struct guard_rate *rate, uint64_t now_ns)
{
	uint64_t cost_ns = rate->period_ns / rate->count;

	switch (random_below(r, 20)) {
	case 0:
		return random_below(r, 3 * rate->period_ns);
	case 1:
		return rate->period_ns - 1 - now_ns % rate->period_ns;
	case 2:
		return 0;
	default:
		return random_below(r, cost_ns + 1);
	}
}

/* What the verdict promises: retry_ns is the first moment at which it fits, reset_ns when nothing is owed. */
static void check_promises(const struct guard_rate *rate, guard_u128 state, uint64_t now_ns,
			   uint32_t cost, const struct guard_verdict *v)
{
	struct guard_verdict later;
	guard_u128 copy = state;

	if (!v->allowed && v->retry_ns != UINT64_MAX) {
		assert_true(v->retry_ns > 0);
		assert_true(guard_rate_take(rate, &copy, now_ns + v->retry_ns, cost, &later));
		copy = state;
		assert_false(guard_rate_take(rate, &copy, now_ns + v->retry_ns - 1, cost, &later));
	}
	assert_true(guard_rate_owed(rate, state, now_ns + v->reset_ns) == 0);
	if (v->reset_ns)
		assert_true(guard_rate_owed(rate, state, now_ns + v->reset_ns - 1) > 0);
	copy = state;
	if (v->remaining)
		assert_true(guard_rate_take(rate, &copy, now_ns, v->remaining, &later));
	copy = state;
	assert_false(guard_rate_take(rate, &copy, now_ns, v->remaining + 1, &later));
}

static void test_reference(void **unused)
{
	struct random r = random_start(__func__);
	static struct reference ref;
	unsigned allowed = 0, refused = 0;

	for (unsigned n = 0; n < SCHEDULES; n++) {
		struct guard_rate rate;
		struct guard_verdict v;
		guard_u128 state = 0;
		uint64_t now_ns = random_below(&r, 2) ? random_below(&r, 100 * DAY_NS) : 0;

		random_rate(&r, all[n % SL_ARRAY_SIZE(all)], &rate);
		reference_init(&ref, &rate);
		for (unsigned i = 0; i < 500; i++) {
			uint32_t cost =
				(uint32_t)random_below(&r, 8) ? 1 : (uint32_t)random_below(&r, 9);
			now_ns += random_step(&r, &rate, now_ns);
			bool fits = reference_fits(&ref, now_ns, cost);
			assert_int_equal(guard_rate_take(&rate, &state, now_ns, cost, &v), fits);
			assert_int_equal(v.allowed, fits);
			assert_int_equal(v.limit, rate.capacity);
			if (fits && cost)
				reference_pass(&ref, now_ns, cost);
			check_promises(&rate, state, now_ns, cost, &v);
			allowed += fits;
			refused += !fits;
		}
	}
	/* The schedules are worth their name. */
	assert_true(allowed > SCHEDULES * 50);
	assert_true(refused > SCHEDULES * 50);
}

/* Between any two moments no more passes than the rate and the quota allow. */
static void test_bound(void **unused)
{
	struct random r = random_start(__func__);
	static struct reference ref;

	for (unsigned n = 0; n < 60; n++) {
		struct guard_rate rate;
		struct guard_verdict v;
		guard_u128 state = 0;
		uint64_t now_ns = 0;

		random_rate(&r, all[2 + n % 3], &rate);
		reference_init(&ref, &rate);
		for (unsigned i = 0; i < 600; i++) {
			now_ns += random_step(&r, &rate, now_ns);
			if (guard_rate_take(&rate, &state, now_ns, 1, &v))
				reference_pass(&ref, now_ns, 1);
		}
		for (unsigned i = 0; i < ref.count; i++)
			for (unsigned j = i; j < ref.count; j++) {
				guard_u128 ns = ref.passed[j].at_ns - ref.passed[i].at_ns;
				assert_true((guard_u128)(j - i + 1) * rate.period_ns <=
					    ns * rate.count + rate.room);
			}
	}
}

/* A rate that has no whole number of nanoseconds between requests, for two weeks: to the nanosecond, at every request. */
static void test_no_drift(void **unused)
{
	const struct guard_limit_config config = {
		.algorithm = GUARD_GCRA, .count = 3, .period_ns = CLOCK_NS_PER_S, .burst = 1};
	const uint64_t start = 12345;
	struct guard_rate rate;
	struct guard_verdict v;
	guard_u128 state = 0;

	guard_rate_init(&rate, &config);
	assert_true(guard_rate_take(&rate, &state, start, 2, &v));
	for (uint64_t n = 1; n < 3 * 14 * 86400; n++) {
		uint64_t due = start + (n * CLOCK_NS_PER_S + 2) / 3;
		assert_false(guard_rate_take(&rate, &state, due - 1, 1, &v));
		assert_true(guard_rate_take(&rate, &state, due, 1, &v));
	}
}

/* Demand that is always above: all of the quota passes, and then exactly the rate. */
static void test_demand_above(void **unused)
{
	for (unsigned a = 0; a < SL_ARRAY_SIZE(all); a++) {
		const struct guard_limit_config config = {
			.algorithm = all[a], .count = 70, .period_ns = CLOCK_NS_PER_S, .burst = 9};
		const uint64_t periods = 30;
		struct guard_rate rate;
		struct guard_verdict v;
		guard_u128 state = 0;
		uint64_t passed = 0;

		guard_rate_init(&rate, &config);
		for (uint64_t now_ns = 0; now_ns < periods * CLOCK_NS_PER_S; now_ns += 1000000)
			passed += guard_rate_take(&rate, &state, now_ns, 1, &v);
		if (all[a] == GUARD_FIXED_WINDOW)
			assert_int_equal(passed, periods * 70);
		else if (all[a] == GUARD_SLIDING_WINDOW)
			assert_in_range(passed, periods * 70 - 70, periods * 70);
		else
			assert_int_equal(passed, periods * 70 - 1 + rate.capacity);
	}
}

/* Requests leave one by one: each has its moment, none is earlier than the rate allows, and `burst` wait at most. */
static void test_leaky_delays(void **unused)
{
	struct random r = random_start(__func__);
	const struct guard_limit_config config = {.algorithm = GUARD_LEAKY_BUCKET,
						  .count = 7,
						  .period_ns = CLOCK_NS_PER_S,
						  .burst = 5};
	struct guard_rate rate;
	struct guard_verdict v;
	guard_u128 state = 0;
	uint64_t now_ns = 0, leaves[EVENTS_MAX] = {0};
	unsigned n = 0;

	guard_rate_init(&rate, &config);
	for (unsigned i = 0; i < EVENTS_MAX; i++) {
		unsigned waiting = 0;
		now_ns += random_below(&r, 200 * CLOCK_NS_PER_MS);
		if (!guard_rate_take(&rate, &state, now_ns, 1, &v))
			continue;
		leaves[n] = now_ns + v.delay_ns;
		for (unsigned j = 0; j <= n; j++) {
			waiting += leaves[j] > now_ns;
			/* Rounded up to a nanosecond, each of them. */
			if (j < n)
				assert_true((leaves[n] - leaves[j] + 1) * 7 >=
					    (n - j) * CLOCK_NS_PER_S);
		}
		assert_true(waiting <= 5);
		n++;
	}
	assert_true(n > 100);
}

static void test_extremes(void **unused)
{
	static const uint32_t counts[] = {1, 3, UINT32_MAX - 1, UINT32_MAX};
	static const uint64_t periods[] = {CLOCK_NS_PER_MS, CLOCK_NS_PER_S, 365 * DAY_NS,
					   NOW_MAX / 4};
	static const uint64_t times[] = {0, 1, DAY_NS, NOW_MAX / 2, NOW_MAX};
	struct guard_rate rate;
	struct guard_verdict v;

	for (unsigned i = 0; i < 5u * 4 * 4 * 5 * 4; i++) {
		const struct guard_limit_config config = {.algorithm = all[i % 5],
							  .count = counts[i / 5 % 4],
							  .period_ns = periods[i / 20 % 4],
							  .burst = counts[i / 400 % 4]};
		uint64_t now_ns = times[i / 80 % 5];
		guard_u128 state = 0;

		guard_rate_init(&rate, &config);
		uint32_t whole = (uint32_t)SL_MIN(rate.capacity, (uint64_t)UINT32_MAX);
		assert_true(guard_rate_take(&rate, &state, now_ns, whole, &v));
		assert_true(v.remaining <= 1);
		assert_true(v.reset_ns > 0);
		if (rate.capacity > UINT32_MAX)
			assert_true(guard_rate_take(&rate, &state, now_ns, 1, &v));
		assert_false(guard_rate_take(&rate, &state, now_ns, 1, &v));
		assert_int_equal(v.remaining, 0);
		assert_true(v.retry_ns > 0);
		if (now_ns + v.retry_ns <= NOW_MAX)
			assert_true(guard_rate_take(&rate, &state, now_ns + v.retry_ns, 1, &v));
	}
}

/* What never fits is said never to. */
static void test_more_than_all(void **unused)
{
	for (unsigned a = 0; a < SL_ARRAY_SIZE(all); a++) {
		const struct guard_limit_config config = {
			.algorithm = all[a], .count = 5, .period_ns = CLOCK_NS_PER_S, .burst = 4};
		struct guard_rate rate;
		struct guard_verdict v;
		guard_u128 state = 0;

		guard_rate_init(&rate, &config);
		assert_false(guard_rate_take(&rate, &state, 77, (uint32_t)rate.capacity + 1, &v));
		assert_true(v.retry_ns == UINT64_MAX);
		assert_int_equal(v.remaining, rate.capacity);
		assert_true(state == 0);
	}
}

/* Clocks of threads that lag: in whatever order they come, no more passes than between the first and the last of them. */
static void test_late_clocks(void **unused)
{
	struct random r = random_start(__func__);

	for (unsigned n = 0; n < SCHEDULES; n++) {
		const uint64_t first = random_below(&r, 1000), last = first + 3 * CLOCK_NS_PER_S;
		struct guard_limit_config config = {.algorithm = all[n % SL_ARRAY_SIZE(all)],
						    .count = (uint32_t)(1 + random_below(&r, 60)),
						    .period_ns = CLOCK_NS_PER_S,
						    .burst = (uint32_t)random_below(&r, 9)};
		struct guard_rate rate;
		struct guard_verdict v;
		guard_u128 state = 0;
		uint64_t passed = 0, now_ns = first;

		guard_rate_init(&rate, &config);
		for (unsigned i = 0; i < 1500; i++) {
			uint64_t late =
				random_below(&r, random_below(&r, 4) ? 3000 : CLOCK_NS_PER_S);
			now_ns = SL_MIN(now_ns + random_below(&r, 4 * CLOCK_NS_PER_MS), last);
			passed += guard_rate_take(
				&rate, &state, SL_MAX(first, now_ns - SL_MIN(late, now_ns)), 1, &v);
		}
		if (rate.algorithm <= GUARD_SLIDING_WINDOW)
			assert_true(passed <= 4 * rate.count);
		else
			assert_true((guard_u128)passed * rate.period_ns <=
				    (guard_u128)(last - first) * rate.count + rate.room);
	}
}

/* The worse of two states is the worse from then on. */
static void test_worse(void **unused)
{
	struct random r = random_start(__func__);

	for (unsigned n = 0; n < 2000; n++) {
		struct guard_rate rate;
		struct guard_verdict v;
		guard_u128 states[2] = {0, 0};
		uint64_t now_ns = 1000;

		random_rate(&r, all[n % SL_ARRAY_SIZE(all)], &rate);
		for (unsigned i = 0; i < 40; i++) {
			now_ns += random_step(&r, &rate, now_ns);
			(void)guard_rate_take(&rate, &states[random_below(&r, 2)], now_ns,
					      (uint32_t)random_below(&r, rate.capacity + 1), &v);
		}
		guard_u128 worse = guard_rate_worse(&rate, states[0], states[1]);
		for (unsigned i = 0; i < 20; i++) {
			guard_u128 owed = guard_rate_owed(&rate, worse, now_ns);
			assert_true(owed >= guard_rate_owed(&rate, states[0], now_ns));
			assert_true(owed >= guard_rate_owed(&rate, states[1], now_ns));
			now_ns += random_below(&r, rate.period_ns / 5);
		}
	}
}

/* Bytes: reservations come due in order, at the rate; what is given back is there again. */
static void test_reserve(void **unused)
{
	struct random r = random_start(__func__);
	struct guard_rate rate;
	guard_u128 state = 0;
	const uint64_t start = 5;
	uint64_t now_ns = start, sum = 0, last_due = 0;

	guard_rate_init_bytes(&rate, 1000003, 50000);
	for (unsigned i = 0; i < 5000; i++) {
		uint64_t bytes = 1 + random_below(&r, 5000);
		uint64_t due = now_ns + guard_rate_reserve(&rate, &state, now_ns, bytes);
		assert_true(due >= last_due);
		last_due = due;
		sum += bytes;
		/* All that was reserved has had its time, and no more. */
		guard_u128 earned = (guard_u128)(due - start) * 1000003 + rate.room;
		assert_true((guard_u128)sum * CLOCK_NS_PER_S <= earned);
		if (due > now_ns)
			assert_true((guard_u128)sum * CLOCK_NS_PER_S > earned - rate.room);
		if (random_below(&r, 4) == 0) {
			uint64_t back = random_below(&r, bytes + 1);
			guard_rate_refund(&rate, &state, back);
			sum -= back;
			last_due = 0;
		}
		now_ns += random_below(&r, 4 * CLOCK_NS_PER_MS);
	}
	guard_u128 before = SL_MAX(state, (guard_u128)now_ns * rate.count);
	(void)guard_rate_reserve(&rate, &state, now_ns, 100);
	assert_true(state > before);
	guard_rate_refund(&rate, &state, 100);
	assert_true(state == before);
}

static void test_bytes_extremes(void **unused)
{
	struct guard_rate rate;
	guard_u128 state = 0;

	guard_rate_init_bytes(&rate, UINT64_MAX, UINT64_MAX);
	assert_true(guard_rate_reserve(&rate, &state, NOW_MAX, UINT64_MAX) == 0);
	assert_int_equal(guard_rate_reserve(&rate, &state, NOW_MAX, 7), 1);
	guard_rate_init_bytes(&rate, 1, 0);
	state = 0;
	assert_int_equal(guard_rate_reserve(&rate, &state, 0, 1), 0);
	assert_int_equal(guard_rate_reserve(&rate, &state, 0, 1), CLOCK_NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference),      cmocka_unit_test(test_bound),
		cmocka_unit_test(test_no_drift),       cmocka_unit_test(test_demand_above),
		cmocka_unit_test(test_leaky_delays),   cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_more_than_all),  cmocka_unit_test(test_late_clocks),
		cmocka_unit_test(test_worse),          cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_bytes_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
