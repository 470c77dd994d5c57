// SPDX-License-Identifier: Apache-2.0
#include "app/ucl.h"

#include <stdio.h>

#include "base/compiler.h"
#include "unit.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

static struct ucl_node *parse(const char *text)
{
	struct ucl_error error = {{0, 0}, ""};
	struct ucl_node *root = ucl_parse(str_from(text), &arena, &error);

	if (!root)
		fail_msg("%u:%u: %s", error.at.line, error.at.column, error.text);
	return root;
}

static struct ucl_node *find(struct ucl_node *block, const char *key)
{
	for (struct ucl_node *n = block->first; n; n = n->next)
		if (str_eq(n->key, str_from(key)))
			return n;
	fail_msg("no key %s", key);
	return NULL;
}

static void assert_value(struct ucl_node *block, const char *key, const char *value)
{
	struct ucl_node *node = find(block, key);

	assert_string_equal(node->value.p, value);
	assert_int_equal(node->value.len, strlen(value));
}

static void test_members_in_every_form(void **state)
{
	struct ucl_node *root =
		parse("a = 1; b: two\n"
		      "c three, \"d e\" = 'it\\'s \\n';f=\"x\\ty\\u00e9\\\"\"\n"
		      "g = <<EOD\n  one\ntwo\nEOD\n"
		      "h <<E\nE\n"
		      "i = [x, \"y z\",\n 'w'\n v,]; j { k = 1 } l \"m\" { n = 2 }\n"
		      "o p\n{\n}\n q = {}; r []");

	assert_value(root, "a", "1");
	assert_value(root, "b", "two");
	assert_value(root, "c", "three");
	assert_value(root, "d e", "it's \\n");
	assert_value(root, "f", "x\ty\xc3\xa9\"");
	assert_value(root, "g", "  one\ntwo");
	assert_value(root, "h", "");
	assert_int_equal(find(root, "i")->kind, UCL_LIST);
	assert_string_equal(find(root, "i")->first->next->value.p, "y z");
	assert_string_equal(find(root, "i")->first->next->next->next->value.p, "v");
	assert_null(find(root, "i")->first->next->next->next->next);
	assert_value(find(root, "j"), "k", "1");
	assert_string_equal(find(root, "l")->label.p, "m");
	assert_value(find(root, "l"), "n", "2");
	assert_string_equal(find(root, "o")->label.p, "p");
	assert_int_equal(find(root, "q")->kind, UCL_BLOCK);
	assert_null(find(root, "r")->first);
}

static void test_json_is_a_part_of_it(void **state)
{
	struct ucl_node *root =
		parse("\xef\xbb\xbf{\"a\": {\"b\": [1, \"x\"]},\r\n \"c\": true}\n");

	assert_value(root, "c", "true");
	assert_string_equal(find(find(root, "a"), "b")->first->next->value.p, "x");
}

static void test_a_colon_separates_or_begins_a_word(void **state)
{
	struct ucl_node *root =
		parse("a:1; b : 2; c :3; d: :4; \"e\" :5; f :6 { g:7 }; h = :8; i : [9]");

	assert_value(root, "a", "1");
	assert_value(root, "b", "2");
	assert_value(root, "c", ":3");
	assert_value(root, "d", ":4");
	assert_value(root, "e", "5");
	assert_string_equal(find(root, "f")->label.p, ":6");
	assert_value(find(root, "f"), "g", "7");
	assert_value(root, "h", ":8");
	assert_int_equal(find(root, "i")->kind, UCL_LIST);
}

static void test_variables_and_comment_marks_in_strings_stay(void **state)
{
	struct ucl_node *root = parse("a = \"${HOME} # /* \"; b = $path; # c\nc = http://x/y");

	assert_value(root, "a", "${HOME} # /* ");
	assert_value(root, "b", "$path");
	assert_value(root, "c", "http://x/y");
}

static void assert_at(struct ucl_pos at, unsigned line, unsigned column)
{
	assert_int_equal(at.line, line);
	assert_int_equal(at.column, column);
}

static void test_every_node_knows_its_place(void **state)
{
	struct ucl_node *root =
		parse("# one\n/* two\n */ a = 1;\n\tsite \"h\xc3\xa4\" { route / {\n"
		      "  x = <<E\n.\nE\n  y = [\n p, q ] } }\n z \xc3\xa4 # end");
	struct ucl_node *site = find(root, "site");
	struct ucl_node *route = find(site, "route");

	assert_at(find(root, "a")->key_at, 3, 5);
	assert_at(find(root, "a")->value_at, 3, 9);
	assert_at(site->key_at, 4, 2);
	assert_at(site->value_at, 4, 7);
	assert_at(route->key_at, 4, 14);
	assert_at(route->value_at, 4, 20);
	assert_at(find(route, "x")->value_at, 5, 7);
	assert_at(find(route, "y")->key_at, 8, 3);
	assert_at(find(route, "y")->value_at, 8, 7);
	assert_at(find(route, "y")->first->next->value_at, 9, 5);
	assert_at(find(root, "z")->value_at, 10, 4);
}

static const struct {
	const char *text, *message;
} wrong[] = {
	{"a = ", "1:5: expected a value for \"a\", not the end of the file"},
	{"a", "1:1: \"a\" has no value"},
	{"a;", "1:1: \"a\" has no value"},
	{"a\nb = 1", "1:1: \"a\" has no value"},
	{"a = ;", "1:5: expected a value for \"a\", not ;"},
	{"= 1", "1:1: expected a key, not ="},
	{"a = 1 }", "1:7: expected a key, not }"},
	{"a = b c;",
	 "1:7: expected ; or a new line after the value of \"a\", not c (quotes keep words together)"},
	{"a b c {}",
	 "1:5: expected ; or a new line after the value of \"a\", not c (quotes keep words together)"},
	{"\n  a = \"x\n\";", "2:7: this string is not closed on its line"},
	{"a = 'x", "1:5: this string is not closed on its line"},
	{"a = \"\\x\"", "1:6: unknown escape (known: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX)"},
	{"a = \"\\ud800\"", "1:6: \\u needs four hexadecimal digits of a character"},
	{"a = \"\\u0000\"", "1:6: \\u needs four hexadecimal digits of a character"},
	{"a = \"\\u12\"", "1:6: \\u needs four hexadecimal digits of a character"},
	{"a = \"x\x01\"", "1:7: a control character in a string"},
	{"a {\n b = 1;\n", "1:3: this block is not closed"},
	{"a \"b\" {", "1:3: this block is not closed"},
	{"a = [1, 2", "1:5: this list is not closed"},
	{"a = [1 2]", "1:8: expected , or ] before 2"},
	{"a = [1, {}]", "1:9: a list holds words and strings, not {"},
	{"a = [[1]]", "1:6: a list holds words and strings, not ["},
	{"a = [<<E\nE\n]", "1:6: a list holds words and strings, not <<E"},
	{"a = 1; /* x /* y */", "1:8: this comment is not closed"},
	{"a = <<EOD\nx\n", "1:5: the text is not ended by a line \"EOD\""},
	{"a = <<eod\neod",
	 "1:5: expected << and a mark in capitals at the end of the line, as <<END"},
	{"a = x/*y*/;", "1:5: put quotes around this: it holds /*, which begins a comment"},
	{".include \"x\"",
	 "1:1: .include: there are no macros and no inclusion of files (a key that begins with a dot needs quotes)"},
	{"{ a = 1 } b", "1:11: expected the end of the file, not b"},
	{"a = \x01", "1:5: expected a value for \"a\", not \\x01"},
};

static void test_slips_are_told_with_their_place(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(wrong); i++) {
		struct ucl_error error = {{0, 0}, ""};
		char got[256];

		assert_null(ucl_parse(str_from(wrong[i].text), &arena, &error));
		snprintf(got, sizeof(got), "%u:%u: %s", error.at.line, error.at.column, error.text);
		assert_string_equal(got, wrong[i].message);
	}
}

static void test_depth_is_bounded(void **state)
{
	char text[UCL_DEPTH_MAX * 6 + 16] = "";
	struct ucl_error error;

	for (unsigned i = 0; i < UCL_DEPTH_MAX; i++)
		strcat(text, "a {");
	for (unsigned i = 0; i < UCL_DEPTH_MAX; i++)
		strcat(text, "} ");
	parse(text);
	memmove(text + 3, text, strlen(text) + 1);
	memcpy(text, "b {", 3);
	assert_null(ucl_parse(str_from(text), &arena, &error));
	assert_string_equal(error.text, "more than 16 blocks within one another");
}

static void assert_format(const char *text, const char *expected)
{
	struct str once = ucl_format(parse(text), &arena);
	struct str twice;

	assert_string_equal(once.p, expected);
	twice = ucl_format(parse(once.p), &arena);
	assert_string_equal(twice.p, expected);
}

static void test_the_canonical_form(void **state)
{
	assert_format("", "");
	assert_format("a 1,b:'x' ;c [ ] ; d{e=2}", "a = 1;\nb = 'x';\nc = [];\nd {\n\te = 2;\n}\n");
	assert_format("{\"a\":{\"b\":[1,\"x\"]}}", "\"a\" {\n\t\"b\" = [1, \"x\"];\n}\n");
	assert_format("site 'x'\n{\n\n\nroute / { a = 1 } \n\n\n\n b = 2\n\n}\n",
		      "site 'x' {\n\troute / {\n\t\ta = 1;\n\t}\n\n\tb = 2;\n}\n");
	assert_format("a = <<E\n  x\nE\nb = 1", "a = <<E\n  x\nE\nb = 1;\n");
}

static void test_comments_are_kept(void **state)
{
	assert_format(
		"# top\n\n# second\na = 1 # one  \n\n /* block\n  * of two */ b = /*x*/ 2; /* after */ c = 3\n# end\n",
		"# top\n\n# second\na = 1; # one\n\n/* block\n  * of two */\n/*x*/\nb = 2; /* after */\nc = 3;\n"
		"# end\n");
	assert_format("d { # first\n e = 1\n # last\n} # closed\n\nf { # alone\n}",
		      "d {\n\t# first\n\te = 1;\n\t# last\n} # closed\n\nf {\n\t# alone\n}\n");
	assert_format(
		"l = [ # list\n a, # about a\n # before b\n b # about b\n # end\n]",
		"l = [\n\t# list\n\ta, # about a\n\t# before b\n\tb, # about b\n\t# end\n];\n");
	assert_format("# before\n{ a = 1 } # behind", "# before\na = 1;\n# behind\n");
	assert_format("a b # c\n# d\ne = f", "a = b; # c\n# d\ne = f;\n");
}

static void test_long_lists_stand_in_lines(void **state)
{
	assert_format(
		"list = [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, "
		"ccccccccccccccccccccccc]",
		"list = [\n\taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,\n\tbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb,\n"
		"\tccccccccccccccccccccccc,\n];\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_members_in_every_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json_is_a_part_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_colon_separates_or_begins_a_word, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_variables_and_comment_marks_in_strings_stay,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_node_knows_its_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slips_are_told_with_their_place, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_depth_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_canonical_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_comments_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_lists_stand_in_lines, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
