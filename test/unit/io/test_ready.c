// SPDX-License-Identifier: Apache-2.0
#include "io/ready.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/compiler.h"
#include "unit.h"

/*
 * What a request costs in system calls over epoll, and what one descriptor may take of a turn. The functions
 * below take the place of libc's in this program, and count.
 */

static struct {
	unsigned recv, epoll_ctl, epoll_wait;
} calls;

ssize_t recv(int fd, void *mem, size_t len, int flags)
{
	calls.recv++;
	return recvfrom(fd, mem, len, flags, NULL, NULL);
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	calls.epoll_ctl++;
	return (int)syscall(SYS_epoll_ctl, ep, op, fd, event);
}

int epoll_wait(int ep, struct epoll_event *events, int n, int timeout)
{
	calls.epoll_wait++;
	return (int)syscall(SYS_epoll_pwait, ep, events, n, timeout, NULL, 0);
}

static struct io_loop *loop;

struct sink {
	struct io_fd fd;
	struct io_op rd;
	size_t bytes;
	unsigned mores, finals, closed;
	bool short_lived; /* one message, and it closes */
	bool impatient;   /* one message, and it cancels */
	int last;
};

static void sink_closed(struct io_fd *fd)
{
	struct sink *sink = SL_CONTAINER(fd, struct sink, fd);

	sink->closed++;
}

static void sink_got(struct io_op *op, int result)
{
	struct sink *sink = SL_CONTAINER(op, struct sink, rd);

	sink->last = result;
	if (result > 0) {
		sink->bytes += (size_t)result;
		buf_unref(op->u.recv.buf);
	}
	if (op->flags & IO_MORE)
		sink->mores++;
	else
		sink->finals++;
	if (sink->impatient)
		io_cancel(op);
	if (sink->short_lived && !sink->fd.closing)
		io_close(&sink->fd, sink_closed);
}

/* Returns the other end, which is not in the loop. */
static int sink_open(struct sink *sink)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*sink = (struct sink){
		.rd = {.cb = sink_got, .fd = &sink->fd, .code = IO_RECV, .flags = IO_MULTI}};
	assert_int_equal(io_fd_init(loop, &sink->fd, fds[0]), 0);
	io_submit(loop, &sink->rd);
	return fds[1];
}

static void sink_close(struct sink *sink)
{
	io_close(&sink->fd, sink_closed);
	while (!sink->closed)
		assert_int_equal(io_loop_turn(loop, 0), 0);
}

static int open_loop(void **state)
{
	struct io_options options = {.engine = IO_ENGINE_EPOLL};
	char why[128];
	int rc = io_loop_new(&options, &loop, why, sizeof(why));

	memset(&calls, 0, sizeof(calls));
	return rc;
}

static int close_loop(void **state)
{
	io_loop_free(loop);
	return 0;
}

static void test_a_message_costs_one_recv_and_nothing_else(void **state)
{
	struct sink sink;
	int peer = sink_open(&sink);

	memset(&calls, 0, sizeof(calls));
	assert_int_equal(io_loop_turn(loop, 0), 0);
	/* Armed for good, and nothing was read on suspicion. */
	assert_int_equal(calls.epoll_ctl, 1);
	assert_int_equal(calls.recv, 0);
	memset(&calls, 0, sizeof(calls));
	for (unsigned i = 1; i <= 100; i++) {
		assert_int_equal(write(peer, "hello", 5), 5);
		assert_int_equal(io_loop_turn(loop, -1), 0);
		assert_int_equal(sink.mores, i);
	}
	assert_int_equal(calls.recv, 100);
	assert_int_equal(calls.epoll_wait, 100);
	assert_int_equal(calls.epoll_ctl, 0);
	close(peer);
	sink_close(&sink);
}

static void test_an_end_that_came_with_bytes_is_read_in_the_same_turn(void **state)
{
	struct sink sink;
	int peer = sink_open(&sink);

	assert_int_equal(io_loop_turn(loop, 0), 0);
	assert_int_equal(write(peer, "hello", 5), 5);
	close(peer);
	memset(&calls, 0, sizeof(calls));
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(sink.bytes, 5);
	assert_int_equal(sink.finals, 1);
	assert_int_equal(sink.last, 0);
	assert_int_equal(calls.recv, 2);
	sink_close(&sink);
}

static size_t flood(int peer)
{
	static const char zeros[65536];
	size_t sum = 0;
	ssize_t n;

	while ((n = write(peer, zeros, sizeof(zeros))) > 0)
		sum += (size_t)n;
	assert_int_equal(errno, EAGAIN);
	return sum;
}

static void test_a_flood_leaves_the_others_their_turn(void **state)
{
	struct sink loud, quiet;
	int loud_peer = sink_open(&loud), quiet_peer = sink_open(&quiet), size = 4 << 20;
	size_t sent;

	setsockopt(loud_peer, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_int_equal(io_loop_turn(loop, 0), 0);
	sent = flood(loud_peer);
	assert_true(sent > 2 * READY_RECV_TURN_BYTES);
	assert_int_equal(write(quiet_peer, "x", 1), 1);
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(quiet.bytes, 1);
	/* Its share, and what the last buffer held beyond it. */
	assert_in_range(loud.bytes, READY_RECV_TURN_BYTES, READY_RECV_TURN_BYTES + BUF_CAPACITY);
	/* The rest needs no new event, and does not wait for one. */
	while (loud.bytes < sent)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(calls.epoll_ctl, 2);
	close(loud_peer);
	close(quiet_peer);
	sink_close(&loud);
	sink_close(&quiet);
}

static void test_closing_costs_no_epoll_ctl(void **state)
{
	struct sink sink;
	int peer = sink_open(&sink);

	assert_int_equal(io_loop_turn(loop, 0), 0);
	memset(&calls, 0, sizeof(calls));
	sink_close(&sink);
	assert_int_equal(sink.last, -ECANCELED);
	assert_int_equal(calls.epoll_ctl, 0);
	close(peer);
}

static void test_a_short_connection_is_never_watched(void **state)
{
	struct sink sink;
	unsigned recvs;

	/* Bytes that are there before the loop looks: it learns to look first. */
	for (unsigned i = 0; i < 4 * READY_LUCK_PROBE; i++) {
		int peer = sink_open(&sink);

		sink.short_lived = true;
		assert_int_equal(write(peer, "hello", 5), 5);
		if (i == 2 * READY_LUCK_PROBE)
			memset(&calls, 0, sizeof(calls));
		while (!sink.closed)
			assert_int_equal(io_loop_turn(loop, -1), 0);
		assert_int_equal(sink.bytes, 5);
		close(peer);
	}
	assert_int_equal(calls.epoll_ctl, 0);
	assert_int_equal(calls.recv, 2 * READY_LUCK_PROBE);
	/* Silent ones: it soon stops. */
	for (unsigned i = 0; i < 10 * READY_LUCK_PROBE; i++) {
		int peer = sink_open(&sink);

		assert_int_equal(io_loop_turn(loop, 0), 0);
		close(peer);
		sink_close(&sink);
	}
	recvs = calls.recv - 2 * READY_LUCK_PROBE;
	assert_in_range(recvs, READY_LUCK_MAX, READY_LUCK_MAX + 20);
}

static void test_nothing_is_read_for_a_canceled_op(void **state)
{
	struct sink sink;
	int peer = sink_open(&sink);
	size_t sent;

	assert_int_equal(io_loop_turn(loop, 0), 0);
	sink.impatient = true;
	sent = flood(peer);
	assert_true(sent > 2 * BUF_CAPACITY);
	while (!sink.finals)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(sink.mores, 1);
	assert_int_equal(sink.last, -ECANCELED);
	/* The rest is there for the next. */
	sink.impatient = false;
	io_submit(loop, &sink.rd);
	while (sink.bytes < sent)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	close(peer);
	sink_close(&sink);
}

/* A copy keeps the socket open, and with it epoll's registration under the old number. */
static void test_an_event_of_a_former_life_is_ignored(void **state)
{
	struct sink former, sink;
	int former_peer = sink_open(&former), copy = dup(former.fd.fd), number = former.fd.fd;
	int peer, fds[2];

	assert_int_equal(io_loop_turn(loop, 0), 0);
	sink_close(&former);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(fds[0], number);
	sink = (struct sink){.rd = {.cb = sink_got, .fd = &sink.fd, .code = IO_WAIT_IN}};
	peer = fds[1];
	assert_int_equal(io_fd_init(loop, &sink.fd, number), 0);
	io_submit(loop, &sink.rd);
	assert_int_equal(write(former_peer, "hello", 5), 5);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(io_loop_turn(loop, 0), 0);
	assert_int_equal(sink.finals, 0);
	assert_int_equal(write(peer, "x", 1), 1);
	while (!sink.finals)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	sink_close(&sink);
	/* The old socket comes back under its old number, where epoll still has it. */
	assert_int_equal(dup2(copy, number), number);
	close(copy);
	sink = (struct sink){
		.rd = {.cb = sink_got, .fd = &sink.fd, .code = IO_RECV, .flags = IO_MULTI}};
	assert_int_equal(io_fd_init(loop, &sink.fd, number), 0);
	io_submit(loop, &sink.rd);
	while (!sink.mores)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(sink.bytes, 5);
	assert_int_equal(sink.finals, 0);
	sink_close(&sink);
	close(peer);
	close(former_peer);
}

struct caller {
	struct io_fd fd;
	struct io_op wait, connect;
	struct sockaddr_in addr;
	unsigned finals, closed;
};

static struct caller caller;

static void caller_done(struct io_op *op, int result)
{
	caller.finals += op == &caller.connect;
}

static void caller_closed(struct io_fd *fd)
{
	caller.closed++;
}

#define CROWD 4

/* A listener that answers no more: its queue is full. */
static int full_listener(struct sockaddr_in *addr, int crowd[CROWD])
{
	int fd = io_socket(loop, AF_INET, SOCK_STREAM);
	socklen_t len = sizeof(*addr);

	*addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	for (unsigned i = 0; i < CROWD; i++) {
		crowd[i] = io_socket(loop, AF_INET, SOCK_STREAM);
		assert_int_equal(connect(crowd[i], (struct sockaddr *)addr, len), -1);
		assert_int_equal(errno, EINPROGRESS);
	}
	return fd;
}

/* Runs after epoll has reported the unconnected socket, and before that report is looked at. */
static void connect_in_between(struct io_op *op, int result)
{
	sink_got(op, result);
	io_cancel(&caller.wait);
	io_submit(loop, &caller.connect);
}

static void test_an_unconnected_socket_is_not_taken_for_connected(void **state)
{
	struct sink sink;
	int crowd[CROWD], listener = full_listener(&caller.addr, crowd), peer = sink_open(&sink);

	caller.finals = caller.closed = 0;
	caller.wait = (struct io_op){.cb = caller_done, .fd = &caller.fd, .code = IO_WAIT_OUT};
	caller.connect = (struct io_op){
		.cb = caller_done,
		.fd = &caller.fd,
		.code = IO_CONNECT,
		.u.connect = {(struct sockaddr *)&caller.addr, sizeof(caller.addr)},
	};
	assert_int_equal(io_fd_init(loop, &caller.fd, io_socket(loop, AF_INET, SOCK_STREAM)), 0);
	assert_int_equal(io_loop_turn(loop, 0), 0);
	sink.rd.cb = connect_in_between;
	assert_int_equal(write(peer, "x", 1), 1);
	/* As if it had been found full, so that epoll is asked: it says at once that there is room. */
	caller.fd.ready &= (uint8_t)~IO_READY_OUT;
	io_submit(loop, &caller.wait);
	assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(sink.bytes, 1);
	assert_int_equal(caller.connect.state, IO_INFLIGHT);
	assert_int_equal(io_loop_turn(loop, 0), 0);
	assert_int_equal(caller.finals, 0);
	io_close(&caller.fd, caller_closed);
	while (!caller.closed)
		assert_int_equal(io_loop_turn(loop, 0), 0);
	sink_close(&sink);
	for (unsigned i = 0; i < CROWD; i++)
		close(crowd[i]);
	close(peer);
	close(listener);
}

#define ready_test(f) cmocka_unit_test_setup_teardown(f, open_loop, close_loop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ready_test(test_a_message_costs_one_recv_and_nothing_else),
		ready_test(test_an_end_that_came_with_bytes_is_read_in_the_same_turn),
		ready_test(test_a_flood_leaves_the_others_their_turn),
		ready_test(test_closing_costs_no_epoll_ctl),
		ready_test(test_nothing_is_read_for_a_canceled_op),
		ready_test(test_an_event_of_a_former_life_is_ignored),
		ready_test(test_an_unconnected_socket_is_not_taken_for_connected),
		ready_test(test_a_short_connection_is_never_watched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
