// SPDX-License-Identifier: Apache-2.0
/* The TCP service: clients and servers are bare sockets of the test, between them is the real thing. */
#include <signal.h>
#include <stdio.h>

#include "base/thread.h"
#include "guard/access.h"
#include "guard/limit.h"
#include "handler/relays.h"
#include "net/conn.h"
#include "net/pair.h"
#include "upstream/upstream.h"

#define SERVERS 3
#define LARGE_BYTES (6u * 1024 * 1024)
/* Twice what the send buffer of a kernel and the queue of a mirror take. */
#define HUGE_BYTES (2 * LARGE_BYTES)

static uint8_t large[HUGE_BYTES];

static struct {
	struct io_loop *loop;
	struct upstream_registry *registry;
	struct upstream_config groups[SERVERS]; /* of server i alone; groups[0] may have more */
	struct upstream_server_config servers[SERVERS];
	char texts[SERVERS][32];
	int listeners[SERVERS], accepted[SERVERS];
	struct tcp_config config;
	struct tcp_route routes[2];
	struct tcp_service *service;
	int client;
	struct pair_in in, at[SERVERS];
	size_t sent;
	bool drained;
} t;

/* The world. */

static void listen_at(unsigned i)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct upstream_server_config *s = &t.servers[i];
	socklen_t len = sizeof(a);
	char why[128];

	t.listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(t.listeners[i], (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(t.listeners[i], (struct sockaddr *)&a, &len), 0);
	assert_int_equal(listen(t.listeners[i], 16), 0);
	snprintf(t.texts[i], sizeof(t.texts[i]), "127.0.0.1:%u", ntohs(a.sin_port));
	assert_int_equal(upstream_server_parse(str_from(t.texts[i]), s, why, sizeof(why)), 0);
	upstream_config_init(&t.groups[i]);
	t.groups[i].name = str_from(t.texts[i]);
	t.groups[i].servers = s;
	t.groups[i].server_count = 1;
	t.groups[i].retry.backoff_ms = 1;
	t.accepted[i] = -1;
}

static int start(void **state)
{
	memset(&t, 0, sizeof(t));
	t.loop = pair_loop();
	t.registry = upstream_registry_new(t.loop, NULL);
	assert_non_null(t.registry);
	for (unsigned i = 0; i < SERVERS; i++)
		listen_at(i);
	t.client = -1;
	t.config.name = STR("test");
	t.config.upstream = &t.groups[0];
	return 0;
}

static struct upstream_group *join(const struct upstream_config *config)
{
	struct upstream_group *group = upstream_group_join(t.registry, config);

	assert_non_null(group);
	return group;
}

/* After the configuration is as it shall be. */
static void serve(void)
{
	if (t.config.upstream)
		t.config.group = join(t.config.upstream);
	if (t.config.mirror)
		t.config.mirror_group = join(t.config.mirror);
	for (unsigned i = 0; i < t.config.route_count; i++)
		t.routes[i].group = join(t.routes[i].upstream);
	t.config.routes = t.routes;
	t.service = tcp_service_new(&t.config, t.loop);
	assert_non_null(t.service);
}

static void on_drained(void *owner)
{
	assert_ptr_equal(owner, &t);
	t.drained = true;
}

static void leave(struct upstream_group *group)
{
	if (group)
		upstream_group_unref(group);
}

static int stop(void **state)
{
	if (t.service) {
		if (!t.drained)
			tcp_service_drain(t.service, on_drained, &t);
		tcp_service_abort(t.service);
		PAIR_UNTIL(t.loop, t.drained);
		assert_int_equal(atomic_load(&tcp_service_counts(t.service)->active), 0);
		tcp_service_free(t.service);
	}
	leave(t.config.group);
	leave(t.config.mirror_group);
	for (unsigned i = 0; i < t.config.route_count; i++)
		leave(t.routes[i].group);
	upstream_registry_stop(t.registry);
	while (io_loop_busy(t.loop))
		assert_int_equal(io_loop_turn(t.loop, CLOCK_NS_PER_MS), 0);
	upstream_registry_free(t.registry);
	pair_loop_free(t.loop);
	for (unsigned i = 0; i < SERVERS; i++) {
		close(t.listeners[i]);
		close(t.accepted[i]);
		free(t.at[i].text);
	}
	close(t.client);
	free(t.in.text);
	assert_int_equal(base_thread_exit(), 0);
	return 0;
}

/* A client comes; its end. */
static int come(void)
{
	int fds[2];
	struct conn *c;

	pair_make(fds);
	c = conn_plain_new(t.loop, fds[1]);
	assert_non_null(c);
	tcp_service_take(t.service, c);
	return fds[0];
}

static bool accepts(unsigned i)
{
	if (t.accepted[i] < 0)
		t.accepted[i] = accept4(t.listeners[i], NULL, NULL, SOCK_CLOEXEC);
	return t.accepted[i] >= 0;
}

static bool read_at(unsigned i, size_t len)
{
	if (accepts(i))
		pair_read(t.accepted[i], &t.at[i]);
	return t.at[i].len >= len;
}

static void check_at(unsigned i, const char *text)
{
	PAIR_UNTIL(t.loop, read_at(i, strlen(text)));
	assert_string_equal(t.at[i].text, text);
}

static void check_client(const char *text)
{
	PAIR_UNTIL(t.loop, (pair_read(t.client, &t.in), t.in.len >= strlen(text)));
	assert_string_equal(t.in.text, text);
}

/* Reset or closed, without a byte. */
static void check_sent_away(int fd)
{
	struct pair_in in = {0};

	pair_read_to_end(t.loop, fd, &in);
	assert_int_equal(in.len, 0);
	free(in.text);
	close(fd);
}

static uint64_t counted(const _Atomic uint64_t *counter)
{
	return atomic_load(counter);
}
#define COUNT(name) counted(&tcp_service_counts(t.service)->name)

static bool feed(size_t upto)
{
	while (t.sent < upto) {
		ssize_t n =
			send(t.client, large + t.sent, upto - t.sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		t.sent += (size_t)n;
	}
	return t.sent == upto;
}

/* Relays. */

static void test_there_and_back(void **state)
{
	serve();
	t.client = come();
	pair_say(t.client, "question");
	check_at(0, "question");
	pair_say(t.accepted[0], "answer");
	check_client("answer");
	assert_int_equal(COUNT(active), 1);
	shutdown(t.client, SHUT_WR);
	pair_read_to_end(t.loop, t.accepted[0], &t.at[0]);
	assert_true(t.at[0].ended);
	shutdown(t.accepted[0], SHUT_WR);
	pair_read_to_end(t.loop, t.client, &t.in);
	assert_true(t.in.ended);
	PAIR_UNTIL(t.loop, !COUNT(active));
	assert_int_equal(COUNT(connections), 1);
	assert_int_equal(COUNT(failed) + COUNT(refused), 0);
	assert_int_equal(COUNT(bytes_in), 8);
	assert_int_equal(COUNT(bytes_out), 6);
}

static void test_a_server_that_speaks_first(void **state)
{
	serve();
	t.client = come();
	PAIR_UNTIL(t.loop, accepts(0));
	pair_say(t.accepted[0], "220 hello");
	check_client("220 hello");
}

static void test_another_server_when_one_refuses(void **state)
{
	t.groups[0].server_count = 2;
	close(t.listeners[0]);
	t.listeners[0] = -1;
	t.groups[0].outlier.consecutive = 0;
	serve();
	for (unsigned i = 0; i < 2; i++) {
		int client = come();

		/* Perhaps it is sent to the first one, before that is known not to be there. */
		pair_say(client, "word");
		PAIR_UNTIL(t.loop, accepts(1));
		check_at(1, "word");
		t.at[1].len = 0;
		close(client);
		close(t.accepted[1]);
		t.accepted[1] = -1;
		PAIR_UNTIL(t.loop, !COUNT(active));
	}
	assert_int_equal(COUNT(failed), 0);
}

static void test_nobody_there(void **state)
{
	close(t.listeners[0]);
	t.listeners[0] = -1;
	serve();
	check_sent_away(come());
	assert_int_equal(COUNT(failed), 1);
	PAIR_UNTIL(t.loop, !COUNT(active));
}

static void test_a_server_that_cuts_is_seen_to(void **state)
{
	serve();
	t.client = come();
	pair_say(t.client, "word");
	check_at(0, "word");
	pair_reset(t.accepted[0]);
	t.accepted[0] = -1;
	pair_read_to_end(t.loop, t.client, &t.in);
	assert_int_equal(t.in.error, ECONNRESET);
	PAIR_UNTIL(t.loop, !COUNT(active));
	assert_int_equal(COUNT(failed), 1);
}

static void test_who_waits_for_max_conns(void **state)
{
	int first, server;

	t.servers[0].max_conns = 1;
	serve();
	first = come();
	PAIR_UNTIL(t.loop, accepts(0));
	server = t.accepted[0];
	t.accepted[0] = -1;
	t.client = come();
	pair_say(t.client, "second");
	pair_turns(t.loop, 20);
	assert_false(accepts(0));
	assert_int_equal(COUNT(active), 2);
	close(first);
	close(server);
	check_at(0, "second");
}

static void test_a_proxy_header_first(void **state)
{
	char expected[128];
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	t.groups[0].send_proxy = PROXY_V1;
	serve();
	t.client = come();
	pair_say(t.client, "word");
	assert_int_equal(getsockname(t.client, (struct sockaddr *)&a, &len), 0);
	snprintf(expected, sizeof(expected), "PROXY TCP4 127.0.0.1 127.0.0.1 %u ",
		 ntohs(a.sin_port));
	PAIR_UNTIL(t.loop, read_at(0, 1) && strstr(t.at[0].text, "\r\nword"));
	assert_memory_equal(t.at[0].text, expected, strlen(expected));
}

/* Who may come in. */

static void test_conns_max(void **state)
{
	t.config.conns_max = 1;
	serve();
	t.client = come();
	check_sent_away(come());
	assert_int_equal(COUNT(refused), 1);
	pair_say(t.client, "word");
	check_at(0, "word");
}

static void test_access(void **state)
{
	const struct str deny = STR("127.0.0.0/8");
	const struct guard_access_config lists = {
		.name = STR("list"), .deny = &deny, .deny_count = 1};
	char why[128];

	assert_int_equal(guard_access_new(&lists, &t.config.access, why, sizeof(why)), 0);
	serve();
	check_sent_away(come());
	assert_int_equal(COUNT(refused), 1);
	guard_access_unref(t.config.access);
}

static void check_limiter(struct guard_limit_config *limit, unsigned fit)
{
	struct guard_registry *registry = guard_registry_new();
	int clients[4];

	limit->name = STR("limit");
	limit->key = GUARD_KEY_ADDRESS;
	limit->prefix_v4 = 32;
	limit->prefix_v6 = 64;
	limit->keys_max = 100;
	t.config.limiter = guard_limiter_join(registry, limit);
	assert_non_null(t.config.limiter);
	serve();
	for (unsigned i = 0; i < fit; i++)
		clients[i] = come();
	check_sent_away(come());
	assert_int_equal(COUNT(refused), 1);
	PAIR_UNTIL(t.loop, accepts(0));
	for (unsigned i = 0; i < fit; i++)
		close(clients[i]);
	close(t.accepted[0]);
	t.accepted[0] = -1;
	/* The others wait in the listener's queue, and are cut. */
	tcp_service_drain(t.service, on_drained, &t);
	tcp_service_abort(t.service);
	PAIR_UNTIL(t.loop, t.drained);
	guard_limiter_unref(t.config.limiter);
	guard_registry_free(registry);
}

static void test_limit_of_the_rate(void **state)
{
	struct guard_limit_config limit = {
		.algorithm = GUARD_TOKEN_BUCKET, .count = 1, .period_ns = 3600 * CLOCK_NS_PER_S};

	check_limiter(&limit, 1);
}

static void test_limit_of_conns(void **state)
{
	struct guard_limit_config limit = {.conns = 3};

	check_limiter(&limit, 3);
}

/* Routes. */

#define HELLO_HEAD "\x16\x03\x01"

/* A ClientHello that asks for a name of 11 bytes and offers "h2". */
static size_t hello(const char *name, uint8_t *out)
{
	static const uint8_t alpn[] = {0, 16, 0, 5, 0, 3, 2, 'h', '2'};
	size_t name_len = strlen(name), ext_len = 9 + name_len + sizeof(alpn), n = 0;
	size_t body_len = 2 + 32 + 1 + 4 + 2 + 2 + ext_len;

	memset(out, 0, 200);
	memcpy(out, HELLO_HEAD, 3);
	out[4] = (uint8_t)(body_len + 4);
	out[5] = 1;
	out[8] = (uint8_t)body_len;
	n = 9;
	out[n] = out[n + 1] = 3;
	n += 34 + 1;
	out[n + 1] = 2;
	out[n + 2] = 0x13;
	n += 4;
	out[n] = 1;
	n += 2;
	out[n + 1] = (uint8_t)ext_len;
	n += 2;
	out[n + 3] = (uint8_t)(name_len + 5);
	out[n + 5] = (uint8_t)(name_len + 3);
	out[n + 8] = (uint8_t)name_len;
	memcpy(out + n + 9, name, name_len);
	memcpy(out + n + 9 + name_len, alpn, sizeof(alpn));
	return n + ext_len;
}

static void route_by_name(void)
{
	t.routes[0] = (struct tcp_route){.sni = STR("*.example.org"), .upstream = &t.groups[1]};
	t.routes[1] = (struct tcp_route){.alpn = STR("h2"), .upstream = &t.groups[2]};
	t.config.route_count = 2;
}

static void check_hello(unsigned server, const char *name, size_t piece)
{
	uint8_t bytes[256];
	size_t n = hello(name, bytes), at = 0;

	memcpy(bytes + n, "more", 4);
	n += 4;
	t.client = come();
	for (; at < n; at += piece) {
		pair_send(t.client, bytes + at, SL_MIN(piece, n - at));
		pair_turns(t.loop, 1);
	}
	PAIR_UNTIL(t.loop, read_at(server, n));
	assert_int_equal(t.at[server].len, n);
	assert_memory_equal(t.at[server].text, bytes, n);
	pair_say(t.accepted[server], "answer");
	check_client("answer");
}

static void test_route_by_name(void **state)
{
	route_by_name();
	serve();
	check_hello(1, "www.example.org", 1000);
}

static void test_route_by_protocol_in_pieces(void **state)
{
	route_by_name();
	serve();
	check_hello(2, "www.example.com", 7);
}

static void test_no_route(void **state)
{
	uint8_t bytes[256];
	int client;

	route_by_name();
	t.config.route_count = 1;
	t.config.upstream = NULL;
	serve();
	client = come();
	pair_send(client, bytes, hello("example.com", bytes));
	check_sent_away(client);
	assert_int_equal(COUNT(failed), 1);
}

static void test_the_route_of_the_rest(void **state)
{
	route_by_name();
	t.config.route_count = 1;
	serve();
	check_hello(0, "example.com", 50);
}

static void test_no_hello(void **state)
{
	uint8_t endless[BUF_CAPACITY + 100];
	int client;

	route_by_name();
	t.config.hello_timeout_ms = 20;
	serve();
	client = come();
	pair_say(client, "GET / HTTP/1.1\r\n\r\n");
	check_sent_away(client);
	client = come();
	check_sent_away(client);
	client = come();
	shutdown(client, SHUT_WR);
	check_sent_away(client);
	memset(endless, 0, sizeof(endless));
	memcpy(endless, HELLO_HEAD "\x40\x00\x01\x00\xff\xff", 9);
	client = come();
	pair_send(client, endless, sizeof(endless));
	check_sent_away(client);
	assert_int_equal(COUNT(failed), 4);
	PAIR_UNTIL(t.loop, !COUNT(active));
}

/* Mirrors and bandwidth. */

static void check_large(size_t len)
{
	PAIR_UNTIL(t.loop, (feed(len), read_at(0, len)));
	assert_int_equal(t.at[0].len, len);
	assert_memory_equal(t.at[0].text, large, len);
}

static void test_mirror(void **state)
{
	t.config.mirror = &t.groups[1];
	serve();
	t.client = come();
	pair_say(t.client, "word");
	check_at(0, "word");
	check_at(1, "word");
	/* What the mirror says nobody hears. */
	pair_say(t.accepted[1], "noise");
	pair_say(t.accepted[0], "answer");
	check_client("answer");
	t.at[0].len = t.at[1].len = 0;
	PAIR_UNTIL(t.loop, (feed(LARGE_BYTES), read_at(0, LARGE_BYTES) & read_at(1, LARGE_BYTES)));
	assert_memory_equal(t.at[0].text, large, LARGE_BYTES);
	assert_memory_equal(t.at[1].text, large, LARGE_BYTES);
	shutdown(t.client, SHUT_WR);
	pair_read_to_end(t.loop, t.accepted[1], &t.at[1]);
	assert_true(t.at[1].ended);
	assert_int_equal(t.at[1].len, LARGE_BYTES);
	check_client("answer");
}

static unsigned mirrors_dropped(void)
{
	const struct upstream_group_status *groups;
	struct arena arena;
	unsigned count, dropped = 0;

	arena_init(&arena, 1 << 20);
	assert_int_equal(upstream_status(t.registry, &arena, &groups, &count), 0);
	for (unsigned i = 0; i < count; i++)
		dropped += (unsigned)groups[i].mirrors_dropped;
	arena_free(&arena);
	return dropped;
}

static void test_a_mirror_that_does_not_read_is_dropped(void **state)
{
	const int small = 65536;

	t.config.mirror = &t.groups[1];
	/* A machine may let a receive buffer grow beyond what is sent here. */
	assert_int_equal(setsockopt(t.listeners[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)),
			 0);
	serve();
	t.client = come();
	check_large(HUGE_BYTES);
	/* What a view counts is told to its group at the end of a turn. */
	PAIR_UNTIL(t.loop, mirrors_dropped());
	assert_int_equal(mirrors_dropped(), 1);
	PAIR_UNTIL(t.loop, accepts(1));
	pair_read_to_end(t.loop, t.accepted[1], &t.at[1]);
	assert_int_equal(t.at[1].error, ECONNRESET);
}

static void test_a_mirror_that_is_not_there(void **state)
{
	close(t.listeners[1]);
	t.listeners[1] = -1;
	t.config.mirror = &t.groups[1];
	serve();
	t.client = come();
	check_large(LARGE_BYTES);
	assert_int_equal(mirrors_dropped(), 1);
}

static void test_bandwidth_loses_nothing(void **state)
{
	t.config.bytes_per_s = 4000000;
	t.config.mirror = &t.groups[1];
	serve();
	t.client = come();
	PAIR_UNTIL(t.loop, (feed(600000), read_at(0, 600000) & read_at(1, 600000)));
	assert_memory_equal(t.at[0].text, large, 600000);
	assert_memory_equal(t.at[1].text, large, 600000);
	pair_say(t.accepted[0], "answer");
	check_client("answer");
	shutdown(t.client, SHUT_WR);
	pair_read_to_end(t.loop, t.accepted[0], &t.at[0]);
	assert_true(t.at[0].ended);
}

/* The end. */

static void test_drain_waits_for_who_is_there(void **state)
{
	serve();
	t.client = come();
	pair_say(t.client, "word");
	check_at(0, "word");
	tcp_service_drain(t.service, on_drained, &t);
	check_sent_away(come());
	pair_turns(t.loop, 5);
	assert_false(t.drained);
	pair_say(t.accepted[0], "answer");
	check_client("answer");
	shutdown(t.client, SHUT_WR);
	shutdown(t.accepted[0], SHUT_WR);
	PAIR_UNTIL(t.loop, t.drained);
}

static void test_drain_of_nobody(void **state)
{
	serve();
	tcp_service_drain(t.service, on_drained, &t);
	assert_false(t.drained);
	PAIR_UNTIL(t.loop, t.drained);
}

static void test_abort_in_every_state(void **state)
{
	int clients[3];

	route_by_name();
	t.config.route_count = 1;
	t.config.mirror = &t.groups[2];
	t.servers[0].max_conns = 1;
	serve();
	/* One relays, one waits for a server, one has not said hello. */
	check_hello(0, "example.com", 50);
	clients[0] = come();
	clients[1] = come();
	uint8_t bytes[256];
	pair_send(clients[1], bytes, hello("example.com", bytes));
	pair_turns(t.loop, 5);
	assert_int_equal(COUNT(active), 3);
	tcp_service_drain(t.service, on_drained, &t);
	tcp_service_abort(t.service);
	PAIR_UNTIL(t.loop, t.drained);
	assert_int_equal(COUNT(active), 0);
	close(clients[0]);
	close(clients[1]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_back),
		TEST(test_a_server_that_speaks_first),
		TEST(test_another_server_when_one_refuses),
		TEST(test_nobody_there),
		TEST(test_a_server_that_cuts_is_seen_to),
		TEST(test_who_waits_for_max_conns),
		TEST(test_a_proxy_header_first),
		TEST(test_conns_max),
		TEST(test_access),
		TEST(test_limit_of_the_rate),
		TEST(test_limit_of_conns),
		TEST(test_route_by_name),
		TEST(test_route_by_protocol_in_pieces),
		TEST(test_no_route),
		TEST(test_the_route_of_the_rest),
		TEST(test_no_hello),
		TEST(test_mirror),
		TEST(test_a_mirror_that_does_not_read_is_dropped),
		TEST(test_a_mirror_that_is_not_there),
		TEST(test_bandwidth_loses_nothing),
		TEST(test_drain_waits_for_who_is_there),
		TEST(test_drain_of_nobody),
		TEST(test_abort_in_every_state),
	};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7 + i / 251 + i / 65521);
	return RUN_OVER_ALL_ENGINES(tests);
}
