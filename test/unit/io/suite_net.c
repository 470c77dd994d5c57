// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "suite.h"

/* More than a backend accepts in one turn. */
#define BURST 150

struct inbox {
	struct end ends[BURST];
	unsigned count;
};

static void take_accepted(struct rec *rec)
{
	struct inbox *inbox = rec->arg;

	if (rec->last >= 0)
		suite_end(&inbox->ends[inbox->count++], rec->last);
}

static void connect_to(struct end *end, const struct sockaddr_in *addr)
{
	suite_end(end, io_socket(suite_loop, AF_INET, SOCK_STREAM));
	suite_submit_connect(end, addr);
}

static void test_connect_and_accept(void **state)
{
	struct end listener, client, server;
	struct sockaddr_storage name, peer;
	struct sockaddr_in addr;
	socklen_t len;

	suite_listen(&listener, &addr);
	suite_submit(&listener, &listener.rd, IO_ACCEPT, 0);
	suite_world->settle();
	assert_int_equal(listener.rd.finals, 0);
	connect_to(&client, &addr);
	suite_until(listener.rd.finals && client.wr.finals);
	assert_int_equal(client.wr.last, 0);
	suite_end(&server, listener.rd.last);
	assert_int_equal(io_name(&client.fd, true, &peer, &len), 0);
	assert_int_equal(len, sizeof(addr));
	assert_int_equal(((struct sockaddr_in *)&peer)->sin_port, addr.sin_port);
	assert_int_equal(io_name(&client.fd, false, &name, &len), 0);
	assert_int_equal(io_name(&server.fd, true, &peer, &len), 0);
	assert_int_equal(((struct sockaddr_in *)&peer)->sin_port,
			 ((struct sockaddr_in *)&name)->sin_port);
	suite_send(&client, 100);
	suite_recv(&server, 100);
	suite_send(&server, 100);
	suite_recv(&client, 100);
	suite_close(&client);
	suite_close(&server);
	suite_close(&listener);
}

static void test_an_accepted_descriptor_does_not_block(void **state)
{
	struct end listener, client, server;
	struct sockaddr_in addr;

	suite_needs_kernel();
	suite_listen(&listener, &addr);
	suite_submit(&listener, &listener.rd, IO_ACCEPT, 0);
	connect_to(&client, &addr);
	suite_until(listener.rd.finals && client.wr.finals);
	assert_true(fcntl(listener.rd.last, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(listener.rd.last, F_GETFD) & FD_CLOEXEC);
	suite_end(&server, listener.rd.last);
	suite_close(&client);
	suite_close(&server);
	suite_close(&listener);
}

static void test_multishot_accept_takes_a_burst(void **state)
{
	static struct end clients[BURST];
	static struct inbox inbox;
	struct end listener;
	struct sockaddr_in addr;

	inbox.count = 0;
	suite_listen(&listener, &addr);
	listener.rd.then = take_accepted;
	listener.rd.arg = &inbox;
	for (unsigned i = 0; i < BURST; i++)
		connect_to(&clients[i], &addr);
	suite_submit(&listener, &listener.rd, IO_ACCEPT, IO_MULTI);
	suite_until(inbox.count == BURST);
	assert_int_equal(listener.rd.mores, BURST);
	assert_int_equal(listener.rd.finals, 0);
	for (unsigned i = 0; i < BURST; i++) {
		suite_until(clients[i].wr.finals);
		assert_int_equal(clients[i].wr.last, 0);
		suite_send(&clients[i], 1);
	}
	for (unsigned i = 0; i < BURST; i++)
		suite_submit(&inbox.ends[i], &inbox.ends[i].rd, IO_RECV, IO_MULTI);
	for (unsigned i = 0; i < BURST; i++) {
		suite_until(inbox.ends[i].rd.bytes == 1);
		suite_close_begin(&inbox.ends[i]);
		suite_close_begin(&clients[i]);
	}
	for (unsigned i = 0; i < BURST; i++)
		suite_until(inbox.ends[i].closed && clients[i].closed);
	suite_close(&listener);
	assert_int_equal(listener.rd.last, -ECANCELED);
}

static void take_one(struct rec *rec)
{
	take_accepted(rec);
	io_cancel(&rec->op);
}

static void test_a_canceled_accept_loses_no_connection(void **state)
{
	static struct inbox inbox;
	struct end listener, clients[10];
	struct sockaddr_in addr;

	inbox.count = 0;
	suite_listen(&listener, &addr);
	listener.rd.then = take_one;
	listener.rd.arg = &inbox;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(clients); i++)
		connect_to(&clients[i], &addr);
	suite_world->settle();
	while (inbox.count < SL_ARRAY_SIZE(clients)) {
		suite_submit(&listener, &listener.rd, IO_ACCEPT, IO_MULTI);
		suite_until(listener.rd.finals);
		assert_int_equal(listener.rd.last, -ECANCELED);
		assert_true(listener.rd.mores >= 1);
	}
	assert_int_equal(inbox.count, SL_ARRAY_SIZE(clients));
	for (unsigned i = 0; i < SL_ARRAY_SIZE(clients); i++) {
		suite_close(&clients[i]);
		suite_close(&inbox.ends[i]);
	}
	suite_close(&listener);
}

static void test_connect_is_refused(void **state)
{
	struct end listener, client;
	struct sockaddr_in addr;

	suite_listen(&listener, &addr);
	suite_close(&listener);
	connect_to(&client, &addr);
	suite_until(client.wr.finals);
	assert_int_equal(client.wr.last, -ECONNREFUSED);
	suite_close(&client);
}

static void test_a_descriptor_watched_before_it_connects(void **state)
{
	struct end listener, client;
	struct sockaddr_in addr;

	/* An unconnected socket looks ready for everything; that must not pass for a connection. */
	suite_listen(&listener, &addr);
	suite_end(&client, io_socket(suite_loop, AF_INET, SOCK_STREAM));
	suite_submit(&client, &client.rd, IO_WAIT_IN, 0);
	suite_world->settle();
	suite_submit_connect(&client, &addr);
	suite_until(client.wr.finals);
	assert_int_equal(client.wr.last, 0);
	suite_send(&client, 10);
	suite_submit(&listener, &listener.rd, IO_ACCEPT, 0);
	suite_until(listener.rd.finals);
	assert_true(listener.rd.last >= 0);
	{
		struct end server;

		suite_end(&server, listener.rd.last);
		suite_recv(&server, 10);
		suite_close(&server);
	}
	suite_close(&client);
	suite_close(&listener);
}

static void test_accept_says_when_descriptors_run_out(void **state)
{
	struct end listener, client, server;
	struct sockaddr_in addr;
	struct rlimit before, full;
	struct io_stats stats;
	uint64_t events;

	suite_needs_kernel();
	suite_listen(&listener, &addr);
	connect_to(&client, &addr);
	suite_until(client.wr.finals);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	/* Not below what is open: poll(2) refuses that. */
	full = (struct rlimit){(rlim_t)dup(0), before.rlim_max};
	close((int)full.rlim_cur);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	suite_submit(&listener, &listener.rd, IO_ACCEPT, IO_MULTI);
	suite_until(listener.rd.finals);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(listener.rd.last, -EMFILE);
	assert_int_equal(listener.rd.mores, 0);
	/* Nobody asks any more: the connection that waits must not keep the loop awake. */
	suite_world->settle();
	io_loop_stats(suite_loop, &stats);
	events = stats.events;
	suite_world->settle();
	io_loop_stats(suite_loop, &stats);
	assert_int_equal(stats.events, events);
	suite_submit(&listener, &listener.rd, IO_ACCEPT, IO_MULTI);
	suite_until(listener.rd.mores);
	suite_end(&server, listener.rd.last);
	suite_close(&server);
	suite_close(&client);
	suite_close(&listener);
}

static void test_a_reused_descriptor_hears_nothing_of_its_former_life(void **state)
{
	struct end a, b, c, d;
	int former;

	suite_needs_kernel();
	for (unsigned round = 0; round < 20; round++) {
		suite_pair(&a, &b);
		suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
		suite_world->settle();
		/* Readiness is under way when the descriptor is closed. */
		suite_send(&b, 100);
		former = a.fd.fd;
		io_cancel(&a.rd.op);
		suite_close(&a);
		suite_pair(&c, &d);
		assert_int_equal(c.fd.fd, former);
		suite_submit(&c, &c.rd, IO_WAIT_IN, 0);
		suite_world->settle();
		assert_int_equal(c.rd.finals, 0);
		suite_send(&d, 1);
		suite_until(c.rd.finals);
		suite_recv(&c, 1);
		suite_close(&b);
		suite_close(&c);
		suite_close(&d);
	}
}

/* Its callback closes the other end of which an event may be in the same batch. */
static void close_other(struct rec *rec)
{
	struct end *other = rec->arg;

	if (!other->fd.closing)
		suite_close_begin(other);
}

static void test_a_callback_closes_another_ready_descriptor(void **state)
{
	struct end a, b, c, d, e, f;

	suite_needs_kernel();
	suite_pair(&a, &b);
	suite_pair(&c, &d);
	a.rd.then = c.rd.then = close_other;
	a.rd.arg = &c;
	c.rd.arg = &a;
	suite_submit(&a, &a.rd, IO_RECV, IO_MULTI);
	suite_submit(&c, &c.rd, IO_RECV, IO_MULTI);
	suite_world->settle();
	suite_send(&b, 10);
	suite_send(&d, 10);
	suite_until(a.closed || c.closed);
	/* The numbers live again at once. */
	suite_pair(&e, &f);
	suite_submit(&e, &e.rd, IO_WAIT_IN, 0);
	suite_submit(&f, &f.rd, IO_WAIT_IN, 0);
	suite_world->settle();
	assert_int_equal(e.rd.finals + f.rd.finals, 0);
	if (!a.fd.closing)
		suite_close_begin(&a);
	if (!c.fd.closing)
		suite_close_begin(&c);
	suite_until(a.closed && c.closed);
	suite_close(&b);
	suite_close(&d);
	suite_close(&e);
	suite_close(&f);
}

int suite_net_run(void)
{
	const struct CMUnitTest tests[] = {
		suite_test(test_connect_and_accept),
		suite_test(test_an_accepted_descriptor_does_not_block),
		suite_test(test_multishot_accept_takes_a_burst),
		suite_test(test_a_canceled_accept_loses_no_connection),
		suite_test(test_connect_is_refused),
		suite_test(test_a_descriptor_watched_before_it_connects),
		suite_test(test_accept_says_when_descriptors_run_out),
		suite_test(test_a_reused_descriptor_hears_nothing_of_its_former_life),
		suite_test(test_a_callback_closes_another_ready_descriptor),
	};

	return cmocka_run_group_tests_name("connections", tests, NULL, NULL);
}
