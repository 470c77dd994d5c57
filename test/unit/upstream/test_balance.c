// SPDX-License-Identifier: Apache-2.0
#include "upstream/balance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/hash.h"
#include "unit.h"

#define SERVERS_MAX 1024
/* Chance is part of what is tested, so it is always the same. */
#define SEED 0x51a1ceull

/* A group as a test sees it. */
static struct world {
	unsigned count;
	uint32_t weights[SERVERS_MAX], loads[SERVERS_MAX], shares[SERVERS_MAX];
	uint64_t ids[SERVERS_MAX];
	bool out[SERVERS_MAX];
	unsigned looks;
	unsigned picked[SERVERS_MAX];
	struct balance_table *table;
	struct balance balance;
	struct balance_query query;
} w;

static bool look(const struct balance_query *q, unsigned server, struct balance_sight *sight)
{
	assert_true(server < w.count);
	assert_ptr_equal(q->owner, &w);
	w.looks++;
	*sight = (struct balance_sight){.load = w.loads[server], .share = w.shares[server]};
	return !w.out[server];
}

static uint64_t id_of(unsigned i)
{
	char name[32];
	int n = snprintf(name, sizeof(name), "10.0.%u.%u:8080", i / 256, i % 256);

	return hash_bytes_fixed(name, (size_t)n, 0);
}

static void close_world(void)
{
	balance_destroy(&w.balance);
	balance_table_free(w.table);
	w.table = NULL;
}

/* After the world's servers were changed. */
static void set_table(enum upstream_balance how, uint64_t seed)
{
	struct ring_member members[SERVERS_MAX];

	for (unsigned i = 0; i < w.count; i++)
		members[i] = (struct ring_member){.id = w.ids[i], .weight = w.weights[i]};
	w.table = balance_table_new(how, members, w.count);
	assert_non_null(w.table);
	assert_int_equal(balance_init(&w.balance, w.table, seed), 0);
}

static void open_world(enum upstream_balance how, unsigned count, const uint32_t *weights,
		       uint64_t seed)
{
	memset(&w, 0, sizeof(w));
	w.count = count;
	w.query = (struct balance_query){.look = look, .owner = &w};
	for (unsigned i = 0; i < count; i++) {
		w.weights[i] = weights ? weights[i] : 1;
		w.shares[i] = BALANCE_SHARE_FULL;
		w.ids[i] = id_of(i);
	}
	set_table(how, seed);
}

static int pick(void)
{
	int i = balance_pick(&w.balance, &w.query);

	if (i >= 0)
		w.picked[i]++;
	return i;
}

static void pick_many(unsigned n)
{
	memset(w.picked, 0, sizeof(w.picked));
	for (unsigned i = 0; i < n; i++)
		assert_true(pick() >= 0);
}

/* Within `percent` of what its weight says. */
static void check_share(unsigned server, double expected, double percent)
{
	double got = w.picked[server];

	if (got < expected * (1 - percent / 100) || got > expected * (1 + percent / 100))
		fail_msg("server %u got %g, expected %g within %g %%", server, got, expected,
			 percent);
}

/* The next picks, as letters. */
static void check_sequence(const char *expected)
{
	char got[64] = "";

	for (unsigned i = 0; i < strlen(expected); i++) {
		int at = pick();

		got[i] = at < 0 ? '-' : (char)('a' + at);
	}
	assert_string_equal(got, expected);
}

static void test_round_robin_takes_one_after_another(void **state)
{
	open_world(UPSTREAM_ROUND_ROBIN, 3, (uint32_t[]){5, 1, 1}, 0);
	check_sequence("abcabcab");
	w.out[2] = true;
	check_sequence("abab");
	w.out[2] = false;
	check_sequence("cabc");
	w.looks = 0;
	pick_many(300);
	assert_int_equal(w.looks, 300);
	close_world();
}

/* The sequence that nginx documents for 5, 1, 1. */
static void test_smooth_weighted_round_robin(void **state)
{
	open_world(UPSTREAM_WEIGHTED, 3, (uint32_t[]){5, 1, 1}, 0);
	check_sequence("aabacaaaabacaa");
	w.out[0] = true;
	check_sequence("bcbcbc");
	w.out[0] = false;
	pick_many(7000);
	assert_in_range(w.picked[0], 4999, 5001);
	close_world();

	open_world(UPSTREAM_WEIGHTED, 2, (uint32_t[]){2, 1}, 0);
	check_sequence("abaaba");
	/* A server that starts slowly has a share of its weight: 2 * 64 / 256 to 1. */
	w.shares[0] = BALANCE_SHARE_FULL / 4;
	pick_many(3000);
	check_share(0, 1000, 1);
	check_share(1, 2000, 1);
	close_world();
}

static void test_workers_begin_at_different_servers(void **state)
{
	unsigned first[4] = {0};

	for (uint64_t seed = 1; seed <= 400; seed++) {
		open_world(seed % 2 ? UPSTREAM_WEIGHTED : UPSTREAM_ROUND_ROBIN, 4, NULL, seed);
		first[pick()]++;
		close_world();
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(first[i], 60, 140);
}

static void test_random_by_weight(void **state)
{
	open_world(UPSTREAM_RANDOM, 4, (uint32_t[]){1, 2, 3, 4}, SEED);
	printf("random: seed %#llx\n", SEED);
	pick_many(100000);
	for (unsigned i = 0; i < 4; i++)
		check_share(i, 10000.0 * (i + 1), 3);
	w.out[3] = true;
	w.shares[2] = BALANCE_SHARE_FULL / 3;
	pick_many(100000);
	assert_int_equal(w.picked[3], 0);
	check_share(0, 25000, 3);
	check_share(1, 50000, 3);
	check_share(2, 25000, 3);
	close_world();
}

/* All but one of 1024 out: found, and still by weight among two. */
static void test_random_with_few_that_may_be_picked(void **state)
{
	open_world(UPSTREAM_RANDOM, SERVERS_MAX, NULL, SEED);
	memset(w.out, true, sizeof(w.out));
	assert_int_equal(pick(), -1);
	w.out[700] = false;
	pick_many(20);
	assert_int_equal(w.picked[700], 20);
	w.out[3] = false;
	w.shares[3] = BALANCE_SHARE_FULL / 2;
	pick_many(6000);
	check_share(3, 2000, 6);
	close_world();
}

/* Balls into bins: of 100,000 balls over 100 servers the fullest has far less than with random choice. */
static unsigned fullest(enum upstream_balance how)
{
	unsigned most = 0;

	open_world(how, 100, NULL, SEED);
	for (unsigned i = 0; i < 100000; i++)
		w.loads[pick()]++;
	for (unsigned i = 0; i < w.count; i++)
		most = SL_MAX(most, w.loads[i]);
	close_world();
	return most;
}

static void test_two_choices_load_better_than_one(void **state)
{
	unsigned one = fullest(UPSTREAM_RANDOM), two = fullest(UPSTREAM_P2C);

	printf("p2c: seed %#llx, fullest of 100 servers by random %u, by two choices %u of 1000\n",
	       SEED, one, two);
	assert_true(one > 1050);
	assert_true(two < 1010);
}

static void test_two_choices_by_weight(void **state)
{
	open_world(UPSTREAM_P2C, 3, (uint32_t[]){1, 1, 2}, SEED);
	/* Loads stay in proportion to the weights when they grow. */
	for (unsigned i = 0; i < 40000; i++)
		w.loads[pick()]++;
	check_share(0, 10000, 2);
	check_share(2, 20000, 2);
	/* Of two that may be picked the less loaded one, always. */
	w.out[2] = true;
	w.loads[0] = 10;
	w.loads[1] = 9;
	pick_many(100);
	assert_int_equal(w.picked[1], 100);
	w.out[1] = true;
	assert_int_equal(pick(), 0);
	w.out[0] = true;
	assert_int_equal(pick(), -1);
	close_world();
}

static void test_least_load_per_weight(void **state)
{
	open_world(UPSTREAM_LEAST, 3, (uint32_t[]){1, 1, 4}, 0);
	w.loads[0] = 2;
	w.loads[1] = 1;
	w.loads[2] = 5;
	assert_int_equal(pick(), 1);
	w.loads[2] = 3;
	assert_int_equal(pick(), 2);
	/* Nobody has anything to do: by weight. */
	memset(w.loads, 0, sizeof(w.loads));
	pick_many(6000);
	check_share(0, 1000, 1);
	check_share(2, 4000, 1);
	/* Long requests: each server has its share of them. */
	for (unsigned i = 0; i < 600; i++)
		w.loads[pick()]++;
	assert_int_equal(w.loads[0], 100);
	assert_int_equal(w.loads[1], 100);
	assert_int_equal(w.loads[2], 400);
	close_world();
}

#define KEYS 200000

/* The key of number i, as hashes of addresses and names are: well mixed. */
static int pick_key(unsigned i)
{
	w.query.hash = hash_bytes_fixed(&i, sizeof(i), 7);
	return pick();
}

static void test_address_hash_keeps_clients_where_they_are(void **state)
{
	static int16_t home[KEYS];
	unsigned moved = 0;

	open_world(UPSTREAM_ADDRESS, 10, (uint32_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1, 2}, 0);
	for (unsigned i = 0; i < KEYS; i++)
		home[i] = (int16_t)pick_key(i);
	for (unsigned i = 0; i < 10; i++)
		check_share(i, KEYS / 11.0 * (i == 9 ? 2 : 1), 3);
	w.out[4] = true;
	memset(w.picked, 0, sizeof(w.picked));
	for (unsigned i = 0; i < KEYS; i++) {
		int now = pick_key(i);

		assert_true(home[i] == 4 || now == home[i]);
		moved += now != home[i];
	}
	assert_in_range(moved, KEYS / 12, KEYS / 10);
	/* Those that moved are spread over the others. */
	check_share(0, KEYS / 10.0, 4);
	memset(w.out, true, sizeof(w.out));
	assert_int_equal(pick_key(1), -1);
	w.out[8] = false;
	assert_int_equal(pick_key(1), 8);
	close_world();
}

static void test_consistent_load_is_within_a_tenth_of_fair(void **state)
{
	double worst = 0;

	/* Twenty groups with other names: it is no luck. */
	for (unsigned group = 0; group < 20; group++) {
		memset(&w.picked, 0, sizeof(w.picked));
		open_world(UPSTREAM_CONSISTENT, 10, NULL, 0);
		close_world();
		for (unsigned i = 0; i < 10; i++)
			w.ids[i] = id_of(100 * group + i);
		set_table(UPSTREAM_CONSISTENT, 0);
		assert_int_equal(w.table->ring->count, 10 * RING_POINTS);
		for (unsigned i = 0; i < KEYS; i++)
			pick_key(i);
		for (unsigned i = 0; i < 10; i++) {
			double off = w.picked[i] / (KEYS / 10.0) - 1;

			worst = SL_MAX(worst, off < 0 ? -off : off);
			check_share(i, KEYS / 10.0, 10);
		}
		close_world();
	}
	printf("consistent: worst of 200 servers is %.1f %% off\n", 100 * worst);
}

/* Server 9 leaves the table, or may not be picked: only its keys move, in both cases to the same place. */
static void test_consistent_moves_only_the_keys_of_who_leaves(void **state)
{
	static int16_t home[KEYS], out[KEYS];
	unsigned moved = 0;

	open_world(UPSTREAM_CONSISTENT, 10, NULL, 0);
	for (unsigned i = 0; i < KEYS; i++)
		home[i] = (int16_t)pick_key(i);
	w.out[9] = true;
	for (unsigned i = 0; i < KEYS; i++)
		out[i] = (int16_t)pick_key(i);
	close_world();
	w.count = 9;
	set_table(UPSTREAM_CONSISTENT, 0);
	memset(w.picked, 0, sizeof(w.picked));
	for (unsigned i = 0; i < KEYS; i++) {
		int now = pick_key(i);

		assert_true(home[i] == 9 || now == home[i]);
		assert_int_equal(now, out[i]);
		moved += now != home[i];
	}
	printf("consistent: %.2f %% of the keys moved when one of ten left\n",
	       100.0 * moved / KEYS);
	assert_true(moved <= KEYS / 10 + KEYS / 50);
	for (unsigned i = 0; i < 9; i++)
		check_share(i, KEYS / 9.0, 10);
	close_world();
}

static void test_consistent_by_weight(void **state)
{
	open_world(UPSTREAM_CONSISTENT, 4, (uint32_t[]){10, 10, 20, 40}, 0);
	assert_int_equal(w.table->ring->count, 8 * RING_POINTS);
	for (unsigned i = 0; i < KEYS; i++)
		pick_key(i);
	for (unsigned i = 0; i < 4; i++)
		check_share(i, KEYS * w.weights[i] / 80.0, 10);
	/* In its slow start the last one has some of the keys that it will have, and no other. */
	memset(w.picked, 0, sizeof(w.picked));
	w.shares[3] = BALANCE_SHARE_FULL / 4;
	for (unsigned i = 0; i < 1000; i++) {
		int slow, whole;

		w.shares[3] = BALANCE_SHARE_FULL / 4;
		slow = pick_key(i);
		w.shares[3] = BALANCE_SHARE_FULL;
		whole = pick_key(i);
		assert_true(slow == whole || whole == 3);
	}
	close_world();
}

/* As many points as there may be: the lightest still has one, and every server is found. */
static void test_the_ring_at_its_limit(void **state)
{
	uint32_t weights[SERVERS_MAX];

	for (unsigned i = 0; i < SERVERS_MAX; i++)
		weights[i] = i == 5 ? 1 : UPSTREAM_WEIGHT_MAX;
	open_world(UPSTREAM_CONSISTENT, SERVERS_MAX, weights, 0);
	assert_in_range(w.table->ring->count, RING_POINTS_MAX - SERVERS_MAX,
			RING_POINTS_MAX + SERVERS_MAX);
	for (uint32_t i = 1; i < w.table->ring->count; i++)
		assert_true(w.table->ring->points[i - 1] <= w.table->ring->points[i]);
	for (unsigned i = 0; i < KEYS; i++)
		pick_key(i);
	for (unsigned i = 0; i < SERVERS_MAX; i++)
		if (i != 5)
			assert_in_range(w.picked[i], KEYS / SERVERS_MAX / 2,
					KEYS / SERVERS_MAX * 2);
	memset(w.out, true, sizeof(w.out));
	assert_int_equal(pick_key(0), -1);
	w.out[77] = false;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(pick_key(i), 77);
	close_world();
}

static void test_a_place_is_found_as_by_walking(void **state)
{
	struct chance c = {SEED};

	open_world(UPSTREAM_CONSISTENT, 3, (uint32_t[]){3, 1, 7}, 0);

	const struct ring *r = w.table->ring;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t place =
			i < r->count ? r->points[i] >> 16 : chance_next(&c) >> (64 - RING_BITS);
		uint32_t at = 0;

		while (at < r->count && r->points[at] >> 16 < place)
			at++;
		assert_int_equal(ring_find(r, place), at % r->count);
	}
	close_world();
}

/* One key that everybody wants: no server gets more than 125 % of the mean. */
static void test_consistent_with_bounded_load(void **state)
{
	uint64_t load = 0;

	open_world(UPSTREAM_CONSISTENT, 10, NULL, 0);
	w.query.load_max_percent = 125;
	for (unsigned i = 0; i < 1000; i++) {
		int at;

		w.query.load = load;
		at = pick_key(42);
		w.loads[at]++;
		load++;
		assert_true(w.loads[at] <= (load * 125 + 999) / 1000);
	}
	/* Where it belongs, as long as there is room. */
	memset(w.loads, 0, sizeof(w.loads));
	w.query.load = 0;

	int home = pick_key(42);

	w.loads[home] = 1;
	w.query.load = 10;
	assert_int_equal(pick_key(42), home);
	w.loads[home] = 2;
	assert_int_not_equal(pick_key(42), home);
	/* More load than all bounds together, since the others are out: somebody has to. */
	memset(w.out, true, sizeof(w.out));
	w.out[1] = w.out[2] = false;
	w.loads[1] = 50;
	w.loads[2] = 40;
	w.query.load = 90;
	assert_int_equal(pick_key(42), 2);
	close_world();
}

static void test_every_balance_with_one_server(void **state)
{
	for (int how = UPSTREAM_ROUND_ROBIN; how <= UPSTREAM_CONSISTENT; how++) {
		open_world((enum upstream_balance)how, 1, NULL, SEED);
		for (unsigned i = 0; i < 10; i++)
			assert_int_equal(pick_key(i), 0);
		w.shares[0] = 1;
		for (unsigned i = 0; i < 10; i++)
			assert_int_equal(pick_key(i), 0);
		w.out[0] = true;
		assert_int_equal(pick_key(0), -1);
		close_world();
	}
}

static void test_slow_start(void **state)
{
	uint64_t at = 77 * CLOCK_NS_PER_S;

	assert_int_equal(balance_share(0, at, 10000), BALANCE_SHARE_FULL);
	assert_int_equal(balance_share(at, at, 0), BALANCE_SHARE_FULL);
	assert_int_equal(balance_share(at, at, 10000), BALANCE_SHARE_FULL / 10);
	/* It will come back later: ejected, and yet there is no other. */
	assert_int_equal(balance_share(at + 1, at, 10000), BALANCE_SHARE_FULL / 10);
	assert_int_equal(balance_share(at, at + 5 * CLOCK_NS_PER_S, 10000), BALANCE_SHARE_FULL / 2);
	assert_int_equal(balance_share(at, at + 10 * CLOCK_NS_PER_S, 10000), BALANCE_SHARE_FULL);
}

static void test_backoff_has_full_jitter(void **state)
{
	struct chance c = {SEED};
	uint64_t sums[6] = {0};
	uint32_t most[6] = {0};

	printf("backoff: seed %#llx\n", SEED);
	for (unsigned failed = 1; failed <= 5; failed++)
		for (unsigned i = 0; i < 20000; i++) {
			uint32_t ms = chance_backoff_ms(&c, 100, 1000, failed);

			sums[failed] += ms;
			most[failed] = SL_MAX(most[failed], ms);
		}
	for (unsigned failed = 1; failed <= 5; failed++) {
		uint32_t top = SL_MIN(100u << (failed - 1), 1000u);

		assert_in_range(most[failed], top - top / 100, top);
		assert_in_range(sums[failed] / 20000, top / 2 - top / 50, top / 2 + top / 50);
	}
	assert_int_equal(chance_backoff_ms(&c, 0, 1000, 3), 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_in_range(chance_backoff_ms(&c, UINT32_MAX, 5000, 1000), 0, 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_takes_one_after_another),
		cmocka_unit_test(test_smooth_weighted_round_robin),
		cmocka_unit_test(test_workers_begin_at_different_servers),
		cmocka_unit_test(test_random_by_weight),
		cmocka_unit_test(test_random_with_few_that_may_be_picked),
		cmocka_unit_test(test_two_choices_load_better_than_one),
		cmocka_unit_test(test_two_choices_by_weight),
		cmocka_unit_test(test_least_load_per_weight),
		cmocka_unit_test(test_address_hash_keeps_clients_where_they_are),
		cmocka_unit_test(test_consistent_load_is_within_a_tenth_of_fair),
		cmocka_unit_test(test_consistent_moves_only_the_keys_of_who_leaves),
		cmocka_unit_test(test_consistent_by_weight),
		cmocka_unit_test(test_the_ring_at_its_limit),
		cmocka_unit_test(test_a_place_is_found_as_by_walking),
		cmocka_unit_test(test_consistent_with_bounded_load),
		cmocka_unit_test(test_every_balance_with_one_server),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_backoff_has_full_jitter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
