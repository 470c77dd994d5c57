// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "io/backend.h"
#include "unit.h"

/* Several threads and a loop, over every engine that runs here. */

#define SENDERS 4
#define MESSAGES 2000

static const char *const engines[] = {"io_uring", "epoll", "poll", "select"};

static struct io_loop *loop;
static unsigned got[SENDERS], posts_run;

struct parcel {
	struct io_msg msg;
	unsigned sender, number;
};

static int loop_open(const char *engine)
{
	struct io_options options = {.engine = (enum io_engine)io_engine_parse(engine)};
	char why[256] = "";
	int rc = io_loop_new(&options, &loop, why, sizeof(why));

	if (rc < 0)
		print_message("without %s: %s\n", engine, why);
	return rc;
}

static sem_t running;

static void say_running(struct io_loop *on, struct io_msg *msg)
{
	sem_post(&running);
}

static pthread_barrier_t all_posted;

/*
 * A loop is freed where it ran, for its buffers are that thread's, and when nobody is inside io_post or
 * io_loop_stop any more.
 */
static void free_own(struct io_loop *own)
{
	pthread_barrier_wait(&all_posted);
	io_loop_free(own);
	assert_int_equal(base_thread_exit(), 0);
}

struct run {
	struct io_stats stats;
	int rc;
};

static void *run_loop(void *arg)
{
	struct run *run = arg;

	run->rc = io_loop_run(loop);
	while (run->rc == 0 && io_loop_busy(loop))
		run->rc = io_loop_turn(loop, -1);
	io_loop_stats(loop, &run->stats);
	free_own(loop);
	return NULL;
}

static void parcel_came(struct io_loop *on, struct io_msg *msg)
{
	struct parcel *parcel = SL_CONTAINER(msg, struct parcel, msg);

	assert_ptr_equal(on, loop);
	assert_int_equal(parcel->number, got[parcel->sender]);
	got[parcel->sender]++;
	free(parcel);
}

static void *send_parcels(void *arg)
{
	unsigned sender = *(unsigned *)arg;

	for (unsigned i = 0; i < MESSAGES; i++) {
		struct parcel *parcel = calloc(1, sizeof(*parcel));

		assert_non_null(parcel);
		*parcel = (struct parcel){.msg.run = parcel_came, .sender = sender, .number = i};
		io_post(loop, &parcel->msg);
		/* Now and then the loop falls asleep between two messages. */
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

static void posts_from_threads(void)
{
	pthread_t senders[SENDERS], runner;
	unsigned names[SENDERS];
	struct io_msg hello = {.run = say_running};
	struct run run = {.rc = -1};

	memset(got, 0, sizeof(got));
	pthread_barrier_init(&all_posted, NULL, 2);
	sem_init(&running, 0, 0);
	io_post(loop, &hello);
	pthread_create(&runner, NULL, run_loop, &run);
	sem_wait(&running);
	for (unsigned i = 0; i < SENDERS; i++) {
		names[i] = i;
		pthread_create(&senders[i], NULL, send_parcels, &names[i]);
	}
	for (unsigned i = 0; i < SENDERS; i++)
		pthread_join(senders[i], NULL);
	io_loop_stop(loop);
	pthread_barrier_wait(&all_posted);
	pthread_join(runner, NULL);
	pthread_barrier_destroy(&all_posted);
	assert_int_equal(run.rc, 0);
	for (unsigned i = 0; i < SENDERS; i++)
		assert_int_equal(got[i], MESSAGES);
	assert_int_equal(run.stats.posts, SENDERS * MESSAGES + 1);
}

static void test_posts_from_several_threads_come_in_order(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(engines); i++) {
		if (loop_open(engines[i]) < 0)
			continue;
		posts_from_threads();
	}
}

/* Two loops that answer each other: each sleeps until the other's message wakes it. */
struct player {
	struct io_loop *loop, *other;
	struct io_msg msg;
	unsigned rounds;
};

static struct player players[2];

static void play(struct io_loop *on, struct io_msg *msg)
{
	struct player *me = on == players[0].loop ? &players[0] : &players[1];
	struct player *other = on == players[0].loop ? &players[1] : &players[0];

	if (++me->rounds == 1000) {
		io_loop_stop(me->loop);
		if (other->rounds == 1000)
			return;
	}
	io_post(other->loop, &other->msg);
}

static void *run_player(void *arg)
{
	struct player *me = arg;

	assert_int_equal(io_loop_run(me->loop), 0);
	free_own(me->loop);
	return NULL;
}

static void test_loops_wake_each_other(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(engines); i++) {
		pthread_t threads[2];
		bool missing = false;

		for (unsigned j = 0; j < 2 && !missing; j++) {
			missing = loop_open(engines[i]) < 0;
			players[j] = (struct player){.loop = loop, .msg.run = play};
		}
		if (missing)
			continue;
		pthread_barrier_init(&all_posted, NULL, 3);
		for (unsigned j = 0; j < 2; j++)
			pthread_create(&threads[j], NULL, run_player, &players[j]);
		io_post(players[0].loop, &players[0].msg);
		pthread_barrier_wait(&all_posted);
		for (unsigned j = 0; j < 2; j++)
			pthread_join(threads[j], NULL);
		pthread_barrier_destroy(&all_posted);
		for (unsigned j = 0; j < 2; j++)
			assert_int_equal(players[j].rounds, 1000);
	}
}

static unsigned wakeups;
static const struct io_backend *real;

static void counted_wakeup(struct io_loop *on)
{
	wakeups++;
	real->wakeup(on);
}

static void count_run(struct io_loop *on, struct io_msg *msg)
{
	posts_run++;
}

static void test_a_post_to_an_awake_loop_wakes_nobody(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(engines); i++) {
		struct io_msg msgs[10];
		struct io_backend counting;

		if (loop_open(engines[i]) < 0)
			continue;
		real = loop->backend;
		counting = *real;
		counting.wakeup = counted_wakeup;
		loop->backend = &counting;
		posts_run = wakeups = 0;
		for (unsigned j = 0; j < 10; j++) {
			msgs[j].run = count_run;
			io_post(loop, &msgs[j]);
		}
		/* It would sleep for ever if it did not look before. */
		assert_int_equal(io_loop_turn(loop, -1), 0);
		assert_int_equal(posts_run, 10);
		assert_int_equal(wakeups, 0);
		loop->backend = real;
		io_loop_free(loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_posts_from_several_threads_come_in_order),
		cmocka_unit_test(test_loops_wake_each_other),
		cmocka_unit_test(test_a_post_to_an_awake_loop_wakes_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
