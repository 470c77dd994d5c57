// SPDX-License-Identifier: Apache-2.0

/*
 * An echo server on two loops and its clients on a third, on bad days: whatever happens to the connections, what
 * is echoed is what was sent, a cut stream never looks finished, and nothing is left behind.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "sim_test.h"

#define CLIENTS_MAX 8
#define SERVERS 2
#define QUEUE_MAX 3
#define STREAM_MAX 200000u
#define OFFSET_MAX 1000u
#define REST_MS 10
#define RUN_NS (48 * 3600 * CLOCK_NS_PER_S)

static uint8_t pattern[STREAM_MAX + OFFSET_MAX];
static int pattern_file;

struct echo {
	struct sim *world;
	struct io_loop *loops[SERVERS + 1]; /* the last is the clients' */
	struct server *servers;
	struct sockaddr_in addr;
	unsigned clients, over, whole, cut, listening;
};

/* Of every run so far: a test of faults in which nothing fails, or nothing works, shows nothing. */
static unsigned all_whole, all_cut;

/* The server. */

struct server {
	struct io_fd fd;
	struct counted accept;
	struct io_timer rest;
	struct io_msg stop;
	struct echo *echo;
	struct io_loop *loop;
	unsigned conns;
	bool stopping, closed;
};

struct conn {
	struct io_fd fd;
	struct counted rd, wr;
	struct server *server;
	/* A last one may come after the queue was full and receiving was cancelled. */
	struct buf *queue[QUEUE_MAX + 1];
	struct iovec iov;
	unsigned queued;
	bool ended, closing;
};

static void server_accept(struct server *s)
{
	counted_submit(s->loop, &s->accept, &s->fd, IO_ACCEPT, IO_MULTI);
}

static void echo_over(struct echo *e)
{
	for (unsigned i = 0; i < SERVERS; i++)
		if (!e->servers[i].closed || e->servers[i].conns)
			return;
	sim_stop(e->world);
}

static void conn_closed(struct io_fd *fd)
{
	struct conn *c = SL_CONTAINER(fd, struct conn, fd);
	struct server *s = c->server;

	for (unsigned i = 0; i < c->queued; i++)
		buf_unref(c->queue[i]);
	assert_int_equal(c->rd.submitted, c->rd.finals);
	assert_int_equal(c->wr.submitted, c->wr.finals);
	free(c);
	s->conns--;
	echo_over(s->echo);
}

static void conn_close(struct conn *c, bool reset)
{
	if (c->closing)
		return;
	c->closing = true;
	if (reset)
		io_set_reset(&c->fd);
	io_close(&c->fd, conn_closed);
}

static void conn_sent(struct conn *c, size_t n)
{
	c->queue[0]->start += (uint32_t)n;
	if (c->queue[0]->start < c->queue[0]->end)
		return;
	buf_unref(c->queue[0]);
	c->queued--;
	for (unsigned i = 0; i < c->queued; i++)
		c->queue[i] = c->queue[i + 1];
}

static void conn_go_on(struct conn *c)
{
	struct sim *w = c->server->echo->world;

	while (!c->closing && c->queued && c->wr.op.state == IO_IDLE) {
		struct buf *b = c->queue[0];
		ssize_t n = -EAGAIN;

		c->iov = (struct iovec){b->data + b->start, b->end - b->start};
		if (sim_random(w, 2))
			n = io_try_send(&c->fd, &c->iov, 1, 0);
		if (n > 0) {
			conn_sent(c, (size_t)n);
		} else if (n == -EAGAIN) {
			c->wr.op.u.send.iov = &c->iov;
			c->wr.op.u.send.n = 1;
			counted_submit(c->server->loop, &c->wr, &c->fd,
				       sim_random(w, 2) ? IO_SEND : IO_WAIT_OUT, 0);
		} else {
			conn_close(c, true);
		}
	}
	if (c->closing)
		return;
	if (c->ended && !c->queued)
		conn_close(c, false);
	else if (!c->ended && c->rd.op.state == IO_IDLE && c->queued < QUEUE_MAX)
		counted_submit(c->server->loop, &c->rd, &c->fd, IO_RECV, IO_MULTI);
}

static void conn_received(struct counted *op, int result)
{
	struct conn *c = SL_CONTAINER(op, struct conn, rd);

	if (result > 0) {
		struct buf *b = op->op.u.recv.buf;

		assert_int_equal(b->end - b->start, result);
		assert_true(c->queued < SL_ARRAY_SIZE(c->queue));
		c->queue[c->queued++] = b;
		if (c->queued == QUEUE_MAX)
			io_cancel(&op->op);
	} else if (result == 0) {
		c->ended = true;
	} else if (result != -ECANCELED) {
		conn_close(c, true);
	}
	conn_go_on(c);
}

static void conn_written(struct counted *op, int result)
{
	struct conn *c = SL_CONTAINER(op, struct conn, wr);

	if (c->closing)
		return;
	if (result < 0)
		conn_close(c, true);
	else if (op->op.code == IO_SEND)
		conn_sent(c, (size_t)result);
	conn_go_on(c);
}

static void server_closed(struct io_fd *fd)
{
	struct server *s = SL_CONTAINER(fd, struct server, fd);

	s->closed = true;
	io_timer_stop(&s->rest);
	echo_over(s->echo);
}

static void server_rested(struct io_timer *t)
{
	server_accept(SL_CONTAINER(t, struct server, rest));
}

static void server_accepted(struct counted *op, int result)
{
	struct server *s = SL_CONTAINER(op, struct server, accept);

	if (result >= 0) {
		struct conn *c = calloc(1, sizeof(*c));

		assert_non_null(c);
		c->server = s;
		c->rd.done = conn_received;
		c->wr.done = conn_written;
		assert_int_equal(io_fd_init(s->loop, &c->fd, result), 0);
		s->conns++;
		conn_go_on(c);
	}
	if (op->op.flags & IO_MORE)
		return;
	/* Out of descriptors: at once again would spin. */
	if (!s->stopping) {
		assert_int_equal(result, -EMFILE);
		s->rest.fire = server_rested;
		io_timer_set(s->loop, &s->rest, REST_MS);
	}
}

static void server_stop(struct io_loop *loop, struct io_msg *msg)
{
	struct server *s = SL_CONTAINER(msg, struct server, stop);

	assert_ptr_equal(loop, s->loop);
	s->stopping = true;
	io_timer_stop(&s->rest);
	io_close(&s->fd, server_closed);
}

/* Clients. */

struct client {
	struct io_fd fd;
	struct counted rd, wr;
	struct io_timer pause;
	struct echo *echo;
	struct iovec iov;
	uint8_t mem[5000];
	size_t total, sent, received, offset, leave_at;
	bool pooled, failed, closing, whole, shut;
};

static struct io_loop *client_loop(const struct client *c)
{
	return c->echo->loops[SERVERS];
}

static void client_closed(struct io_fd *fd)
{
	struct client *c = SL_CONTAINER(fd, struct client, fd);
	struct echo *e = c->echo;

	assert_false(c->whole && c->received != c->total);
	e->whole += c->whole;
	e->cut += !c->whole;
	free(c);
	if (++e->over < e->clients)
		return;
	for (unsigned i = 0; i < SERVERS; i++) {
		e->servers[i].stop.run = server_stop;
		io_post(e->servers[i].loop, &e->servers[i].stop);
	}
}

static void client_close(struct client *c, bool reset)
{
	if (c->closing)
		return;
	c->closing = true;
	io_timer_stop(&c->pause);
	if (reset)
		io_set_reset(&c->fd);
	io_close(&c->fd, client_closed);
}

static void client_fail(struct client *c)
{
	c->failed = true;
	client_close(c, true);
}

static void client_receive(struct client *c)
{
	if (c->closing || c->rd.op.state != IO_IDLE)
		return;
	c->rd.op.u.recv.mem = c->pooled ? NULL : c->mem;
	c->rd.op.u.recv.cap = 1 + sim_random(c->echo->world, sizeof(c->mem));
	counted_submit(client_loop(c), &c->rd, &c->fd, IO_RECV, c->pooled ? IO_MULTI : 0);
}

static void client_pause_over(struct io_timer *t)
{
	client_receive(SL_CONTAINER(t, struct client, pause));
}

static void client_check(struct client *c, const uint8_t *got, size_t n)
{
	assert_true(c->received + n <= c->sent);
	assert_memory_equal(got, pattern + c->offset + c->received, n);
	c->received += n;
}

static void client_received(struct counted *op, int result)
{
	struct client *c = SL_CONTAINER(op, struct client, rd);

	if (result > 0) {
		struct buf *b = op->op.u.recv.buf;

		client_check(c, c->pooled ? b->data + b->start : c->mem, (size_t)result);
		if (c->pooled)
			buf_unref(b);
	}
	if (c->closing)
		return;
	if (result == 0) {
		/* This is the whole promise: a clean end means that everything was there. */
		assert_int_equal(c->received, c->total);
		c->whole = true;
		client_close(c, false);
	} else if (result < 0) {
		client_fail(c);
	} else if (c->received >= c->leave_at) {
		client_close(c, sim_random(c->echo->world, 2));
	} else if (!(op->op.flags & IO_MORE)) {
		c->pause.fire = client_pause_over;
		if (sim_random(c->echo->world, 20) == 0)
			io_timer_set(client_loop(c), &c->pause, sim_random(c->echo->world, 500));
		else
			client_receive(c);
	}
}

/* Bytes by one way or another; -EAGAIN: by an op that was submitted. */
static ssize_t client_put(struct client *c)
{
	struct sim *w = c->echo->world;
	size_t at = c->offset + c->sent, left = c->total - c->sent;

	c->iov = (struct iovec){pattern + at, 1 + sim_random(w, left)};
	switch (sim_random(w, 4)) {
	case 0: {
		ssize_t n = io_try_sendfile(&c->fd, pattern_file, (int64_t)at, left);

		/* Nobody cut the file: an end that is not one is a disk error. */
		if (n != -EAGAIN)
			return n ? n : -EIO;
		counted_submit(client_loop(c), &c->wr, &c->fd, IO_WAIT_OUT, 0);
		return -EAGAIN;
	}
	case 1: {
		ssize_t n = io_try_send(&c->fd, &c->iov, 1, IO_SEND_NOW);

		if (n != -EAGAIN)
			return n;
	}
	/* fall through */
	default:
		c->wr.op.u.send.iov = &c->iov;
		c->wr.op.u.send.n = 1;
		counted_submit(client_loop(c), &c->wr, &c->fd, IO_SEND, 0);
		return -EAGAIN;
	}
}

static void client_send(struct client *c)
{
	while (!c->closing && c->sent < c->total) {
		ssize_t n = client_put(c);

		if (n == -EAGAIN)
			return;
		if (n < 0)
			client_fail(c);
		else
			c->sent += (size_t)n;
	}
	if (!c->closing && !c->shut) {
		c->shut = true;
		if (io_shutdown(&c->fd) < 0)
			client_fail(c);
	}
}

static void client_written(struct counted *op, int result)
{
	struct client *c = SL_CONTAINER(op, struct client, wr);

	if (result > 0)
		c->sent += (size_t)result;
	if (c->closing)
		return;
	if (result < 0) {
		client_fail(c);
		return;
	}
	client_send(c);
	if (op->op.code == IO_CONNECT || c->received == 0)
		client_receive(c);
}

static void client_start(struct echo *e, size_t stream_max)
{
	struct client *c = calloc(1, sizeof(*c));
	struct sim *w = e->world;

	assert_non_null(c);
	c->echo = e;
	c->total = sim_random(w, stream_max + 1);
	c->offset = sim_random(w, OFFSET_MAX);
	c->leave_at = sim_random(w, 8) ? SIZE_MAX : 1 + sim_random(w, stream_max);
	c->pooled = sim_random(w, 2);
	c->rd.done = client_received;
	c->wr.done = client_written;
	assert_int_equal(io_fd_init(client_loop(c), &c->fd,
				    io_socket(client_loop(c), AF_INET, SOCK_STREAM)),
			 0);
	c->wr.op.u.connect.addr = (struct sockaddr *)&e->addr;
	c->wr.op.u.connect.len = sizeof(e->addr);
	counted_submit(client_loop(c), &c->wr, &c->fd, IO_CONNECT, 0);
}

/* Runs. */

static void server_start(struct echo *e, struct server *s, struct io_loop *loop)
{
	*s = (struct server){.echo = e, .loop = loop, .accept.done = server_accepted};
	assert_int_equal(
		io_fd_init(loop, &s->fd,
			   sim_listen(e->world, (struct sockaddr *)&e->addr, sizeof(e->addr), 4)),
		0);
	server_accept(s);
}

/* The hash of the run. */
static uint64_t echo_run(struct sim_options *o, struct echo *e)
{
	struct server servers[SERVERS];
	uint64_t hash;
	enum sim_end end;

	*e = (struct echo){.world = sim_test_world(o), .servers = servers};
	e->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(7)};
	e->addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i <= SERVERS; i++)
		e->loops[i] = sim_test_loop(e->world);
	for (unsigned i = 0; i < SERVERS; i++)
		server_start(e, &servers[i], e->loops[i]);
	e->clients = 1 + (unsigned)sim_random(e->world, CLIENTS_MAX);
	for (unsigned i = 0; i < e->clients; i++)
		client_start(e, SL_MIN(STREAM_MAX, 200u * o->send_bytes));
	end = sim_run(e->world, RUN_NS);
	if (end != SIM_STOPPED)
		fail_msg("%s, %u of %u clients were over", sim_end_text(end), e->over, e->clients);
	for (unsigned i = 0; i <= SERVERS; i++)
		io_loop_free(e->loops[i]);
	hash = sim_trace_hash(e->world);
	sim_test_world_free(e->world);
	assert_int_equal(e->whole + e->cut, e->clients);
	return hash;
}

static void options_of(uint64_t seed, struct sim_options *o)
{
	*o = (struct sim_options){.seed = seed};
	sim_faults_pick(seed, &o->faults);
	o->send_bytes = 1u << (seed % 17);
	o->recv_bytes = 1u << (seed / 17 % 17);
	if (seed % 5 == 0)
		o->fds_max = SERVERS + CLIENTS_MAX + 3;
}

static void bad_day(uint64_t seed)
{
	struct sim_options o;
	struct echo e;

	options_of(seed, &o);
	echo_run(&o, &e);
	all_whole += e.whole;
	all_cut += e.cut;
}

static void test_what_is_echoed_is_what_was_sent(void **state)
{
	(void)state;
	all_whole = all_cut = 0;
	sim_each_seed(300, bad_day);
	if (getenv("SLUICE_SIM_SEED") || getenv("SLUICE_SIM_RUNS"))
		return;
	assert_in_range(all_whole, 100, UINT32_MAX);
	assert_in_range(all_cut, 100, UINT32_MAX);
}

static void good_day(uint64_t seed)
{
	struct sim_options o = {.seed = seed, .send_bytes = 4096, .recv_bytes = 4096};
	struct echo e;

	echo_run(&o, &e);
	all_whole += e.whole;
	all_cut += e.cut;
}

static void test_without_faults_only_clients_that_leave_are_cut(void **state)
{
	(void)state;
	all_whole = all_cut = 0;
	sim_each_seed(20, good_day);
	assert_true(all_whole > all_cut);
}

static void twice(uint64_t seed)
{
	struct sim_options o, other;
	struct echo e;
	uint64_t hash;

	options_of(seed, &o);
	hash = echo_run(&o, &e);
	options_of(seed, &o);
	assert_int_equal(echo_run(&o, &e), hash);
	options_of(seed, &other);
	other.seed = ~seed;
	assert_int_not_equal(echo_run(&other, &e), hash);
}

static void test_a_run_is_a_function_of_its_seed(void **state)
{
	(void)state;
	sim_each_seed(10, twice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_what_is_echoed_is_what_was_sent),
		sim_test(test_without_faults_only_clients_that_leave_are_cut),
		sim_test(test_a_run_is_a_function_of_its_seed),
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251);
	pattern_file = memfd_create("pattern", MFD_CLOEXEC);
	if (pattern_file < 0 ||
	    write(pattern_file, pattern, sizeof(pattern)) != (ssize_t)sizeof(pattern))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
