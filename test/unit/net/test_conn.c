// SPDX-License-Identifier: Apache-2.0
/* Plain connections over TCP, against a peer that is a bare socket. */
#include "net/conn.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "net/pair.h"

#define LARGE_BYTES (8u * 1024 * 1024)

static struct {
	struct io_loop *loop;
	struct conn *conn;
	int peer;
	struct pair_in in;
	unsigned woken, drained;
	size_t said, at; /* of the pattern: by the peer, and taken */
	bool closed;
} t;

static uint8_t large[LARGE_BYTES];

static void on_wake(struct source *source, void *consumer)
{
	t.woken++;
}

static void on_drained(struct conn *conn, void *consumer)
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
	int fds[2];

	memset(&t, 0, sizeof(t));
	memset(large, 'x', sizeof(large));
	t.loop = pair_loop();
	pair_make(fds);
	t.peer = fds[0];
	t.conn = conn_plain_new(t.loop, fds[1]);
	assert_non_null(t.conn);
	t.conn->source.wake = on_wake;
	t.conn->drained = on_drained;
	t.conn->closed = on_closed;
	return 0;
}

static int stop(void **state)
{
	if (t.conn)
		conn_close(t.conn, -ECANCELED);
	PAIR_UNTIL(t.loop, t.closed);
	if (t.peer >= 0)
		close(t.peer);
	free(t.in.text);
	pair_loop_free(t.loop);
	return 0;
}

static enum pull pull(size_t want, struct seg *s)
{
	return source_pull(&t.conn->source, want, SEG_MEM, s);
}

/* Asks for input and waits until there is some, or an end. */
static void await(void)
{
	struct seg s;
	unsigned woken = t.woken;

	assert_int_equal(pull(1, &s), PULL_WAIT);
	PAIR_UNTIL(t.loop, t.woken > woken);
	assert_int_equal(t.woken, woken + 1);
}

static void expect(size_t want, const char *text)
{
	struct seg s;

	assert_int_equal(pull(want, &s), PULL_DATA);
	assert_int_equal(s.len, strlen(text));
	assert_memory_equal(s.u.mem, text, s.len);
	seg_release(&s);
}

static struct seg owned(const char *text)
{
	struct buf *b = buf_alloc();

	assert_non_null(b);
	memcpy(b->data, text, strlen(text));
	b->end = (uint32_t)strlen(text);
	return seg_mem(b->data, b->end, &b->owner);
}

/* Receiving. */

static void test_pulls_parts_and_gives_back(void **state)
{
	struct seg s;

	pair_say(t.peer, "one two three");
	await();
	expect(4, "one ");
	assert_int_equal(pull(4, &s), PULL_DATA);
	conn_unpull(t.conn, s);
	expect(4, "two ");
	conn_unpull(t.conn, owned("2 "));
	conn_unpull(t.conn, (struct seg){.kind = SEG_MEM});
	conn_unpull(t.conn, owned("1 "));
	expect(100, "1 ");
	expect(100, "2 ");
	expect(100, "three");
	assert_int_equal(pull(100, &s), PULL_WAIT);
}

static void test_who_gave_it_on_is_not_woken(void **state)
{
	struct seg s;

	assert_int_equal(pull(1, &s), PULL_WAIT);
	conn_unpull(t.conn, owned("early "));
	t.conn->source.wake = NULL;
	pair_say(t.peer, "late");
	PAIR_UNTIL(t.loop, t.conn->bytes_in == 4);
	/* Small pieces share a buffer. */
	expect(100, "early late");
}

static void test_end_after_the_bytes(void **state)
{
	struct seg s;

	pair_say(t.peer, "last");
	shutdown(t.peer, SHUT_WR);
	await();
	expect(100, "last");
	await();
	assert_int_equal(pull(1, &s), PULL_END);
	assert_int_equal(pull(1, &s), PULL_END);
	/* The other direction is open. */
	assert_int_equal(conn_send(t.conn, owned("answer")), 0);
	PAIR_UNTIL(t.loop, (pair_read(t.peer, &t.in), t.in.len == 6));
}

static void test_reset_of_the_peer(void **state)
{
	struct seg s;

	assert_int_equal(pull(1, &s), PULL_WAIT);
	pair_reset(t.peer);
	t.peer = -1;
	PAIR_UNTIL(t.loop, t.drained == 1);
	assert_int_equal(t.woken, 1);
	assert_int_equal(pull(1, &s), PULL_FAIL);
	assert_int_equal(t.conn->source.error, -ECONNRESET);
	assert_int_equal(t.conn->error, -ECONNRESET);
	/* Sends are swallowed and released. */
	assert_int_equal(conn_send(t.conn, owned("x")), -ECONNRESET);
	assert_null(conn_reserve(t.conn, 1));
	pair_turns(t.loop, 3);
	assert_int_equal(t.conn->queued, 0);
	assert_int_equal(t.drained, 1);
}

static void test_ahead_is_bounded(void **state)
{
	struct seg s;
	size_t sent = 0, pulled = 0;

	pair_say(t.peer, "x");
	await();
	assert_int_equal(pull(1, &s), PULL_DATA);
	seg_release(&s);
	assert_int_equal(pull(1, &s), PULL_WAIT);
	for (unsigned i = 0; i < 200; i++) {
		ssize_t n = send(t.peer, large, 65536, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		pair_turns(t.loop, 1);
	}
	assert_true(sent > 4 * CONN_AHEAD_BYTES);
	/* What was already on its way when the limit was reached comes on top. */
	assert_true(t.conn->bytes_in <= 2 * CONN_AHEAD_BYTES);
	/* And the rest is not lost. */
	while (pulled < sent) {
		enum pull r = pull(1 << 20, &s);
		if (r == PULL_DATA) {
			pulled += s.len;
			seg_release(&s);
			continue;
		}
		assert_int_equal(r, PULL_WAIT);
		pair_turns(t.loop, 1);
	}
}

/* Sending. */

/* Pulls `n` bytes of the pattern. */
static void take(size_t n)
{
	struct seg s;

	while (n) {
		unsigned woken = t.woken;

		switch (pull(n, &s)) {
		case PULL_DATA:
			for (size_t i = 0; i < s.len; i++, t.at++)
				if (s.u.mem[i] != (uint8_t)(t.at % 251))
					fail_msg("byte %zu is another", t.at);
			n -= s.len;
			seg_release(&s);
			break;
		case PULL_WAIT:
			PAIR_UNTIL(t.loop, t.woken > woken);
			break;
		default:
			fail_msg("it ended at byte %zu", t.at);
		}
	}
}

static void say_pattern(size_t n)
{
	static uint8_t bytes[100000];

	assert_true(n <= sizeof(bytes));
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)((t.said + i) % 251);
	pair_send(t.peer, bytes, n);
	t.said += n;
}

/* The connection has brought full buffers: from now on pulls read. */
static void bring_much(void)
{
	for (unsigned i = 0; i < 3; i++) {
		say_pattern(100000);
		take(100000);
	}
}

static void test_much_is_read_by_pulls(void **state)
{
	struct seg s;
	uint64_t before;

	bring_much();
	unsigned woken = t.woken;
	assert_int_equal(pull(1, &s), PULL_WAIT);
	say_pattern(100000);
	PAIR_UNTIL(t.loop, t.woken > woken);
	before = t.conn->bytes_in;
	pair_turns(t.loop, 3);
	assert_int_equal(t.conn->bytes_in, before);
	/* Whatever the pulls ask for, and wherever buffers end. */
	for (size_t n = 1; n < 30000; n = n * 3 + 1)
		take(n);
	take(t.said - t.at);
	for (unsigned i = 0; i < 20; i++) {
		say_pattern(100000);
		take(100000);
	}
	assert_int_equal(pull(1, &s), PULL_WAIT);
	assert_int_equal(t.conn->bytes_in, t.said);
}

static void test_little_is_received_again(void **state)
{
	struct seg s;

	bring_much();
	for (unsigned i = 0; i < 12; i++) {
		say_pattern(10);
		take(10);
	}
	/* A receive is armed, and brings what nobody pulled. */
	assert_int_equal(pull(1, &s), PULL_WAIT);
	say_pattern(10);
	PAIR_UNTIL(t.loop, t.conn->bytes_in == t.said);
	take(10);
}

static void test_end_after_much(void **state)
{
	struct seg s;

	bring_much();
	say_pattern(50000);
	assert_int_equal(shutdown(t.peer, SHUT_WR), 0);
	take(50000);
	if (pull(1, &s) == PULL_WAIT)
		PAIR_UNTIL(t.loop, pull(1, &s) != PULL_WAIT);
	assert_int_equal(pull(1, &s), PULL_END);
}

static void test_reset_after_much(void **state)
{
	struct seg s;

	bring_much();
	assert_int_equal(pull(1, &s), PULL_WAIT);
	pair_reset(t.peer);
	t.peer = -1;
	PAIR_UNTIL(t.loop, pull(1, &s) != PULL_WAIT);
	assert_int_equal(pull(1, &s), PULL_FAIL);
	assert_int_equal(t.conn->source.error, -ECONNRESET);
}

static void test_sends_leave_in_order(void **state)
{
	uint8_t *at = conn_reserve(t.conn, CONN_RESERVE_MAX);

	assert_non_null(at);
	memset(at, 'a', CONN_RESERVE_MAX);
	conn_commit(t.conn, CONN_RESERVE_MAX);
	conn_commit(t.conn, 0);
	assert_int_equal(conn_send(t.conn, owned("small ")), 0);
	assert_int_equal(conn_send(t.conn, seg_mem(large, 70000, NULL)), 0);
	at = conn_reserve(t.conn, 100);
	memcpy(at, " end", 4);
	conn_commit(t.conn, 4);
	assert_int_equal(t.conn->queued, CONN_RESERVE_MAX + 6 + 70000 + 4);
	conn_want_drained(t.conn);
	PAIR_UNTIL(t.loop, t.drained == 1);
	pair_read(t.peer, &t.in);
	assert_int_equal(t.in.len, CONN_RESERVE_MAX + 6 + 70000 + 4);
	assert_memory_equal(t.in.text + CONN_RESERVE_MAX, "small x", 7);
	assert_memory_equal(t.in.text + t.in.len - 5, "x end", 5);
	assert_int_equal(t.conn->bytes_out, t.in.len);
	/* Asked for again with nothing queued, it comes again, and never inside the call. */
	conn_want_drained(t.conn);
	assert_int_equal(t.drained, 1);
	PAIR_UNTIL(t.loop, t.drained == 2);
}

static void test_full_and_drained(void **state)
{
	assert_int_equal(conn_send(t.conn, seg_mem(large, CONN_SEND_HIGH - 1, NULL)), 0);
	assert_false(conn_full(t.conn));
	assert_int_equal(conn_send(t.conn, owned("x")), 0);
	assert_true(conn_full(t.conn));
	assert_int_equal(conn_send(t.conn, seg_mem(large, sizeof(large), NULL)), 0);
	pair_turns(t.loop, 10);
	assert_int_equal(t.drained, 0);
	PAIR_UNTIL(t.loop, (pair_read(t.peer, &t.in), t.drained == 1));
	assert_true(t.conn->queued <= CONN_SEND_LOW);
	PAIR_UNTIL(t.loop, (pair_read(t.peer, &t.in), !t.conn->queued));
	assert_int_equal(t.drained, 1);
}

static int file_of(size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, large, len, 0), len);
	return fd;
}

static void test_file_between_memory(void **state)
{
	int fd = file_of(100000);

	assert_int_equal(conn_send(t.conn, owned("head ")), 0);
	assert_int_equal(conn_send(t.conn, seg_file(fd, 10, 99990, NULL)), 0);
	assert_int_equal(conn_send(t.conn, owned(" tail")), 0);
	conn_shutdown(t.conn);
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_true(t.in.ended);
	assert_int_equal(t.in.len, 5 + 99990 + 5);
	assert_memory_equal(t.in.text, "head x", 6);
	assert_memory_equal(t.in.text + t.in.len - 6, "x tail", 6);
	close(fd);
}

static void test_file_that_became_shorter(void **state)
{
	int fd = file_of(1000);

	assert_int_equal(conn_send(t.conn, owned("before ")), 0);
	assert_int_equal(conn_send(t.conn, seg_file(fd, 0, 2000, NULL)), 0);
	conn_close(t.conn, CONN_LINGER);
	pair_read_to_end(t.loop, t.peer, &t.in);
	/* The cut shows. */
	assert_int_equal(t.in.error, ECONNRESET);
	PAIR_UNTIL(t.loop, t.closed);
	close(fd);
}

static void test_half_close_goes_on_receiving(void **state)
{
	conn_shutdown(t.conn);
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_true(t.in.ended);
	pair_say(t.peer, "still here");
	await();
	expect(100, "still here");
}

/* The end. */

static void test_close_sends_what_is_queued(void **state)
{
	assert_int_equal(conn_send(t.conn, seg_mem(large, sizeof(large), NULL)), 0);
	conn_close(t.conn, CONN_LINGER);
	conn_close(t.conn, CONN_LINGER);
	assert_int_equal(conn_send(t.conn, owned("too late")), -EPIPE);
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_true(t.in.ended);
	assert_int_equal(t.in.len, sizeof(large));
	/* The peer has time to read: only its own end, or a timer, closes. */
	assert_false(t.closed);
	close(t.peer);
	t.peer = -1;
	PAIR_UNTIL(t.loop, t.closed);
}

static void test_close_hears_the_peer_out(void **state)
{
	size_t sent = 1;

	pair_say(t.peer, "x");
	await();
	assert_int_equal(conn_send(t.conn, owned("answer")), 0);
	/* More than it keeps ahead waits when the end begins: a close now would reset, and take the answer along. */
	for (unsigned i = 0; i < 100 && sent < 3 * CONN_AHEAD_BYTES; i++) {
		ssize_t n = send(t.peer, large, 16384, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent += n > 0 ? (size_t)n : 0;
		pair_turns(t.loop, 1);
	}
	conn_close(t.conn, CONN_LINGER);
	PAIR_UNTIL(t.loop, t.conn->bytes_in == sent);
	shutdown(t.peer, SHUT_WR);
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_true(t.in.ended);
	assert_int_equal(t.in.len, 6);
	PAIR_UNTIL(t.loop, t.closed);
}

static void test_close_does_not_hear_for_ever(void **state)
{
	pair_say(t.peer, "x");
	await();
	conn_close(t.conn, CONN_LINGER);
	PAIR_UNTIL(t.loop, (send(t.peer, large, 65536, MSG_NOSIGNAL | MSG_DONTWAIT), t.closed));
}

static void test_close_reads_nothing_from_who_does_not(void **state)
{
	uint64_t before;

	pair_say(t.peer, "x");
	await();
	assert_int_equal(conn_send(t.conn, seg_mem(large, sizeof(large), NULL)), 0);
	conn_close(t.conn, CONN_LINGER);
	for (unsigned i = 0; i < 100; i++) {
		(void)!send(t.peer, large, 65536, MSG_NOSIGNAL | MSG_DONTWAIT);
		pair_turns(t.loop, 1);
	}
	before = t.conn->bytes_in;
	assert_true(before <= 2 * CONN_AHEAD_BYTES);
	conn_close(t.conn, -ETIMEDOUT);
	PAIR_UNTIL(t.loop, t.closed);
}

static void test_close_with_a_reset(void **state)
{
	assert_int_equal(conn_send(t.conn, seg_mem(large, sizeof(large), NULL)), 0);
	conn_close(t.conn, -ECANCELED);
	assert_false(t.closed);
	PAIR_UNTIL(t.loop, t.closed);
	assert_int_equal(t.drained, 0);
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_int_equal(t.in.error, ECONNRESET);
	assert_true(t.in.len < sizeof(large));
}

static void test_close_when_the_peer_is_done(void **state)
{
	assert_int_equal(conn_send(t.conn, owned("answer")), 0);
	conn_close(t.conn, CONN_DONE);
	/* It does not wait for the peer. */
	PAIR_UNTIL(t.loop, t.closed);
	pair_read_to_end(t.loop, t.peer, &t.in);
	assert_true(t.in.ended);
	assert_int_equal(t.in.len, 6);
}

static void test_names(void **state)
{
	struct net_addr peer = {0}, own = {0};
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	assert_int_equal(conn_name(t.conn, true, &peer), 0);
	assert_int_equal(conn_name(t.conn, false, &own), 0);
	assert_int_equal(getsockname(t.peer, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(net_addr_port(&peer), ntohs(a.sin_port));
	assert_int_equal(getpeername(t.peer, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(net_addr_port(&own), ntohs(a.sin_port));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pulls_parts_and_gives_back),
		TEST(test_who_gave_it_on_is_not_woken),
		TEST(test_end_after_the_bytes),
		TEST(test_reset_of_the_peer),
		TEST(test_ahead_is_bounded),
		TEST(test_much_is_read_by_pulls),
		TEST(test_little_is_received_again),
		TEST(test_end_after_much),
		TEST(test_reset_after_much),
		TEST(test_sends_leave_in_order),
		TEST(test_full_and_drained),
		TEST(test_file_between_memory),
		TEST(test_file_that_became_shorter),
		TEST(test_half_close_goes_on_receiving),
		TEST(test_close_sends_what_is_queued),
		TEST(test_close_hears_the_peer_out),
		TEST(test_close_does_not_hear_for_ever),
		TEST(test_close_reads_nothing_from_who_does_not),
		TEST(test_close_with_a_reset),
		TEST(test_close_when_the_peer_is_done),
		TEST(test_names),
	};

	return RUN_OVER_ENGINES(tests);
}
