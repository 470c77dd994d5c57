// SPDX-License-Identifier: Apache-2.0
/* How calls and links end before their time: by the server, by the owner, in each stage. */
#include <errno.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "calls.h"

/* Where a call stands when the end comes. */
enum point {
	AT_START, /* the loop has not turned since */
	AT_SEND,  /* part of the request's body has left */
	AT_WAIT,
	AT_HEAD, /* part of a head came */
	AT_INFORM,
	AT_HELD,    /* the body is not pulled */
	AT_LENGTH,  /* the body is pulled, and part of it came */
	AT_CHUNKED, /* the same */
	AT_CHUNK_END,
	AT_CLOSE, /* the same, of a body that ends with the connection */
	POINTS
};

static void go_to(struct rig *r, enum point point)
{
	static const struct str says[POINTS] = {
		[AT_HEAD] = STR("HTTP/1.1 200 OK\r\nConte"),
		[AT_INFORM] = STR("HTTP/1.1 103 x\r\nLink: y\r\n\r\n"),
		[AT_HELD] = STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
		[AT_LENGTH] = STR("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
		[AT_CHUNKED] = STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"),
		[AT_CHUNK_END] = STR(
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"),
		[AT_CLOSE] = STR("HTTP/1.1 200 OK\r\n\r\nabc"),
	};

	if (point == AT_START) {
		http_call_start(r->link, &r->call);
		return;
	}
	if (point == AT_SEND) {
		rig_request(r, HTTP_POST, "POST");
		rig_upload(r, -1);
	}
	if (point == AT_HELD)
		r->on_respond = RIG_HOLD;
	rig_start(r);
	if (point == AT_SEND)
		rig_give(r, "hello", false);
	rig_heard(r);
	rig_say(r, says[point]);
	assert_int_equal(r->dones, 0);
	assert_int_equal(r->responds, point >= AT_HELD);
}

static void close_body(struct rig *r)
{
	if (r->call.responded && r->call.body)
		source_close(r->call.body, -EPIPE);
}

static void test_the_server_dies(void **state)
{
	static const int whys[POINTS] = {
		[AT_SEND] = -ECONNRESET,   [AT_WAIT] = -ECONNRESET, [AT_HEAD] = -ENODATA,
		[AT_INFORM] = -ENODATA,    [AT_LENGTH] = -ENODATA,  [AT_CHUNKED] = -ENODATA,
		[AT_CHUNK_END] = -ENODATA,
	};

	for (enum point point = AT_SEND; point < POINTS; point++) {
		struct rig r;

		if (!whys[point])
			continue;
		rig_open(&r);
		go_to(&r, point);
		rig_hang_up(&r);
		assert_int_equal(r.dones, 1);
		assert_int_equal(r.why, whys[point]);
		assert_int_equal(r.call.responded, point >= AT_HELD);
		if (r.call.responded)
			assert_int_equal(r.end, PULL_FAIL);
		if (r.call.responded)
			assert_int_equal(r.call.body->error, -ENODATA);
		close_body(&r);
		rig_turn(&r);
		assert_int_equal(r.closed, 1);
		assert_int_equal(r.idles, 0);
		rig_close(&r);
	}
}

/* Nobody pulls, so nobody notices; then what came first is given, and the cut after it. */
static void test_the_server_dies_before_the_body_is_pulled(void **state)
{
	struct rig r;

	rig_open(&r);
	r.on_respond = RIG_HOLD;
	rig_start(&r);
	rig_heard(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
	rig_hang_up(&r);
	assert_int_equal(r.dones, 0);
	r.on_respond = RIG_PULL;
	rig_pull(&r);
	rig_turn(&r);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, -ENODATA);
	rig_pull(&r);
	assert_int_equal(r.end, PULL_FAIL);
	assert_int_equal(r.body_len, 3);
	source_close(r.call.body, 0);
	rig_close(&r);
}

/* A body that ends with the connection is whole only when that ends in order. */
static void test_a_reset_is_no_end(void **state)
{
	struct rig r;

	rig_open(&r);
	rig_start(&r);
	/* What was not read makes the close a reset. */
	rig_says(&r, "HTTP/1.1 200 OK\r\n\r\nabc");
	assert_int_equal(r.dones, 0);
	rig_hang_up(&r);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, -ECONNRESET);
	assert_int_equal(r.end, PULL_FAIL);
	source_close(r.call.body, 0);
	rig_close(&r);
}

static void test_cancel_in_each_stage(void **state)
{
	for (enum point point = AT_START; point < POINTS; point++) {
		struct rig r;

		rig_open(&r);
		go_to(&r, point);
		http_call_cancel(&r.call);
		/* Here and now: the call's memory is the owner's. */
		assert_null(r.call.link);
		unsigned wakes = r.wakes;
		bool waits = point > AT_HELD;
		rig_turn(&r);
		assert_int_equal(r.dones, 0);
		assert_int_equal(r.closed, 1);
		if (r.call.responded) {
			struct seg s;

			assert_int_equal(r.wakes, wakes + waits);
			assert_int_equal(source_pull(r.call.body, 1, SEG_MEM, &s), PULL_FAIL);
			assert_int_equal(r.call.body->error, -ECANCELED);
		}
		close_body(&r);
		http_call_cancel(&r.call);
		rig_close(&r);
	}
}

/* The waiting body is closed before its wake comes, and its memory is gone by then. */
static void test_close_after_cancel(void **state)
{
	struct rig r;

	rig_open(&r);
	go_to(&r, AT_LENGTH);
	http_call_cancel(&r.call);
	source_close(r.call.body, -ECANCELED);
	arena_free(&r.arena);
	rig_turn(&r);
	assert_int_equal(r.wakes, 0);
	rig_close(&r);
}

static void test_closing_the_link_in_each_stage(void **state)
{
	for (enum point point = AT_START; point < POINTS; point++) {
		struct rig r;

		rig_open(&r);
		go_to(&r, point);
		http_link_close(r.link);
		assert_int_equal(r.dones, 0);
		rig_turn(&r);
		assert_int_equal(r.dones, 1);
		assert_int_equal(r.why, -ECANCELED);
		assert_int_equal(r.closed, 1);
		close_body(&r);
		rig_close(&r);
	}
}

static void test_ends_inside_respond(void **state)
{
	static const enum rig_respond how[] = {RIG_CANCEL, RIG_CLOSE_LINK, RIG_CLOSE_BODY};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(how); i++) {
		struct rig r;

		rig_open(&r);
		r.on_respond = how[i];
		rig_start(&r);
		rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
		assert_int_equal(r.responds, 1);
		assert_int_equal(r.dones, how[i] != RIG_CANCEL);
		if (r.dones)
			assert_int_equal(r.why, -ECANCELED);
		assert_int_equal(r.idles, 0);
		if (how[i] != RIG_CLOSE_BODY)
			source_close(r.call.body, 0);
		rig_turn(&r);
		assert_int_equal(r.closed, 1);
		rig_close(&r);
	}
}

static void test_ends_inside_respond_without_a_body(void **state)
{
	static const enum rig_respond how[] = {RIG_CANCEL, RIG_CLOSE_LINK};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(how); i++) {
		struct rig r;

		rig_open(&r);
		r.on_respond = how[i];
		rig_start(&r);
		rig_says(&r, "HTTP/1.1 204 x\r\n\r\n");
		assert_int_equal(r.responds, 1);
		assert_int_equal(r.dones, how[i] != RIG_CANCEL);
		assert_int_equal(r.idles, 0);
		rig_turn(&r);
		rig_close(&r);
	}
}

static void test_cancel_inside_inform(void **state)
{
	struct rig r;

	rig_open(&r);
	r.on_respond = RIG_CANCEL;
	rig_start(&r);
	rig_says(&r, "HTTP/1.1 103 x\r\n\r\nHTTP/1.1 204 x\r\n\r\n");
	assert_int_equal(r.informs, 1);
	assert_int_equal(r.responds, 0);
	assert_int_equal(r.dones, 0);
	rig_close(&r);
}

static void cancel_ended(struct rig *r)
{
	http_call_cancel(&r->call);
}

/* Who is told that the link is idle may be done with the call, too. */
static void test_cancel_inside_idle(void **state)
{
	struct rig r;

	rig_open(&r);
	r.on_idle = cancel_ended;
	rig_start(&r);
	rig_heard(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	assert_int_equal(r.idles, 1);
	assert_int_equal(r.dones, 0);
	assert_true(r.link->usable);
	source_close(r.call.body, 0);
	r.on_idle = NULL;
	rig_request(&r, HTTP_GET, "GET");
	rig_round(&r);
	rig_close(&r);
}

static void test_closing_an_idle_link(void **state)
{
	char byte;
	struct rig r;

	rig_open(&r);
	rig_round(&r);
	http_link_close(r.link);
	assert_false(r.link->usable);
	http_link_close(r.link);
	rig_turn(&r);
	assert_int_equal(r.closed, 1);
	/* In order. */
	assert_int_equal(recv(r.server, &byte, 1, 0), 0);
	rig_close(&r);
}

static void test_without_memory(void **state)
{
	struct rig r;

	rig_open(&r);
	arena_init(&r.arena, 1);
	rig_start(&r);
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, -ENOMEM);
	rig_close(&r);
	/* Enough to begin. */
	rig_open(&r);
	arena_init(&r.arena, ARENA_BLOCK_BYTES);
	rig_start(&r);
	rig_says(&r, "HTTP/1.1 200 OK\r\n");
	for (unsigned i = 0; i < 60 && !r.dones; i++)
		rig_says(&r, "A: b\r\n");
	assert_int_equal(r.dones, 1);
	assert_int_equal(r.why, -ENOMEM);
	assert_null(r.call.body);
	rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_server_dies),
		cmocka_unit_test(test_the_server_dies_before_the_body_is_pulled),
		cmocka_unit_test(test_a_reset_is_no_end),
		cmocka_unit_test(test_cancel_in_each_stage),
		cmocka_unit_test(test_close_after_cancel),
		cmocka_unit_test(test_closing_the_link_in_each_stage),
		cmocka_unit_test(test_ends_inside_respond),
		cmocka_unit_test(test_ends_inside_respond_without_a_body),
		cmocka_unit_test(test_cancel_inside_inform),
		cmocka_unit_test(test_cancel_inside_idle),
		cmocka_unit_test(test_closing_an_idle_link),
		cmocka_unit_test(test_without_memory),
	};

	return rig_run(tests, SL_ARRAY_SIZE(tests));
}
