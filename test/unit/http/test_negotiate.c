// SPDX-License-Identifier: Apache-2.0
// Entity tags, preconditions (RFC 9110 section 13) and content codings.
#include "http/date.h"
#include "http/negotiate.h"
#include "unit.h"

#define NOW 784200000
#define MODIFIED 784111777
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"
#define LINES_MAX 4

/* A head of a few fields. */
struct line {
	enum http_name id;
	const char *value;
};

static void make_head(struct http_head *head, struct arena *arena, enum http_method method,
		      const struct line *lines)
{
	memset(head, 0, sizeof(*head));
	arena_init(arena, 0);
	head->method = method;
	for (unsigned i = 0; i < LINES_MAX && lines[i].value; i++)
		assert_int_equal(http_fields_add(&head->fields, arena, lines[i].id,
						 str_from(lines[i].value)),
				 0);
}

static void test_etag_lists(void **state)
{
	static const struct {
		const char *list, *etag;
		bool strong, weak;
	} table[] = {
		{"\"a\"", "\"a\"", true, true},
		{"\"a\"", "\"b\"", false, false},
		{"\"A\"", "\"a\"", false, false},
		/* The table of RFC 9110 section 8.8.3.2. */
		{"W/\"1\"", "W/\"1\"", false, true},
		{"W/\"1\"", "W/\"2\"", false, false},
		{"W/\"1\"", "\"1\"", false, true},
		{"\"1\"", "\"1\"", true, true},
		{"\"1\"", "W/\"1\"", false, true},
		{"\"x\", \"y\" ,W/\"z\",\"a\"", "\"a\"", true, true},
		{"\"x\",,\t\"a\"", "\"a\"", true, true},
		{"\"x,\"a\"", "\"a\"", false, false},
		{"\"a,b\"", "\"a,b\"", true, true},
		{"\"a,b\"", "\"b\"", false, false},
		{"a", "\"a\"", false, false},
		{"\"a", "\"a\"", false, false},
		{"x \"a\"", "\"a\"", false, false},
		{"w/\"a\"", "\"a\"", false, false},
		{"W/a", "\"a\"", false, false},
		{"W/", "\"a\"", false, false},
		{"\"\"", "\"\"", true, true},
		{"*", "\"a\"", true, true},
		{" * ", "\"a\"", true, true},
		{"**", "\"a\"", false, false},
		{"", "\"a\"", false, false},
		{"\"a\"", NULL, false, false},
		{"*", NULL, true, true},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct str list = str_from(table[i].list), etag = str_from(table[i].etag);

		assert_int_equal(http_etag_listed(list, etag, false), table[i].strong);
		assert_int_equal(http_etag_listed(list, etag, true), table[i].weak);
	}
}

/* The order of RFC 9110 section 13.2.2, against the tag "a" and the date SAME. */
static const struct precondition {
	enum http_method method;
	enum http_precondition expected;
	struct line lines[LINES_MAX];
} preconditions[] = {
	{HTTP_GET, HTTP_PRE_SEND, {{0, NULL}}},
	/* Step 1: If-Match. */
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MATCH, "\"a\""}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MATCH, "*"}}},
	{HTTP_GET, HTTP_PRE_FAILED, {{HTTP_IF_MATCH, "\"b\""}}},
	{HTTP_GET, HTTP_PRE_FAILED, {{HTTP_IF_MATCH, "W/\"a\""}}},
	{HTTP_GET, HTTP_PRE_FAILED, {{HTTP_IF_MATCH, ""}}},
	{HTTP_PUT, HTTP_PRE_FAILED, {{HTTP_IF_MATCH, "\"b\", \"c\""}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MATCH, "\"b\""}, {HTTP_IF_MATCH, "\"a\""}}},
	/* It sets aside If-Unmodified-Since. */
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MATCH, "\"a\""}, {HTTP_IF_UNMODIFIED_SINCE, BEFORE}}},
	/* Step 2: If-Unmodified-Since. */
	{HTTP_GET, HTTP_PRE_FAILED, {{HTTP_IF_UNMODIFIED_SINCE, BEFORE}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_UNMODIFIED_SINCE, SAME}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_UNMODIFIED_SINCE, AFTER}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_UNMODIFIED_SINCE, "yesterday"}}},
	{HTTP_GET,
	 HTTP_PRE_SEND,
	 {{HTTP_IF_UNMODIFIED_SINCE, BEFORE}, {HTTP_IF_UNMODIFIED_SINCE, BEFORE}}},
	/* Step 3: If-None-Match. */
	{HTTP_GET, HTTP_PRE_NOT_MODIFIED, {{HTTP_IF_NONE_MATCH, "\"a\""}}},
	{HTTP_HEAD, HTTP_PRE_NOT_MODIFIED, {{HTTP_IF_NONE_MATCH, "W/\"a\""}}},
	{HTTP_GET, HTTP_PRE_NOT_MODIFIED, {{HTTP_IF_NONE_MATCH, "*"}}},
	{HTTP_PUT, HTTP_PRE_FAILED, {{HTTP_IF_NONE_MATCH, "*"}}},
	{HTTP_POST, HTTP_PRE_FAILED, {{HTTP_IF_NONE_MATCH, "\"a\""}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_NONE_MATCH, "\"b\""}}},
	{HTTP_GET,
	 HTTP_PRE_NOT_MODIFIED,
	 {{HTTP_IF_NONE_MATCH, "\"b\""}, {HTTP_IF_NONE_MATCH, "\"a\""}}},
	/* It sets aside If-Modified-Since. */
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_NONE_MATCH, "\"b\""}, {HTTP_IF_MODIFIED_SINCE, AFTER}}},
	{HTTP_GET,
	 HTTP_PRE_NOT_MODIFIED,
	 {{HTTP_IF_NONE_MATCH, "\"a\""}, {HTTP_IF_MODIFIED_SINCE, BEFORE}}},
	/* Step 4: If-Modified-Since. */
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MODIFIED_SINCE, BEFORE}}},
	{HTTP_GET, HTTP_PRE_NOT_MODIFIED, {{HTTP_IF_MODIFIED_SINCE, SAME}}},
	{HTTP_HEAD, HTTP_PRE_NOT_MODIFIED, {{HTTP_IF_MODIFIED_SINCE, AFTER}}},
	{HTTP_PUT, HTTP_PRE_SEND, {{HTTP_IF_MODIFIED_SINCE, SAME}}},
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MODIFIED_SINCE, "0"}}},
	/* Steps 1 and 2 come before 3 and 4. */
	{HTTP_GET, HTTP_PRE_FAILED, {{HTTP_IF_NONE_MATCH, "\"a\""}, {HTTP_IF_MATCH, "\"b\""}}},
	{HTTP_GET,
	 HTTP_PRE_FAILED,
	 {{HTTP_IF_MODIFIED_SINCE, SAME}, {HTTP_IF_UNMODIFIED_SINCE, BEFORE}}},
	{HTTP_GET,
	 HTTP_PRE_NOT_MODIFIED,
	 {{HTTP_IF_MATCH, "\"a\""}, {HTTP_IF_NONE_MATCH, "\"a\""}}},
	/* If-Range is no precondition. */
	{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_RANGE, "\"b\""}}},
};

static void test_preconditions(void **state)
{
	for (size_t i = 0; i < sizeof(preconditions) / sizeof(preconditions[0]); i++) {
		const struct precondition *p = &preconditions[i];
		struct http_head head;
		struct arena arena;

		make_head(&head, &arena, p->method, p->lines);
		if (http_precondition(&head, STR("\"a\""), MODIFIED, NOW) != p->expected)
			print_error("precondition %zu\n", i);
		assert_int_equal(http_precondition(&head, STR("\"a\""), MODIFIED, NOW),
				 p->expected);
		arena_free(&arena);
	}
}

static void test_preconditions_without_tag_or_date(void **state)
{
	static const struct precondition table[] = {
		{HTTP_GET, HTTP_PRE_FAILED, {{HTTP_IF_MATCH, "\"a\""}}},
		{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MATCH, "*"}}},
		{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_NONE_MATCH, "\"a\""}}},
		{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_NONE_MATCH, "\"\""}}},
		{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_MODIFIED_SINCE, AFTER}}},
		{HTTP_GET, HTTP_PRE_SEND, {{HTTP_IF_UNMODIFIED_SINCE, BEFORE}}},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_head head;
		struct arena arena;

		make_head(&head, &arena, table[i].method, table[i].lines);
		assert_int_equal(http_precondition(&head, STR_NONE, -1, NOW), table[i].expected);
		arena_free(&arena);
	}
}

static void test_if_range(void **state)
{
	static const struct {
		const char *value, *etag;
		int64_t modified_s, now_s;
		bool expected;
	} table[] = {
		{NULL, "\"a\"", MODIFIED, NOW, true},
		{"\"a\"", "\"a\"", MODIFIED, NOW, true},
		{"\"b\"", "\"a\"", MODIFIED, NOW, false},
		{"W/\"a\"", "\"a\"", MODIFIED, NOW, false},
		{"\"a\"", "W/\"a\"", MODIFIED, NOW, false},
		{"W/\"a\"", "W/\"a\"", MODIFIED, NOW, false},
		{"\"a\", \"b\"", "\"a\"", MODIFIED, NOW, false},
		{"\"a\"", NULL, MODIFIED, NOW, false},
		{SAME, "\"a\"", MODIFIED, NOW, true},
		{BEFORE, "\"a\"", MODIFIED, NOW, false},
		/* Not "since": the very date. */
		{AFTER, "\"a\"", MODIFIED, NOW, false},
		{SAME, "\"a\"", -1, NOW, false},
		/* A date of this very second is no strong validator. */
		{SAME, "\"a\"", MODIFIED, MODIFIED, false},
		{SAME, "\"a\"", MODIFIED, MODIFIED + 1, true},
		{"a", "\"a\"", MODIFIED, NOW, false},
		{"", "\"a\"", MODIFIED, NOW, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct line lines[LINES_MAX] = {{HTTP_IF_RANGE, table[i].value}};
		struct http_head head;
		struct arena arena;

		make_head(&head, &arena, HTTP_GET, lines);
		assert_int_equal(http_if_range(&head, str_from(table[i].etag), table[i].modified_s,
					       table[i].now_s),
				 table[i].expected);
		arena_free(&arena);
	}
}

#define IDENTITY (1 << HTTP_IDENTITY)
#define GZIP (1 << HTTP_GZIP)
#define BR (1 << HTTP_BR)
#define ZSTD (1 << HTTP_ZSTD)
#define ALL (GZIP | BR | ZSTD)

static void test_codings(void **state)
{
	static const struct {
		const char *value, *second;
		unsigned offered;
		enum http_coding expected;
	} table[] = {
		{NULL, NULL, ALL, HTTP_IDENTITY},
		{"", NULL, ALL, HTTP_IDENTITY},
		{"gzip", NULL, ALL, HTTP_GZIP},
		{"gzip", NULL, BR | ZSTD, HTTP_IDENTITY},
		{"gzip", NULL, 0, HTTP_IDENTITY},
		{"gzip", NULL, IDENTITY, HTTP_IDENTITY},
		{"GZip", NULL, ALL, HTTP_GZIP},
		{"x-gzip", NULL, ALL, HTTP_GZIP},
		{"gzip, deflate, br, zstd", NULL, ALL, HTTP_ZSTD},
		{"gzip, deflate, br, zstd", NULL, GZIP | BR, HTTP_BR},
		{"gzip, deflate, br", NULL, ALL, HTTP_BR},
		{"gzip;q=1.0, br;q=0.9, zstd;q=0.8", NULL, ALL, HTTP_GZIP},
		{"gzip;q=0.001", NULL, ALL, HTTP_GZIP},
		{"gzip;q=0", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=0.000", NULL, ALL, HTTP_IDENTITY},
		{"gzip ; q=0.5 , br ;q=0.25", NULL, ALL, HTTP_GZIP},
		{"gzip;Q=0", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=0.5, identity", NULL, ALL, HTTP_IDENTITY},
		{"gzip, identity;q=0.5", NULL, ALL, HTTP_GZIP},
		{"gzip;q=0.5, identity;q=0.5", NULL, ALL, HTTP_GZIP},
		{"identity;q=0", NULL, ALL, HTTP_IDENTITY},
		{"*", NULL, ALL, HTTP_ZSTD},
		{"*;q=0.5, gzip", NULL, ALL, HTTP_GZIP},
		{"*, zstd;q=0", NULL, ALL, HTTP_BR},
		{"gzip, *;q=0", NULL, ALL, HTTP_GZIP},
		{"*;q=0", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=2", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=1.001", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=0.0001", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=.5", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=", NULL, ALL, HTTP_IDENTITY},
		{"gzip;q=0x1", NULL, ALL, HTTP_IDENTITY},
		{"gzip;level=1", NULL, ALL, HTTP_GZIP},
		{"gzip;q=1., br;q=0.", NULL, ALL, HTTP_GZIP},
		{"brr, gzi, zstd2", NULL, ALL, HTTP_IDENTITY},
		{"deflate", "br;q=0.2, gzip;q=0.1", ALL, HTTP_BR},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct line lines[LINES_MAX] = {{HTTP_ACCEPT_ENCODING, table[i].value},
						      {HTTP_ACCEPT_ENCODING, table[i].second}};
		struct http_head head;
		struct arena arena;

		make_head(&head, &arena, HTTP_GET, lines);
		if (http_coding_choose(&head, table[i].offered) != table[i].expected)
			print_error("%s\n", table[i].value);
		assert_int_equal(http_coding_choose(&head, table[i].offered), table[i].expected);
		arena_free(&arena);
	}
}

static void test_coding_names(void **state)
{
	assert_true(str_eq(http_coding_name(HTTP_IDENTITY), STR("identity")));
	assert_true(str_eq(http_coding_name(HTTP_GZIP), STR("gzip")));
	assert_true(str_eq(http_coding_name(HTTP_BR), STR("br")));
	assert_true(str_eq(http_coding_name(HTTP_ZSTD), STR("zstd")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_etag_lists),
		cmocka_unit_test(test_preconditions),
		cmocka_unit_test(test_preconditions_without_tag_or_date),
		cmocka_unit_test(test_if_range),
		cmocka_unit_test(test_codings),
		cmocka_unit_test(test_coding_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
