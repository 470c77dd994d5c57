// SPDX-License-Identifier: Apache-2.0
#include "observe/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "json_check.h"
#include "random.h"
#include "unit.h"

static const struct access_record plain = {
	.client = {"192.0.2.7", 9},
	.user = {"ann", 3},
	.method = {"GET", 3},
	.target = {"/a?b=c", 6},
	.protocol = {"HTTP/1.1", 8},
	.host = {"example.com", 11},
	.referer = {"https://x.example/", 18},
	.user_agent = {"curl/8.1 (x; y)", 15},
	.time_ns = 1795248000123999999,
	.duration_ns = 1234567,
	.request_bytes = 99,
	.body_bytes = 512,
	.status = 200,
};

static void check(enum access_format format, const struct access_record *r, const char *expected)
{
	struct access_formatter f = {.format = format};
	char line[ACCESS_LINE_BYTES + 1];
	size_t n = access_format_line(&f, r, line);

	assert_true(n < sizeof(line));
	line[n] = 0;
	assert_string_equal(line, expected);
}

static void test_each_format(void **state)
{
	check(ACCESS_COMMON, &plain,
	      "192.0.2.7 - ann [21/Nov/2026:08:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 512\n");
	check(ACCESS_COMBINED, &plain,
	      "192.0.2.7 - ann [21/Nov/2026:08:00:00 +0000] \"GET /a?b=c HTTP/1.1\" 200 512 "
	      "\"https://x.example/\" \"curl/8.1 (x; y)\"\n");
	check(ACCESS_JSON, &plain,
	      "{\"time\":\"2026-11-21T08:00:00.123Z\",\"client\":\"192.0.2.7\",\"user\":\"ann\","
	      "\"method\":\"GET\",\"host\":\"example.com\",\"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\","
	      "\"status\":200,\"request_bytes\":99,\"body_bytes\":512,\"duration_us\":1234,"
	      "\"aborted\":false,\"referer\":\"https://x.example/\",\"user_agent\":\"curl/8.1 (x; y)\"}\n");
}

static void test_json_names_the_server_that_was_asked(void **state)
{
	struct access_record r = {
		.upstream = STR("10.0.0.1:80"), .tries = 2, .first_byte_ns = 4567890};

	check(ACCESS_COMMON, &r, "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - 0\n");
	check(ACCESS_JSON, &r,
	      "{\"time\":\"1970-01-01T00:00:00.000Z\",\"status\":0,\"request_bytes\":0,\"body_bytes\":0,"
	      "\"duration_us\":0,\"aborted\":false,\"upstream\":\"10.0.0.1:80\",\"tries\":2,"
	      "\"first_byte_us\":4567}\n");
}

static void test_nothing_known(void **state)
{
	struct access_record none = {.aborted = true};

	check(ACCESS_COMMON, &none, "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - 0\n");
	check(ACCESS_COMBINED, &none, "- - - [01/Jan/1970:00:00:00 +0000] \"-\" - 0 \"-\" \"-\"\n");
	check(ACCESS_JSON, &none,
	      "{\"time\":\"1970-01-01T00:00:00.000Z\",\"status\":0,\"request_bytes\":0,\"body_bytes\":0,"
	      "\"duration_us\":0,\"aborted\":true}\n");
}

static void test_a_peer_cannot_forge_a_line(void **state)
{
	struct access_record r = plain;

	r.user = STR("ann b\"\n");
	r.target = STR("/\" 200 1\n10.0.0.1 - - \\\x1b[2J\xff");
	r.user_agent = STR("x\" \"y\r\n\xc3\xa9");
	check(ACCESS_COMBINED, &r,
	      "192.0.2.7 - ann_b\\\"\\n [21/Nov/2026:08:00:00 +0000] "
	      "\"GET /\\\" 200 1\\n10.0.0.1 - - \\\\\\x1b[2J\\xff HTTP/1.1\" 200 512 "
	      "\"https://x.example/\" \"x\\\" \\\"y\\r\\n\\xc3\\xa9\"\n");
}

static void test_long_fields_are_cut_and_marked(void **state)
{
	static char target[3000], expected[ACCESS_LINE_BYTES];
	struct access_record r = plain;

	memset(target, 'a', sizeof(target));
	r.target = (struct str){target, ACCESS_TARGET_BYTES - 3};
	snprintf(expected, sizeof(expected),
		 "192.0.2.7 - ann [21/Nov/2026:08:00:00 +0000] \"GET %.*s HTTP/1.1\" 200 512\n",
		 ACCESS_TARGET_BYTES - 3, target);
	check(ACCESS_COMMON, &r, expected);
	r.target.len = ACCESS_TARGET_BYTES - 2;
	snprintf(expected, sizeof(expected),
		 "192.0.2.7 - ann [21/Nov/2026:08:00:00 +0000] \"GET %.*s... HTTP/1.1\" 200 512\n",
		 ACCESS_TARGET_BYTES - 3, target);
	check(ACCESS_COMMON, &r, expected);
	r.target.len = sizeof(target);
	check(ACCESS_COMMON, &r, expected);
}

/* The time is kept for a second, and no longer, nor backwards. */
static void test_the_time_moves(void **state)
{
	struct access_formatter f = {.format = ACCESS_COMMON};
	static const struct {
		uint64_t time_s;
		const char *text;
	} cases[] = {
		{1795248000, "[21/Nov/2026:08:00:00 +0000]"},
		{1795248000, "[21/Nov/2026:08:00:00 +0000]"},
		{1795248001, "[21/Nov/2026:08:00:01 +0000]"},
		{1795247999, "[21/Nov/2026:07:59:59 +0000]"},
		{951782400, "[29/Feb/2000:00:00:00 +0000]"},
		{4102444799, "[31/Dec/2099:23:59:59 +0000]"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char line[ACCESS_LINE_BYTES];
		struct access_record r = {.time_ns =
						  cases[i].time_s * CLOCK_NS_PER_S + i * 100000000};
		size_t n = access_format_line(&f, &r, line);

		assert_true(n > 40);
		assert_memory_equal(line + 6, cases[i].text, strlen(cases[i].text));
	}
}

static struct str random_field(struct random *r, char *space, size_t most)
{
	size_t n = random_below(r, 4) ? random_below(r, 20) : random_below(r, most);
	unsigned kind = (unsigned)random_below(r, 4);

	for (size_t i = 0; i < n; i++)
		space[i] = kind == 0 ? (char)random_u64(r)
			 : kind == 1 ? "\x01\xff\"\\"[random_below(r, 4)]
			 : kind == 2 ? "\xe2\x82\xac"[i % 3]
				     : 'a';
	return (struct str){space, n};
}

static void test_any_bytes_make_one_safe_line(void **state)
{
	struct random r = random_start("access");
	static char space[9][4000], line[ACCESS_LINE_BYTES];

	for (unsigned round = 0; round < 3000; round++) {
		struct access_formatter f = {.format = (enum access_format)(round % 3)};
		struct access_record a = {
			.client = random_field(&r, space[0], 4000),
			.user = random_field(&r, space[1], 4000),
			.method = random_field(&r, space[2], 4000),
			.target = random_field(&r, space[3], 4000),
			.protocol = random_field(&r, space[4], 4000),
			.host = random_field(&r, space[5], 4000),
			.referer = random_field(&r, space[6], 4000),
			.user_agent = random_field(&r, space[7], 4000),
			.time_ns = random_u64(&r) >> random_below(&r, 32),
			.duration_ns = random_u64(&r),
			.request_bytes = random_u64(&r),
			.body_bytes = UINT64_MAX,
			.status = (unsigned)random_u64(&r),
			.aborted = random_below(&r, 2),
			.upstream = random_field(&r, space[8], 4000),
			.tries = (unsigned)random_u64(&r),
			.first_byte_ns = random_u64(&r),
		};
		size_t n = access_format_line(&f, &a, line);
		unsigned quotes = 0;

		assert_true(n <= ACCESS_LINE_BYTES);
		assert_int_equal(line[n - 1], '\n');
		for (size_t i = 0; i + 1 < n; i++) {
			assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
			if (f.format != ACCESS_JSON)
				assert_true((unsigned char)line[i] < 0x7f);
			if (line[i] == '\\')
				i++;
			else
				quotes += line[i] == '"';
		}
		if (f.format == ACCESS_JSON)
			assert_true(json_check((struct str){line, n}));
		else
			assert_int_equal(quotes, f.format == ACCESS_COMMON ? 2 : 6);
	}
}

/* Every field at its longest and every number at its widest still makes a line. */
static void test_the_longest_line_fits(void **state)
{
	static char junk[4000], line[ACCESS_LINE_BYTES];
	struct str s = {junk, sizeof(junk)};
	struct access_record r = {.client = s,
				  .user = s,
				  .method = s,
				  .target = s,
				  .protocol = s,
				  .host = s,
				  .referer = s,
				  .user_agent = s,
				  .time_ns = UINT64_MAX,
				  .duration_ns = UINT64_MAX,
				  .request_bytes = UINT64_MAX,
				  .body_bytes = UINT64_MAX,
				  .status = UINT32_MAX};

	memset(junk, 'x', sizeof(junk));
	for (unsigned k = 0; k < 3; k++) {
		struct access_formatter f = {.format = (enum access_format)k};
		size_t n = access_format_line(&f, &r, line);

		assert_true(n <= ACCESS_LINE_BYTES);
		assert_true(n > ACCESS_TARGET_BYTES + (k ? 2 * ACCESS_HEADER_BYTES : 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_format),
		cmocka_unit_test(test_json_names_the_server_that_was_asked),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_a_peer_cannot_forge_a_line),
		cmocka_unit_test(test_long_fields_are_cut_and_marked),
		cmocka_unit_test(test_the_time_moves),
		cmocka_unit_test(test_any_bytes_make_one_safe_line),
		cmocka_unit_test(test_the_longest_line_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
