// SPDX-License-Identifier: Apache-2.0
#include "io/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/compiler.h"
#include "unit.h"

#define SPAN_MS (1ull << (IO_WHEEL_BITS * IO_WHEEL_LEVELS))

static struct io_wheel wheel;
static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % n;
}

/* SLUICE_TEST_SEED repeats a run. */
static void seed_random(void)
{
	const char *given = getenv("SLUICE_TEST_SEED");

	random_state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) * 2654435761u;
	random_state |= 1;
	print_message("SLUICE_TEST_SEED=%llu\n", (unsigned long long)random_state);
}

/* A delay of every magnitude that the wheel has levels for, and beyond. */
static uint64_t random_delay(void)
{
	return random_below(1ull << (1 + random_below(36)));
}

struct tick {
	struct io_timer timer;
	uint64_t due_ms; /* the model's */
	bool armed;
	unsigned fired;
};

static uint64_t advance_from, advance_to, fired_last_ms;

static void tick_fired(struct io_timer *timer)
{
	struct tick *tick = SL_CONTAINER(timer, struct tick, timer);

	if (!tick->armed || io_timer_armed(timer) || tick->due_ms > advance_to ||
	    tick->due_ms < fired_last_ms)
		fail_msg("due %llu, armed %d, after %llu, advancing %llu to %llu",
			 (unsigned long long)tick->due_ms, tick->armed,
			 (unsigned long long)fired_last_ms, (unsigned long long)advance_from,
			 (unsigned long long)advance_to);
	fired_last_ms = tick->due_ms;
	tick->armed = false;
	tick->fired++;
}

/* What is armed for the past is due now. */
static void tick_set(struct tick *tick, uint64_t due_ms)
{
	tick->timer.fire = tick_fired;
	tick->due_ms = SL_MAX(due_ms, wheel.now_ms);
	tick->armed = true;
	io_wheel_set(&wheel, &tick->timer, tick->due_ms);
}

static void tick_stop(struct tick *tick)
{
	tick->armed = false;
	io_timer_stop(&tick->timer);
}

static unsigned advance(uint64_t now_ms)
{
	advance_from = wheel.now_ms;
	advance_to = now_ms;
	fired_last_ms = 0;
	return io_wheel_advance(&wheel, now_ms);
}

static void test_an_empty_wheel_wants_nothing(void **state)
{
	struct tick tick = {0};

	io_wheel_init(&wheel, 1000);
	assert_int_equal(io_wheel_next_ms(&wheel), -1);
	assert_int_equal(advance(5000000), 0);
	assert_int_equal(io_wheel_next_ms(&wheel), -1);
	tick_set(&tick, 5000100);
	assert_int_equal(io_wheel_next_ms(&wheel), 100);
	tick_stop(&tick);
	tick_stop(&tick);
	assert_int_equal(io_wheel_next_ms(&wheel), -1);
}

/* At and beside every border between slots and levels: not a millisecond early, not one late. */
static void test_each_timer_fires_in_its_millisecond(void **state)
{
	static const uint64_t starts[] = {0, 1, 255, 256, 65535, 65537, (1 << 24) - 1, SPAN_MS - 3};

	for (unsigned s = 0; s < SL_ARRAY_SIZE(starts); s++) {
		for (unsigned bit = 0; bit <= 34; bit++) {
			for (int beside = -2; beside <= 2; beside++) {
				struct tick tick = {0};
				uint64_t due =
					starts[s] + (1ull << bit) + (uint64_t)(int64_t)beside;
				unsigned steps = 0;

				if (due < starts[s] || due > starts[s] + (1ull << 35))
					continue;
				io_wheel_init(&wheel, starts[s]);
				tick_set(&tick, due);
				while (!tick.fired && steps++ < 64) {
					int64_t next = io_wheel_next_ms(&wheel);

					assert_true(next >= 0);
					assert_true(wheel.now_ms + (uint64_t)next <= due);
					advance(wheel.now_ms + (uint64_t)next);
				}
				assert_int_equal(tick.fired, 1);
				assert_true(wheel.now_ms == due);
				assert_int_equal(io_wheel_next_ms(&wheel), -1);
			}
		}
	}
}

static void test_a_later_move_only_writes(void **state)
{
	struct tick tick = {0};
	struct io_timer **at;

	io_wheel_init(&wheel, 0);
	tick_set(&tick, 100);
	at = tick.timer.at;
	tick_set(&tick, 100000);
	assert_ptr_equal(tick.timer.at, at);
	assert_int_equal(advance(99999), 0);
	assert_int_equal(advance(100000), 1);
	/* An earlier one moves it. */
	tick_set(&tick, 300000);
	tick_set(&tick, 100001);
	assert_int_equal(advance(100001), 1);
}

struct again {
	struct io_timer timer;
	unsigned fired;
};

static void fire_again(struct io_timer *timer)
{
	struct again *again = SL_CONTAINER(timer, struct again, timer);

	again->fired++;
	io_wheel_set(&wheel, timer, wheel.now_ms);
}

static void test_what_fire_arms_for_now_waits_for_the_next_call(void **state)
{
	struct again again = {.timer.fire = fire_again};

	io_wheel_init(&wheel, 0);
	io_wheel_set(&wheel, &again.timer, 5);
	assert_int_equal(advance(1000), 1);
	assert_int_equal(io_wheel_next_ms(&wheel), 0);
	/* The time need not move for it. */
	assert_int_equal(advance(1000), 1);
	assert_int_equal(advance(1001), 1);
	assert_int_equal(again.fired, 3);
	io_timer_stop(&again.timer);
}

static struct tick victims[3];

static void fire_stops_and_moves(struct io_timer *timer)
{
	tick_stop(&victims[0]);
	tick_set(&victims[1], advance_to + 10);
}

static void test_fire_stops_and_moves_timers_that_are_due_too(void **state)
{
	struct io_timer killer = {.fire = fire_stops_and_moves};

	io_wheel_init(&wheel, 0);
	victims[0] = victims[1] = victims[2] = (struct tick){.armed = false};
	io_wheel_set(&wheel, &killer, 1);
	for (unsigned i = 0; i < 3; i++)
		tick_set(&victims[i], 2 + i);
	assert_int_equal(advance(10), 2);
	assert_int_equal(victims[0].fired, 0);
	assert_int_equal(victims[1].fired, 0);
	assert_int_equal(victims[2].fired, 1);
	assert_int_equal(advance(19), 0);
	assert_int_equal(advance(20), 1);
	assert_int_equal(victims[1].fired, 1);
}

#define MODEL_TIMERS 500
#define MODEL_STEPS 3000

static void model_check(const struct tick *ticks)
{
	uint64_t earliest = UINT64_MAX;
	int64_t next = io_wheel_next_ms(&wheel);

	for (unsigned i = 0; i < MODEL_TIMERS; i++) {
		assert_int_equal(io_timer_armed(&ticks[i].timer), ticks[i].armed);
		if (!ticks[i].armed)
			continue;
		/* Only what was armed since the last call may be due already. */
		earliest = SL_MIN(earliest, ticks[i].due_ms);
	}
	if (earliest == UINT64_MAX) {
		assert_int_equal(next, -1);
		return;
	}
	assert_true(next >= 0);
	assert_true(wheel.now_ms + (uint64_t)next <= earliest);
}

static void test_the_wheel_agrees_with_a_model(void **state)
{
	static struct tick ticks[MODEL_TIMERS];

	seed_random();
	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		ticks[i] = (struct tick){.armed = false};
	io_wheel_init(&wheel, random_delay());
	for (unsigned step = 0; step < MODEL_STEPS; step++) {
		uint64_t to =
			wheel.now_ms + (random_below(3) ? random_below(300) : random_delay() / 8);
		unsigned due = 0, fired;

		for (unsigned i = (unsigned)random_below(40); i > 0; i--) {
			struct tick *tick = &ticks[random_below(MODEL_TIMERS)];

			if (random_below(4))
				tick_set(tick, wheel.now_ms + random_delay());
			else
				tick_stop(tick);
		}
		model_check(ticks);
		for (unsigned i = 0; i < MODEL_TIMERS; i++)
			due += ticks[i].armed && ticks[i].due_ms <= to;
		fired = advance(to);
		assert_int_equal(fired, due);
		for (unsigned i = 0; i < MODEL_TIMERS; i++)
			assert_false(ticks[i].armed && ticks[i].due_ms <= to);
		model_check(ticks);
	}
}

#define MILLION 1000000u

static void test_a_million_timers_agree_with_a_model(void **state)
{
	struct tick *ticks = calloc(MILLION, sizeof(*ticks));
	unsigned *due_at = calloc(MILLION, sizeof(*due_at));
	uint64_t last = 0;

	assert_non_null(ticks);
	assert_non_null(due_at);
	seed_random();
	io_wheel_init(&wheel, 0);
	for (unsigned i = 0; i < MILLION; i++)
		tick_set(&ticks[i], random_below(MILLION));
	for (unsigned i = 0; i < MILLION; i++) {
		struct tick *tick = &ticks[random_below(MILLION)];

		if (random_below(3))
			tick_set(tick, random_below(MILLION));
		else
			tick_stop(tick);
	}
	for (unsigned i = 0; i < MILLION; i++)
		due_at[ticks[i].due_ms] += ticks[i].armed;
	while (last < MILLION - 1) {
		uint64_t to = last + 1 + random_below(2000);
		unsigned due = 0;

		to = SL_MIN(to, MILLION - 1);
		for (uint64_t ms = last ? last + 1 : 0; ms <= to; ms++)
			due += due_at[ms];
		assert_int_equal(advance(to), due);
		last = to;
	}
	assert_int_equal(io_wheel_next_ms(&wheel), -1);
	free(due_at);
	free(ticks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_wheel_wants_nothing),
		cmocka_unit_test(test_each_timer_fires_in_its_millisecond),
		cmocka_unit_test(test_a_later_move_only_writes),
		cmocka_unit_test(test_what_fire_arms_for_now_waits_for_the_next_call),
		cmocka_unit_test(test_fire_stops_and_moves_timers_that_are_due_too),
		cmocka_unit_test(test_the_wheel_agrees_with_a_model),
		cmocka_unit_test(test_a_million_timers_agree_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
