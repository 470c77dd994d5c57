/* internal: tests in the simulated world: many seeds, and the seed of a failure told */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_SIM_H
#define SLUICE_TEST_SIM_H

#include "io/io.h"
#include "io/sim.h"
#include "unit.h"

/*
 * Calls run for seeds 1, 2, ... `runs`. The environment may ask for others: SLUICE_SIM_SEED for the first,
 * SLUICE_SIM_RUNS for the number (1 when only the seed is given). With SLUICE_SIM_TRACE set, sim_test_world tells
 * every event on the standard error output.
 */
void sim_each_seed(unsigned runs, void (*run)(uint64_t seed));
/* A test that uses sim_each_seed: however it fails, its seed is printed. */
#define sim_test(f) cmocka_unit_test_teardown(f, sim_test_teardown)
int sim_test_teardown(void **state);

struct sim *sim_test_world(const struct sim_options *);
/* Nothing may be left open. */
void sim_test_world_free(struct sim *);
struct io_loop *sim_test_loop(struct sim *);

/* An op that is counted: each submission ends in one final callback. */
struct counted {
	struct io_op op;
	unsigned submitted, finals;
	void (*done)(struct counted *, int result);
};
/* cb, code and flags are set here; op.u and, for codes with one, `fd` by the caller. */
void counted_submit(struct io_loop *, struct counted *, struct io_fd *fd, enum io_code,
		    unsigned flags);
/* After the world has ended: none is still waited for. */
void counted_check(void);

#endif
