// SPDX-License-Identifier: Apache-2.0
/* Upgrades, mirrors, sticky sessions, keys of balances. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "handler/proxy_rig.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE                                                              \
	"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n" \
	"Upgrade: echo\r\nX-Key: 7\r\n\r\n"

static struct rig r;
static struct fake fakes[3];
static unsigned count;
static struct answer a;

static int teardown(void **state)
{
	rig_stop(&r);
	while (count)
		fake_stop(&fakes[--count]);
	return 0;
}

static void add_server(unsigned group, void (*serve)(struct fake *, int, unsigned))
{
	fake_start(&fakes[count], serve);
	rig_server(&r, group, &fakes[count++]);
}

/* Upgrades. */

static void serve_echo(struct fake *f, int fd, unsigned number)
{
	char text[4096];
	ssize_t n;

	if (!fake_read_head(f, fd))
		return;
	if (!strcasestr(f->request, "\r\nUpgrade: echo")) {
		fake_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
		return;
	}
	fake_send(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"
		      "X-Accept: 8\r\n\r\nwelcome");
	while ((n = recv(fd, text, sizeof(text), 0)) > 0)
		(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
	/* What is said last comes after the client's end. */
	fake_send(fd, "bye");
}

static void upgrade(int fd)
{
	rig_ask_on(&r, fd, UPGRADE, &a);
	assert_int_equal(a.status, 101);
	assert_true(answer_has(&a, "Upgrade: echo"));
	assert_true(answer_has(&a, "Connection: Upgrade"));
	assert_true(answer_has(&a, "X-Accept: 8"));
}

/* Reads until `text` is all that has come; true at the end of the connection. */
static bool read_text(int fd, const char *text)
{
	char got[4096] = "";
	size_t len = strlen(a.body);

	memcpy(got, a.body, len + 1);
	a.body = "";
	while (strcmp(got, text) != 0) {
		rig_turn(&r);
		ssize_t n = recv(fd, got + len, sizeof(got) - 1 - len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
		if (n > 0)
			len += (size_t)n;
		got[len] = '\0';
	}
	return false;
}

static bool no_connections(void *arg)
{
	return r.worker.connections == 0;
}

static void start_echo(void)
{
	rig_init(&r);
	add_server(0, serve_echo);
}

static void test_an_upgrade_joins_both_sides(void **state)
{
	int fd;

	start_echo();
	rig_run(&r);
	fd = rig_connect(&r);
	upgrade(fd);
	assert_non_null(strcasestr(fake_request(&fakes[0]), "\r\nUpgrade: echo\r\n"));
	assert_non_null(strcasestr(fake_request(&fakes[0]), "\r\nConnection: "));
	assert_non_null(strcasestr(fake_request(&fakes[0]), "\r\nX-Key: 7\r\n"));
	assert_false(read_text(fd, "welcome"));
	fake_send(fd, "hello");
	assert_false(read_text(fd, "hello"));
	assert_int_equal(r.worker.connections, 1);
	assert_int_equal(atomic_load(&r.worker.counts.connections_active), 1);
	assert_int_equal(atomic_load(&r.worker.counts.connections), 1);
	/* Half-close is kept. */
	shutdown(fd, SHUT_WR);
	assert_false(read_text(fd, "bye"));
	rig_until(&r, no_connections, NULL);
	close(fd);
}

static void test_a_tunnel_outlives_the_drain_and_is_cut_at_its_end(void **state)
{
	int fd;

	start_echo();
	rig_run(&r);
	fd = rig_connect(&r);
	upgrade(fd);
	assert_false(read_text(fd, "welcome"));
	http_worker_drain(&r.worker);
	fake_send(fd, "still here");
	assert_false(read_text(fd, "still here"));
	assert_int_equal(r.worker.connections, 1);
	http_worker_abort(&r.worker);
	assert_true(read_text(fd, "never"));
	rig_until(&r, no_connections, NULL);
	close(fd);
}

static void test_upgrades_that_are_not_passed_on(void **state)
{
	start_echo();
	r.config.no_upgrade = true;
	rig_run(&r);
	rig_ask(&r, UPGRADE, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "plain");
	assert_null(strcasestr(fake_request(&fakes[0]), "\r\nUpgrade:"));
}

static void test_h2c_is_not_passed_on(void **state)
{
	start_echo();
	rig_run(&r);
	rig_ask(&r,
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n"
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
		&a);
	assert_int_equal(a.status, 200);
	assert_null(strcasestr(fake_request(&fakes[0]), "\r\nUpgrade:"));
	assert_null(strcasestr(fake_request(&fakes[0]), "HTTP2-Settings"));
}

static void test_an_upgrade_that_the_server_declines(void **state)
{
	rig_init(&r);
	add_server(0, fake_serve_ok);
	rig_run(&r);
	rig_ask(&r, UPGRADE, &a);
	assert_int_equal(a.status, 200);
	assert_string_equal(a.body, "1");
}

/* Sticky sessions and keys. */

static unsigned served_by(const char *request)
{
	unsigned before[3];

	for (unsigned i = 0; i < count; i++)
		before[i] = atomic_load(&fakes[i].requests);
	rig_ask(&r, request, &a);
	assert_int_equal(a.status, 200);
	for (unsigned i = 0; i < count; i++)
		if (atomic_load(&fakes[i].requests) != before[i])
			return i;
	fail_msg("nobody was asked");
	return 0;
}

static void test_a_cookie_leads_to_the_same_server(void **state)
{
	char request[512], cookie[256];

	rig_init(&r);
	for (unsigned i = 0; i < 3; i++)
		add_server(0, fake_serve_ok);
	r.groups[0].sticky_cookie = STR("srv");
	rig_run(&r);
	unsigned first = served_by(GET);
	const char *at = strcasestr(a.text, "\r\nSet-Cookie: srv=");
	assert_non_null(at);
	assert_int_equal(sscanf(at + 14, "%200[^;\r]", cookie), 1);
	assert_memory_equal(at + 14 + strlen(cookie), "; Path=/; HttpOnly; SameSite=Lax\r\n", 34);
	snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; %s\r\n\r\n",
		 cookie);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(served_by(request), first);
		assert_null(strcasestr(a.text, "Set-Cookie"));
	}
	served_by("GET / HTTP/1.1\r\nHost: a\r\nCookie: srv=forged\r\n\r\n");
	assert_non_null(strcasestr(a.text, "\r\nSet-Cookie: srv="));
}

static void check_key(enum upstream_key key, const char *name, const char *before,
		      const char *after)
{
	char request[256];
	unsigned seen = 0;

	rig_init(&r);
	for (unsigned i = 0; i < 3; i++)
		add_server(0, fake_serve_ok);
	r.groups[0].balance = UPSTREAM_CONSISTENT;
	r.groups[0].key = key;
	r.groups[0].key_name = str_from(name);
	rig_run(&r);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(request, sizeof(request), "%s%u%s\r\n", before, i / 2, after);
		unsigned by = served_by(request);
		seen |= 1u << by;
		assert_int_equal(served_by(request), by);
	}
	/* Twenty keys over three servers: all of them but once in thousands of runs of the hash, which is fixed. */
	assert_int_equal(seen, 7);
}

static void test_keys_by_header(void **state)
{
	check_key(UPSTREAM_KEY_HEADER, "x-user", "GET / HTTP/1.1\r\nHost: a\r\nX-User: u", "\r\n");
}

static void test_keys_by_cookie(void **state)
{
	check_key(UPSTREAM_KEY_COOKIE, "id", "GET / HTTP/1.1\r\nHost: a\r\nCookie: id=", "\r\n");
}

static void test_keys_by_uri(void **state)
{
	check_key(UPSTREAM_KEY_URI, "", "GET /page?", " HTTP/1.1\r\nHost: a\r\n");
}

static void test_the_address_of_the_client_is_a_key(void **state)
{
	rig_init(&r);
	for (unsigned i = 0; i < 3; i++)
		add_server(0, fake_serve_ok);
	r.groups[0].balance = UPSTREAM_ADDRESS;
	rig_run(&r);
	unsigned by = served_by(GET);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(served_by(GET), by);
}

/* Mirrors. */

static bool mirrored(void *arg)
{
	return atomic_load(&fakes[1].requests) >= *(unsigned *)arg;
}

static void start_mirror(void (*serve)(struct fake *, int, unsigned), uint32_t permille)
{
	rig_init(&r);
	add_server(0, fake_serve_ok);
	add_server(2, serve);
	r.config.mirror = &r.groups[2];
	r.config.mirror_permille = permille;
}

static void test_a_share_is_mirrored(void **state)
{
	unsigned half = 10;

	start_mirror(fake_serve_ok, 500);
	rig_run(&r);
	for (unsigned i = 0; i < 20; i++)
		rig_expect(&r, 200, &a);
	rig_until(&r, mirrored, &half);
	assert_int_equal(atomic_load(&fakes[0].requests), 20);
	assert_int_equal(atomic_load(&fakes[1].requests), 10);
}

static void test_bodies_are_mirrored_whole(void **state)
{
	unsigned one = 1, two = 2;

	start_mirror(fake_serve_ok, 1000);
	rig_run(&r);
	rig_ask(&r,
		"POST /x HTTP/1.1\r\nHost: a\r\nX-K: v\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
		&a);
	assert_int_equal(a.status, 200);
	rig_until(&r, mirrored, &one);
	assert_memory_equal(fake_request(&fakes[1]), "POST /x HTTP/1.1\r\n", 18);
	assert_non_null(strstr(fake_request(&fakes[1]), "\r\nContent-Length: 7\r\n"));
	assert_non_null(strstr(fake_request(&fakes[1]), "\r\nX-K: v\r\n"));
	assert_non_null(strstr(fake_request(&fakes[1]), "\r\nHost: a\r\n"));
	assert_non_null(strstr(fake_request(&fakes[1]), "\r\n\r\nabcdefg"));
	rig_ask(&r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &a);
	rig_until(&r, mirrored, &two);
	assert_non_null(strstr(fake_request(&fakes[1]), "\r\n\r\nhello"));
}

static void test_bodies_over_the_bound_are_not_mirrored(void **state)
{
	start_mirror(fake_serve_ok, 1000);
	r.config.mirror_body_max = 4;
	rig_run(&r);
	rig_ask(&r, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &a);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(fake_request(&fakes[0]), "\r\n\r\nhello"));
	rig_ask(&r,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n0\r\n\r\n",
		&a);
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(fake_request(&fakes[0]), "hello"));
	rig_expect(&r, 200, &a);
	assert_int_equal(atomic_load(&fakes[0].requests), 3);
	assert_true(atomic_load(&fakes[1].requests) <= 1);
}

static void serve_silence(struct fake *f, int fd, unsigned number)
{
	char c;

	fake_read(f, fd);
	(void)!recv(fd, &c, 1, 0);
}

static void test_a_mirror_that_says_nothing_slows_nobody(void **state)
{
	start_mirror(serve_silence, 1000);
	rig_run(&r);
	for (unsigned i = 0; i < 30; i++)
		rig_expect(&r, 200, &a);
	assert_int_equal(atomic_load(&fakes[0].requests), 30);
}

static bool dropped(void *arg)
{
	struct arena arena;
	const struct upstream_group_status *status;
	unsigned groups;
	uint64_t most = 0;

	arena_init(&arena, 0);
	assert_int_equal(upstream_status(r.registry, &arena, &status, &groups), 0);
	for (unsigned i = 0; i < groups; i++)
		most = SL_MAX(most, status[i].mirrors_dropped);
	arena_free(&arena);
	return most >= *(unsigned *)arg;
}

static void test_what_a_full_mirror_drops_is_counted(void **state)
{
	unsigned nine = 9;

	start_mirror(serve_silence, 1000);
	r.groups[2].requests_max = 1;
	rig_run(&r);
	for (unsigned i = 0; i < 10; i++)
		rig_expect(&r, 200, &a);
	rig_until(&r, dropped, &nine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_an_upgrade_joins_both_sides, teardown),
		cmocka_unit_test_teardown(test_a_tunnel_outlives_the_drain_and_is_cut_at_its_end,
					  teardown),
		cmocka_unit_test_teardown(test_upgrades_that_are_not_passed_on, teardown),
		cmocka_unit_test_teardown(test_h2c_is_not_passed_on, teardown),
		cmocka_unit_test_teardown(test_an_upgrade_that_the_server_declines, teardown),
		cmocka_unit_test_teardown(test_a_cookie_leads_to_the_same_server, teardown),
		cmocka_unit_test_teardown(test_keys_by_header, teardown),
		cmocka_unit_test_teardown(test_keys_by_cookie, teardown),
		cmocka_unit_test_teardown(test_keys_by_uri, teardown),
		cmocka_unit_test_teardown(test_the_address_of_the_client_is_a_key, teardown),
		cmocka_unit_test_teardown(test_a_share_is_mirrored, teardown),
		cmocka_unit_test_teardown(test_bodies_are_mirrored_whole, teardown),
		cmocka_unit_test_teardown(test_bodies_over_the_bound_are_not_mirrored, teardown),
		cmocka_unit_test_teardown(test_a_mirror_that_says_nothing_slows_nobody, teardown),
		cmocka_unit_test_teardown(test_what_a_full_mirror_drops_is_counted, teardown),
	};

	return RUN_OVER_ENGINES(tests);
}
