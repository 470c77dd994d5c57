/* internal: a group of servers in a simulated world, with workers on loops of their own, for tests of views */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_UPSTREAM_WORLD_H
#define SLUICE_TEST_UPSTREAM_WORLD_H

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/thread.h"
#include "io/sim.h"
#include "unit.h"
#include "upstream/view.h"

#define WORLD_SERVERS 16
#define WORLD_WORKERS 3
#define WORLD_SEED 0x510cull

static struct world {
	struct sim *sim;
	struct io_loop *main, *loops[WORLD_WORKERS];
	struct upstream_registry *registry;
	struct upstream_group *group;
	struct upstream_view *views[WORLD_WORKERS];
	struct io_timer clocks[WORLD_WORKERS];
	struct upstream_config config;
	struct upstream_server_config servers[WORLD_SERVERS];
	char texts[WORLD_SERVERS][32];
} world;

static inline struct io_loop *world_loop(void)
{
	struct io_options options = {.engine = IO_ENGINE_SIM, .sim = world.sim};
	struct io_loop *loop;
	char why[128];

	assert_int_equal(io_loop_new(&options, &loop, why, sizeof(why)), 0);
	return loop;
}

static inline void world_tick(struct io_timer *timer)
{
}

/* Lets everything happen that does within so much virtual time; at its end each loop knows what time it is. */
static inline void world_run_ms(uint64_t ms)
{
	enum sim_end end;

	for (unsigned i = 0; i < WORLD_WORKERS; i++) {
		world.clocks[i].fire = world_tick;
		io_timer_set(world.loops[i], &world.clocks[i], ms);
	}
	end = sim_run(world.sim, (ms + 1) * CLOCK_NS_PER_MS);
	if (end != SIM_TIME && end != SIM_DEADLOCK)
		fail_msg("the world ended: %s", sim_end_text(end));
}

/* Servers a, b, ... at 10.0.0.1:8000 on; nothing is configured but them: to be changed before world_open. */
static inline void world_prepare(unsigned servers)
{
	char why[128];

	memset(&world, 0, sizeof(world));
	upstream_config_init(&world.config);
	world.config.name = STR("group");
	world.config.servers = world.servers;
	world.config.server_count = servers;
	world.config.outlier.consecutive = 0;
	for (unsigned i = 0; i < servers; i++) {
		struct upstream_server_config *s = &world.servers[i];

		snprintf(world.texts[i], sizeof(world.texts[i]), "127.0.0.%u:8000", i + 1);
		*s = (struct upstream_server_config){.text = str_from(world.texts[i]), .weight = 1};
		assert_int_equal(net_addr_parse(s->text, &s->addr, why, sizeof(why)), 0);
	}
}

static inline void world_open(void)
{
	const struct sim_options options = {.seed = WORLD_SEED};

	log_setup(2, LOG_OFF, LOG_TEXT);
	assert_int_equal(sim_new(&options, &world.sim), 0);
	world.main = world_loop();
	world.registry = upstream_registry_new(world.main, NULL);
	assert_non_null(world.registry);
	world.group = upstream_group_join(world.registry, &world.config);
	assert_non_null(world.group);
	for (unsigned i = 0; i < WORLD_WORKERS; i++) {
		world.loops[i] = world_loop();
		world.views[i] = upstream_view_get(world.group, world.loops[i]);
		assert_non_null(world.views[i]);
	}
}

static inline struct upstream_server *world_server(unsigned i)
{
	return world.group->set->members[i].server;
}

/* Nothing may be left at any server. */
static inline void world_close(void)
{
	for (unsigned i = 0; i < world.group->set->count; i++)
		assert_int_equal(atomic_load(&world_server(i)->active), 0);
	assert_int_equal(atomic_load(&world.group->active), 0);
	assert_int_equal(atomic_load(&world.group->queued), 0);
	for (unsigned i = 0; i < WORLD_WORKERS; i++)
		if (world.views[i])
			upstream_view_put(world.views[i]);
	upstream_group_unref(world.group);
	world_run_ms(10000);
	upstream_registry_stop(world.registry);
	world_run_ms(10000);
	upstream_registry_free(world.registry);
	for (unsigned i = 0; i < WORLD_WORKERS; i++)
		io_loop_free(world.loops[i]);
	io_loop_free(world.main);
	assert_int_equal(sim_live(world.sim).fds, 0);
	sim_free(world.sim);
	assert_int_equal(base_thread_exit(), 0);
}

/* A turn, and what its owner hears. */
struct visitor {
	struct upstream_turn turn;
	unsigned told;
	int result;
};

static inline void visitor_ready(struct upstream_turn *turn, int result)
{
	struct visitor *v = turn->owner;

	v->told++;
	v->result = result;
}

static inline int visit(struct visitor *v, unsigned worker)
{
	v->turn.owner = v;
	v->turn.ready = visitor_ready;
	return upstream_take(world.views[worker], &v->turn);
}

/* The number of the server that it got, from 0; -1: none. */
static inline int visited(const struct visitor *v)
{
	for (unsigned i = 0; v->turn.server && i < world.config.server_count; i++)
		if (str_eq(upstream_server_name(v->turn.server), world.servers[i].text))
			return (int)i;
	return -1;
}

/* Takes, gives back, and the server. */
static inline int visit_briefly(unsigned worker, enum upstream_outcome outcome)
{
	struct visitor v = {0};
	int at, result = visit(&v, worker);

	if (result)
		return result;
	at = visited(&v);
	upstream_give(&v.turn, outcome, CLOCK_NS_PER_MS);
	return at;
}

#endif
