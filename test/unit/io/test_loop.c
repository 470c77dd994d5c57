// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/compiler.h"
#include "io/backend.h"
#include "unit.h"

/* The loop over a backend that does nothing but tell the time, which is the test's. */

static struct io_loop *loop;
static uint64_t clock_ns;
static int64_t slept_ns[16];
static unsigned sleeps;
static const struct io_backend *real;

static uint64_t fake_now(struct io_loop *on)
{
	return clock_ns;
}

/* Sleeps exactly as long as it is told to. */
static int fake_wait(struct io_loop *on, int64_t timeout_ns)
{
	assert_true(sleeps < SL_ARRAY_SIZE(slept_ns));
	slept_ns[sleeps++] = timeout_ns;
	if (timeout_ns > 0)
		clock_ns += (uint64_t)timeout_ns;
	io_loop_woke(on);
	return 0;
}

static struct io_backend fake;

static int open_loop(void **state)
{
	struct io_options options = {.engine = IO_ENGINE_POLL};
	char why[128];

	if (io_loop_new(&options, &loop, why, sizeof(why)) < 0)
		return -1;
	real = loop->backend;
	fake = *real;
	fake.now_ns = fake_now;
	fake.wait = fake_wait;
	loop->backend = &fake;
	clock_ns = 1000 * CLOCK_NS_PER_S + 1;
	loop->now_ns = clock_ns;
	io_wheel_init(&loop->wheel, clock_ns / CLOCK_NS_PER_MS);
	sleeps = 0;
	return 0;
}

static int close_loop(void **state)
{
	loop->backend = real;
	io_loop_free(loop);
	return 0;
}

struct alarm {
	struct io_timer timer;
	uint64_t fired_ns, again_ms;
	unsigned fired;
};

static void alarm_fired(struct io_timer *timer)
{
	struct alarm *alarm = SL_CONTAINER(timer, struct alarm, timer);

	alarm->fired++;
	alarm->fired_ns = io_now_ns(loop);
	if (alarm->again_ms)
		io_timer_set(loop, timer, alarm->again_ms);
}

static void test_the_sleep_ends_with_the_timer(void **state)
{
	struct alarm alarm = {.timer.fire = alarm_fired};
	uint64_t start = clock_ns;

	io_timer_set(loop, &alarm.timer, 20);
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(alarm.fired, 1);
	/* Not early, and less than a millisecond late. */
	assert_in_range(alarm.fired_ns - start, 20 * CLOCK_NS_PER_MS, 21 * CLOCK_NS_PER_MS);
	/* The caller's bound is shorter. */
	io_timer_set(loop, &alarm.timer, 20);
	assert_int_equal(io_loop_turn(loop, 1000), 0);
	assert_int_equal(slept_ns[1], 1000);
	assert_int_equal(alarm.fired, 1);
	io_timer_stop(&alarm.timer);
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(slept_ns[2], -1);
}

static void test_a_timer_set_between_turns_counts_from_then(void **state)
{
	struct alarm alarm = {.timer.fire = alarm_fired};
	uint64_t set;

	assert_int_equal(io_loop_turn(loop, 0), 0);
	/* The program is busy elsewhere, and the cached time grows old. */
	clock_ns += 3 * CLOCK_NS_PER_S;
	set = clock_ns;
	io_timer_set(loop, &alarm.timer, 50);
	/* Something else wakes the loop at once. */
	assert_int_equal(io_loop_turn(loop, 1000), 0);
	assert_int_equal(alarm.fired, 0);
	while (!alarm.fired)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_true(alarm.fired_ns >= set + 50 * CLOCK_NS_PER_MS);
}

static void test_a_timer_for_now_fires_once_a_turn(void **state)
{
	struct alarm now = {.timer.fire = alarm_fired};

	for (unsigned i = 1; i <= 5; i++) {
		io_timer_set(loop, &now.timer, 0);
		assert_int_equal(io_loop_turn(loop, -1), 0);
		assert_int_equal(now.fired, i);
		assert_int_equal(slept_ns[i - 1], 0);
	}
}

static void test_the_farthest_time_does_not_overflow(void **state)
{
	struct alarm alarm = {.timer.fire = alarm_fired};

	io_timer_set(loop, &alarm.timer, UINT64_MAX);
	assert_int_equal(io_loop_turn(loop, CLOCK_NS_PER_S), 0);
	assert_int_equal(slept_ns[0], CLOCK_NS_PER_S);
	assert_int_equal(alarm.fired, 0);
	io_timer_stop(&alarm.timer);
}

struct spinner {
	struct io_task task;
	unsigned runs;
};

static void spin(struct io_task *task)
{
	struct spinner *spinner = SL_CONTAINER(task, struct spinner, task);

	spinner->runs++;
	io_defer(loop, task);
}

static void test_a_task_that_never_ends_does_not_stop_the_loop(void **state)
{
	struct spinner spinner = {.task.run = spin};
	struct alarm alarm = {.timer.fire = alarm_fired};

	io_defer(loop, &spinner.task);
	io_timer_set(loop, &alarm.timer, 1);
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_in_range(spinner.runs, 1, 100);
	/* The poller is asked, and does not sleep. */
	clock_ns += 2 * CLOCK_NS_PER_MS;
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(slept_ns[1], 0);
	assert_int_equal(alarm.fired, 1);
	io_undefer(loop, &spinner.task);
}

#define loop_test(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		loop_test(test_the_sleep_ends_with_the_timer),
		loop_test(test_a_timer_set_between_turns_counts_from_then),
		loop_test(test_a_timer_for_now_fires_once_a_turn),
		loop_test(test_the_farthest_time_does_not_overflow),
		loop_test(test_a_task_that_never_ends_does_not_stop_the_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
