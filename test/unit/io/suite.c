// SPDX-License-Identifier: Apache-2.0
#include "suite.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct suite_world *suite_world;
struct io_loop *suite_loop;
/* The test ran to its end, and has closed what it opened. */
static bool whole;

#define SUITE_TURN_NS 20000000
#define SETTLE_TURNS 4

static uint8_t pattern[SUITE_SEND_MAX + 256];

uint8_t suite_pattern(uint64_t at)
{
	/* A prime period, so that a piece of it that is lost or doubled shows at every buffer size. */
	return (uint8_t)(at % 251);
}

void suite_needs_kernel(void)
{
	if (suite_world->kernel)
		return;
	whole = true;
	unit_skip("the simulator has no such thing");
}

void suite_run(void **state)
{
	const struct suite_case *test = *state;

	test->run(state);
	whole = true;
}

int suite_setup(void **state)
{
	char why[256] = "";

	whole = false;
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = suite_pattern(i);
	if (suite_world->open(why, sizeof(why)) == 0)
		return 0;
	print_error("%s: %s\n", suite_world->engine, why);
	return -1;
}

int suite_teardown(void **state)
{
	/* A failed test leaves things open, and its loop with them: to free it would hide what failed. */
	if (whole)
		suite_world->close();
	suite_loop = NULL;
	return 0;
}

static void rec_check(struct rec *rec, int result)
{
	struct buf *buf = rec->op.u.recv.buf;
	const uint8_t *got = rec->op.u.recv.mem;

	if (!got) {
		assert_non_null(buf);
		assert_int_equal(buf->end - buf->start, result);
		got = buf->data + buf->start;
	}
	for (int i = 0; i < result; i++)
		rec->corrupt |= got[i] != suite_pattern(rec->bytes + (uint64_t)i);
	rec->bytes += (uint64_t)result;
	if (!rec->op.u.recv.mem) {
		rec->op.u.recv.buf = NULL;
		buf_unref(buf);
	}
}

static void rec_done(struct io_op *op, int result)
{
	struct rec *rec = SL_CONTAINER(op, struct rec, op);

	assert_true(suite_loop != NULL);
	assert_false(rec->submitting);
	rec->last = result;
	if (op->flags & IO_MORE) {
		assert_int_equal(rec->finals, 0);
		assert_int_not_equal(op->state, IO_DONE);
		rec->mores++;
	} else {
		rec->finals++;
		assert_int_equal(op->state, IO_IDLE);
	}
	if (op->code == IO_RECV && result > 0)
		rec_check(rec, result);
	if (rec->then)
		rec->then(rec);
}

static void rec_submit(struct rec *rec)
{
	unsigned before = rec->finals + rec->mores;

	rec->op.cb = rec_done;
	rec->submitting = true;
	io_submit(suite_loop, &rec->op);
	rec->submitting = false;
	assert_int_equal(rec->finals + rec->mores, before);
}

void suite_submit_free(struct rec *rec)
{
	rec->finals = rec->mores = 0;
	rec_submit(rec);
}

void suite_submit(struct end *end, struct rec *rec, enum io_code code, unsigned flags)
{
	rec->op.fd = &end->fd;
	rec->op.code = (uint8_t)code;
	rec->op.flags = (uint16_t)flags;
	rec->finals = rec->mores = 0;
	rec_submit(rec);
}

void suite_submit_connect(struct end *end, const struct sockaddr_in *addr)
{
	end->wr.op.u.connect.addr = (const struct sockaddr *)addr;
	end->wr.op.u.connect.len = sizeof(*addr);
	suite_submit(end, &end->wr, IO_CONNECT, 0);
}

void suite_submit_send(struct end *end, size_t n)
{
	assert_true(n <= SUITE_SEND_MAX);
	end->iov = (struct iovec){pattern + end->sent % 251, n};
	end->wr.op.u.send.iov = &end->iov;
	end->wr.op.u.send.n = 1;
	suite_submit(end, &end->wr, IO_SEND, 0);
}

static void end_closed(struct io_fd *fd)
{
	struct end *end = SL_CONTAINER(fd, struct end, fd);

	/* Whoever is told that it is closed has heard the end of every operation. */
	assert_int_equal(end->rd.op.state, IO_IDLE);
	assert_int_equal(end->wr.op.state, IO_IDLE);
	end->closed++;
}

void suite_end(struct end *end, int fd)
{
	assert_true(fd >= 0);
	*end = (struct end){.closed = 0};
	assert_int_equal(io_fd_init(suite_loop, &end->fd, fd), 0);
}

void suite_pair(struct end *a, struct end *b)
{
	int fds[2];

	suite_world->pair(fds);
	suite_end(a, fds[0]);
	suite_end(b, fds[1]);
}

void suite_pipe(struct end *a, struct end *b)
{
	int fds[2];

	suite_world->pipe(fds);
	suite_end(a, fds[0]);
	suite_end(b, fds[1]);
}

void suite_listen(struct end *end, struct sockaddr_in *addr)
{
	suite_end(end, suite_world->listen(addr, 512));
}

void suite_close_begin(struct end *end)
{
	io_close(&end->fd, end_closed);
	assert_int_equal(end->closed, 0);
}

void suite_close(struct end *end)
{
	suite_close_begin(end);
	suite_until(end->closed);
	assert_int_equal(end->closed, 1);
}

size_t suite_try_send(struct end *end, size_t n)
{
	size_t sum = 0;

	while (sum < n) {
		size_t piece = SL_MIN(n - sum, SUITE_SEND_MAX);
		struct iovec iov = {pattern + end->sent % 251, piece};
		ssize_t sent = io_try_send(&end->fd, &iov, 1, IO_SEND_NOW);

		if (sent == -EAGAIN)
			break;
		assert_true(sent > 0);
		end->sent += (uint64_t)sent;
		sum += (size_t)sent;
	}
	return sum;
}

void suite_send(struct end *end, size_t n)
{
	for (unsigned turn = 0; n > 0; turn++) {
		n -= suite_try_send(end, n);
		assert_true(turn < SUITE_TURNS_MAX);
		if (n > 0)
			suite_world->turn();
	}
}

void suite_fill(struct end *end)
{
	for (unsigned full = 0; full < 3; suite_world->settle())
		full += suite_try_send(end, SUITE_SEND_MAX) == 0;
}

void suite_recv(struct end *end, size_t n)
{
	uint64_t want = end->rd.bytes + n;

	suite_submit(end, &end->rd, IO_RECV, IO_MULTI);
	suite_until(end->rd.bytes >= want || end->rd.finals);
	assert_int_equal(end->rd.bytes, want);
	io_cancel(&end->rd.op);
	suite_until(end->rd.finals);
	assert_false(end->rd.corrupt);
}

/* Worlds of the kernel. */

static int kernel_open(char *why, size_t why_len)
{
	struct io_options options = {.engine =
					     (enum io_engine)io_engine_parse(suite_world->engine)};

	return io_loop_new(&options, &suite_loop, why, why_len);
}

static void kernel_close(void)
{
	io_loop_free(suite_loop);
	suite_loop = NULL;
}

static void kernel_turn(void)
{
	assert_int_equal(io_loop_turn(suite_loop, SUITE_TURN_NS), 0);
}

static void kernel_settle(void)
{
	for (unsigned i = 0; i < SETTLE_TURNS; i++)
		assert_int_equal(io_loop_turn(suite_loop, 1000000), 0);
}

static int kernel_listen(struct sockaddr_in *addr, unsigned backlog)
{
	socklen_t len = sizeof(*addr);
	int fd = io_socket(suite_loop, AF_INET, SOCK_STREAM);

	assert_true(fd >= 0);
	*addr = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	assert_int_equal(bind(fd, (struct sockaddr *)addr, len), 0);
	assert_int_equal(listen(fd, (int)backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

static void kernel_pair(int fds[2])
{
	struct sockaddr_in addr;
	int listener = kernel_listen(&addr, 1), one = 1;

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fds[0] >= 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	do {
		fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fds[1] < 0 && errno == EAGAIN);
	assert_true(fds[1] >= 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)),
				 0);
	close(listener);
}

static void kernel_pipe(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
}

#define KERNEL_WORLD(name)                                                                         \
	{                                                                                          \
		.engine = (name), .open = kernel_open, .close = kernel_close, .turn = kernel_turn, \
		.settle = kernel_settle, .pair = kernel_pair, .pipe = kernel_pipe,                 \
		.listen = kernel_listen, .kernel = true,                                           \
	}

static const struct suite_world kernel_worlds[] = {
	KERNEL_WORLD("io_uring"),
	KERNEL_WORLD("epoll"),
	KERNEL_WORLD("poll"),
	KERNEL_WORLD("select"),
};

static const struct suite_world *suite_find(const char *engine)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(kernel_worlds); i++) {
		if (strcmp(kernel_worlds[i].engine, engine) == 0)
			return &kernel_worlds[i];
	}
	return strcmp(engine, suite_sim.engine) == 0 ? &suite_sim : NULL;
}

/* What Meson takes for "skipped". */
#define EXIT_SKIPPED 77

int main(int argc, char **argv)
{
	char why[256] = "";

	if (argc != 2 || !(suite_world = suite_find(argv[1]))) {
		fprintf(stderr, "usage: %s ENGINE\n", argv[0]);
		return 2;
	}
	if (suite_world->open(why, sizeof(why)) < 0) {
		printf("skipped: %s: %s\n", suite_world->engine, why);
		return EXIT_SKIPPED;
	}
	suite_world->close();
	return suite_ops_run() + suite_net_run() + suite_cancel_run() + suite_file_run() +
	       suite_loop_run();
}
