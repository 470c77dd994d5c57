// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "random.h"
#include "unit.h"

static void test_compare(void **state)
{
	assert_true(str_eq(STR(""), STR_NONE));
	assert_true(str_eq(STR("ab"), STR("ab")));
	assert_false(str_eq(STR("ab"), STR("abc")));
	assert_true(str_eq_nocase(STR("Content-Length"), STR("cONTENT-lENGTH")));
	/* Only letters are folded: '[' and '{', '@' and '`' differ by the same bit. */
	assert_false(str_eq_nocase(STR("["), STR("{")));
	assert_false(str_eq_nocase(STR("@"), STR("`")));
	assert_false(str_eq_nocase(STR("\xc9"), STR("\xe9")));
	assert_true(str_starts(STR("/a/b"), STR("/a")));
	assert_false(str_starts(STR("/a"), STR("/a/b")));
	assert_true(str_starts(STR("x"), STR("")));
	assert_true(str_ends(STR("file.gz"), STR(".gz")));
	assert_false(str_ends(STR("gz"), STR(".gz")));
	assert_true(str_starts_nocase(STR("Bearer x"), STR("bearer ")));
}

static void test_find(void **state)
{
	assert_int_equal(str_find_byte(STR("abc"), 'c'), 2);
	assert_int_equal(str_find_byte(STR("abc"), 'd'), -1);
	assert_int_equal(str_find_byte(STR_NONE, 'd'), -1);
	assert_int_equal(str_find(STR("a\0bc\0bd"), STR("\0bd")), 4);
	assert_int_equal(str_find(STR("abc"), STR("abcd")), -1);
	assert_int_equal(str_find(STR_NONE, STR("")), 0);
}

static void test_list_elements(void **state)
{
	static const char *const expected[] = {"gzip", "", "br;q=1", "x"};
	struct str rest = STR(" gzip\t,,br;q=1 , x"), element;
	unsigned n = 0;

	while (str_next(&rest, ',', &element)) {
		assert_true(n < 4);
		assert_true(str_eq(element, str_from(expected[n])));
		n++;
	}
	assert_int_equal(n, 4);
	rest = STR_NONE;
	assert_false(str_next(&rest, ',', &element));
	assert_int_equal(str_trim(STR(" \t \t")).len, 0);
}

static void test_numbers_are_parsed_strictly(void **state)
{
	static const char *const wrong[] = {"",   "-1",   "+1", " 1",  "1 ", "0x1", "1_0",
					    "1.", "\xb2", "a",  "1,1", "/",  ":"};
	uint64_t v = 77;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(str_to_u64(str_from(wrong[i]), UINT64_MAX, &v), -EINVAL);
	assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &v), -ERANGE);
	assert_int_equal(str_to_u64(STR("99999999999999999999999"), UINT64_MAX, &v), -ERANGE);
	assert_int_equal(str_to_u64(STR("99999999999999999999999x"), UINT64_MAX, &v), -EINVAL);
	assert_int_equal(str_to_u64(STR("65536"), 65535, &v), -ERANGE);
	assert_int_equal(v, 77);
	assert_int_equal(str_to_u64(STR("65535"), 65535, &v), 0);
	assert_int_equal(v, 65535);
	assert_int_equal(
		str_to_u64(STR("00000000000000000000000018446744073709551615"), UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
}

static void test_numbers_are_written_as_printf_does(void **state)
{
	struct random r = random_start("numbers");
	char ours[32], theirs[32];
	uint64_t back;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t v = random_u64(&r) >> random_below(&r, 65 - (i > 0)) % 64;
		unsigned n;

		if (i < 3)
			v = i == 0 ? 0 : i == 1 ? UINT64_MAX : 10;
		n = str_put_u64(ours, v);
		snprintf(theirs, sizeof(theirs), "%" PRIu64, v);
		assert_int_equal(n, strlen(theirs));
		assert_memory_equal(ours, theirs, n);
		assert_int_equal(str_to_u64((struct str){ours, n}, v, &back), 0);
		assert_true(back == v);
		n = str_put_hex(ours, v);
		snprintf(theirs, sizeof(theirs), "%" PRIx64, v);
		assert_int_equal(n, strlen(theirs));
		assert_memory_equal(ours, theirs, n);
	}
}

static unsigned naive_distance(struct str a, struct str b)
{
	if (!a.len || !b.len)
		return (unsigned)(a.len + b.len);

	unsigned x = naive_distance(str_skip(a, 1), str_skip(b, 1)) + (a.p[0] != b.p[0]);
	unsigned y = naive_distance(str_skip(a, 1), b) + 1;
	unsigned z = naive_distance(a, str_skip(b, 1)) + 1;

	return x < y ? (x < z ? x : z) : (y < z ? y : z);
}

static void test_distance(void **state)
{
	struct random r = random_start("distance");
	char a[6], b[6], longer[200];

	assert_int_equal(str_distance(STR("proxi"), STR("proxy")), 1);
	assert_int_equal(str_distance(STR("kitten"), STR("sitting")), 3);
	for (unsigned i = 0; i < 2000; i++) {
		struct str x = {a, random_below(&r, 6)}, y = {b, random_below(&r, 6)};

		for (unsigned k = 0; k < 6; k++) {
			a[k] = "abc"[random_below(&r, 3)];
			b[k] = "abc"[random_below(&r, 3)];
		}
		assert_int_equal(str_distance(x, y), naive_distance(x, y));
	}
	/* Longer ones are cut, on both sides. */
	memset(longer, 'a', sizeof(longer));
	assert_int_equal(str_distance((struct str){longer, 200}, STR("")), 64);
	assert_int_equal(str_distance(STR(""), (struct str){longer, 65}), 64);
	assert_int_equal(str_distance((struct str){longer, 200}, (struct str){longer, 64}), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_list_elements),
		cmocka_unit_test(test_numbers_are_parsed_strictly),
		cmocka_unit_test(test_numbers_are_written_as_printf_does),
		cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
