// SPDX-License-Identifier: Apache-2.0
/* What a server answers, and what is made of it. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"
#include "calls.h"

static void assert_body(const struct rig *r, const char *text)
{
	assert_int_equal(r->body_len, strlen(text));
	assert_memory_equal(r->body, text, r->body_len);
}

static void test_a_small_response(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_start(&r);
	assert_int_equal(r.call.stage, HTTP_CALL_WAIT);
	assert_string_equal(rig_heard(&r), "GET /a?b HTTP/1.1\r\nHost: a.example\r\n\r\n");
	rig_says(&r, "HTTP/1.1 404 Nope\r\nContent-Length: 5\r\nX: y\r\n\r\nhello");
	assert_int_equal(r.responds, 1);
	assert_int_equal(r.idles, 1);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.call.response.status, 404);
	assert_int_equal(r.call.response.content_length, 5);
	/* The body is not closed yet, so what was received is still there. */
	assert_true(str_eq(r.call.response.fields.v[1].value, STR("y")));
	assert_body(&r, "hello");
	assert_int_equal(r.call.bytes_in, 5);
	assert_false(r.call.reused);
	assert_true(r.call.first_byte_ns > 0);
	struct seg s;
	assert_int_equal(source_pull(r.call.body, 1, SEG_MEM, &s), PULL_END);
	source_close(r.call.body, 0);
	assert_true(http_link_alive(r.link));
	rig_close(&r);
}

/* Head and body are where they were received, as long as somebody looks at them. */
static void test_nothing_is_copied(void **state)
{
	struct rig r;
	struct seg s;

	rig_open(&r);
	r.on_respond = RIG_HOLD;
	rig_start(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello");
	const char *y = r.call.response.fields.v[1].value.p;
	assert_int_equal(source_pull(r.call.body, 100, SEG_MEM, &s), PULL_DATA);
	assert_ptr_equal(s.u.mem, y + 5);
	assert_int_equal(r.dones, 1);
	source_close(r.call.body, 0);
	/* The segment is the consumer's own. */
	r.on_respond = RIG_PULL;
	rig_request(&r, HTTP_GET, "GET");
	rig_round(&r);
	assert_memory_equal(s.u.mem, "hello", 5);
	seg_release(&s);
	rig_close(&r);
}

static void test_byte_by_byte(void **state)
{
	static const char answer[] = "HTTP/1.1 103 Hints\r\nLink: <a>\r\n\r\n"
				     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nB: c\r\n\r\n"
				     "3;x\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n";
	struct rig r;

	rig_open(&r);
	rig_start(&r);
	for (size_t i = 0; i < sizeof(answer) - 1; i++) {
		assert_int_equal(r.dones, 0);
		rig_say(&r, (struct str){answer + i, 1});
	}
	assert_int_equal(r.informs, 1);
	assert_string_equal(r.link_value, "<a>");
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.end, PULL_END);
	assert_body(&r, "abcde");
	assert_true(str_eq(r.call.response.fields.v[1].value, STR("c")));
	const struct http_fields *trailers = r.call.body->ops->trailers(r.call.body);
	assert_non_null(trailers);
	assert_int_equal(trailers->count, 1);
	assert_true(str_eq(trailers->v[0].name, STR("X-T")));
	source_close(r.call.body, 0);
	rig_request(&r, HTTP_GET, "GET");
	rig_round(&r);
	assert_true(r.call.reused);
	rig_close(&r);
}

static void test_many_calls_on_one_link(void **state)
{
	struct rig r;

	rig_open(&r);
	for (unsigned i = 0; i < 20; i++) {
		rig_request(&r, HTTP_GET, "GET");
		rig_round(&r);
		assert_int_equal(r.link->calls, i + 1);
	}
	rig_close(&r);
}

/* From inside `idle` the next call may be started. */
static struct rig *second;
static void start_second(struct rig *r)
{
	r->on_idle = NULL;
	http_call_start(r->link, &second->call);
}

static void test_the_next_call_begins_inside_idle(void **state)
{
	struct rig r, other;

	rig_open(&r);
	rig_open(&other);
	second = &other;
	r.on_idle = start_second;
	rig_start(&r);
	rig_heard(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
	assert_int_equal(r.dones, 1);
	assert_int_equal(other.responds, 0);
	assert_int_equal(strncmp(rig_heard(&r), "GET ", 4), 0);
	rig_says(&r, "HTTP/1.1 204 x\r\n\r\n");
	assert_int_equal(other.responds, 1);
	assert_int_equal(other.dones, 1);
	assert_int_equal(other.call.response.status, 204);
	assert_int_equal(r.idles, 2);
	source_close(r.call.body, 0);
	rig_close(&r);
	rig_close(&other);
}

static void test_no_body(void **state)
{
	static const struct {
		enum http_method method;
		const char *name, *answer;
		int64_t length;
	} table[] = {
		{HTTP_HEAD, "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", 50},
		{HTTP_HEAD, "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -1},
		{HTTP_GET, "GET", "HTTP/1.1 204 x\r\n\r\n", 0},
		{HTTP_GET, "GET", "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", 9},
		{HTTP_GET, "GET", "HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", 0},
	};
	struct rig r;

	rig_open(&r);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(table); i++) {
		rig_request(&r, table[i].method, table[i].name);
		rig_start(&r);
		rig_say(&r, str_from(table[i].answer));
		assert_int_equal(r.dones, 1);
		assert_int_equal(r.why, 0);
		assert_null(r.call.body);
		assert_int_equal(r.call.response.content_length, table[i].length);
		assert_true(r.link->usable);
	}
	rig_close(&r);
}

static void test_until_close(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_start(&r);
	rig_heard(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\n\r\nsome");
	rig_says(&r, " more");
	assert_int_equal(r.dones, 0);
	rig_hang_up(&r);
	assert_int_equal(r.end, PULL_END);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.idles, 0);
	assert_body(&r, "some more");
	source_close(r.call.body, 0);
	rig_turn(&r);
	assert_int_equal(r.closed, 1);
	rig_close(&r);
}

/* A whole response after which the link is not used again. */
static void expect_last(struct str answer)
{
	struct rig r;

	rig_open(&r);
	rig_start(&r);
	rig_heard(&r);
	rig_say(&r, answer);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.idles, 0);
	if (r.call.body) {
		assert_body(&r, "hello");
		source_close(r.call.body, 0);
	}
	rig_turn(&r);
	assert_int_equal(r.closed, 1);
	rig_close(&r);
}

static void test_rule_16_what_is_not_used_again(void **state)
{
	expect_last(STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"));
	expect_last(STR("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
	expect_last(STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!"));
	expect_last(STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
	expect_last(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n"));
	expect_last(STR("HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\nhello"));
}

static void test_what_comes_on_an_idle_link_ends_it(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_round(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	assert_int_equal(r.closed, 1);
	rig_close(&r);
	/* Before the first call, too. */
	rig_open(&r);
	rig_says(&r, "220 smtp.example\r\n");
	assert_int_equal(r.closed, 1);
	rig_close(&r);
}

static void test_a_link_that_the_server_closed(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_round(&r);
	/* Behind our back: the loop has not turned. */
	assert_true(http_link_alive(r.link));
	close(r.server);
	r.server = -1;
	assert_true(r.link->usable);
	assert_false(http_link_alive(r.link));
	rig_turn(&r);
	assert_int_equal(r.closed, 1);
	rig_close(&r);
}

static void test_a_stale_link_shows_before_the_first_byte(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_round(&r);
	close(r.server);
	r.server = -1;
	rig_request(&r, HTTP_GET, "GET");
	rig_start(&r);
	assert_int_equal(r.dones, 1);
	assert_true(r.why < 0);
	assert_true(r.call.reused);
	assert_int_equal(r.call.first_byte_ns, 0);
	assert_true(r.call.stage == HTTP_CALL_SEND || r.call.stage == HTTP_CALL_WAIT);
	assert_false(r.call.body_begun);
	rig_close(&r);
}

/* The response is refused, before or inside its body. */
static void expect_refused(struct str answer, int why)
{
	struct rig r;

	rig_open(&r);
	rig_start(&r);
	rig_heard(&r);
	rig_say(&r, answer);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, why);
	if (why == -EBADMSG)
		assert_non_null(r.call.refused);
	if (r.call.body) {
		struct seg s;

		assert_int_equal(r.end, PULL_FAIL);
		assert_int_equal(source_pull(r.call.body, 1, SEG_MEM, &s), PULL_FAIL);
		assert_int_equal(r.call.body->error, why);
		source_close(r.call.body, why);
	}
	rig_turn(&r);
	assert_int_equal(r.closed, 1);
	assert_int_equal(r.idles, 0);
	rig_close(&r);
}

static void test_garbage(void **state)
{
	expect_refused(STR("\0\1\2\3\r\n\r\n"), -EBADMSG);
	expect_refused(STR("SSH-2.0-x\r\n"), -EBADMSG);
	expect_refused(
		STR("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
		-EBADMSG);
	expect_refused(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
		       -EBADMSG);
	expect_refused(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX"),
		       -EBADMSG);
	expect_refused(STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"),
		       -EBADMSG);
	/* Nobody asked for another protocol. */
	expect_refused(STR("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
		       -EBADMSG);
}

static void test_a_head_that_never_ends(void **state)
{
	char line[1000];
	struct rig r;

	memset(line, 'x', sizeof(line));
	memcpy(line, "X: ", 3);
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	rig_open(&r);
	rig_start(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = 0; i < 50 && !r.dones; i++)
		rig_say(&r, (struct str){line, sizeof(line)});
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, -EBADMSG);
	assert_int_equal(r.responds, 0);
	rig_close(&r);
}

static void test_informational_heads_are_bounded(void **state)
{
	struct rig r;

	for (unsigned count = HTTP_CALL_INFORMS_MAX; count <= HTTP_CALL_INFORMS_MAX + 1; count++) {
		bool flood = count > HTTP_CALL_INFORMS_MAX;

		rig_open(&r);
		rig_start(&r);
		for (unsigned i = 0; i < count; i++)
			rig_says(&r, "HTTP/1.1 102 Processing\r\n\r\n");
		assert_int_equal(r.informs, HTTP_CALL_INFORMS_MAX);
		assert_int_equal(r.inform_status, 102);
		assert_int_equal(r.dones, flood);
		if (flood) {
			assert_int_equal(r.why, -EBADMSG);
		} else {
			rig_says(&r, "HTTP/1.1 204 x\r\n\r\n");
			assert_int_equal(r.why, 0);
			assert_int_equal(r.idles, 1);
		}
		rig_close(&r);
	}
}

/* What was received is not read ahead of a consumer that does not pull. */
static void test_backpressure(void **state)
{
	static char block[64 * 1024];
	struct rig r;
	size_t sent = 0;

	rig_open(&r);
	r.on_respond = RIG_HOLD;
	rig_start(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
	assert_int_equal(r.responds, 1);
	for (unsigned i = 0; i < 100; i++) {
		ssize_t n =
			send(r.server, block, SL_MIN(sizeof(block), 1000000 - sent), MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		rig_turn(&r);
	}
	/* The sockets' own buffers, and what an armed receive brings. */
	assert_true(sent < 1000000);
	assert_int_equal(r.call.bytes_in, 0);
	r.on_respond = RIG_PULL;
	rig_pull(&r);
	while (sent < 1000000) {
		rig_say(&r, (struct str){block, SL_MIN(sizeof(block), 1000000 - sent)});
		sent += SL_MIN(sizeof(block), 1000000 - sent);
	}
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.body_len, 1000000);
	assert_true(r.wakes > 0);
	source_close(r.call.body, 0);
	assert_true(r.link->usable);
	rig_close(&r);
}

static void test_a_body_through_pipes(void **state)
{
	static char block[64 * 1024];
	struct rig r;

	rig_open(&r);
	rig_round(&r);
	rig_request(&r, HTTP_GET, "GET");
	r.kinds = SEG_MEM | SEG_PIPE;
	rig_start(&r);
	rig_heard(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 655360\r\n\r\n");
	for (unsigned i = 0; i < 10; i++)
		rig_say(&r, (struct str){block, sizeof(block)});
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, 0);
	assert_int_equal(r.body_len, 10 * sizeof(block));
	source_close(r.call.body, 0);
	/* Receiving goes on into memory. */
	rig_request(&r, HTTP_GET, "GET");
	rig_round(&r);
	rig_close(&r);
}

static void test_101_hands_over_the_conn(void **state)
{
	struct rig r;
	struct seg s;

	rig_open(&r);
	r.on_respond = RIG_TAKE;
	r.call.upgrade = STR("websocket");
	rig_start(&r);
	assert_string_equal(rig_heard(&r), "GET /a?b HTTP/1.1\r\nHost: a.example\r\n"
					   "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
	rig_says(&r, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst");
	assert_int_equal(r.responds, 1);
	assert_int_equal(r.dones, 0);
	assert_int_equal(r.closed, 1);
	assert_non_null(r.taken);
	assert_int_equal(source_pull(&r.taken->source, 100, SEG_MEM, &s), PULL_DATA);
	assert_int_equal(s.len, 5);
	assert_memory_equal(s.u.mem, "first", 5);
	seg_release(&s);
	conn_send(r.taken, seg_mem("ping", 4, NULL));
	assert_string_equal(rig_heard(&r), "ping");
	conn_close(r.taken, -ECANCELED);
	rig_close(&r);
}

static void test_an_upgrade_that_is_declined(void **state)
{
	struct rig r;

	rig_open(&r);
	r.call.upgrade = STR("websocket");
	rig_round(&r);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_small_response),
		cmocka_unit_test(test_nothing_is_copied),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_many_calls_on_one_link),
		cmocka_unit_test(test_the_next_call_begins_inside_idle),
		cmocka_unit_test(test_no_body),
		cmocka_unit_test(test_until_close),
		cmocka_unit_test(test_rule_16_what_is_not_used_again),
		cmocka_unit_test(test_what_comes_on_an_idle_link_ends_it),
		cmocka_unit_test(test_a_link_that_the_server_closed),
		cmocka_unit_test(test_a_stale_link_shows_before_the_first_byte),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_a_head_that_never_ends),
		cmocka_unit_test(test_informational_heads_are_bounded),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_a_body_through_pipes),
		cmocka_unit_test(test_101_hands_over_the_conn),
		cmocka_unit_test(test_an_upgrade_that_is_declined),
	};

	return rig_run(tests, SL_ARRAY_SIZE(tests));
}
