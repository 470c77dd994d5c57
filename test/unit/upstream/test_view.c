// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "world.h"

static void test_round_robin_and_counters(void **state)
{
	struct visitor v[3] = {0};
	unsigned seen = 0;

	world_prepare(3);
	world_open();
	assert_ptr_equal(upstream_view_get(world.group, world.loops[0]), world.views[0]);
	upstream_view_put(world.views[0]);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(visit(&v[i], 0), 0);
		seen |= 1u << visited(&v[i]);
		assert_int_equal(atomic_load(&v[i].turn.server->active), 1);
	}
	assert_int_equal(seen, 7);
	assert_int_equal(atomic_load(&world.group->active), 3);
	upstream_moved(&v[0].turn, 10, 20);

	struct upstream_server *first = v[0].turn.server;

	upstream_give(&v[0].turn, UPSTREAM_FAILED, 0);
	upstream_give(&v[1].turn, UPSTREAM_OK, 5);
	upstream_give(&v[2].turn, UPSTREAM_ABANDONED, 0);
	world_run_ms(1);
	assert_int_equal(atomic_load(&world.group->requests), 3);
	assert_int_equal(atomic_load(&world.group->failures), 1);
	assert_int_equal(atomic_load(&first->requests), 1);
	assert_int_equal(atomic_load(&first->failures), 1);
	assert_int_equal(atomic_load(&first->bytes_in), 10);
	assert_int_equal(atomic_load(&first->bytes_out), 20);
	world_close();
}

/* Through the whole view, of two workers: 5, 2, 1. */
static void test_weights(void **state)
{
	unsigned picked[3] = {0};

	world_prepare(3);
	world.servers[0].weight = 5;
	world.servers[1].weight = 2;
	world.config.balance = UPSTREAM_WEIGHTED;
	world_open();
	for (unsigned i = 0; i < 1600; i++)
		picked[visit_briefly(i % 2, UPSTREAM_OK)]++;
	assert_in_range(picked[0], 998, 1002);
	assert_in_range(picked[1], 398, 402);
	assert_in_range(picked[2], 198, 202);
	world_close();
}

static void test_every_balance_picks(void **state)
{
	for (int how = UPSTREAM_ROUND_ROBIN; how <= UPSTREAM_CONSISTENT; how++) {
		unsigned picked[4] = {0};

		world_prepare(4);
		world.config.balance = (enum upstream_balance)how;
		world.config.load_max_percent = 150;
		world_open();
		for (unsigned i = 0; i < 1000; i++) {
			struct visitor v = {.turn.hash = i * 0x9e3779b97f4a7c15u};

			assert_int_equal(visit(&v, 0), 0);
			picked[visited(&v)]++;
			upstream_give(&v.turn, UPSTREAM_OK, 1);
		}
		for (unsigned i = 0; i < 4; i++)
			assert_in_range(picked[i], 150, 350);
		world_close();
	}
}

static void test_a_worker_that_frees_a_place_wakes_its_own(void **state)
{
	struct visitor v[5] = {0};

	world_prepare(2);
	world.servers[0].max_conns = world.servers[1].max_conns = 1;
	world_open();
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(visit(&v[i], 0), i < 2 ? 0 : -EINPROGRESS);
	assert_int_equal(atomic_load(&world.group->queued), 3);
	upstream_leave(&v[3].turn);
	upstream_leave(&v[3].turn);
	assert_int_equal(atomic_load(&world.group->queued), 2);

	struct upstream_server *freed = v[1].turn.server;

	upstream_give(&v[1].turn, UPSTREAM_OK, 1);
	/* Not from inside the call; and who comes now is behind those that wait. */
	assert_int_equal(v[2].told, 0);
	assert_int_equal(visit(&v[1], 0), -EINPROGRESS);
	world_run_ms(1);
	assert_int_equal(v[2].told, 1);
	assert_int_equal(v[2].result, 0);
	assert_ptr_equal(v[2].turn.server, freed);
	assert_int_equal(v[4].told, 0);
	upstream_give(&v[0].turn, UPSTREAM_OK, 1);
	upstream_give(&v[2].turn, UPSTREAM_OK, 1);
	world_run_ms(1);
	assert_int_equal(v[4].told, 1);
	assert_int_equal(v[1].told, 1);
	upstream_give(&v[1].turn, UPSTREAM_OK, 1);
	upstream_give(&v[4].turn, UPSTREAM_OK, 1);
	assert_int_equal(v[3].told, 0);
	world_close();
}

static void test_a_worker_that_frees_a_place_wakes_another(void **state)
{
	struct visitor a = {0}, b[2] = {0}, c = {0};

	world_prepare(1);
	world.servers[0].max_conns = 1;
	world_open();
	assert_int_equal(visit(&a, 0), 0);
	assert_int_equal(visit(&b[0], 1), -EINPROGRESS);
	assert_int_equal(visit(&b[1], 1), -EINPROGRESS);
	assert_int_equal(visit(&c, 2), -EINPROGRESS);
	upstream_give(&a.turn, UPSTREAM_OK, 1);
	world_run_ms(1);
	assert_int_equal(b[0].told + c.told, 1);
	/* Whoever got it hands it on; one of those that wait gives up just then. */
	if (c.told)
		upstream_give(&c.turn, UPSTREAM_OK, 1);
	else
		upstream_give(&b[0].turn, UPSTREAM_OK, 1);
	upstream_leave(&b[1].turn);
	world_run_ms(1);
	assert_int_equal(b[0].told + c.told, 2);
	if (c.turn.server)
		upstream_give(&c.turn, UPSTREAM_OK, 1);
	else
		upstream_give(&b[0].turn, UPSTREAM_OK, 1);
	world_close();
}

/* The message is on its way when nobody waits there any more: it goes on to who does. */
static void test_a_kick_is_handed_on(void **state)
{
	struct visitor a = {0}, b = {0}, c = {0};

	world_prepare(1);
	world.servers[0].max_conns = 1;
	world_open();
	assert_int_equal(visit(&a, 0), 0);
	assert_int_equal(visit(&b, 1), -EINPROGRESS);
	assert_int_equal(visit(&c, 2), -EINPROGRESS);
	upstream_give(&a.turn, UPSTREAM_OK, 1);
	if (atomic_load(&world.views[1]->kicked))
		upstream_leave(&b.turn);
	else
		upstream_leave(&c.turn);
	world_run_ms(1);
	assert_int_equal(b.told + c.told, 1);
	upstream_give(b.told ? &b.turn : &c.turn, UPSTREAM_OK, 1);
	/* And a view that is put meanwhile is not written to. */
	assert_int_equal(visit(&a, 0), 0);
	memset(&b, 0, sizeof(b));
	assert_int_equal(visit(&b, 1), -EINPROGRESS);
	upstream_give(&a.turn, UPSTREAM_OK, 1);
	assert_true(atomic_load(&world.views[1]->kicked));
	upstream_leave(&b.turn);
	upstream_view_put(world.views[1]);
	world.views[1] = NULL;
	world_close();
}

static void test_the_queue_has_an_end_and_a_time(void **state)
{
	struct visitor v[4] = {0};

	world_prepare(1);
	world.servers[0].max_conns = 1;
	world.config.queue_max = 2;
	world.config.queue_timeout_ms = 1000;
	world_open();
	assert_int_equal(visit(&v[0], 0), 0);
	assert_int_equal(visit(&v[1], 0), -EINPROGRESS);
	world_run_ms(500);
	assert_int_equal(visit(&v[2], 0), -EINPROGRESS);
	assert_int_equal(visit(&v[3], 0), -EBUSY);
	/* Each worker has a queue of its own. */
	assert_int_equal(visit(&v[3], 1), -EINPROGRESS);
	world_run_ms(490);
	assert_int_equal(v[1].told, 0);
	world_run_ms(15);
	assert_int_equal(v[1].told, 1);
	assert_int_equal(v[1].result, -ETIMEDOUT);
	assert_int_equal(v[2].told, 0);
	world_run_ms(600);
	assert_int_equal(v[2].result, -ETIMEDOUT);
	assert_int_equal(v[3].result, -ETIMEDOUT);
	assert_int_equal(atomic_load(&world.group->queued), 0);
	assert_int_equal(atomic_load(&world.group->refused), 4);
	upstream_give(&v[0].turn, UPSTREAM_OK, 1);
	world_run_ms(1);
	assert_int_equal(visit(&v[1], 0), 0);
	upstream_give(&v[1].turn, UPSTREAM_OK, 1);
	world_close();
}

static void test_the_bulkhead(void **state)
{
	struct visitor v[4] = {0};

	world_prepare(3);
	world.config.requests_max = 2;
	world_open();
	assert_int_equal(visit(&v[0], 0), 0);
	assert_int_equal(visit(&v[1], 1), 0);
	assert_int_equal(visit(&v[2], 0), -EBUSY);
	upstream_give(&v[1].turn, UPSTREAM_OK, 1);
	assert_int_equal(visit(&v[2], 0), 0);
	assert_int_equal(visit(&v[3], 2), -EBUSY);
	upstream_give(&v[0].turn, UPSTREAM_OK, 1);
	upstream_give(&v[2].turn, UPSTREAM_OK, 1);
	assert_int_equal(atomic_load(&world.group->refused), 2);
	world_close();
}

static void test_backups_are_for_when_nobody_else_is_there(void **state)
{
	struct visitor v[3] = {0};

	world_prepare(3);
	world.servers[2].backup = true;
	world.servers[0].max_conns = world.servers[1].max_conns = 1;
	world_open();
	assert_int_equal(visit(&v[0], 0), 0);
	assert_int_equal(visit(&v[1], 0), 0);
	/* No room is no reason. */
	assert_int_equal(visit(&v[2], 0), -EINPROGRESS);
	upstream_leave(&v[2].turn);
	upstream_give(&v[0].turn, UPSTREAM_OK, 1);
	upstream_give(&v[1].turn, UPSTREAM_OK, 1);
	atomic_fetch_or(&world_server(0)->flags, UPSTREAM_FLAG_DOWN);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(visit_briefly(0, UPSTREAM_OK), 1);
	atomic_fetch_or(&world_server(1)->flags, UPSTREAM_FLAG_DOWN);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(visit_briefly(0, UPSTREAM_OK), 2);
	atomic_fetch_or(&world_server(2)->flags, UPSTREAM_FLAG_DOWN);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), -ENOENT);
	atomic_fetch_and(&world_server(0)->flags, ~(uint32_t)UPSTREAM_FLAG_DOWN);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), 0);
	world_close();
}

static void test_what_was_tried_is_avoided(void **state)
{
	struct visitor v = {0};
	unsigned seen = 0;

	world_prepare(3);
	world.servers[2].backup = true;
	world_open();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(visit(&v, 0), 0);
		seen |= 1u << visited(&v);
		/* Two that are used, then the backup. */
		assert_int_equal(seen, i == 2 ? 7 : i == 1 ? 3 : seen);
		upstream_give(&v.turn, UPSTREAM_FAILED, 0);
	}
	/* All were tried: again one of those that are used. */
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(visit(&v, 0), 0);
		assert_in_range(visited(&v), 0, 1);
		upstream_give(&v.turn, UPSTREAM_FAILED, 0);
	}
	assert_int_equal(v.turn.tried_count, 3);
	world_run_ms(1);
	assert_int_equal(atomic_load(&world.group->requests), 1);
	world_close();
}

static void test_more_tries_than_are_remembered(void **state)
{
	struct visitor v = {0};

	world_prepare(12);
	world_open();
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(visit(&v, 0), 0);
		upstream_give(&v.turn, UPSTREAM_FAILED, 0);
	}
	assert_int_equal(v.turn.tried_count, UPSTREAM_TRIED_MAX);
	world_close();
}

static void test_the_sticky_server(void **state)
{
	struct str id;

	world_prepare(4);
	world.config.sticky_cookie = STR("at");
	world_open();
	id = upstream_server_sticky(world_server(2));
	assert_int_equal(id.len, UPSTREAM_STICKY_CHARS);
	for (unsigned round = 0; round < 4; round++) {
		/* Up, draining, down, up. */
		atomic_store(&world_server(2)->flags, round == 1   ? UPSTREAM_FLAG_DRAINING
						      : round == 2 ? UPSTREAM_FLAG_DOWN
								   : 0);
		for (unsigned i = 0; i < 8; i++) {
			struct visitor v = {.turn.sticky = id};

			assert_int_equal(visit(&v, i % 2), 0);
			assert_true((visited(&v) == 2) == (round != 2));
			upstream_give(&v.turn, UPSTREAM_OK, 1);
		}
	}
	/* An id that nobody has; and one that was tried. */
	struct visitor v = {.turn.sticky = STR("0123456789abcdef")};

	assert_int_equal(visit(&v, 0), 0);
	upstream_give(&v.turn, UPSTREAM_OK, 1);
	v = (struct visitor){.turn.sticky = id};
	assert_int_equal(visit(&v, 0), 0);
	upstream_give(&v.turn, UPSTREAM_FAILED, 1);
	assert_int_equal(visit(&v, 0), 0);
	assert_int_not_equal(visited(&v), 2);
	upstream_give(&v.turn, UPSTREAM_OK, 1);
	world_close();
}

static void test_outliers_are_ejected(void **state)
{
	world_prepare(4);
	world.config.outlier.consecutive = 3;
	world.config.outlier.eject_ms = 5000;
	world.config.outlier.ejected_max_percent = 50;
	world.config.slow_start_ms = 4000;
	world_open();
	/* 0, 1 and 2 fail; only two of four may be ejected. */
	for (unsigned i = 0; i < 100; i++) {
		struct visitor v = {0};

		assert_int_equal(visit(&v, 0), 0);
		upstream_give(&v.turn, visited(&v) < 3 ? UPSTREAM_FAILED : UPSTREAM_OK, 1);
	}
	world_run_ms(1);

	unsigned ejected = 0;

	for (unsigned i = 0; i < 4; i++) {
		bool out = upstream_server_state(world_server(i), 4000,
						 io_now_ns(world.loops[0])) == UPSTREAM_EJECTED;

		ejected += out;
		assert_int_equal(atomic_load(&world_server(i)->ejections), out);
	}
	assert_int_equal(ejected, 2);
	world_run_ms(5100);
	for (unsigned i = 0; i < 4; i++)
		if (atomic_load(&world_server(i)->ejections))
			assert_int_equal(upstream_server_state(world_server(i), 4000,
							       io_now_ns(world.loops[0])),
					 UPSTREAM_STARTING);
	for (unsigned i = 0, seen = 0; i < 40; i++) {
		seen |= 1u << visit_briefly(0, UPSTREAM_OK);
		if (i == 39)
			assert_int_equal(seen, 15);
	}
	world_close();
}

static void test_the_breaker_of_a_server(void **state)
{
	struct visitor v = {0}, w = {0};

	world_prepare(1);
	world.config.breaker.consecutive = 3;
	world.config.breaker.open_ms = 2000;
	world.config.breaker.probes = 1;
	world_open();
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(visit_briefly(i % 2, UPSTREAM_FAILED), 0);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), -ENOENT);
	assert_int_equal(atomic_load(&world_server(0)->breaker), BREAKER_OPEN);
	world_run_ms(2001);
	assert_int_equal(visit(&v, 0), 0);
	assert_int_equal(atomic_load(&world_server(0)->breaker), BREAKER_HALF_OPEN);
	assert_int_equal(visit(&w, 1), -ENOENT);
	upstream_give(&v.turn, UPSTREAM_ABANDONED, 0);
	assert_int_equal(visit(&w, 1), 0);
	upstream_give(&w.turn, UPSTREAM_OK, 1);
	assert_int_equal(atomic_load(&world_server(0)->breaker), BREAKER_CLOSED);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), 0);
	world_close();
}

static void test_the_breaker_of_the_group(void **state)
{
	struct visitor v = {0};

	world_prepare(2);
	world.config.group_breaker.consecutive = 4;
	world.config.group_breaker.open_ms = 2000;
	world.config.group_breaker.probes = 2;
	world_open();
	for (unsigned i = 0; i < 4; i++)
		assert_true(visit_briefly(i % 2, UPSTREAM_FAILED) >= 0);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), -EHOSTDOWN);
	assert_int_equal(atomic_load(&world.group->breaker), BREAKER_OPEN);
	world_run_ms(2001);
	assert_int_equal(visit(&v, 0), 0);
	assert_true(visit_briefly(1, UPSTREAM_OK) >= 0);
	assert_int_equal(visit_briefly(1, UPSTREAM_OK), -EHOSTDOWN);
	upstream_give(&v.turn, UPSTREAM_FAILED, 0);
	assert_int_equal(atomic_load(&world.group->breaker), BREAKER_OPEN);
	world_run_ms(2001);
	assert_true(visit_briefly(0, UPSTREAM_OK) >= 0);
	assert_true(visit_briefly(1, UPSTREAM_OK) >= 0);
	assert_int_equal(atomic_load(&world.group->breaker), BREAKER_CLOSED);
	world_close();
}

/* Without a usable server who waits hears it, and no place is lost. */
static void test_servers_go_down_while_turns_wait(void **state)
{
	struct visitor v[3] = {0};

	world_prepare(1);
	world.servers[0].max_conns = 1;
	world_open();
	assert_int_equal(visit(&v[0], 0), 0);
	assert_int_equal(visit(&v[1], 0), -EINPROGRESS);
	assert_int_equal(visit(&v[2], 1), -EINPROGRESS);
	atomic_fetch_or(&world_server(0)->flags, UPSTREAM_FLAG_DOWN);
	upstream_give(&v[0].turn, UPSTREAM_FAILED, 0);
	world_run_ms(1);
	assert_int_equal(v[1].result, -ENOENT);
	assert_int_equal(v[2].result, -ENOENT);
	world_close();
}

static void change(struct str server, enum upstream_change what)
{
	char why[128];

	assert_int_equal(upstream_change(world.registry, world.group->name, server, what, 1, why,
					 sizeof(why)),
			 0);
	world_run_ms(1);
}

static void test_a_set_changes_under_turns(void **state)
{
	struct visitor v = {0}, w = {0}, x = {0};
	const struct upstream_config *config;
	struct str gone;

	world_prepare(2);
	world.servers[0].max_conns = world.servers[1].max_conns = 1;
	world_open();
	assert_int_equal(visit(&v, 0), 0);
	assert_int_equal(visit(&w, 0), 0);
	assert_int_equal(visit(&x, 0), -EINPROGRESS);
	gone = upstream_server_name(v.turn.server);
	change(gone, UPSTREAM_REMOVE);
	assert_int_equal(world.group->set->count, 1);
	/* It is finished where it is, and leaves no place behind. */
	assert_true(str_eq(upstream_server_name(v.turn.server), gone));
	upstream_give(&v.turn, UPSTREAM_OK, 1);
	world_run_ms(1);
	assert_int_equal(x.told, 0);
	upstream_give(&w.turn, UPSTREAM_OK, 1);
	world_run_ms(1);
	assert_int_equal(x.told, 1);
	assert_false(str_eq(upstream_server_name(x.turn.server), gone));
	upstream_give(&x.turn, UPSTREAM_OK, 1);
	/* The configuration stays until the worker is back in its loop. */
	config = upstream_view_config(world.views[0]);
	world.config.queue_max = 7;
	assert_int_equal(upstream_group_adopt(world.group, &world.config), 0);
	assert_true(visit_briefly(0, UPSTREAM_OK) >= 0);
	assert_int_equal(config->queue_max, 100);
	world_run_ms(1);
	assert_int_equal(upstream_view_config(world.views[0])->queue_max, 7);
	assert_int_equal(world.group->set->count, 2);
	world_close();
}

/* All servers are busy for long, and yet who waits hears of what changes. */
static void test_servers_come_while_turns_wait(void **state)
{
	struct visitor v = {0}, w = {0}, x = {0};

	world_prepare(1);
	world.servers[0].max_conns = 1;
	world_open();
	assert_int_equal(visit(&v, 0), 0);
	assert_int_equal(visit(&w, 0), -EINPROGRESS);
	assert_int_equal(visit(&x, 1), -EINPROGRESS);
	change(STR("127.0.0.9:8000"), UPSTREAM_ADD);
	assert_int_equal(w.told, 1);
	assert_int_equal(x.told, 1);
	upstream_give(&w.turn, UPSTREAM_OK, 1);
	upstream_give(&x.turn, UPSTREAM_OK, 1);
	upstream_give(&v.turn, UPSTREAM_OK, 1);
	world_close();
}

static void test_a_server_comes_back_while_turns_wait(void **state)
{
	struct visitor v = {0}, w = {0};

	world_prepare(2);
	world.servers[0].max_conns = 1;
	world_open();
	change(world.servers[1].text, UPSTREAM_DRAIN);
	assert_int_equal(visit(&v, 0), 0);
	assert_int_equal(visit(&w, 0), -EINPROGRESS);
	change(world.servers[1].text, UPSTREAM_UNDRAIN);
	assert_int_equal(w.told, 1);
	assert_int_equal(visited(&w), 1);
	upstream_give(&w.turn, UPSTREAM_OK, 1);
	/* The same at the end of an ejection. */
	atomic_store(&world_server(1)->ejected_until_ns,
		     io_now_ns(world.loops[0]) + 100 * CLOCK_NS_PER_MS);
	upstream_group_wake(world.group);
	w = (struct visitor){0};
	assert_int_equal(visit(&w, 1), -EINPROGRESS);
	world_run_ms(50);
	assert_int_equal(w.told, 0);
	world_run_ms(60);
	assert_int_equal(w.told, 1);
	assert_int_equal(visited(&w), 1);
	upstream_give(&w.turn, UPSTREAM_OK, 1);
	upstream_give(&v.turn, UPSTREAM_OK, 1);
	world_close();
}

/* The owner is gone before what he began is. */
static void test_a_view_is_put_before_its_last_turn(void **state)
{
	struct visitor v = {0};

	world_prepare(1);
	world_open();
	assert_int_equal(visit(&v, 0), 0);
	upstream_view_put(world.views[0]);
	world.views[0] = NULL;
	world_run_ms(1);
	upstream_give(&v.turn, UPSTREAM_FAILED, 1);
	assert_int_equal(atomic_load(&world_server(0)->failures), 1);
	world_close();
}

static void test_retries_have_a_budget(void **state)
{
	unsigned allowed = 0;

	world_prepare(1);
	world_open();
	for (unsigned i = 0; i < 400; i++)
		visit_briefly(i % 2, UPSTREAM_OK);
	for (unsigned i = 0; i < 200; i++)
		allowed += upstream_retry_allowed(world.views[i % 2]);
	assert_int_equal(allowed, 80);
	assert_int_equal(atomic_load(&world.group->retries), 80);
	assert_int_equal(atomic_load(&world.group->retries_refused), 120);
	upstream_count(world.views[0], UPSTREAM_EVENT_FALLBACK);
	upstream_count(world.views[0], UPSTREAM_EVENT_MIRROR);
	upstream_count(world.views[0], UPSTREAM_EVENT_MIRROR_DROPPED);
	assert_int_equal(atomic_load(&world.group->fallbacks), 1);
	assert_int_equal(atomic_load(&world.group->mirrored), 1);
	assert_int_equal(atomic_load(&world.group->mirrors_dropped), 1);
	world_close();
}

static void test_blame_is_remembered(void **state)
{
	struct visitor v = {0};

	world_prepare(1);
	world_open();
	assert_int_equal(visit(&v, 0), 0);
	upstream_blame(&v.turn, "connection refused");
	assert_string_equal(world_server(0)->last_error, "connection refused");
	upstream_give(&v.turn, UPSTREAM_FAILED, 0);
	world_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_and_counters),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_every_balance_picks),
		cmocka_unit_test(test_a_worker_that_frees_a_place_wakes_its_own),
		cmocka_unit_test(test_a_worker_that_frees_a_place_wakes_another),
		cmocka_unit_test(test_a_kick_is_handed_on),
		cmocka_unit_test(test_the_queue_has_an_end_and_a_time),
		cmocka_unit_test(test_the_bulkhead),
		cmocka_unit_test(test_backups_are_for_when_nobody_else_is_there),
		cmocka_unit_test(test_what_was_tried_is_avoided),
		cmocka_unit_test(test_more_tries_than_are_remembered),
		cmocka_unit_test(test_the_sticky_server),
		cmocka_unit_test(test_outliers_are_ejected),
		cmocka_unit_test(test_the_breaker_of_a_server),
		cmocka_unit_test(test_the_breaker_of_the_group),
		cmocka_unit_test(test_servers_go_down_while_turns_wait),
		cmocka_unit_test(test_a_set_changes_under_turns),
		cmocka_unit_test(test_servers_come_while_turns_wait),
		cmocka_unit_test(test_a_server_comes_back_while_turns_wait),
		cmocka_unit_test(test_a_view_is_put_before_its_last_turn),
		cmocka_unit_test(test_retries_have_a_budget),
		cmocka_unit_test(test_blame_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
