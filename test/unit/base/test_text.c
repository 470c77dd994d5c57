// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "json_check.h"
#include "random.h"
#include "unit.h"

static void test_grows_to_the_limit_and_no_further(void **state)
{
	struct text t;

	text_init(&t, 5000);
	for (unsigned i = 0; i < 4999; i++)
		text_put_char(&t, (char)i);
	assert_int_equal(t.len, 4999);
	text_put(&t, STR("ab"));
	assert_true(t.full);
	assert_int_equal(t.len, 4999);
	/* Full stays full: what follows a gap would be no beginning of the whole. */
	text_put(&t, STR("a"));
	assert_int_equal(t.len, 4999);
	for (unsigned i = 0; i < 4999; i++)
		assert_int_equal(t.p[i], (char)i);
	text_free(&t);
	assert_false(t.full);
	text_printf(&t, "%d", 5);
	assert_true(str_eq(text_str(&t), STR("5")));
	text_free(&t);
}

static void test_fixed_buffer(void **state)
{
	char buffer[10];
	struct text t;

	text_init_fixed(&t, buffer, sizeof(buffer));
	text_put(&t, STR("12345"));
	text_put_u64(&t, 67890);
	assert_false(t.full);
	text_put(&t, STR_NONE);
	assert_false(t.full);
	text_put_char(&t, 'x');
	assert_true(t.full);
	assert_true(str_eq(text_str(&t), STR("1234567890")));
}

static void test_long_parts(void **state)
{
	char *long_one = malloc(3001);
	struct text t;

	memset(long_one, 'x', 3000);
	long_one[3000] = 0;
	text_init(&t, 100000);
	text_printf(&t, "<%s>", long_one);
	assert_int_equal(t.len, 3002);
	assert_int_equal(t.p[3001], '>');
	memset(long_one, '\n', 3000);
	text_put_escaped(&t, (struct str){long_one, 3000}, ESCAPE_JSON);
	assert_int_equal(t.len, 9002);
	assert_memory_equal(t.p + 9000, "\\n", 2);
	text_free(&t);
	free(long_one);
}

static void test_json(void **state)
{
	struct text t;
	struct json j;

	text_init(&t, 100000);
	json_init(&j, &t);
	json_open_object(&j, NULL);
	json_u64(&j, "u", UINT64_MAX);
	json_i64(&j, "i", INT64_MIN);
	json_open_array(&j, "a\"");
	json_open_object(&j, NULL);
	json_close(&j);
	json_open_array(&j, NULL);
	json_close(&j);
	json_null(&j, NULL);
	json_bool(&j, NULL, true);
	json_close(&j);
	json_str(&j, "s", STR("x\n\xff"));
	json_text(&j, "t", NULL);
	json_bool(&j, "f", false);
	json_close(&j);
	assert_true(str_eq(text_str(&t),
			   STR("{\"u\":18446744073709551615,\"i\":-9223372036854775808,"
			       "\"a\\\"\":[{},[],null,true],\"s\":\"x\\n\\\\xff\",\"t\":null,"
			       "\"f\":false}")));
	assert_true(json_check(text_str(&t)));
	text_free(&t);
}

/* Any shape of document is JSON, and in a short buffer a beginning of it that is known to be cut. */
static void test_random_documents(void **state)
{
	struct random r = random_start("json");

	for (unsigned round = 0; round < 500; round++) {
		static char buffer[2000];
		struct text t[2];
		struct json j[2];
		uint64_t seed = r.state = random_u64(&r);

		text_init(&t[0], 1000000);
		text_init_fixed(&t[1], buffer, random_below(&r, sizeof(buffer)));
		for (unsigned k = 0; k < 2; k++) {
			struct random s = {seed};
			unsigned steps = (unsigned)random_below(&s, 60);

			json_init(&j[k], &t[k]);
			json_open_array(&j[k], NULL);
			for (unsigned i = 0; i < steps; i++) {
				const char *key = j[k].objects >> j[k].depth & 1 ? "key" : NULL;
				unsigned what = (unsigned)random_below(&s, 8);

				if (what == 0 && j[k].depth + 1 < JSON_DEPTH_MAX)
					json_open_object(&j[k], key);
				else if (what == 1 && j[k].depth + 1 < JSON_DEPTH_MAX)
					json_open_array(&j[k], key);
				else if (what == 2 && j[k].depth > 1)
					json_close(&j[k]);
				else if (what == 3)
					json_str(&j[k], key, (struct str){(char *)&seed, 8});
				else
					json_u64(&j[k], key, i);
			}
			while (j[k].depth)
				json_close(&j[k]);
		}
		assert_true(json_check(text_str(&t[0])));
		assert_true(t[1].full == (t[1].len < t[0].len));
		assert_memory_equal(t[1].p, t[0].p, t[1].len);
		text_free(&t[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grows_to_the_limit_and_no_further),
		cmocka_unit_test(test_fixed_buffer),
		cmocka_unit_test(test_long_parts),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_random_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
