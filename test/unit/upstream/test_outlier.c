// SPDX-License-Identifier: Apache-2.0
#include "upstream/outlier.h"

#include "base/clock.h"
#include "unit.h"

#define SECOND CLOCK_NS_PER_S

static const uint64_t start = 5000 * SECOND;

static void test_failures_in_a_row(void **state)
{
	struct upstream_outlier c = {.consecutive = 3, .eject_ms = 10000};
	struct outlier o = {0};

	for (unsigned i = 0; i < 10; i++) {
		assert_null(outlier_report(&o, &c, start, true));
		assert_null(outlier_report(&o, &c, start, true));
		assert_null(outlier_report(&o, &c, start, false));
	}
	assert_null(outlier_report(&o, &c, start, true));
	assert_null(outlier_report(&o, &c, start, true));
	assert_string_equal(outlier_report(&o, &c, start, true), "failures in a row");
	/* Not ejected, because too many are: asked for again with the next. */
	assert_non_null(outlier_report(&o, &c, start, true));
	assert_int_equal(outlier_eject(&o, &c, start, 0), 10000);
	assert_null(outlier_report(&o, &c, start, true));
}

static void test_the_rate_of_failures(void **state)
{
	struct upstream_outlier c = {
		.error_percent = 30, .requests_min = 10, .window_ms = 5000, .eject_ms = 1000};
	struct outlier o = {0};

	for (unsigned i = 0; i < 9; i++)
		assert_null(outlier_report(&o, &c, start, true));
	/* The window is over; 29 of 100 is too few. */
	for (unsigned i = 0; i < 71; i++)
		assert_null(outlier_report(&o, &c, start + 6 * SECOND, false));
	for (unsigned i = 0; i < 29; i++)
		assert_null(outlier_report(&o, &c, start + 7 * SECOND, true));
	assert_null(outlier_report(&o, &c, start + 7 * SECOND, true));
	assert_string_equal(outlier_report(&o, &c, start + 7 * SECOND, true), "rate of failures");
	outlier_eject(&o, &c, start + 7 * SECOND, 0);
	for (unsigned i = 0; i < 9; i++)
		assert_null(outlier_report(&o, &c, start + 7 * SECOND, true));
	assert_non_null(outlier_report(&o, &c, start + 7 * SECOND, true));
}

static void test_ejections_grow_and_are_forgiven(void **state)
{
	struct upstream_outlier c = {.consecutive = 1, .eject_ms = 2000};
	struct outlier o = {0};
	uint64_t now = start, until = 0;

	for (unsigned i = 1; i <= 15; i++) {
		uint64_t ms = outlier_eject(&o, &c, now, until);

		assert_int_equal(ms, 2000 * (i < OUTLIER_GROWTH_MAX ? i : OUTLIER_GROWTH_MAX));
		until = now + ms * CLOCK_NS_PER_MS;
		now = until + SECOND;
	}
	/* Well for ten times eject_ms. */
	now = until + 20 * SECOND - 1;
	assert_int_equal(outlier_eject(&o, &c, now, until), 20000);
	assert_int_equal(outlier_eject(&o, &c, now + 1, until), 2000);
}

static void test_the_share_that_may_be_ejected(void **state)
{
	struct upstream_outlier c = {.ejected_max_percent = 30};

	/* One always may be, even the only one. */
	assert_true(outlier_may_eject(&c, 0, 1));
	assert_true(outlier_may_eject(&c, 0, 10));
	assert_false(outlier_may_eject(&c, 1, 2));
	assert_true(outlier_may_eject(&c, 2, 10));
	assert_false(outlier_may_eject(&c, 3, 10));
	c.ejected_max_percent = 0;
	assert_true(outlier_may_eject(&c, 0, 10));
	assert_false(outlier_may_eject(&c, 1, 10));
	c.ejected_max_percent = 100;
	assert_true(outlier_may_eject(&c, 9, 10));
}

static void test_what_is_off(void **state)
{
	struct upstream_outlier c = {.window_ms = 1000, .eject_ms = 1000};
	struct outlier o = {0};

	assert_false(outlier_on(&c));
	for (unsigned i = 0; i < 1000; i++)
		assert_null(outlier_report(&o, &c, start, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures_in_a_row),
		cmocka_unit_test(test_the_rate_of_failures),
		cmocka_unit_test(test_ejections_grow_and_are_forgiven),
		cmocka_unit_test(test_the_share_that_may_be_ejected),
		cmocka_unit_test(test_what_is_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
