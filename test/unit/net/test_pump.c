// SPDX-License-Identifier: Apache-2.0
/* The pump between a source and a conn that do as the test says. */
#include "net/pump.h"

#include <errno.h>
#include <string.h>

#include "unit.h"

/* What a pull gives, in order; the last goes on for ever. */
struct step {
	enum pull result;
	size_t len;
	int error;
};

static struct {
	struct source source;
	const struct step *steps;
	unsigned at;
	size_t most;    /* the largest want */
	unsigned pipes; /* that were given */
} from;

static struct {
	struct conn conn;
	size_t taken;
	size_t flushed; /* what waited at the last flush */
	int fails;      /* what send answers */
	size_t fails_at;
} to;

static struct pump pump;
static unsigned dones;
static int result;

static enum pull from_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	static const uint8_t bytes[4 * CONN_SEND_HIGH];
	const struct step *step = &from.steps[from.at];

	assert_int_equal(kinds & ~(unsigned)SEG_PIPE, SEG_MEM | SEG_FILE);
	assert_true(want > 0);
	from.most = SL_MAX(from.most, want);
	if (step[1].result || step[1].len)
		from.at++;
	source->error = step->error;
	if (step->result == PULL_DATA)
		*out = seg_mem(bytes, SL_MIN(want, step->len), NULL);
	if (step->result == PULL_DATA && kinds & SEG_PIPE) {
		out->kind = SEG_PIPE;
		from.pipes++;
	}
	return step->result;
}

static int to_send(struct conn *conn, struct seg s)
{
	if (to.fails && to.taken >= to.fails_at) {
		seg_release(&s);
		return to.fails;
	}
	to.taken += s.len;
	conn->queued += s.len;
	return 0;
}

static int framed_all(struct pump *p, struct seg s)
{
	return conn_send(p->conn, s);
}

static void to_flush(struct conn *conn)
{
	to.flushed = conn->queued;
}

static void done(struct pump *p, int why)
{
	assert_ptr_equal(p, &pump);
	dones++;
	result = why;
}

static void start(const struct step *steps, uint64_t bytes_max)
{
	static const struct source_ops from_ops = {.pull = from_pull};
	static const struct conn_ops to_ops = {.send = to_send, .flush = to_flush};

	memset(&from, 0, sizeof(from));
	memset(&to, 0, sizeof(to));
	from.source.ops = &from_ops;
	from.steps = steps;
	to.conn.ops = &to_ops;
	to.conn.caps = SEG_MEM | SEG_FILE;
	pump = (struct pump){
		.source = &from.source, .conn = &to.conn, .bytes_max = bytes_max, .done = done};
	dones = 0;
	result = 1;
}

#define STEPS(...) ((const struct step[]){__VA_ARGS__, {0}})
#define DATA(n)                 \
	{                       \
		PULL_DATA, n, 0 \
	}
#define WAIT                    \
	{                       \
		PULL_WAIT, 0, 0 \
	}
#define END                    \
	{                      \
		PULL_END, 0, 0 \
	}
#define FAIL(error)                 \
	{                           \
		PULL_FAIL, 0, error \
	}

static void test_to_the_end(void **state)
{
	start(STEPS(DATA(10), DATA(20), END), PUMP_TO_END);
	pump_start(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(result, 0);
	assert_int_equal(to.taken, 30);
	assert_int_equal(pump.bytes, 30);
}

static void test_what_is_promised(void **state)
{
	/* More than was promised is not pulled, and nothing is when nothing was. */
	start(STEPS(DATA(10), DATA(20)), 15);
	pump_start(&pump);
	assert_int_equal(result, 0);
	assert_int_equal(to.taken, 15);
	assert_int_equal(from.most, 15);
	start(STEPS(FAIL(-EIO)), 0);
	pump_start(&pump);
	assert_int_equal(result, 0);
	assert_int_equal(from.most, 0);
	/* Less is told. */
	start(STEPS(DATA(10), END), 15);
	pump_start(&pump);
	assert_int_equal(result, -ENODATA);
}

static void test_source_fails(void **state)
{
	start(STEPS(DATA(10), FAIL(-EBADMSG)), PUMP_TO_END);
	pump_start(&pump);
	assert_int_equal(result, -EBADMSG);
	start(STEPS(FAIL(0)), PUMP_TO_END);
	pump_start(&pump);
	assert_int_equal(result, -EIO);
}

static void test_waits_for_the_source(void **state)
{
	start(STEPS(DATA(10), WAIT, DATA(5), WAIT, END), PUMP_TO_END);
	pump_start(&pump);
	assert_int_equal(dones, 0);
	assert_int_equal(to.taken, 10);
	/* The conn has nothing to say to that. */
	pump_drained(&pump);
	assert_int_equal(to.taken, 10);
	source_wake(&from.source);
	assert_int_equal(to.taken, 15);
	source_wake(&from.source);
	assert_int_equal(dones, 1);
	assert_int_equal(result, 0);
}

static void test_waits_for_the_conn(void **state)
{
	start(STEPS(DATA(CONN_SEND_HIGH - 1), DATA(CONN_SEND_HIGH), DATA(1), END), PUMP_TO_END);
	pump_start(&pump);
	/* At the limit it stops; what was pulled before is over by one segment at most. */
	assert_int_equal(dones, 0);
	assert_int_equal(to.taken, 2 * CONN_SEND_HIGH - 1);
	to.conn.queued = CONN_SEND_HIGH;
	pump_drained(&pump);
	assert_int_equal(to.taken, 2 * CONN_SEND_HIGH - 1);
	to.conn.queued = CONN_SEND_LOW;
	pump_drained(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(to.taken, 2 * CONN_SEND_HIGH);
}

static void test_much_leaves_at_once(void **state)
{
	/* In portions, and the rest when the source has no more now, or at the end. */
	start(STEPS(DATA(130 * 1024), DATA(1000), WAIT, DATA(1000), END), PUMP_TO_END);
	pump_start(&pump);
	assert_int_equal(to.flushed, 130 * 1024 + 1000);
	source_wake(&from.source);
	assert_int_equal(to.flushed, 130 * 1024 + 2000);
	/* Little waits for company. */
	start(STEPS(DATA(1000), WAIT, DATA(1000), END), PUMP_TO_END);
	pump_start(&pump);
	source_wake(&from.source);
	assert_int_equal(dones, 1);
	assert_int_equal(to.flushed, 0);
	/* A last chunk joins what is before it. */
	start(STEPS(DATA(64 * 1024), END), PUMP_TO_END);
	pump.frame = framed_all;
	pump_start(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(to.flushed, 0);
}

static void test_conn_fails(void **state)
{
	/* While the source is waited for: who drains tells of it. */
	start(STEPS(DATA(10), WAIT), PUMP_TO_END);
	pump_start(&pump);
	to.conn.error = -ECONNRESET;
	pump_drained(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(result, -ECONNRESET);
	/* A segment that was not sent must not be missed: nothing is sent after it. */
	start(STEPS(DATA(10)), PUMP_TO_END);
	to.fails = -ENOMEM;
	to.fails_at = 30;
	pump_start(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(result, -ENOMEM);
	assert_int_equal(to.taken, 30);
}

static void test_small_pieces_wait_in_memory(void **state)
{
	/* A large piece says that there are more of them; a small one that waits to leave, that pipes are wasted. */
	start(STEPS(DATA(PUMP_SPLICE_AFTER), DATA(PUMP_PIPE_SMALL), DATA(10), DATA(10), DATA(10),
		    WAIT, DATA(10), DATA(10), END),
	      PUMP_TO_END);
	to.conn.caps |= SEG_PIPE;
	pump_start(&pump);
	assert_int_equal(from.pipes, 2);
	/* What leaves at once may be in one again. */
	to.conn.queued = 0;
	source_wake(&from.source);
	assert_int_equal(from.pipes, 3);
	assert_int_equal(dones, 1);
}

static int framed(struct pump *p, struct seg s)
{
	assert_ptr_equal(p, &pump);
	to.taken += s.len + 100;
	seg_release(&s);
	return to.taken >= 330 ? -EPROTO : 0;
}

static void test_frame(void **state)
{
	start(STEPS(DATA(10), DATA(10), END), PUMP_TO_END);
	pump.frame = framed;
	pump_start(&pump);
	assert_int_equal(result, 0);
	assert_int_equal(to.taken, 220);
	start(STEPS(DATA(10)), PUMP_TO_END);
	pump.frame = framed;
	pump_start(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(result, -EPROTO);
}

static void test_stop(void **state)
{
	start(STEPS(DATA(CONN_SEND_HIGH), END), PUMP_TO_END);
	pump_start(&pump);
	pump_stop(&pump);
	to.conn.queued = 0;
	pump_drained(&pump);
	assert_int_equal(dones, 0);
	/* It may go on where it stopped. */
	pump_start(&pump);
	assert_int_equal(dones, 1);
	assert_int_equal(pump.bytes, CONN_SEND_HIGH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_to_the_end),
		cmocka_unit_test(test_what_is_promised),
		cmocka_unit_test(test_source_fails),
		cmocka_unit_test(test_waits_for_the_source),
		cmocka_unit_test(test_waits_for_the_conn),
		cmocka_unit_test(test_much_leaves_at_once),
		cmocka_unit_test(test_conn_fails),
		cmocka_unit_test(test_small_pieces_wait_in_memory),
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
