// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "http/date.h"
#include "unit.h"

#define NOW 1784000000 /* in July 2026 */

/* From memory of its own length, so that a sanitizer sees a byte too many. */
static int parse(const char *text, int64_t now_s, int64_t *unix_s)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, text, len);
	r = http_date_parse((struct str){copy, len}, now_s, unix_s);
	free(copy);
	return r;
}

static void expect_at(const char *text, int64_t now_s, int64_t expected)
{
	int64_t got = -1;

	if (parse(text, now_s, &got) || got != expected)
		print_error("%s: %lld\n", text, (long long)got);
	assert_true(got == expected);
}

static void expect_none(const char *text)
{
	int64_t untouched = 42;

	if (parse(text, NOW, &untouched) != -EINVAL)
		print_error("%s\n", text);
	assert_int_equal(parse(text, NOW, &untouched), -EINVAL);
	assert_int_equal(untouched, 42);
}

static void test_the_three_forms(void **state)
{
	expect_at("Sun, 06 Nov 1994 08:49:37 GMT", NOW, 784111777);
	expect_at("Sunday, 06-Nov-94 08:49:37 GMT", NOW, 784111777);
	expect_at("Sun Nov  6 08:49:37 1994", NOW, 784111777);
	expect_at("Sun Nov 16 08:49:37 1994", NOW, 784111777 + 10 * 86400);
	expect_at("Thu, 01 Jan 1970 00:00:00 GMT", NOW, 0);
	expect_at("Wed, 31 Dec 1969 23:59:59 GMT", NOW, -1);
	expect_at("Wednesday, 15-Jul-26 00:00:00 GMT", NOW, 1784073600);
}

static void test_leap_years_and_the_ends_of_time(void **state)
{
	expect_at("Tue, 29 Feb 2000 00:00:00 GMT", NOW, 951782400);
	expect_at("Thu, 29 Feb 2024 23:59:59 GMT", NOW, 1709251199);
	expect_at("Mon, 01 Mar 2100 00:00:00 GMT", NOW, 4107542400);
	expect_at("Fri, 31 Dec 9999 23:59:59 GMT", NOW, 253402300799);
	expect_at("Sat, 01 Jan 0000 00:00:00 GMT", NOW, -62167219200);
	/* Beyond 32 bits. */
	expect_at("Tue, 19 Jan 2038 03:14:08 GMT", NOW, 2147483648);
	/* A leap second is the first of the next minute. */
	expect_at("Sat, 31 Dec 2016 23:59:60 GMT", NOW, 1483228800);
	expect_none("Fri, 29 Feb 2100 00:00:00 GMT");
	expect_none("Wed, 29 Feb 2023 00:00:00 GMT");
	expect_none("Wed, 30 Feb 2000 00:00:00 GMT");
}

static void test_two_digits_of_a_year(void **state)
{
	/* Up to 50 years ahead it is the future, beyond that the past. */
	expect_at("Tuesday, 14-Jul-76 03:33:20 GMT", NOW, 3361923200);
	expect_at("Wednesday, 14-Jul-76 03:33:21 GMT", NOW, 3361923200 + 1 - 3155760000);
	expect_at("Friday, 01-Jan-99 00:00:00 GMT", NOW, 915148800);
	expect_at("Thursday, 01-Jan-70 00:00:00 GMT", NOW, 3155760000);
	expect_at("Saturday, 01-Jan-00 00:00:00 GMT", NOW, 946684800);
	/* Seen from 1980, 29 is still to come and 31 is over. */
	expect_at("Monday, 01-Jan-29 00:00:00 GMT", 315532800, 1861920000);
	expect_at("Thursday, 01-Jan-31 00:00:00 GMT", 315532800, -1230768000);
	/* A leap day that the century of `now` lacks and the one before has. */
	expect_at("Tuesday, 29-Feb-00 00:00:00 GMT", 4449513600, 951782400);
}

static void test_what_is_no_date(void **state)
{
	static const char *const table[] = {
		"",
		"0",
		"Sun",
		"GMT",
		"Sun, 06 Nov 1994 08:49:37",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Sun, 06 Nov 1994 08:49:37 gmt",
		"Sun, 06 nov 1994 08:49:37 GMT",
		"sun, 06 Nov 1994 08:49:37 GMT",
		"Abc, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Abc 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 31 Nov 1994 08:49:37 GMT",
		"Sun, 32 Dec 1994 08:49:37 GMT",
		"Sun,  6 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:00:00 GMT",
		"Sun, 06 Nov 1994 08:60:00 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 1994 08-49-37 GMT",
		"Sun, 06 Nov 199x 08:49:37 GMT",
		"Sun, 06 Nov -994 08:49:37 GMT",
		"Sun, 06-Nov-1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		" Sun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-94 08:49:37",
		"Sunday 06-Nov-94 08:49:37 GMT",
		"Funday, 06-Nov-94 08:49:37 GMT",
		"Sunday, 06-Nov-9x 08:49:37 GMT",
		"Sunday, 31-Nov-94 08:49:37 GMT",
		"Sunday, 06-Abc-94 08:49:37 GMT",
		"Sun Nov  0 08:49:37 1994",
		"Sun Nov 6  08:49:37 1994",
		"Sun Nov 31 08:49:37 1994",
		"Sun Nov  6 08:49:37 199 ",
		"Abc Nov  6 08:49:37 1994",
		"Sun Nov 06 08:49:37 94  ",
		", 06-Nov-94 08:49:37 GMT",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		expect_none(table[i]);
}

static void expect_printed(int64_t unix_s, const char *expected)
{
	char out[HTTP_DATE_BYTES + 1] = {0};

	http_date_print(unix_s, out);
	assert_string_equal(out, expected);
}

static void test_print(void **state)
{
	expect_printed(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
	expect_printed(0, "Thu, 01 Jan 1970 00:00:00 GMT");
	expect_printed(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
	expect_printed(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
	expect_printed(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
	/* What four digits cannot show is the nearest that they can. */
	expect_printed(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
	expect_printed(INT64_MIN, "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void test_what_is_printed_is_parsed_and_agrees_with_libc(void **state)
{
	char out[HTTP_DATE_BYTES + 1] = {0}, expected[64];

	/* Prime steps through eight centuries around now. */
	for (int64_t s = -12000000000; s < 14000000000; s += 86400 * 11 + 12347) {
		time_t t = (time_t)s;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		http_date_print(s, out);
		assert_string_equal(out, expected);
		expect_at(out, NOW, s);
		strftime(expected, sizeof(expected), "%a %b %e %H:%M:%S %Y", &tm);
		expect_at(expected, NOW, s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_three_forms),
		cmocka_unit_test(test_leap_years_and_the_ends_of_time),
		cmocka_unit_test(test_two_digits_of_a_year),
		cmocka_unit_test(test_what_is_no_date),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_what_is_printed_is_parsed_and_agrees_with_libc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
