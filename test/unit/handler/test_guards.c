// SPDX-License-Identifier: Apache-2.0
/* The steps for access lists and load, before handlers over the loopback wire. */
#include "handler/guards.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "handler/respond.h"
#include "http/loopback.h"
#include "unit.h"

#define WAITING_MAX 64

static struct {
	struct io_loop *loop;
	struct http_config *config;
	struct http_worker worker;
	struct guards_access access;
	struct guards_load load;
	struct guard_load level;
	struct guards_slot slots[2];
	struct http_stream *waiting[WAITING_MAX]; /* requests that the slow handler has */
	unsigned waiting_count;
	struct http_cidr trusted;
} t;

static const struct respond_config hello = {.status = 200, .body = STR("hello")};
static const struct respond_config instead = {.status = 203, .body = STR("instead")};

/* A handler that answers when it is told to, and one that falls back. */

static int slow_open(void *state, struct http_stream *s)
{
	assert_true(t.waiting_count < WAITING_MAX);
	t.waiting[t.waiting_count++] = s;
	return 0;
}

static void slow_gone(struct http_stream *s)
{
	for (unsigned i = 0; i < t.waiting_count; i++)
		if (t.waiting[i] == s)
			t.waiting[i] = t.waiting[--t.waiting_count];
	http_reset(s, HTTP_ERROR_CANCEL);
}

static void slow_answer(unsigned status)
{
	struct http_head head = {.status = (uint16_t)status};

	assert_int_equal(http_respond(t.waiting[--t.waiting_count], &head, NULL), 0);
}

static const struct handler_ops slow_handler = {
	.name = "slow", .open = slow_open, .gone = slow_gone};

static int falling_open(void *state, struct http_stream *s)
{
	return http_respond_text(s, s->fallback ? 206 : 200, STR("text/plain"), STR("own"));
}

static const struct handler_ops falling_handler = {
	.name = "falling", .falls_back = true, .open = falling_open};

static void add_route(struct http_site *site, const char *path, const struct handler_ops *handler,
		      const void *config)
{
	struct http_route *made, route = {.path = str_from(path),
					  .handler = handler,
					  .config = config,
					  .body_max = 1000,
					  .step_count = 1};

	route.steps[0] = path[1] == 'a' ? (struct http_step){guards_access_run, &t.access}
					: (struct http_step){guards_load_run, &t.load};
	assert_int_equal(http_router_route(t.config, site, &route, &made), 0);
}

static int start(void **state)
{
	struct io_options options = {.engine = IO_ENGINE_EPOLL};
	struct http_site *site = NULL;
	char why[200];

	memset(&t, 0, sizeof(t));
	t.load.load = &t.level;
	log_setup(2, LOG_OFF, LOG_TEXT);
	assert_int_equal(io_loop_new(&options, &t.loop, why, sizeof(why)), 0);
	t.config = http_config_new(1);
	assert_non_null(t.config);
	assert_int_equal(http_router_site(t.config, 0, STR("*"), &site), 0);
	add_route(site, "/access", &respond_handler, &hello);
	add_route(site, "/load", &respond_handler, &hello);
	add_route(site, "/slow", &slow_handler, NULL);
	add_route(site, "/falling", &falling_handler, NULL);
	assert_int_equal(http_worker_init(&t.worker, t.loop, t.config), 0);
	return 0;
}

static int stop(void **state)
{
	http_worker_free(&t.worker);
	http_config_unref(t.config);
	guard_access_unref(t.access.access);
	while (io_loop_busy(t.loop))
		assert_int_equal(io_loop_turn(t.loop, -1), 0);
	io_loop_free(t.loop);
	return 0;
}

static struct loopback *ask(const char *target, const struct http_field *field)
{
	const struct loopback_request request = {.method = "GET",
						 .authority = "example.com",
						 .target = target,
						 .fields = field,
						 .field_count = field ? 1 : 0,
						 .body_length = -1};
	struct loopback *l = loopback_send(&t.worker, 0, &request);

	assert_non_null(l);
	return l;
}

static void finish(struct loopback *l)
{
	while (!l->done)
		assert_int_equal(io_loop_turn(t.loop, 0), 0);
	loopback_free(l);
}

/* Asks, and asserts the status and whether the answer says when to come again. */
static void expect_with(const char *target, const struct http_field *field, unsigned status)
{
	struct loopback *l = ask(target, field);

	while (!l->done)
		assert_int_equal(io_loop_turn(t.loop, 0), 0);
	assert_int_equal(l->response.status, status);
	assert_int_equal(l->response.fields.first[HTTP_RETRY_AFTER] != 0, status == 503);
	loopback_free(l);
}

static void expect(const char *target, unsigned status)
{
	expect_with(target, NULL, status);
}

static void set_access(const char *prefix, bool deny_others)
{
	const struct str allow = str_from(prefix);
	const struct guard_access_config config = {
		.allow = &allow, .allow_count = 1, .deny_others = deny_others};
	char why[256];

	guard_access_unref(t.access.access);
	assert_int_equal(guard_access_new(&config, &t.access.access, why, sizeof(why)), 0);
}

static void trust_the_peer(void)
{
	assert_true(http_cidr_parse(STR("127.0.0.0/8"), &t.trusted));
	t.config->trusted = &t.trusted;
	t.config->trusted_count = 1;
}

static void test_access(void **state)
{
	const struct http_field from = {.id = HTTP_X_FORWARDED_FOR,
					.name = STR("X-Forwarded-For"),
					.value = STR("10.1.2.3")};

	set_access("127.0.0.1", true);
	expect("/access", 200);
	set_access("10.0.0.0/8", true);
	expect("/access", 403);
	/* Who is not trusted cannot say that he is somebody else. */
	expect_with("/access", &from, 403);
	trust_the_peer();
	expect_with("/access", &from, 200);
	expect("/access", 403);
}

static void set_level(enum guard_level level)
{
	atomic_store(&t.level.level, (uint8_t)level);
}

static void test_levels(void **state)
{
	t.load.at[GUARD_DEGRADED] = GUARDS_FALLBACK;
	t.load.at[GUARD_CRITICAL] = GUARDS_REFUSE;
	expect("/load", 200);
	set_level(GUARD_DEGRADED);
	/* Nothing to fall back to. */
	expect("/load", 503);
	/* The handler's own. */
	expect("/falling", 206);
	t.load.fallback = &instead;
	expect("/load", 203);
	expect("/falling", 203);
	t.load.at[GUARD_DEGRADED] = GUARDS_STALE;
	expect("/load", 203);
	set_level(GUARD_CRITICAL);
	expect("/load", 503);
	expect("/falling", 503);
	set_level(GUARD_NORMAL);
	expect("/falling", 200);
	set_level(GUARD_CRITICAL);
	t.load.load = NULL;
	expect("/load", 200);
}

static void test_priorities(void **state)
{
	struct http_field told = {.name = STR("X-Priority"), .value = STR("7")};

	t.load.priority = 3;
	t.load.priority_min[GUARD_DEGRADED] = 3;
	t.load.priority_min[GUARD_CRITICAL] = 5;
	expect("/load", 200);
	set_level(GUARD_DEGRADED);
	expect("/load", 200);
	set_level(GUARD_CRITICAL);
	expect("/load", 503);
	t.load.priority_header = STR("x-priority");
	/* Of somebody. */
	expect_with("/load", &told, 503);
	trust_the_peer();
	expect_with("/load", &told, 200);
	expect("/load", 503);
	told.value = STR("4");
	expect_with("/load", &told, 503);
	/* What is no priority leaves the route's. */
	told.value = STR("8");
	expect_with("/load", &told, 503);
	told.value = STR("");
	expect_with("/load", &told, 503);
	set_level(GUARD_DEGRADED);
	expect_with("/load", &told, 200);
	told.value = STR("0");
	expect_with("/load", &told, 503);
}

static void set_adaptive(uint32_t min, uint32_t max)
{
	t.load.adaptive_min = min;
	t.load.adaptive_max = max;
	t.load.slots = t.slots;
	t.load.slot_count = 2;
	t.load.priority = 7;
}

static void test_adaptive_limit(void **state)
{
	struct loopback *l[4];
	struct guard_adaptive *a = &t.slots[1].adaptive;

	t.worker.index = 1;
	set_adaptive(3, 3);
	for (unsigned i = 0; i < 3; i++)
		l[i] = ask("/slow", NULL);
	assert_int_equal(a->in_flight, 3);
	assert_int_equal(t.waiting_count, 3);
	expect("/slow", 503);
	assert_int_equal(a->in_flight, 3);
	slow_answer(200);
	finish(l[2]);
	assert_int_equal(a->in_flight, 2);
	assert_true(a->looking && a->look_skip == 3);
	l[2] = ask("/slow", NULL);
	assert_int_equal(t.waiting_count, 3);
	expect("/slow", 503);
	for (unsigned i = 3; i-- > 0;) {
		slow_answer(204);
		finish(l[i]);
	}
	assert_int_equal(a->in_flight, 0);
	assert_int_equal(t.slots[0].adaptive.max, 0);
	/* A worker that came later has no slot, and no limit. */
	t.worker.index = 2;
	for (unsigned i = 0; i < 4; i++)
		l[i] = ask("/slow", NULL);
	for (unsigned i = 4; i-- > 0;) {
		slow_answer(204);
		finish(l[i]);
	}
}

static void test_adaptive_outcomes(void **state)
{
	struct guard_adaptive *a = &t.slots[0].adaptive;
	struct loopback *l;

	set_adaptive(2, 100);
	/* A failure is congestion. */
	l = ask("/slow", NULL);
	assert_true(a->limit == 20);
	slow_answer(500);
	finish(l);
	assert_true(a->limit == 18);
	/* Who went away before the answer says nothing. */
	l = ask("/slow", NULL);
	loopback_cancel(l);
	finish(l);
	assert_true(a->limit == 18 && !a->looking);
	assert_int_equal(a->in_flight, 0);
	/* One that is answered at once took a millisecond. */
	a->rtt_min_ns = CLOCK_NS_PER_MS;
	a->rtt_min_until_ns = UINT64_MAX;
	a->rtt_now_ns = CLOCK_NS_PER_MS;
	for (unsigned i = 0; i < 100; i++)
		expect("/load", 200);
	assert_int_equal(a->in_flight, 0);
	assert_true(a->rtt_now_ns >= CLOCK_NS_PER_MS);
	assert_true(a->limit == 18);
}

#define WITH_WORKER(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_WORKER(test_access),
		WITH_WORKER(test_levels),
		WITH_WORKER(test_priorities),
		WITH_WORKER(test_adaptive_limit),
		WITH_WORKER(test_adaptive_outcomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
