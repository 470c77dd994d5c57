// SPDX-License-Identifier: Apache-2.0
/* Servers that do not do what they should: what the client gets, and who is asked how often. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handler/proxy_rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

static struct rig r;
static struct fake one, two;
static struct answer a;
static bool with_two;

static int teardown(void **state)
{
	rig_stop(&r);
	fake_stop(&one);
	if (with_two)
		fake_stop(&two);
	with_two = false;
	return 0;
}

static void start(void (*serve)(struct fake *, int, unsigned))
{
	rig_init(&r);
	if (serve)
		fake_start(&one, serve);
	else
		fake_none(&one);
	rig_server(&r, 0, &one);
	r.groups[0].retry.budget_percent = 100;
}

/* The one that works; round robin begins with either. */
static void start_second(unsigned group)
{
	fake_start(&two, fake_serve_ok);
	rig_server(&r, group, &two);
	with_two = true;
}

static void test_refused(void **state)
{
	start(NULL);
	rig_run(&r);
	rig_expect(&r, 502, &a);
}

static void test_refused_goes_to_the_next(void **state)
{
	start(NULL);
	start_second(0);
	rig_run(&r);
	for (unsigned i = 0; i < 6; i++) {
		rig_ask(&r, i % 2 ? POST : GET, &a);
		assert_int_equal(a.status, 200);
	}
	assert_int_equal(atomic_load(&two.requests), 6);
}

static void test_retries_that_are_not_asked_for(void **state)
{
	unsigned refused = 0;

	start(NULL);
	start_second(0);
	r.groups[0].retry.max = 0;
	rig_run(&r);
	for (unsigned i = 0; i < 6; i++) {
		rig_ask(&r, GET, &a);
		refused += a.status == 502;
	}
	assert_int_equal(refused, 3);
}

static void serve_silence(struct fake *f, int fd, unsigned number)
{
	char c;

	fake_read(f, fd);
	(void)!recv(fd, &c, 1, 0);
}

static void test_no_first_byte(void **state)
{
	start(serve_silence);
	r.groups[0].timeouts.first_byte_ms = 50;
	rig_run(&r);
	rig_expect(&r, 504, &a);
	assert_int_equal(atomic_load(&one.requests), 1);
}

static void test_no_first_byte_goes_to_the_next_when_asked_for(void **state)
{
	start(serve_silence);
	start_second(0);
	r.groups[0].timeouts.first_byte_ms = 50;
	r.groups[0].retry.on |= UPSTREAM_RETRY_TIMEOUT;
	rig_run(&r);
	rig_expect(&r, 200, &a);
	rig_expect(&r, 200, &a);
	assert_int_equal(atomic_load(&two.requests), 2);
}

static void test_the_whole_time_is_over(void **state)
{
	start(serve_silence);
	r.config.total_timeout_ms = 50;
	rig_run(&r);
	rig_expect(&r, 504, &a);
}

static void serve_half(struct fake *f, int fd, unsigned number)
{
	char c;

	fake_read(f, fd);
	fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
	(void)!recv(fd, &c, 1, 0);
}

static void test_the_whole_time_is_over_in_the_body(void **state)
{
	start(serve_half);
	r.config.total_timeout_ms = 100;
	rig_run(&r);
	rig_ask(&r, GET, &a);
	assert_int_equal(a.status, 200);
	assert_true(a.cut);
}

static void test_no_more_bytes(void **state)
{
	start(serve_half);
	r.groups[0].timeouts.between_ms = 50;
	rig_run(&r);
	rig_ask(&r, GET, &a);
	assert_int_equal(a.status, 200);
	assert_true(a.cut);
	assert_int_equal(a.len, 4);
}

static void serve_garbage(struct fake *f, int fd, unsigned number)
{
	fake_read(f, fd);
	fake_send(fd, "SSH-2.0-OpenSSH_9.2p1\r\n\r\n");
}

static void test_garbage(void **state)
{
	start(serve_garbage);
	rig_run(&r);
	rig_expect(&r, 502, &a);
	assert_int_equal(atomic_load(&one.requests), 1);
}

static void serve_wrong_connection(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd))
		fake_send(fd, "HTTP/1.1 200 OK\r\nConnection: host\r\nContent-Length: 0\r\n\r\n");
}

static void test_a_connection_field_that_names_what_it_must_not(void **state)
{
	start(serve_wrong_connection);
	rig_run(&r);
	rig_expect(&r, 502, &a);
}

static void serve_odd_status(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd))
		fake_send(fd, "HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n");
}

static void test_a_status_that_is_none(void **state)
{
	start(serve_odd_status);
	rig_run(&r);
	rig_expect(&r, 502, &a);
}

static void serve_unasked_upgrade(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd))
		fake_send(fd,
			  "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
}

static void test_an_upgrade_that_nobody_asked_for(void **state)
{
	start(serve_unasked_upgrade);
	rig_run(&r);
	rig_expect(&r, 502, &a);
}

static void serve_cut(struct fake *f, int fd, unsigned number)
{
	fake_read(f, fd);
	if (strstr(f->request, "/chunked"))
		fake_send(fd,
			  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
	else
		fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
}

static void test_an_answer_cut_short_is_cut_short(void **state)
{
	start(serve_cut);
	rig_run(&r);
	rig_ask(&r, GET, &a);
	assert_int_equal(a.status, 200);
	assert_true(a.cut);
	assert_int_equal(a.len, 5);
	rig_ask(&r, "GET /chunked HTTP/1.1\r\nHost: a\r\n\r\n", &a);
	assert_int_equal(a.status, 200);
	assert_true(a.cut);
	assert_null(strstr(a.body, "\r\n0\r\n"));
}

static void serve_reset(struct fake *f, int fd, unsigned number)
{
	fake_read(f, fd);
	fake_reset(fd);
}

static void test_reset_goes_to_the_next_only_when_safe(void **state)
{
	unsigned failed = 0, before;

	start(serve_reset);
	start_second(0);
	rig_run(&r);
	for (unsigned i = 0; i < 4; i++) {
		rig_ask(&r, GET, &a);
		assert_int_equal(a.status, 200);
	}
	before = atomic_load(&one.requests);
	assert_true(before > 0);
	assert_int_equal(atomic_load(&two.requests), 4);
	for (unsigned i = 0; i < 4; i++) {
		rig_ask(&r, POST, &a);
		failed += a.status == 502;
	}
	/* Each was seen once, by the one or by the other. */
	assert_true(failed > 0);
	assert_int_equal(atomic_load(&one.requests), before + failed);
	assert_int_equal(atomic_load(&two.requests), 8 - failed);
}

/* Answers once on each connection, and hangs up when the next request comes. */
static void serve_once(struct fake *f, int fd, unsigned number)
{
	if (!fake_read(f, fd))
		return;
	fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	fake_read(f, fd);
}

static void test_a_kept_connection_that_is_dead_costs_nothing(void **state)
{
	start(serve_once);
	r.groups[0].retry.max = 0;
	rig_run(&r);
	rig_expect(&r, 200, &a);
	rig_expect(&r, 200, &a);
	/* The second came over the kept connection, and again over a fresh one. */
	assert_int_equal(atomic_load(&one.requests), 3);
	assert_int_equal(atomic_load(&one.conns), 2);
}

static void serve_closing(struct fake *f, int fd, unsigned number)
{
	if (fake_read(f, fd))
		fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

static void test_posts_are_never_sent_to_a_connection_that_hung_up(void **state)
{
	start(serve_closing);
	rig_run(&r);
	for (unsigned i = 0; i < 5; i++) {
		rig_ask(&r, POST, &a);
		assert_int_equal(a.status, 200);
		/* Without a turn of the loop, which would see it, too. */
		while (atomic_load(&one.ended) <= i)
			usleep(1000);
	}
	assert_int_equal(atomic_load(&one.requests), 5);
}

static void test_a_status_that_is_tried_again(void **state)
{
	start(fake_serve_503);
	start_second(0);
	r.groups[0].retry.on |= UPSTREAM_RETRY_503;
	rig_run(&r);
	for (unsigned i = 0; i < 6; i++)
		rig_expect(&r, 200, &a);
	assert_int_equal(atomic_load(&two.requests), 6);
	/* Its answers were read away, so that its connection could be used again. */
	assert_true(atomic_load(&one.requests) > 1);
	assert_int_equal(atomic_load(&one.conns), 1);
}

static void serve_large_503(struct fake *f, int fd, unsigned number)
{
	fake_read(f, fd);
	fake_send(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\nbusy");
	fake_read(f, fd);
}

static void test_a_large_answer_of_a_failed_try_is_cut(void **state)
{
	start(serve_large_503);
	start_second(0);
	r.groups[0].retry.on |= UPSTREAM_RETRY_503;
	rig_run(&r);
	rig_expect(&r, 200, &a);
	rig_expect(&r, 200, &a);
	assert_int_equal(atomic_load(&two.requests), 2);
}

static void test_a_status_that_stays(void **state)
{
	start(fake_serve_503);
	rig_run(&r);
	rig_expect(&r, 503, &a);
	assert_string_equal(a.body, "busy");
	rig_ask(&r, POST, &a);
	assert_int_equal(a.status, 503);
	assert_int_equal(atomic_load(&one.requests), 2);
}

static bool server_closed(void *arg)
{
	struct fake *f = arg;

	return atomic_load(&f->requests) == 100;
}

static void serve_gone(struct fake *f, int fd, unsigned number)
{
	char c;

	fake_read(f, fd);
	if (recv(fd, &c, 1, 0) <= 0)
		atomic_store(&f->requests, 100);
}

static bool one_request(void *arg)
{
	return atomic_load(&((struct fake *)arg)->requests) == 1;
}

static void test_a_client_that_goes_away_ends_its_call(void **state)
{
	struct linger linger = {.l_onoff = 1};
	int fd;

	start(serve_gone);
	rig_run(&r);
	fd = rig_connect(&r);
	fake_send(fd, GET);
	rig_until(&r, one_request, &one);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
	rig_until(&r, server_closed, &one);
}

static void test_bodies_that_are_wrong_or_too_large(void **state)
{
	start(fake_serve_ok);
	rig_run(&r);
	rig_ask(&r, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", &a);
	assert_int_equal(a.status, 400);
	rig_ask(&r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100001\r\n\r\n", &a);
	assert_int_equal(a.status, 413);
}

static void test_a_fixed_answer_stands_in(void **state)
{
	start(NULL);
	r.config.fallback = PROXY_FALLBACK_RESPOND;
	r.config.fallback_respond =
		(struct respond_config){.body = STR("later"), .type = STR("text/x")};
	rig_run(&r);
	rig_expect(&r, 502, &a);
	assert_string_equal(a.body, "later");
	assert_true(answer_has(&a, "Content-Type: text/x"));
}

static void test_another_group_stands_in(void **state)
{
	start(NULL);
	start_second(1);
	r.config.fallback = PROXY_FALLBACK_GROUP;
	rig_run(&r);
	rig_expect(&r, 200, &a);
	rig_ask(&r, POST, &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(atomic_load(&two.requests), 2);
}

static int want_fallback(const void *config, struct http_stream *s)
{
	s->fallback = true;
	return 0;
}

/* What a step asks for under load: the servers are left alone. */
static void test_a_step_wants_the_fallback(void **state)
{
	start(fake_serve_ok);
	r.step.run = want_fallback;
	r.config.fallback = PROXY_FALLBACK_RESPOND;
	r.config.fallback_respond = (struct respond_config){.status = 203, .body = STR("later")};
	rig_run(&r);
	rig_expect(&r, 203, &a);
	assert_string_equal(a.body, "later");
	assert_int_equal(atomic_load(&one.requests), 0);
}

static void test_a_step_wants_the_other_group(void **state)
{
	start(fake_serve_ok);
	start_second(1);
	r.step.run = want_fallback;
	r.config.fallback = PROXY_FALLBACK_GROUP;
	rig_run(&r);
	rig_expect(&r, 200, &a);
	rig_ask(&r, POST, &a);
	assert_int_equal(a.status, 200);
	assert_int_equal(atomic_load(&one.requests), 0);
	assert_int_equal(atomic_load(&two.requests), 2);
}

static void test_a_step_wants_what_is_not_there(void **state)
{
	start(fake_serve_ok);
	r.step.run = want_fallback;
	rig_run(&r);
	rig_expect(&r, 503, &a);
	assert_true(answer_has(&a, "Retry-After: 1"));
	assert_int_equal(atomic_load(&one.requests), 0);
}

static void test_another_group_gets_nothing_twice(void **state)
{
	start(serve_reset);
	start_second(1);
	r.config.fallback = PROXY_FALLBACK_GROUP;
	rig_run(&r);
	rig_ask(&r, POST, &a);
	assert_int_equal(a.status, 502);
	assert_int_equal(atomic_load(&two.requests), 0);
	rig_ask(&r, GET, &a);
	assert_int_equal(a.status, 200);
}

static void test_a_full_group_says_when_to_come_again(void **state)
{
	int fd;

	start(serve_silence);
	r.groups[0].requests_max = 1;
	rig_run(&r);
	fd = rig_connect(&r);
	fake_send(fd, GET);
	rig_until(&r, one_request, &one);
	int other = rig_connect(&r);
	rig_ask_on(&r, other, GET, &a);
	assert_int_equal(a.status, 503);
	assert_true(answer_has(&a, "Retry-After: 1"));
	close(other);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_refused, teardown),
		cmocka_unit_test_teardown(test_refused_goes_to_the_next, teardown),
		cmocka_unit_test_teardown(test_retries_that_are_not_asked_for, teardown),
		cmocka_unit_test_teardown(test_no_first_byte, teardown),
		cmocka_unit_test_teardown(test_no_first_byte_goes_to_the_next_when_asked_for,
					  teardown),
		cmocka_unit_test_teardown(test_the_whole_time_is_over, teardown),
		cmocka_unit_test_teardown(test_the_whole_time_is_over_in_the_body, teardown),
		cmocka_unit_test_teardown(test_no_more_bytes, teardown),
		cmocka_unit_test_teardown(test_garbage, teardown),
		cmocka_unit_test_teardown(test_a_connection_field_that_names_what_it_must_not,
					  teardown),
		cmocka_unit_test_teardown(test_a_status_that_is_none, teardown),
		cmocka_unit_test_teardown(test_an_upgrade_that_nobody_asked_for, teardown),
		cmocka_unit_test_teardown(test_an_answer_cut_short_is_cut_short, teardown),
		cmocka_unit_test_teardown(test_reset_goes_to_the_next_only_when_safe, teardown),
		cmocka_unit_test_teardown(test_a_kept_connection_that_is_dead_costs_nothing,
					  teardown),
		cmocka_unit_test_teardown(test_posts_are_never_sent_to_a_connection_that_hung_up,
					  teardown),
		cmocka_unit_test_teardown(test_a_status_that_is_tried_again, teardown),
		cmocka_unit_test_teardown(test_a_large_answer_of_a_failed_try_is_cut, teardown),
		cmocka_unit_test_teardown(test_a_status_that_stays, teardown),
		cmocka_unit_test_teardown(test_a_client_that_goes_away_ends_its_call, teardown),
		cmocka_unit_test_teardown(test_bodies_that_are_wrong_or_too_large, teardown),
		cmocka_unit_test_teardown(test_a_fixed_answer_stands_in, teardown),
		cmocka_unit_test_teardown(test_another_group_stands_in, teardown),
		cmocka_unit_test_teardown(test_a_step_wants_the_fallback, teardown),
		cmocka_unit_test_teardown(test_a_step_wants_the_other_group, teardown),
		cmocka_unit_test_teardown(test_a_step_wants_what_is_not_there, teardown),
		cmocka_unit_test_teardown(test_another_group_gets_nothing_twice, teardown),
		cmocka_unit_test_teardown(test_a_full_group_says_when_to_come_again, teardown),
	};

	return RUN_OVER_ENGINES(tests);
}
