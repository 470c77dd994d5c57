// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/thread.h"
#include "random.h"
#include "unit.h"
#include "upstream/view.h"

/* Several workers, each on its thread, at one group: bounds hold, nobody is forgotten, nothing is left behind. */
#define WORKERS 4
#define SERVERS 3
#define VISITORS 12 /* of each worker, at a time */
#define VISITS 800  /* of each worker */
#define MAX_CONNS 2
/* Only for a test that hangs: it would wait for the timeouts of the queue. */
#define PATIENCE_MS 20000

struct visitor {
	struct upstream_turn turn;
	struct worker *worker;
	struct io_timer stay;
	unsigned server;
};

struct worker {
	pthread_t thread;
	struct io_loop *loop;
	struct upstream_view *view;
	struct visitor visitors[VISITORS];
	struct random random;
	unsigned begun, over, waited, refused, lost, left;
	size_t left_over;
	bool broken;
};

static struct upstream_group *group;
static struct upstream_server_config servers[SERVERS];
static struct worker workers[WORKERS];
/* As the visitors count it themselves. */
static _Atomic unsigned present[SERVERS], most[SERVERS], inside, most_inside;

static void go_on(struct visitor *v);

static void raise_to(_Atomic unsigned *to, unsigned n)
{
	unsigned now = atomic_load(to);

	while (now < n && !atomic_compare_exchange_weak(to, &now, n))
		;
}

static void arrive(struct visitor *v)
{
	for (v->server = 0; v->server < SERVERS; v->server++)
		if (str_eq(upstream_server_name(v->turn.server), servers[v->server].text))
			break;
	raise_to(&most[v->server], atomic_fetch_add(&present[v->server], 1) + 1);
	raise_to(&most_inside, atomic_fetch_add(&inside, 1) + 1);
	/* Some stay until the loop comes round, some for a millisecond. */
	io_timer_set(v->worker->loop, &v->stay, random_below(&v->worker->random, 2));
}

static void depart(struct io_timer *timer)
{
	struct visitor *v = SL_CONTAINER(timer, struct visitor, stay);
	uint64_t chance = random_below(&v->worker->random, 10);

	atomic_fetch_sub(&present[v->server], 1);
	atomic_fetch_sub(&inside, 1);
	upstream_give(&v->turn,
		      chance == 0   ? UPSTREAM_FAILED
		      : chance == 1 ? UPSTREAM_ABANDONED
				    : UPSTREAM_OK,
		      CLOCK_NS_PER_MS);
	v->worker->over++;
	go_on(v);
}

static void ready(struct upstream_turn *turn, int result)
{
	struct visitor *v = SL_CONTAINER(turn, struct visitor, turn);

	if (result == 0) {
		arrive(v);
		return;
	}
	v->worker->lost += result == -ETIMEDOUT;
	v->worker->over++;
	go_on(v);
}

/* Begins anew, until the worker has had its visits. */
static void go_on(struct visitor *v)
{
	struct worker *w = v->worker;

	if (w->over == VISITS)
		io_loop_stop(w->loop);
	while (w->begun < VISITS) {
		int result;

		w->begun++;
		v->turn = (struct upstream_turn){.ready = ready, .hash = random_u64(&w->random)};
		result = upstream_take(w->view, &v->turn);
		if (result == 0) {
			arrive(v);
			return;
		}
		if (result == -EINPROGRESS) {
			w->waited++;
			if (random_below(&w->random, 20))
				return;
			/* Gives up at once. */
			upstream_leave(&v->turn);
			w->left++;
		} else {
			w->refused++;
		}
		w->over++;
	}
	if (w->over == VISITS)
		io_loop_stop(w->loop);
}

static void *work(void *arg)
{
	const struct io_options options = {.engine = IO_ENGINE_EPOLL};
	struct worker *w = arg;
	char why[128];

	w->broken = io_loop_new(&options, &w->loop, why, sizeof(why)) < 0;
	w->view = w->broken ? NULL : upstream_view_get(group, w->loop);
	if (!w->view) {
		w->broken = true;
		return NULL;
	}
	for (unsigned i = 0; i < VISITORS; i++) {
		struct visitor *v = &w->visitors[i];

		v->worker = w;
		v->stay.fire = depart;
		go_on(v);
	}
	w->broken = io_loop_run(w->loop) < 0;
	upstream_view_put(w->view);
	while (io_loop_busy(w->loop))
		io_loop_turn(w->loop, -1);
	io_loop_free(w->loop);
	w->left_over = base_thread_exit();
	return NULL;
}

static void run_workers(uint64_t seed)
{
	for (unsigned i = 0; i < SERVERS; i++)
		present[i] = most[i] = 0;
	most_inside = 0;
	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i].random.state = seed + i;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		assert_false(workers[i].broken);
		assert_int_equal(workers[i].over, VISITS);
		assert_int_equal(workers[i].lost, 0);
		assert_int_equal(workers[i].left_over, 0);
	}
}

struct totals {
	unsigned waited, refused, left;
};

/* A group, and the main thread's loop. */
struct stage {
	struct upstream_registry *registry;
	struct io_loop *loop;
};

static void stage_open(struct stage *s, const struct upstream_config *config)
{
	const struct io_options options = {.engine = IO_ENGINE_EPOLL};
	char why[128];

	log_setup(2, LOG_OFF, LOG_TEXT);
	assert_int_equal(io_loop_new(&options, &s->loop, why, sizeof(why)), 0);
	s->registry = upstream_registry_new(s->loop, NULL);
	assert_non_null(s->registry);
	group = upstream_group_join(s->registry, config);
	assert_non_null(group);
}

/* Nothing is left. */
static void stage_close(struct stage *s)
{
	for (unsigned i = 0; i < group->set->count; i++)
		assert_int_equal(atomic_load(&group->set->members[i].server->active), 0);
	assert_int_equal(atomic_load(&group->active), 0);
	assert_int_equal(atomic_load(&group->queued), 0);
	assert_true(list_empty(&group->views));
	upstream_group_unref(group);
	upstream_registry_stop(s->registry);
	while (io_loop_busy(s->loop))
		assert_int_equal(io_loop_turn(s->loop, -1), 0);
	upstream_registry_free(s->registry);
	io_loop_free(s->loop);
}

static struct totals run_group(const struct upstream_config *config, const char *name)
{
	struct random r = random_start(name);
	struct totals totals = {0};
	struct stage stage;

	stage_open(&stage, config);
	run_workers(random_u64(&r));
	for (unsigned i = 0; i < WORKERS; i++) {
		totals.waited += workers[i].waited;
		totals.refused += workers[i].refused;
		totals.left += workers[i].left;
	}
	for (unsigned i = 0; i < SERVERS; i++)
		assert_true(most[i] > 0);
	assert_int_equal(atomic_load(&group->requests), WORKERS * VISITS);
	stage_close(&stage);
	return totals;
}

static void prepare(struct upstream_config *config)
{
	static char texts[SERVERS][32];
	char why[128];

	upstream_config_init(config);
	config->name = STR("group");
	config->servers = servers;
	config->server_count = SERVERS;
	config->outlier.consecutive = 0;
	config->queue_max = VISITORS;
	config->queue_timeout_ms = PATIENCE_MS;
	for (unsigned i = 0; i < SERVERS; i++) {
		snprintf(texts[i], sizeof(texts[i]), "127.0.0.%u:8000", i + 1);
		servers[i] = (struct upstream_server_config){
			.text = str_from(texts[i]), .weight = 1, .max_conns = MAX_CONNS};
		assert_int_equal(
			net_addr_parse(servers[i].text, &servers[i].addr, why, sizeof(why)), 0);
	}
}

static void test_max_conns_is_exact_and_no_wakeup_is_lost(void **state)
{
	for (int how = UPSTREAM_ROUND_ROBIN; how <= UPSTREAM_CONSISTENT; how++) {
		struct upstream_config config;
		struct totals totals;

		prepare(&config);
		config.balance = (enum upstream_balance)how;
		totals = run_group(&config, "workers");
		assert_int_equal(totals.refused, 0);
		assert_true(totals.waited > 0);
		for (unsigned i = 0; i < SERVERS; i++)
			assert_int_equal(most[i], MAX_CONNS);
	}
}

static void test_the_bulkhead_is_exact(void **state)
{
	struct upstream_config config;
	struct totals totals;

	prepare(&config);
	for (unsigned i = 0; i < SERVERS; i++)
		servers[i].max_conns = 0;
	config.requests_max = 5;
	totals = run_group(&config, "bulkhead");
	assert_true(totals.refused > 0);
	assert_int_equal(totals.waited, 0);
	assert_int_equal(atomic_load(&most_inside), 5);
}

/* Both, and breakers and ejections that come and go meanwhile. */
static void test_all_at_once(void **state)
{
	struct upstream_config config;

	prepare(&config);
	config.balance = UPSTREAM_P2C;
	config.requests_max = 5;
	config.outlier.consecutive = 2;
	config.outlier.eject_ms = 2;
	config.breaker.consecutive = 2;
	config.breaker.open_ms = 2;
	config.group_breaker.consecutive = 3;
	config.group_breaker.open_ms = 1;
	run_group(&config, "all");
	assert_true(atomic_load(&most_inside) <= 5);
	for (unsigned i = 0; i < SERVERS; i++)
		assert_true(atomic_load(&most[i]) <= MAX_CONNS);
}

/*
 * One gives the only place back just while another looks for one and finds none: between his look and his waiting. Nothing
 * else happens that could wake him later.
 */
#define ROUNDS 50000
#define SPIN_MAX 32

static _Atomic unsigned met, idled;

/* Both go on at the same time, as nearly as can be had. */
static void meet(unsigned *times)
{
	unsigned until = 2 * ++*times;

	atomic_fetch_add(&met, 1);
	for (unsigned i = 0; atomic_load(&met) < until; i++)
		if (i % 1024 == 1023)
			sched_yield();
}

static void hear(struct upstream_turn *turn, int result)
{
	*(int *)turn->owner = result;
}

static void *keep_giving(void *arg)
{
	const struct io_options options = {.engine = IO_ENGINE_EPOLL};
	struct worker *w = arg;
	struct upstream_turn turn = {0};
	unsigned meetings = 0;
	char why[128];

	w->broken = io_loop_new(&options, &w->loop, why, sizeof(why)) < 0;
	w->view = upstream_view_get(group, w->loop);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned spin = (unsigned)random_below(&w->random, SPIN_MAX);

		turn = (struct upstream_turn){.ready = hear};
		w->lost += upstream_take(w->view, &turn) != 0;
		meet(&meetings);
		while (spin--)
			atomic_fetch_add(&idled, 1);
		upstream_give(&turn, UPSTREAM_OK, 1);
		meet(&meetings);
	}
	upstream_view_put(w->view);
	while (io_loop_busy(w->loop))
		io_loop_turn(w->loop, -1);
	io_loop_free(w->loop);
	w->left_over = base_thread_exit();
	return NULL;
}

static unsigned take_what_is_given(struct upstream_view *view, struct io_loop *loop)
{
	unsigned meetings = 0, lost = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		int result = -EINPROGRESS;
		struct upstream_turn turn = {.ready = hear, .owner = &result};
		int at_once;

		meet(&meetings);
		at_once = upstream_take(view, &turn);
		if (at_once != -EINPROGRESS)
			result = at_once;
		while (result == -EINPROGRESS)
			io_loop_turn(loop, CLOCK_NS_PER_MS);
		if (result == 0)
			upstream_give(&turn, UPSTREAM_OK, 1);
		else
			lost++;
		meet(&meetings);
	}
	return lost;
}

static void test_a_place_that_is_freed_during_the_look(void **state)
{
	struct upstream_config config;
	struct upstream_view *view;
	struct worker *giver = &workers[0];
	struct stage stage;
	unsigned lost;

	prepare(&config);
	config.server_count = 1;
	config.queue_timeout_ms = 2000;
	servers[0].max_conns = 1;
	stage_open(&stage, &config);
	memset(workers, 0, sizeof(workers));
	giver->random = random_start("freed");
	atomic_store(&met, 0);
	view = upstream_view_get(group, stage.loop);
	assert_int_equal(pthread_create(&giver->thread, NULL, keep_giving, giver), 0);
	lost = take_what_is_given(view, stage.loop);
	pthread_join(giver->thread, NULL);
	upstream_view_put(view);
	assert_int_equal(lost, 0);
	assert_int_equal(giver->lost, 0);
	assert_int_equal(giver->left_over, 0);
	stage_close(&stage);
}

/* Units that many threads use, without a group around them. */
#define REPORTS 20000

static struct breaker breaker;
static struct budget budget;
static const struct upstream_breaker_config breaker_config = {
	.consecutive = 1, .open_ms = 1, .probes = 3, .error_percent = 50, .window_ms = 10};
static _Atomic unsigned opened, probing, shut, retried;

static void *shake(void *arg)
{
	struct random r = {(uintptr_t)arg};
	uint64_t now = CLOCK_NS_PER_S;

	for (unsigned i = 0; i < REPORTS; i++) {
		enum breaker_change change;
		uint32_t probe;

		now += random_below(&r, CLOCK_NS_PER_MS);
		retried += budget_retry(&budget, 20, CLOCK_NS_PER_S);
		if (!breaker_allow(&breaker, &breaker_config, now, &probe, &change))
			continue;
		probing += change == BREAKER_PROBING;
		change = breaker_report(&breaker, &breaker_config, now, probe,
					(enum upstream_outcome)(random_below(&r, 8) ? UPSTREAM_OK
								: i % 2 ? UPSTREAM_FAILED
									: UPSTREAM_ABANDONED),
					1);
		opened += change == BREAKER_OPENED;
		shut += change == BREAKER_SHUT;
	}
	return NULL;
}

static void test_each_change_is_seen_by_one(void **state)
{
	pthread_t threads[WORKERS];
	unsigned open_now;

	budget_requests(&budget, CLOCK_NS_PER_S, 10000);
	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, shake, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	/* Closed, open, half open, then closed or open again: what went in came out. */
	open_now = breaker_state(&breaker) == BREAKER_OPEN;
	assert_true(opened > 0 && probing > 0 && shut > 0);
	assert_int_equal(opened - open_now, probing);
	assert_true(shut <= probing);
	assert_int_equal(retried, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_max_conns_is_exact_and_no_wakeup_is_lost),
		cmocka_unit_test(test_the_bulkhead_is_exact),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_a_place_that_is_freed_during_the_look),
		cmocka_unit_test(test_each_change_is_seen_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
