// SPDX-License-Identifier: Apache-2.0
#include "upstream/budget.h"

#include "base/clock.h"
#include "unit.h"

#define SECOND CLOCK_NS_PER_S

static const uint64_t start = 99 * SECOND;

static unsigned retries(struct budget *b, uint32_t percent, uint64_t now, unsigned asked)
{
	unsigned got = 0;

	for (unsigned i = 0; i < asked; i++)
		got += budget_retry(b, percent, now);
	return got;
}

static void requests(struct budget *b, uint64_t now, unsigned n)
{
	for (unsigned i = 0; i < n; i += 4)
		budget_requests(b, now, n - i < 4 ? n - i : 4);
}

static void test_a_group_with_few_requests_may_retry(void **state)
{
	struct budget b = {0};

	assert_int_equal(retries(&b, 20, start, 100), BUDGET_RETRIES_MIN * BUDGET_SECONDS);
	assert_int_equal(retries(&b, 20, start + 9 * SECOND, 100), 0);
	/* Three a second in the long run. */
	for (unsigned i = 10; i < 110; i++)
		assert_int_equal(retries(&b, 0, start + i * SECOND, 3), 3);
	assert_int_equal(retries(&b, 0, start + 110 * SECOND, 10), 3);
}

static void test_a_share_of_the_requests(void **state)
{
	struct budget b = {0};

	for (unsigned i = 0; i < 10; i++)
		requests(&b, start + i * SECOND, 1000);
	assert_int_equal(retries(&b, 20, start + 9 * SECOND, 5000), 2000);
	/* Requests and retries leave the window together. */
	assert_int_equal(retries(&b, 20, start + 10 * SECOND, 10), 0);
	requests(&b, start + 19 * SECOND, 1000);
	assert_int_equal(retries(&b, 20, start + 19 * SECOND, 5000), 200);
	/* The counts of 12 days ago are not taken for those of now. */
	assert_int_equal(retries(&b, 20, start + 1000000 * SECOND, 5000), 30);
}

static void test_clocks_of_workers_differ(void **state)
{
	struct budget b = {0};

	requests(&b, start + SECOND, 1000);
	requests(&b, start, 1000);
	assert_int_equal(retries(&b, 10, start + SECOND, 1000), 200);
	/* A whole window late: nothing is counted, and nothing is lost. */
	requests(&b, start - 9 * SECOND, 1000);
	assert_int_equal(retries(&b, 10, start + SECOND, 1000), 0);
	assert_false(budget_retry(&b, 100, start - 9 * SECOND));
}

static void test_a_full_second(void **state)
{
	struct budget b = {0};

	requests(&b, start, BUDGET_COUNT_MAX + 1000u);
	assert_int_equal(retries(&b, 1, start, 50000), BUDGET_COUNT_MAX / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_group_with_few_requests_may_retry),
		cmocka_unit_test(test_a_share_of_the_requests),
		cmocka_unit_test(test_clocks_of_workers_differ),
		cmocka_unit_test(test_a_full_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
