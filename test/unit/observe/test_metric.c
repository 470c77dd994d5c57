// SPDX-License-Identifier: Apache-2.0
#include "observe/metric.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_check.h"
#include "unit.h"

static struct metric requests = {
	.name = "test_requests_total", .help = "Requests.", .kind = METRIC_COUNTER};
static struct metric open_epoll = {
	.name = "test_open", .labels = "engine=\"epoll\"", .help = "Open.", .kind = METRIC_GAUGE};
static struct metric open_poll = {
	.name = "test_open", .labels = "engine=\"poll\"", .help = "Open.", .kind = METRIC_GAUGE};
static struct metric times = {.name = "test_time_seconds",
			      .help = "Time.",
			      .kind = METRIC_HIST,
			      .from_bits = 10,
			      .to_bits = 12,
			      .scale = 0.5};

static uint64_t forty_two(void)
{
	return 42;
}

static struct metric elsewhere = {.name = "test_elsewhere",
				  .help = "Kept elsewhere.",
				  .kind = METRIC_GAUGE,
				  .read = forty_two};

static void test_names_are_registered_once(void **state)
{
	struct metric again = {
		.name = "test_open", .labels = "engine=\"poll\"", .kind = METRIC_GAUGE};
	struct metric other_kind = {
		.name = "test_open", .labels = "x=\"y\"", .kind = METRIC_COUNTER};

	assert_int_equal(metric_register(&times), 0);
	assert_int_equal(metric_register(&requests), 0);
	assert_int_equal(metric_register(&open_poll), 0);
	assert_int_equal(metric_register(&open_epoll), 0);
	assert_int_equal(metric_register(&elsewhere), 0);
	assert_int_equal(metric_register(&again), -EEXIST);
	assert_int_equal(metric_register(&other_kind), -EEXIST);
	/* Not registered is harmless. */
	metric_add(&again, 5);
	assert_true(metric_read(&again) == 0);
}

enum { THREADS = 3, ADDS = 200000 };

static pthread_barrier_t ready, finish;

static void *count(void *arg)
{
	metric_thread_enter();
	metric_thread_enter();
	metric_add(&open_epoll, 10);
	for (unsigned i = 0; i < ADDS; i++) {
		metric_add(&requests, 1);
		metric_observe(&times, i % 4000);
	}
	metric_sub(&open_epoll, 3);
	pthread_barrier_wait(&ready);
	pthread_barrier_wait(&finish);
	metric_thread_leave();
	metric_thread_leave();
	return NULL;
}

/* Read while it is written, read when the threads stand, and read when they are gone. */
static void test_threads_are_merged(void **state)
{
	pthread_t threads[THREADS];
	static struct hist h;
	uint64_t before = 0;

	pthread_barrier_init(&ready, NULL, THREADS + 1);
	pthread_barrier_init(&finish, NULL, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t now = metric_read(&requests);

		assert_true(now >= before && now <= (uint64_t)THREADS * ADDS);
		before = now;
		memset(&h, 0, sizeof(h));
		metric_read_hist(&times, &h);
		assert_true(h.count <= (uint64_t)THREADS * ADDS);
	}
	pthread_barrier_wait(&ready);
	assert_int_equal(metric_read(&requests), THREADS * ADDS);
	assert_int_equal(metric_read(&open_epoll), THREADS * 7);
	assert_int_equal(metric_read(&open_poll), 0);
	pthread_barrier_wait(&finish);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	/* What was counted stays, what was open is gone. */
	assert_int_equal(metric_read(&requests), THREADS * ADDS);
	assert_int_equal(metric_read(&open_epoll), 0);
	memset(&h, 0, sizeof(h));
	metric_read_hist(&times, &h);
	assert_int_equal(h.count, THREADS * ADDS);
	assert_int_equal(h.max, 3999);
	assert_int_equal(hist_count_to(&h, 1023), THREADS * ADDS / 4000 * 1024);
	/* This thread has never entered: nobody sees what it counts. */
	metric_add(&requests, 1);
	metric_observe(&times, 1);
	assert_int_equal(metric_read(&requests), THREADS * ADDS);
}

static void test_prometheus(void **state)
{
	static const char expected[] = "# HELP test_elsewhere Kept elsewhere.\n"
				       "# TYPE test_elsewhere gauge\n"
				       "test_elsewhere 42\n"
				       "# HELP test_open Open.\n"
				       "# TYPE test_open gauge\n"
				       "test_open{engine=\"epoll\"} 0\n"
				       "test_open{engine=\"poll\"} -2\n"
				       "# HELP test_requests_total Requests.\n"
				       "# TYPE test_requests_total counter\n"
				       "test_requests_total 600000\n"
				       "# HELP test_time_seconds Time.\n"
				       "# TYPE test_time_seconds histogram\n"
				       "test_time_seconds_bucket{le=\"511.5\"} 153600\n"
				       "test_time_seconds_bucket{le=\"1023.5\"} 307200\n"
				       "test_time_seconds_bucket{le=\"2047.5\"} 600000\n"
				       "test_time_seconds_bucket{le=\"+Inf\"} 600000\n"
				       "test_time_seconds_sum 599850000\n"
				       "test_time_seconds_count 600000\n";
	struct text t;

	metric_thread_enter();
	metric_sub(&open_poll, 2);
	text_init(&t, 100000);
	metric_write_prometheus(&t);
	text_put_char(&t, 0);
	assert_string_equal(t.p, expected);
	text_free(&t);
	metric_thread_leave();
}

static void test_json(void **state)
{
	struct text t;
	struct json j;

	text_init(&t, 100000);
	json_init(&j, &t);
	json_open_object(&j, NULL);
	metric_write_json(&j);
	json_close(&j);
	assert_true(json_check(text_str(&t)));
	assert_true(str_find(text_str(&t),
			     STR("\"test_elsewhere\":42,\"test_open{engine=\\\"epoll\\\"}\":0,")) >=
		    0);
	assert_true(str_find(text_str(&t), STR("\"test_requests_total\":600000,")) >= 0);
	assert_true(str_find(text_str(&t),
			     STR("\"test_time_seconds\":{\"count\":600000,\"sum\":599850000,"
				 "\"min\":0,")) >= 0);
	text_free(&t);
}

static void test_slots_end(void **state)
{
	static struct metric many[METRIC_SLOTS_MAX];
	static char names[METRIC_SLOTS_MAX][16];
	unsigned good = 0;

	for (unsigned i = 0; i < METRIC_SLOTS_MAX; i++) {
		int error;

		snprintf(names[i], sizeof(names[i]), "test_many_%u", i);
		many[i] = (struct metric){.name = names[i], .help = "", .kind = METRIC_COUNTER};
		error = metric_register(&many[i]);
		assert_true(error == 0 || error == -ENOSPC);
		good += !error;
	}
	/* One slot belongs to the unregistered, three to the tests above. */
	assert_int_equal(good, METRIC_SLOTS_MAX - 4);
	metric_add(&many[METRIC_SLOTS_MAX - 1], 1);
	assert_int_equal(metric_read(&many[METRIC_SLOTS_MAX - 1]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_registered_once),
		cmocka_unit_test(test_threads_are_merged),
		cmocka_unit_test(test_prometheus),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_slots_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
