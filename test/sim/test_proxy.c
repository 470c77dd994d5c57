// SPDX-License-Identifier: Apache-2.0

/*
 * The proxy with its group of servers, fallback and mirror in one world: clients that dawdle and leave, servers that
 * refuse, hang, lie and die, a network that breaks, an administrator who cannot leave it alone. Every answer is right,
 * and the answer to that request, or visibly cut; nothing that must not be repeated is; nothing is left behind.
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/slab.h"
#include "handler/proxy/state.h"
#include "http/server.h"
#include "http_client.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/pipe.h"
#include "origin.h"
#include "upstream/keeper.h"

#define CLIENTS_MAX 8
#define WORKERS_MAX 2
#define SERVERS_MAX 4
#define RUN_NS (3 * 3600 * CLOCK_NS_PER_S)
#define SMALL_BYTES 3000
#define PATIENCE_MS 2500
#define MEDDLE_MS 400

enum weather {
	CALM, /* all servers are good: everything is answered */
	STEADY, /* one server is good, and the group may try the others in vain: what may be repeated is answered */
	STORMY, /* anything */
};
/* What the proxy asks for a route: the first is its group, the others fall back and mirror. */
enum { GROUP_MAIN, GROUP_SPARE, GROUP_COPY, GROUPS };

struct door {
	struct io_loop *loop;
	struct net_listener listener;
	struct http_worker worker;
	struct io_msg stop;
	bool drained, stopped;
};

static struct {
	struct sim *world;
	struct io_loop *main, *clients, *servers;
	struct sockaddr_in addr;
	struct upstream_registry *registry;
	struct upstream_config groups[GROUPS];
	struct upstream_server_config configs[GROUPS][SERVERS_MAX];
	char names[GROUPS][SERVERS_MAX][32];
	struct origin origins[GROUPS][SERVERS_MAX];
	struct origin_book book;
	struct proxy_config proxy;
	struct http_config *http;
	struct door doors[WORKERS_MAX];
	unsigned door_count, running, asks;
	struct io_timer meddle;
	struct io_msg origins_stop;
	enum weather weather;
	bool twice;     /* a server gives two answers */
	bool connected; /* STEADY: bad servers are those that refuse, and no request reaches them */
} day;

/* Of all runs. */
static struct {
	unsigned statuses[600], cuts, informed, shown[ORIGIN_MANNERS];
	uint64_t retries, refused, fallbacks, mirrored, reused;
} sum;

/* Chance of the seed. */
static unsigned draw(unsigned n)
{
	return (unsigned)sim_random(day.world, n);
}

static bool one_in(unsigned n)
{
	return draw(n) == 0;
}

/* The worker's side. */

/* So that a run hangs on its seed alone. */
static void *seeded_attach(const void *config, struct http_worker *worker)
{
	struct proxy *proxy = proxy_handler.attach(config, worker);

	assert_non_null(proxy);
	proxy->random = sim_random(day.world, UINT64_MAX);
	return proxy;
}

static void door_over(void)
{
	for (unsigned i = 0; i < day.door_count; i++)
		if (!day.doors[i].drained || !day.doors[i].stopped)
			return;
	sim_stop(day.world);
}

static void door_drained(struct http_worker *w)
{
	SL_CONTAINER(w, struct door, worker)->drained = true;
	door_over();
}

static void door_stopped(struct net_listener *l)
{
	SL_CONTAINER(l, struct door, listener)->stopped = true;
	door_over();
}

static void door_stop(struct io_loop *loop, struct io_msg *msg)
{
	struct door *d = SL_CONTAINER(msg, struct door, stop);

	(void)loop;
	net_listener_stop(&d->listener, door_stopped);
	http_worker_drain(&d->worker);
}

static void door_accepted(struct net_listener *l, int fd)
{
	struct door *d = SL_CONTAINER(l, struct door, listener);
	struct conn *conn = conn_plain_new(d->loop, fd);

	assert_non_null(conn);
	http_worker_serve(&d->worker, conn, 0);
}

static bool door_starved(struct net_listener *l)
{
	return http_worker_close_idle(&SL_CONTAINER(l, struct door, listener)->worker);
}

static void door_open(struct door *d)
{
	static const struct net_listener_events events = {.accepted = door_accepted,
							  .starved = door_starved};
	int fd;

	*d = (struct door){.loop = sim_test_loop(day.world)};
	assert_int_equal(http_worker_init(&d->worker, d->loop, day.http), 0);
	d->worker.drained = door_drained;
	d->stop.run = door_stop;
	fd = sim_listen(day.world, (struct sockaddr *)&day.addr, sizeof(day.addr), 16);
	assert_int_equal(net_listener_start(&d->listener, d->loop, fd, &events, NULL), 0);
}

static void http_open(void)
{
	static struct handler_ops seeded;
	struct http_route route = {.path = STR("/"),
				   .handler = &seeded,
				   .config = &day.proxy,
				   .body_max = ORIGIN_BODY_MAX};
	struct http_site *site = NULL;
	struct http_route *made;

	seeded = proxy_handler;
	seeded.attach = seeded_attach;
	day.http = http_config_new(1);
	assert_non_null(day.http);
	assert_int_equal(http_router_site(day.http, 0, STR("*"), &site), 0);
	assert_int_equal(http_router_route(day.http, site, &route, &made), 0);
	day.addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
	day.door_count = 1 + draw(WORKERS_MAX);
	for (unsigned i = 0; i < day.door_count; i++)
		door_open(&day.doors[i]);
}

/* Groups. */

static enum origin_manner manner_any(unsigned group, unsigned server)
{
	static const enum origin_manner steady[] = {
		ORIGIN_REFUSES, ORIGIN_FULL, ORIGIN_CUTS_REQUEST, ORIGIN_CUTS_HEAD, ORIGIN_LEAVES,
		ORIGIN_FLAPS,   ORIGIN_BUSY, ORIGIN_SILENT,       ORIGIN_LATE,
	};

	/* Nobody waits for a mirror: it may be as bad as it likes. */
	if (day.weather == STORMY || group == GROUP_COPY)
		return (enum origin_manner)draw(ORIGIN_MANNERS);
	if (day.weather == CALM || server == 0)
		return ORIGIN_GOOD;
	if (day.connected)
		return one_in(3) ? ORIGIN_GOOD : ORIGIN_REFUSES;
	return steady[draw(SL_ARRAY_SIZE(steady))];
}

static void origin_any(unsigned group, unsigned server)
{
	struct origin *o = &day.origins[group][server];

	*o = (struct origin){
		.world = day.world,
		.loop = day.servers,
		.book = &day.book,
		.manner = manner_any(group, server),
		.permille = one_in(2) ? 1000 : 1 + draw(1000),
		.patience_ms = PATIENCE_MS,
		.mirror = group == GROUP_COPY,
		.slow = one_in(5),
		.hard = day.weather == STORMY && one_in(2),
		.port = (uint16_t)(1000 + group * 100 + server),
	};
	if (o->manner == ORIGIN_TWICE && group != GROUP_COPY)
		day.twice = true;
	origin_open(o);
}

static void server_any(unsigned group, unsigned server)
{
	struct upstream_server_config *s = &day.configs[group][server];
	char *name = day.names[group][server], why[128];

	origin_any(group, server);
	snprintf(name, 32, "127.0.0.1:%u", day.origins[group][server].port);
	assert_int_equal(upstream_server_parse(str_from(name), s, why, sizeof(why)), 0);
	/* In the world nobody has an address of his own. */
	((struct sockaddr_in *)&s->addr.u)->sin_addr.s_addr = INADDR_ANY;
	s->weight = 1 + draw(5);
	s->backup = one_in(5);
	if (day.weather != STEADY && one_in(4))
		s->max_conns = 1 + draw(3);
}

static void breaker_any(struct upstream_breaker_config *b)
{
	*b = (struct upstream_breaker_config){
		.error_percent = one_in(2) ? 50 : 0,
		.requests_min = 3,
		.window_ms = 5000,
		.consecutive = draw(4),
		.slow_ms = day.weather == STORMY && one_in(2) ? 150 : 0,
		.slow_percent = 50,
		.open_ms = 1 + draw(1000),
		.probes = 1 + draw(3),
	};
}

static void guards_any(struct upstream_config *c)
{
	if (one_in(2))
		c->outlier = (struct upstream_outlier){0};
	else
		c->outlier.consecutive = 1 + draw(4);
	c->outlier.eject_ms = 1 + draw(3000);
	if (one_in(2))
		breaker_any(&c->breaker);
	if (day.weather == STORMY && one_in(3))
		breaker_any(&c->group_breaker);
	if (one_in(3)) {
		c->health.on = true;
		c->health.http = one_in(2);
		c->health.path = STR("/0/0/5/0");
		c->health.every_ms = 300 + draw(2000);
		c->health.timeout_ms = 1500;
	}
}

static void retries_any(struct upstream_config *c)
{
	c->retry.backoff_ms = draw(50);
	if (day.weather == STEADY) {
		c->retry.max = SERVERS_MAX;
		c->retry.on = 127;
		c->retry.budget_percent = 100 * SERVERS_MAX;
		return;
	}
	c->retry.max = draw(4);
	c->retry.on = draw(128);
	c->retry.budget_percent = draw(200);
}

static void group_any(unsigned group, const char *name)
{
	struct upstream_config *c = &day.groups[group];

	upstream_config_init(c);
	c->name = str_from(name);
	c->servers = day.configs[group];
	c->server_count = 1 + draw(SERVERS_MAX);
	for (unsigned i = 0; i < c->server_count; i++)
		server_any(group, i);
	c->balance = (enum upstream_balance)draw(UPSTREAM_CONSISTENT + 1);
	c->key = one_in(2) ? UPSTREAM_KEY_URI : UPSTREAM_KEY_ADDRESS;
	c->load_max_percent = one_in(2) ? 125 : 0;
	if (one_in(4))
		c->sticky_cookie = STR("server");
	if (one_in(4))
		c->slow_start_ms = 1000;
	guards_any(c);
	retries_any(c);
	if (one_in(2))
		c->keepalive.idle_max = draw(3);
	if (one_in(2))
		c->keepalive.idle_timeout_ms = 1 + draw(100);
	if (one_in(4))
		c->keepalive.requests_max = 1 + draw(3);
	if (day.weather == CALM) {
		c->queue_timeout_ms = 600000;
		return;
	}
	c->timeouts = (struct upstream_timeouts){1000, 1500, 1500, 0};
	if (day.weather == STEADY)
		return;
	c->queue_max = draw(4);
	c->queue_timeout_ms = 1 + draw(1000);
	c->requests_max = one_in(4) ? 1 + draw(4) : 0;
	c->timeouts.total_ms = one_in(3) ? 1 + draw(4000) : 0;
}

static struct upstream_group *group_join(unsigned group, const char *name)
{
	struct upstream_group *g;

	group_any(group, name);
	g = upstream_group_join(day.registry, &day.groups[group]);
	assert_non_null(g);
	return g;
}

static void proxy_any(void)
{
	struct proxy_config *p = &day.proxy;

	p->upstream = &day.groups[GROUP_MAIN];
	p->group = group_join(GROUP_MAIN, "main");
	p->total_timeout_ms = UINT32_MAX;
	p->no_via = one_in(2);
	p->fallback = (enum proxy_fallback)draw(PROXY_FALLBACK_RESPOND + 1);
	if (p->fallback == PROXY_FALLBACK_FILE)
		p->fallback = PROXY_FALLBACK_NONE;
	p->fallback_respond = (struct respond_config){.status = 203, .body = STR("later\n")};
	if (p->fallback == PROXY_FALLBACK_GROUP) {
		p->fallback_upstream = &day.groups[GROUP_SPARE];
		p->fallback_group = group_join(GROUP_SPARE, "spare");
	}
	if (one_in(3)) {
		p->mirror = &day.groups[GROUP_COPY];
		p->mirror_group = group_join(GROUP_COPY, "copy");
		p->mirror_permille = 1 + draw(1000);
		p->mirror_body_max = draw(2) ? ORIGIN_BODY_MAX : SMALL_BYTES / 2;
	}
}

/* The administrator. On calm and steady days he lets the first server of each group alone. */

static void meddle(struct io_timer *t)
{
	static const enum upstream_change changes[] = {UPSTREAM_DRAIN, UPSTREAM_UNDRAIN,
						       UPSTREAM_WEIGHT, UPSTREAM_REMOVE};
	unsigned group = draw(GROUPS), first = day.weather != STORMY;
	struct upstream_group *all[GROUPS] = {day.proxy.group, day.proxy.fallback_group,
					      day.proxy.mirror_group};
	const struct upstream_config *c = &day.groups[group];
	char why[200];

	if (all[group] && one_in(4)) {
		assert_int_equal(upstream_group_adopt(all[group], c), 0);
	} else if (all[group] && c->server_count > first) {
		unsigned server = first + draw(c->server_count - first);

		(void)upstream_change(day.registry, c->name, c->servers[server].text,
				      changes[draw(SL_ARRAY_SIZE(changes))], 1 + draw(9), why,
				      sizeof(why));
	}
	io_timer_set(day.main, t, 1 + draw(MEDDLE_MS));
}

/* The end. */

static void origins_stop(struct io_loop *loop, struct io_msg *msg)
{
	(void)loop;
	(void)msg;
	for (unsigned g = 0; g < GROUPS; g++)
		for (unsigned i = 0; i < day.groups[g].server_count; i++)
			origin_stop(&day.origins[g][i]);
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
		for (unsigned i = 0; i < groups[g].server_count; i++) {
			assert_int_equal(groups[g].servers[i].active, 0);
			sum.reused += groups[g].servers[i].reused;
		}
		sum.retries += groups[g].retries;
		sum.refused += groups[g].refused;
		sum.fallbacks += groups[g].fallbacks;
		sum.mirrored += groups[g].mirrored;
	}
	arena_free(&arena);
}

static void pools_check(void)
{
	for (const struct slab *s = slab_first(); s; s = s->next)
		if (s->used)
			fail_msg("%u of \"%s\" are left", s->used, s->name);
}

static void day_end(void)
{
	enum sim_end end = sim_run(day.world, RUN_NS);

	if (end != SIM_STOPPED)
		fail_msg("%s with %u clients, %u and %u connections", sim_end_text(end),
			 day.running, day.doors[0].worker.connections,
			 day.doors[1].worker.connections);
	io_timer_stop(&day.meddle);
	for (unsigned i = 0; i < day.door_count; i++)
		http_worker_free(&day.doors[i].worker);
	http_config_unref(day.http);
	status_check();
	upstream_group_unref(day.proxy.group);
	upstream_group_unref(day.proxy.fallback_group);
	upstream_group_unref(day.proxy.mirror_group);
	upstream_registry_stop(day.registry);
	day.origins_stop.run = origins_stop;
	io_post(day.servers, &day.origins_stop);
	end = sim_run(day.world, RUN_NS);
	if (end != SIM_DEADLOCK)
		fail_msg("%s when all was stopped", sim_end_text(end));
	upstream_registry_free(day.registry);
	for (unsigned i = 0; i < day.door_count; i++)
		io_loop_free(day.doors[i].loop);
	io_loop_free(day.main);
	io_loop_free(day.clients);
	io_loop_free(day.servers);
	sim_test_world_free(day.world);
	for (unsigned i = 0; i < ORIGIN_MANNERS; i++)
		sum.shown[i] += day.book.shown[i];
}

/* Clients. */

static bool status_is_honest(unsigned status)
{
	switch (status) {
	case 200:
	case 203:
	case 204:
	case 400: /* its body broke off */
	case 408:
	case 413:
	case 502:
	case 503:
	case 504:
		return true;
	default:
		return false;
	}
}

/* Whether it must have been answered by a server. */
static bool ask_is_safe(const struct ask *ask)
{
	if (day.weather == CALM || day.connected)
		return true;
	return memcmp(ask->text, "GET ", 4) == 0 || memcmp(ask->text, "HEAD ", 5) == 0;
}

static bool ask_was_served(const struct client *c, unsigned i)
{
	return c->status[i] == 200 || c->status[i] == 204;
}

static void client_was_served(const struct client *c)
{
	unsigned served = 0;

	while (served < c->answered &&
	       (ask_was_served(c, served) || !ask_is_safe(&c->asks[served])))
		served++;
	/* After an answer that came before its request was read the connection may end. */
	if (served == c->ask_count ||
	    (served && served == c->answered && !c->failed && !ask_was_served(c, served - 1)))
		return;
	fail_msg("%u of %u were served, %u answered; %u for %.*s", served, c->ask_count,
		 c->answered, c->status[served], (int)strcspn(c->asks[served].text, "\r"),
		 c->asks[served].text);
}

static void client_over(struct client *c)
{
	for (unsigned i = 0; i < c->answered; i++) {
		if (!status_is_honest(c->status[i]))
			fail_msg("%u for %.*s", c->status[i], (int)strcspn(c->asks[i].text, "\r"),
				 c->asks[i].text);
		sum.statuses[c->status[i]]++;
	}
	sum.cuts += c->failed || c->cut;
	sum.informed += c->informed;
	if (day.weather != STORMY && c->manner <= CLIENT_HALF)
		client_was_served(c);
	for (unsigned i = 0; i < c->ask_count; i++)
		free((char *)(uintptr_t)c->asks[i].text);
	client_free(c);
	if (--day.running)
		return;
	for (unsigned i = 0; i < day.door_count; i++)
		io_post(day.doors[i].loop, &day.doors[i].stop);
}

static void print_upload(FILE *f, const uint8_t *body, unsigned len, bool chunked)
{
	if (!chunked) {
		fprintf(f, "Content-Length: %u\r\n\r\n", len);
		fwrite(body, 1, len, f);
		return;
	}
	fputs("Transfer-Encoding: chunked\r\n\r\n", f);
	for (unsigned at = 0; at < len;) {
		unsigned n = 1 + draw(SL_MIN(len - at, 5000u));

		fprintf(f, "%x\r\n", n);
		fwrite(body + at, 1, n, f);
		fputs("\r\n", f);
		at += n;
	}
	fputs("0\r\n\r\n", f);
}

static unsigned length_any(enum client_manner manner)
{
	if (one_in(6))
		return 0;
	/* Byte by byte it would take an hour. */
	return draw(one_in(6) && manner != CLIENT_BYTES ? ORIGIN_BODY_MAX : SMALL_BYTES);
}

static const struct verb {
	const char *name;
	bool upload, unsafe;
} verbs[] = {
	{"GET", false, false}, {"GET", false, false},    {"HEAD", false, false},
	{"PUT", true, false},  {"DELETE", false, false}, {"POST", true, true},
	{"POST", true, true},  {"PATCH", true, true},
};

static void ask_any(struct client *c, bool last)
{
	const struct verb *verb = &verbs[draw(SL_ARRAY_SIZE(verbs))];
	enum origin_form form = (enum origin_form)draw(ORIGIN_FORMS);
	bool old = last && one_in(3), chunked = !old && one_in(2);
	unsigned upload = verb->upload ? length_any(c->manner) : 0;
	struct ask ask = {.id = ++day.asks, .last = last, .surplus = day.twice};
	char *text;
	FILE *f = open_memstream(&text, &ask.text_len);

	assert_non_null(f);
	day.book.notes[ask.id].unsafe = verb->unsafe;
	ask.head = verb->name[0] == 'H';
	ask.body = origin_answer(ask.id);
	ask.body_len = length_any(CLIENT_PLAIN);
	fprintf(f, "%s /%u/%u/%u/%u HTTP/1.%d\r\nHost: a\r\n%s", verb->name, ask.id, (unsigned)form,
		(unsigned)ask.body_len, upload, !old, last && !old ? "Connection: close\r\n" : "");
	if (form == ORIGIN_NOTHING)
		ask.body_len = 0;
	if (verb->upload && !old && one_in(4))
		fputs("Expect: 100-continue\r\n", f);
	if (verb->upload)
		print_upload(f, origin_upload(ask.id), upload, chunked);
	else
		fputs("\r\n", f);
	fclose(f);
	ask.text = text;
	client_add(c, &ask);
}

static void client_any(void)
{
	struct client *c = calloc(1, sizeof(*c));
	unsigned count = draw(CLIENT_ASKS_MAX);

	assert_non_null(c);
	c->world = day.world;
	c->loop = day.clients;
	c->manner = one_in(2) ? CLIENT_PLAIN : (enum client_manner)draw(CLIENT_MANNERS);
	c->over = client_over;
	day.running++;
	for (unsigned i = 0; i < count; i++)
		ask_any(c, false);
	if (!count || one_in(2))
		ask_any(c, true);
	client_start(c, (struct sockaddr *)&day.addr, sizeof(day.addr));
}

/* Days. */

static unsigned fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

static void day_run(const struct sim_options *o, enum weather weather)
{
	unsigned before = fds_open();

	memset(&day, 0, sizeof(day));
	day.world = sim_test_world(o);
	day.weather = weather;
	day.connected = weather == STEADY && one_in(3);
	day.main = sim_test_loop(day.world);
	day.clients = sim_test_loop(day.world);
	day.servers = sim_test_loop(day.world);
	day.registry = upstream_registry_new(day.main, NULL);
	assert_non_null(day.registry);
	day.registry->checks.chance.state = o->seed;
	proxy_any();
	http_open();
	day.meddle.fire = meddle;
	if (one_in(3))
		io_timer_set(day.main, &day.meddle, draw(MEDDLE_MS));
	for (unsigned n = 1 + draw(CLIENTS_MAX); n; n--)
		client_any();
	day_end();
	pipe_pool_close();
	pools_check();
	assert_int_equal(fds_open(), before);
}

/* What a network does that loses nothing. */
static void options_of(uint64_t seed, struct sim_options *o)
{
	*o = (struct sim_options){.seed = seed};
	o->send_bytes = 64u << (seed % 11);
	o->recv_bytes = 64u << (seed / 11 % 11);
	if (seed % 2) {
		o->faults = (struct sim_faults){.short_read = 50,
						.short_write = 50,
						.split = 100,
						.delay = 50,
						.again = 50,
						.cancel_race = 500,
						.reorder = 500};
		o->delay_max_ns = 5 * CLOCK_NS_PER_MS;
	}
}

static void calm_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	day_run(&o, CALM);
}

static void steady_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	day_run(&o, STEADY);
}

static void stormy_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	sim_faults_pick(seed, &o.faults);
	o.delay_max_ns = 0;
	day_run(&o, STORMY);
}

static bool all_seeds(void)
{
	memset(&sum, 0, sizeof(sum));
	return !getenv("SLUICE_SIM_SEED") && !getenv("SLUICE_SIM_RUNS");
}

static void test_with_good_servers_everything_is_answered(void **state)
{
	bool all = all_seeds();

	(void)state;
	sim_each_seed(100, calm_day);
	if (!all)
		return;
	assert_true(sum.statuses[200] > 500 && sum.statuses[204] > 50);
	assert_true(sum.reused > 200 && sum.mirrored > 50 && sum.informed > 50);
}

static void test_with_one_good_server_what_can_be_repeated_is_answered(void **state)
{
	bool all = all_seeds();

	(void)state;
	sim_each_seed(150, steady_day);
	if (all)
		assert_true(sum.statuses[200] > 500 && sum.retries > 200);
}

static void test_every_answer_is_its_own_or_visibly_cut(void **state)
{
	bool all = all_seeds();

	(void)state;
	sim_each_seed(250, stormy_day);
	if (!all)
		return;
	assert_true(sum.statuses[200] > 300 && sum.statuses[502] && sum.statuses[503] &&
		    sum.statuses[504] && sum.statuses[203] && sum.statuses[413]);
	assert_true(sum.cuts > 100 && sum.retries > 50 && sum.refused > 50);
	assert_true(sum.fallbacks > 20 && sum.mirrored > 50);
	for (unsigned i = 0; i < ORIGIN_MANNERS; i++)
		if (!sum.shown[i] && i != ORIGIN_REFUSES && i != ORIGIN_FULL)
			fail_msg("no server %s", origin_manner_name((enum origin_manner)i));
}

static int group_setup(void **state)
{
	(void)state;
	log_setup(STDERR_FILENO, getenv("SLUICE_SIM_LOG") ? LOG_DEBUG : LOG_OFF, LOG_TEXT);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_with_good_servers_everything_is_answered),
		sim_test(test_with_one_good_server_what_can_be_repeated_is_answered),
		sim_test(test_every_answer_is_its_own_or_visibly_cut),
	};

	return cmocka_run_group_tests(tests, group_setup, NULL);
}
