// SPDX-License-Identifier: Apache-2.0
/* Load levels, and adaptive concurrency before a server whose capacity is known, in virtual time. */
#include "guard/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "random.h"
#include "unit.h"

#define MS CLOCK_NS_PER_MS
#define S CLOCK_NS_PER_S

static struct guard_load load;
static struct guard_load_config config;

static int begin_load(void **state)
{
	load = (struct guard_load){0};
	guard_load_config_init(&config);
	config.on = true;
	return 0;
}

static bool at(uint64_t now_ns, uint32_t cpu, uint32_t lag, uint32_t errors, uint32_t queue)
{
	const struct guard_load_sample s = {cpu, lag, errors, queue};
	bool changed = guard_load_update(&load, &config, &s, now_ns);

	assert_memory_equal(&load.last, &s, sizeof(s));
	return changed;
}

static void assert_level(enum guard_level level)
{
	assert_int_equal(guard_load_level(&load), level);
}

static void test_enters_at_once_and_leaves_late(void **state)
{
	assert_false(at(1 * S, 84, 0, 0, 0));
	assert_level(GUARD_NORMAL);
	assert_true(at(2 * S, 85, 0, 0, 0));
	assert_level(GUARD_DEGRADED);
	/* Between leave and enter it lasts, however long. */
	assert_false(at(60 * S, 75, 0, 0, 0));
	assert_true(at(61 * S, 74, 0, 0, 0));
	assert_level(GUARD_NORMAL);
	assert_false(at(62 * S, 84, 0, 0, 0));
	/* One that just began is held. */
	assert_true(at(63 * S, 85, 0, 0, 0));
	assert_false(at(63 * S + config.hold_ms * MS - 1, 0, 0, 0, 0));
	assert_level(GUARD_DEGRADED);
	assert_true(at(63 * S + config.hold_ms * MS, 0, 0, 0, 0));
	assert_level(GUARD_NORMAL);
}

static void test_levels_rise_and_fall(void **state)
{
	assert_true(at(1 * S, 99, 0, 0, 0));
	assert_level(GUARD_CRITICAL);
	assert_false(at(60 * S, 85, 0, 0, 0));
	assert_true(at(61 * S, 84, 0, 0, 0));
	assert_level(GUARD_DEGRADED);
	/* The next step down waits again. */
	assert_false(at(62 * S, 0, 0, 0, 0));
	assert_true(at(71 * S, 0, 0, 0, 0));
	assert_level(GUARD_NORMAL);
	assert_true(at(72 * S, 90, 0, 0, 0));
	assert_true(at(72 * S, 95, 0, 0, 0));
	assert_level(GUARD_CRITICAL);
	/* Both steps at once when nothing holds either. */
	assert_true(at(90 * S, 10, 0, 0, 0));
	assert_level(GUARD_NORMAL);
}

static void test_every_measure_counts(void **state)
{
	const struct guard_load_sample degraded[] = {
		{85, 0, 0, 0}, {0, 100, 0, 0}, {0, 0, 20, 0}, {0, 0, 0, 100}};
	const struct guard_load_sample critical[] = {
		{95, 0, 0, 0}, {0, 500, 0, 0}, {0, 0, 50, 0}, {0, 0, 0, 1000}};

	for (unsigned i = 0; i < 4; i++) {
		begin_load(state);
		assert_true(guard_load_update(&load, &config, &degraded[i], S));
		assert_level(GUARD_DEGRADED);
		assert_true(guard_load_update(&load, &config, &critical[i], S));
		assert_level(GUARD_CRITICAL);
	}
	/* Another one holds what the first began. */
	begin_load(state);
	assert_true(at(S, 90, 0, 0, 0));
	assert_false(at(60 * S, 0, 60, 0, 0));
	assert_level(GUARD_DEGRADED);
}

static void test_off(void **state)
{
	config.cpu_percent[0].enter = config.cpu_percent[1].enter = 0;
	assert_false(at(S, 100, 0, 0, 0));
	assert_true(at(S, 100, 600, 0, 0));
	assert_level(GUARD_CRITICAL);
	config.on = false;
	assert_true(at(S, 100, 600, 0, 0));
	assert_level(GUARD_NORMAL);
	assert_false(at(S, 100, 600, 0, 0));
	assert_string_equal(guard_level_name(GUARD_NORMAL), "normal");
	assert_string_equal(guard_level_name(GUARD_DEGRADED), "degraded");
	assert_string_equal(guard_level_name(GUARD_CRITICAL), "critical");
}

/* Adaptive concurrency. */

static void test_priorities(void **state)
{
	struct guard_adaptive a = {.min = 1, .max = 100, .limit = 10};

	for (unsigned i = 0; i < 8; i++)
		assert_true(guard_adaptive_begin(&a, 0));
	assert_false(guard_adaptive_begin(&a, 0));
	assert_true(guard_adaptive_begin(&a, 4));
	assert_false(guard_adaptive_begin(&a, 4));
	assert_true(guard_adaptive_begin(&a, 7));
	assert_false(guard_adaptive_begin(&a, 7));
	assert_false(guard_adaptive_begin(&a, 100));
	assert_int_equal(a.in_flight, 10);
	/* One is always let in. */
	a = (struct guard_adaptive){.min = 0, .max = 0, .limit = 0};
	assert_true(guard_adaptive_begin(&a, 0));
	assert_false(guard_adaptive_begin(&a, 7));
	guard_adaptive_end(&a, 1000, S);
	guard_adaptive_end(&a, 1000, S);
	assert_int_equal(a.in_flight, 0);
	assert_true(a.limit == 1);
}

static void test_failures_cut(void **state)
{
	struct guard_adaptive a = {.min = 4, .max = 100, .limit = 100};
	uint64_t now = S;

	guard_adaptive_end(&a, 0, now);
	assert_true(a.limit == 90);
	/* Those that fail together count once. */
	guard_adaptive_end(&a, 0, now);
	assert_true(a.limit == 90);
	for (unsigned i = 0; i < 100; i++)
		guard_adaptive_end(&a, 0, now += 10 * MS);
	assert_true(a.limit == 4);
}

/* A server that works on `capacity` at a time, first come first served, each for about `service_ns`. */
#define QUEUE_MAX 4096
struct server {
	struct random random;
	unsigned capacity, working, head, waiting;
	bool varies;
	uint64_t service_ns;
	uint64_t began[QUEUE_MAX]; /* of those that wait */
	struct {
		uint64_t ends, began;
	} work[QUEUE_MAX];
};

/* When it varies: most are fast, and one in five takes sixteen times as long as those. */
static uint64_t server_draw(struct server *v)
{
	if (!v->varies)
		return v->service_ns;
	return random_below(&v->random, 5) ? v->service_ns / 4 : v->service_ns * 4;
}

static void server_feed(struct server *v, uint64_t now)
{
	while (v->working < v->capacity && v->waiting) {
		v->work[v->working].began = v->began[v->head++ % QUEUE_MAX];
		v->work[v->working++].ends = now + server_draw(v);
		v->waiting--;
	}
}

static unsigned server_next(const struct server *v)
{
	unsigned first = 0;

	for (unsigned i = 1; i < v->working; i++)
		if (v->work[i].ends < v->work[first].ends)
			first = i;
	return first;
}

struct outcome {
	double limit, latency_ns; /* means of the second half */
	uint64_t served, refused;
};

/* Three times what the server can do arrives, for `duration`. */
static struct outcome run(struct server *v, struct guard_adaptive *a, uint64_t from,
			  uint64_t duration_ns)
{
	struct outcome o = {0};
	uint64_t now = from, half = from + duration_ns / 2, samples = 0;
	uint64_t gap = v->service_ns / v->capacity / 3, arrival = now + gap;

	while (now < from + duration_ns) {
		unsigned i = server_next(v);
		if (!v->working || arrival <= v->work[i].ends) {
			now = arrival;
			arrival = now + 1 + random_below(&v->random, 2 * gap);
			if (guard_adaptive_begin(a, 7)) {
				assert_true(v->waiting < QUEUE_MAX);
				v->began[(v->head + v->waiting++) % QUEUE_MAX] = now;
			} else {
				o.refused++;
			}
		} else {
			now = v->work[i].ends;
			uint64_t took = now - v->work[i].began;
			v->work[i] = v->work[--v->working];
			guard_adaptive_end(a, took, now);
			if (now > half) {
				o.limit += a->looking ? a->resume : a->limit;
				o.latency_ns += (double)took;
				samples++;
			}
		}
		server_feed(v, now);
	}
	o.served = samples;
	o.limit /= (double)samples;
	o.latency_ns /= (double)samples;
	return o;
}

static void assert_converged(const struct server *v, const struct outcome *o, uint64_t half_ns)
{
	double could = (double)half_ns / (double)v->service_ns * v->capacity;

	print_message("capacity %u: limit %.1f, latency %.2f of the service, %.0f %% served\n",
		      v->capacity, o->limit, o->latency_ns / (double)v->service_ns,
		      100 * (double)o->served / could);
	assert_true(o->limit >= v->capacity && o->limit <= 2.2 * v->capacity + 8);
	assert_true(o->latency_ns <= 3.5 * (double)v->service_ns);
	assert_true((double)o->served >= 0.9 * could);
}

static void converge(bool varies)
{
	static const unsigned capacities[] = {4, 20, 200};
	static struct server v;
	struct random r = random_start("load");

	for (unsigned i = 0; i < SL_ARRAY_SIZE(capacities); i++) {
		struct guard_adaptive a = {.min = 1, .max = 2000, .limit = 20};
		v = (struct server){.random = r,
				    .capacity = capacities[i],
				    .varies = varies,
				    .service_ns = 10 * MS};
		struct outcome o = run(&v, &a, S, 200 * S);
		assert_converged(&v, &o, 100 * S);
	}
}

static void test_converges(void **state)
{
	converge(false);
}

static void test_converges_when_times_vary(void **state)
{
	converge(true);
}

static void test_follows_a_change(void **state)
{
	static struct server v;
	struct guard_adaptive a = {.min = 1, .max = 2000, .limit = 20};

	v = (struct server){.random = random_start("load"), .capacity = 40, .service_ns = 10 * MS};
	struct outcome o = run(&v, &a, S, 100 * S);
	assert_converged(&v, &o, 50 * S);
	v.capacity = 10;
	o = run(&v, &a, 101 * S, 100 * S);
	assert_converged(&v, &o, 50 * S);
	v.capacity = 80;
	o = run(&v, &a, 201 * S, 100 * S);
	assert_converged(&v, &o, 50 * S);
	/* Slower as such, with as many at a time. */
	v.service_ns = 40 * MS;
	o = run(&v, &a, 301 * S, 200 * S);
	assert_converged(&v, &o, 100 * S);
}

static void test_bounds(void **state)
{
	static struct server v;
	struct guard_adaptive a = {.min = 8, .max = 12, .limit = 20};

	v = (struct server){.random = random_start("load"), .capacity = 40, .service_ns = 10 * MS};
	struct outcome o = run(&v, &a, S, 20 * S);
	assert_true(o.limit <= 12);
	v.capacity = 1;
	o = run(&v, &a, 22 * S, 200 * S);
	assert_true(o.limit >= 8);
	/* Who never comes near the limit leaves it. */
	a = (struct guard_adaptive){.min = 1, .max = 1000, .limit = 50};
	for (uint64_t now = S; now < 20 * S; now += 10 * MS) {
		assert_true(guard_adaptive_begin(&a, 7));
		guard_adaptive_end(&a, 10 * MS, now);
	}
	assert_true(a.limit == 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_enters_at_once_and_leaves_late, begin_load),
		cmocka_unit_test_setup(test_levels_rise_and_fall, begin_load),
		cmocka_unit_test_setup(test_every_measure_counts, begin_load),
		cmocka_unit_test_setup(test_off, begin_load),
		cmocka_unit_test(test_priorities),
		cmocka_unit_test(test_failures_cut),
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_converges_when_times_vary),
		cmocka_unit_test(test_follows_a_change),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
