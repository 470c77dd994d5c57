// SPDX-License-Identifier: Apache-2.0

/* The table under pressure: who is evicted comes back with no more than he had, and few are hurt. */

#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "guard/table.h"
#include "random.h"
#include "unit.h"

#define KEYS 60

static const enum guard_algorithm all[] = {GUARD_FIXED_WINDOW, GUARD_SLIDING_WINDOW,
					   GUARD_TOKEN_BUCKET, GUARD_LEAKY_BUCKET, GUARD_GCRA};

static void rate_of(struct guard_rate *rate, enum guard_algorithm algorithm, uint32_t count,
		    uint32_t burst)
{
	const struct guard_limit_config config = {.algorithm = algorithm,
						  .count = count,
						  .period_ns = CLOCK_NS_PER_S,
						  .burst = burst};

	guard_rate_init(rate, &config);
}

struct tally {
	unsigned stored[4];
};

static bool take(const struct guard_table *t, const struct guard_rate *rate, uint64_t key,
		 uint64_t now_ns, struct tally *tally)
{
	struct guard_place place;
	struct guard_verdict v;

	guard_table_lock(t, key, &place);
	if (!guard_rate_take(rate, place.state, now_ns, 1, &v)) {
		guard_table_unlock(&place);
		return false;
	}
	tally->stored[guard_table_store(&place, rate, now_ns)]++;
	return true;
}

static uint64_t key_at(uint64_t i)
{
	struct random r = {i};

	return random_u64(&r);
}

/*
 * Many more keys than places, all of them in use. Beside the table each key has a state of its own that forgets nothing: what
 * the table lets pass, that one must let pass too.
 */
static void test_eviction_gives_nothing(void **unused)
{
	struct random r = random_start(__func__);

	for (unsigned n = 0; n < 100; n++) {
		guard_u128 exact[KEYS] = {0};
		struct guard_table t;
		struct guard_rate rate;
		struct guard_verdict v;
		struct tally tally = {{0}};
		uint64_t now_ns = random_below(&r, CLOCK_NS_PER_S);

		rate_of(&rate, all[n % SL_ARRAY_SIZE(all)], (uint32_t)(1 + random_below(&r, 40)),
			(uint32_t)random_below(&r, 20));
		assert_int_equal(guard_table_init(&t, 8), 0);
		assert_int_equal(t.bucket_count, 1);
		for (unsigned i = 0; i < 5000; i++) {
			/* A few of them ask often. */
			uint64_t k = random_below(&r, random_below(&r, 2) ? KEYS : 5);
			uint64_t late =
				random_below(&r, 10) ? 0 : random_below(&r, 5 * CLOCK_NS_PER_MS);
			uint64_t at = now_ns - SL_MIN(late, now_ns);
			if (take(&t, &rate, key_at(k), at, &tally))
				assert_true(guard_rate_take(&rate, &exact[k], at, 1, &v));
			now_ns += random_below(&r, 3 * CLOCK_NS_PER_MS);
		}
		assert_true(tally.stored[GUARD_STORED_NEW] == GUARD_WAYS);
		assert_true(tally.stored[GUARD_STORED_EVICT] > 0);
		guard_table_destroy(&t);
	}
}

/* A flood of keys that are seen once does not help the one that has used its quota. */
static void test_flood_resets_nobody(void **unused)
{
	for (unsigned a = 0; a < SL_ARRAY_SIZE(all); a++) {
		struct guard_table t;
		struct guard_rate rate;
		struct tally tally = {{0}};
		uint64_t now_ns = 10 * CLOCK_NS_PER_S;
		unsigned passed = 0;

		rate_of(&rate, all[a], 20, 19);
		assert_int_equal(guard_table_init(&t, 1000), 0);
		for (unsigned i = 0; i < 400000; i++) {
			passed += take(&t, &rate, key_at(0), now_ns, &tally);
			(void)take(&t, &rate, key_at(1 + i), now_ns, &tally);
			now_ns += 2000;
		}
		/* 0.8 seconds. */
		assert_in_range(passed, 20, rate.algorithm <= GUARD_SLIDING_WINDOW ? 20 : 20 + 16);
		assert_true(tally.stored[GUARD_STORED_EVICT] > 0);
		guard_table_destroy(&t);
	}
}

/* Keys that come, are let through once and do not come back cost nobody anything, however many they are. */
static void test_idle_keys_make_room(void **unused)
{
	struct guard_table t;
	struct guard_rate rate;
	struct tally tally = {{0}};
	uint64_t now_ns = CLOCK_NS_PER_S;

	rate_of(&rate, GUARD_GCRA, 100, 0);
	assert_int_equal(guard_table_init(&t, 100), 0);
	for (uint64_t i = 0; i < 100000; i++) {
		assert_true(take(&t, &rate, key_at(i), now_ns, &tally));
		/* Ten of them owe at any time. */
		now_ns += CLOCK_NS_PER_MS;
	}
	assert_int_equal(tally.stored[GUARD_STORED_EVICT], 0);
	assert_true(tally.stored[GUARD_STORED_REPLACE] > 99000);
	guard_table_destroy(&t);
}

/* As many keys as were promised, all of them owing: hardly any is evicted, and not one is refused for another's sake. */
static void test_keys_max(void **unused)
{
	const unsigned keys = 100000;
	struct guard_table t;
	struct guard_rate rate;
	struct tally tally = {{0}};
	unsigned refused = 0;

	rate_of(&rate, GUARD_TOKEN_BUCKET, 10, 10);
	assert_int_equal(guard_table_init(&t, keys), 0);
	assert_in_range(guard_table_bytes(&t) / keys, 30, 32);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < keys; i++)
			refused += !take(&t, &rate, key_at(i), CLOCK_NS_PER_S, &tally);
	assert_int_equal(refused, 0);
	assert_true(tally.stored[GUARD_STORED_NEW] > keys / 100 * 95);
	guard_table_destroy(&t);
}

/* Asking and being refused change nothing: whoever is refused evicts nobody. */
static void test_refused_leaves_no_trace(void **unused)
{
	struct guard_table t;
	struct guard_rate rate;
	struct tally tally = {{0}};
	struct guard_bucket before;
	unsigned i = 0;

	rate_of(&rate, GUARD_FIXED_WINDOW, 1, 0);
	assert_int_equal(guard_table_init(&t, 1), 0);
	while (take(&t, &rate, key_at(i), 1, &tally))
		i++;
	/* A bucket of keys that have used all: one more got in, and paid for it. */
	assert_in_range(i, GUARD_WAYS, GUARD_WAYS + 1);
	memcpy(&before, t.buckets, sizeof(before));
	for (unsigned n = 0; n < 1000; n++)
		assert_false(take(&t, &rate, key_at(i + n), 1, &tally));
	assert_memory_equal(&before, t.buckets, sizeof(before));
	assert_true(take(&t, &rate, key_at(i), 1 + CLOCK_NS_PER_S, &tally));
	guard_table_destroy(&t);
}

static void test_holds(void **unused)
{
	struct random r = random_start(__func__);

	for (unsigned n = 0; n < 50; n++) {
		struct guard_holds h;
		unsigned held[KEYS] = {0}, all_held = 0;
		uint32_t max = (uint32_t)(1 + random_below(&r, 5));
		unsigned keys = n % 2 ? KEYS : GUARD_HOLD_WAYS;

		assert_int_equal(guard_holds_init(&h, 1), 0);
		assert_int_equal(h.bucket_count, 1);
		for (unsigned i = 0; i < 5000; i++) {
			uint64_t k = random_below(&r, keys);
			if (random_below(&r, 2) && held[k]) {
				guard_holds_leave(&h, key_at(k));
				held[k]--;
				all_held--;
				continue;
			}
			bool fits = held[k] < max;
			bool entered = guard_holds_enter(&h, key_at(k), max);
			/* Never too many; and never too few, while there is a place for each. */
			assert_true(!entered || fits);
			if (keys <= GUARD_HOLD_WAYS)
				assert_int_equal(entered, fits);
			held[k] += entered;
			all_held += entered;
			assert_true(all_held <= (GUARD_HOLD_WAYS + 1) * max);
		}
		for (unsigned k = 0; k < keys; k++)
			for (; held[k]; held[k]--)
				guard_holds_leave(&h, key_at(k));
		/* All are gone: each has his own again. */
		for (unsigned k = 0; k < GUARD_HOLD_WAYS; k++)
			for (unsigned i = 0; i <= max; i++)
				assert_int_equal(guard_holds_enter(&h, key_at(k), max), i < max);
		guard_holds_destroy(&h);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eviction_gives_nothing),
		cmocka_unit_test(test_flood_resets_nobody),
		cmocka_unit_test(test_idle_keys_make_room),
		cmocka_unit_test(test_keys_max),
		cmocka_unit_test(test_refused_leaves_no_trace),
		cmocka_unit_test(test_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
