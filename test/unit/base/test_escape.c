// SPDX-License-Identifier: Apache-2.0
#include "base/escape.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "json_check.h"
#include "random.h"
#include "unit.h"

static void check(struct str in, enum escape how, const char *expected)
{
	char out[256];
	size_t taken, n = escape_put(out, sizeof(out), in, how, &taken);

	assert_int_equal(taken, in.len);
	assert_int_equal(n, strlen(expected));
	assert_memory_equal(out, expected, n);
}

static void test_each_form(void **state)
{
	struct str in = STR("a\"b\\\n\x1b[1m\x7f\xc3\xa9\xc2\x85\xff");

	check(in, ESCAPE_TEXT, "a\"b\\\\n\\x1b[1m\\x7f\xc3\xa9\\xc2\\x85\\xff");
	check(in, ESCAPE_QUOTED, "a\\\"b\\\\\\n\\x1b[1m\\x7f\\xc3\\xa9\\xc2\\x85\\xff");
	check(in, ESCAPE_JSON, "a\\\"b\\\\\\n\\u001b[1m\\u007f\xc3\xa9\\u0085\\\\xff");
	check(STR("\0\r\t"), ESCAPE_TEXT, "\\x00\\r\\t");
	check(STR_NONE, ESCAPE_JSON, "");
}

static void test_utf8(void **state)
{
	static const struct {
		struct str in;
		unsigned length;
	} cases[] = {
		{STR(""), 0},
		{STR("a"), 1},
		{STR("\xc2\x80"), 2},
		{STR("\xe2\x82\xac!"), 3},
		{STR("\xf0\x9f\x98\x80"), 4},
		{STR("\xf4\x8f\xbf\xbf"), 4},
		{STR("\x80"), 0},
		{STR("\xc0\x80"), 0}, /* overlong */
		{STR("\xc1\xbf"), 0},
		{STR("\xe0\x9f\xbf"), 0},
		{STR("\xf0\x8f\xbf\xbf"), 0},
		{STR("\xed\xa0\x80"), 0},     /* a surrogate */
		{STR("\xf4\x90\x80\x80"), 0}, /* above U+10FFFF */
		{STR("\xf5\x80\x80\x80"), 0},
		{STR("\xc2"), 0}, /* cut */
		{STR("\xe2\x82"), 0},
		{STR("\xf0\x9f\x98"), 0},
		{STR("\xe2\x82\x20"), 0},
		{STR("\xff"), 0},
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(cases); i++)
		assert_int_equal(utf8_length(cases[i].in), cases[i].length);
}

/* Whatever goes in: no control character comes out, JSON is accepted, and a cut result is a beginning. */
static void test_random_bytes(void **state)
{
	struct random r = random_start("escape");
	static const char tricky[8] = "\n\"\\\xc3\xa9\xe2\x82\xac";
	char in[64], whole[sizeof(in) * ESCAPE_BYTES_MAX + 2], part[sizeof(whole)];

	for (unsigned round = 0; round < 5000; round++) {
		struct str s = {in, random_below(&r, sizeof(in))};
		enum escape how = (enum escape)random_below(&r, 3);
		size_t n, cap, taken;

		for (unsigned i = 0; i < s.len; i++)
			in[i] = random_below(&r, 3) ? (char)random_u64(&r) : tricky[i % 8];
		n = escape_put(whole + 1, sizeof(whole) - 2, s, how, &taken);
		assert_int_equal(taken, s.len);
		for (unsigned i = 1; i <= n; i++)
			assert_false((unsigned char)whole[i] < 0x20 || whole[i] == 0x7f);
		if (how == ESCAPE_JSON) {
			whole[0] = whole[n + 1] = '"';
			assert_true(json_check((struct str){whole, n + 2}));
		}
		cap = random_below(&r, n + 1);

		size_t m = escape_put(part, cap, s, how, &taken);

		assert_true(m <= cap && cap - m < ESCAPE_BYTES_MAX);
		assert_memory_equal(part, whole + 1, m);
		m += escape_put(part + m, sizeof(part) - m, str_skip(s, taken), how, NULL);
		assert_int_equal(m, n);
		assert_memory_equal(part, whole + 1, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_form),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
