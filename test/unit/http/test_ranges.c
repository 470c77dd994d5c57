// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>

#include "http/negotiate.h"
#include "unit.h"

/* "0-4,7-9" for what is to be sent, "all" when the field is ignored, "416". */
static void expect_ranges(const char *value, uint64_t size, const char *expected)
{
	struct http_range v[HTTP_RANGES_MAX];
	int count = http_range_parse(str_from(value), size, v);
	char text[512] = "";
	size_t at = 0;

	assert_true(count <= HTTP_RANGES_MAX);
	for (int i = 0; i < count; i++) {
		assert_true(v[i].first <= v[i].last && v[i].last < size);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu-%llu", i ? "," : "",
				       (unsigned long long)v[i].first,
				       (unsigned long long)v[i].last);
	}
	if (count <= 0)
		snprintf(text, sizeof(text), "%s", count == -ERANGE ? "416" : "all");
	if (strcmp(text, expected) != 0)
		print_error("%s of %llu\n", value, (unsigned long long)size);
	assert_string_equal(text, expected);
	assert_true(count >= 0 || count == -ERANGE);
}

static void test_one_range(void **state)
{
	expect_ranges("bytes=0-0", 100, "0-0");
	expect_ranges("bytes=0-99", 100, "0-99");
	expect_ranges("bytes=10-19", 100, "10-19");
	expect_ranges("bytes=10-", 100, "10-99");
	expect_ranges("bytes=-10", 100, "90-99");
	expect_ranges("bytes=-100", 100, "0-99");
	expect_ranges("bytes=-101", 100, "0-99");
	expect_ranges("bytes=99-", 100, "99-99");
	expect_ranges("bytes=99-1000", 100, "99-99");
	expect_ranges("BYTES=1-2", 100, "1-2");
	expect_ranges("bytes= 1-2 ", 100, "1-2");
	expect_ranges("bytes=0-0", 1, "0-0");
}

static void test_what_lies_beyond_the_end(void **state)
{
	expect_ranges("bytes=100-", 100, "416");
	expect_ranges("bytes=100-200", 100, "416");
	expect_ranges("bytes=-0", 100, "416");
	expect_ranges("bytes=100-,200-300,-0", 100, "416");
	expect_ranges("bytes=100-,5-6", 100, "5-6");
	expect_ranges("bytes=0-", 0, "416");
	expect_ranges("bytes=0-0", 0, "416");
	/* The last bytes of nothing are there, and are none. */
	expect_ranges("bytes=-5", 0, "all");
	expect_ranges("bytes=-0", 0, "416");
}

static void test_several_ranges(void **state)
{
	expect_ranges("bytes=0-1,3-4", 100, "0-1,3-4");
	expect_ranges("bytes=50-59, 10-19 ,-5", 100, "50-59,10-19,95-99");
	expect_ranges("bytes=0-1,,3-4,", 100, "0-1,3-4");
	expect_ranges("bytes=,0-1", 100, "0-1");
	/* Those that overlap or adjoin become one, where the first of them stood. */
	expect_ranges("bytes=0-9,5-14", 100, "0-14");
	expect_ranges("bytes=0-9,10-19", 100, "0-19");
	expect_ranges("bytes=0-9,11-19", 100, "0-9,11-19");
	expect_ranges("bytes=10-19,0-9", 100, "0-19");
	expect_ranges("bytes=50-59,0-9,20-29,8-21", 100, "50-59,0-29");
	expect_ranges("bytes=0-9,20-29,40-49,0-", 100, "0-99");
	expect_ranges("bytes=20-29,0-9,40-49,-100", 100, "0-99");
	expect_ranges("bytes=0-0,0-0,0-0", 100, "0-0");
}

static void test_fields_that_are_ignored(void **state)
{
	static const char *const table[] = {
		"",
		"bytes",
		"bytes=",
		"bytes=,",
		"bytes= ",
		"bytes=-",
		"bytes=a-b",
		"bytes=1",
		"bytes=1-2-3",
		"bytes=--1",
		"bytes=2-1",
		"bytes=1-2,3",
		"bytes=1-2,2-1",
		"bytes=1 - 2",
		"bytes=+1-2",
		"bytes=0x1-2",
		"bytes:1-2",
		"bytes =1-2",
		"octets=1-2",
		"items=0-1",
		" bytes=1-2",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		expect_ranges(table[i], 100, "all");
}

static void test_numbers_at_the_limits(void **state)
{
	expect_ranges("bytes=0-18446744073709551615", 100, "0-99");
	expect_ranges("bytes=0-18446744073709551616", 100, "0-99");
	expect_ranges("bytes=0-99999999999999999999999999", 100, "0-99");
	expect_ranges("bytes=99999999999999999999999999-", 100, "416");
	expect_ranges("bytes=-99999999999999999999999999", 100, "0-99");
	expect_ranges("bytes=18446744073709551614-,0-0", UINT64_MAX,
		      "18446744073709551614-18446744073709551614,0-0");
	expect_ranges("bytes=0-,18446744073709551614-18446744073709551614", UINT64_MAX,
		      "0-18446744073709551614");
}

/* `count` ranges that do not touch. */
static void many(char *text, size_t cap, unsigned count)
{
	size_t at = (size_t)snprintf(text, cap, "bytes=");

	for (unsigned i = 0; i < count; i++)
		at += (size_t)snprintf(text + at, cap - at, "%s%u-%u", i ? "," : "", i * 10,
				       i * 10 + 1);
}

static void test_the_number_of_ranges_at_its_limit(void **state)
{
	struct http_range v[HTTP_RANGES_MAX];
	char text[512];

	many(text, sizeof(text), HTTP_RANGES_MAX);
	assert_int_equal(http_range_parse(str_from(text), 1000, v), HTTP_RANGES_MAX);
	many(text, sizeof(text), HTTP_RANGES_MAX + 1);
	assert_int_equal(http_range_parse(str_from(text), 1000, v), 0);
	/* Those beyond the end count too. */
	assert_int_equal(http_range_parse(str_from(text), 5, v), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_range),
		cmocka_unit_test(test_what_lies_beyond_the_end),
		cmocka_unit_test(test_several_ranges),
		cmocka_unit_test(test_fields_that_are_ignored),
		cmocka_unit_test(test_numbers_at_the_limits),
		cmocka_unit_test(test_the_number_of_ranges_at_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
