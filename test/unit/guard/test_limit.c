// SPDX-License-Identifier: Apache-2.0

/* Limiters as the program has them: joined by name, asked by many threads at once. */

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "guard/limit.h"
#include "net/addr.h"
#include "random.h"
#include "unit.h"

#define THREADS 6

static struct guard_limit_config config_of(enum guard_algorithm algorithm)
{
	return (struct guard_limit_config){
		.name = STR("ip"),
		.key = GUARD_KEY_ADDRESS,
		.algorithm = algorithm,
		.count = 1000,
		.period_ns = CLOCK_NS_PER_S,
		.burst = 30,
		.keys_max = 64,
	};
}

static struct guard_limit_status status_of(struct guard_registry *r, const char *name)
{
	const struct guard_limit_status *v;
	struct guard_limit_status found = {.name = STR_NONE};
	struct arena arena;
	unsigned count;

	arena_init(&arena, 0);
	assert_int_equal(guard_limit_status(r, &arena, &v, &count), 0);
	for (unsigned i = 0; i < count; i++)
		if (str_eq(v[i].name, str_from(name))) {
			assert_null(found.name.p);
			found = v[i];
		}
	assert_non_null(found.name.p);
	arena_free(&arena);
	return found;
}

/* Threads that share a clock, each with a late view of it, and ask for two keys far more often than these may. */

struct crowd {
	struct guard_limiter *limiter;
	_Atomic uint64_t now_ns;
	uint64_t end_ns;
	_Atomic uint64_t passed[2];
	_Atomic unsigned inside[2], most;
};

static void *crowd_take(void *arg)
{
	struct crowd *crowd = arg;
	struct guard_verdict v;
	uint64_t now_ns;

	for (unsigned i = 0; (now_ns = atomic_fetch_add(&crowd->now_ns, 20011)) < crowd->end_ns;
	     i++) {
		guard_limit_take(crowd->limiter, 1 + i % 2, now_ns, 1, &v);
		if (v.allowed)
			atomic_fetch_add(&crowd->passed[i % 2], 1);
	}
	return NULL;
}

static void run_crowd(struct crowd *crowd, void *(*run)(void *))
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run, crowd), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_exact_among_threads(void **unused)
{
	static const enum guard_algorithm all[] = {GUARD_FIXED_WINDOW, GUARD_SLIDING_WINDOW,
						   GUARD_TOKEN_BUCKET, GUARD_LEAKY_BUCKET,
						   GUARD_GCRA};
	struct guard_registry *registry = guard_registry_new();

	for (unsigned a = 0; a < SL_ARRAY_SIZE(all); a++) {
		struct guard_limit_config config = config_of(all[a]);
		struct crowd crowd = {.limiter = guard_limiter_join(registry, &config),
				      .now_ns = CLOCK_NS_PER_S,
				      .end_ns = 3 * CLOCK_NS_PER_S};
		struct guard_verdict v;

		run_crowd(&crowd, crowd_take);
		for (unsigned k = 0; k < 2; k++) {
			uint64_t passed = atomic_load(&crowd.passed[k]), sum = 2 * config.count;
			/* What the last ones, being late, have left. */
			for (;;) {
				guard_limit_take(crowd.limiter, 1 + k, crowd.end_ns - 1, 1, &v);
				if (!v.allowed)
					break;
				passed++;
			}
			if (all[a] == GUARD_FIXED_WINDOW)
				assert_int_equal(passed, sum);
			else if (all[a] == GUARD_SLIDING_WINDOW)
				assert_in_range(passed, sum - config.count / 50, sum);
			else
				assert_int_equal(passed, sum - 1 + v.limit);
		}
		struct guard_limit_status s = status_of(registry, "ip");
		assert_int_equal(s.keys, 2);
		assert_true(s.allowed >= 2 * (2 * config.count - config.count / 50));
		assert_true(s.refused > 0);
		assert_int_equal(s.evicted, 0);
		guard_limiter_unref(crowd.limiter);
	}
	guard_registry_free(registry);
}

/* More keys than places, from all sides: for the sanitizer, and no key gets more than it may. */
static void *crowd_flood(void *arg)
{
	struct crowd *crowd = arg;
	struct random r = {(uintptr_t)&r};
	struct guard_verdict v;
	uint64_t now_ns;

	while ((now_ns = atomic_fetch_add(&crowd->now_ns, 20011)) < crowd->end_ns) {
		uint64_t key = random_below(&r, 4) ? random_u64(&r) | 1 : 1;
		guard_limit_take(crowd->limiter, key, now_ns, 1, &v);
		if (v.allowed && key == 1)
			atomic_fetch_add(&crowd->passed[0], 1);
	}
	return NULL;
}

static void test_flood_among_threads(void **unused)
{
	struct guard_registry *registry = guard_registry_new();
	struct guard_limit_config config = config_of(GUARD_GCRA);
	struct crowd crowd = {.now_ns = CLOCK_NS_PER_S, .end_ns = 2 * CLOCK_NS_PER_S};

	config.count = 100;
	crowd.limiter = guard_limiter_join(registry, &config);
	run_crowd(&crowd, crowd_flood);
	assert_true(atomic_load(&crowd.passed[0]) <= 100 + 31);
	struct guard_limit_status s = status_of(registry, "ip");
	assert_true(s.evicted > 0);
	assert_true(s.keys >= 64);
	guard_limiter_unref(crowd.limiter);
	guard_registry_free(registry);
}

static void *crowd_enter(void *arg)
{
	struct crowd *crowd = arg;
	bool owed;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned k = i % 2;
		if (!guard_limit_enter(crowd->limiter, 1 + k, 0, &owed))
			continue;
		assert_true(owed);
		unsigned inside = atomic_fetch_add(&crowd->inside[k], 1) + 1;
		unsigned most = atomic_load(&crowd->most);
		while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
			;
		if (i % 16 == 0)
			(void)sched_yield();
		atomic_fetch_sub(&crowd->inside[k], 1);
		guard_limit_leave(crowd->limiter, 1 + k);
	}
	return NULL;
}

static void test_conns_among_threads(void **unused)
{
	struct guard_registry *registry = guard_registry_new();
	struct guard_limit_config config = config_of(GUARD_GCRA);
	struct crowd crowd = {.most = 0};
	bool owed;

	config.conns = 2;
	crowd.limiter = guard_limiter_join(registry, &config);
	run_crowd(&crowd, crowd_enter);
	assert_in_range(atomic_load(&crowd.most), 1, 2);
	/* Everybody has left. */
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(guard_limit_enter(crowd.limiter, 1, 0, &owed), i < 2);
	guard_limit_leave(crowd.limiter, 1);
	assert_true(guard_limit_enter(crowd.limiter, 1, 0, &owed));
	guard_limiter_unref(crowd.limiter);
	guard_registry_free(registry);
}

/* Reloads. */

static unsigned remaining(struct guard_limiter *l)
{
	struct guard_verdict v;

	guard_limit_take(l, 7, 1, 0, &v);
	return v.remaining;
}

static void test_kept_over_reloads(void **unused)
{
	struct guard_registry *registry = guard_registry_new();
	char name[] = "ip";
	struct guard_limit_config config = config_of(GUARD_TOKEN_BUCKET);
	struct guard_verdict v;

	config.name = (struct str){name, 2};
	struct guard_limiter *first = guard_limiter_join(registry, &config);
	guard_limit_take(first, 7, 1, 10, &v);
	assert_int_equal(remaining(first), 20);

	config.dry_run = true;
	struct guard_limiter *second = guard_limiter_join(registry, &config);
	/* Its strings are its own. */
	memset(name, 'x', sizeof(name) - 1);
	assert_true(str_eq(guard_limiter_config(second)->name, STR("ip")));
	assert_true(guard_limiter_config(second)->dry_run);
	assert_false(guard_limiter_config(first)->dry_run);
	guard_limiter_unref(first);
	assert_int_equal(remaining(second), 20);

	/* Another burst is another limiter; the one before lives as long as somebody has it. */
	config.name = STR("ip");
	config.burst = 31;
	struct guard_limiter *third = guard_limiter_join(registry, &config);
	assert_int_equal(remaining(third), 31);
	assert_int_equal(remaining(second), 20);
	guard_limit_take(third, 7, 1, 1, &v);
	assert_int_equal(status_of(registry, "ip").allowed, 1);
	/* And can be gone back to. */
	guard_limiter_unref(third);
	config.burst = 30;
	struct guard_limiter *fourth = guard_limiter_join(registry, &config);
	assert_int_equal(remaining(fourth), 20);
	guard_limiter_unref(second);
	guard_limiter_unref(fourth);

	/* With the last of them the counts go. */
	fourth = guard_limiter_join(registry, &config);
	assert_int_equal(remaining(fourth), 30);
	guard_registry_free(registry);
	guard_limiter_unref(guard_limiter_ref(fourth));
	assert_int_equal(remaining(fourth), 30);
	guard_limiter_unref(fourth);
}

/* A dry run lets nobody in who would be counted against somebody else, and says what it would have done, once a second. */
static void test_dry_run(void **unused)
{
	struct guard_registry *registry = guard_registry_new();
	struct guard_limit_config config = config_of(GUARD_TOKEN_BUCKET);
	struct guard_verdict v;
	int fds[2];
	char text[512] = "";
	bool owed;

	assert_int_equal(pipe(fds), 0);
	log_setup(fds[1], LOG_INFO, LOG_TEXT);
	config.dry_run = true;
	config.conns = 1;
	struct guard_limiter *l = guard_limiter_join(registry, &config);
	for (unsigned i = 0; i < 40; i++) {
		guard_limit_take(l, 1, CLOCK_NS_PER_S + i, 1, &v);
		assert_int_equal(v.allowed, i < 30);
	}
	assert_true(guard_limit_enter(l, 1, CLOCK_NS_PER_S, &owed));
	assert_true(owed);
	assert_true(guard_limit_enter(l, 1, 3 * CLOCK_NS_PER_S, &owed));
	assert_false(owed);
	guard_limit_leave(l, 1);
	log_setup(2, LOG_INFO, LOG_TEXT);
	close(fds[1]);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	close(fds[0]);
	char *line = strstr(text, "limit \"ip\" (dry run): would have refused 1\n");
	assert_non_null(line);
	assert_non_null(strstr(line, "would have refused 10\n"));
	struct guard_limit_status s = status_of(registry, "ip");
	assert_int_equal(s.allowed, 30);
	assert_int_equal(s.refused, 0);
	assert_int_equal(s.would_refuse, 11);
	guard_limiter_unref(l);
	guard_registry_free(registry);
}

/* What a limiter does not limit costs it no memory. */
static void test_parts(void **unused)
{
	struct guard_registry *registry = guard_registry_new();
	struct guard_limit_config config = {.name = STR("none"), .keys_max = 1000000};
	struct guard_verdict v;
	bool owed = true;

	config.key = GUARD_KEY_HEADER;
	struct guard_limiter *l = guard_limiter_join(registry, &config);
	assert_true(status_of(registry, "none").memory_bytes < 4096);
	assert_int_equal(status_of(registry, "none").keys_max, 1000000);
	guard_limit_take(l, 1, 1, 1, &v);
	assert_true(v.allowed);
	assert_true(guard_limit_enter(l, 1, 1, &owed));
	assert_false(owed);
	guard_limiter_unref(l);
	/* There is one key only. */
	config = config_of(GUARD_GCRA);
	config.key = GUARD_KEY_CONSTANT;
	config.keys_max = 1000000;
	config.conns = 10;
	config.bytes_per_s = 10;
	l = guard_limiter_join(registry, &config);
	assert_true(status_of(registry, "ip").memory_bytes < 8192);
	guard_limiter_unref(l);
	guard_registry_free(registry);
}

/* Keys. */

static uint64_t key_of(const char *text, unsigned v4, unsigned v6)
{
	struct net_addr a;
	char why[128];

	assert_int_equal(net_addr_parse(str_from(text), &a, why, sizeof(why)), 0);
	return guard_key_address(&a, (uint8_t)v4, (uint8_t)v6);
}

static void test_keys(void **unused)
{
	assert_true(guard_key_bytes(STR("a")) != guard_key_bytes(STR("b")));
	assert_true(guard_key_bytes(STR_NONE) != 0);
	assert_true(key_of("10.1.2.3:80", 32, 64) == key_of("10.1.2.3:81", 32, 64));
	assert_true(key_of("10.1.2.3:80", 32, 64) != key_of("10.1.2.4:80", 32, 64));
	assert_true(key_of("10.1.2.3:80", 24, 64) == key_of("10.1.2.255:80", 24, 64));
	assert_true(key_of("10.1.2.3:80", 24, 64) != key_of("10.1.3.3:80", 24, 64));
	assert_true(key_of("10.1.2.3:80", 23, 64) == key_of("10.1.3.3:80", 23, 64));
	assert_true(key_of("10.1.2.3:80", 0, 64) == key_of("192.168.3.3:80", 0, 64));
	assert_true(key_of("[2001:db8::1]:80", 32, 64) == key_of("[2001:db8::2]:80", 32, 64));
	assert_true(key_of("[2001:db8::1]:80", 32, 128) != key_of("[2001:db8::2]:80", 32, 128));
	assert_true(key_of("[2001:db8:0:1::1]:80", 32, 64) !=
		    key_of("[2001:db8:0:2::1]:80", 32, 64));
	assert_true(key_of("[2001:db8:0:8000::1]:80", 32, 49) !=
		    key_of("[2001:db8:0:1::1]:80", 32, 49));
	assert_true(key_of("[2001:db8:0:8000::1]:80", 32, 49) ==
		    key_of("[2001:db8:0:c000::1]:80", 32, 49));
	/* One host, however it came. */
	assert_true(key_of("[::ffff:10.1.2.3]:80", 32, 64) == key_of("10.1.2.3:80", 32, 64));
	assert_true(key_of("unix:/a", 32, 64) == key_of("unix:/b", 32, 64));
	assert_true(key_of("unix:/a", 32, 64) != key_of("0.0.0.0:1", 32, 64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact_among_threads),
		cmocka_unit_test(test_flood_among_threads),
		cmocka_unit_test(test_conns_among_threads),
		cmocka_unit_test(test_kept_over_reloads),
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
