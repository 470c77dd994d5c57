// SPDX-License-Identifier: Apache-2.0
/* Active checks, against servers that answer well, badly, and not at all. */
#include "upstream/check.h"

#include <arpa/inet.h>

#include "upstream/groups.h"
#include "upstream/keeper.h"

#define BACKENDS 3
#define CALLERS_MAX 8

/* A server that is served by hand. */
static struct backend {
	int listener, callers[CALLERS_MAX];
	unsigned count;
	char text[32];
	const char *reply; /* NULL: says nothing */
	bool cuts;         /* and closes */
	unsigned accepted, asked;
	char request[1024];
} backends[BACKENDS];

static void backend_listen(struct backend *b)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	const int on = 1;
	unsigned port = 0;

	if (b->text[0])
		assert_int_equal(sscanf(b->text, "127.0.0.1:%u", &port), 1);
	a.sin_port = htons((uint16_t)port);
	b->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(b->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(b->listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(b->listener, 64), 0);
	assert_int_equal(getsockname(b->listener, (struct sockaddr *)&a, &len), 0);
	snprintf(b->text, sizeof(b->text), "127.0.0.1:%u", ntohs(a.sin_port));
}

static void backend_close(struct backend *b)
{
	while (b->count)
		close(b->callers[--b->count]);
	if (b->listener >= 0)
		close(b->listener);
	b->listener = -1;
}

static bool backend_answer(struct backend *b, int fd)
{
	ssize_t n = recv(fd, b->request, sizeof(b->request) - 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	b->request[n] = '\0';
	b->asked++;
	if (b->reply)
		send(fd, b->reply, strlen(b->reply), MSG_NOSIGNAL);
	return !b->cuts;
}

/* True, to be used in conditions. */
static bool serve(void)
{
	for (struct backend *b = backends; b < backends + BACKENDS; b++) {
		int fd;

		while (b->listener >= 0 && b->count < CALLERS_MAX &&
		       (fd = accept(b->listener, NULL, NULL)) >= 0) {
			b->callers[b->count++] = fd;
			b->accepted++;
		}
		for (unsigned i = 0; i < b->count;) {
			if (backend_answer(b, b->callers[i])) {
				i++;
				continue;
			}
			close(b->callers[i]);
			b->callers[i] = b->callers[--b->count];
		}
	}
	return true;
}

static int start(void **state)
{
	groups_start(NULL);
	memset(backends, 0, sizeof(backends));
	for (unsigned i = 0; i < BACKENDS; i++)
		backend_listen(&backends[i]);
	t.config.health.on = true;
	t.config.health.every_ms = 5;
	t.config.health.jitter_percent = 50;
	return 0;
}

static int stop(void **state)
{
	for (unsigned i = 0; i < BACKENDS; i++)
		backend_close(&backends[i]);
	groups_stop();
	return 0;
}

static void join_one(bool http)
{
	t.config.health.http = http;
	groups_server(backends[0].text);
	groups_join();
	/* A server is used until checks say otherwise. */
	assert_int_equal(groups_find(backends[0].text)->state, UPSTREAM_UP);
}

#define UNTIL(what) PAIR_UNTIL(t.loop, (serve(), what))

static bool is(enum upstream_state state)
{
	return groups_find(backends[0].text)->state == state;
}

static void test_a_server_falls_and_rises(void **state)
{
	struct backend *b = &backends[0];
	char line[128];

	t.config.health.fall = 3;
	t.config.health.rise = 2;
	join_one(false);
	UNTIL(b->accepted >= 3);
	assert_true(is(UPSTREAM_UP));
	backend_close(b);
	UNTIL(is(UPSTREAM_DOWN));
	snprintf(line, sizeof(line),
		 "upstream \"api\": server %s is down: connection refused (3 of 3 checks)",
		 b->text);
	assert_true(groups_logged(line));
	assert_true(groups_find(b->text)->checks_failed >= 3);
	assert_true(str_eq(groups_find(b->text)->last_error, STR("connection refused")));
	backend_listen(b);
	UNTIL(is(UPSTREAM_UP));
	snprintf(line, sizeof(line), "server %s is up (2 of 2 checks)", b->text);
	assert_true(groups_logged(line));
	assert_int_equal(groups_logged_times("is down"), 1);
}

static void test_who_comes_back_starts_slowly(void **state)
{
	t.config.slow_start_ms = 600000;
	t.config.health.fall = t.config.health.rise = 1;
	join_one(false);
	assert_true(is(UPSTREAM_UP));
	backend_close(&backends[0]);
	UNTIL(is(UPSTREAM_DOWN));
	backend_listen(&backends[0]);
	UNTIL(is(UPSTREAM_STARTING));
}

static void test_asks_as_it_is_told(void **state)
{
	struct backend *b = &backends[0];
	char host[64];

	t.config.health.path = STR("/healthz?deep=1");
	b->reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	join_one(true);
	UNTIL(b->asked >= 3);
	assert_non_null(strstr(b->request, "GET /healthz?deep=1 HTTP/1.1\r\n"));
	snprintf(host, sizeof(host), "Host: %s\r\n", b->text);
	assert_non_null(strstr(b->request, host));
	assert_non_null(strstr(b->request, "User-Agent: sluice-check\r\n"));
	assert_int_equal(groups_find(b->text)->checks_failed, 0);

	t.config.health.host = STR("app.example.com");
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	UNTIL(strstr(b->request, "Host: app.example.com\r\n"));
	assert_int_equal(groups_find(b->text)->checks_failed, 0);
}

/* The reason that a check of such a server gives. */
static void expect_failure(const char *reply, bool cuts, const char *why)
{
	backends[0].reply = reply;
	backends[0].cuts = cuts;
	t.config.health.fall = 1;
	t.config.health.rise = 1;
	join_one(true);
	UNTIL(is(UPSTREAM_DOWN));
	if (!str_starts(groups_find(backends[0].text)->last_error, str_from(why)))
		fail_msg("\"%.*s\" is not \"%s\"",
			 STR_ARG(groups_find(backends[0].text)->last_error), why);
	/* It was not the check itself that broke: a good answer brings it back. */
	backends[0].reply = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nall green";
	backends[0].cuts = false;
	UNTIL(is(UPSTREAM_UP));
}

static void test_looks_at_the_status(void **state)
{
	expect_failure("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", false,
		       "status 503 (expected 200 to 399)");
}

static void test_takes_no_cut_answer(void **state)
{
	expect_failure("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nall gre", true,
		       "its answer was cut short");
}

static void test_takes_no_cut_head(void **state)
{
	expect_failure("HTTP/1.1 200 OK\r\nContent-", true, "its answer was cut short");
}

static void test_takes_no_garbage(void **state)
{
	expect_failure("220 mail.example.com ESMTP\r\n", false, "a malformed answer");
}

static void test_is_told_when_nobody_answers(void **state)
{
	expect_failure(NULL, true, "connection reset");
}

static void test_does_not_wait_for_ever(void **state)
{
	t.config.health.timeout_ms = 30;
	expect_failure(NULL, false, "no answer in 30 ms");
}

static void test_looks_for_text_in_the_body(void **state)
{
	t.config.health.body = STR("green");
	expect_failure("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall red", false,
		       "its answer does not have the text");
}

static void test_looks_no_further_than_its_bound(void **state)
{
	static char reply[UPSTREAM_CHECK_BODY_BYTES + 1024];
	int n = snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
			 UPSTREAM_CHECK_BODY_BYTES + 5);

	memset(reply + n, 'x', UPSTREAM_CHECK_BODY_BYTES);
	memcpy(reply + n + UPSTREAM_CHECK_BODY_BYTES, "green", 6);
	t.config.health.body = STR("green");
	expect_failure(reply, false, "its answer does not have the text");
}

static void test_finds_text_at_its_bound(void **state)
{
	static char reply[UPSTREAM_CHECK_BODY_BYTES + 1024];
	int n = snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
			 UPSTREAM_CHECK_BODY_BYTES);

	memset(reply + n, 'x', UPSTREAM_CHECK_BODY_BYTES - 5);
	memcpy(reply + n + UPSTREAM_CHECK_BODY_BYTES - 5, "green", 6);
	t.config.health.body = STR("green");
	backends[0].reply = reply;
	join_one(true);
	UNTIL(backends[0].asked >= 2);
	assert_int_equal(groups_find(backends[0].text)->checks_failed, 0);
}

static void test_speaks_for_itself_in_the_proxy_protocol(void **state)
{
	struct backend *b = &backends[0];

	b->reply = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	t.config.send_proxy = 1;
	join_one(true);
	UNTIL(b->asked >= 1);
	assert_non_null(strstr(b->request, "PROXY UNKNOWN\r\n"));
}

static void test_asks_another_port(void **state)
{
	unsigned port;

	assert_int_equal(sscanf(backends[1].text, "127.0.0.1:%u", &port), 1);
	t.config.health.port = (uint16_t)port;
	join_one(false);
	UNTIL(backends[1].accepted >= 2);
	assert_int_equal(backends[0].accepted, 0);
}

static void test_a_reload_without_checks_brings_all_back(void **state)
{
	t.config.health.fall = 1;
	join_one(false);
	backend_close(&backends[0]);
	UNTIL(is(UPSTREAM_DOWN));
	t.config.health.on = false;
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_true(is(UPSTREAM_UP));
	assert_true(groups_logged("is used again: it is not checked any more"));
}

static void test_stays_down_over_a_reload(void **state)
{
	t.config.health.fall = 1;
	join_one(false);
	backend_close(&backends[0]);
	UNTIL(is(UPSTREAM_DOWN));
	groups_server(backends[1].text);
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_true(is(UPSTREAM_DOWN));
	assert_int_equal(groups_find(backends[1].text)->state, UPSTREAM_UP);
	UNTIL(backends[1].accepted >= 1);
}

static void test_a_reload_checks_at_once_only_what_changed(void **state)
{
	struct backend *b = &backends[0];

	t.config.health.every_ms = 600000;
	b->reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	join_one(true);
	/* The first one under way is begun again, and counts once. */
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	UNTIL(b->asked == 1 && b->count == 0);
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	pair_turns(t.loop, 10);
	serve();
	assert_int_equal(b->asked, 1);
	t.config.health.path = STR("/new");
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	UNTIL(strstr(b->request, "GET /new "));
	assert_int_equal(groups_find(b->text)->checks_failed, 0);
}

static void test_a_server_that_goes_is_not_checked(void **state)
{
	char why[128];
	unsigned asked;

	t.config.health.timeout_ms = 20000;
	join_one(true);
	/* In the middle of a check. */
	UNTIL(backends[0].asked >= 1);
	assert_int_equal(upstream_change(t.registry, STR("api"), str_from(backends[0].text),
					 UPSTREAM_REMOVE, 0, why, sizeof(why)),
			 0);
	asked = backends[0].asked;
	UNTIL(backends[0].count == 0);
	pair_turns(t.loop, 20);
	serve();
	assert_int_equal(backends[0].asked, asked);
}

static unsigned count_failed(void)
{
	const struct upstream_group_status *g = groups_status();
	unsigned failed = 0;

	for (unsigned i = 0; i < g->server_count; i++)
		failed += g->servers[i].checks_failed > 0;
	return failed;
}

/* Whole networks of servers that say nothing: so many are asked at once, and who waits is not forgotten. */
static void test_checks_only_so_many_at_a_time(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	int silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char why[128], text[32];
	unsigned most = 0;

	assert_int_equal(bind(silent, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(silent, 2 * UPSTREAM_CHECKS_MAX), 0);
	assert_int_equal(getsockname(silent, (struct sockaddr *)&a, &len), 0);
	t.config.health.every_ms = 600000;
	t.config.health.timeout_ms = 40;
	groups_join();
	for (unsigned i = 1; i <= UPSTREAM_CHECKS_MAX + 6; i++) {
		snprintf(text, sizeof(text), "127.0.1.%u:%u", i, ntohs(a.sin_port));
		assert_int_equal(upstream_change(t.registry, STR("api"), str_from(text),
						 UPSTREAM_ADD, 1, why, sizeof(why)),
				 0);
	}
	PAIR_UNTIL(t.loop, (most = SL_MAX(most, t.registry->checks.running),
			    count_failed() == UPSTREAM_CHECKS_MAX + 6));
	assert_int_equal(most, UPSTREAM_CHECKS_MAX);
	assert_int_equal(t.registry->checks.running, 0);
	close(silent);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_a_server_falls_and_rises),
		WITH(test_who_comes_back_starts_slowly),
		WITH(test_asks_as_it_is_told),
		WITH(test_looks_at_the_status),
		WITH(test_takes_no_cut_answer),
		WITH(test_takes_no_cut_head),
		WITH(test_takes_no_garbage),
		WITH(test_is_told_when_nobody_answers),
		WITH(test_does_not_wait_for_ever),
		WITH(test_looks_for_text_in_the_body),
		WITH(test_looks_no_further_than_its_bound),
		WITH(test_finds_text_at_its_bound),
		WITH(test_speaks_for_itself_in_the_proxy_protocol),
		WITH(test_asks_another_port),
		WITH(test_a_reload_without_checks_brings_all_back),
		WITH(test_stays_down_over_a_reload),
		WITH(test_a_reload_checks_at_once_only_what_changed),
		WITH(test_a_server_that_goes_is_not_checked),
		WITH(test_checks_only_so_many_at_a_time),
	};

	return RUN_OVER_ENGINES(tests);
}
