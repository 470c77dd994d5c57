// SPDX-License-Identifier: Apache-2.0
// Field lines and what they mean for framing and connection. Every head here is parsed whole, byte by byte, and
// split at every position.
#include "heads.h"

#define HOST "Host: a\r\n"
#define GET(fields) "GET / HTTP/1.1\r\n" HOST fields "\r\n"
#define GET10(fields) "GET / HTTP/1.0\r\n" fields "\r\n"

static void test_rule_1_transfer_encoding_with_content_length(void **state)
{
	expect_refused(400, GET("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"));
	expect_refused(400, GET("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"));
	expect_refused(400, GET("Content-Length: 0\r\nTransfer-Encoding: gzip\r\n"));
	expect_refused(400, GET("content-length:\r\ntransfer-encoding:\r\n"));
}

static void test_rule_2_transfer_encoding_on_http_1_0(void **state)
{
	expect_refused(400, GET10("Transfer-Encoding: chunked\r\n"));
	expect_refused(400, GET10("Transfer-Encoding: identity\r\n"));
}

static void test_rule_3_transfer_codings(void **state)
{
	struct parsed p;

	expect_taken(&p, GET("Transfer-Encoding: chunked\r\n"));
	assert_int_equal(p.request.body, H1_BODY_CHUNKED);
	assert_int_equal(p.head.content_length, -1);
	parsed_free(&p);
	expect_fine(GET("Transfer-Encoding: \t ChunKed \t\r\n"));
	expect_refused(400, GET("Transfer-Encoding:\r\n"));
	expect_refused(400, GET("Transfer-Encoding: ,chunked\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked,\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked chunked\r\n"));
	expect_refused(400, GET("Transfer-Encoding: \"chunked\"\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked;q=1\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked, chunked\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked, gzip\r\n"));
	expect_refused(400, GET("Transfer-Encoding: chunked, identity\r\n"));
	expect_refused(501, GET("Transfer-Encoding: gzip, chunked\r\n"));
	expect_refused(501, GET("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"));
	expect_refused(501, GET("Transfer-Encoding: gzip\r\n"));
	expect_refused(501, GET("Transfer-Encoding: identity\r\n"));
	expect_refused(501, GET("Transfer-Encoding: xchunked\r\n"));
	expect_refused(501, GET("Transfer-Encoding: chunke\r\n"));
}

static void test_rule_4_content_length(void **state)
{
	struct parsed p;

	expect_taken(&p, GET("Content-Length: 9223372036854775807\r\n"));
	assert_int_equal(p.request.body, H1_BODY_LENGTH);
	assert_true(p.head.content_length == INT64_MAX);
	parsed_free(&p);
	expect_taken(&p, GET("content-length:0005\r\n"));
	assert_int_equal(p.head.content_length, 5);
	parsed_free(&p);
	expect_taken(&p, GET("Content-Length: 0\r\n"));
	assert_int_equal(p.request.body, H1_BODY_NONE);
	assert_int_equal(p.head.content_length, 0);
	parsed_free(&p);
	expect_refused(400, GET("Content-Length: 5\r\nContent-Length: 5\r\n"));
	expect_refused(400, GET("Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n"));
	expect_refused(400, GET("Content-Length: 5, 5\r\n"));
	expect_refused(400, GET("Content-Length: 5,\r\n"));
	expect_refused(400, GET("Content-Length: +5\r\n"));
	expect_refused(400, GET("Content-Length: -5\r\n"));
	expect_refused(400, GET("Content-Length: 5 5\r\n"));
	expect_refused(400, GET("Content-Length: 0x5\r\n"));
	expect_refused(400, GET("Content-Length: 5.0\r\n"));
	expect_refused(400, GET("Content-Length: five\r\n"));
	expect_refused(400, GET("Content-Length:\r\n"));
	expect_refused(400, GET("Content-Length: 9223372036854775808\r\n"));
	expect_refused(400, GET("Content-Length: 18446744073709551617\r\n"));
	expect_refused(400, GET10("Content-Length: 99999999999999999999999\r\n"));
}

static void test_rule_5_folded_lines(void **state)
{
	expect_refused(400, GET("A: b\r\n c\r\n"));
	expect_refused(400, GET("A: b\r\n\tc: d\r\n"));
	expect_refused(400, GET("A: b\r\n \r\n"));
	expect_refused(400, GET("A_B: b\r\n c\r\n"));
}

static void test_rule_6_white_space_around_names(void **state)
{
	expect_refused(400, GET("A : b\r\n"));
	expect_refused(400, GET("A\t: b\r\n"));
	expect_refused(400, GET("Content-Length : 5\r\n"));
	expect_refused(400, GET("A B: c\r\n"));
	expect_refused(400, "GET / HTTP/1.1\r\n " HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\n\t" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\n \r\n" HOST "\r\n");
}

static void test_rule_7_bare_line_feeds(void **state)
{
	expect_refused(400, "GET / HTTP/1.1\n" HOST "\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: a\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: a\r\n\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: a\r\nA: b\nC: d\r\n\r\n");
	expect_refused(400, "GET / HTTP/1.1\r\nHost: a\n\n");
	expect_refused(400, "GET /\n HTTP/1.1\r\n" HOST "\r\n");
}

static void test_rule_8_control_characters(void **state)
{
	char text[] = GET("A: xby\r\n");
	char *at = strstr(text, "xby") + 1;
	struct parsed p;

	expect_refused(400, GET("A: b\rc\r\n"));
	expect_refused(400, GET("A: b\r\r\n"));
	expect_refused(400, "GET / HTTP/1.1\r\n" HOST "\r\r\n");
	expect_refused(400, "GET / HTTP/1.1\r" HOST "\r\n");
	for (unsigned c = 0; c < 256; c++) {
		*at = (char)c;
		if ((c < 0x20 && c != '\t') || c == 0x7f) {
			expect_status_with(&heads_options, 400,
					   (struct str){text, sizeof(text) - 1});
			continue;
		}
		expect_taken_with(&p, &heads_options, (struct str){text, sizeof(text) - 1});
		assert_int_equal((unsigned char)p.head.fields.v[1].value.p[1], c);
		parsed_free(&p);
	}
}

static void test_names_are_tokens(void **state)
{
	static const char tokens[] = "!#$%&'*+-.^_`|~";
	const struct h1_options keep = {.keep_underscores = true};
	char text[] = GET("Axb: y\r\n");
	char *at = strchr(text, 'x');
	struct parsed p;

	expect_refused(400, GET(": b\r\n"));
	expect_refused(400, GET("A\r\n"));
	expect_refused(400, GET("A b\r\n"));
	for (unsigned c = 1; c < 256; c++) {
		bool token = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			     (c >= 'A' && c <= 'Z') || strchr(tokens, (int)c);
		*at = (char)c;
		if (token || c == ':') {
			expect_taken_with(&p, &keep, str_from(text));
			parsed_free(&p);
		} else {
			expect_status_with(&keep, 400, str_from(text));
		}
	}
}

static void test_values_are_trimmed(void **state)
{
	struct parsed p;

	expect_taken(&p, GET("A: \t b \tc \t \r\nB:\r\nC: \t \r\nD:e\r\n"));
	assert_int_equal(p.head.fields.count, 5);
	assert_str(p.head.fields.v[1].value, "b \tc");
	assert_str(p.head.fields.v[2].value, "");
	assert_str(p.head.fields.v[3].value, "");
	assert_str(p.head.fields.v[4].value, "e");
	assert_str(p.head.fields.v[4].name, "D");
	parsed_free(&p);
}

static void test_rule_13_connection_names_what_is_not_its_own(void **state)
{
	expect_refused(400, GET("Connection: host\r\n"));
	expect_refused(400, GET("Connection: close, Host\r\n"));
	expect_refused(400, GET("Connection: Content-Length\r\n"));
	expect_refused(400, GET("Connection: X-Forwarded-For\r\n"));
	expect_refused(400, GET("Connection: x-forwarded-anything\r\n"));
	expect_refused(400, GET("Connection: close\r\nConnection:,, x-forwarded-proto ,\r\n"));
	expect_fine(GET("Connection: X-Forwarder, TE, cookie, , \r\n"));
}

static void test_keep_alive(void **state)
{
	static const struct {
		const char *text;
		bool keep_alive;
	} table[] = {
		{GET(""), true},
		{GET("Connection: close\r\n"), false},
		{GET("Connection: CLOSE\r\n"), false},
		{GET("Connection: keep-alive\r\n"), true},
		{GET("Connection: keep-alive, close\r\n"), false},
		{GET("Connection: x\r\nConnection: y, Close \r\n"), false},
		{GET("Connection: closed\r\n"), true},
		{GET10(""), false},
		{GET10("Connection: Keep-Alive\r\n"), true},
		{GET10("Connection: te, keep-alive\r\n"), true},
		{GET10("Connection: keep-alive, close\r\n"), false},
		{GET10("Keep-Alive: timeout=5\r\n"), false},
	};
	struct parsed p;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		expect_taken_with(&p, &heads_options, str_from(table[i].text));
		assert_int_equal(p.request.keep_alive, table[i].keep_alive);
		parsed_free(&p);
	}
}

static void test_upgrade_needs_both_fields(void **state)
{
	static const struct {
		const char *text;
		bool upgrade;
	} table[] = {
		{GET("Connection: Upgrade\r\nUpgrade: websocket\r\n"), true},
		{GET("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\n"), true},
		{GET("Connection: upgrade\r\n"), false},
		{GET("Upgrade: websocket\r\n"), false},
		{GET10("Connection: upgrade\r\nUpgrade: websocket\r\n"), false},
	};
	struct parsed p;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		expect_taken_with(&p, &heads_options, str_from(table[i].text));
		assert_int_equal(p.request.upgrade, table[i].upgrade);
		parsed_free(&p);
	}
}

static void test_expect_continue(void **state)
{
	static const struct {
		const char *text;
		bool expected;
	} table[] = {
		{GET("Expect: 100-continue\r\nContent-Length: 1\r\n"), true},
		{GET("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n"), true},
		{GET("Expect: 100-continue\r\n"), false},
		{GET("Expect: 100-continue\r\nContent-Length: 0\r\n"), false},
		{GET("Expect: 101-continue\r\nContent-Length: 1\r\n"), false},
		{GET10("Expect: 100-continue\r\nContent-Length: 1\r\n"), false},
	};
	struct parsed p;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		expect_taken_with(&p, &heads_options, str_from(table[i].text));
		assert_int_equal(p.request.expect_continue, table[i].expected);
		parsed_free(&p);
	}
}

static void test_rule_15_names_with_underscores_are_dropped(void **state)
{
	const struct h1_options keep = {.keep_underscores = true};
	struct str text = STR(GET("Content_Length: 5\r\nA: b\r\n_: c\r\nx_forwarded_for: d\r\n"));
	struct parsed p;

	expect_taken_with(&p, &heads_options, text);
	assert_int_equal(p.head.fields.count, 2);
	assert_str(p.head.fields.v[1].name, "A");
	assert_int_equal(p.head.content_length, 0);
	parsed_free(&p);
	expect_taken_with(&p, &keep, text);
	assert_int_equal(p.head.fields.count, 5);
	assert_int_equal(p.head.content_length, 0);
	assert_str(p.head.fields.v[1].name, "Content_Length");
	parsed_free(&p);
}

static void expect_in_steps(struct str text, const struct h1_options *options, int expected)
{
	static const size_t steps[] = {1, 13, 4096, 1 << 20};
	struct parsed p;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		parse_in_steps(&p, options, text, 0, steps[i]);
		assert_int_equal(p.result, expected ? expected : (int)text.len);
		parsed_free(&p);
	}
}

/* A head of `count` fields, Host among them, each line of `name`. */
static struct str many_fields(unsigned count, const char *name)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fprintf(f, "GET / HTTP/1.1\r\n" HOST);
	for (unsigned i = 1; i < count; i++)
		fprintf(f, "%s: %u\r\n", name, i);
	fprintf(f, "\r\n");
	fclose(f);
	return (struct str){text, len};
}

static void test_rule_18_at_most_100_fields(void **state)
{
	static const char *const names[] = {"X", "X_Y", "Accept"};
	const struct h1_options three = {.fields_max = 3};
	struct str text;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		text = many_fields(HTTP_FIELDS_MAX, names[i]);
		expect_in_steps(text, &heads_options, 0);
		free((char *)text.p);
		text = many_fields(HTTP_FIELDS_MAX + 1, names[i]);
		expect_in_steps(text, &heads_options, -431);
		free((char *)text.p);
		text = many_fields(3, names[i]);
		expect_in_steps(text, &three, 0);
		free((char *)text.p);
		text = many_fields(4, names[i]);
		expect_in_steps(text, &three, -431);
		free((char *)text.p);
	}
}

/* A head whose fields take `bytes`, line ends counted. */
static struct str large_fields(size_t bytes)
{
	static const char begin[] = "GET / HTTP/1.1\r\n" HOST "X: ";
	size_t line = sizeof("GET / HTTP/1.1\r\n") - 1;
	size_t len = line + bytes + 2;
	char *text = malloc(len + 1);

	assert_non_null(text);
	memset(text, 'x', len);
	memcpy(text, begin, sizeof(begin) - 1);
	strcpy(text + len - 4, "\r\n\r\n");
	return (struct str){text, len};
}

static void test_rule_18_at_most_32_kib_of_fields(void **state)
{
	const struct h1_options small = {.fields_bytes_max = 50};
	static const struct {
		size_t bytes;
		bool small;
		int expected;
	} table[] = {
		{H1_FIELDS_BYTES_MAX, false, 0},
		{H1_FIELDS_BYTES_MAX + 1, false, -431},
		{50, true, 0},
		{51, true, -431},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct str text = large_fields(table[i].bytes);

		expect_in_steps(text, table[i].small ? &small : &heads_options, table[i].expected);
		free((char *)text.p);
	}
}

static void test_options_cannot_raise_the_limits(void **state)
{
	const struct h1_options large = {
		.request_line_max = 1 << 20, .fields_bytes_max = 1 << 20, .fields_max = 1000};
	struct str text = large_fields(H1_FIELDS_BYTES_MAX + 1);

	expect_in_steps(text, &large, -431);
	free((char *)text.p);
	text = many_fields(HTTP_FIELDS_MAX + 1, "X");
	expect_in_steps(text, &large, -431);
	free((char *)text.p);
}

static void test_memory_that_is_exhausted(void **state)
{
	struct str text = STR(GET("A: b\r\n"));
	struct parsed p;

	memset(&p, 0, sizeof(p));
	arena_init(&p.arena, 1);
	p.result = h1_parse_request(&p.parser, &heads_options, (const uint8_t *)text.p, text.len,
				    &p.arena, &p.head, &p.request, &p.why);
	assert_int_equal(p.result, -ENOMEM);
	assert_non_null(p.why);
	parsed_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_1_transfer_encoding_with_content_length),
		cmocka_unit_test(test_rule_2_transfer_encoding_on_http_1_0),
		cmocka_unit_test(test_rule_3_transfer_codings),
		cmocka_unit_test(test_rule_4_content_length),
		cmocka_unit_test(test_rule_5_folded_lines),
		cmocka_unit_test(test_rule_6_white_space_around_names),
		cmocka_unit_test(test_rule_7_bare_line_feeds),
		cmocka_unit_test(test_rule_8_control_characters),
		cmocka_unit_test(test_names_are_tokens),
		cmocka_unit_test(test_values_are_trimmed),
		cmocka_unit_test(test_rule_13_connection_names_what_is_not_its_own),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_upgrade_needs_both_fields),
		cmocka_unit_test(test_expect_continue),
		cmocka_unit_test(test_rule_15_names_with_underscores_are_dropped),
		cmocka_unit_test(test_rule_18_at_most_100_fields),
		cmocka_unit_test(test_rule_18_at_most_32_kib_of_fields),
		cmocka_unit_test(test_options_cannot_raise_the_limits),
		cmocka_unit_test(test_memory_that_is_exhausted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
