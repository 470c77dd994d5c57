// SPDX-License-Identifier: Apache-2.0
#include "upstream/breaker.h"

#include <string.h>

#include "base/clock.h"
#include "unit.h"

#define MS CLOCK_NS_PER_MS
#define SECOND CLOCK_NS_PER_S

static const struct upstream_breaker_config rate = {
	.error_percent = 50,
	.requests_min = 20,
	.window_ms = 10000,
	.open_ms = 15000,
	.probes = 3,
};
static const struct upstream_breaker_config row = {.consecutive = 5, .open_ms = 1000, .probes = 1};

static struct breaker b;
static uint64_t now;
static uint32_t probe;
static enum breaker_change change;

static int begin(void **state)
{
	memset(&b, 0, sizeof(b));
	now = 1000 * SECOND;
	probe = 0;
	return 0;
}

static bool allow(const struct upstream_breaker_config *c)
{
	bool would = breaker_would_allow(&b, c, now);
	bool does = breaker_allow(&b, c, now, &probe, &change);

	assert_int_equal(would, does);
	return does;
}

static enum breaker_change report(const struct upstream_breaker_config *c, uint32_t of_probe,
				  enum upstream_outcome outcome, uint64_t duration_ms)
{
	return breaker_report(&b, c, now, of_probe, outcome, duration_ms * MS);
}

static void report_many(const struct upstream_breaker_config *c, unsigned n,
			enum upstream_outcome outcome)
{
	for (unsigned i = 0; i < n; i++) {
		assert_true(allow(c));
		assert_int_equal(report(c, probe, outcome, 1), BREAKER_SAME);
	}
}

/* Opened by five failures in a row, and the time is up. */
static void open_and_wait(const struct upstream_breaker_config *c)
{
	report_many(c, 4, UPSTREAM_FAILED);
	assert_int_equal(report(c, 0, UPSTREAM_FAILED, 1), BREAKER_OPENED);
	now += c->open_ms * MS;
}

static void test_failures_in_a_row_open_it(void **state)
{
	report_many(&row, 4, UPSTREAM_FAILED);
	report_many(&row, 1, UPSTREAM_OK);
	report_many(&row, 4, UPSTREAM_FAILED);
	/* Who went away says nothing. */
	report_many(&row, 1, UPSTREAM_ABANDONED);
	assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
	assert_int_equal(report(&row, 0, UPSTREAM_FAILED, 1), BREAKER_OPENED);
	assert_int_equal(breaker_state(&b), BREAKER_OPEN);
	assert_false(allow(&row));
	/* What was still in flight neither opens it again nor lengthens its time. */
	now += 999 * MS;
	assert_int_equal(report(&row, 0, UPSTREAM_FAILED, 1), BREAKER_SAME);
	assert_int_equal(report(&row, 0, UPSTREAM_OK, 1), BREAKER_SAME);
	assert_false(allow(&row));
	now += 1 * MS;
	assert_true(allow(&row));
	assert_int_equal(change, BREAKER_PROBING);
	assert_int_equal(breaker_state(&b), BREAKER_HALF_OPEN);
}

static void test_the_rate_opens_it_from_the_minimum_on(void **state)
{
	/* All 19 fail: too few to tell. */
	report_many(&rate, 19, UPSTREAM_FAILED);
	now += 11 * SECOND;
	/* 11 good and 9 bad are not 50 %; the next ones are 10 of 21 and 11 of 22. */
	report_many(&rate, 11, UPSTREAM_OK);
	report_many(&rate, 9, UPSTREAM_FAILED);
	report_many(&rate, 1, UPSTREAM_FAILED);
	assert_int_equal(report(&rate, 0, UPSTREAM_FAILED, 1), BREAKER_OPENED);
}

static void test_the_window_slides(void **state)
{
	for (unsigned second = 0; second < 100; second++) {
		/* Nine of ten fail in one second of eleven: the window never holds a half that failed. */
		report_many(&rate, second % 11 ? 0 : 9, UPSTREAM_FAILED);
		report_many(&rate, 2, UPSTREAM_OK);
		now += SECOND;
	}
	/* The same, but what was good is over. */
	now += 10 * SECOND;
	report_many(&rate, 19, UPSTREAM_FAILED);
	assert_int_equal(report(&rate, 0, UPSTREAM_FAILED, 1), BREAKER_OPENED);
}

static void test_slow_calls_open_it(void **state)
{
	struct upstream_breaker_config c = {
		.slow_ms = 100,
		.slow_percent = 30,
		.requests_min = 10,
		.window_ms = 1000,
		.open_ms = 500,
		.probes = 1,
	};

	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(report(&c, 0, UPSTREAM_OK, 100), BREAKER_SAME);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(report(&c, 0, UPSTREAM_OK, 101), BREAKER_SAME);
	/* Fast failures have no trigger here. */
	assert_int_equal(report(&c, 0, UPSTREAM_FAILED, 1), BREAKER_SAME);
	assert_int_equal(report(&c, 0, UPSTREAM_OK, 0), BREAKER_SAME);
	/* 3 of 12, 4 of 13. */
	assert_int_equal(report(&c, 0, UPSTREAM_OK, 500), BREAKER_SAME);
	assert_int_equal(report(&c, 0, UPSTREAM_OK, 500), BREAKER_OPENED);
	now += 500 * MS;
	/* A probe that is slow has failed. */
	assert_true(allow(&c));
	assert_int_equal(report(&c, probe, UPSTREAM_OK, 101), BREAKER_OPENED);
	now += 500 * MS;
	assert_true(allow(&c));
	assert_int_equal(report(&c, probe, UPSTREAM_OK, 99), BREAKER_SHUT);
}

static void test_half_open_lets_its_probes_through(void **state)
{
	struct upstream_breaker_config c = row;
	uint32_t probes[3];

	c.probes = 3;
	open_and_wait(&c);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(allow(&c));
		assert_int_equal(change, i ? BREAKER_SAME : BREAKER_PROBING);
		assert_int_not_equal(probe, 0);
		probes[i] = probe;
	}
	assert_false(allow(&c));
	assert_int_equal(report(&c, probes[0], UPSTREAM_OK, 1), BREAKER_SAME);
	assert_int_equal(report(&c, probes[1], UPSTREAM_OK, 1), BREAKER_SAME);
	/* Those that succeeded keep their places: three in all. */
	assert_false(allow(&c));
	assert_int_equal(report(&c, probes[2], UPSTREAM_OK, 1), BREAKER_SHUT);
	assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
	assert_true(allow(&c));
	assert_int_equal(probe, 0);
	/* It begins from nothing. */
	report_many(&c, 4, UPSTREAM_FAILED);
	assert_int_equal(report(&c, 0, UPSTREAM_FAILED, 1), BREAKER_OPENED);
}

static void test_one_failed_probe_opens_it_again(void **state)
{
	struct upstream_breaker_config c = row;
	uint32_t old;

	c.probes = 2;
	open_and_wait(&c);
	assert_true(allow(&c));
	old = probe;
	assert_true(allow(&c));
	assert_int_equal(report(&c, probe, UPSTREAM_FAILED, 1), BREAKER_OPENED);
	assert_false(allow(&c));
	/* The other one comes back too late to matter. */
	assert_int_equal(report(&c, old, UPSTREAM_OK, 1), BREAKER_SAME);
	assert_int_equal(breaker_state(&b), BREAKER_OPEN);
	now += c.open_ms * MS;
	assert_true(allow(&c));
	assert_int_not_equal(probe, old);
	assert_int_equal(report(&c, old, UPSTREAM_FAILED, 1), BREAKER_SAME);
	assert_int_equal(report(&c, probe, UPSTREAM_OK, 1), BREAKER_SAME);
	assert_true(allow(&c));
	assert_int_equal(report(&c, probe, UPSTREAM_OK, 1), BREAKER_SHUT);
}

static void test_an_abandoned_probe_frees_its_place(void **state)
{
	open_and_wait(&row);
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t mine;

		assert_true(allow(&row));
		mine = probe;
		assert_false(allow(&row));
		assert_int_equal(report(&row, mine, UPSTREAM_ABANDONED, 0), BREAKER_SAME);
		assert_int_equal(breaker_state(&b), BREAKER_HALF_OPEN);
	}
}

static void test_a_lost_probe_does_not_hold_up_others(void **state)
{
	struct upstream_breaker_config c = row;
	uint32_t lost, good;

	c.probes = 2;
	open_and_wait(&c);
	assert_true(allow(&c));
	lost = probe;
	assert_true(allow(&c));
	good = probe;
	assert_int_equal(report(&c, good, UPSTREAM_OK, 1), BREAKER_SAME);
	now += c.open_ms * MS - 1 * MS;
	assert_false(allow(&c));
	now += 1 * MS;
	assert_true(allow(&c));
	assert_int_equal(change, BREAKER_SAME);
	/* It does come back, and counts like any: its round is not over. */
	assert_int_equal(report(&c, lost, UPSTREAM_ABANDONED, 0), BREAKER_SAME);
	assert_int_equal(report(&c, probe, UPSTREAM_OK, 1), BREAKER_SHUT);
}

/* Many rounds, so that their numbers come round, too. */
static void test_rounds_without_end(void **state)
{
	open_and_wait(&row);
	for (unsigned i = 0; i < 3000; i++) {
		assert_true(allow(&row));
		assert_int_not_equal(probe, 0);
		assert_int_equal(change, BREAKER_PROBING);
		assert_int_equal(report(&row, probe, UPSTREAM_FAILED, 1), BREAKER_OPENED);
		assert_false(allow(&row));
		now += row.open_ms * MS;
	}
}

static void test_clocks_of_workers_differ(void **state)
{
	report_many(&row, 4, UPSTREAM_FAILED);
	assert_int_equal(report(&row, 0, UPSTREAM_FAILED, 1), BREAKER_OPENED);
	/* A worker whose turn began earlier does not take that for a very long time. */
	now -= 50 * MS;
	assert_false(allow(&row));
	/* Sixty days without a request, and it is tried. */
	now += 60ull * 86400 * SECOND;
	assert_true(allow(&row));
	/* A window after such a time begins anew as well. */
	breaker_reset(&b);
	report_many(&rate, 19, UPSTREAM_FAILED);
	now += 60ull * 86400 * SECOND;
	report_many(&rate, 19, UPSTREAM_FAILED);
}

static void test_without_a_trigger_all_passes(void **state)
{
	static const struct upstream_breaker_config none = {.open_ms = 1000, .probes = 1};

	report_many(&none, 10000, UPSTREAM_FAILED);
	assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
	/* Turned off while it was open. */
	open_and_wait(&row);
	now -= 500 * MS;
	assert_false(allow(&row));
	assert_true(allow(&none));
	breaker_reset(&b);
	assert_true(allow(&row));
	assert_int_equal(breaker_state(&b), BREAKER_CLOSED);
}

static void test_full_buckets_keep_the_rate(void **state)
{
	struct window w = {0};
	struct window_sum sum;

	for (unsigned i = 0; i < 100000; i++)
		window_add(&w, 10000, now, i % 4 == 0, i % 10 == 0);
	sum = window_sum(&w, 10000, now);
	assert_in_range(sum.requests, WINDOW_COUNT_MAX / 2, WINDOW_COUNT_MAX);
	assert_in_range(sum.failures * 100 / sum.requests, 24, 26);
	assert_in_range(sum.slow * 100 / sum.requests, 9, 11);
	/* Nine seconds later it is still in the window, ten later it is not. */
	now += 9 * SECOND;
	assert_int_equal(window_sum(&w, 10000, now).requests, sum.requests);
	now += SECOND;
	assert_int_equal(window_sum(&w, 10000, now).requests, 0);
	window_add(&w, 10000, now, true, false);
	assert_int_equal(window_sum(&w, 10000, now).requests, 1);
	/* From a window ago: its bucket has a new meaning. */
	window_add(&w, 10000, now - 10 * SECOND, true, false);
	assert_int_equal(window_sum(&w, 10000, now).requests, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_failures_in_a_row_open_it, begin),
		cmocka_unit_test_setup(test_the_rate_opens_it_from_the_minimum_on, begin),
		cmocka_unit_test_setup(test_the_window_slides, begin),
		cmocka_unit_test_setup(test_slow_calls_open_it, begin),
		cmocka_unit_test_setup(test_half_open_lets_its_probes_through, begin),
		cmocka_unit_test_setup(test_one_failed_probe_opens_it_again, begin),
		cmocka_unit_test_setup(test_an_abandoned_probe_frees_its_place, begin),
		cmocka_unit_test_setup(test_a_lost_probe_does_not_hold_up_others, begin),
		cmocka_unit_test_setup(test_rounds_without_end, begin),
		cmocka_unit_test_setup(test_clocks_of_workers_differ, begin),
		cmocka_unit_test_setup(test_without_a_trigger_all_passes, begin),
		cmocka_unit_test_setup(test_full_buckets_keep_the_rate, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
