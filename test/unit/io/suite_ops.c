// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* More than a readiness backend takes of one descriptor in a turn, and than a socket buffer holds. */
#define MANY_BYTES (6u << 20)

static void recv_mem(struct end *end, void *mem, size_t cap)
{
	end->rd.op.u.recv.mem = mem;
	end->rd.op.u.recv.cap = cap;
	suite_submit(end, &end->rd, IO_RECV, 0);
}

static void test_recv_fills_the_memory_it_was_given(void **state)
{
	struct end a, b;
	uint8_t mem[64];

	suite_pair(&a, &b);
	suite_send(&b, 100);
	suite_world->settle();
	recv_mem(&a, mem, sizeof(mem));
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 64);
	recv_mem(&a, mem, sizeof(mem));
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 36);
	assert_false(a.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void test_recv_waits_for_bytes(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, 0);
	suite_world->settle();
	assert_int_equal(a.rd.finals, 0);
	suite_send(&b, 10);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 10);
	assert_false(a.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void test_single_recv_takes_a_buffer_each(void **state)
{
	struct end a, b;
	size_t total = 3 * BUF_CAPACITY;

	suite_pair(&a, &b);
	suite_send(&b, total);
	while (a.rd.bytes < total) {
		suite_submit(&a, &a.rd, IO_RECV, 0);
		suite_until(a.rd.finals);
		assert_in_range(a.rd.last, 1, BUF_CAPACITY);
	}
	assert_int_equal(a.rd.bytes, total);
	assert_false(a.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void test_multishot_recv_stays_armed(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	for (unsigned i = 1; i <= 20; i++) {
		suite_send(&b, 7);
		suite_until(a.rd.bytes == 7 * i);
		assert_int_equal(a.rd.finals, 0);
		assert_int_equal(a.rd.mores, i);
	}
	assert_false(a.rd.corrupt);
	io_cancel(&a.rd.op);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, -ECANCELED);
	suite_close(&a);
	suite_close(&b);
}

static void test_many_bytes_come_whole_and_in_order(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_send(&b, MANY_BYTES);
	suite_until(a.rd.bytes == MANY_BYTES);
	assert_false(a.rd.corrupt);
	assert_int_equal(a.rd.finals, 0);
	suite_close(&a);
	suite_close(&b);
}

static void test_both_directions_at_once(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_submit(&b, &b.rd, IO_RECV, IO_MULTI);
	while (a.sent < MANY_BYTES || b.sent < MANY_BYTES) {
		suite_try_send(&a, MANY_BYTES - a.sent);
		suite_try_send(&b, MANY_BYTES - b.sent);
		suite_world->turn();
	}
	suite_until(a.rd.bytes == MANY_BYTES && b.rd.bytes == MANY_BYTES);
	assert_false(a.rd.corrupt || b.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void test_the_end_of_the_stream_is_zero(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, 0);
	suite_world->settle();
	suite_close(&b);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	/* It is still the end when asked again, also by the other kind. */
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	assert_int_equal(a.rd.mores, 0);
	suite_close(&a);
}

static void test_the_end_right_after_bytes_is_not_missed(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_world->settle();
	suite_send(&b, 10);
	suite_close(&b);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	assert_int_equal(a.rd.bytes, 10);
	suite_close(&a);
}

static void test_a_half_closed_peer_is_still_answered(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_send(&b, 10);
	assert_int_equal(io_shutdown(&b.fd), 0);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	assert_int_equal(a.rd.bytes, 10);
	suite_send(&a, 1000);
	suite_recv(&b, 1000);
	suite_close(&a);
	suite_close(&b);
}

static void test_a_reset_is_an_error(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_world->settle();
	io_set_reset(&b.fd);
	suite_close(&b);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, -ECONNRESET);
	suite_close(&a);
}

static void test_sending_to_a_reset_peer_is_an_error(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	io_set_reset(&b.fd);
	suite_close(&b);
	suite_world->settle();
	suite_submit_send(&a, 10);
	suite_until(a.wr.finals);
	assert_true(a.wr.last == -ECONNRESET || a.wr.last == -EPIPE);
	suite_close(&a);
}

static void test_send_says_how_many_bytes_left(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	for (unsigned i = 0; i < 10; i++) {
		suite_submit_send(&a, 1000);
		suite_until(a.wr.finals);
		assert_in_range(a.wr.last, 1, 1000);
		a.sent += (uint64_t)a.wr.last;
	}
	suite_recv(&b, a.sent);
	suite_close(&a);
	suite_close(&b);
}

static void test_send_gathers_a_vector(void **state)
{
	struct end a, b;
	struct iovec iov[IO_IOV_MAX];
	uint8_t bytes[IO_IOV_MAX];

	suite_pair(&a, &b);
	for (unsigned i = 0; i < IO_IOV_MAX; i++) {
		bytes[i] = suite_pattern(i);
		iov[i] = (struct iovec){&bytes[i], 1};
	}
	a.wr.op.u.send.iov = iov;
	a.wr.op.u.send.n = IO_IOV_MAX;
	suite_submit(&a, &a.wr, IO_SEND, 0);
	suite_until(a.wr.finals);
	assert_in_range(a.wr.last, 1, IO_IOV_MAX);
	suite_recv(&b, (size_t)a.wr.last);
	a.wr.op.u.send.n = IO_IOV_MAX + 1;
	suite_submit(&a, &a.wr, IO_SEND, 0);
	suite_until(a.wr.finals);
	assert_int_equal(a.wr.last, -EINVAL);
	suite_close(&a);
	suite_close(&b);
}

static void test_send_waits_for_a_blocked_peer(void **state)
{
	struct end a, b;

	suite_pipe(&a, &b);
	suite_fill(&a);
	suite_submit_send(&a, 5000);
	suite_world->settle();
	assert_int_equal(a.wr.finals, 0);
	assert_int_equal(a.wr.op.state, IO_INFLIGHT);
	suite_submit(&b, &b.rd, IO_RECV, IO_MULTI);
	suite_until(a.wr.finals);
	assert_in_range(a.wr.last, 1, 5000);
	a.sent += (uint64_t)a.wr.last;
	suite_until(b.rd.bytes == a.sent);
	assert_false(b.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void test_wait_out_waits_for_room(void **state)
{
	struct end a, b;

	suite_pipe(&a, &b);
	suite_submit(&a, &a.wr, IO_WAIT_OUT, 0);
	suite_until(a.wr.finals);
	assert_int_equal(a.wr.last, 0);
	for (unsigned round = 0; round < 3; round++) {
		suite_fill(&a);
		suite_submit(&a, &a.wr, IO_WAIT_OUT, 0);
		suite_world->settle();
		assert_int_equal(a.wr.finals, 0);
		suite_recv(&b, a.sent - b.rd.bytes);
		suite_until(a.wr.finals);
		assert_int_equal(a.wr.last, 0);
		assert_true(suite_try_send(&a, 1) == 1);
	}
	suite_close(&a);
	suite_close(&b);
}

static void test_wait_in_tells_of_bytes_and_leaves_them(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_WAIT_IN, 0);
	suite_world->settle();
	assert_int_equal(a.rd.finals, 0);
	suite_send(&b, 10);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	/* Nobody has read them: it is still true, although nothing new comes. */
	suite_submit(&a, &a.rd, IO_WAIT_IN, 0);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	suite_recv(&a, 10);
	suite_submit(&a, &a.rd, IO_WAIT_IN, 0);
	suite_world->settle();
	assert_int_equal(a.rd.finals, 0);
	suite_send(&b, 10);
	suite_until(a.rd.finals);
	suite_recv(&a, 10);
	suite_close(&a);
	suite_close(&b);
}

/* The owner reads for itself, as a splice does, and the loop knows nothing of it. */
static void test_wait_in_after_the_owner_has_read(void **state)
{
	struct end a, b;
	uint8_t mem[16];

	suite_needs_kernel();
	suite_pair(&a, &b);
	for (unsigned round = 0; round < 5; round++) {
		suite_submit(&a, &a.rd, IO_WAIT_IN, 0);
		suite_world->settle();
		assert_int_equal(a.rd.finals, 0);
		suite_send(&b, 10);
		suite_until(a.rd.finals);
		assert_int_equal(recv(a.fd.fd, mem, 4, 0), 4);
		suite_submit(&a, &a.rd, IO_WAIT_IN, 0);
		suite_until(a.rd.finals);
		assert_int_equal(recv(a.fd.fd, mem, sizeof(mem), 0), 6);
	}
	suite_close(&a);
	suite_close(&b);
}

static void test_wait_in_tells_of_the_end(void **state)
{
	struct end a, b;

	suite_pair(&a, &b);
	suite_submit(&a, &a.rd, IO_WAIT_IN, 0);
	suite_close(&b);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	suite_submit(&a, &a.rd, IO_RECV, 0);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, 0);
	suite_close(&a);
}

static void again(struct rec *rec)
{
	unsigned *left = rec->arg;

	if (rec->last > 0 && --*left > 0)
		io_submit(suite_loop, &rec->op);
}

static void test_an_op_is_submitted_again_in_its_callback(void **state)
{
	struct end a, b;
	uint8_t byte;
	unsigned left = 50;

	suite_pair(&a, &b);
	a.rd.then = again;
	a.rd.arg = &left;
	recv_mem(&a, &byte, 1);
	suite_send(&b, 50);
	suite_until(left == 0);
	assert_int_equal(a.rd.finals, 50);
	assert_false(a.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
}

static void free_rec(struct rec *rec)
{
	unsigned *freed = rec->arg;

	(*freed)++;
	free(rec);
}

static void test_an_op_is_freed_in_its_callback(void **state)
{
	struct end a, b;
	struct rec *rec = calloc(1, sizeof(*rec));
	unsigned freed = 0;

	suite_pair(&a, &b);
	rec->then = free_rec;
	rec->arg = &freed;
	suite_submit(&a, rec, IO_RECV, 0);
	suite_send(&b, 1);
	suite_until(freed);
	suite_close(&a);
	suite_close(&b);
}

static void test_refused_arguments(void **state)
{
	struct end a, b;
	uint8_t mem[4];

	suite_pair(&a, &b);
	a.rd.op.u.recv.mem = mem;
	a.rd.op.u.recv.cap = sizeof(mem);
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	a.wr.op.u.send.n = 0;
	suite_submit(&a, &a.wr, IO_SEND, 0);
	suite_until(a.rd.finals && a.wr.finals);
	assert_int_equal(a.rd.last, -EINVAL);
	assert_int_equal(a.wr.last, -EINVAL);
	recv_mem(&a, mem, 0);
	suite_until(a.rd.finals);
	assert_int_equal(a.rd.last, -EINVAL);
	suite_close(&a);
	suite_close(&b);
}

int suite_ops_run(void)
{
	const struct CMUnitTest tests[] = {
		suite_test(test_recv_fills_the_memory_it_was_given),
		suite_test(test_recv_waits_for_bytes),
		suite_test(test_single_recv_takes_a_buffer_each),
		suite_test(test_multishot_recv_stays_armed),
		suite_test(test_many_bytes_come_whole_and_in_order),
		suite_test(test_both_directions_at_once),
		suite_test(test_the_end_of_the_stream_is_zero),
		suite_test(test_the_end_right_after_bytes_is_not_missed),
		suite_test(test_a_half_closed_peer_is_still_answered),
		suite_test(test_a_reset_is_an_error),
		suite_test(test_sending_to_a_reset_peer_is_an_error),
		suite_test(test_send_says_how_many_bytes_left),
		suite_test(test_send_gathers_a_vector),
		suite_test(test_send_waits_for_a_blocked_peer),
		suite_test(test_wait_out_waits_for_room),
		suite_test(test_wait_in_tells_of_bytes_and_leaves_them),
		suite_test(test_wait_in_after_the_owner_has_read),
		suite_test(test_wait_in_tells_of_the_end),
		suite_test(test_an_op_is_submitted_again_in_its_callback),
		suite_test(test_an_op_is_freed_in_its_callback),
		suite_test(test_refused_arguments),
	};

	return cmocka_run_group_tests_name("operations", tests, NULL, NULL);
}
