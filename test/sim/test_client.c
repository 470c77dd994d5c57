// SPDX-License-Identifier: Apache-2.0

/*
 * The HTTP client against servers that do as their script says, on good and on bad days: what a call calls whole is
 * whole, whatever the network did. And each of its times, in virtual time.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "http/client.h"
#include "net/dial.h"
#include "server_script.h"
#include "sim_test.h"

#define ASKERS_MAX 4
#define CALLS_MAX 6
#define BODY_MAX 100000
#define PAUSE_MS 50
#define RUN_NS (24 * 3600 * CLOCK_NS_PER_S)

/* One after another, over one link as long as it lasts. */
struct asker {
	struct http_link *link;
	struct http_call call;
	struct http_head request;
	struct arena arena;
	struct io_timer pause, nerve; /* nerve: when it breaks, the call is cancelled */
	struct source upload;
	uint64_t upload_bytes, uploaded;
	uint64_t received, length;
	struct io_timer upload_pause;
	enum script script;
	unsigned calls_left, links;
	bool active; /* between the start of a call and its end */
	bool body_open, upload_waits, ended;
};

static struct {
	struct sim *world;
	struct io_loop *loop;
	struct scripted server;
	struct asker askers[ASKERS_MAX];
	unsigned asking, links;
	bool calm;
} day;

static unsigned finished, failed, reused, cancelled;

static void asker_next(struct asker *);

static void maybe_over(void)
{
	if (day.asking == 0 && day.links == 0)
		scripted_stop(&day.server);
}

/* The request's body. */

static enum pull upload_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct asker *a = SL_CONTAINER(source, struct asker, upload);

	(void)kinds;
	if (a->uploaded == a->upload_bytes)
		return PULL_END;
	if (sim_random(day.world, 8) == 0) {
		a->upload_waits = true;
		io_timer_set(day.loop, &a->upload_pause, sim_random(day.world, PAUSE_MS));
		return PULL_WAIT;
	}
	size_t n = SL_MIN(want, 1 + sim_random(day.world, 9000));
	n = SL_MIN(n, a->upload_bytes - a->uploaded);
	*out = script_bytes(a->uploaded, n);
	a->uploaded += out->len;
	return PULL_DATA;
}

static void upload_close(struct source *source, int why)
{
	(void)source;
	(void)why;
	fail_msg("a link never closes the request's body");
}

static void upload_go_on(struct io_timer *t)
{
	struct asker *a = SL_CONTAINER(t, struct asker, upload_pause);

	if (a->upload_waits) {
		a->upload_waits = false;
		source_wake(&a->upload);
	}
}

/* The end of a call. */

static void asker_over(struct asker *a)
{
	assert_true(a->active);
	a->active = false;
	a->upload_waits = false;
	io_timer_stop(&a->nerve);
	io_timer_stop(&a->pause);
	io_timer_stop(&a->upload_pause);
	if (a->body_open) {
		a->body_open = false;
		source_close(a->call.body, 0);
	}
	/* The next one from the top of the loop: this may be inside a pull. */
	io_timer_set(day.loop, &a->pause, sim_random(day.world, PAUSE_MS));
}

static void asker_done(struct http_call *call, int why)
{
	struct asker *a = call->owner;
	bool cut = script_is_cut(a->script);

	assert_true(a->active);
	if (why) {
		failed++;
		if (day.calm && !cut)
			fail_msg("%s: %d in stage %u", script_name(a->script), why, call->stage);
	} else {
		finished++;
		reused += call->reused;
		assert_true(call->responded);
		if (cut)
			fail_msg("%s was taken for whole", script_name(a->script));
		assert_int_equal(call->response.status, script_status(a->script));
		/* Its last bytes are with the consumer, or on their way there. */
		assert_int_equal(call->bytes_in, a->length);
	}
	if (!a->body_open || why)
		asker_over(a);
	else
		a->ended = true;
}

static void asker_pull(struct asker *a)
{
	struct seg s;

	while (a->body_open) {
		unsigned kinds = sim_random(day.world, 2) ? SEG_MEM : SEG_MEM | SEG_PIPE;
		enum pull r =
			source_pull(a->call.body, 1 + sim_random(day.world, 20000), kinds, &s);

		if (r == PULL_WAIT)
			return;
		if (r != PULL_DATA) {
			assert_int_equal(r == PULL_END, a->ended);
			if (a->ended) {
				assert_int_equal(a->received, a->length);
				asker_over(a);
			}
			return;
		}
		script_check(a->received, s);
		a->received += s.len;
		assert_true(a->received <= a->length);
		seg_release(&s);
		if (sim_random(day.world, 10) == 0) {
			io_timer_set(day.loop, &a->pause, sim_random(day.world, PAUSE_MS));
			return;
		}
	}
}

static void asker_woken(struct source *source, void *consumer)
{
	(void)source;
	asker_pull(consumer);
}

static void asker_respond(struct http_call *call)
{
	struct asker *a = call->owner;

	if (!call->body)
		return;
	a->body_open = true;
	call->body->wake = asker_woken;
	call->body->consumer = a;
	asker_pull(a);
}

static void asker_inform(struct http_call *call, const struct http_head *head)
{
	assert_int_equal(head->status, 103);
	assert_false(call->responded);
}

static const struct http_call_ops asker_ops = {asker_inform, asker_respond, asker_done};

/* Pauses between calls, and inside the body. */
static void asker_go_on(struct io_timer *t)
{
	struct asker *a = SL_CONTAINER(t, struct asker, pause);

	if (a->active)
		asker_pull(a);
	else
		asker_next(a);
}

static void asker_loses_nerve(struct io_timer *t)
{
	struct asker *a = SL_CONTAINER(t, struct asker, nerve);

	cancelled++;
	if (sim_random(day.world, 2)) {
		http_link_close(a->link);
		return;
	}
	http_call_cancel(&a->call);
	asker_over(a);
}

static void link_idle(struct http_link *link)
{
	assert_true(link->usable);
}

static void link_closed(struct http_link *link)
{
	struct asker *a = link->owner;

	if (a->link == link)
		a->link = NULL;
	day.links--;
	maybe_over();
}

static const struct http_link_ops link_ops = {link_idle, link_closed};

static bool asker_connect(struct asker *a)
{
	struct conn *conn =
		conn_plain_connect(day.loop, &day.server.addr, NULL, http_link_connected);

	/* Descriptors may run out. */
	if (!conn)
		return false;
	a->link = http_link_new(conn, true, &link_ops, a);
	assert_non_null(a->link);
	a->links++;
	day.links++;
	return true;
}

static void asker_prepare(struct asker *a)
{
	static const enum http_method methods[] = {HTTP_GET, HTTP_POST, HTTP_PUT};
	static const char *const names[] = {"GET", "POST", "PUT"};
	unsigned m = (unsigned)sim_random(day.world, SL_ARRAY_SIZE(methods));
	bool upload = m > 0, chunked = sim_random(day.world, 2);

	a->script = (enum script)sim_random(day.world, SCRIPTS);
	a->length = script_has_body(a->script) ? 1 + sim_random(day.world, BODY_MAX) : 0;
	a->upload_bytes = sim_random(day.world, 3) ? sim_random(day.world, BODY_MAX) : 3;
	a->received = a->uploaded = 0;
	a->ended = false;
	arena_free(&a->arena);
	a->request = (struct http_head){
		.method = methods[m],
		.method_text = str_from(names[m]),
		.target = arena_printf(&a->arena, "/%u/%llu/%llu", a->script,
				       (unsigned long long)a->length,
				       (unsigned long long)(upload ? a->upload_bytes : 0)),
		.authority = STR("a.example"),
		.content_length = chunked ? -1 : (int64_t)a->upload_bytes,
	};
	a->call = (struct http_call){
		.ops = &asker_ops,
		.owner = a,
		.arena = &a->arena,
		.request = &a->request,
		.request_body = upload ? &a->upload : NULL,
		.expect_continue = upload && sim_random(day.world, 3) == 0,
		.connect_timeout_ms = 60000,
		.first_byte_timeout_ms = 60000,
		.between_timeout_ms = 60000,
		.expect_timeout_ms = 1000,
	};
}

static void asker_next(struct asker *a)
{
	bool keep =
		a->link && a->link->usable && a->script != SCRIPT_TWICE && sim_random(day.world, 8);

	if (a->link && !keep) {
		http_link_close(a->link);
		a->link = NULL;
	}
	if (a->calls_left == 0 || (!keep && !asker_connect(a))) {
		if (a->link)
			http_link_close(a->link);
		a->link = NULL;
		day.asking--;
		maybe_over();
		return;
	}
	a->calls_left--;
	asker_prepare(a);
	a->active = true;
	if (!day.calm && sim_random(day.world, 6) == 0)
		io_timer_set(day.loop, &a->nerve, sim_random(day.world, 2000));
	http_call_start(a->link, &a->call);
}

static void asker_begin(struct asker *a)
{
	static const struct source_ops upload_ops = {.pull = upload_pull, .close = upload_close};

	*a = (struct asker){.calls_left = 1 + (unsigned)sim_random(day.world, CALLS_MAX)};
	a->upload.ops = &upload_ops;
	a->pause.fire = asker_go_on;
	a->nerve.fire = asker_loses_nerve;
	a->upload_pause.fire = upload_go_on;
	arena_init(&a->arena, 0);
	day.asking++;
	io_timer_set(day.loop, &a->pause, sim_random(day.world, PAUSE_MS));
}

static void day_open(const struct sim_options *o)
{
	memset(&day, 0, sizeof(day));
	day.world = sim_test_world(o);
	day.loop = sim_test_loop(day.world);
	scripted_open(&day.server, day.world);
}

static void day_close(void)
{
	enum sim_end end = sim_run(day.world, RUN_NS);

	if (end != SIM_STOPPED)
		fail_msg("%s with %u askers, %u links", sim_end_text(end), day.asking, day.links);
	for (unsigned i = 0; i < ASKERS_MAX; i++)
		arena_free(&day.askers[i].arena);
	scripted_free(&day.server);
	io_loop_free(day.loop);
	sim_test_world_free(day.world);
}

static void day_run(const struct sim_options *o, bool calm)
{
	day_open(o);
	day.calm = calm;
	for (uint64_t n = 1 + sim_random(day.world, ASKERS_MAX); n; n--)
		asker_begin(&day.askers[n - 1]);
	day_close();
}

static void options_of(uint64_t seed, struct sim_options *o)
{
	*o = (struct sim_options){.seed = seed};
	o->send_bytes = 64u << (seed % 11);
	o->recv_bytes = 64u << (seed / 11 % 11);
}

static void good_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	o.faults.split = (uint16_t)(seed % 3 * 200);
	day_run(&o, true);
}

static void bad_day(uint64_t seed)
{
	struct sim_options o;

	options_of(seed, &o);
	sim_faults_pick(seed, &o.faults);
	day_run(&o, false);
}

static bool all_seeds(void)
{
	return !getenv("SLUICE_SIM_SEED") && !getenv("SLUICE_SIM_RUNS");
}

static void test_on_good_days_what_can_be_had_is_had(void **state)
{
	finished = failed = reused = cancelled = 0;
	sim_each_seed(100, good_day);
	if (all_seeds())
		assert_true(finished > 200 && failed > 20 && reused > 50);
}

static void test_what_is_called_whole_is_whole(void **state)
{
	finished = failed = reused = cancelled = 0;
	sim_each_seed(300, bad_day);
	if (all_seeds())
		assert_true(finished > 300 && failed > 100 && reused > 100 && cancelled > 20);
}

/* Times. */

struct timing {
	struct http_call call;
	struct http_head request;
	struct arena arena;
	struct http_link *link;
	struct source upload;
	int why;
	unsigned dones, closed;
	uint64_t done_ns;
	int server; /* the other end */
	struct conn *peer;
	bool pulls; /* the body */
	bool stuck; /* the request's body never comes */
};

static void timing_pull(struct timing *t)
{
	struct seg s;

	while (source_pull(t->call.body, 1000, SEG_MEM, &s) == PULL_DATA)
		seg_release(&s);
}

static void timing_woken(struct source *source, void *consumer)
{
	(void)source;
	timing_pull(consumer);
}

static void timing_respond(struct http_call *call)
{
	struct timing *t = call->owner;

	if (!t->pulls || !call->body)
		return;
	call->body->wake = timing_woken;
	call->body->consumer = t;
	timing_pull(t);
}

static void timing_done(struct http_call *call, int why)
{
	struct timing *t = call->owner;

	t->why = why;
	t->dones++;
	t->done_ns = sim_now_ns(day.world);
}

static const struct http_call_ops timing_ops = {.respond = timing_respond, .done = timing_done};

static void timing_idle(struct http_link *link)
{
	(void)link;
}

static void timing_closed(struct http_link *link)
{
	((struct timing *)link->owner)->closed++;
}

static enum pull timing_upload(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct timing *t = SL_CONTAINER(source, struct timing, upload);

	(void)kinds;
	if (t->stuck)
		return PULL_WAIT;
	*out = script_bytes(0, SL_MIN(want, 1000));
	return PULL_DATA;
}

/* A link whose other end is a conn of the test's, with a call of these times. */
static void timing_open(struct timing *t, bool connecting)
{
	static const struct http_link_ops ops = {timing_idle, timing_closed};
	static const struct source_ops upload_ops = {.pull = timing_upload};
	const struct sim_options o = {.seed = 1};
	int fds[2];

	memset(&day, 0, sizeof(day));
	day.world = sim_test_world(&o);
	day.loop = sim_test_loop(day.world);
	*t = (struct timing){.pulls = true};
	assert_int_equal(sim_pair(day.world, fds), 0);
	struct conn *conn = conn_plain_new(day.loop, fds[0]);
	t->peer = conn_plain_new(day.loop, fds[1]);
	assert_true(conn && t->peer);
	t->link = http_link_new(conn, connecting, &ops, t);
	assert_non_null(t->link);
	arena_init(&t->arena, 0);
	t->upload.ops = &upload_ops;
	t->request = (struct http_head){
		.method = HTTP_GET,
		.method_text = STR("GET"),
		.target = STR("/"),
		.authority = STR("a"),
	};
	t->call = (struct http_call){
		.ops = &timing_ops,
		.owner = t,
		.arena = &t->arena,
		.request = &t->request,
		.connect_timeout_ms = 1000,
		.first_byte_timeout_ms = 5000,
		.between_timeout_ms = 2000,
		.expect_timeout_ms = 700,
	};
}

static void timing_open_post(struct timing *t, int64_t length)
{
	timing_open(t, false);
	t->request.method = HTTP_POST;
	t->request.method_text = STR("POST");
	t->request.content_length = length;
	t->call.request_body = &t->upload;
}

static void run_ms(uint64_t ms)
{
	enum sim_end end = sim_run(day.world, ms * CLOCK_NS_PER_MS);

	assert_true(end == SIM_TIME || end == SIM_DEADLOCK);
}

static void timing_says(struct timing *t, const char *text)
{
	conn_send(t->peer, seg_mem(text, strlen(text), NULL));
}

/* The call was over by its time, in this stage: `ms` after the last event, which was at `from`. */
static void timing_is_over(struct timing *t, uint64_t from_ns, uint64_t ms,
			   enum http_call_stage stage)
{
	run_ms(60000);
	assert_int_equal(t->dones, 1);
	assert_int_equal(t->why, -ETIMEDOUT);
	assert_int_equal(t->call.stage, stage);
	assert_in_range(t->done_ns, from_ns + ms * CLOCK_NS_PER_MS,
			from_ns + (ms + 10) * CLOCK_NS_PER_MS);
	assert_int_equal(t->closed, 1);
}

static void timing_close(struct timing *t)
{
	if (t->call.body)
		source_close(t->call.body, 0);
	if (!t->closed)
		http_link_close(t->link);
	conn_close(t->peer, -ECANCELED);
	run_ms(60000);
	assert_int_equal(t->closed, 1);
	io_loop_free(day.loop);
	arena_free(&t->arena);
	sim_test_world_free(day.world);
}

static void test_the_time_to_connect(void **state)
{
	struct timing t;

	timing_open(&t, true);
	http_call_start(t.link, &t.call);
	timing_is_over(&t, sim_now_ns(day.world), 1000, HTTP_CALL_CONNECT);
	timing_close(&t);
}

/* A call on a link that connects to where nobody listens. */
static void refused_open(struct timing *t)
{
	static const struct http_link_ops ops = {timing_idle, timing_closed};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(81)};
	struct net_addr addr = {.len = sizeof(to)};

	timing_open(t, false);
	http_link_close(t->link);
	run_ms(10);
	assert_int_equal(t->closed, 1);
	t->closed = 0;
	memcpy(&addr.u.storage, &to, sizeof(to));
	struct conn *conn = conn_plain_connect(day.loop, &addr, NULL, http_link_connected);
	assert_non_null(conn);
	t->link = http_link_new(conn, true, &ops, t);
	assert_true(t->link->usable);
	assert_true(http_link_alive(t->link));
	http_call_start(t->link, &t->call);
	assert_false(t->link->usable);
	assert_int_equal(t->call.stage, HTTP_CALL_CONNECT);
}

static void test_nobody_listens(void **state)
{
	struct timing t;

	refused_open(&t);
	run_ms(100);
	assert_int_equal(t.dones, 1);
	assert_int_equal(t.why, -ECONNREFUSED);
	assert_int_equal(t.call.stage, HTTP_CALL_CONNECT);
	assert_int_equal(t.call.connected_ns, 0);
	assert_int_equal(t.closed, 1);
	timing_close(&t);
	refused_open(&t);
	http_call_cancel(&t.call);
	run_ms(100);
	assert_int_equal(t.dones, 0);
	assert_int_equal(t.closed, 1);
	timing_close(&t);
	refused_open(&t);
	http_link_close(t.link);
	run_ms(100);
	assert_int_equal(t.why, -ECANCELED);
	timing_close(&t);
}

static void test_the_time_to_the_first_byte(void **state)
{
	struct timing t;

	timing_open(&t, false);
	http_call_start(t.link, &t.call);
	timing_is_over(&t, sim_now_ns(day.world), 5000, HTTP_CALL_WAIT);
	timing_close(&t);
	/* After a 1xx it begins again. */
	timing_open(&t, false);
	http_call_start(t.link, &t.call);
	run_ms(4000);
	timing_says(&t, "HTTP/1.1 103 x\r\n\r\n");
	timing_is_over(&t, sim_now_ns(day.world), 5000, HTTP_CALL_HEAD);
	timing_close(&t);
}

static void test_the_time_between_bytes(void **state)
{
	struct timing t;

	timing_open(&t, false);
	http_call_start(t.link, &t.call);
	/* Slow is not too slow. */
	for (unsigned i = 0; i < 17; i++) {
		run_ms(1900);
		timing_says(
			&t,
			&"H\0T\0T\0P\0/\0001\0.\0001\0 \0002\0000\0000\0 \0O\0K\0\r\0\n"[i * 2]);
		assert_int_equal(t.dones, 0);
	}
	timing_is_over(&t, sim_now_ns(day.world), 2000, HTTP_CALL_HEAD);
	timing_close(&t);
	timing_open(&t, false);
	http_call_start(t.link, &t.call);
	timing_says(&t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
	for (unsigned i = 0; i < 5; i++) {
		run_ms(1900);
		timing_says(&t, "x");
	}
	timing_is_over(&t, sim_now_ns(day.world), 2000, HTTP_CALL_BODY);
	timing_close(&t);
}

/* Who does not pull is not waited for by the server's account. */
static void test_a_slow_consumer_costs_the_server_no_time(void **state)
{
	struct timing t;

	timing_open(&t, false);
	t.pulls = false;
	http_call_start(t.link, &t.call);
	timing_says(&t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx");
	run_ms(50000);
	assert_int_equal(t.dones, 0);
	assert_true(t.call.responded);
	t.call.body->wake = timing_woken;
	t.call.body->consumer = &t;
	timing_pull(&t);
	timing_is_over(&t, sim_now_ns(day.world), 2000, HTTP_CALL_BODY);
	timing_close(&t);
}

static void test_a_server_that_does_not_read(void **state)
{
	struct timing t;
	uint64_t before;

	timing_open_post(&t, -1);
	before = sim_now_ns(day.world);
	http_call_start(t.link, &t.call);
	run_ms(60000);
	assert_int_equal(t.dones, 1);
	assert_int_equal(t.why, -ETIMEDOUT);
	assert_int_equal(t.call.stage, HTTP_CALL_SEND);
	/* Progress is looked at when the time is up. */
	assert_in_range(t.done_ns, before + 2000 * CLOCK_NS_PER_MS,
			before + 4010 * CLOCK_NS_PER_MS);
	timing_close(&t);
}

/* It has answered and ends, and what it did not take of the request is of no use any more. */
static void test_a_server_that_ends_and_does_not_read(void **state)
{
	struct timing t;

	timing_open_post(&t, 200000);
	http_call_start(t.link, &t.call);
	run_ms(10);
	assert_int_equal(t.call.stage, HTTP_CALL_SEND);
	timing_says(&t, "HTTP/1.1 413 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	run_ms(100);
	assert_int_equal(t.dones, 1);
	assert_int_equal(t.why, 0);
	assert_int_equal(t.closed, 1);
	timing_close(&t);
}

/* It is the request's own source that is slow. */
static void test_a_slow_source_costs_the_server_no_time(void **state)
{
	struct timing t;

	timing_open_post(&t, 10);
	t.stuck = true;
	http_call_start(t.link, &t.call);
	run_ms(50000);
	assert_int_equal(t.dones, 0);
	timing_close(&t);
}

static void test_the_time_that_a_body_waits_for_100(void **state)
{
	struct timing t;

	timing_open_post(&t, 1000);
	t.call.expect_continue = true;
	http_call_start(t.link, &t.call);
	run_ms(690);
	assert_int_equal(t.call.stage, HTTP_CALL_SEND);
	run_ms(20);
	assert_int_equal(t.call.stage, HTTP_CALL_WAIT);
	timing_says(&t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 x\r\n\r\n");
	run_ms(100);
	assert_int_equal(t.dones, 1);
	assert_int_equal(t.why, 0);
	assert_int_equal(t.call.bytes_out, 1000);
	assert_true(t.link->usable);
	timing_close(&t);
}

/* The timer of a call that is over does not end the next one before its time. */
static void test_each_call_has_its_own_time(void **state)
{
	struct timing t;

	timing_open(&t, false);
	for (unsigned i = 0; i < 4; i++) {
		http_call_start(t.link, &t.call);
		run_ms(4900);
		assert_int_equal(t.dones, i);
		timing_says(&t, "HTTP/1.1 204 x\r\n\r\n");
		run_ms(100);
		assert_int_equal(t.dones, i + 1);
		assert_int_equal(t.why, 0);
		run_ms(100 * i);
	}
	/* An idle link waits for ever, which is its owner's to bound. */
	run_ms(3600 * 1000);
	assert_true(t.link->usable);
	timing_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_on_good_days_what_can_be_had_is_had),
		sim_test(test_what_is_called_whole_is_whole),
		cmocka_unit_test(test_the_time_to_connect),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_the_time_to_the_first_byte),
		cmocka_unit_test(test_the_time_between_bytes),
		cmocka_unit_test(test_a_slow_consumer_costs_the_server_no_time),
		cmocka_unit_test(test_a_server_that_does_not_read),
		cmocka_unit_test(test_a_server_that_ends_and_does_not_read),
		cmocka_unit_test(test_a_slow_source_costs_the_server_no_time),
		cmocka_unit_test(test_the_time_that_a_body_waits_for_100),
		cmocka_unit_test(test_each_call_has_its_own_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
