// SPDX-License-Identifier: Apache-2.0
/* Connections that we open, against a bare listening socket. */
#include "net/dial.h"

#include "net/pair.h"

static struct {
	struct io_loop *loop;
	struct conn *conn;
	struct net_addr to;
	int listener, peer;
	unsigned connected, woken, drained;
	int result;
	bool closed, close_when_told;
	struct pair_in in;
} t;

static void on_connected(struct conn *c, void *consumer, int result)
{
	assert_ptr_equal(consumer, &t);
	assert_int_equal(c->error, result);
	assert_int_equal(c->source.error, result);
	t.connected++;
	t.result = result;
	if (t.close_when_told)
		conn_close(c, CONN_DONE);
}

static void on_wake(struct source *source, void *consumer)
{
	t.woken++;
}

static void on_drained(struct conn *c, void *consumer)
{
	t.drained++;
}

static void on_closed(void *consumer)
{
	t.closed = true;
	t.conn = NULL;
}

static int start(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	memset(&t, 0, sizeof(t));
	t.peer = -1;
	t.loop = pair_loop();
	t.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	t.to.len = sizeof(a);
	assert_int_equal(bind(t.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(t.listener, &t.to.u.sa, &t.to.len), 0);
	assert_int_equal(listen(t.listener, 0), 0);
	return 0;
}

static int stop(void **state)
{
	if (t.conn)
		conn_close(t.conn, -ECANCELED);
	PAIR_UNTIL(t.loop, t.closed);
	pair_loop_free(t.loop);
	if (t.peer >= 0)
		close(t.peer);
	if (t.listener >= 0)
		close(t.listener);
	free(t.in.text);
	return 0;
}

static void dial(const struct conn_dial *options)
{
	t.conn = conn_plain_connect(t.loop, &t.to, options, on_connected);
	assert_non_null(t.conn);
	t.conn->consumer = &t;
	t.conn->source.wake = on_wake;
	t.conn->drained = on_drained;
	t.conn->closed = on_closed;
	assert_int_equal(t.connected, 0);
}

static void accept_it(void)
{
	PAIR_UNTIL(t.loop, (t.peer = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
}

static void test_what_was_sent_before_leaves_when_connected(void **state)
{
	dial(NULL);
	conn_send(t.conn, seg_mem("early ", 6, NULL));
	conn_send(t.conn, seg_mem("words", 5, NULL));
	accept_it();
	PAIR_UNTIL(t.loop, (pair_read(t.peer, &t.in), t.in.len == 11));
	assert_string_equal(t.in.text, "early words");
	PAIR_UNTIL(t.loop, t.connected);
	assert_int_equal(t.result, 0);
	pair_turns(t.loop, 3);
	assert_int_equal(t.connected, 1);
}

static void test_a_pull_waits_for_a_peer_that_speaks_first(void **state)
{
	struct seg s;

	dial(NULL);
	assert_int_equal(source_pull(&t.conn->source, 100, SEG_MEM, &s), PULL_WAIT);
	accept_it();
	PAIR_UNTIL(t.loop, t.connected);
	assert_int_equal(t.result, 0);
	assert_int_equal(t.woken, 0);
	pair_say(t.peer, "hello");
	PAIR_UNTIL(t.loop, t.woken);
	assert_int_equal(source_pull(&t.conn->source, 100, SEG_MEM, &s), PULL_DATA);
	assert_int_equal(s.len, 5);
	seg_release(&s);
}

static void test_flush_and_fin_before_it_is_there(void **state)
{
	dial(NULL);
	conn_send(t.conn, seg_mem("all", 3, NULL));
	conn_shutdown(t.conn);
	conn_flush(t.conn);
	assert_int_equal(t.connected, 0);
	accept_it();
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_true(t.in.ended);
	assert_string_equal(t.in.text, "all");
	assert_int_equal(t.connected, 1);
	pair_say(t.peer, "answer");
	PAIR_UNTIL(t.loop, ({
			   struct seg s;
			   bool got = source_pull(&t.conn->source, 100, SEG_MEM, &s) == PULL_DATA;
			   if (got)
				   seg_release(&s);
			   got;
		   }));
}

static void refused(void)
{
	PAIR_UNTIL(t.loop, t.drained);
	assert_int_equal(t.connected, 1);
	assert_int_equal(t.result, -ECONNREFUSED);
	assert_int_equal(t.drained, 1);
	assert_int_equal(t.conn->queued, 0);
}

static void test_refused_with_nothing_to_send(void **state)
{
	struct seg s;

	close(t.listener);
	t.listener = -1;
	dial(NULL);
	assert_int_equal(source_pull(&t.conn->source, 100, SEG_MEM, &s), PULL_WAIT);
	refused();
	assert_int_equal(t.woken, 1);
	assert_int_equal(source_pull(&t.conn->source, 100, SEG_MEM, &s), PULL_FAIL);
}

static void test_refused_with_bytes_to_send(void **state)
{
	close(t.listener);
	t.listener = -1;
	dial(NULL);
	conn_send(t.conn, seg_mem("lost", 4, NULL));
	refused();
	assert_int_equal(conn_send(t.conn, seg_mem("x", 1, NULL)), -ECONNREFUSED);
}

static void test_the_owner_closes_when_told(void **state)
{
	t.close_when_told = true;
	dial(NULL);
	conn_send(t.conn, seg_mem("words", 5, NULL));
	PAIR_UNTIL(t.loop, t.closed);
	assert_int_equal(t.connected, 1);
	assert_int_equal(t.drained, 0);
}

/* Nobody accepts, and the queue of the listener is full: the attempt hangs. */
static void hang(int others[2])
{
	for (unsigned i = 0; i < 2; i++) {
		others[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(others[i], &t.to.u.sa, t.to.len);
	}
	dial(NULL);
	conn_send(t.conn, seg_mem("words", 5, NULL));
	pair_turns(t.loop, 5);
	assert_int_equal(t.connected, 0);
}

static void test_close_gives_the_attempt_up(void **state)
{
	int others[2];

	hang(others);
	conn_close(t.conn, CONN_LINGER);
	PAIR_UNTIL(t.loop, t.closed);
	assert_int_equal(t.connected, 0);
	close(others[0]);
	close(others[1]);
}

static void test_the_second_syn_gets_through(void **state)
{
	int others[2], fd;

	hang(others);
	/* The kernel sends the next SYN after a second. */
	while ((fd = accept(t.listener, NULL, NULL)) >= 0)
		close(fd);
	close(others[0]);
	close(others[1]);
	accept_it();
	while (t.in.len < 5) {
		PAIR_UNTIL(t.loop, (pair_read(t.peer, &t.in), t.in.len || t.in.ended));
		if (!t.in.ended)
			continue;
		/* One of the others, which came out of the queue late. */
		close(t.peer);
		t.in.ended = false;
		accept_it();
	}
	PAIR_UNTIL(t.loop, t.connected);
	assert_int_equal(t.result, 0);
}

static void test_from_an_address(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002)}, peer;
	struct net_addr from = {.len = sizeof(a)};
	socklen_t len = sizeof(peer);

	memcpy(&from.u, &a, sizeof(a));
	dial(&(struct conn_dial){.from = &from, .keepalive_s = 30, .user_timeout_ms = 9000});
	accept_it();
	assert_int_equal(getpeername(t.peer, (struct sockaddr *)&peer, &len), 0);
	assert_int_equal(peer.sin_addr.s_addr, a.sin_addr.s_addr);
	PAIR_UNTIL(t.loop, t.connected);
}

static void test_an_address_that_is_not_ours(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)};
	struct net_addr from = {.len = sizeof(a)};

	memcpy(&from.u, &a, sizeof(a));
	assert_null(conn_plain_connect(t.loop, &t.to, &(struct conn_dial){.from = &from}, NULL));
	assert_int_equal(errno, EADDRNOTAVAIL);
	t.closed = true;
}

static void test_a_unix_socket_that_is_not_there(void **state)
{
	char why[128];

	assert_int_equal(net_addr_parse(STR("unix:/nonexistent/socket"), &t.to, why, sizeof(why)),
			 0);
	dial(NULL);
	conn_send(t.conn, seg_mem("lost", 4, NULL));
	PAIR_UNTIL(t.loop, t.drained);
	assert_int_equal(t.result, -ENOENT);
	assert_int_equal(t.connected, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_sent_before_leaves_when_connected),
		TEST(test_a_pull_waits_for_a_peer_that_speaks_first),
		TEST(test_flush_and_fin_before_it_is_there),
		TEST(test_refused_with_nothing_to_send),
		TEST(test_refused_with_bytes_to_send),
		TEST(test_the_owner_closes_when_told),
		TEST(test_close_gives_the_attempt_up),
		TEST(test_the_second_syn_gets_through),
		TEST(test_from_an_address),
		TEST(test_an_address_that_is_not_ours),
		TEST(test_a_unix_socket_that_is_not_there),
	};

	return RUN_OVER_ALL_ENGINES(tests);
}
