// SPDX-License-Identifier: Apache-2.0
/* Requests and their bodies on the way out. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "calls.h"
#include "http/h1/parse.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define HOST "Host: a.example\r\n"

static void test_fields(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_METHOD_OTHER, "PROPFIND");
	rig_field(&r, "Accept", "*/*");
	rig_field(&r, "host", "somebody.else");
	rig_field(&r, "TE", "trailers");
	rig_field(&r, "x_y", "");
	rig_field(&r, "expect", "100-continue");
	rig_start(&r);
	assert_string_equal(rig_heard(&r), "PROPFIND /a?b HTTP/1.1\r\n" HOST
					   "Accept: */*\r\nTE: trailers\r\nx_y: \r\n"
					   "Connection: TE\r\n\r\n");
	rig_says(&r, OK);
	assert_int_equal(r.why, 0);
	rig_request(&r, HTTP_GET, "GET");
	rig_field(&r, "TE", "trailers");
	r.call.upgrade = STR("x");
	r.request.authority = STR_NONE;
	rig_start(&r);
	assert_string_equal(rig_heard(&r), "GET /a?b HTTP/1.1\r\nHost: \r\nTE: trailers\r\n"
					   "Connection: TE, Upgrade\r\nUpgrade: x\r\n\r\n");
	rig_close(&r);
}

static void test_a_length_is_stated_where_one_is_expected(void **state)
{
	static const struct {
		enum http_method method;
		const char *name, *length;
	} table[] = {
		{HTTP_POST, "POST", "Content-Length: 0\r\n"},
		{HTTP_PUT, "PUT", "Content-Length: 0\r\n"},
		{HTTP_PATCH, "PATCH", "Content-Length: 0\r\n"},
		{HTTP_GET, "GET", ""},
		{HTTP_DELETE, "DELETE", ""},
	};
	char expected[128];
	struct rig r;

	rig_open(&r);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(table); i++) {
		snprintf(expected, sizeof(expected), "%s /a?b HTTP/1.1\r\n" HOST "%s\r\n",
			 table[i].name, table[i].length);
		rig_request(&r, table[i].method, table[i].name);
		rig_start(&r);
		assert_string_equal(rig_heard(&r), expected);
		rig_says(&r, OK);
		assert_int_equal(r.why, 0);
	}
	rig_close(&r);
}

/* A head of any size is sent whole: it is what the parser of requests takes. */
static void test_large_heads(void **state)
{
	static char value[30000];
	static const size_t sizes[] = {8100, 8140, 8150, 8160, 8192, 9000, 16384, 30000};
	struct rig r;

	memset(value, 'v', sizeof(value));
	rig_open(&r);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(sizes); i++) {
		struct h1_parser parser = {0};
		struct h1_options options = {0};
		struct http_head head = {0};
		struct h1_request framing;
		struct arena arena;
		const char *why = NULL, *text;

		rig_request(&r, HTTP_GET, "GET");
		assert_int_equal(http_fields_add_named(&r.request.fields, &r.arena, STR("Big"),
						       (struct str){value, sizes[i]}),
				 0);
		rig_field(&r, "Last", "1");
		rig_start(&r);
		text = rig_heard(&r);
		arena_init(&arena, 0);
		assert_int_equal(h1_parse_request(&parser, &options, (const uint8_t *)text,
						  strlen(text), &arena, &head, &framing, &why),
				 strlen(text));
		assert_int_equal(head.fields.count, 3);
		assert_int_equal(head.fields.v[1].value.len, sizes[i]);
		assert_true(str_eq(head.fields.v[2].value, STR("1")));
		arena_free(&arena);
		rig_says(&r, OK);
		assert_int_equal(r.why, 0);
	}
	rig_close(&r);
}

static void test_a_body_of_known_length(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 10);
	rig_start(&r);
	assert_string_equal(rig_heard(&r),
			    "POST /a?b HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n");
	assert_int_equal(r.call.stage, HTTP_CALL_SEND);
	assert_int_equal(r.pulls, 1);
	rig_give(&r, "hello", false);
	assert_string_equal(rig_heard(&r), "hello");
	/* More than was promised is not pulled. */
	rig_give(&r, "world and more", false);
	assert_string_equal(rig_heard(&r), "world");
	assert_int_equal(r.call.stage, HTTP_CALL_WAIT);
	rig_says(&r, OK);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.call.bytes_out, 10);
	assert_true(r.call.body_begun);
	assert_int_equal(r.idles, 1);
	rig_request(&r, HTTP_GET, "GET");
	rig_round(&r);
	rig_close(&r);
}

/* A small request with its body leaves as one. */
static void test_head_and_body_leave_together(void **state)
{
	char text[1000];
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 5);
	r.give = STR("hello");
	http_call_start(r.link, &r.call);
	/* Nothing before the end of the turn. */
	assert_true(recv(r.server, text, sizeof(text), 0) < 0);
	ssize_t n = -1;
	for (unsigned i = 0; i < 10 && n < 0; i++) {
		assert_int_equal(io_loop_turn(r.loop, 0), 0);
		n = recv(r.server, text, sizeof(text), 0);
	}
	assert_true(n > 9);
	assert_memory_equal(text + n - 9, "\r\n\r\nhello", 9);
	rig_turn(&r);
	rig_says(&r, OK);
	assert_int_equal(r.why, 0);
	rig_close(&r);
}

static void test_a_chunked_body_with_trailers(void **state)
{
	struct http_fields trailers = {0};
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_PUT, "PUT");
	rig_upload(&r, -1);
	assert_int_equal(http_fields_add_named(&trailers, &r.arena, STR("X-Sum"), STR("1")), 0);
	r.trailers = &trailers;
	rig_start(&r);
	assert_string_equal(rig_heard(&r),
			    "PUT /a?b HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n");
	rig_give(&r, "hello", false);
	assert_string_equal(rig_heard(&r), "5\r\nhello\r\n");
	rig_give(&r, "0123456789abcdef", true);
	assert_string_equal(rig_heard(&r), "10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n");
	assert_int_equal(r.call.stage, HTTP_CALL_WAIT);
	rig_says(&r, OK);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.call.bytes_out, 21);
	assert_int_equal(r.idles, 1);
	rig_close(&r);
}

static void test_100_lets_the_body_go(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 5);
	r.call.expect_continue = true;
	rig_start(&r);
	assert_string_equal(rig_heard(&r), "POST /a?b HTTP/1.1\r\n" HOST
					   "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
	rig_give(&r, "hello", true);
	assert_int_equal(r.pulls, 0);
	/* Another 1xx is not that. */
	rig_says(&r, "HTTP/1.1 102 x\r\n\r\n");
	assert_int_equal(r.pulls, 0);
	assert_int_equal(r.informs, 1);
	rig_says(&r, "HTTP/1.1 100 Continue\r\n\r\n");
	assert_string_equal(rig_heard(&r), "hello");
	assert_int_equal(r.informs, 1);
	rig_says(&r, OK);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.idles, 1);
	rig_close(&r);
}

static void test_a_final_head_instead_of_100(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 5);
	r.call.expect_continue = true;
	rig_start(&r);
	rig_give(&r, "hello", true);
	rig_says(&r, "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.pulls, 0);
	assert_false(r.call.body_begun);
	/* A length was stated and not kept: nothing can follow. */
	assert_int_equal(r.idles, 0);
	assert_int_equal(r.closed, 1);
	rig_close(&r);
}

static void test_an_answer_before_the_body_was_sent(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 100);
	rig_start(&r);
	rig_give(&r, "hello", false);
	rig_says(&r, "HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno");
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.call.response.status, 413);
	assert_int_equal(r.body_len, 2);
	assert_int_equal(r.call.bytes_out, 5);
	assert_int_equal(r.idles, 0);
	assert_int_equal(r.closed, 1);
	/* Its source is left alone, though it may still wake whoever asked. */
	unsigned pulls = r.pulls;
	rig_give(&r, "world", true);
	assert_int_equal(r.pulls, pulls);
	source_close(r.call.body, 0);
	rig_close(&r);
}

/* Both ways at once: the answer goes on while the request does. */
static void test_an_echo(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, -1);
	rig_start(&r);
	rig_heard(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(r.responds, 1);
	for (unsigned i = 0; i < 3; i++) {
		rig_give(&r, "abc", i == 2);
		assert_int_equal(strncmp(rig_heard(&r), "3\r\nabc\r\n", 8), 0);
		rig_says(&r, "3\r\nabc\r\n");
		assert_int_equal(r.body_len, 3 * (i + 1));
	}
	assert_int_equal(r.dones, 0);
	rig_says(&r, "0\r\n\r\n");
	assert_int_equal(r.why, 0);
	assert_int_equal(r.idles, 1);
	source_close(r.call.body, 0);
	rig_close(&r);
}

static void test_a_body_that_fails_cuts_the_request(void **state)
{
	struct rig r;

	for (unsigned at_once = 0; at_once < 2; at_once++) {
		rig_open(&r);
		rig_request(&r, HTTP_POST, "POST");
		rig_upload(&r, -1);
		if (at_once)
			r.source.error = -EMSGSIZE;
		rig_start(&r);
		if (!at_once) {
			rig_give(&r, "hello", false);
			r.source.error = -EMSGSIZE;
			rig_give(&r, "", false);
		}
		assert_int_equal(r.dones, 1);
		assert_int_equal(r.why, -EMSGSIZE);
		assert_int_equal(r.call.body_begun, !at_once);
		assert_int_equal(r.closed, 1);
		/* No last chunk makes it look whole. */
		assert_null(strstr(rig_heard(&r), "0\r\n\r\n"));
		rig_close(&r);
	}
	/* Shorter than was promised. */
	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 10);
	rig_start(&r);
	rig_give(&r, "hello", true);
	assert_int_equal(r.why, -ENODATA);
	rig_close(&r);
}

/* A server that stops reading and answers: the answer is had although sending fails. */
static void test_an_answer_after_sending_failed(void **state)
{
	struct str answer = STR("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno");
	struct rig r;

	rig_open(&r);
	rig_request(&r, HTTP_POST, "POST");
	rig_upload(&r, 1000);
	rig_start(&r);
	rig_heard(&r);
	assert_int_equal(send(r.server, answer.p, answer.len, MSG_NOSIGNAL), answer.len);
	shutdown(r.server, SHUT_RD);
	r.give = STR("hello");
	r.source_waits = false;
	source_wake(&r.source);
	rig_turn(&r);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.call.response.status, 413);
	assert_int_equal(r.body_len, 2);
	assert_int_equal(r.idles, 0);
	source_close(r.call.body, 0);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_a_length_is_stated_where_one_is_expected),
		cmocka_unit_test(test_large_heads),
		cmocka_unit_test(test_a_body_of_known_length),
		cmocka_unit_test(test_head_and_body_leave_together),
		cmocka_unit_test(test_a_chunked_body_with_trailers),
		cmocka_unit_test(test_100_lets_the_body_go),
		cmocka_unit_test(test_a_final_head_instead_of_100),
		cmocka_unit_test(test_an_answer_before_the_body_was_sent),
		cmocka_unit_test(test_an_echo),
		cmocka_unit_test(test_a_body_that_fails_cuts_the_request),
		cmocka_unit_test(test_an_answer_after_sending_failed),
	};

	return rig_run(tests, SL_ARRAY_SIZE(tests));
}
