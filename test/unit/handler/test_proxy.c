// SPDX-License-Identifier: Apache-2.0
/* Requests and answers that pass: heads, bodies, 1xx, trailers, reuse of connections. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handler/proxy_rig.h"

static struct rig r;
static struct fake server;
static struct answer a;

static int teardown(void **state)
{
	rig_stop(&r);
	fake_stop(&server);
	return 0;
}

static void start(void (*serve)(struct fake *, int, unsigned))
{
	rig_init(&r);
	fake_start(&server, serve);
	rig_server(&r, 0, &server);
}

static bool sent(const char *line)
{
	const char *text = fake_request(&server), *at = strcasestr(text, line);

	return at && at[-1] == '\n' && at[strlen(line)] == '\r';
}

static void test_a_request_and_its_answer(void **state)
{
	char host[64];

	start(fake_serve_ok);
	rig_run(&r);
	rig_ask(&r,
		"GET /a/../b%2Fc?x=1 HTTP/1.1\r\nHost: example.com:81\r\nAccept: */*\r\n"
		"Connection: keep-alive, X-Mine\r\nKeep-Alive: 5\r\nX-Mine: 1\r\nTE: gzip\r\n"
		"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nx-forwarded-port: 1\r\n"
		"Via: 1.0 old\r\n\r\n",
		&a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "1");
	assert_true(answer_has(&a, "Server: fake"));
	assert_true(answer_has(&a, "Content-Type: text/plain"));
	assert_true(answer_has(&a, "Via: 1.1 sluice"));
	assert_non_null(strcasestr(a.text, "\r\nDate: "));
	assert_null(strcasestr(a.text, "Server: sluice"));
	assert_memory_equal(fake_request(&server), "GET /a/../b%2Fc?x=1 HTTP/1.1\r\n", 29);
	snprintf(host, sizeof(host), "Host: example.com:81");
	assert_true(sent(host));
	assert_true(sent("Accept: */*"));
	assert_true(sent("X-Forwarded-For: 127.0.0.1"));
	assert_true(sent("X-Forwarded-Proto: http"));
	assert_true(sent("X-Forwarded-Host: example.com:81"));
	assert_true(sent("Forwarded: for=127.0.0.1;host=\"example.com:81\";proto=http"));
	assert_true(sent("Via: 1.0 old, 1.1 sluice"));
	assert_null(strcasestr(fake_request(&server), "X-Mine"));
	assert_null(strcasestr(fake_request(&server), "\r\nTE:"));
	assert_null(strcasestr(fake_request(&server), "Keep-Alive: "));
	assert_null(strcasestr(fake_request(&server), "1.2.3.4"));
	assert_null(strcasestr(fake_request(&server), "forwarded-port"));
}

static void test_what_the_configuration_changes(void **state)
{
	static const struct str remove[] = {STR("accept"), STR("server")};
	static const struct http_field set[] = {{.name = STR("X-From"), .value = STR("$client")},
						{.name = STR("X-To"), .value = STR("$server")}};

	start(fake_serve_ok);
	r.config.host = STR("$server");
	r.config.strip = STR("/api");
	r.config.prefix = STR("/v1");
	r.config.no_forwarded = r.config.no_via = r.config.trace = true;
	r.config.request = r.config.response = (struct proxy_fields){set, 2, remove, 2};
	rig_run(&r);
	rig_ask(&r,
		"GET /api/x?y HTTP/1.1\r\nHost: example.com\r\nAccept: */*\r\n"
		"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
		&a);
	assert_int_equal(a.status, 200);
	assert_memory_equal(fake_request(&server), "GET /v1/x?y HTTP/1.1\r\n", 22);
	char line[64];
	snprintf(line, sizeof(line), "Host: %s", server.address);
	assert_true(sent(line));
	snprintf(line, sizeof(line), "X-To: %s", server.address);
	assert_true(sent(line));
	assert_true(answer_has(&a, line));
	assert_true(sent("X-From: 127.0.0.1"));
	assert_true(answer_has(&a, "X-From: 127.0.0.1"));
	assert_true(answer_has(&a, "Server: sluice"));
	assert_null(strcasestr(fake_request(&server), "\r\nVia"));
	assert_null(strcasestr(fake_request(&server), "Forwarded"));
	assert_null(strcasestr(fake_request(&server), "Accept"));
	assert_non_null(strcasestr(fake_request(&server),
				   "\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-"));
	assert_null(strcasestr(fake_request(&server), "00f067aa0ba902b7"));
}

static void test_connections_are_kept(void **state)
{
	int fd;

	start(fake_serve_ok);
	rig_run(&r);
	fd = rig_connect(&r);
	for (unsigned i = 1; i <= 5; i++) {
		rig_ask_on(&r, fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &a);
		assert_int_equal(a.status, 200);
		assert_int_equal(atoi(a.body), i);
	}
	close(fd);
	for (unsigned i = 6; i <= 8; i++)
		rig_expect(&r, 200, &a);
	assert_int_equal(atomic_load(&server.conns), 1);
	assert_int_equal(atomic_load(&server.requests), 8);
}

static void serve_heads(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd)) {
		const char *text = fake_request(f);

		if (strncmp(text, "HEAD", 4) == 0)
			fake_send(fd,
				  "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n");
		else if (strstr(text, " /304"))
			fake_send(fd, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n");
		else
			fake_send(fd, "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n");
	}
}

static void test_answers_without_a_body(void **state)
{
	int fd;

	start(serve_heads);
	rig_run(&r);
	fd = rig_connect(&r);
	rig_ask_on(&r, fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", &a);
	assert_int_equal(a.status, 200);
	assert_true(answer_has(&a, "Content-Length: 1000"));
	assert_true(answer_has(&a, "ETag: \"x\""));
	rig_ask_on(&r, fd, "GET /304 HTTP/1.1\r\nHost: a\r\n\r\n", &a);
	assert_int_equal(a.status, 304);
	assert_null(strcasestr(a.text, "content-length"));
	rig_ask_on(&r, fd, "GET /204 HTTP/1.1\r\nHost: a\r\n\r\n", &a);
	assert_int_equal(a.status, 204);
	assert_null(strcasestr(a.text, "content-length"));
	close(fd);
	assert_int_equal(atomic_load(&server.conns), 1);
}

static void serve_chunks(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd))
		fake_send(
			fd,
			"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-a\r\nX-A: 1\r\n\r\n"
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
			"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n");
}

static void test_chunks_trailers_and_hints(void **state)
{
	start(serve_chunks);
	rig_run(&r);
	for (unsigned i = 0; i < 2; i++) {
		rig_expect(&r, 200, &a);
		assert_memory_equal(a.text, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
				    44);
		assert_true(answer_has(&a, "Trailer: X-Sum"));
		assert_non_null(strstr(a.body, "hello"));
		assert_non_null(strstr(a.body, " world"));
		assert_non_null(strstr(a.body, "\r\n0\r\nX-Sum: 42\r\n\r\n"));
	}
	assert_int_equal(atomic_load(&server.conns), 1);
}

static void serve_until_close(struct fake *f, int fd, unsigned number)
{
	if (fake_read(f, fd))
		fake_send(fd, "HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nall of it");
}

static void test_a_body_that_ends_with_the_connection(void **state)
{
	start(serve_until_close);
	rig_run(&r);
	rig_expect(&r, 200, &a);
	assert_non_null(strstr(a.body, "all of it"));
	assert_true(answer_has(&a, "Transfer-Encoding: chunked"));
	assert_true(answer_has(&a, "Via: 1.0 sluice"));
}

static void test_bodies_of_requests(void **state)
{
	int fd;

	start(fake_serve_ok);
	rig_run(&r);
	fd = rig_connect(&r);
	rig_ask_on(&r, fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &a);
	assert_int_equal(a.status, 200);
	assert_true(sent("Content-Length: 5"));
	assert_non_null(strstr(fake_request(&server), "\r\n\r\nhello"));
	rig_ask_on(&r, fd,
		   "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		   "3\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n",
		   &a);
	assert_int_equal(a.status, 200);
	assert_true(sent("Transfer-Encoding: chunked"));
	assert_non_null(strstr(fake_request(&server), "abc"));
	assert_non_null(strstr(fake_request(&server), "defg"));
	rig_ask_on(&r, fd, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &a);
	assert_int_equal(a.status, 200);
	assert_true(sent("Content-Length: 0"));
	close(fd);
	assert_int_equal(atomic_load(&server.conns), 1);
}

/* Refuses by the head alone what asks for /no, and else invites the body. */
static void serve_expecting(struct fake *f, int fd, unsigned number)
{
	while (fake_read_head(f, fd)) {
		if (strstr(f->request, "/no")) {
			fake_send(fd, "HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno");
			return;
		}
		char body[6] = "";

		fake_send(fd, "HTTP/1.1 100 Continue\r\n\r\n");
		if (recv(fd, body, 5, MSG_WAITALL) != 5)
			return;
		fake_send(fd, strcmp(body, "hello")
				      ? "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"
				      : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	}
}

static void ask_expecting(const char *target)
{
	char text[256];
	struct answer first;
	int fd = rig_connect(&r);

	snprintf(text, sizeof(text),
		 "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
		 target);
	fake_send(fd, text);
	size_t len = 0;
	while (!strstr(first.text, "\r\n\r\n") || !len) {
		rig_turn(&r);
		ssize_t n = recv(fd, first.text + len, sizeof(first.text) - 1 - len, MSG_DONTWAIT);
		assert_int_not_equal(n, 0);
		if (n > 0)
			len += (size_t)n;
		first.text[len] = '\0';
	}
	if (strncmp(first.text, "HTTP/1.1 100", 12) == 0) {
		rig_ask_on(&r, fd, "hello", &a);
	} else {
		a = first;
		a.status = (unsigned)atoi(a.text + 9);
	}
	close(fd);
}

static void test_the_server_invites_the_body(void **state)
{
	start(serve_expecting);
	rig_run(&r);
	ask_expecting("/yes");
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "ok");
	assert_true(sent("Expect: 100-continue"));
	ask_expecting("/no");
	assert_int_equal(a.status, 417);
}

#define LARGE 200000

static void serve_large(struct fake *f, int fd, unsigned number)
{
	char *text = malloc(LARGE + 1);

	memset(text, 'x', LARGE);
	text[LARGE] = '\0';
	while (fake_read(f, fd)) {
		char head[100];

		snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
			 LARGE);
		fake_send(fd, head);
		fake_send(fd, text);
	}
	free(text);
}

static void test_large_answers(void **state)
{
	int fd;

	start(serve_large);
	rig_run(&r);
	fd = rig_connect(&r);
	for (unsigned i = 0; i < 10; i++) {
		rig_ask_on(&r, fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &a);
		assert_int_equal(a.status, 200);
		assert_int_equal(a.len, LARGE);
		assert_int_equal(strspn(a.body, "x"), LARGE);
	}
	close(fd);
	assert_int_equal(atomic_load(&server.conns), 1);
}

/* The buffers of four sockets, which some systems let grow to 32 MiB each, and a few of ours. */
#define HELD_MAX (144u << 20)

static _Atomic uint64_t poured;

/* Sends for as long as somebody takes it. */
static void serve_for_ever(struct fake *f, int fd, unsigned number)
{
	static char block[65536];
	ssize_t n;

	if (!fake_read(f, fd))
		return;
	fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1099511627776\r\n\r\n");
	while ((n = send(fd, block, sizeof(block), MSG_NOSIGNAL)) > 0)
		atomic_fetch_add(&poured, (uint64_t)n);
}

/* Turns until nothing has moved for many turns. */
static uint64_t settle(_Atomic uint64_t *moved)
{
	uint64_t before = UINT64_MAX;

	while (before != atomic_load(moved)) {
		before = atomic_load(moved);
		for (unsigned i = 0; i < 30; i++)
			rig_turn(&r);
	}
	return before;
}

static void test_a_client_that_does_not_read_stops_the_server(void **state)
{
	char text[65536];
	uint64_t held, taken = 0;

	start(serve_for_ever);
	rig_run(&r);
	poured = 0;
	int fd = rig_connect(&r);
	fake_send(fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	held = settle(&poured);
	assert_true(held < HELD_MAX);
	/* It goes on when the client reads. */
	while (taken < 2 * held) {
		ssize_t n = recv(fd, text, sizeof(text), MSG_DONTWAIT);

		taken += n > 0 ? (uint64_t)n : 0;
		rig_turn(&r);
	}
	assert_true(settle(&poured) > held);
	close(fd);
}

static bool read_on;

/* Reads nothing of the body before it is told to. */
static void serve_slowly(struct fake *f, int fd, unsigned number)
{
	char text[65536];
	uint64_t left = 1 << 28;

	if (!fake_read_head(f, fd))
		return;
	while (!__atomic_load_n(&read_on, __ATOMIC_ACQUIRE))
		usleep(1000);
	while (left) {
		ssize_t n = recv(fd, text, sizeof(text), 0);

		if (n <= 0)
			return;
		left -= (uint64_t)n;
	}
	fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
}

static _Atomic uint64_t offered;

static void offer(int fd, uint64_t most)
{
	static char block[65536];
	ssize_t n = 1;

	while (n > 0 && atomic_load(&offered) < most) {
		n = send(fd, block, SL_MIN(sizeof(block), most - atomic_load(&offered)),
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0)
			atomic_fetch_add(&offered, (uint64_t)n);
	}
}

static void test_a_server_that_does_not_read_stops_the_client(void **state)
{
	uint64_t before = UINT64_MAX;
	int fd;

	start(serve_slowly);
	r.body_max = 1 << 28;
	rig_run(&r);
	offered = 0;
	__atomic_store_n(&read_on, false, __ATOMIC_RELEASE);
	fd = rig_connect(&r);
	fake_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 268435456\r\n\r\n");
	while (before != atomic_load(&offered)) {
		before = atomic_load(&offered);
		for (unsigned i = 0; i < 30; i++) {
			offer(fd, 1 << 28);
			rig_turn(&r);
		}
	}
	assert_true(before < HELD_MAX);
	__atomic_store_n(&read_on, true, __ATOMIC_RELEASE);
	while (atomic_load(&offered) < 1 << 28) {
		offer(fd, 1 << 28);
		rig_turn(&r);
	}
	rig_ask_on(&r, fd, "", &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "done");
	close(fd);
}

static void serve_refusing(struct fake *f, int fd, unsigned number)
{
	if (!fake_read_head(f, fd))
		return;
	fake_send(fd, "HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
	/* Until the proxy has read it, so that no reset takes it away. */
	usleep(50000);
}

static void test_an_answer_before_the_body(void **state)
{
	start(serve_refusing);
	r.body_max = 1 << 28;
	rig_run(&r);
	rig_ask(&r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\nabc", &a);
	assert_int_equal(a.status, 413);
	assert_string_equal(a.body, "no");
}

static void test_methods_that_are_not_passed_on(void **state)
{
	struct http_limits limits;

	start(fake_serve_ok);
	rig_run(&r);
	limits = r.http->limits;
	r.http->limits.allow_connect = true;
	rig_ask(&r, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", &a);
	assert_true(a.status == 405 || a.status == 404);
	r.http->limits = limits;
	rig_ask(&r, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", &a);
	assert_int_equal(a.status, 200);
	assert_memory_equal(fake_request(&server), "BREW / HTTP/1.1\r\n", 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_a_request_and_its_answer, teardown),
		cmocka_unit_test_teardown(test_what_the_configuration_changes, teardown),
		cmocka_unit_test_teardown(test_connections_are_kept, teardown),
		cmocka_unit_test_teardown(test_answers_without_a_body, teardown),
		cmocka_unit_test_teardown(test_chunks_trailers_and_hints, teardown),
		cmocka_unit_test_teardown(test_a_body_that_ends_with_the_connection, teardown),
		cmocka_unit_test_teardown(test_bodies_of_requests, teardown),
		cmocka_unit_test_teardown(test_the_server_invites_the_body, teardown),
		cmocka_unit_test_teardown(test_large_answers, teardown),
		cmocka_unit_test_teardown(test_a_client_that_does_not_read_stops_the_server,
					  teardown),
		cmocka_unit_test_teardown(test_a_server_that_does_not_read_stops_the_client,
					  teardown),
		cmocka_unit_test_teardown(test_an_answer_before_the_body, teardown),
		cmocka_unit_test_teardown(test_methods_that_are_not_passed_on, teardown),
	};

	return RUN_OVER_ENGINES(tests);
}
