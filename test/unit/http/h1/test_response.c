// SPDX-License-Identifier: Apache-2.0
// Heads of responses, rule by rule. Every head here is parsed whole, byte by byte, and split at every position.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h1/parse.h"
#include "unit.h"

#define OK "HTTP/1.1 200 OK\r\n"

struct parsed {
	struct h1_parser parser;
	struct http_head head;
	struct h1_response response;
	struct arena arena;
	const char *why;
	uint8_t *buffer;
	int result;
};

static void parsed_free(struct parsed *p)
{
	arena_free(&p->arena);
	free(p->buffer);
	p->buffer = NULL;
}

/* The first call sees `first` bytes, each further one `step` more, in another buffer. */
static void parse_in_steps(struct parsed *p, enum http_method asked, struct str text, size_t first,
			   size_t step)
{
	memset(p, 0, sizeof(*p));
	arena_init(&p->arena, 0);
	for (size_t len = first;; len = len + step < text.len ? len + step : text.len) {
		uint8_t *next = malloc(len ? len : 1);

		assert_non_null(next);
		memcpy(next, text.p, len);
		free(p->buffer);
		p->buffer = next;
		p->result = h1_parse_response(&p->parser, next, len, &p->arena, asked, &p->head,
					      &p->response, &p->why);
		if (p->result || len == text.len)
			return;
	}
}

static void assert_same(const struct parsed *a, const struct parsed *b)
{
	const struct http_head *h = &a->head, *g = &b->head;

	assert_int_equal(a->result, b->result);
	assert_int_equal(!a->why, !b->why);
	if (a->why)
		assert_string_equal(a->why, b->why);
	if (a->result <= 0)
		return;
	assert_int_equal(h->status, g->status);
	assert_int_equal(h->version, g->version);
	assert_int_equal(h->content_length, g->content_length);
	assert_memory_equal(&a->response, &b->response, sizeof(a->response));
	assert_int_equal(h->fields.count, g->fields.count);
	for (unsigned i = 0; i < h->fields.count; i++) {
		assert_int_equal(h->fields.v[i].id, g->fields.v[i].id);
		assert_true(str_eq(h->fields.v[i].name, g->fields.v[i].name));
		assert_true(str_eq(h->fields.v[i].value, g->fields.v[i].value));
	}
}

static void parse_every_way(struct parsed *whole, enum http_method asked, struct str text)
{
	struct parsed split;

	parse_in_steps(whole, asked, text, text.len, 1);
	for (size_t cut = 0; cut <= text.len; cut++) {
		/* 0 stands for byte by byte. */
		parse_in_steps(&split, asked, text, cut, cut ? text.len : 1);
		assert_same(whole, &split);
		parsed_free(&split);
	}
}

static void refused(struct str text)
{
	struct parsed p;

	parse_every_way(&p, HTTP_GET, text);
	if (p.result != -EBADMSG)
		print_error("%.*s: %d\n", STR_ARG(text), p.result);
	assert_int_equal(p.result, -EBADMSG);
	assert_non_null(p.why);
	parsed_free(&p);
}
#define expect_refused(literal) refused(STR(literal))

static void taken(struct parsed *p, enum http_method asked, struct str text)
{
	parse_every_way(p, asked, text);
	if (p->result != (int)text.len)
		print_error("%.*s: %d (%s)\n", STR_ARG(text), p->result, p->why ? p->why : "-");
	assert_int_equal(p->result, text.len);
}

/* What the framing says. */
static void framed(enum http_method asked, struct str text, enum h1_body body, int64_t length,
		   bool keep_alive)
{
	struct parsed p;

	taken(&p, asked, text);
	assert_int_equal(p.response.body, body);
	assert_int_equal(p.head.content_length, length);
	assert_int_equal(p.response.keep_alive, keep_alive);
	parsed_free(&p);
}
#define expect_framed(asked, literal, ...) framed(HTTP_##asked, STR(literal), __VA_ARGS__)

static void test_a_plain_response(void **state)
{
	struct parsed p;

	taken(&p, HTTP_GET,
	      STR("HTTP/1.1 404 Not quite \xe9 \t there\r\nContent-Length: 5\r\nX_y:  a b \r\n\r\n"));
	assert_int_equal(p.head.status, 404);
	assert_int_equal(p.head.version, 11);
	assert_int_equal(p.head.content_length, 5);
	assert_int_equal(p.response.body, H1_BODY_LENGTH);
	assert_true(p.response.keep_alive);
	assert_false(p.response.upgrade);
	assert_int_equal(p.head.fields.count, 2);
	/* Rule 15 is for requests. */
	assert_true(str_eq(p.head.fields.v[1].name, STR("X_y")));
	assert_true(str_eq(p.head.fields.v[1].value, STR("a b")));
	parsed_free(&p);
}

static void test_status_lines(void **state)
{
	struct parsed p;

	taken(&p, HTTP_GET, STR("HTTP/1.1 200 \r\n\r\n"));
	parsed_free(&p);
	taken(&p, HTTP_GET, STR("HTTP/1.0 599 x\r\n\r\n"));
	assert_int_equal(p.head.version, 10);
	assert_int_equal(p.head.status, 599);
	parsed_free(&p);
	taken(&p, HTTP_GET, STR("HTTP/1.2 100 x\r\n\r\n"));
	assert_int_equal(p.head.version, 11);
	parsed_free(&p);
	expect_refused("\r\nHTTP/1.1 200 OK\r\n\r\n");
	expect_refused(" HTTP/1.1 200 OK\r\n\r\n");
	expect_refused("HTTP/1.1 200\r\n\r\n");
	expect_refused("HTTP/1.1  200 OK\r\n\r\n");
	expect_refused("HTTP/1.1\t200 OK\r\n\r\n");
	expect_refused("HTTP/1.1 200\tOK\r\n\r\n");
	expect_refused("HTTP/1.1 099 OK\r\n\r\n");
	expect_refused("HTTP/1.1 600 OK\r\n\r\n");
	expect_refused("HTTP/1.1 20 OK\r\n\r\n");
	expect_refused("HTTP/1.1 2000 OK\r\n\r\n");
	expect_refused("HTTP/1.1 2x0 OK\r\n\r\n");
	expect_refused("HTTP/1.1 +20 OK\r\n\r\n");
	expect_refused("HTTP/2.0 200 OK\r\n\r\n");
	expect_refused("HTTP/0.9 200 OK\r\n\r\n");
	expect_refused("http/1.1 200 OK\r\n\r\n");
	expect_refused("HTTP/1.1.1 200 OK\r\n\r\n");
	expect_refused("ICY 200 OK okay\r\n\r\n");
	expect_refused("GET / HTTP/1.1\r\n\r\n");
	expect_refused("<html>hello, world</html>\r\n");
	expect_refused("SSH-2.0-x\r\n");
	expect_refused("\r\n\r\n");
}

static void test_an_incomplete_head_wants_more(void **state)
{
	static const struct str parts[] = {STR(""), STR("HTTP/1.1 2"), STR(OK "A: b\r\n\r"),
					   STR("HTTP/1.1 200 OK\r")};
	struct parsed p;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		parse_every_way(&p, HTTP_GET, parts[i]);
		assert_int_equal(p.result, 0);
		parsed_free(&p);
	}
}

static void test_rule_1_both_lengths(void **state)
{
	expect_refused(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n");
	expect_refused(OK "Content-Length: 5\r\ntransfer-encoding: chunked\r\n\r\n");
	expect_refused("HTTP/1.1 304 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void test_rules_2_and_3_transfer_codings(void **state)
{
	expect_framed(GET, OK "Transfer-Encoding: Chunked\r\n\r\n", H1_BODY_CHUNKED, -1, true);
	expect_refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: gzip, chunked\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: gzip\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: chunked, chunked\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: chunked, gzip\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: chunked,\r\n\r\n");
	expect_refused(OK "Transfer-Encoding: \"chunked\"\r\n\r\n");
	expect_refused(OK "Transfer-Encoding:\r\n\r\n");
}

static void test_rule_4_content_length(void **state)
{
	expect_framed(GET, OK "Content-Length: 9223372036854775807\r\n\r\n", H1_BODY_LENGTH,
		      INT64_MAX, true);
	expect_refused(OK "Content-Length: 9223372036854775808\r\n\r\n");
	expect_refused(OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
	expect_refused(OK "Content-Length: 5, 5\r\n\r\n");
	expect_refused(OK "Content-Length: +5\r\n\r\n");
	expect_refused(OK "Content-Length: -1\r\n\r\n");
	expect_refused(OK "Content-Length: 0x5\r\n\r\n");
	expect_refused(OK "Content-Length:\r\n\r\n");
}

static void test_rules_5_to_8_field_lines(void **state)
{
	expect_refused(OK "A: b\r\n c\r\n\r\n");
	expect_refused(OK " A: b\r\n\r\n");
	expect_refused(OK "A : b\r\n\r\n");
	expect_refused(OK "A\r\n\r\n");
	expect_refused(OK ": b\r\n\r\n");
	expect_refused(OK "A: b\n\r\n");
	expect_refused(OK "A: b\r\n\n");
	expect_refused("HTTP/1.1 200 OK\nA: b\r\n\r\n");
	expect_refused("HTTP/1.1 200 O\rK\r\n\r\n");
	expect_refused("HTTP/1.1 200 O\x01K\r\n\r\n");
	expect_refused(OK "A: b\rc\r\n\r\n");
	expect_refused(OK "A: b\0c\r\n\r\n");
	expect_refused(OK "A: b\x7f\r\n\r\n");
	expect_refused(OK "A\x80: b\r\n\r\n");
}

static void test_rule_13_connection(void **state)
{
	struct parsed p;

	expect_framed(GET, OK "Content-Length: 1\r\nConnection: close\r\n\r\n", H1_BODY_LENGTH, 1,
		      false);
	expect_framed(GET, OK "Content-Length: 1\r\nConnection: a\r\nConnection: CLOSE, b\r\n\r\n",
		      H1_BODY_LENGTH, 1, false);
	expect_framed(GET, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", H1_BODY_LENGTH, 1,
		      false);
	expect_framed(GET, "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
		      H1_BODY_LENGTH, 1, true);
	expect_refused(OK "Connection: Host\r\n\r\n");
	expect_refused(OK "Connection: close, content-length\r\n\r\n");
	expect_refused(OK "Connection: X-Forwarded-For\r\n\r\n");
	taken(&p, HTTP_GET,
	      STR("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
	assert_true(p.response.upgrade);
	parsed_free(&p);
	taken(&p, HTTP_GET, STR("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"));
	assert_false(p.response.upgrade);
	parsed_free(&p);
	taken(&p, HTTP_GET, STR("HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n"));
	assert_false(p.response.upgrade);
	parsed_free(&p);
}

/* RFC 9112 section 6.3. */
static void test_framing(void **state)
{
	expect_framed(GET, OK "\r\n", H1_BODY_UNTIL_CLOSE, -1, false);
	expect_framed(GET, OK "Connection: keep-alive\r\n\r\n", H1_BODY_UNTIL_CLOSE, -1, false);
	expect_framed(GET, "HTTP/1.0 200 OK\r\n\r\n", H1_BODY_UNTIL_CLOSE, -1, false);
	expect_framed(GET, OK "Content-Length: 0\r\n\r\n", H1_BODY_NONE, 0, true);
	expect_framed(HEAD, OK "Content-Length: 7\r\n\r\n", H1_BODY_NONE, 7, true);
	expect_framed(HEAD, OK "Transfer-Encoding: chunked\r\n\r\n", H1_BODY_NONE, -1, true);
	expect_framed(HEAD, OK "\r\n", H1_BODY_NONE, -1, true);
	expect_framed(GET, "HTTP/1.1 304 x\r\nContent-Length: 7\r\n\r\n", H1_BODY_NONE, 7, true);
	expect_framed(GET, "HTTP/1.1 304 x\r\n\r\n", H1_BODY_NONE, -1, true);
	expect_framed(GET, "HTTP/1.1 204 x\r\n\r\n", H1_BODY_NONE, 0, true);
	expect_framed(GET, "HTTP/1.1 204 x\r\nContent-Length: 7\r\n\r\n", H1_BODY_NONE, 0, true);
	expect_framed(GET, "HTTP/1.1 103 x\r\nLink: a\r\n\r\n", H1_BODY_NONE, 0, true);
	expect_framed(POST, "HTTP/1.1 205 x\r\nContent-Length: 7\r\n\r\n", H1_BODY_LENGTH, 7, true);
	expect_framed(CONNECT, OK "Content-Length: 7\r\n\r\n", H1_BODY_UNTIL_CLOSE, -1, false);
	expect_framed(CONNECT, "HTTP/1.1 407 x\r\nContent-Length: 7\r\n\r\n", H1_BODY_LENGTH, 7,
		      true);
}

/* A head with a line and fields of these sizes, their line ends among them; parsed whole. */
static int parse_sized(unsigned reason, unsigned fields, unsigned field_bytes)
{
	char *text = malloc(100 + reason + (size_t)fields * field_bytes);
	struct parsed p;
	size_t at;

	assert_non_null(text);
	at = (size_t)sprintf(text, "HTTP/1.1 200 ");
	memset(text + at, 'r', reason);
	at += reason;
	at += (size_t)sprintf(text + at, "\r\n");
	for (unsigned i = 0; i < fields; i++) {
		at += (size_t)sprintf(text + at, "A: ");
		memset(text + at, 'x', field_bytes - 5);
		at += field_bytes - 5;
		at += (size_t)sprintf(text + at, "\r\n");
	}
	at += (size_t)sprintf(text + at, "\r\n");
	parse_in_steps(&p, HTTP_GET, (struct str){text, at}, at, 1);
	free(text);
	assert_true(p.result < 0 || p.result == (int)at);
	int result = p.result < 0 ? p.result : 1;
	parsed_free(&p);
	return result;
}

static void test_rules_17_and_18_limits(void **state)
{
	assert_int_equal(parse_sized(H1_REQUEST_LINE_MAX - 13, 1, 10), 1);
	assert_int_equal(parse_sized(H1_REQUEST_LINE_MAX - 12, 1, 10), -EBADMSG);
	assert_int_equal(parse_sized(2, 1, H1_FIELDS_BYTES_MAX), 1);
	assert_int_equal(parse_sized(2, 1, H1_FIELDS_BYTES_MAX + 1), -EBADMSG);
	assert_int_equal(parse_sized(2, HTTP_FIELDS_MAX, 10), 1);
	assert_int_equal(parse_sized(2, HTTP_FIELDS_MAX + 1, 10), -EBADMSG);
}

static void test_no_memory_is_told_apart(void **state)
{
	struct str text = STR(OK "A: b\r\n\r\n");
	struct parsed p = {0};

	arena_init(&p.arena, 1);
	p.result = h1_parse_response(&p.parser, (const uint8_t *)text.p, text.len, &p.arena,
				     HTTP_GET, &p.head, &p.response, &p.why);
	assert_int_equal(p.result, -ENOMEM);
	arena_free(&p.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_plain_response),
		cmocka_unit_test(test_status_lines),
		cmocka_unit_test(test_an_incomplete_head_wants_more),
		cmocka_unit_test(test_rule_1_both_lengths),
		cmocka_unit_test(test_rules_2_and_3_transfer_codings),
		cmocka_unit_test(test_rule_4_content_length),
		cmocka_unit_test(test_rules_5_to_8_field_lines),
		cmocka_unit_test(test_rule_13_connection),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_rules_17_and_18_limits),
		cmocka_unit_test(test_no_memory_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
