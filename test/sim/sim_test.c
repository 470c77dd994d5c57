// SPDX-License-Identifier: Apache-2.0
#include "sim_test.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"

/* The running test's seed, 0 outside of one: in a form that can be written when nothing else works any more. */
static char seed_line[64];
static int seed_line_len;

static uint64_t submitted, finals;

static void tell_seed(void)
{
	if (seed_line_len > 0 && write(STDERR_FILENO, seed_line, (size_t)seed_line_len) < 0)
		return;
	seed_line_len = 0;
}

static void on_abort(int signal)
{
	(void)signal;
	tell_seed();
}

/* AddressSanitizer calls this before its report. */
void __asan_on_error(void);
void __asan_on_error(void)
{
	tell_seed();
}

int sim_test_teardown(void **state)
{
	(void)state;
	tell_seed();
	return 0;
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	char *end;
	uint64_t n;

	if (!text)
		return otherwise;
	n = strtoull(text, &end, 0);
	if (!*text || *end)
		fail_msg("%s is not a number: %s", name, text);
	return n;
}

void sim_each_seed(unsigned runs, void (*run)(uint64_t seed))
{
	uint64_t first = env_number("SLUICE_SIM_SEED", 0);
	uint64_t count = env_number("SLUICE_SIM_RUNS", first ? 1 : runs);

	first = first ? first : 1;
	signal(SIGABRT, on_abort);
	for (uint64_t seed = first; seed < first + count; seed++) {
		seed_line_len = snprintf(seed_line, sizeof(seed_line),
					 "to see it again: SLUICE_SIM_SEED=%" PRIu64 "\n", seed);
		run(seed);
	}
	seed_line_len = 0;
	signal(SIGABRT, SIG_DFL);
}

struct sim *sim_test_world(const struct sim_options *options)
{
	struct sim_options o = *options;
	struct sim *w;

	submitted = finals = 0;
	if (getenv("SLUICE_SIM_TRACE"))
		o.trace = stderr;
	assert_int_equal(sim_new(&o, &w), 0);
	return w;
}

void sim_test_world_free(struct sim *w)
{
	struct sim_live live = sim_live(w);

	assert_int_equal(live.fds, 0);
	assert_int_equal(live.connections, 0);
	assert_int_equal(live.file_ops, 0);
	sim_free(w);
	counted_check();
}

struct io_loop *sim_test_loop(struct sim *w)
{
	struct io_options options = {.engine = IO_ENGINE_SIM, .sim = w};
	struct io_loop *loop;
	char why[128];

	assert_int_equal(io_loop_new(&options, &loop, why, sizeof(why)), 0);
	return loop;
}

static void counted_done(struct io_op *op, int result)
{
	struct counted *c = SL_CONTAINER(op, struct counted, op);

	assert_int_equal(c->submitted, c->finals + 1);
	if (!(op->flags & IO_MORE)) {
		assert_int_equal(op->state, IO_IDLE);
		c->finals++;
		finals++;
	}
	c->done(c, result);
}

void counted_submit(struct io_loop *loop, struct counted *c, struct io_fd *fd, enum io_code code,
		    unsigned flags)
{
	assert_int_equal(c->submitted, c->finals);
	c->submitted++;
	submitted++;
	c->op.cb = counted_done;
	c->op.fd = fd;
	c->op.code = (uint8_t)code;
	c->op.flags = (uint16_t)flags;
	io_submit(loop, &c->op);
}

void counted_check(void)
{
	assert_int_equal(submitted, finals);
}
