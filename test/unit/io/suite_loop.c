// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "suite.h"

static char order[64];

static void note(char c)
{
	size_t n = strlen(order);

	assert_true(n + 1 < sizeof(order));
	order[n] = c;
	order[n + 1] = '\0';
}

struct job {
	struct io_task task;
	struct io_msg msg;
	char name;
	struct job *other;
	unsigned again;
};

static void job_run(struct io_task *task)
{
	struct job *job = SL_CONTAINER(task, struct job, task);

	note(job->name);
	if (job->other)
		io_undefer(suite_loop, &job->other->task);
	if (job->again) {
		job->again--;
		io_defer(suite_loop, task);
	}
}

static void jobs_init(struct job *jobs, unsigned n)
{
	order[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		jobs[i] = (struct job){.task.run = job_run, .name = (char)('a' + i)};
}

static void test_tasks_run_in_order_once(void **state)
{
	struct job jobs[4];

	jobs_init(jobs, 4);
	for (unsigned i = 0; i < 4; i++)
		io_defer(suite_loop, &jobs[i].task);
	io_defer(suite_loop, &jobs[0].task);
	assert_string_equal(order, "");
	suite_until(strlen(order) == 4);
	suite_world->settle();
	assert_string_equal(order, "abcd");
}

static void test_tasks_are_taken_back(void **state)
{
	struct job jobs[5];

	jobs_init(jobs, 5);
	io_undefer(suite_loop, &jobs[0].task);
	for (unsigned i = 0; i < 5; i++)
		io_defer(suite_loop, &jobs[i].task);
	/* The first, the last, and, from a task, one that is yet to come. */
	io_undefer(suite_loop, &jobs[0].task);
	io_undefer(suite_loop, &jobs[4].task);
	jobs[1].other = &jobs[2];
	suite_world->settle();
	assert_string_equal(order, "bd");
	io_defer(suite_loop, &jobs[4].task);
	suite_world->settle();
	assert_string_equal(order, "bde");
}

static void test_a_task_that_defers_itself_lets_others_run(void **state)
{
	struct job jobs[2];

	jobs_init(jobs, 2);
	jobs[0].again = 20;
	io_defer(suite_loop, &jobs[0].task);
	io_defer(suite_loop, &jobs[1].task);
	suite_until(jobs[0].again == 0 && !jobs[0].task.at);
	assert_string_equal(order, "abaaaaaaaaaaaaaaaaaaaa");
}

static void defer_job(struct rec *rec)
{
	struct job *job = rec->arg;

	io_defer(suite_loop, &job->task);
}

static void test_tasks_follow_the_callbacks_that_deferred_them(void **state)
{
	struct end a, b;
	struct job job;

	jobs_init(&job, 1);
	suite_pair(&a, &b);
	a.rd.then = defer_job;
	a.rd.arg = &job;
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_send(&b, 1);
	/* No turn sleeps while there is a task, so it has run when the bytes have come. */
	suite_until(a.rd.mores);
	assert_string_equal(order, "a");
	a.rd.then = NULL;
	suite_close(&a);
	suite_close(&b);
}

static void job_posted(struct io_loop *loop, struct io_msg *msg)
{
	struct job *job = SL_CONTAINER(msg, struct job, msg);

	assert_ptr_equal(loop, suite_loop);
	note(job->name);
	if (job->other)
		io_post(loop, &job->other->msg);
}

static void test_messages_run_in_order(void **state)
{
	struct job jobs[4];

	jobs_init(jobs, 4);
	for (unsigned i = 0; i < 4; i++)
		jobs[i].msg.run = job_posted;
	jobs[0].other = &jobs[3];
	for (unsigned i = 0; i < 3; i++)
		io_post(suite_loop, &jobs[i].msg);
	assert_string_equal(order, "");
	suite_until(strlen(order) == 4);
	assert_string_equal(order, "abcd");
}

/* Timers. */

struct alarm {
	struct io_timer timer;
	char name;
	uint64_t set_ns, after_ms;
	unsigned fired;
	struct alarm *stop, *arm;
};

static void alarm_set(struct alarm *alarm, uint64_t after_ms)
{
	io_timer_set(suite_loop, &alarm->timer, after_ms);
	alarm->set_ns = io_now_ns(suite_loop);
	alarm->after_ms = after_ms;
}

static void alarm_fired(struct io_timer *timer)
{
	struct alarm *alarm = SL_CONTAINER(timer, struct alarm, timer);

	assert_false(io_timer_armed(timer));
	assert_true(io_now_ns(suite_loop) >= alarm->set_ns + alarm->after_ms * CLOCK_NS_PER_MS);
	alarm->fired++;
	note(alarm->name);
	if (alarm->stop)
		io_timer_stop(&alarm->stop->timer);
	if (alarm->arm)
		alarm_set(alarm->arm, 1);
}

static void alarms_init(struct alarm *alarms, unsigned n)
{
	order[0] = '\0';
	for (unsigned i = 0; i < n; i++)
		alarms[i] = (struct alarm){.timer.fire = alarm_fired, .name = (char)('a' + i)};
}

/* Sets them inside one turn: there it is one time for all, however slow the machine is. */
struct setter {
	struct io_task task;
	void (*set)(struct alarm *);
	struct alarm *alarms;
};

static void setter_run(struct io_task *task)
{
	struct setter *setter = SL_CONTAINER(task, struct setter, task);

	setter->set(setter->alarms);
	assert_string_equal(order, "");
	setter->set = NULL;
}

static void set_in_a_turn(struct alarm *alarms, void (*set)(struct alarm *))
{
	struct setter setter = {.task.run = setter_run, .set = set, .alarms = alarms};

	io_defer(suite_loop, &setter.task);
	suite_until(!setter.set);
}

static void set_out_of_order(struct alarm *alarms)
{
	alarm_set(&alarms[4], 40);
	alarm_set(&alarms[1], 10);
	alarm_set(&alarms[3], 30);
	alarm_set(&alarms[0], 0);
	alarm_set(&alarms[2], 20);
}

static void test_timers_fire_in_order_and_not_early(void **state)
{
	struct alarm alarms[5];

	alarms_init(alarms, 5);
	set_in_a_turn(alarms, set_out_of_order);
	suite_until(alarms[4].fired);
	assert_string_equal(order, "abcde");
}

static void set_and_move(struct alarm *alarms)
{
	for (unsigned i = 0; i < 6; i++)
		alarm_set(&alarms[i], 10 + 10 * i);
	alarm_set(&alarms[0], 65);       /* later */
	alarm_set(&alarms[4], 5);        /* earlier */
	io_timer_stop(&alarms[1].timer); /* never */
	alarms[2].stop = &alarms[3];     /* stopped by a timer */
	alarms[5].arm = &alarms[1];      /* armed by a timer */
	io_timer_stop(&alarms[1].timer);
	assert_false(io_timer_armed(&alarms[1].timer));
}

static void test_timers_are_moved_and_stopped(void **state)
{
	struct alarm alarms[6];

	alarms_init(alarms, 6);
	set_in_a_turn(alarms, set_and_move);
	suite_until(alarms[0].fired && alarms[1].fired);
	assert_int_equal(alarms[3].fired, 0);
	assert_int_equal(strlen(order), 5);
	assert_memory_equal(order, "ecf", 3);
}

static void test_timers_that_defeat_each_other(void **state)
{
	struct alarm alarms[2];

	/* Both are due in the same millisecond; the first to fire stops the other. */
	alarms_init(alarms, 2);
	alarms[0].stop = &alarms[1];
	alarms[1].stop = &alarms[0];
	alarm_set(&alarms[0], 3);
	alarm_set(&alarms[1], 3);
	suite_until(alarms[0].fired || alarms[1].fired);
	suite_world->settle();
	assert_int_equal(alarms[0].fired + alarms[1].fired, 1);
}

#define MILLION 1000000u

struct tick {
	struct io_timer timer;
	bool stopped, fired;
};

static struct {
	struct tick *ticks;
	uint64_t last_ms;
	unsigned fired;
	uint32_t random;
} million;

static uint32_t million_random(uint32_t below)
{
	million.random = million.random * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)million.random * below >> 32);
}

static void tick_fired(struct io_timer *timer)
{
	struct tick *tick = SL_CONTAINER(timer, struct tick, timer);
	struct tick *other = &million.ticks[million_random(MILLION)];

	if (tick->stopped || tick->fired || timer->due_ms < million.last_ms ||
	    timer->due_ms * CLOCK_NS_PER_MS > io_now_ns(suite_loop))
		fail_msg("due %llu after %llu: stopped %d, fired %d",
			 (unsigned long long)timer->due_ms, (unsigned long long)million.last_ms,
			 tick->stopped, tick->fired);
	tick->fired = true;
	million.last_ms = timer->due_ms;
	million.fired++;
	if (million.fired % 16 == 0 && io_timer_armed(&other->timer))
		io_timer_set(suite_loop, &other->timer, 1 + million_random(100));
}

/* What the loop does over its wheel; the wheel alone is held against a model in test_timer. */
static void test_a_million_timers(void **state)
{
	unsigned stopped = 0;

	million.ticks = calloc(MILLION, sizeof(*million.ticks));
	assert_non_null(million.ticks);
	million.last_ms = 0;
	million.fired = 0;
	for (unsigned i = 0; i < MILLION; i++) {
		million.ticks[i].timer.fire = tick_fired;
		io_timer_set(suite_loop, &million.ticks[i].timer, 1 + million_random(700));
	}
	for (unsigned i = 0; i < MILLION; i += 1 + million_random(4)) {
		struct tick *tick = &million.ticks[i];

		if (million_random(2)) {
			io_timer_set(suite_loop, &tick->timer, 1 + million_random(700));
			continue;
		}
		io_timer_stop(&tick->timer);
		tick->stopped = true;
		stopped++;
	}
	suite_until(million.fired == MILLION - stopped);
	for (unsigned i = 0; i < MILLION; i++) {
		if (million.ticks[i].fired == million.ticks[i].stopped)
			fail_msg("timer %u", i);
	}
	free(million.ticks);
	million.ticks = NULL;
}

/* The loop itself. */

static void stop_posted(struct io_loop *loop, struct io_msg *msg)
{
	note('s');
	io_loop_stop(loop);
}

static void test_the_loop_runs_until_it_is_stopped(void **state)
{
	struct io_msg stop = {.run = stop_posted};

	suite_needs_kernel();
	order[0] = '\0';
	for (unsigned i = 1; i <= 3; i++) {
		io_post(suite_loop, &stop);
		assert_int_equal(io_loop_run(suite_loop), 0);
		assert_int_equal(strlen(order), i);
	}
}

static void test_the_loop_counts_what_it_does(void **state)
{
	struct job job;
	struct alarm alarm;
	struct end a, b;
	struct io_stats before, after;

	io_loop_stats(suite_loop, &before);
	jobs_init(&job, 1);
	alarms_init(&alarm, 1);
	job.msg.run = job_posted;
	io_defer(suite_loop, &job.task);
	io_post(suite_loop, &job.msg);
	alarm_set(&alarm, 0);
	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, 0);
	suite_send(&b, 1);
	suite_until(a.rd.finals && alarm.fired);
	io_loop_stats(suite_loop, &after);
	assert_true(after.turns > before.turns);
	assert_true(after.events > before.events);
	assert_int_equal(after.ops - before.ops, 1);
	assert_int_equal(after.tasks - before.tasks, 1);
	assert_int_equal(after.posts - before.posts, 1);
	assert_int_equal(after.timers - before.timers, 1);
	suite_close(&a);
	suite_close(&b);
}

static void test_the_loop_names_its_engine(void **state)
{
	assert_string_equal(io_engine_name(suite_loop), suite_world->engine);
	assert_true(strlen(io_loop_features(suite_loop)) > 0);
}

int suite_loop_run(void)
{
	const struct CMUnitTest tests[] = {
		suite_test(test_tasks_run_in_order_once),
		suite_test(test_tasks_are_taken_back),
		suite_test(test_a_task_that_defers_itself_lets_others_run),
		suite_test(test_tasks_follow_the_callbacks_that_deferred_them),
		suite_test(test_messages_run_in_order),
		suite_test(test_timers_fire_in_order_and_not_early),
		suite_test(test_timers_are_moved_and_stopped),
		suite_test(test_timers_that_defeat_each_other),
		suite_test(test_a_million_timers),
		suite_test(test_the_loop_runs_until_it_is_stopped),
		suite_test(test_the_loop_counts_what_it_does),
		suite_test(test_the_loop_names_its_engine),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
