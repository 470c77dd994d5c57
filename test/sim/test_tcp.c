// SPDX-License-Identifier: Apache-2.0

/*
 * The TCP service with its group and a mirror in one world. Who is connected talks to one server and no other, hears all
 * of it or sees it cut; queues, retries and a mirror that hangs change nothing of that; and nothing is left behind.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/slab.h"
#include "handler/tcp/tcp.h"
#include "net/conn.h"
#include "net/dial.h"
#include "net/listener.h"
#include "net/pipe.h"
#include "sim_test.h"
#include "upstream/keeper.h"

#define TALKS_MAX 8
#define SERVERS_MAX 4
#define PATTERN_PERIOD (251u * 256)
#define BYTES_MAX 150000u
#define ID_STRIDE 1009u
#define PAUSE_MS 200
#define RUN_NS (24 * 3600 * CLOCK_NS_PER_S)

static uint8_t pattern[PATTERN_PERIOD + BYTES_MAX];

enum weather {
	CALM,   /* all servers are good */
	STEADY, /* one is, and nobody listens at the others */
	STORMY, /* anything */
};
enum manner {
	GOOD,
	REFUSES,
	FULL,   /* accepts nobody */
	ABORTS, /* resets in the middle */
	MUTE,   /* does not read for a long time */
	MANNERS
};
enum { CLIENT, SERVER };

/* One end of a connection. Its first byte, from the client, says whose it is. */
struct peer {
	struct conn *conn; /* NULL after its end */
	struct talk *talk; /* NULL: not known yet */
	struct server *server;
	struct io_timer send_pause, read_pause;
	size_t sent, received;
	uint8_t side;
	bool shut; /* all was sent, and FIN after it */
	bool aborts, answers;
	enum pull end; /* PULL_WAIT: not yet */
};

struct talk {
	unsigned id, servers; /* servers: that had a byte of it */
	size_t total[2];      /* by who sends */
	bool shut[2];         /* in order */
	bool aborts, answers; /* answers: the server speaks after the client's end */
	struct peer client;
	enum pull server_end;
	size_t at_server;
};

struct server {
	struct net_listener listener;
	char name[32];
	enum manner manner;
	bool listening, mirror;
	int full_fd;
};

static struct {
	struct sim *world;
	struct io_loop *main, *worker, *outside;
	struct sockaddr_in addr;
	struct net_listener door;
	struct tcp_config config;
	struct tcp_service *service;
	struct upstream_registry *registry;
	struct upstream_config groups[2]; /* the second is the mirror's */
	struct upstream_server_config configs[2][SERVERS_MAX];
	struct server servers[2][SERVERS_MAX];
	struct talk talks[TALKS_MAX + 1];
	struct io_msg stop, servers_stop;
	unsigned talk_count, talking, peers;
	enum weather weather;
	bool drained, stopped;
} day;

/* A script's: every server of the group, and of a mirror, which there is, is so. MANNERS: chance says. */
static enum manner forced[2] = {MANNERS, MANNERS};

static struct {
	unsigned whole, cut, mirrored;
	uint64_t retries, refused;
} sum;

static unsigned draw(unsigned n)
{
	return (unsigned)sim_random(day.world, n);
}

static bool one_in(unsigned n)
{
	return draw(n) == 0;
}

static const uint8_t *said(const struct talk *t, unsigned side)
{
	return pattern + (2 * t->id + side) * ID_STRIDE % PATTERN_PERIOD;
}

/* Those who talk. */

static void peer_over(struct peer *p, int why)
{
	struct conn *c = p->conn;

	if (!c)
		return;
	p->conn = NULL;
	io_timer_stop(&p->send_pause);
	io_timer_stop(&p->read_pause);
	conn_close(c, why);
}

static void peer_maybe_over(struct peer *p)
{
	if (p->conn && p->shut && p->end == PULL_END)
		peer_over(p, CONN_DONE);
}

static void peer_send(struct peer *p)
{
	struct talk *t = p->talk;

	if (!p->conn || !t || p->shut || io_timer_armed(&p->send_pause) ||
	    (p->answers && p->end != PULL_END))
		return;
	while (p->sent < t->total[p->side] && !conn_full(p->conn) && !p->conn->error) {
		size_t left = t->total[p->side] - p->sent, most = one_in(4) ? 300 : 40000;
		size_t n = 1 + draw((unsigned)SL_MIN(left, most));

		if (conn_send(p->conn, seg_mem(said(t, p->side) + p->sent, n, NULL)) == 0)
			p->sent += n;
		if (one_in(20)) {
			io_timer_set(day.outside, &p->send_pause, draw(PAUSE_MS));
			return;
		}
	}
	if (p->aborts && p->sent > t->total[p->side] / 2) {
		peer_over(p, -ECANCELED);
		return;
	}
	if (p->sent < t->total[p->side] || p->conn->error)
		return;
	p->shut = true;
	t->shut[p->side] |= !p->server || !p->server->mirror;
	conn_shutdown(p->conn);
	peer_maybe_over(p);
}

/* The first byte: whose it is. */
static void peer_learn(struct peer *p, uint8_t first)
{
	for (unsigned i = 1; i <= day.talk_count && !p->talk; i++)
		if (*said(&day.talks[i], CLIENT) == first)
			p->talk = &day.talks[i];
	if (!p->talk) {
		fail_msg("nobody says this");
		return;
	}
	p->answers = p->talk->answers;
	if (p->server->mirror) {
		sum.mirrored++;
		return;
	}
	if (++p->talk->servers > 1)
		fail_msg("what %u says has come to two servers", p->talk->id);
}

static void peer_took(struct peer *p, const struct seg *s)
{
	if (!p->talk)
		peer_learn(p, s->u.mem[0]);
	if (!p->talk)
		return;
	assert_true(p->received + s->len <= p->talk->total[!p->side]);
	assert_memory_equal(s->u.mem, said(p->talk, !p->side) + p->received, s->len);
	p->received += s->len;
	if (p->side == SERVER && !p->server->mirror)
		p->talk->at_server = p->received;
}

static void peer_ended(struct peer *p, enum pull end)
{
	p->end = end;
	if (p->side == SERVER && p->talk && !p->server->mirror)
		p->talk->server_end = end;
	if (end == PULL_FAIL) {
		peer_over(p, -ECONNRESET);
		return;
	}
	/* Who is connected and says nothing is a client that left. */
	if (!p->talk) {
		peer_over(p, CONN_DONE);
		return;
	}
	/* For a mirror, a cut is an end, too: nobody waits for its answers. */
	if ((!p->server || !p->server->mirror) &&
	    (!p->talk->shut[!p->side] || p->received != p->talk->total[!p->side]))
		fail_msg("%zu of %zu bytes of %u were taken for all", p->received,
			 p->talk->total[!p->side], p->talk->id);
	peer_send(p);
	peer_maybe_over(p);
}

static void peer_read(struct peer *p)
{
	struct seg s;

	while (p->conn && p->end == PULL_WAIT && !io_timer_armed(&p->read_pause)) {
		enum pull r = source_pull(&p->conn->source, 1 + draw(70000), SEG_MEM, &s);

		if (r == PULL_WAIT)
			return;
		if (r != PULL_DATA) {
			peer_ended(p, r);
			return;
		}
		peer_took(p, &s);
		seg_release(&s);
		peer_send(p);
		if (p->conn && one_in(30))
			io_timer_set(day.outside, &p->read_pause, draw(PAUSE_MS));
	}
}

static void peer_woken(struct source *source, void *consumer)
{
	(void)source;
	peer_read(consumer);
}

static void peer_drained(struct conn *c, void *consumer)
{
	struct peer *p = consumer;

	/* The rest of what the other said may still be there, but is not asked for. */
	if (c->error)
		peer_over(p, c->error);
	else
		peer_send(p);
}

static void peer_read_on(struct io_timer *t)
{
	peer_read(SL_CONTAINER(t, struct peer, read_pause));
}

static void peer_send_on(struct io_timer *t)
{
	peer_send(SL_CONTAINER(t, struct peer, send_pause));
}

static void peer_start(struct peer *p, struct conn *conn, void (*closed)(void *))
{
	assert_non_null(conn);
	p->conn = conn;
	p->end = PULL_WAIT;
	conn->consumer = conn->source.consumer = p;
	conn->closed = closed;
	conn->drained = peer_drained;
	conn->source.wake = peer_woken;
	p->send_pause.fire = peer_send_on;
	p->read_pause.fire = peer_read_on;
	day.peers++;
	peer_send(p);
	peer_read(p);
}

/* Clients. */

static void client_closed(void *consumer)
{
	(void)consumer;
	day.peers--;
	if (--day.talking == 0)
		io_post(day.worker, &day.stop);
}

static void client_connected(struct conn *c, void *consumer, int result)
{
	(void)c;
	if (result)
		peer_over(consumer, result);
}

static void talk_start(struct talk *t)
{
	struct net_addr to = {.len = sizeof(day.addr)};
	struct peer *p = &t->client;

	memcpy(&to.u, &day.addr, sizeof(day.addr));
	t->id = (unsigned)(t - day.talks);
	t->server_end = PULL_WAIT;
	t->total[CLIENT] = 1 + draw(one_in(4) ? BYTES_MAX : 3000);
	t->total[SERVER] = draw(one_in(4) ? BYTES_MAX : 3000);
	t->answers = one_in(2);
	p->aborts = day.weather == STORMY && one_in(5);
	p->talk = t;
	p->side = CLIENT;
	day.talking++;
	peer_start(p, conn_plain_connect(day.outside, &to, NULL, client_connected), client_closed);
}

/* Servers. */

static void guest_closed(void *consumer)
{
	day.peers--;
	free(consumer);
}

static void server_accepted(struct net_listener *l, int fd)
{
	struct server *s = l->owner;
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->server = s;
	p->side = SERVER;
	p->aborts = s->manner == ABORTS;
	p->read_pause.fire = peer_read_on;
	if (s->manner == MUTE)
		io_timer_set(day.outside, &p->read_pause, 1 + draw(300000));
	peer_start(p, conn_plain_new(day.outside, fd), guest_closed);
}

static bool nobody_idle(struct net_listener *l)
{
	(void)l;
	return false;
}

static void server_stopped(struct net_listener *l)
{
	(void)l;
}

static void server_open(struct server *s, uint16_t port)
{
	static const struct net_listener_events events = {.accepted = server_accepted,
							  .starved = nobody_idle};
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd;

	s->full_fd = -1;
	if (s->manner == REFUSES)
		return;
	fd = sim_listen(day.world, (struct sockaddr *)&a, sizeof(a), s->manner == FULL ? 1 : 16);
	assert_true(fd >= 0);
	s->listening = s->manner != FULL;
	if (s->listening)
		assert_int_equal(net_listener_start(&s->listener, day.outside, fd, &events, s), 0);
	else
		s->full_fd = fd;
}

static void servers_stop(struct io_loop *loop, struct io_msg *msg)
{
	(void)loop;
	(void)msg;
	for (unsigned i = 0; i < 2 * SERVERS_MAX; i++) {
		struct server *s = &day.servers[i / SERVERS_MAX][i % SERVERS_MAX];

		if (s->listening)
			net_listener_stop(&s->listener, server_stopped);
		else if (s->full_fd > 0)
			sim_close(day.world, s->full_fd);
	}
}

static enum manner manner_any(unsigned group, unsigned server)
{
	if (forced[group] != MANNERS)
		return forced[group];
	if (day.weather == STORMY || group)
		return (enum manner)draw(MANNERS);
	return day.weather == STEADY && server && one_in(2) ? REFUSES : GOOD;
}

static struct upstream_group *group_any(unsigned group, const char *name)
{
	struct upstream_config *c = &day.groups[group];
	struct upstream_group *g;
	char why[128];

	upstream_config_init(c);
	c->name = str_from(name);
	c->servers = day.configs[group];
	c->server_count = 1 + draw(SERVERS_MAX);
	for (unsigned i = 0; i < c->server_count; i++) {
		struct server *s = &day.servers[group][i];
		struct upstream_server_config *sc = &day.configs[group][i];
		uint16_t port = (uint16_t)(1000 + 100 * group + i);

		s->manner = manner_any(group, i);
		s->mirror = group;
		server_open(s, port);
		snprintf(s->name, sizeof(s->name), "127.0.0.1:%u", port);
		assert_int_equal(upstream_server_parse(str_from(s->name), sc, why, sizeof(why)), 0);
		((struct sockaddr_in *)&sc->addr.u)->sin_addr.s_addr = INADDR_ANY;
		sc->backup = one_in(5);
		if (day.weather != STEADY && one_in(3))
			sc->max_conns = 1 + draw(3);
	}
	c->balance = (enum upstream_balance)draw(UPSTREAM_CONSISTENT + 1);
	c->health.on = one_in(3);
	c->health.http = false;
	c->health.every_ms = 500 + draw(2000);
	c->retry.max = day.weather == STEADY ? SERVERS_MAX : draw(4);
	c->retry.budget_percent = 100 * SERVERS_MAX;
	c->retry.backoff_ms = draw(50);
	c->queue_timeout_ms = day.weather == CALM ? 3600000 : 1 + draw(3000);
	if (day.weather == STORMY) {
		c->timeouts.connect_ms = 500;
		c->queue_max = draw(4);
		c->breaker.consecutive = draw(4);
		c->breaker.open_ms = 1 + draw(1000);
	}
	g = upstream_group_join(day.registry, c);
	assert_non_null(g);
	return g;
}

/* The service. */

static void door_accepted(struct net_listener *l, int fd)
{
	struct conn *conn = conn_plain_new(day.worker, fd);

	(void)l;
	assert_non_null(conn);
	tcp_service_take(day.service, conn);
}

static void door_over(void)
{
	if (day.drained && day.stopped)
		sim_stop(day.world);
}

static void door_drained(void *owner)
{
	(void)owner;
	day.drained = true;
	door_over();
}

static void door_stopped(struct net_listener *l)
{
	(void)l;
	day.stopped = true;
	door_over();
}

static void door_stop(struct io_loop *loop, struct io_msg *msg)
{
	(void)loop;
	(void)msg;
	net_listener_stop(&day.door, door_stopped);
	tcp_service_drain(day.service, door_drained, NULL);
}

static void service_open(void)
{
	static const struct net_listener_events events = {.accepted = door_accepted,
							  .starved = nobody_idle};
	struct tcp_config *c = &day.config;
	int fd;

	c->name = STR("test");
	c->upstream = &day.groups[0];
	c->group = group_any(0, "main");
	if (forced[1] != MANNERS || one_in(3)) {
		c->mirror = &day.groups[1];
		c->mirror_group = group_any(1, "copy");
	}
	c->idle_timeout_ms = 600000;
	c->lifetime_max_ms = day.weather == STORMY && one_in(4) ? 1 + draw(3000) : 0;
	c->bytes_per_s = one_in(4) ? 20000 + draw(1000000) : 0;
	c->never_splice = one_in(4);
	day.service = tcp_service_new(c, day.worker);
	assert_non_null(day.service);
	day.service->chance.state = sim_random(day.world, UINT64_MAX);
	day.addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
	fd = sim_listen(day.world, (struct sockaddr *)&day.addr, sizeof(day.addr), 16);
	assert_int_equal(net_listener_start(&day.door, day.worker, fd, &events, NULL), 0);
}

/* Everything that was taken was given back. */
static void status_check(void)
{
	const struct upstream_group_status *groups;
	struct arena arena;
	unsigned count;

	arena_init(&arena, 0);
	assert_int_equal(upstream_status(day.registry, &arena, &groups, &count), 0);
	for (unsigned g = 0; g < count; g++) {
		assert_int_equal(groups[g].active, 0);
		assert_int_equal(groups[g].queued, 0);
		for (unsigned i = 0; i < groups[g].server_count; i++)
			assert_int_equal(groups[g].servers[i].active, 0);
		sum.retries += groups[g].retries;
		sum.refused += groups[g].refused;
	}
	arena_free(&arena);
	assert_int_equal(atomic_load(&tcp_service_counts(day.service)->active), 0);
}

static void talks_check(void)
{
	for (unsigned i = 1; i <= day.talk_count; i++) {
		const struct talk *t = &day.talks[i];
		bool whole = t->client.end == PULL_END && t->server_end == PULL_END;

		if (whole)
			sum.whole++;
		else
			sum.cut++;
		if (!whole && day.weather != STORMY)
			fail_msg("%u was cut: %zu of %zu bytes there, %zu of %zu back", t->id,
				 t->at_server, t->total[CLIENT], t->client.received,
				 t->total[SERVER]);
	}
}

static void day_end(void)
{
	enum sim_end end = sim_run(day.world, RUN_NS);

	if (end != SIM_STOPPED)
		fail_msg("%s with %u who talk", sim_end_text(end), day.talking);
	status_check();
	tcp_service_free(day.service);
	upstream_group_unref(day.config.group);
	upstream_group_unref(day.config.mirror_group);
	upstream_registry_stop(day.registry);
	day.servers_stop.run = servers_stop;
	io_post(day.outside, &day.servers_stop);
	end = sim_run(day.world, RUN_NS);
	if (end != SIM_DEADLOCK)
		fail_msg("%s when all was stopped", sim_end_text(end));
	assert_int_equal(day.peers, 0);
	talks_check();
	upstream_registry_free(day.registry);
	io_loop_free(day.worker);
	io_loop_free(day.main);
	io_loop_free(day.outside);
	sim_test_world_free(day.world);
	pipe_pool_close();
	for (const struct slab *s = slab_first(); s; s = s->next)
		if (s->used)
			fail_msg("%u of \"%s\" are left", s->used, s->name);
}

static void day_run(uint64_t seed, enum weather weather)
{
	struct sim_options o = {.seed = seed};

	sim_faults_pick(seed, &o.faults);
	if (weather != STORMY) {
		o.faults.reset = o.faults.refuse = o.faults.accept_abort = o.faults.no_bufs = 0;
		o.delay_max_ns = 20 * CLOCK_NS_PER_MS;
	}
	o.send_bytes = 256u << (seed % 11);
	o.recv_bytes = 256u << (seed / 11 % 11);
	memset(&day, 0, sizeof(day));
	day.weather = weather;
	day.world = sim_test_world(&o);
	day.main = sim_test_loop(day.world);
	day.worker = sim_test_loop(day.world);
	day.outside = sim_test_loop(day.world);
	day.registry = upstream_registry_new(day.main, NULL);
	assert_non_null(day.registry);
	day.registry->checks.chance.state = seed;
	day.stop.run = door_stop;
	service_open();
	day.talk_count = 1 + draw(TALKS_MAX);
	for (unsigned i = 1; i <= day.talk_count; i++)
		talk_start(&day.talks[i]);
	day_end();
}

static void calm_day(uint64_t seed)
{
	day_run(seed, CALM);
}

static void steady_day(uint64_t seed)
{
	day_run(seed, STEADY);
}

static void stormy_day(uint64_t seed)
{
	day_run(seed, STORMY);
}

static bool all_seeds(void)
{
	memset(&sum, 0, sizeof(sum));
	return !getenv("SLUICE_SIM_SEED") && !getenv("SLUICE_SIM_RUNS");
}

static void test_with_good_servers_everybody_is_heard(void **state)
{
	bool all = all_seeds();

	sim_each_seed(100, calm_day);
	if (all)
		assert_true(sum.whole > 300 && sum.mirrored > 20);
}

static void test_who_refuses_is_passed_over(void **state)
{
	bool all = all_seeds();

	sim_each_seed(100, steady_day);
	if (all)
		assert_true(sum.whole > 300 && sum.retries > 20);
}

static void test_what_is_heard_is_whole_or_cut(void **state)
{
	bool all = all_seeds();

	sim_each_seed(200, stormy_day);
	if (all)
		assert_true(sum.whole > 50 && sum.cut > 200 && sum.retries > 50 &&
			    sum.refused > 20);
}

/* Not even when it is told to end. */
static void test_a_mirror_that_reads_nothing_holds_nobody(void **state)
{
	forced[1] = FULL;
	sim_each_seed(50, calm_day);
	forced[1] = MANNERS;
}

/* What the client has said by then goes from try to try, and in the end with it. */
static void test_nobody_takes_what_was_said(void **state)
{
	all_seeds();
	forced[0] = REFUSES;
	sim_each_seed(50, stormy_day);
	forced[0] = MANNERS;
	assert_int_equal(sum.whole, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_with_good_servers_everybody_is_heard),
		sim_test(test_who_refuses_is_passed_over),
		sim_test(test_what_is_heard_is_whole_or_cut),
		sim_test(test_a_mirror_that_reads_nothing_holds_nobody),
		sim_test(test_nobody_takes_what_was_said),
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 3 + i / 251);
	log_setup(2, getenv("SLUICE_SIM_LOG") ? LOG_DEBUG : LOG_OFF, LOG_TEXT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
