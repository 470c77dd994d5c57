// SPDX-License-Identifier: Apache-2.0

/*
 * The HTTP/1 server with its files on bad days: clients that dawdle, break off and never listen, a network that cuts,
 * a disk that fails. Every answer is right or visibly cut, and nothing is left behind.
 */

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "handler/files.h"
#include "http/server.h"
#include "http_client.h"
#include "net/conn.h"
#include "net/listener.h"

#define CLIENTS_MAX 6
#define RUN_NS (24 * 3600 * CLOCK_NS_PER_S)
#define DRIP_BYTES 20000u
#define BIG_BYTES 300000u
#define DRIP_PAUSE_MS 50

static uint8_t pattern[BIG_BYTES];
static char folder[] = "/tmp/sluice-sim-XXXXXX";

struct web {
	struct sim *world;
	struct io_loop *server, *clients;
	struct sockaddr_in addr;
	struct net_listener listener;
	struct http_worker worker;
	struct http_config *config;
	struct files_config files;
	struct io_msg stop;
	unsigned running;
	bool drained, stopped, calm;
};
static struct web *web; /* the one of this run, for handlers */

/* Of all runs: answers by status, and connections that were cut. */
static unsigned statuses[600], cuts, opened, closed;

/* A handler whose body drips from a source, and may fail on the way. */

struct drip_config {
	bool known; /* Content-Length, else chunked */
	int error;  /* in the middle of the body; 0: none */
	bool ends;  /* in the middle, as if that were all */
	bool reads; /* the body of its request meanwhile, as far as it has come */
};

struct drip {
	struct source source;
	struct io_timer timer;
	const struct drip_config *config;
	size_t at;
};

static void drip_wake(struct io_timer *t)
{
	source_wake(&SL_CONTAINER(t, struct drip, timer)->source);
}

static enum pull drip_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct drip *d = SL_CONTAINER(source, struct drip, source);
	size_t n = SL_MIN(want, 1 + sim_random(web->world, 3000));

	(void)kinds;
	if (d->at >= DRIP_BYTES / 2 && d->config->error) {
		source->error = d->config->error;
		return PULL_FAIL;
	}
	if (d->at == DRIP_BYTES || (d->at >= DRIP_BYTES / 2 && d->config->ends))
		return PULL_END;
	if (sim_random(web->world, 3) == 0) {
		d->timer.fire = drip_wake;
		io_timer_set(web->server, &d->timer, sim_random(web->world, DRIP_PAUSE_MS));
		return PULL_WAIT;
	}
	n = SL_MIN(n, DRIP_BYTES - d->at);
	*out = seg_mem(pattern + d->at, n, NULL);
	d->at += n;
	return PULL_DATA;
}

static void drip_close(struct source *source, int why)
{
	(void)why;
	io_timer_stop(&SL_CONTAINER(source, struct drip, source)->timer);
}

static const struct source_ops drip_ops = {.pull = drip_pull, .close = drip_close};

static void *config_attach(const void *config, struct http_worker *worker)
{
	(void)worker;
	return (void *)(uintptr_t)config;
}

static void drip_read(struct source *body, void *consumer)
{
	struct seg s;

	(void)consumer;
	while (source_pull(body, 1000, SEG_MEM, &s) == PULL_DATA)
		seg_release(&s);
}

static int drip_open(void *state, struct http_stream *s)
{
	const struct drip_config *config = state;
	struct http_head head = {.status = 200,
				 .content_length = config->known ? (int64_t)DRIP_BYTES : -1};
	struct drip *d = arena_zalloc(s->arena, sizeof(*d));

	opened++;
	assert_non_null(d);
	d->source.ops = &drip_ops;
	d->config = config;
	if (config->reads && s->request_body) {
		s->request_body->wake = drip_read;
		drip_read(s->request_body, d);
	}
	return http_respond(s, &head, &d->source);
}

static void count_close(struct http_stream *s, int why)
{
	(void)s;
	(void)why;
	closed++;
}

static const struct handler_ops drip_handler = {
	.name = "drip", .attach = config_attach, .open = drip_open, .on_close = count_close};

/* A handler that reads the request's body, thinks, and answers how much it was. */

struct sum {
	struct http_stream *stream;
	struct io_timer timer;
	uint64_t bytes, total;
	bool answered;
};

static void sum_answer(struct io_timer *t)
{
	struct sum *sum = SL_CONTAINER(t, struct sum, timer);
	char text[64];
	int n = snprintf(text, sizeof(text), "%u of %u\n", (unsigned)sum->total,
			 (unsigned)sum->bytes);

	sum->answered = true;
	http_respond_text(sum->stream, 200, STR("text/plain"), (struct str){text, (size_t)n});
}

static void sum_read(struct sum *sum)
{
	struct source *body = sum->stream->request_body;
	struct seg s;

	for (;;) {
		switch (source_pull(body, 1 + sim_random(web->world, 100), SEG_MEM, &s)) {
		case PULL_DATA:
			for (size_t i = 0; i < s.len; i++)
				sum->total += s.u.mem[i];
			sum->bytes += s.len;
			seg_release(&s);
			continue;
		case PULL_WAIT:
			return;
		case PULL_END:
			sum->timer.fire = sum_answer;
			io_timer_set(web->server, &sum->timer, sim_random(web->world, 100));
			return;
		case PULL_FAIL:
			sum->answered = true;
			http_reset(sum->stream, HTTP_ERROR_CANCEL);
			return;
		}
	}
}

static void sum_woken(struct source *source, void *consumer)
{
	(void)source;
	sum_read(consumer);
}

static int sum_open(void *state, struct http_stream *s)
{
	struct sum *sum = arena_zalloc(s->arena, sizeof(*sum));

	(void)state;
	opened++;
	assert_non_null(sum);
	sum->stream = s;
	s->data = sum;
	assert_non_null(s->request_body);
	s->request_body->wake = sum_woken;
	s->request_body->consumer = sum;
	sum_read(sum);
	return 0;
}

static void sum_gone(struct http_stream *s)
{
	struct sum *sum = s->data;

	assert_false(sum->answered);
	io_timer_stop(&sum->timer);
	sum->answered = true;
	http_reset(s, HTTP_ERROR_CANCEL);
}

static void sum_close(struct http_stream *s, int why)
{
	struct sum *sum = s->data;

	(void)why;
	assert_true(sum->answered);
	assert_false(io_timer_armed(&sum->timer));
	closed++;
}

static const struct handler_ops sum_handler = {.name = "sum",
					       .attach = config_attach,
					       .open = sum_open,
					       .gone = sum_gone,
					       .on_close = sum_close};

/* What clients ask. */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_CLOSE(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
#define GET_10(path) "GET " path " HTTP/1.0\r\n\r\n"
#define POST(fields, body) "POST /sum HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body
#define TEXT(text) (const uint8_t *)(text), sizeof(text) - 1

/* Followed by others. */
static const struct ask asks[] = {
	{GET("/files/empty"), NULL, 0},
	{GET("/files/small"), NULL, 13},
	{GET("/files/medium"), NULL, 5000},
	{GET("/files/loaded"), NULL, 60000},
	{GET("/files/big"), NULL, BIG_BYTES},
	{"HEAD /files/big HTTP/1.1\r\nHost: a\r\n\r\n", NULL, BIG_BYTES, .head = true},
	{GET("/drip"), NULL, DRIP_BYTES},
	{GET("/drip-known"), NULL, DRIP_BYTES},
	{POST("Content-Length: 4\r\n", "abcd"), TEXT("394 of 4\n")},
	{POST("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"),
	 TEXT("394 of 4\n")},
};
/* These end the connection. */
static const struct ask last_asks[] = {
	{GET_CLOSE("/files/big"), NULL, BIG_BYTES, .last = true},
	{GET_CLOSE("/drip"), NULL, DRIP_BYTES, .last = true},
	{GET_10("/files/medium"), NULL, 5000, .last = true},
	{GET_10("/drip"), NULL, DRIP_BYTES, .last = true},
	{GET("/broken"), NULL, DRIP_BYTES, .last = true, .broken = true},
	{GET("/broken-known"), NULL, DRIP_BYTES, .last = true, .broken = true},
	{GET("/short"), NULL, DRIP_BYTES, .last = true, .broken = true},
	{GET_10("/broken"), NULL, DRIP_BYTES, .last = true, .broken = true},
};

/* The server. */

static void add_route(struct http_site *site, const char *path, const struct handler_ops *handler,
		      const void *config)
{
	const struct http_route route = {
		.path = str_from(path), .handler = handler, .config = config, .body_max = 1000};
	struct http_route *made;

	assert_int_equal(http_router_route(web->config, site, &route, &made), 0);
}

static void web_config(void)
{
	static const struct drip_config drip = {.reads = true}, known = {.known = true},
					broken = {.error = -EIO},
					broken_known = {.known = true, .error = -EIO},
					ends = {.known = true, .ends = true};
	struct http_site *site = NULL;

	web->config = http_config_new(1);
	assert_non_null(web->config);
	files_config_init(&web->files);
	web->files.root = str_from(folder);
	web->files.strip = STR("/files");
	web->files.cache.entries_max = 3;
	web->files.cache.revalidate_ms = 20;
	assert_int_equal(http_router_site(web->config, 0, STR("*"), &site), 0);
	add_route(site, "/files/", &files_handler, &web->files);
	add_route(site, "/drip", &drip_handler, &drip);
	add_route(site, "/drip-known", &drip_handler, &known);
	add_route(site, "/broken", &drip_handler, &broken);
	add_route(site, "/broken-known", &drip_handler, &broken_known);
	add_route(site, "/short", &drip_handler, &ends);
	add_route(site, "/sum", &sum_handler, &drip);
}

static void web_accepted(struct net_listener *l, int fd)
{
	struct conn *conn = conn_plain_new(web->server, fd);

	(void)l;
	assert_non_null(conn);
	http_worker_serve(&web->worker, conn, 0);
}

static bool web_starved(struct net_listener *l)
{
	(void)l;
	return http_worker_close_idle(&web->worker);
}

static const struct net_listener_events web_events = {.accepted = web_accepted,
						      .starved = web_starved};

static void web_over(void)
{
	if (web->drained && web->stopped)
		sim_stop(web->world);
}

static void web_drained(struct http_worker *w)
{
	(void)w;
	web->drained = true;
	web_over();
}

static void web_stopped(struct net_listener *l)
{
	(void)l;
	web->stopped = true;
	web_over();
}

static void web_stop(struct io_loop *loop, struct io_msg *msg)
{
	(void)loop;
	(void)msg;
	net_listener_stop(&web->listener, web_stopped);
	http_worker_drain(&web->worker);
}

static void web_open(const struct sim_options *o)
{
	static struct web place;
	int fd;

	opened = closed = 0;
	web = &place;
	*web = (struct web){.world = sim_test_world(o)};
	web->server = sim_test_loop(web->world);
	web->clients = sim_test_loop(web->world);
	web->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
	web_config();
	assert_int_equal(http_worker_init(&web->worker, web->server, web->config), 0);
	web->worker.drained = web_drained;
	fd = sim_listen(web->world, (struct sockaddr *)&web->addr, sizeof(web->addr), 16);
	assert_int_equal(net_listener_start(&web->listener, web->server, fd, &web_events, NULL), 0);
}

/* After all clients are over. */
static void web_close(void)
{
	enum sim_end end = sim_run(web->world, RUN_NS);

	if (end != SIM_STOPPED)
		fail_msg("%s with %u clients and %u connections", sim_end_text(end), web->running,
			 web->worker.connections);
	http_worker_free(&web->worker);
	http_config_unref(web->config);
	/* Reads of files that nobody waits for any more. */
	assert_int_equal(sim_run(web->world, RUN_NS), SIM_DEADLOCK);
	assert_int_equal(opened, closed);
	io_loop_free(web->server);
	io_loop_free(web->clients);
	sim_test_world_free(web->world);
}

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

/* Clients. */

static bool status_is_honest(unsigned status)
{
	return status == 200 || status == 403 || status == 404 || status == 408 || status == 500 ||
	       status == 503;
}

static void client_was_calm(const struct client *c)
{
	const struct ask *last = &c->asks[c->ask_count - 1];
	bool reset = last->broken && strstr(last->text, "HTTP/1.0");

	for (unsigned i = 0; i < c->answered; i++)
		assert_int_equal(c->status[i], 200);
	/*
	 * A broken body that only the connection's end would end is cut by a reset, which may take along earlier answers
	 * that have not left yet. Any other leaves them whole.
	 */
	assert_int_equal(c->failed, reset);
	if (reset)
		assert_in_range(c->answered, 0, c->ask_count - 1);
	else
		assert_int_equal(c->answered, c->ask_count - last->broken);
}

static void client_over(struct client *c)
{
	for (unsigned i = 0; i < c->answered; i++) {
		assert_true(status_is_honest(c->status[i]));
		statuses[c->status[i]]++;
	}
	cuts += c->failed;
	if (web->calm && c->manner <= CLIENT_HALF)
		client_was_calm(c);
	client_free(c);
	if (--web->running)
		return;
	web->stop.run = web_stop;
	io_post(web->server, &web->stop);
}

static struct client *client_new(enum client_manner manner)
{
	struct client *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->world = web->world;
	c->loop = web->clients;
	c->manner = manner;
	c->over = client_over;
	web->running++;
	return c;
}

static void client_go(struct client *c)
{
	client_start(c, (struct sockaddr *)&web->addr, sizeof(web->addr));
}

static void client_any(void)
{
	struct client *c = client_new(sim_random(web->world, CLIENT_MANNERS));
	unsigned count = (unsigned)sim_random(web->world, CLIENT_ASKS_MAX);

	for (unsigned i = 0; i < count; i++)
		client_add(c, &asks[sim_random(web->world, SL_ARRAY_SIZE(asks))]);
	if (!count || sim_random(web->world, 2))
		client_add(c, &last_asks[sim_random(web->world, SL_ARRAY_SIZE(last_asks))]);
	client_go(c);
}

static void web_run(const struct sim_options *o, bool calm)
{
	unsigned before = fds_open();

	web_open(o);
	web->calm = calm;
	for (uint64_t n = 1 + sim_random(web->world, CLIENTS_MAX); n; n--)
		client_any();
	web_close();
	assert_int_equal(fds_open(), before);
}

/* The next read of the big file finds it out of memory, where the file system can forget. */
static void forget_big(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/big", folder);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

static void options_of(uint64_t seed, struct sim_options *o)
{
	*o = (struct sim_options){.seed = seed};
	o->send_bytes = 64u << (seed % 11);
	o->recv_bytes = 64u << (seed / 11 % 11);
}

static void bad_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	sim_faults_pick(seed, &o.faults);
	if (seed % 4 == 0)
		forget_big();
	web_run(&o, false);
}

static bool all_seeds(void)
{
	return !getenv("SLUICE_SIM_SEED") && !getenv("SLUICE_SIM_RUNS");
}

static void test_every_answer_is_right_or_visibly_cut(void **state)
{
	(void)state;
	memset(statuses, 0, sizeof(statuses));
	cuts = 0;
	sim_each_seed(200, bad_day);
	if (!all_seeds())
		return;
	assert_in_range(statuses[200], 200, UINT32_MAX);
	assert_in_range(cuts, 50, UINT32_MAX);
	assert_true(statuses[403] && statuses[404] && statuses[408]);
}

static void good_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	web_run(&o, true);
}

static void test_without_faults_everything_is_answered(void **state)
{
	(void)state;
	memset(statuses, 0, sizeof(statuses));
	sim_each_seed(50, good_day);
	assert_int_equal(statuses[403] + statuses[404] + statuses[500] + statuses[503], 0);
}

/* Scripts. */

/* What became of the one client of a script, and when. */
static struct client told;
static uint64_t told_ns;

static void script_over(struct client *c)
{
	told = *c;
	told_ns = sim_now_ns(web->world);
	client_over(c);
}

static void script_open_in(const struct sim_options *o, const struct ask *ask,
			   enum client_manner manner)
{
	struct client *c;

	web_open(o);
	c = client_new(manner);
	c->over = script_over;
	client_add(c, ask);
	client_go(c);
}

static void script_open(const struct ask *ask, enum client_manner manner)
{
	const struct sim_options o = {.seed = 1};

	script_open_in(&o, ask, manner);
}

/* Although it said that it is the last request, and a reset would take the answer away. */
static void test_an_answer_before_the_end_of_its_request_arrives(void **state)
{
	/* The answer is on its way for long, and the client still sends. */
	const struct sim_options o = {.seed = 1, .recv_bytes = 64};
	char request[2000];
	const struct ask early = {request, NULL, DRIP_BYTES, .last = true};

	(void)state;
	snprintf(request, sizeof(request),
		 "POST /drip HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		 "Content-Length: 999\r\n\r\n%0999d",
		 0);
	script_open_in(&o, &early, CLIENT_BYTES);
	web_close();
	assert_int_equal(told.answered, 1);
	assert_int_equal(told.status[0], 200);
	assert_false(told.failed);
}

static const struct ask ask_big = {GET("/files/big"), NULL, BIG_BYTES};

static void test_a_disk_error_inside_a_body_cuts_it(void **state)
{
	(void)state;
	script_open(&ask_big, CLIENT_PLAIN);
	assert_int_equal(sim_fail(web->world, SIM_READ, 2, 1, EIO), 0);
	web_close();
	assert_int_equal(told.answered, 0);
	assert_true(told.in_len > 1000 && told.in_len < BIG_BYTES);
	assert_true(told.failed);
}

static void test_a_file_cut_inside_its_body_cuts_the_answer(void **state)
{
	(void)state;
	script_open(&ask_big, CLIENT_PLAIN);
	assert_int_equal(sim_fail(web->world, SIM_READ, 2, 1, 0), 0);
	web_close();
	assert_int_equal(told.answered, 0);
	assert_true(told.in_len > 1000 && told.in_len < BIG_BYTES);
	assert_true(told.failed);
}

static void test_a_file_that_cannot_be_opened_is_an_error(void **state)
{
	(void)state;
	script_open(&ask_big, CLIENT_PLAIN);
	assert_int_equal(sim_fail(web->world, SIM_OPEN, 0, 1, EIO), 0);
	web_close();
	assert_int_equal(told.answered, 1);
	assert_int_equal(told.status[0], 500);
}

static void test_half_a_head_gets_408_when_its_time_is_up(void **state)
{
	const struct ask half = {"GET / HT", NULL, 0, .last = true};
	uint64_t began_ns;

	(void)state;
	script_open(&half, CLIENT_BYTES);
	began_ns = sim_now_ns(web->world);
	web_close();
	assert_int_equal(told.answered, 1);
	assert_int_equal(told.status[0], 408);
	assert_false(told.failed);
	assert_in_range((told_ns - began_ns) / CLOCK_NS_PER_S,
			http_limits_default.head_timeout_ms / 1000,
			http_limits_default.head_timeout_ms / 1000 + 5);
}

static void test_a_client_that_never_reads_is_let_go(void **state)
{
	uint64_t began_ns;

	(void)state;
	script_open(&ask_big, CLIENT_DEAF);
	began_ns = sim_now_ns(web->world);
	/* Before the client listens again, nobody is served any more. */
	assert_int_equal(sim_run(web->world, 100 * CLOCK_NS_PER_S), SIM_TIME);
	assert_int_equal(web->worker.connections, 0);
	assert_int_equal(sim_now_ns(web->world), began_ns + 100 * CLOCK_NS_PER_S);
	web_close();
	assert_true(told.failed);
	assert_int_equal(told.answered, 0);
}

static int group_setup(void **state)
{
	static const struct {
		const char *name;
		size_t bytes;
	} files[] = {{"empty", 0},
		     {"small", 13},
		     {"medium", 5000},
		     {"loaded", 60000},
		     {"big", BIG_BYTES}};
	int dir;

	(void)state;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = client_pattern(i);
	if (!mkdtemp(folder))
		return -1;
	dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < SL_ARRAY_SIZE(files); i++) {
		int fd = openat(dir, files[i].name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd < 0 || write(fd, pattern, files[i].bytes) != (ssize_t)files[i].bytes ||
		    fsync(fd) < 0)
			return -1;
		close(fd);
	}
	close(dir);
	log_setup(STDERR_FILENO, LOG_OFF, LOG_TEXT);
	return 0;
}

static int group_teardown(void **state)
{
	static const char *const names[] = {"empty", "small", "medium", "loaded", "big"};
	int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	for (size_t i = 0; i < SL_ARRAY_SIZE(names); i++)
		unlinkat(dir, names[i], 0);
	close(dir);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_every_answer_is_right_or_visibly_cut),
		sim_test(test_without_faults_everything_is_answered),
		sim_test(test_an_answer_before_the_end_of_its_request_arrives),
		sim_test(test_a_disk_error_inside_a_body_cuts_it),
		sim_test(test_a_file_cut_inside_its_body_cuts_the_answer),
		sim_test(test_a_file_that_cannot_be_opened_is_an_error),
		sim_test(test_half_a_head_gets_408_when_its_time_is_up),
		sim_test(test_a_client_that_never_reads_is_let_go),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
