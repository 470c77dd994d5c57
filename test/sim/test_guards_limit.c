// SPDX-License-Identifier: Apache-2.0

/* The step of limits on a route, asked over the loopback wire in virtual time. */

#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/thread.h"
#include "handler/guards.h"
#include "handler/respond.h"
#include "http/loopback.h"
#include "sim_test.h"

#define STEPS_MAX 2
#define BODY_BYTES 100000

static char body[BODY_BYTES];

struct place {
	struct sim *world;
	struct io_loop *loop;
	struct guard_registry *registry;
	struct guard_limit_config configs[STEPS_MAX];
	struct guards_limit limits[STEPS_MAX];
	struct respond_config respond;
	struct http_config *config;
	struct http_worker worker;
};
static struct place place;

static struct guard_limit_config config_of(enum guard_algorithm algorithm, uint32_t count,
					   uint32_t burst)
{
	return (struct guard_limit_config){
		.name = STR("api"),
		.key = GUARD_KEY_HEADER,
		.key_name = STR("X-Api-Key"),
		.algorithm = algorithm,
		.count = count,
		.period_ns = 10 * CLOCK_NS_PER_S,
		.burst = burst,
		.keys_max = 100,
	};
}

static void place_open(const struct guard_limit_config *configs, unsigned count)
{
	struct http_site *site = NULL;
	struct http_route *made;
	struct http_route routes[] = {{.path = STR("/")}, {.path = STR("/other")}};

	log_setup(2, LOG_OFF, LOG_TEXT);
	place = (struct place){.registry = guard_registry_new()};
	place.world = sim_test_world(&(struct sim_options){.seed = 1});
	place.loop = sim_test_loop(place.world);
	place.respond = (struct respond_config){.status = 200, .body = {body, BODY_BYTES}};
	place.config = http_config_new(1);
	assert_int_equal(http_router_site(place.config, 0, STR("*"), &site), 0);
	for (unsigned i = 0; i < count; i++) {
		place.configs[i] = configs[i];
		place.limits[i].config = &place.configs[i];
		place.limits[i].limiter = guard_limiter_join(place.registry, &configs[i]);
	}
	for (unsigned r = 0; r < SL_ARRAY_SIZE(routes); r++) {
		routes[r].handler = &respond_handler;
		routes[r].config = &place.respond;
		routes[r].body_max = 1000;
		routes[r].step_count = count;
		for (unsigned i = 0; i < count; i++)
			routes[r].steps[i] = (struct http_step){guards_limit_run, &place.limits[i]};
		assert_int_equal(http_router_route(place.config, site, &routes[r], &made), 0);
	}
	assert_int_equal(http_worker_init(&place.worker, place.loop, place.config), 0);
}

static void place_close(void)
{
	http_worker_free(&place.worker);
	http_config_unref(place.config);
	for (unsigned i = 0; i < STEPS_MAX; i++)
		guard_limiter_unref(place.limits[i].limiter);
	guard_registry_free(place.registry);
	io_loop_free(place.loop);
	sim_test_world_free(place.world);
	assert_int_equal(base_thread_exit(), 0);
}

static void stop(struct io_timer *timer)
{
	(void)timer;
	sim_stop(place.world);
}

/* What is due at once is done at once: a millisecond is the shortest time that passes. */
static void pass_ms(uint64_t ms)
{
	struct io_timer timer = {.fire = stop};

	io_timer_set(place.loop, &timer, ms);
	assert_int_equal(sim_run(place.world, 1000 * CLOCK_NS_PER_S), SIM_STOPPED);
}

/* field: of the request, "name" and "value"; NULL: none. */
static struct loopback *ask(const char *target, const char *name, const char *value)
{
	const struct http_field field = {.name = str_from(name), .value = str_from(value)};
	const struct loopback_request request = {.method = "GET",
						 .authority = "a",
						 .target = target,
						 .fields = &field,
						 .field_count = name ? 1 : 0};
	struct loopback *l = loopback_send(&place.worker, 0, &request);

	assert_non_null(l);
	return l;
}

static const char *field_of(const struct loopback *l, const char *name)
{
	static char text[4][256];
	static unsigned turn;
	char *out = text[turn++ % 4];

	for (unsigned i = 0; i < l->response.fields.count; i++) {
		const struct http_field *f = &l->response.fields.v[i];
		if (!str_eq_nocase(f->name, str_from(name)))
			continue;
		assert_true(f->value.len < 256);
		memcpy(out, f->value.p, f->value.len);
		out[f->value.len] = '\0';
		return out;
	}
	return NULL;
}

static unsigned finish(struct loopback *l)
{
	unsigned status = l->response.status;

	assert_true(l->done);
	loopback_free(l);
	return status;
}

/* Asked and answered within this millisecond. */
static unsigned status_for(const char *target, const char *name, const char *value)
{
	struct loopback *l = ask(target, name, value);

	pass_ms(1);
	return finish(l);
}

static void test_quota_and_fields(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_TOKEN_BUCKET, 10, 3);

	place_open(&config, 1);
	for (unsigned i = 0; i < 5; i++) {
		static const char *const left[] = {"\"api\";r=2;t=1", "\"api\";r=1;t=2",
						   "\"api\";r=0;t=3", "\"api\";r=0;t=3",
						   "\"api\";r=0;t=3"};
		struct loopback *l = ask("/", "x-api-key", "a");
		pass_ms(1);
		assert_string_equal(field_of(l, "RateLimit-Policy"), "\"api\";q=3;w=3");
		assert_string_equal(field_of(l, "RateLimit"), left[i]);
		assert_int_equal(l->response.status, i < 3 ? 200 : 429);
		if (i < 3)
			assert_null(field_of(l, "retry-after"));
		else
			assert_string_equal(field_of(l, "retry-after"), "1");
		assert_int_equal(l->body_len == BODY_BYTES, i < 3);
		(void)finish(l);
	}
	/* Another key, no key, and the first again when it was told to come. */
	assert_int_equal(status_for("/", "X-API-Key", "b"), 200);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(status_for("/", NULL, NULL), 200);
	assert_int_equal(status_for("/", "x-api-key", "a"), 429);
	pass_ms(1000);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	assert_int_equal(status_for("/", "x-api-key", "a"), 429);
	place_close();
}

static void test_retry_after_is_rounded_up(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_FIXED_WINDOW, 1, 0);

	config.period_ns = 7300 * CLOCK_NS_PER_MS;
	place_open(&config, 1);
	/* To the beginning of a window. */
	pass_ms(1 +
		(config.period_ns - sim_now_ns(place.world) % config.period_ns) / CLOCK_NS_PER_MS);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	struct loopback *l = ask("/", "x-api-key", "a");
	pass_ms(1);
	assert_string_equal(field_of(l, "retry-after"), "8");
	assert_string_equal(field_of(l, "RateLimit-Policy"), "\"api\";q=1;w=8");
	assert_string_equal(field_of(l, "RateLimit"), "\"api\";r=0;t=8");
	assert_int_equal(finish(l), 429);
	place_close();
}

static void test_no_fields(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_GCRA, 1, 0);

	/* What a string of RFC 8941 cannot hold. */
	config.name = STR("a\"\\\xc3\xa4z");
	place_open(&config, 1);
	struct loopback *l = ask("/", "x-api-key", "a");
	pass_ms(1);
	assert_string_equal(field_of(l, "RateLimit"), "\"a____z\";r=0;t=10");
	assert_int_equal(finish(l), 200);
	place.limits[0].no_fields = true;
	l = ask("/", "x-api-key", "a");
	pass_ms(1);
	assert_null(field_of(l, "RateLimit"));
	assert_null(field_of(l, "RateLimit-Policy"));
	assert_string_equal(field_of(l, "retry-after"), "10");
	assert_int_equal(finish(l), 429);
	place_close();
}

static void test_keys(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_GCRA, 1, 0);

	config.key = GUARD_KEY_COOKIE;
	config.key_name = STR("id");
	place_open(&config, 1);
	assert_int_equal(status_for("/", "Cookie", "x=1; id=7; y=2"), 200);
	assert_int_equal(status_for("/", "Cookie", "id=7"), 429);
	assert_int_equal(status_for("/", "Cookie", "id=8"), 200);
	assert_int_equal(status_for("/", "Cookie", "x=7"), 200);
	place_close();

	config.key = GUARD_KEY_ROUTE;
	place_open(&config, 1);
	assert_int_equal(status_for("/a", NULL, NULL), 200);
	assert_int_equal(status_for("/b", NULL, NULL), 429);
	assert_int_equal(status_for("/other", NULL, NULL), 200);
	assert_int_equal(status_for("/other", NULL, NULL), 429);
	place_close();

	config.key = GUARD_KEY_CONSTANT;
	place_open(&config, 1);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	assert_int_equal(status_for("/other", "x-api-key", "b"), 429);
	place_close();

	/* A name that the parser knows, and a value that is empty. */
	config.key = GUARD_KEY_HEADER;
	config.key_name = STR("authorization");
	place_open(&config, 1);
	assert_int_equal(status_for("/", "Authorization", ""), 200);
	assert_int_equal(status_for("/", "Authorization", ""), 429);
	assert_int_equal(status_for("/", "Authorization", "Basic x"), 200);
	place_close();
}

/* A slot is held until the last byte of the response has left, and given back however the stream ends. */
static void test_conns(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_GCRA, 0, 0);
	const struct http_field field = {.name = STR("x-api-key"), .value = STR("a")};
	const struct loopback_request slow = {.method = "GET",
					      .authority = "a",
					      .target = "/",
					      .fields = &field,
					      .field_count = 1,
					      .pull_max = 10};

	config.conns = 2;
	place_open(&config, 1);
	struct loopback *first = loopback_send(&place.worker, 0, &slow);
	struct loopback *second = loopback_send(&place.worker, 0, &slow);
	pass_ms(1);
	assert_false(first->done);
	struct loopback *third = ask("/", "x-api-key", "a");
	pass_ms(1);
	assert_string_equal(field_of(third, "retry-after"), "1");
	assert_null(field_of(third, "RateLimit"));
	assert_int_equal(finish(third), 429);
	assert_int_equal(status_for("/", "x-api-key", "b"), 200);
	first->pull_max = UINT64_MAX;
	loopback_pull(first);
	pass_ms(1);
	assert_int_equal(finish(first), 200);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	loopback_cancel(second);
	pass_ms(1);
	(void)finish(second);
	first = loopback_send(&place.worker, 0, &slow);
	second = loopback_send(&place.worker, 0, &slow);
	pass_ms(1);
	assert_int_equal(status_for("/", "x-api-key", "a"), 429);
	loopback_cancel(first);
	loopback_cancel(second);
	pass_ms(1);
	(void)finish(first);
	(void)finish(second);
	place_close();
}

/* Who may not enter is not charged; who is refused does not stay. */
static void test_conns_and_rate(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_TOKEN_BUCKET, 1, 3);
	const struct http_field field = {.name = STR("x-api-key"), .value = STR("a")};
	const struct loopback_request slow = {.method = "GET",
					      .authority = "a",
					      .target = "/",
					      .fields = &field,
					      .field_count = 1,
					      .pull_max = 10};

	config.conns = 1;
	place_open(&config, 1);
	struct loopback *held = loopback_send(&place.worker, 0, &slow);
	pass_ms(1);
	for (unsigned i = 0; i < 5; i++) {
		struct loopback *l = ask("/", "x-api-key", "a");
		pass_ms(1);
		assert_string_equal(field_of(l, "RateLimit"), "\"api\";r=2;t=10");
		assert_int_equal(finish(l), 429);
	}
	loopback_cancel(held);
	pass_ms(1);
	(void)finish(held);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(status_for("/", "x-api-key", "a"), 429);
	pass_ms(10000);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	place_close();
}

/* Requests wait in a row: each second one of them goes on; no more than three wait. */
static void test_leaky_bucket(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_LEAKY_BUCKET, 10, 3);
	struct loopback *l[5];

	config.conns = 4;
	place_open(&config, 1);
	for (unsigned i = 0; i < 5; i++)
		l[i] = ask("/", "x-api-key", "a");
	pass_ms(1);
	assert_int_equal(finish(l[4]), 429);
	assert_int_equal(finish(l[0]), 200);
	for (unsigned i = 1; i < 4; i++) {
		pass_ms(990);
		assert_false(l[i]->done);
		pass_ms(10);
		assert_int_equal(finish(l[i]), 200);
	}
	/* Those who go away meanwhile leave their slot, not their turn. */
	for (unsigned i = 0; i < 4; i++)
		l[i] = ask("/", "x-api-key", "a");
	pass_ms(1);
	assert_false(l[0]->done);
	for (unsigned i = 0; i < 3; i++) {
		loopback_cancel(l[i]);
		pass_ms(1);
		assert_true(l[i]->result != 0);
		(void)finish(l[i]);
	}
	assert_true(l[3]->done);
	assert_int_equal(finish(l[3]), 429);
	pass_ms(10000);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	struct guard_limit_status s;
	const struct guard_limit_status *v;
	struct arena arena;
	unsigned count;
	arena_init(&arena, 0);
	assert_int_equal(guard_limit_status(place.registry, &arena, &v, &count), 0);
	s = v[0];
	arena_free(&arena);
	assert_int_equal(s.delayed, 6);
	assert_int_equal(s.refused, 2);
	assert_int_equal(s.allowed, 8);
	place_close();
}

static void test_bandwidth(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_GCRA, 0, 0);
	const uint64_t seconds = BODY_BYTES / 10000;

	config.bytes_per_s = 10000;
	place_open(&config, 1);
	struct loopback *l = ask("/", "x-api-key", "a");
	for (uint64_t i = 1; i < seconds; i++) {
		pass_ms(1000);
		assert_in_range(l->body_len, i * 9800, i * 10000 + 500);
	}
	pass_ms(1000);
	assert_int_equal(l->result, 0);
	assert_int_equal(finish(l), 200);
	/* The client goes away in its middle. */
	l = ask("/", "x-api-key", "a");
	pass_ms(1000);
	loopback_cancel(l);
	pass_ms(1);
	(void)finish(l);
	place_close();

	/* A refusal is not held up. */
	config = config_of(GUARD_GCRA, 1, 0);
	config.bytes_per_s = 1;
	place_open(&config, 1);
	l = ask("/", "x-api-key", "a");
	assert_int_equal(status_for("/", "x-api-key", "a"), 429);
	loopback_cancel(l);
	pass_ms(1);
	(void)finish(l);
	place_close();
}

/* Nothing is refused, delayed, slowed or told. */
static void test_dry_run(void **unused)
{
	struct guard_limit_config config = config_of(GUARD_LEAKY_BUCKET, 1, 1);
	const struct guard_limit_status *v;
	struct arena arena;
	unsigned count;

	config.conns = 1;
	config.bytes_per_s = 10;
	config.dry_run = true;
	place_open(&config, 1);
	for (unsigned i = 0; i < 5; i++) {
		struct loopback *l = ask("/", "x-api-key", "a");
		pass_ms(1);
		assert_null(field_of(l, "RateLimit"));
		assert_int_equal(finish(l), 200);
	}
	arena_init(&arena, 0);
	assert_int_equal(guard_limit_status(place.registry, &arena, &v, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(v[0].would_refuse, 3);
	assert_int_equal(v[0].refused, 0);
	assert_int_equal(v[0].allowed, 2);
	arena_free(&arena);
	place_close();
}

/* Two limiters on a route: both are told, the narrower one decides. */
static void test_two_limits(void **unused)
{
	struct guard_limit_config configs[2] = {config_of(GUARD_TOKEN_BUCKET, 1, 5),
						config_of(GUARD_TOKEN_BUCKET, 1, 2)};

	configs[1].name = STR("narrow");
	place_open(configs, 2);
	struct loopback *l = ask("/", "x-api-key", "a");
	unsigned told = 0;
	pass_ms(1);
	for (unsigned i = 0; i < l->response.fields.count; i++)
		told += str_eq_nocase(l->response.fields.v[i].name, STR("ratelimit"));
	assert_int_equal(told, 2);
	assert_int_equal(finish(l), 200);
	assert_int_equal(status_for("/", "x-api-key", "a"), 200);
	assert_int_equal(status_for("/", "x-api-key", "a"), 429);
	place_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota_and_fields),
		cmocka_unit_test(test_retry_after_is_rounded_up),
		cmocka_unit_test(test_no_fields),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_conns),
		cmocka_unit_test(test_conns_and_rate),
		cmocka_unit_test(test_leaky_bucket),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_two_limits),
	};

	memset(body, 'x', sizeof(body));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
