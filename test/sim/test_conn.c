// SPDX-License-Identifier: Apache-2.0

/* Plain connections on bad days: an end is told only when every byte that was sent before it has come. */

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "net/conn.h"
#include "sim_test.h"

#define PATTERN_BYTES 400000u
#define FILE_BYTES 200000u
#define PAUSE_MS 300
#define RUN_NS (24 * 3600 * CLOCK_NS_PER_S)

static uint8_t pattern[PATTERN_BYTES];
static int pattern_file;

/* A sender and a receiver, each with a loop of its own. */
struct flow {
	struct sim *world;
	struct io_loop *loops[2];
	struct conn *from, *to;
	struct io_timer send_pause, read_pause;
	size_t total, sent, received;
	int close_how; /* of the sender */
	unsigned closed;
	enum pull end;
	bool talks;    /* the receiver says something now and then */
	bool lossless; /* nothing failed on the sender's side, as far as it knows */
};

static unsigned all_whole, all_cut;

/* The receiver. */

static void flow_closed(void *consumer)
{
	struct flow *f = consumer;

	if (++f->closed == 2)
		sim_stop(f->world);
}

static void flow_read(struct flow *f)
{
	struct source *source = &f->to->source;
	struct seg s;

	for (;;) {
		f->end = source_pull(source, 1 + sim_random(f->world, 70000), SEG_MEM, &s);
		if (f->end != PULL_DATA)
			break;
		assert_int_equal(s.kind, SEG_MEM);
		assert_true(f->received + s.len <= f->total);
		assert_memory_equal(s.u.mem, pattern + f->received, s.len);
		f->received += s.len;
		seg_release(&s);
		/* A send may be told of a reset first, and then receiving finds what looks like an end. */
		if (f->talks && sim_random(f->world, 10) == 0)
			conn_send(f->to, seg_mem("ping", 4, NULL));
		if (sim_random(f->world, 30) == 0) {
			io_timer_set(f->loops[1], &f->read_pause, sim_random(f->world, PAUSE_MS));
			return;
		}
	}
	if (f->end == PULL_WAIT)
		return;
	conn_close(f->to, f->end == PULL_END ? CONN_DONE : -ECONNRESET);
}

static void flow_woken(struct source *source, void *consumer)
{
	(void)source;
	flow_read(consumer);
}

static void flow_read_on(struct io_timer *t)
{
	flow_read(SL_CONTAINER(t, struct flow, read_pause));
}

/* The sender. */

static void flow_end(struct flow *f)
{
	struct conn *c = f->from;

	if (!c)
		return;
	f->lossless = !c->error && f->close_how >= 0;
	f->from = NULL;
	io_timer_stop(&f->send_pause);
	conn_close(c, f->close_how);
}

static void flow_send(struct flow *f)
{
	while (f->sent < f->total && !conn_full(f->from) && !f->from->error) {
		size_t left = f->total - f->sent, most = sim_random(f->world, 4) ? 60000 : 300;
		size_t n = 1 + sim_random(f->world, SL_MIN(left, most));
		bool file = sim_random(f->world, 3) == 0;

		if (conn_send(f->from, file ? seg_file(pattern_file, (off_t)f->sent, n, NULL)
					    : seg_mem(pattern + f->sent, n, NULL)) == 0)
			f->sent += n;
		if (sim_random(f->world, 20) == 0) {
			io_timer_set(f->loops[0], &f->send_pause, sim_random(f->world, PAUSE_MS));
			return;
		}
	}
	if (f->sent == f->total || f->from->error)
		flow_end(f);
}

static void flow_drained(struct conn *c, void *consumer)
{
	struct flow *f = consumer;

	if (c->error)
		flow_end(f);
	else if (!io_timer_armed(&f->send_pause))
		flow_send(f);
}

static void flow_send_on(struct io_timer *t)
{
	flow_send(SL_CONTAINER(t, struct flow, send_pause));
}

static void flow_open(struct flow *f, const struct sim_options *o)
{
	int fds[2];

	*f = (struct flow){.world = sim_test_world(o)};
	for (unsigned i = 0; i < 2; i++)
		f->loops[i] = sim_test_loop(f->world);
	assert_int_equal(sim_pair(f->world, fds), 0);
	f->from = conn_plain_new(f->loops[0], fds[0]);
	f->to = conn_plain_new(f->loops[1], fds[1]);
	assert_true(f->from && f->to);
	f->from->consumer = f->to->consumer = f->to->source.consumer = f;
	f->from->closed = f->to->closed = flow_closed;
	f->from->drained = flow_drained;
	f->to->source.wake = flow_woken;
	f->send_pause.fire = flow_send_on;
	f->read_pause.fire = flow_read_on;
}

static void flow_run(struct flow *f)
{
	enum sim_end end = sim_run(f->world, RUN_NS);

	if (end != SIM_STOPPED)
		fail_msg("%s after %zu of %zu bytes", sim_end_text(end), f->received, f->total);
	for (unsigned i = 0; i < 2; i++)
		io_loop_free(f->loops[i]);
	sim_test_world_free(f->world);
}

static void bad_day(uint64_t seed)
{
	struct sim_options o = {.seed = seed};
	struct flow f;

	sim_faults_pick(seed, &o.faults);
	o.send_bytes = 256u << (seed % 11);
	o.recv_bytes = 256u << (seed / 11 % 11);
	flow_open(&f, &o);
	f.total = 1 + sim_random(f.world, SL_MIN(PATTERN_BYTES, 100 * o.send_bytes));
	f.close_how = sim_random(f.world, 4) ? (int)sim_random(f.world, 2) : -ECANCELED;
	f.talks = sim_random(f.world, 2);
	flow_read(&f);
	flow_send(&f);
	flow_run(&f);
	if (f.end == PULL_END) {
		assert_true(f.lossless);
		assert_int_equal(f.received, f.total);
		all_whole++;
	} else {
		assert_int_equal(f.end, PULL_FAIL);
		all_cut++;
	}
}

static void test_an_end_comes_after_every_byte(void **state)
{
	(void)state;
	all_whole = all_cut = 0;
	sim_each_seed(400, bad_day);
	if (getenv("SLUICE_SIM_SEED") || getenv("SLUICE_SIM_RUNS"))
		return;
	assert_in_range(all_whole, 50, UINT32_MAX);
	assert_in_range(all_cut, 50, UINT32_MAX);
}

/* A whole file is queued and the connection closed; then the disk fails, or the file turns out shorter. */
static void check_failing_file(int error, int close_how)
{
	const struct sim_options o = {.seed = 1};
	struct flow f;

	flow_open(&f, &o);
	f.total = f.sent = FILE_BYTES;
	f.close_how = close_how;
	assert_int_equal(sim_fail(f.world, SIM_READ, 1, 1, error), 0);
	assert_int_equal(conn_send(f.from, seg_file(pattern_file, 0, FILE_BYTES, NULL)), 0);
	flow_end(&f);
	flow_read(&f);
	flow_run(&f);
	assert_int_equal(f.end, PULL_FAIL);
	assert_true(f.received < FILE_BYTES);
}

static void test_a_file_that_fails_after_close_is_a_reset(void **state)
{
	(void)state;
	check_failing_file(EIO, CONN_LINGER);
	check_failing_file(EIO, CONN_DONE);
	check_failing_file(0, CONN_LINGER);
	check_failing_file(0, CONN_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_an_end_comes_after_every_byte),
		sim_test(test_a_file_that_fails_after_close_is_a_reset),
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 5 + i / 253);
	pattern_file = memfd_create("pattern", MFD_CLOEXEC);
	if (pattern_file < 0 ||
	    write(pattern_file, pattern, sizeof(pattern)) != (ssize_t)sizeof(pattern))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
