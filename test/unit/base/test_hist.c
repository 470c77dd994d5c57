// SPDX-License-Identifier: Apache-2.0
#include "base/hist.h"

#include <stdlib.h>
#include <string.h>

#include "random.h"
#include "unit.h"

static void test_buckets_cover_all_numbers_once(void **state)
{
	assert_true(hist_bucket_low(0) == 0);
	assert_true(hist_bucket_high(HIST_BUCKETS - 1) == UINT64_MAX);
	for (unsigned i = 0; i < HIST_BUCKETS; i++) {
		static struct hist h;
		uint64_t low = hist_bucket_low(i), high = hist_bucket_high(i);

		assert_true(low <= high);
		if (i + 1 < HIST_BUCKETS)
			assert_true(hist_bucket_low(i + 1) == high + 1);
		/* A bucket is at most a 32nd of its value wide. */
		assert_true(high - low <= low / 32);
		memset(&h, 0, sizeof(h));
		hist_add(&h, low);
		hist_add(&h, high);
		assert_int_equal(h.buckets[i], 2);
	}
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void test_quantiles_against_sorted_values(void **state)
{
	static const double parts[] = {0, 0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
	struct random r = random_start("hist");
	static uint64_t values[5000];
	static struct hist h;

	for (unsigned round = 0; round < 20; round++) {
		unsigned n = 1 + (unsigned)random_below(&r, 5000);

		memset(&h, 0, sizeof(h));
		for (unsigned i = 0; i < n; i++) {
			values[i] = random_u64(&r) >> random_below(&r, 64);
			hist_add(&h, values[i]);
		}
		qsort(values, n, sizeof(*values), compare);
		for (unsigned k = 0; k < sizeof(parts) / sizeof(*parts); k++) {
			double rank = parts[k] * n;
			unsigned i = rank <= 1 ? 0
					       : (unsigned)(rank - 1) +
							 (rank - 1 > (unsigned)(rank - 1));
			uint64_t exact = values[i], got = hist_quantile(&h, parts[k]);
			uint64_t off = got > exact ? got - exact : exact - got;

			assert_true(off <= exact / 32);
		}
		assert_true(h.min == values[0] && h.max == values[n - 1]);
		assert_int_equal(h.count, n);
		assert_true(hist_quantile(&h, 0) >= h.min && hist_quantile(&h, 1) <= h.max);
	}
}

static void test_merge_is_the_sum(void **state)
{
	struct random r = random_start("merge");
	static struct hist a, b, all, sum;

	for (unsigned i = 0; i < 3000; i++) {
		uint64_t v = 1000 + (random_u64(&r) >> 40);

		hist_add(i % 3 ? &a : &b, v);
		hist_add(&all, v);
	}
	hist_merge(&sum, &a);
	hist_merge(&sum, &b);
	assert_memory_equal(&sum, &all, sizeof(all));
	/* An empty one changes nothing: its minimum is not zero, it has none. */
	memset(&a, 0, sizeof(a));
	hist_merge(&sum, &a);
	assert_memory_equal(&sum, &all, sizeof(all));
	assert_int_equal(hist_quantile(&a, 0.5), 0);
}

static void test_count_to(void **state)
{
	static struct hist h;

	for (uint64_t v = 0; v < 1000; v++)
		hist_add(&h, v);
	assert_int_equal(hist_count_to(&h, 0), 1);
	assert_int_equal(hist_count_to(&h, 31), 32);
	for (unsigned i = 0; hist_bucket_high(i) < 1000; i++)
		assert_int_equal(hist_count_to(&h, hist_bucket_high(i)), hist_bucket_high(i) + 1);
	assert_int_equal(hist_count_to(&h, UINT64_MAX), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buckets_cover_all_numbers_once),
		cmocka_unit_test(test_quantiles_against_sorted_values),
		cmocka_unit_test(test_merge_is_the_sum),
		cmocka_unit_test(test_count_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
