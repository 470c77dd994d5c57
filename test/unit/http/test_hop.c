// SPDX-License-Identifier: Apache-2.0
// Rule 13: what an intermediary takes out of a message, and the fields that it sets.
#include "http/hop.h"

#include <errno.h>
#include <stdio.h>

#include "unit.h"

#define FIELDS_TEXT_MAX 4096

/* Fields from "Name: value" lines, and back. */
static void add_lines(struct http_fields *f, struct arena *arena, const char *text)
{
	struct str rest = str_from(text), line;

	memset(f, 0, sizeof(*f));
	arena_init(arena, 0);
	while (str_next(&rest, '\n', &line)) {
		size_t colon = (size_t)str_find_byte(line, ':');

		assert_int_equal(http_fields_add_named(f, arena, str_head(line, colon),
						       str_trim(str_skip(line, colon + 1))),
				 0);
	}
}

static void assert_fields(const struct http_fields *f, const char *expected)
{
	char text[FIELDS_TEXT_MAX] = "";
	uint8_t first[HTTP_NAME_COUNT] = {0};
	size_t at = 0;

	for (unsigned i = 0; i < f->count; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s: %.*s", i ? "\n" : "",
				       STR_ARG(f->v[i].name), STR_ARG(f->v[i].value));
		assert_true(at < sizeof(text));
		if (!first[f->v[i].id])
			first[f->v[i].id] = (uint8_t)(i + 1);
	}
	assert_string_equal(text, expected);
	assert_memory_equal(first, f->first, sizeof(first));
}

static void test_rule_13_what_is_removed(void **state)
{
	static const struct {
		const char *before, *after, *upgrade;
	} table[] = {
		{"", "", NULL},
		{"Host: a\nAccept: b", "Host: a\nAccept: b", NULL},
		{"Connection: close\nHost: a", "Host: a", NULL},
		{"Host: a\nconnection: Keep-Alive\nKeep-Alive: timeout=5", "Host: a", NULL},
		{"Keep-Alive: 1\nProxy-Connection: x\nA: 1\nTransfer-Encoding: chunked\n"
		 "Proxy-Authenticate: Basic\nProxy-Authorization: x\nContent-Length: 4\nB: 2",
		 "A: 1\nB: 2", NULL},
		{"Connection: X-One, date\nx-one: 1\nX-Two: 2\nDate: now\nX-ONE: 3", "X-Two: 2",
		 NULL},
		{"Connection: a\nConnection: ,, b ,\nA: 1\nB: 2\nC: 3", "C: 3", NULL},
		{"Connection: close, close", "", NULL},
		/* Trailer tells of what goes on with the body. */
		{"Trailer: x\nConnection: close", "Trailer: x", NULL},
		{"TE: trailers\nA: 1", "A: 1\nTE: trailers", NULL},
		{"Connection: TE\nTE: gzip, Trailers;q=0.5\nTE: deflate", "TE: trailers", NULL},
		{"TE: gzip, deflate\nA: 1", "A: 1", NULL},
		{"TE:\nA: 1", "A: 1", NULL},
		{"Connection: keep-alive, Upgrade\nUpgrade: websocket\nA: 1", "A: 1", "websocket"},
		/* Not of this hop: it was to be removed before. */
		{"Upgrade: h2c\nA: 1", "A: 1", NULL},
		{"Connection: upgrade\nA: 1", "A: 1", NULL},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_fields f;
		struct arena arena;
		struct str upgrade = STR("x");

		add_lines(&f, &arena, table[i].before);
		assert_int_equal(http_hop_remove(&f, &upgrade), 0);
		assert_fields(&f, table[i].after);
		assert_int_equal(!upgrade.p, !table[i].upgrade);
		assert_true(str_eq(upgrade, str_from(table[i].upgrade)));
		arena_free(&arena);
		add_lines(&f, &arena, table[i].before);
		assert_int_equal(http_hop_remove(&f, NULL), 0);
		assert_fields(&f, table[i].after);
		arena_free(&arena);
	}
}

static void test_rule_13_what_is_refused(void **state)
{
	static const char *const table[] = {
		"Connection: Host",
		"Connection: close, content-length",
		"Connection: close\nConnection: x-forwarded-for",
		"Connection: X-Forwarded-Anything",
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_fields f;
		struct arena arena;

		add_lines(&f, &arena, table[i]);
		assert_int_equal(http_hop_remove(&f, NULL), -EBADMSG);
		arena_free(&arena);
	}
}

static void test_the_names_in_connection_are_bounded(void **state)
{
	char text[FIELDS_TEXT_MAX];

	for (unsigned count = HTTP_HOP_NAMED_MAX; count <= HTTP_HOP_NAMED_MAX + 1; count++) {
		size_t at = (size_t)snprintf(text, sizeof(text), "Connection: close");
		struct http_fields f;
		struct arena arena;

		for (unsigned i = 0; i < count; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, ", x%u", i);
		snprintf(text + at, sizeof(text) - at, "\nX%u: 1", HTTP_HOP_NAMED_MAX - 1);
		add_lines(&f, &arena, text);
		assert_int_equal(http_hop_remove(&f, NULL),
				 count > HTTP_HOP_NAMED_MAX ? -EBADMSG : 0);
		if (count == HTTP_HOP_NAMED_MAX)
			assert_fields(&f, "");
		arena_free(&arena);
	}
}

static void test_remove_and_set(void **state)
{
	struct http_fields f;
	struct arena arena;

	add_lines(&f, &arena, "Via: 1\nX-A: 2\nvia: 3\nx-a: 4\nB: 5");
	http_fields_remove(&f, HTTP_VIA);
	assert_fields(&f, "X-A: 2\nx-a: 4\nB: 5");
	http_fields_remove(&f, HTTP_VIA);
	assert_int_equal(http_fields_set_named(&f, &arena, STR("X-a"), STR("6")), 0);
	assert_fields(&f, "B: 5\nX-a: 6");
	assert_int_equal(http_fields_set(&f, &arena, HTTP_VIA, STR("7")), 0);
	assert_int_equal(http_fields_set(&f, &arena, HTTP_VIA, STR("8")), 0);
	assert_fields(&f, "B: 5\nX-a: 6\nVia: 8");
	/* A known name may be given as text. */
	http_fields_remove_named(&f, STR("VIA"));
	http_fields_remove_named(&f, STR("none"));
	http_fields_remove_named(&f, STR("b"));
	assert_fields(&f, "X-a: 6");
	arena_free(&arena);
}

static void test_set_at_the_limit(void **state)
{
	struct http_fields f;
	struct arena arena;

	add_lines(&f, &arena, "Via: 1");
	while (f.count < HTTP_FIELDS_MAX)
		assert_int_equal(http_fields_add_named(&f, &arena, STR("X"), STR("1")), 0);
	assert_int_equal(http_fields_set(&f, &arena, HTTP_VIA, STR("2")), 0);
	assert_int_equal(f.count, HTTP_FIELDS_MAX);
	assert_int_equal(http_fields_set(&f, &arena, HTTP_DATE, STR("3")), -E2BIG);
	arena_free(&arena);
}

static void test_cookies(void **state)
{
	struct http_fields f;
	struct arena arena;

	add_lines(&f, &arena, "Cookie: a=1; bb=22;c=\"x\"; a=9\nCookie: d=4; e=; =5; f");
	assert_true(str_eq(http_cookie(&f, STR("a")), STR("1")));
	assert_true(str_eq(http_cookie(&f, STR("bb")), STR("22")));
	assert_true(str_eq(http_cookie(&f, STR("c")), STR("\"x\"")));
	assert_true(str_eq(http_cookie(&f, STR("d")), STR("4")));
	assert_non_null(http_cookie(&f, STR("e")).p);
	assert_int_equal(http_cookie(&f, STR("e")).len, 0);
	assert_null(http_cookie(&f, STR("b")).p);
	assert_null(http_cookie(&f, STR("A")).p);
	assert_null(http_cookie(&f, STR("f")).p);
	arena_free(&arena);
	add_lines(&f, &arena, "A: 1");
	assert_null(http_cookie(&f, STR("a")).p);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_13_what_is_removed),
		cmocka_unit_test(test_rule_13_what_is_refused),
		cmocka_unit_test(test_the_names_in_connection_are_bounded),
		cmocka_unit_test(test_remove_and_set),
		cmocka_unit_test(test_set_at_the_limit),
		cmocka_unit_test(test_cookies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
