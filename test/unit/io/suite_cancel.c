// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "suite.h"

static void test_cancel_of_an_idle_op_does_nothing(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	io_cancel(&a.rd.op);
	suite_world->settle();
	assert_int_equal(a.rd.finals, 0);
	assert_int_equal(a.rd.op.state, IO_IDLE);
	suite_close(&a);
	suite_close(&b);
}

/* Operations that nothing ends but a cancel, on an end whose way out is full. */
static const struct {
	enum io_code code;
	unsigned flags;
	bool write;
} endless[] = {
	{IO_RECV, 0, false}, {IO_RECV, IO_MULTI, false}, {IO_WAIT_IN, 0, false},
	{IO_SEND, 0, true},  {IO_WAIT_OUT, 0, true},
};

static struct rec *start_endless(struct end *a, unsigned i)
{
	struct rec *rec = endless[i].write ? &a->wr : &a->rd;

	if (endless[i].code == IO_SEND)
		suite_submit_send(a, 1000);
	else
		suite_submit(a, rec, endless[i].code, endless[i].flags);
	return rec;
}

static void test_cancel_before_the_loop_turns(void **state)
{
	struct end a, b;

	suite_pipe(&a, &b);
	suite_fill(&a);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(endless); i++) {
		struct rec *rec = start_endless(&a, i);

		io_cancel(&rec->op);
		assert_int_equal(rec->finals, 0);
		suite_until(rec->finals);
		assert_int_equal(rec->last, -ECANCELED);
		suite_world->settle();
		assert_int_equal(rec->finals, 1);
	}
	suite_close(&a);
	suite_close(&b);
}

static void test_cancel_while_it_waits(void **state)
{
	struct end a, b;

	suite_pipe(&a, &b);
	suite_fill(&a);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(endless); i++) {
		struct rec *rec = start_endless(&a, i);

		suite_world->settle();
		assert_int_equal(rec->finals, 0);
		assert_int_equal(rec->op.state, IO_INFLIGHT);
		io_cancel(&rec->op);
		io_cancel(&rec->op);
		assert_int_equal(rec->finals, 0);
		suite_until(rec->finals);
		assert_int_equal(rec->last, -ECANCELED);
		suite_world->settle();
		assert_int_equal(rec->finals, 1);
	}
	suite_close(&a);
	suite_close(&b);
}

static void test_cancel_of_accept(void **state)
{
	struct end listener;
	struct sockaddr_in addr;

	suite_listen(&listener, &addr);
	for (unsigned i = 0; i < 4; i++) {
		suite_submit(&listener, &listener.rd, IO_ACCEPT, i & 1 ? IO_MULTI : 0);
		if (i & 2)
			suite_world->settle();
		io_cancel(&listener.rd.op);
		suite_until(listener.rd.finals);
		assert_int_equal(listener.rd.last, -ECANCELED);
	}
	suite_close(&listener);
}

/* Whether the cancel or the bytes win, no byte is lost and there is one end. */
static void test_cancel_races_with_bytes(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	for (unsigned i = 0; i < 40; i++) {
		suite_submit(&a, &a.rd, IO_RECV, i & 1 ? IO_MULTI : 0);
		if (i & 2)
			suite_world->turn();
		suite_send(&b, 100);
		if (i & 4)
			suite_world->turn();
		io_cancel(&a.rd.op);
		suite_until(a.rd.finals);
		assert_true(a.rd.last == -ECANCELED || a.rd.last > 0);
		assert_int_equal(a.rd.finals, 1);
	}
	if (a.rd.bytes < b.sent)
		suite_recv(&a, b.sent - a.rd.bytes);
	assert_int_equal(a.rd.bytes, b.sent);
	assert_false(a.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void cancel_itself(struct rec *rec)
{
	io_cancel(&rec->op);
}

static void test_cancel_inside_its_own_callback(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	a.rd.then = cancel_itself;
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_send(&b, 5);
	suite_until(a.rd.finals);
	assert_true(a.rd.mores >= 1);
	assert_int_equal(a.rd.last, -ECANCELED);
	suite_world->settle();
	assert_int_equal(a.rd.finals, 1);
	suite_close(&a);
	suite_close(&b);
}

static void cancel_other(struct rec *rec)
{
	struct rec *other = rec->arg;

	io_cancel(&other->op);
}

static void test_cancel_of_an_op_that_is_done(void **state)
{
	struct end a, b;

	/* Each callback cancels the other op, whose callback may already be queued. */
	suite_pair(&a, &b);
	a.rd.then = b.rd.then = cancel_other;
	a.rd.arg = &b.rd;
	b.rd.arg = &a.rd;
	suite_submit(&a, &a.rd, IO_RECV, 0);
	suite_submit(&b, &b.rd, IO_RECV, 0);
	suite_world->settle();
	suite_send(&a, 1);
	suite_send(&b, 1);
	suite_until(a.rd.finals && b.rd.finals);
	suite_world->settle();
	assert_int_equal(a.rd.finals, 1);
	assert_int_equal(b.rd.finals, 1);
	assert_true(a.rd.bytes == 1 || b.rd.bytes == 1);
	suite_close(&a);
	suite_close(&b);
}

static void test_a_side_that_is_taken_is_busy(void **state)
{
	struct end a, b;
	struct rec second = {0}, third = {0};

	suite_pipe(&a, &b);
	suite_fill(&a);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_submit(&a, &a.wr, IO_WAIT_OUT, 0);
	suite_submit(&a, &second, IO_WAIT_IN, 0);
	suite_submit(&a, &third, IO_WAIT_OUT, 0);
	suite_until(second.finals && third.finals);
	assert_int_equal(second.last, -EBUSY);
	assert_int_equal(third.last, -EBUSY);
	assert_int_equal(a.rd.finals + a.wr.finals, 0);
	/* The refusal has not disturbed those that were there. */
	suite_send(&b, 10);
	suite_until(a.rd.bytes == 10);
	suite_recv(&b, a.sent);
	suite_until(a.wr.finals);
	assert_int_equal(a.wr.last, 0);
	suite_close(&a);
	suite_close(&b);
}

static void test_close_cancels_what_is_in_flight(void **state)
{
	struct end a, b;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(endless); i++) {
		for (unsigned j = 0; j < SL_ARRAY_SIZE(endless); j++) {
			struct rec *x, *y = NULL;

			suite_pipe(&a, &b);
			suite_fill(&a);
			x = start_endless(&a, i);
			if (endless[i].write != endless[j].write)
				y = start_endless(&a, j);
			if (j & 1)
				suite_world->turn();
			suite_close(&a);
			assert_int_equal(x->finals, 1);
			assert_int_equal(x->last, -ECANCELED);
			if (y) {
				assert_int_equal(y->finals, 1);
				assert_int_equal(y->last, -ECANCELED);
			}
			suite_close(&b);
		}
	}
}

static void close_itself(struct rec *rec)
{
	struct end *end = rec->arg;

	if (!end->fd.closing)
		suite_close_begin(end);
}

static void test_close_inside_a_callback(void **state)
{
	struct end a, b;

	for (unsigned multi = 0; multi < 2; multi++) {
		suite_pair(&a, &b);
		a.rd.then = close_itself;
		a.rd.arg = &a;
		suite_submit(&a, &a.rd, IO_RECV, multi ? IO_MULTI : 0);
		suite_send(&b, 5);
		suite_until(a.closed);
		assert_int_equal(a.closed, 1);
		assert_int_equal(a.rd.finals, 1);
		suite_close(&b);
	}
}

static void test_close_tells_the_peer(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&b, &b.rd, IO_RECV, IO_MULTI);
	suite_close(&a);
	suite_until(b.rd.finals);
	assert_int_equal(b.rd.last, 0);
	suite_close(&b);
}

static void test_a_closing_descriptor_takes_no_more(void **state)
{
	struct end a, b;
	struct rec late = {0};

	suite_pair(&a, &b);
	suite_close_begin(&a);
	suite_submit(&a, &late, IO_RECV, 0);
	suite_until(a.closed);
	assert_int_equal(late.finals, 1);
	assert_int_equal(late.last, -ECANCELED);
	suite_close(&b);
}

static void submit_on_closing(struct rec *rec)
{
	struct end *end = rec->arg;

	rec->then = NULL;
	assert_true(end->fd.closing);
	io_submit(suite_loop, &rec->op);
}

static void test_an_op_submitted_again_while_closing_delays_the_close(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, 0);
	a.rd.then = submit_on_closing;
	a.rd.arg = &a;
	suite_close(&a);
	assert_int_equal(a.rd.finals, 2);
	assert_int_equal(a.rd.last, -ECANCELED);
	suite_close(&b);
}

int suite_cancel_run(void)
{
	const struct CMUnitTest tests[] = {
		suite_test(test_cancel_of_an_idle_op_does_nothing),
		suite_test(test_cancel_before_the_loop_turns),
		suite_test(test_cancel_while_it_waits),
		suite_test(test_cancel_of_accept),
		suite_test(test_cancel_races_with_bytes),
		suite_test(test_cancel_inside_its_own_callback),
		suite_test(test_cancel_of_an_op_that_is_done),
		suite_test(test_a_side_that_is_taken_is_busy),
		suite_test(test_close_cancels_what_is_in_flight),
		suite_test(test_close_inside_a_callback),
		suite_test(test_close_tells_the_peer),
		suite_test(test_a_closing_descriptor_takes_no_more),
		suite_test(test_an_op_submitted_again_while_closing_delays_the_close),
	};

	return cmocka_run_group_tests_name("cancel and close", tests, NULL, NULL);
}
