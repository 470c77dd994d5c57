// SPDX-License-Identifier: Apache-2.0
// Field names, methods, status texts, and lists of fields.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/fields.h"
#include "unit.h"

static const char *const lower[] = {"",
#define X(symbol, l, h1) l,
				    HTTP_NAMES(X)
#undef X
};

static void test_every_name_is_found_in_any_case(void **state)
{
	char text[64];

	for (unsigned id = 1; id < HTTP_NAME_COUNT; id++) {
		struct str name = http_name_lower((enum http_name)id);
		struct str h1 = http_name_h1((enum http_name)id);

		assert_true(str_eq(name, str_from(lower[id])));
		assert_true(str_eq_nocase(name, h1));
		assert_int_equal(http_name_find(name), id);
		assert_int_equal(http_name_find(h1), id);
		for (size_t i = 0; i < name.len; i++)
			text[i] = name.p[i] == '-' ? '-' : (char)(name.p[i] & ~0x20);
		assert_int_equal(http_name_find((struct str){text, name.len}), id);
	}
}

static void test_names_that_differ_in_one_byte_are_others(void **state)
{
	for (unsigned id = 1; id < HTTP_NAME_COUNT; id++) {
		struct str name = http_name_lower((enum http_name)id);
		/* Of its own length, so that a sanitizer sees a byte too many. */
		char *text = malloc(name.len);

		assert_non_null(text);
		for (size_t at = 0; at < name.len; at++) {
			for (unsigned c = 0; c < 256; c++) {
				struct str changed = {text, name.len};
				enum http_name found;

				memcpy(text, name.p, name.len);
				text[at] = (char)c;
				found = http_name_find(changed);
				if (found != HTTP_OTHER)
					assert_true(str_eq_nocase(changed, http_name_lower(found)));
				if (str_eq_nocase(changed, name))
					assert_int_equal(found, id);
			}
		}
		free(text);
	}
}

static void test_names_of_other_lengths_are_others(void **state)
{
	assert_int_equal(http_name_find(STR_NONE), HTTP_OTHER);
	assert_int_equal(http_name_find(STR("")), HTTP_OTHER);
	assert_int_equal(http_name_find(STR("t")), HTTP_OTHER);
	assert_int_equal(http_name_find(STR("hos")), HTTP_OTHER);
	assert_int_equal(http_name_find(STR("hostt")), HTTP_OTHER);
	assert_int_equal(http_name_find(STR("x-content-type-optionss")), HTTP_OTHER);
	assert_int_equal(http_name_find(STR("content-length ")), HTTP_OTHER);
}

static void test_fields_keep_their_order(void **state)
{
	struct http_fields f = {.v = NULL};
	struct arena arena;
	struct str value;
	unsigned at = 0;

	arena_init(&arena, 0);
	assert_null(http_fields_get(&f, HTTP_VARY).p);
	assert_false(http_fields_next(&f, HTTP_VARY, &at, &value));
	assert_int_equal(http_fields_add(&f, &arena, HTTP_ETAG, STR("\"a\"")), 0);
	assert_int_equal(http_fields_add_named(&f, &arena, STR("vary"), STR("b")), 0);
	assert_int_equal(http_fields_add_named(&f, &arena, STR("X-Mine"), STR("c")), 0);
	assert_int_equal(http_fields_add(&f, &arena, HTTP_VARY, STR("d")), 0);
	assert_int_equal(f.count, 4);
	assert_true(str_eq(f.v[0].name, STR("ETag")));
	assert_true(str_eq(f.v[1].name, STR("vary")));
	assert_int_equal(f.v[1].id, HTTP_VARY);
	assert_int_equal(f.v[2].id, HTTP_OTHER);
	assert_true(str_eq(http_fields_get(&f, HTTP_VARY), STR("b")));
	assert_true(http_fields_next(&f, HTTP_VARY, &at, &value));
	assert_true(str_eq(value, STR("b")));
	assert_true(http_fields_next(&f, HTTP_VARY, &at, &value));
	assert_true(str_eq(value, STR("d")));
	assert_false(http_fields_next(&f, HTTP_VARY, &at, &value));
	arena_free(&arena);
}

static void test_fields_at_their_limit(void **state)
{
	struct http_fields f = {.v = NULL};
	struct arena arena;
	char names[HTTP_FIELDS_MAX][8];

	arena_init(&arena, 0);
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "x-%u", i);
		assert_int_equal(http_fields_add_named(&f, &arena, str_from(names[i]), STR("v")),
				 0);
	}
	assert_int_equal(http_fields_add(&f, &arena, HTTP_DATE, STR("v")), -E2BIG);
	assert_int_equal(f.count, HTTP_FIELDS_MAX);
	assert_int_equal(f.first[HTTP_DATE], 0);
	for (unsigned i = 0; i < HTTP_FIELDS_MAX; i++)
		assert_true(str_eq(f.v[i].name, str_from(names[i])));
	arena_free(&arena);
}

static void test_fields_without_memory(void **state)
{
	struct http_fields f = {.v = NULL};
	struct arena arena;

	arena_init(&arena, 1);
	assert_int_equal(http_fields_add(&f, &arena, HTTP_DATE, STR("v")), -ENOMEM);
	assert_int_equal(f.count, 0);
	arena_free(&arena);
}

static void test_methods(void **state)
{
	assert_int_equal(http_method_find(STR("GET")), HTTP_GET);
	assert_int_equal(http_method_find(STR("OPTIONS")), HTTP_OPTIONS);
	assert_int_equal(http_method_find(STR("CONNECT")), HTTP_CONNECT);
	assert_int_equal(http_method_find(STR("TRACE")), HTTP_TRACE);
	assert_int_equal(http_method_find(STR("get")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_find(STR("")), HTTP_METHOD_OTHER);
	assert_int_equal(http_method_find(STR("PROPPATCH")), HTTP_METHOD_OTHER);
}

static void test_status_texts(void **state)
{
	assert_true(str_eq(http_status_text(200), STR("OK")));
	assert_true(str_eq(http_status_text(404), STR("Not Found")));
	assert_true(str_eq(http_status_text(431), STR("Request Header Fields Too Large")));
	assert_true(str_eq(http_status_text(299), STR("")));
	assert_true(str_eq(http_status_text(0), STR("")));
	assert_true(str_eq(http_status_text(70000), STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_name_is_found_in_any_case),
		cmocka_unit_test(test_names_that_differ_in_one_byte_are_others),
		cmocka_unit_test(test_names_of_other_lengths_are_others),
		cmocka_unit_test(test_fields_keep_their_order),
		cmocka_unit_test(test_fields_at_their_limit),
		cmocka_unit_test(test_fields_without_memory),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_status_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
