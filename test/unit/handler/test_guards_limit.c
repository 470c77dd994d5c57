// SPDX-License-Identifier: Apache-2.0
/* The step of limits over both wires; its times are tested in virtual time, in test/sim. */
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "handler/guards.h"
#include "handler/harness.h"
#include "handler/respond.h"
#include "net/conn.h"
#include "net/pair.h"

static struct harness h;
static struct guard_registry *registry;
static struct guard_limit_config config;
static struct guards_limit limit;
static const struct respond_config respond = {.status = 200, .body = STR("all is well")};

static int setup(void **state)
{
	harness_folder(&h);
	registry = guard_registry_new();
	config = (struct guard_limit_config){
		.name = STR("all"),
		.key = GUARD_KEY_ADDRESS,
		.prefix_v4 = 32,
		.prefix_v6 = 64,
		.algorithm = GUARD_LEAKY_BUCKET,
		.count = 1,
		.period_ns = 10000 * CLOCK_NS_PER_S,
		.keys_max = 10,
	};
	return 0;
}

static void start(void)
{
	limit = (struct guards_limit){.config = &config,
				      .limiter = guard_limiter_join(registry, &config)};
	h.step = (struct http_step){guards_limit_run, &limit};
	harness_start(&h, &respond_handler, &respond, NULL);
}

static int teardown(void **state)
{
	harness_stop(&h);
	guard_limiter_unref(limit.limiter);
	guard_registry_free(registry);
	return 0;
}

static void test_refused(void **state)
{
	start();
	harness_expect_text(&h, "/", "all is well");
	struct reply *reply = harness_ask(&h, "GET", "/", NULL);
	assert_int_equal(reply->status, 429);
	assert_false(reply->cut);
	assert_string_equal(reply_field(reply, "ratelimit-policy"), "\"all\";q=1;w=10000");
	assert_true(atoi(reply_field(reply, "retry-after")) > 9000);
	reply_free(reply);
	reply = harness_ask(&h, "HEAD", "/", NULL);
	assert_int_equal(reply->status, 429);
	assert_int_equal(reply->len, 0);
	reply_free(reply);
}

static void test_waits(void **state)
{
	config.period_ns = 20 * CLOCK_NS_PER_MS;
	config.burst = 1000;
	start();
	for (unsigned i = 0; i < 5; i++) {
		struct reply *reply = harness_ask(&h, "POST", "/", NULL);
		assert_int_equal(reply->status, 200);
		assert_string_equal(reply_field(reply, "ratelimit-policy"), "\"all\";q=1001;w=21");
		reply_free(reply);
	}
}

/* Clients that break off while they wait, and a worker that ends them: nothing is left, every slot is free. */
static void test_gone_while_waiting(void **state)
{
	const struct guard_limit_status *v;
	struct arena arena;
	unsigned count;
	int fds[3][2];
	bool owed;

	/* Over the loopback wire this is tested in test/sim. */
	harness_wire = WIRE_H1;
	config.key = GUARD_KEY_CONSTANT;
	config.burst = 10;
	config.conns = 3;
	start();
	harness_expect_text(&h, "/", "all is well");
	for (unsigned i = 0; i < 3; i++) {
		pair_make(fds[i]);
		struct conn *conn = conn_plain_new(h.loop, fds[i][1]);
		assert_non_null(conn);
		http_worker_serve(&h.worker, conn, 0);
		pair_say(fds[i][0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	}
	arena_init(&arena, 0);
	PAIR_UNTIL(h.loop, !guard_limit_status(registry, &arena, &v, &count) && v[0].delayed == 3);
	arena_free(&arena);
	pair_reset(fds[0][0]);
	pair_reset(fds[1][0]);
	PAIR_UNTIL(h.loop, h.worker.connections == 1);
	http_worker_abort(&h.worker);
	PAIR_UNTIL(h.loop, h.worker.connections == 0);
	close(fds[2][0]);
	uint64_t key = guard_key_bytes(STR_NONE);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(guard_limit_enter(limit.limiter, key, 1, &owed), i < 3);
}

static void test_bandwidth(void **state)
{
	config.count = 0;
	/* Much, so that it takes no time. */
	config.bytes_per_s = 1000000;
	start();
	for (unsigned i = 0; i < 100; i++)
		harness_expect_text(&h, "/", "all is well");
	struct reply *reply = harness_ask(&h, "HEAD", "/", NULL);
	assert_null(reply_field(reply, "ratelimit"));
	assert_string_equal(reply_field(reply, "content-length"), "11");
	reply_free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bandwidth, setup, teardown),
	};

	const struct CMUnitTest h1_tests[] = {
		cmocka_unit_test_setup_teardown(test_gone_while_waiting, setup, teardown),
	};

	return RUN_OVER_WIRES(tests) + cmocka_run_group_tests(h1_tests, NULL, NULL);
}
