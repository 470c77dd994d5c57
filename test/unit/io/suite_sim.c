// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <stdio.h>

#include "io/sim.h"
#include "suite.h"

/* The suite's world without a kernel: no faults, so that it must behave as the others do. */

#define SIM_TURN_NS 20000000
#define SIM_SETTLE_TURNS 8

static struct sim *world;

static int sim_world_open(char *why, size_t why_len)
{
	struct sim_options options = {.seed = 1};
	struct io_options loop_options = {.engine = IO_ENGINE_SIM};
	int rc = sim_new(&options, &world);

	if (rc < 0) {
		snprintf(why, why_len, "no world");
		return rc;
	}
	loop_options.sim = world;
	return io_loop_new(&loop_options, &suite_loop, why, why_len);
}

static void sim_world_close(void)
{
	struct sim_live live = sim_live(world);

	io_loop_free(suite_loop);
	suite_loop = NULL;
	sim_free(world);
	world = NULL;
	assert_int_equal(live.fds + live.connections + live.file_ops, 0);
}

static void sim_world_turn(void)
{
	assert_int_equal(io_loop_turn(suite_loop, SIM_TURN_NS), 0);
}

static void sim_world_settle(void)
{
	for (unsigned i = 0; i < SIM_SETTLE_TURNS; i++)
		sim_world_turn();
}

static void sim_world_pair(int fds[2])
{
	assert_int_equal(sim_pair(world, fds), 0);
}

static int sim_world_listen(struct sockaddr_in *addr, unsigned backlog)
{
	static uint16_t port = 8000;

	port++;
	*addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port),
	};
	return sim_listen(world, (struct sockaddr *)addr, sizeof(*addr), backlog);
}

const struct suite_world suite_sim = {
	.engine = "sim",
	.open = sim_world_open,
	.close = sim_world_close,
	.turn = sim_world_turn,
	.settle = sim_world_settle,
	.pair = sim_world_pair,
	.pipe = sim_world_pair,
	.listen = sim_world_listen,
};
