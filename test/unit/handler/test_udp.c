// SPDX-License-Identifier: Apache-2.0
/* The UDP service on the loopback device, over every engine: bare sockets are the clients and the servers. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "guard/access.h"
#include "guard/limit.h"
#include "handler/relays.h"
#include "handler/udp/io.h"
#include "unit.h"
#include "upstream/upstream.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define DATAGRAM_MAX 65507
#define SERVERS 2
/* Only for a test that hangs. */
#define PATIENCE_NS (20 * CLOCK_NS_PER_S)

static enum io_engine engine;

static struct {
	struct io_loop *loop;
	struct upstream_registry *registry;
	struct upstream_config group;
	struct upstream_server_config servers[SERVERS];
	char texts[SERVERS][64];
	struct udp_config config;
	struct udp_service *service;
	const struct relay_counts *counts;
	struct sockaddr_in at; /* the service */
	int server[SERVERS];
	bool drained;
} t;

static uint8_t large[DATAGRAM_MAX], got[DATAGRAM_MAX + 1];

static void turn(void)
{
	assert_int_equal(io_loop_turn(t.loop, CLOCK_NS_PER_MS), 0);
}

#define UNTIL(what)                                                      \
	do {                                                             \
		uint64_t until_ns_ = clock_monotonic_ns() + PATIENCE_NS; \
		while (!(what)) {                                        \
			if (clock_monotonic_ns() > until_ns_)            \
				fail_msg("still not true: %s", #what);   \
			turn();                                          \
		}                                                        \
	} while (0)

static uint64_t counted(const _Atomic uint64_t *counter)
{
	return atomic_load(counter);
}

/* A socket on a port of the system's choice, or on this one. */
static int socket_at(const char *ip, uint16_t port, struct sockaddr_in *at)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = port};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	if (at)
		*at = a;
	return fd;
}

static int client_to(const char *ip)
{
	struct sockaddr_in a = t.at;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, ip, &a.sin_addr), 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static int client(void)
{
	return client_to("127.0.0.1");
}

static void say(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, 0), len);
}

/* The next datagram, whose length is returned. */
static size_t hear(int fd, struct sockaddr_in *from)
{
	socklen_t len = sizeof(*from);
	ssize_t n = -1;

	UNTIL((n = recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)from,
			    from ? &len : NULL)) >= 0);
	return (size_t)n;
}

static void assert_heard(int fd, struct sockaddr_in *from, const char *text)
{
	assert_int_equal(hear(fd, from), strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

static void assert_silent(int fd)
{
	for (unsigned i = 0; i < 5; i++)
		turn();
	assert_int_equal(recv(fd, got, sizeof(got), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static int begin(void **state)
{
	struct sockaddr_in a;
	char why[256];

	memset(&t, 0, sizeof(t));
	for (unsigned i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7 + i / 251);
	const struct io_options options = {.engine = engine};
	assert_int_equal(io_loop_new(&options, &t.loop, why, sizeof(why)), 0);
	upstream_config_init(&t.group);
	t.group.name = STR("group");
	t.group.servers = t.servers;
	t.group.server_count = SERVERS;
	for (unsigned i = 0; i < SERVERS; i++) {
		t.server[i] = socket_at("127.0.0.1", 0, &a);
		snprintf(t.texts[i], sizeof(t.texts[i]), "127.0.0.1:%u", ntohs(a.sin_port));
		assert_int_equal(upstream_server_parse(str_from(t.texts[i]), &t.servers[i], why,
						       sizeof(why)),
				 0);
	}
	t.config = (struct udp_config){.name = STR("test"), .idle_timeout_ms = 60000};
	return 0;
}

/* Where the service listens; it uses so many of the servers. */
static void serve_on(int fd, unsigned servers)
{
	t.group.server_count = servers;
	t.registry = upstream_registry_new(t.loop, NULL);
	assert_non_null(t.registry);
	t.config.upstream = &t.group;
	t.config.group = upstream_group_join(t.registry, &t.group);
	assert_non_null(t.config.group);
	assert_int_equal(upstream_group_adopt(t.config.group, &t.group), 0);
	assert_int_equal(udp_service_new(&t.config, t.loop, fd, &t.service), 0);
	t.counts = udp_service_counts(t.service);
}

static void serve(unsigned servers)
{
	int fd = socket_at("127.0.0.1", 0, &t.at);

	serve_on(fd, servers);
}

static void on_drained(void *owner)
{
	assert_ptr_equal(owner, &t);
	t.drained = true;
}

static int end(void **state)
{
	if (t.service && !t.drained) {
		udp_service_drain(t.service, on_drained, &t);
		udp_service_abort(t.service);
		assert_false(t.drained);
		UNTIL(t.drained);
	}
	if (t.service) {
		assert_int_equal(counted(&t.counts->active), 0);
		udp_service_free(t.service);
	}
	if (t.registry) {
		upstream_group_unref(t.config.group);
		upstream_registry_stop(t.registry);
		while (io_loop_busy(t.loop))
			turn();
		upstream_registry_free(t.registry);
	}
	for (unsigned i = 0; i < SERVERS; i++)
		close(t.server[i]);
	io_loop_free(t.loop);
	return 0;
}

static void test_there_and_back(void **state)
{
	struct sockaddr_in from[2];
	int c[2];

	serve(1);
	for (unsigned i = 0; i < 2; i++) {
		c[i] = client();
		say(c[i], i ? "two" : "one", 3);
		assert_heard(t.server[0], &from[i], i ? "two" : "one");
	}
	/* Each client has a socket of its own towards the server. */
	assert_int_not_equal(from[0].sin_port, from[1].sin_port);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sendto(t.server[0], i ? "zwei" : "eins", 4, 0,
					(struct sockaddr *)&from[i], sizeof(from[i])),
				 4);
	assert_heard(c[1], NULL, "zwei");
	assert_heard(c[0], NULL, "eins");
	say(c[0], "again", 5);
	struct sockaddr_in same;
	assert_heard(t.server[0], &same, "again");
	assert_int_equal(same.sin_port, from[0].sin_port);
	assert_int_equal(counted(&t.counts->connections), 2);
	assert_int_equal(counted(&t.counts->active), 2);
	assert_int_equal(counted(&t.counts->datagrams_in), 3);
	assert_int_equal(counted(&t.counts->bytes_in), 11);
	assert_int_equal(counted(&t.counts->datagrams_out), 2);
	assert_int_equal(counted(&t.counts->bytes_out), 8);
	assert_int_equal(counted(&t.counts->dropped), 0);
	close(c[0]);
	close(c[1]);
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 1472, 1473, 16384, DATAGRAM_MAX};
	struct sockaddr_in from;

	serve(1);
	int c = client();
	for (unsigned i = 0; i < SL_ARRAY_SIZE(sizes); i++) {
		say(c, large, sizes[i]);
		assert_int_equal(hear(t.server[0], &from), sizes[i]);
		assert_memory_equal(got, large, sizes[i]);
		assert_int_equal(sendto(t.server[0], large, sizes[i], 0, (struct sockaddr *)&from,
					sizeof(from)),
				 sizes[i]);
		assert_int_equal(hear(c, NULL), sizes[i]);
		assert_memory_equal(got, large, sizes[i]);
	}
	assert_int_equal(counted(&t.counts->dropped), 0);
	close(c);
}

static void test_order_of_each_client(void **state)
{
	uint32_t next[3] = {0}, seen = 0;
	int c[3];

	serve(1);
	for (unsigned i = 0; i < 3; i++)
		c[i] = client();
	for (uint32_t n = 0; n < 60; n++) {
		uint32_t what[2] = {n % 3, n / 3};
		say(c[n % 3], what, sizeof(what));
	}
	for (; seen < 60; seen++) {
		uint32_t what[2];
		assert_int_equal(hear(t.server[0], NULL), sizeof(what));
		memcpy(what, got, sizeof(what));
		assert_true(what[0] < 3);
		assert_int_equal(what[1], next[what[0]]++);
	}
	for (unsigned i = 0; i < 3; i++)
		close(c[i]);
}

/* Sends bytes as datagrams of `part` in one call. False: this kernel cannot. */
static bool say_in_parts(int fd, const struct sockaddr_in *to, size_t len, uint16_t part)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(part))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(part)),
				.cmsg_level = IPPROTO_UDP,
				.cmsg_type = UDP_SEGMENT}};
	struct iovec iov = {large, len};
	struct msghdr m = {.msg_name = (void *)(uintptr_t)to,
			   .msg_namelen = to ? sizeof(*to) : 0,
			   .msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};

	memcpy(CMSG_DATA(&control.header), &part, sizeof(part));
	return sendmsg(fd, &m, 0) == (ssize_t)len;
}

static void assert_heard_in_parts(int fd, struct sockaddr_in *from, size_t len, size_t part)
{
	for (size_t at = 0; at < len; at += part) {
		size_t n = hear(fd, from);
		assert_int_equal(n, SL_MIN(part, len - at));
		assert_memory_equal(got, large + at, n);
	}
}

/* What the kernel joins on the way stays as many datagrams as it was. */
static void test_parts_stay_parts(void **state)
{
	static const struct {
		uint16_t len, part;
	} sent[] = {{10500, 1000}, {3000, 1000}, {1001, 1000}, {40, 1}, {60000, 1400}};
	struct sockaddr_in from;
	uint64_t datagrams = 0;

	serve(1);
	int c = client();
	for (unsigned i = 0; i < SL_ARRAY_SIZE(sent); i++) {
		if (!say_in_parts(c, NULL, sent[i].len, sent[i].part)) {
			close(c);
			unit_skip("no UDP_SEGMENT: %s", strerror(errno));
		}
		assert_heard_in_parts(t.server[0], &from, sent[i].len, sent[i].part);
		assert_true(say_in_parts(t.server[0], &from, sent[i].len, sent[i].part));
		assert_heard_in_parts(c, NULL, sent[i].len, sent[i].part);
		datagrams += (sent[i].len + sent[i].part - 1u) / sent[i].part;
	}
	assert_int_equal(counted(&t.counts->datagrams_in), datagrams);
	assert_int_equal(counted(&t.counts->datagrams_out), datagrams);
	assert_int_equal(counted(&t.counts->dropped), 0);
	close(c);
}

static void test_sessions_max(void **state)
{
	int c[3];

	t.config.sessions_max = 2;
	t.config.idle_timeout_ms = 30;
	serve(1);
	for (unsigned i = 0; i < 3; i++) {
		c[i] = client();
		say(c[i], "x", 1);
	}
	assert_heard(t.server[0], NULL, "x");
	assert_heard(t.server[0], NULL, "x");
	UNTIL(counted(&t.counts->refused) == 1);
	assert_int_equal(counted(&t.counts->dropped), 1);
	assert_int_equal(counted(&t.counts->connections), 2);
	/* They end when nothing comes, and make room. */
	UNTIL(counted(&t.counts->active) == 0);
	say(c[2], "y", 1);
	assert_heard(t.server[0], NULL, "y");
	for (unsigned i = 0; i < 3; i++)
		close(c[i]);
}

static void test_responses_end_a_session(void **state)
{
	struct sockaddr_in from;

	t.config.responses = 2;
	serve(1);
	int c = client();
	say(c, "ask", 3);
	assert_heard(t.server[0], &from, "ask");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(counted(&t.counts->active), 1);
		assert_int_equal(sendto(t.server[0], "told", 4, 0, (struct sockaddr *)&from,
					sizeof(from)),
				 4);
		assert_heard(c, NULL, "told");
	}
	assert_int_equal(counted(&t.counts->active), 0);
	say(c, "ask", 3);
	assert_heard(t.server[0], NULL, "ask");
	assert_int_equal(counted(&t.counts->connections), 2);
	close(c);
}

/* Another server takes over from one that is not there, and the first one is used again when it is back. */
static void test_server_goes_and_comes(void **state)
{
	struct sockaddr_in from;
	unsigned first, other;

	serve(2);
	int c = client();
	say(c, "1", 1);
	ssize_t n = -1;
	UNTIL((n = recv(t.server[first = 0], got, 1, 0)) == 1 ||
	      (n = recv(t.server[first = 1], got, 1, 0)) == 1);
	other = !first;
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	assert_int_equal(getsockname(t.server[first], (struct sockaddr *)&at, &len), 0);
	close(t.server[first]);
	/* This one is lost: nobody could know. */
	say(c, "2", 1);
	UNTIL(counted(&t.counts->failed) == 1);
	say(c, "3", 1);
	assert_heard(t.server[other], &from, "3");
	assert_int_equal(counted(&t.counts->connections), 1);
	t.server[first] = socket_at("127.0.0.1", at.sin_port, NULL);
	close(t.server[other]);
	say(c, "4", 1);
	UNTIL(counted(&t.counts->failed) == 2);
	say(c, "5", 1);
	assert_heard(t.server[first], NULL, "5");
	t.server[other] = socket_at("127.0.0.1", 0, NULL);
	close(c);
}

static void test_refusal_that_a_send_hears_of(void **state)
{
	serve(2);
	int c = client();
	say(c, "1", 1);
	unsigned first;
	UNTIL(recv(t.server[first = 0], got, 1, 0) == 1 ||
	      recv(t.server[first = 1], got, 1, 0) == 1);
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	assert_int_equal(getsockname(t.server[first], (struct sockaddr *)&at, &len), 0);
	close(t.server[first]);
	/* Both are read before the loop hears of the refusal of the first: whatever was not sent goes to the other. */
	say(c, "2", 1);
	say(c, "3", 1);
	say(c, "4", 1);
	UNTIL(counted(&t.counts->failed) >= 1);
	say(c, "5", 1);
	do
		assert_int_equal(hear(t.server[!first], NULL), 1);
	while (got[0] != '5');
	t.server[first] = socket_at("127.0.0.1", 0, NULL);
	close(c);
}

static void test_nobody_there(void **state)
{
	serve(0);
	int c = client();
	say(c, "x", 1);
	UNTIL(counted(&t.counts->dropped) == 1);
	assert_true(counted(&t.counts->failed) >= 1);
	assert_int_equal(counted(&t.counts->active), 0);
	close(c);
}

static void test_access_and_limits(void **state)
{
	const struct str allow = STR("127.0.0.0/8"), deny = STR("127.0.0.9");
	const struct guard_access_config access = {
		.allow = &allow, .deny = &deny, .allow_count = 1, .deny_count = 1};
	const struct guard_limit_config limit = {.name = STR("l"),
						 .key = GUARD_KEY_ADDRESS,
						 .prefix_v4 = 32,
						 .prefix_v6 = 64,
						 .conns = 2,
						 .keys_max = 100};
	struct guard_registry *limits = guard_registry_new();
	struct guard_access *list;
	char why[256];
	int c[3];

	assert_int_equal(guard_access_new(&access, &list, why, sizeof(why)), 0);
	t.config.access = list;
	t.config.limiter = guard_limiter_join(limits, &limit);
	assert_non_null(t.config.limiter);
	t.config.responses = 1;
	serve(1);
	int stranger = socket_at("127.0.0.9", 0, NULL);
	assert_int_equal(connect(stranger, (struct sockaddr *)&t.at, sizeof(t.at)), 0);
	say(stranger, "x", 1);
	UNTIL(counted(&t.counts->refused) == 1);
	for (unsigned i = 0; i < 3; i++) {
		c[i] = client();
		say(c[i], "y", 1);
	}
	struct sockaddr_in from;
	assert_heard(t.server[0], &from, "y");
	assert_heard(t.server[0], NULL, "y");
	UNTIL(counted(&t.counts->refused) == 2);
	/* A session that ends gives its place back. */
	assert_int_equal(sendto(t.server[0], "z", 1, 0, (struct sockaddr *)&from, sizeof(from)), 1);
	UNTIL(counted(&t.counts->active) == 1);
	say(c[2], "w", 1);
	assert_heard(t.server[0], NULL, "w");
	udp_service_drain(t.service, on_drained, &t);
	udp_service_abort(t.service);
	UNTIL(t.drained);
	guard_limiter_unref(t.config.limiter);
	guard_registry_free(limits);
	guard_access_unref(list);
	for (unsigned i = 0; i < 3; i++)
		close(c[i]);
	close(stranger);
}

static void test_drain(void **state)
{
	struct sockaddr_in from;

	t.config.idle_timeout_ms = 50;
	serve(1);
	int c = client(), late = client();
	say(c, "before", 6);
	assert_heard(t.server[0], &from, "before");
	udp_service_drain(t.service, on_drained, &t);
	assert_false(t.drained);
	say(late, "after", 5);
	assert_int_equal(
		sendto(t.server[0], "answer", 6, 0, (struct sockaddr *)&from, sizeof(from)), 6);
	assert_heard(c, NULL, "answer");
	UNTIL(t.drained);
	assert_silent(t.server[0]);
	assert_int_equal(counted(&t.counts->datagrams_in), 1);
	close(c);
	close(late);
}

static void test_drain_without_sessions(void **state)
{
	serve(1);
	udp_service_drain(t.service, on_drained, &t);
	assert_false(t.drained);
	UNTIL(t.drained);
}

/* Clients hear from the address to which they spoke. */
static void test_answers_from_the_address_asked(void **state)
{
	struct sockaddr_in from;
	int fd = socket_at("0.0.0.0", 0, &t.at);

	serve_on(fd, 1);
	int c = client_to("127.0.0.2");
	say(c, "q", 1);
	assert_heard(t.server[0], &from, "q");
	assert_int_equal(sendto(t.server[0], "a", 1, 0, (struct sockaddr *)&from, sizeof(from)), 1);
	assert_heard(c, NULL, "a");
	close(c);
}

static void test_both_families(void **state)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(a);
	struct sockaddr_in from;
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) ||
	    getsockname(fd, (struct sockaddr *)&a, &len)) {
		close(fd);
		unit_skip("no IPv6: %s", strerror(errno));
	}
	t.at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = a.sin6_port};
	serve_on(fd, 1);
	int c[2] = {client_to("127.0.0.3"), socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0)};
	a.sin6_addr = in6addr_loopback;
	assert_int_equal(connect(c[1], (struct sockaddr *)&a, len), 0);
	for (unsigned i = 0; i < 2; i++) {
		say(c[i], "q", 1);
		assert_heard(t.server[0], &from, "q");
		assert_int_equal(
			sendto(t.server[0], "a", 1, 0, (struct sockaddr *)&from, sizeof(from)), 1);
		assert_heard(c[i], NULL, "a");
		close(c[i]);
	}
}

static void test_not_a_socket_for_it(void **state)
{
	struct udp_service *service;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	assert_int_equal(udp_service_new(&t.config, t.loop, fds[0], &service), -EAFNOSUPPORT);
	assert_int_equal(write(fds[0], "x", 1), -1);
	close(fds[1]);
}

/* Batches. */

/* Where the kernel cannot cut a packet into its parts, we do. */
static void test_parts_one_by_one(void **state)
{
	struct sockaddr_in at;
	int from = socket_at("127.0.0.1", 0, NULL), to = socket_at("127.0.0.1", 0, &at);
	struct udp_batch *b = udp_batch_new();
	bool segments = false;
	const struct udp_target target = {.fd = from, .segments = &segments};
	struct udp_packet p[] = {{.bytes = large, .len = 3},
				 {.bytes = large, .len = 1050, .part = 10},
				 {.bytes = large, .len = 0}};
	struct udp_sent sent = {0};
	unsigned datagram = 0, n = 0;

	assert_non_null(b);
	assert_int_equal(connect(from, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(udp_send(b, &target, p, 3, &datagram, &sent), 0);
	assert_int_equal(datagram, 3);
	assert_int_equal(sent.datagrams, 107);
	assert_int_equal(sent.bytes, 1053);
	assert_int_equal(recv(to, got, sizeof(got), 0), 3);
	for (; n < 105; n++) {
		assert_int_equal(recv(to, got, sizeof(got), 0), 10);
		assert_memory_equal(got, large + 10 * n, 10);
	}
	assert_int_equal(recv(to, got, sizeof(got), 0), 0);
	udp_batch_free(b);
	close(from);
	close(to);
}

static void test_one_that_is_cut_is_told(void **state)
{
	static uint8_t longer[UDP_PACKET_BYTES + 1];
	struct udp_batch *b = udp_batch_new();
	struct udp_packet *p;
	int fds[2];

	assert_non_null(b);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	assert_int_equal(udp_receive(b, fds[1], &p), 0);
	assert_int_equal(send(fds[0], longer, sizeof(longer), 0), sizeof(longer));
	assert_int_equal(send(fds[0], longer, UDP_PACKET_BYTES, 0), UDP_PACKET_BYTES);
	assert_int_equal(udp_receive(b, fds[1], &p), 2);
	assert_true(p[0].cut);
	assert_false(p[1].cut);
	assert_int_equal(p[1].len, UDP_PACKET_BYTES);
	udp_batch_free(b);
	close(fds[0]);
	close(fds[1]);
}

static void test_no_room_drops_the_rest(void **state)
{
	struct udp_batch *b = udp_batch_new();
	bool segments = false;
	struct udp_packet p[UDP_BATCH];
	struct udp_sent sent = {0};
	unsigned at = 0, calls = 0;
	int fds[2];

	assert_non_null(b);
	/* A pair of Unix sockets does say when it is full. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	const struct udp_target target = {.fd = fds[0], .segments = &segments};
	for (; !sent.dropped && calls < 1000; calls++) {
		for (unsigned i = 0; i < UDP_BATCH; i++)
			p[i] = (struct udp_packet){.bytes = large, .len = 1000, .part = 500};
		at = 0;
		assert_int_equal(udp_send(b, &target, p, UDP_BATCH, &at, &sent), 0);
		assert_int_equal(at, UDP_BATCH);
	}
	assert_true(sent.dropped > 0);
	assert_int_equal(sent.dropped + sent.datagrams, 2ull * UDP_BATCH * calls);
	udp_batch_free(b);
	close(fds[0]);
	close(fds[1]);
}

#define SERVED(f) cmocka_unit_test_setup_teardown(f, begin, end)

static int run(enum io_engine e, const char *name)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_there_and_back),
		SERVED(test_sizes),
		SERVED(test_order_of_each_client),
		SERVED(test_parts_stay_parts),
		SERVED(test_sessions_max),
		SERVED(test_responses_end_a_session),
		SERVED(test_server_goes_and_comes),
		SERVED(test_refusal_that_a_send_hears_of),
		SERVED(test_nobody_there),
		SERVED(test_access_and_limits),
		SERVED(test_drain),
		SERVED(test_drain_without_sessions),
		SERVED(test_answers_from_the_address_asked),
		SERVED(test_both_families),
		SERVED(test_not_a_socket_for_it),
	};
	const struct io_options options = {.engine = e};
	struct io_loop *loop;
	char why[256];

	print_message("engine %s:\n", name);
	if (io_loop_new(&options, &loop, why, sizeof(why))) {
		print_message("skipped: %s\n", why);
		return 0;
	}
	io_loop_free(loop);
	engine = e;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest batches[] = {
		cmocka_unit_test(test_parts_one_by_one),
		cmocka_unit_test(test_one_that_is_cut_is_told),
		cmocka_unit_test(test_no_room_drops_the_rest),
	};

	log_setup(2, LOG_OFF, LOG_TEXT);
	return cmocka_run_group_tests(batches, NULL, NULL) + run(IO_ENGINE_URING, "io_uring") +
	       run(IO_ENGINE_EPOLL, "epoll") + run(IO_ENGINE_POLL, "poll") +
	       run(IO_ENGINE_SELECT, "select");
}
