// SPDX-License-Identifier: Apache-2.0
// Request lines, targets and hosts. Every head here is parsed whole, byte by byte, and split at every position.
#include "heads.h"

#define HOST "Host: a.example\r\n"
#define GET(fields) "GET / HTTP/1.1\r\n" HOST fields "\r\n"

static void test_a_plain_request(void **state)
{
	struct parsed p;

	expect_taken(&p, "GET /hello.txt?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n");
	assert_int_equal(p.head.method, HTTP_GET);
	assert_str(p.head.method_text, "GET");
	assert_str(p.head.target, "/hello.txt?x=1");
	assert_str(p.head.path, "/hello.txt");
	assert_str(p.head.query, "x=1");
	assert_str(p.head.authority, "127.0.0.1:8080");
	assert_str(p.head.scheme, "http");
	assert_int_equal(p.head.version, 11);
	assert_int_equal(p.head.content_length, 0);
	assert_int_equal(p.head.fields.count, 1);
	assert_int_equal(p.request.body, H1_BODY_NONE);
	assert_true(p.request.keep_alive);
	assert_false(p.request.upgrade);
	assert_false(p.request.expect_continue);
	parsed_free(&p);
}

static void test_what_follows_the_head_is_left_alone(void **state)
{
	struct str two = STR(GET("") "POST / HTTP/1.1\r\n\x01");
	struct parsed p;

	parse_every_way(&p, &heads_options, two);
	assert_int_equal(p.result, sizeof(GET("")) - 1);
	parsed_free(&p);
}

static void test_an_incomplete_head_wants_more(void **state)
{
	struct parsed p;

	parse_every_way(&p, &heads_options, STR("GET / HTTP/1.1\r\n" HOST "\r"));
	assert_int_equal(p.result, 0);
	parsed_free(&p);
	parse_every_way(&p, &heads_options, STR(""));
	assert_int_equal(p.result, 0);
	parsed_free(&p);
}

static void test_methods(void **state)
{
	static const struct {
		const char *name;
		enum http_method method;
	} table[] = {
		{"GET", HTTP_GET},
		{"HEAD", HTTP_HEAD},
		{"POST", HTTP_POST},
		{"PUT", HTTP_PUT},
		{"DELETE", HTTP_DELETE},
		{"OPTIONS", HTTP_OPTIONS},
		{"PATCH", HTTP_PATCH},
		{"get", HTTP_METHOD_OTHER},
		{"GETS", HTTP_METHOD_OTHER},
		{"G", HTTP_METHOD_OTHER},
		{"PROPFIND", HTTP_METHOD_OTHER},
		{"M-SEARCH", HTTP_METHOD_OTHER},
		{"a!#$%&'*+-.^_`|~9", HTTP_METHOD_OTHER},
	};
	char text[128];
	struct parsed p;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", table[i].name);
		expect_taken_with(&p, &heads_options, str_from(text));
		assert_int_equal(p.head.method, table[i].method);
		assert_true(str_eq(p.head.method_text, str_from(table[i].name)));
		parsed_free(&p);
	}
}

static void test_request_lines_that_are_none(void **state)
{
	expect_refused(400, " / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, " GET / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "G@T / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET: / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "G\xc3\x84T / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET\r\n" HOST "\r\n");
	expect_refused(400, "GET \r\n" HOST "\r\n");
	expect_refused(400, "GET /\r\n" HOST "\r\n");
	expect_refused(400, "GET / \r\n" HOST "\r\n");
	expect_refused(400, "GET  HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET  / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /  HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.1 \r\n" HOST "\r\n");
	expect_refused(400, "GET /\tHTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /a b HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /a?b c HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /?\x80 HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /\x7f HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /a#b HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET /?a#b HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc");
}

static void test_versions(void **state)
{
	struct parsed p;

	expect_refused(400, "GET / http/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/11\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.10\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.x\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/x.1\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1,1\r\n" HOST "\r\n");
	expect_refused(400, "GET / HTTQ/1.1\r\n" HOST "\r\n");
	expect_refused(505, "GET / HTTP/0.9\r\n" HOST "\r\n");
	expect_refused(505, "GET / HTTP/2.0\r\n" HOST "\r\n");
	expect_refused(505, "GET / HTTP/3.1\r\n" HOST "\r\n");
	expect_refused(505, "PRI * HTTP/2.0\r\n\r\n");
	expect_taken(&p, "GET / HTTP/1.7\r\n" HOST "\r\n");
	assert_int_equal(p.head.version, 11);
	parsed_free(&p);
	expect_taken(&p, "GET / HTTP/1.0\r\n\r\n");
	assert_int_equal(p.head.version, 10);
	assert_int_equal(p.head.authority.len, 0);
	parsed_free(&p);
}

static void test_one_empty_line_before_a_request_is_skipped(void **state)
{
	expect_fine("\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "\nGET / HTTP/1.1\r\n" HOST "\r\n");
}

static void test_targets(void **state)
{
	static const struct {
		const char *method, *target, *authority, *path, *query;
	} table[] = {
		{"GET", "/", "a.example", "/", NULL},
		{"GET", "/?", "a.example", "/", ""},
		{"GET", "/?a=/../%zz?b", "a.example", "/", "a=/../%zz?b"},
		{"GET", "/a/./b/../c%20d?q", "a.example", "/a/c d", "q"},
		{"GET", "//x", "a.example", "/x", NULL},
		{"GET", "/%2e%2E%2fa", "a.example", "/..%2fa", NULL},
		{"GET", "http://B.example", "B.example", "/", NULL},
		{"GET", "http://b.example/", "b.example", "/", NULL},
		{"GET", "http://b.example?q", "b.example", "/", "q"},
		{"GET", "http://b.example?q/r", "b.example", "/", "q/r"},
		{"GET", "HTTP://b.example:81/x/../y?q", "b.example:81", "/y", "q"},
		{"GET", "https://[::1]:443/x", "[::1]:443", "/x", NULL},
		{"OPTIONS", "*", "a.example", "*", NULL},
		{"OPTIONS", "http://b.example", "b.example", "*", NULL},
		{"OPTIONS", "http://b.example?q", "b.example", "/", "q"},
		{"OPTIONS", "/x", "a.example", "/x", NULL},
	};
	char text[256];
	struct parsed p;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\n" HOST "\r\n", table[i].method,
			 table[i].target);
		expect_taken_with(&p, &heads_options, str_from(text));
		assert_true(str_eq(p.head.target, str_from(table[i].target)));
		assert_true(str_eq(p.head.authority, str_from(table[i].authority)));
		assert_true(str_eq(p.head.path, str_from(table[i].path)));
		assert_true(str_eq(p.head.query, str_from(table[i].query)));
		assert_int_equal(p.head.query.p != NULL, table[i].query != NULL);
		assert_true(
			str_eq(p.head.scheme,
			       str_from(strncmp(table[i].target, "https", 5) ? "http" : "https")));
		parsed_free(&p);
	}
}

static void test_targets_that_are_none(void **state)
{
	expect_refused(400, "GET * HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "OPTIONS *x HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "OPTIONS *? HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET a.example HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET a.example:80 HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET ?q HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET ftp://a.example/ HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http:/a.example/ HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http:///x HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http://?x HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http:// HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http://u@a.example/ HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http://a.example:x/ HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "GET http://a.example/.. HTTP/1.1\r\n" HOST "\r\n");
}

static void test_rule_11_host(void **state)
{
	struct parsed p;

	expect_refused(400, "GET / HTTP/1.1\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost:\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.0\r\nHost:\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\n" HOST HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.0\r\n" HOST "host: b\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n");
	expect_refused(400, "GET http://b/ HTTP/1.1\r\n\r\n");
	expect_refused(400, "GET http://b/ HTTP/1.1\r\nHost: a/b\r\n\r\n");
	expect_taken(&p, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_str(p.head.authority, "b");
	parsed_free(&p);
}

static void test_rule_12_connect_and_trace_are_off(void **state)
{
	const struct h1_options on = {.allow_connect = true, .allow_trace = true};
	struct parsed p;

	expect_refused(405, "CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(405, "TRACE / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "CONNECT / HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "CONNECT a.example HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "CONNECT a.example: HTTP/1.1\r\n" HOST "\r\n");
	expect_refused(400, "CONNECT http://a.example:80 HTTP/1.1\r\n" HOST "\r\n");
	expect_taken_with(&p, &on, STR("CONNECT a.example:443 HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(p.head.method, HTTP_CONNECT);
	assert_str(p.head.authority, "a.example:443");
	assert_int_equal(p.head.path.len, 0);
	parsed_free(&p);
	expect_taken_with(&p, &on, STR("TRACE /x HTTP/1.1\r\n" HOST "\r\n"));
	assert_int_equal(p.head.method, HTTP_TRACE);
	parsed_free(&p);
}

static void test_rule_12_a_refused_method_leaves_the_head_complete(void **state)
{
	struct parsed p;

	parse_every_way(&p, &heads_options, STR("TRACE /x HTTP/1.1\r\n" HOST "A: b\r\n\r\n"));
	assert_int_equal(p.result, -405);
	assert_str(p.head.path, "/x");
	assert_str(p.head.authority, "a.example");
	assert_int_equal(p.head.fields.count, 2);
	parsed_free(&p);
}

/* A line of `bytes`, its line end not counted. */
static char *long_line(size_t bytes)
{
	char *text = malloc(bytes + 64);

	assert_non_null(text);
	strcpy(text, "GET /");
	memset(text + 5, 'a', bytes - 5 - 9);
	strcpy(text + bytes - 9, " HTTP/1.1\r\n" HOST "\r\n");
	return text;
}

static void expect_at_limit(char *text, const struct h1_options *options, int expected)
{
	static const size_t steps[] = {1, 7, 1000};
	struct str all = str_from(text);
	struct parsed p;

	parse_in_steps(&p, options, all, all.len, 1);
	assert_int_equal(p.result, expected ? expected : (int)all.len);
	parsed_free(&p);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		parse_in_steps(&p, options, all, 0, steps[i]);
		assert_int_equal(p.result, expected ? expected : (int)all.len);
		parsed_free(&p);
	}
	free(text);
}

static void test_rule_17_request_line_at_the_limit(void **state)
{
	const struct h1_options small = {.request_line_max = 100};

	expect_at_limit(long_line(H1_REQUEST_LINE_MAX), &heads_options, 0);
	expect_at_limit(long_line(H1_REQUEST_LINE_MAX + 1), &heads_options, -414);
	expect_at_limit(long_line(100), &small, 0);
	expect_at_limit(long_line(101), &small, -414);
}

static void test_rule_17_an_endless_line_is_refused_before_it_ends(void **state)
{
	char *text = long_line(H1_REQUEST_LINE_MAX + 500);

	text[H1_REQUEST_LINE_MAX + 1] = '\0';
	expect_at_limit(text, &heads_options, -414);
	text = long_line(H1_REQUEST_LINE_MAX + 500);
	text[H1_REQUEST_LINE_MAX] = '\0';
	struct parsed p;
	parse_in_steps(&p, &heads_options, str_from(text), 0, 1);
	assert_int_equal(p.result, 0);
	parsed_free(&p);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_request),
		cmocka_unit_test(test_what_follows_the_head_is_left_alone),
		cmocka_unit_test(test_an_incomplete_head_wants_more),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_request_lines_that_are_none),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_one_empty_line_before_a_request_is_skipped),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_targets_that_are_none),
		cmocka_unit_test(test_rule_11_host),
		cmocka_unit_test(test_rule_12_connect_and_trace_are_off),
		cmocka_unit_test(test_rule_12_a_refused_method_leaves_the_head_complete),
		cmocka_unit_test(test_rule_17_request_line_at_the_limit),
		cmocka_unit_test(test_rule_17_an_endless_line_is_refused_before_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
