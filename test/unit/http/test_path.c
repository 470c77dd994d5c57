// SPDX-License-Identifier: Apache-2.0
// Rules 35 and 36: a path is decoded once, and there is one form of it.
#include <errno.h>
#include <stdlib.h>

#include "http/path.h"
#include "unit.h"

/* The input in memory of its own length, so that a sanitizer sees a byte too many. */
static int normalise(struct str raw, struct arena *arena, struct str *out, char **copy)
{
	*copy = malloc(raw.len ? raw.len : 1);
	assert_non_null(*copy);
	memcpy(*copy, raw.p, raw.len);
	return http_path_normalise((struct str){*copy, raw.len}, arena, out);
}

static void expect_path(struct str raw, struct str expected)
{
	struct arena arena;
	struct str out, again;
	char *copy;

	arena_init(&arena, 0);
	if (normalise(raw, &arena, &out, &copy) || !str_eq(out, expected))
		print_error("%.*s\n", STR_ARG(raw));
	assert_int_equal(out.len, expected.len);
	assert_memory_equal(out.p, expected.p, out.len);
	/* Nothing changes: nothing is copied. */
	assert_int_equal(out.p == copy, str_eq(raw, expected));
	/* And it comes back as it is when it is written into a link. */
	assert_int_equal(http_path_normalise(http_path_encode(out, &arena), &arena, &again), 0);
	assert_true(str_eq(again, expected));
	free(copy);
	arena_free(&arena);
}

#define expect(raw, expected) expect_path(STR(raw), STR(expected))

static void expect_error(struct str raw)
{
	struct arena arena;
	struct str out;
	char *copy;

	arena_init(&arena, 0);
	assert_int_equal(normalise(raw, &arena, &out, &copy), -EINVAL);
	free(copy);
	arena_free(&arena);
}

static void test_plain_paths_are_views(void **state)
{
	expect("/", "/");
	expect("/a", "/a");
	expect("/a/", "/a/");
	expect("/index.html", "/index.html");
	expect("/a.b/c..d/e.", "/a.b/c..d/e.");
	expect("/a/...", "/a/...");
	expect("/.well-known/x", "/.well-known/x");
	expect("/..a", "/..a");
	expect("/this/is/a/path/of/more/than/sixteen/bytes.html",
	       "/this/is/a/path/of/more/than/sixteen/bytes.html");
	expect("/a b\\c\"<>|{}^`~!$&'()*+,;=:@", "/a b\\c\"<>|{}^`~!$&'()*+,;=:@");
	expect("/\xc3\xa4", "/\xc3\xa4");
}

static void test_dots_and_empty_segments_go(void **state)
{
	expect("/.", "/");
	expect("/./", "/");
	expect("//", "/");
	expect("///a", "/a");
	expect("/a//b", "/a/b");
	expect("/a//", "/a/");
	expect("/a/.", "/a/");
	expect("/a/./b", "/a/b");
	expect("/a/..", "/");
	expect("/a/../", "/");
	expect("/a/../b", "/b");
	expect("/a/b/..", "/a/");
	expect("/a/b/../..", "/");
	expect("/a/b/../../c", "/c");
	expect("/a//../b", "/b");
	expect("/a/.//../b/./", "/b/");
	expect("/0123456789abcd/../x", "/x");
	expect("/0123456789abcde/./x", "/0123456789abcde/x");
	expect("/0123456789abcdef//x", "/0123456789abcdef/x");
}

static void test_rule_35_paths_are_decoded_once(void **state)
{
	expect("/c%20d", "/c d");
	expect("/%41%7a", "/Az");
	expect("/%c3%A4", "/\xc3\xa4");
	expect("/%ff", "/\xff");
	expect("/%2541", "/%41");
	expect("/%25252e", "/%252e");
	expect("/%2e", "/");
	expect("/a/%2e%2e/b", "/b");
	expect("/a/.%2E/b", "/b");
	expect("/%3f%23", "/?#");
	expect("/%5c", "/\\");
}

static void test_rule_36_an_escaped_slash_is_no_separator(void **state)
{
	expect("/a%2Fb", "/a%2Fb");
	expect("/a%2fb", "/a%2fb");
	expect("/%2F", "/%2F");
	expect("/..%2f..%2fetc", "/..%2f..%2fetc");
	expect("/a/%2e%2e%2Fb", "/a/..%2Fb");
	/* Escaped once more, it must not become one; nor when its digits are escaped. */
	expect("/a%252Fb", "/a%252Fb");
	expect("/a%252fb", "/a%252fb");
	expect("/a%25%32Fb", "/a%252Fb");
	expect("/a%252%46b", "/a%252Fb");
	expect("/a%25%32%66b", "/a%252fb");
	expect("/a%25252Fb", "/a%252Fb");
	expect("/a%252", "/a%2");
	expect("/a%25", "/a%");
}

static void test_rule_35_bad_paths(void **state)
{
	expect_error(STR(""));
	expect_error(STR("a"));
	expect_error(STR("*"));
	expect_error(STR("%2Fa"));
	expect_error(STR("/.."));
	expect_error(STR("/../a"));
	expect_error(STR("/a/../.."));
	expect_error(STR("/a//../.."));
	expect_error(STR("/%2e%2e"));
	expect_error(STR("/./.."));
	expect_error(STR("/%"));
	expect_error(STR("/%a"));
	expect_error(STR("/%zz"));
	expect_error(STR("/%1g"));
	expect_error(STR("/%%41"));
	expect_error(STR("/%+1"));
	expect_error(STR("/%25%2"));
	expect_error(STR("/%00"));
	expect_error(STR("/a%00.html"));
	expect_error(STR("/%0a"));
	expect_error(STR("/%1f"));
	expect_error(STR("/%7f"));
	expect_error(STR("/a\0b"));
	expect_error(STR("/a\nb"));
	expect_error(STR("/a\x7f"));
	expect_error(STR("/0123456789abcdef\x01"));
}

static void test_a_path_without_memory(void **state)
{
	struct arena arena;
	struct str out;

	arena_init(&arena, 1);
	assert_int_equal(http_path_normalise(STR("/a/../b"), &arena, &out), -ENOMEM);
	assert_null(http_path_encode(STR("/a"), &arena).p);
	assert_null(http_html_escape(STR("<"), &arena).p);
	assert_int_equal(http_path_normalise(STR("/a/b"), &arena, &out), 0);
	arena_free(&arena);
}

static void test_encode(void **state)
{
	struct arena arena;

	arena_init(&arena, 0);
	assert_true(str_eq(http_path_encode(STR("/a-b._~/C9"), &arena), STR("/a-b._~/C9")));
	assert_true(str_eq(http_path_encode(STR("a b?#&\"<'\n\xc3\xa4:"), &arena),
			   STR("a%20b%3F%23%26%22%3C%27%0A%C3%A4%3A")));
	assert_true(str_eq(http_path_encode(STR("100%"), &arena), STR("100%25")));
	assert_true(
		str_eq(http_path_encode(STR("%2F%2f%2x%252F"), &arena), STR("%2F%2f%252x%25252F")));
	assert_true(str_eq(http_path_encode(STR(""), &arena), STR("")));
	arena_free(&arena);
}

static void test_html(void **state)
{
	struct arena arena;
	struct str plain = STR("water & gate");

	arena_init(&arena, 0);
	assert_true(str_eq(http_html_escape(STR("<a href=\"x\">'&'</a>"), &arena),
			   STR("&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;")));
	assert_true(str_eq(http_html_escape(plain, &arena), STR("water &amp; gate")));
	plain = STR("plain \xc3\xa4");
	assert_ptr_equal(http_html_escape(plain, &arena).p, plain.p);
	assert_non_null(http_html_escape(STR_NONE, &arena).p);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_paths_are_views),
		cmocka_unit_test(test_dots_and_empty_segments_go),
		cmocka_unit_test(test_rule_35_paths_are_decoded_once),
		cmocka_unit_test(test_rule_36_an_escaped_slash_is_no_separator),
		cmocka_unit_test(test_rule_35_bad_paths),
		cmocka_unit_test(test_a_path_without_memory),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_html),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
