// SPDX-License-Identifier: Apache-2.0
/* A group that changes while threads use it, read its status, and give it back. */
#include <pthread.h>

#include "base/thread.h"
#include "upstream/groups.h"
#include "upstream/keeper.h"

#define THREADS 4
#define CHANGES 300

static atomic_bool stopping;
static _Atomic unsigned sets_seen, nameless;

/* As a worker does it: a number is compared, and only when it has changed the lock is taken. */
static void *use_sets(void *arg)
{
	struct upstream_group *g = arg;
	struct upstream_set *set = upstream_set_of(g);

	while (!atomic_load(&stopping)) {
		if (atomic_load_explicit(&g->generation, memory_order_relaxed) != set->epoch) {
			upstream_set_unref(set);
			set = upstream_set_of(g);
			atomic_fetch_add(&sets_seen, 1);
		}
		for (unsigned i = 0; i < set->count; i++) {
			struct upstream_server *s = set->members[i].server;

			upstream_server_usable(s, 1);
			atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
			upstream_server_error(s, set->config->name.p);
		}
		upstream_group_wake(g);
	}
	upstream_set_unref(set);
	upstream_group_unref(g);
	base_thread_exit();
	return NULL;
}

static void *read_status(void *arg)
{
	while (!atomic_load(&stopping)) {
		const struct upstream_group_status *status;
		struct arena arena;
		unsigned count;

		arena_init(&arena, 0);
		if (upstream_status(t.registry, &arena, &status, &count) == 0)
			for (unsigned i = 0; i < count; i++)
				for (unsigned k = 0; k < status[i].server_count; k++)
					nameless += status[i].servers[k].name.len == 0;
		arena_free(&arena);
	}
	(void)arg;
	base_thread_exit();
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct upstream_group *g = arg;

	while (!atomic_load(&stopping))
		upstream_group_unref(upstream_group_ref(g));
	upstream_group_unref(g);
	base_thread_exit();
	return NULL;
}

static void change_something(unsigned i)
{
	char text[32], why[128];

	snprintf(text, sizeof(text), "10.0.1.%u:80", i % 5);
	switch (i % 4) {
	case 0:
		upstream_change(t.registry, STR("api"), str_from(text), UPSTREAM_ADD, 1 + i % 9,
				why, sizeof(why));
		break;
	case 1:
		upstream_change(t.registry, STR("api"), str_from(text), UPSTREAM_REMOVE, 0, why,
				sizeof(why));
		break;
	case 2:
		upstream_change(t.registry, STR("api"), STR("10.0.0.1:80"),
				i % 8 == 2 ? UPSTREAM_DRAIN : UPSTREAM_UNDRAIN, 0, why,
				sizeof(why));
		break;
	default:
		t.config.balance = i % 8 == 3 ? UPSTREAM_CONSISTENT : UPSTREAM_P2C;
		assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	}
}

static void test_changes_under_its_users(void **state)
{
	pthread_t threads[THREADS];

	groups_start(NULL);
	log_setup(2, LOG_OFF, LOG_TEXT);
	/* Nobody listens there: servers go down while they are used. */
	t.config.health = (struct upstream_health){
		.on = true, .every_ms = 2, .timeout_ms = 50, .rise = 1, .fall = 1};
	groups_server("127.0.0.1:1");
	groups_server("10.0.0.1:80");
	groups_join();
	pthread_create(&threads[0], NULL, use_sets, upstream_group_ref(t.group));
	pthread_create(&threads[1], NULL, use_sets, upstream_group_ref(t.group));
	pthread_create(&threads[2], NULL, read_status, NULL);
	pthread_create(&threads[3], NULL, come_and_go, upstream_group_ref(t.group));
	for (unsigned i = 0; i < CHANGES; i++) {
		change_something(i);
		assert_int_equal(io_loop_turn(t.loop, CLOCK_NS_PER_MS), 0);
	}
	PAIR_UNTIL(t.loop, atomic_load(&sets_seen) > 1);
	/* The last reference but ours goes on whatever thread is last; then ours. */
	atomic_store(&stopping, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(nameless, 0);
	groups_stop();
}

/* The last reference of all is another thread's: the group goes, on the main loop. */
static void *give_back(void *arg)
{
	upstream_group_unref(arg);
	return NULL;
}

static void test_the_last_reference_goes_on_any_thread(void **state)
{
	pthread_t thread;

	groups_start(NULL);
	groups_server("10.0.0.1:80");
	groups_join();
	upstream_group_wake(t.group);
	pthread_create(&thread, NULL, give_back, t.group);
	t.group = NULL;
	pthread_join(thread, NULL);
	PAIR_UNTIL(t.loop, list_empty(&t.registry->groups));
	groups_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_under_its_users),
		cmocka_unit_test(test_the_last_reference_goes_on_any_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
