// SPDX-License-Identifier: Apache-2.0
/* The PROXY protocol: what is taken, refused and printed, and reading it off a connection. */
#include "net/proxy_header.h"

#include "net/pair.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1
#define V2_TCP4 SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\x07\xdc\x04\1\xbb"

static int parse(const uint8_t *p, size_t len, enum proxy_version accept, struct proxy_header *h)
{
	const char *why = NULL;
	int n = proxy_header_parse(p, len, accept, h, &why);

	assert_true((n == -EBADMSG) == (why != NULL));
	/* No beginning of it is taken, nor refused when the whole is not. */
	for (int i = 0; i < n; i++) {
		struct proxy_header part;
		assert_int_equal(proxy_header_parse(p, (size_t)i, accept, &part, &why), 0);
	}
	return n;
}

static void assert_addr(const struct net_addr *a, const char *text)
{
	char is[NET_ADDR_TEXT];

	net_addr_print(a, is);
	assert_string_equal(is, text);
}

static void test_v1(void **state)
{
	struct proxy_header h;
	static const char tcp4[] =
		"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / HTTP/1.1\r\n";
	static const char tcp6[] = "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";

	assert_int_equal(parse(BYTES(tcp4), PROXY_V1, &h), strchr(tcp4, '\n') + 1 - tcp4);
	assert_false(h.local);
	assert_addr(&h.src, "192.0.2.1:56324");
	assert_addr(&h.dst, "198.51.100.7:443");
	assert_int_equal(parse(BYTES(tcp6), PROXY_ANY, &h), sizeof(tcp6) - 1);
	assert_addr(&h.src, "[2001:db8::1]:0");
	assert_addr(&h.dst, "[::1]:65535");
	assert_int_equal(parse(BYTES("PROXY UNKNOWN\r\n"), PROXY_V1, &h), 15);
	assert_true(h.local);
	assert_int_equal(parse(BYTES("PROXY UNKNOWN what ever\r\nx"), PROXY_V1, &h), 25);
	assert_true(h.local);
}

static void test_v1_longest(void **state)
{
	struct proxy_header h;
	char line[PROXY_HEADER_V1_MAX + 2];

	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + PROXY_HEADER_V1_MAX - 2, "\r\n", 2);
	assert_int_equal(parse((uint8_t *)line, PROXY_HEADER_V1_MAX, PROXY_V1, &h),
			 PROXY_HEADER_V1_MAX);
	memcpy(line + PROXY_HEADER_V1_MAX - 2, "x\r\n", 3);
	assert_int_equal(parse((uint8_t *)line, PROXY_HEADER_V1_MAX, PROXY_V1, &h), -EBADMSG);
	assert_int_equal(parse((uint8_t *)line, PROXY_HEADER_V1_MAX - 1, PROXY_V1, &h), 0);
}

static void test_v1_refused(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\n",
		"PROXX",
		"Pa",
		"PROXY UNKNOWN\n",
		"PROXY UNKNOWN\rx",
		"PROXY UNKNOWNX\r\n",
		"PROXY \r\n",
		"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
		"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
		"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
		"PROXY TCP6 ::1%lo ::1 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
	};
	struct proxy_header h;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		if (parse((const uint8_t *)bad[i], strlen(bad[i]), PROXY_ANY, &h) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	}
	assert_int_equal(parse(BYTES("PROXY UNKNOWN\r\n"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), PROXY_V1, &h),
			 -EBADMSG);
	assert_int_equal(parse(BYTES(V2_TCP4), PROXY_V1, &h), -EBADMSG);
	assert_int_equal(parse(BYTES("P"), PROXY_NONE, &h), -EBADMSG);
}

static void test_v2(void **state)
{
	struct proxy_header h;
	static const char tcp6[] = SIGNATURE "\x21\x21\0\x24"
					     "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
					     "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\x50\1\xbb";
	uint8_t local[16 + 216] = SIGNATURE "\x21\x31\0\xd8/run/a.sock";

	assert_int_equal(parse(BYTES(V2_TCP4 "rest"), PROXY_V2, &h), 28);
	assert_false(h.local);
	assert_addr(&h.src, "192.0.2.1:56324");
	assert_addr(&h.dst, "198.51.100.7:443");
	assert_int_equal(parse(BYTES(tcp6), PROXY_ANY, &h), sizeof(tcp6) - 1);
	assert_addr(&h.src, "[2001:db8::1]:80");
	assert_addr(&h.dst, "[2001:db8::2]:443");
	memcpy(local + 16 + 108, "\0name", 5);
	assert_int_equal(parse(local, sizeof(local), PROXY_V2, &h), sizeof(local));
	assert_addr(&h.src, "unix:/run/a.sock");
	assert_addr(&h.dst, "unix:@name");
	assert_int_equal(parse(BYTES(SIGNATURE "\x20\x00\0\0"), PROXY_V2, &h), 16);
	assert_true(h.local);
	/* LOCAL: what follows is skipped, whatever its family says. */
	assert_int_equal(parse(BYTES(SIGNATURE "\x20\xee\0\2xx"), PROXY_V2, &h), 18);
	assert_true(h.local);
	/* Datagrams and UNSPEC. */
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x12\0\2xx"), PROXY_V2, &h), 18);
	assert_true(h.local);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x00\0\2xx"), PROXY_V2, &h), 18);
	assert_true(h.local);
}

static void test_v2_refused(void **state)
{
	struct proxy_header h;

	assert_int_equal(parse(BYTES("\r\n\r\nx"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x11"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x22"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x41"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x13"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\0\x0b"
					       "elevenbytes"),
			       PROXY_V2, &h),
			 -EBADMSG);
	/* 1008 bytes follow the fixed part, and no more. */
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\3\xf0"), PROXY_V2, &h), 0);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\3\xf1"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x20\x00\xff\xff"), PROXY_V2, &h), -EBADMSG);
	assert_int_equal(parse(BYTES("PROXY"), PROXY_V2, &h), -EBADMSG);
}

static void test_v2_tlvs(void **state)
{
	struct proxy_header h;
	/* The sum of the header with zero in its place: counted by another program. */
	static const char sum[] = SIGNATURE "\x21\x11\0\x18\xc0\0\2\1\xc6\x33\x64\x07\xdc\x04\1\xbb"
					    "\3\0\4\176\126\241\211\1\0\2h2";
	uint8_t bytes[sizeof(sum) - 1];

	memcpy(bytes, sum, sizeof(bytes));
	assert_int_equal(parse(bytes, sizeof(bytes), PROXY_V2, &h), sizeof(bytes));
	for (unsigned i = 16; i < sizeof(bytes); i++) {
		bytes[i] ^= 0x10;
		assert_true(parse(bytes, sizeof(bytes), PROXY_V2, &h) != (int)sizeof(bytes) ||
			    i == 28);
		bytes[i] ^= 0x10;
	}
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\0\x0f"
					       "123456789012"
					       "\4\0\0"),
			       PROXY_V2, &h),
			 31);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\0\x0e"
					       "123456789012"
					       "\4\0"),
			       PROXY_V2, &h),
			 -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\0\x0f"
					       "123456789012"
					       "\4\0\1"),
			       PROXY_V2, &h),
			 -EBADMSG);
	assert_int_equal(parse(BYTES(SIGNATURE "\x21\x11\0\x10"
					       "123456789012"
					       "\3\0\1x"),
			       PROXY_V2, &h),
			 -EBADMSG);
}

static struct net_addr addr(const char *text)
{
	struct net_addr a;
	char why[256];

	assert_int_equal(net_addr_parse(str_from(text), &a, why, sizeof(why)), 0);
	return a;
}

static void assert_printed(enum proxy_version version, const char *src, const char *dst,
			   const char *as)
{
	struct net_addr a = addr(src), b = addr(dst);
	uint8_t out[PROXY_HEADER_V2_MAX];
	struct proxy_header h;
	size_t n = proxy_header_print(version, &a, &b, out);

	if (version == PROXY_V1) {
		assert_int_equal(n, strlen(as));
		assert_memory_equal(out, as, n);
	}
	assert_int_equal(parse(out, n, version, &h), n);
	assert_addr(&h.src, src);
	assert_addr(&h.dst, dst);
}

static void test_print(void **state)
{
	uint8_t out[PROXY_HEADER_V2_MAX];
	struct net_addr v4 = addr("1.2.3.4:5"), path = addr("unix:/run/x"),
			v6 = addr("[::ffff:5.6.7.8]:9");

	assert_printed(PROXY_V1, "1.2.3.4:5", "6.7.8.9:10", "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
	assert_printed(PROXY_V1, "[::1]:5", "[fe80::2]:10", "PROXY TCP6 ::1 fe80::2 5 10\r\n");
	assert_printed(PROXY_V1, "1.2.3.4:5", "[fe80::2]:10",
		       "PROXY TCP6 ::ffff:1.2.3.4 fe80::2 5 10\r\n");
	assert_printed(PROXY_V2, "1.2.3.4:5", "6.7.8.9:10", NULL);
	assert_printed(PROXY_V2, "[::1]:65535", "[fe80::2]:0", NULL);
	assert_printed(PROXY_V2, "[::1]:65535", "1.2.3.4:1", NULL);
	assert_int_equal(proxy_header_print(PROXY_V1, NULL, NULL, out), 15);
	assert_memory_equal(out, "PROXY UNKNOWN\r\n", 15);
	assert_int_equal(proxy_header_print(PROXY_V1, &path, &v4, out), 15);
	assert_int_equal(proxy_header_print(PROXY_V2, &path, &v4, out), 16);
	assert_int_equal(out[12], 0x20);
	assert_int_equal(proxy_header_print(PROXY_V1, &v6, NULL, out), 32);
	assert_memory_equal(out, "PROXY TCP4 5.6.7.8 0.0.0.0 9 0\r\n", 32);
	assert_int_equal(proxy_header_print(PROXY_NONE, &v4, &v4, out), 0);
}

/* Reading. */

static struct {
	struct io_loop *loop;
	int peer;
	struct proxy_reader reader;
	struct conn *conn; /* what the reader gave back */
	unsigned calls, woken;
	int result;
	bool closed;
} t;

static void on_done(struct proxy_reader *r, struct conn *conn, int result)
{
	assert_ptr_equal(r, &t.reader);
	assert_ptr_equal(r->owner, &t);
	assert_true((result == 0) == (conn != NULL));
	t.calls++;
	t.conn = conn;
	t.result = result;
}

static void on_closed(void *consumer)
{
	t.closed = true;
}

static void on_wake(struct source *source, void *consumer)
{
	t.woken++;
}

static int start(void **state)
{
	int fds[2];

	memset(&t, 0, sizeof(t));
	t.loop = pair_loop();
	pair_make(fds);
	t.peer = fds[0];
	struct conn *conn = conn_plain_new(t.loop, fds[1]);
	assert_non_null(conn);
	conn->closed = on_closed;
	t.reader.done = on_done;
	t.reader.owner = &t;
	proxy_reader_start(&t.reader, conn, PROXY_ANY);
	return 0;
}

static int stop(void **state)
{
	proxy_reader_cancel(&t.reader);
	if (t.conn)
		conn_close(t.conn, -ECANCELED);
	PAIR_UNTIL(t.loop, t.closed);
	if (t.peer >= 0)
		close(t.peer);
	pair_loop_free(t.loop);
	return 0;
}

static void assert_named(bool peer, const char *text)
{
	struct net_addr a;

	assert_int_equal(conn_name(t.conn, peer, &a), 0);
	assert_addr(&a, text);
}

static void assert_rest(const char *text)
{
	struct seg s;

	for (size_t n = strlen(text); n;) {
		t.conn->source.wake = on_wake;
		unsigned woken = t.woken;
		while (source_pull(&t.conn->source, n, SEG_MEM, &s) == PULL_WAIT) {
			PAIR_UNTIL(t.loop, t.woken > woken);
			woken = t.woken;
		}
		assert_true(s.len <= n);
		assert_memory_equal(s.u.mem, text, s.len);
		n -= s.len;
		text += s.len;
		seg_release(&s);
	}
}

static void test_reads_v1_and_the_rest(void **state)
{
	pair_say(t.peer, "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / HTTP/1.1\r\n");
	assert_int_equal(t.calls, 0);
	PAIR_UNTIL(t.loop, t.calls);
	assert_int_equal(t.result, 0);
	assert_named(true, "192.0.2.1:56324");
	assert_named(false, "198.51.100.7:443");
	assert_rest("GET / HTTP/1.1\r\n");
	pair_say(t.peer, "more");
	assert_rest("more");
}

static void test_reads_byte_by_byte(void **state)
{
	static const char text[] = V2_TCP4;

	for (unsigned i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(t.calls, 0);
		pair_send(t.peer, text + i, 1);
		PAIR_UNTIL(t.loop, t.calls || t.reader.len == i + 1);
	}
	PAIR_UNTIL(t.loop, t.calls);
	assert_int_equal(t.result, 0);
	assert_named(true, "192.0.2.1:56324");
	pair_say(t.peer, "x");
	assert_rest("x");
}

static void test_reads_ahead_of_much(void **state)
{
	static char much[40000];

	memset(much, 'm', sizeof(much) - 1);
	pair_say(t.peer, "PROXY TCP6 ::1 ::2 3 4\r\n");
	pair_say(t.peer, much);
	PAIR_UNTIL(t.loop, t.calls);
	assert_named(true, "[::1]:3");
	assert_rest(much);
}

static void test_local_keeps_the_socket(void **state)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct net_addr is;

	assert_int_equal(getsockname(t.peer, (struct sockaddr *)&a, &len), 0);
	pair_say(t.peer, "PROXY UNKNOWN\r\n");
	PAIR_UNTIL(t.loop, t.calls);
	assert_int_equal(t.result, 0);
	assert_int_equal(conn_name(t.conn, true, &is), 0);
	assert_int_equal(net_addr_port(&is), ntohs(a.sin_port));
}

static void test_garbage_is_closed(void **state)
{
	struct pair_in in = {0};

	pair_say(t.peer, "GET / HTTP/1.1\r\n\r\n");
	PAIR_UNTIL(t.loop, t.calls);
	assert_int_equal(t.result, -EBADMSG);
	pair_read_to_end(t.loop, t.peer, &in);
	assert_int_equal(in.len, 0);
	free(in.text);
	PAIR_UNTIL(t.loop, t.closed);
	assert_int_equal(t.calls, 1);
}

static void test_end_before_the_header(void **state)
{
	pair_say(t.peer, "PROXY TCP4 ");
	shutdown(t.peer, SHUT_WR);
	PAIR_UNTIL(t.loop, t.calls);
	assert_int_equal(t.result, -ENODATA);
	PAIR_UNTIL(t.loop, t.closed);
}

static void test_reset_before_the_header(void **state)
{
	pair_turns(t.loop, 2);
	pair_reset(t.peer);
	t.peer = -1;
	PAIR_UNTIL(t.loop, t.calls);
	assert_int_equal(t.result, -ECONNRESET);
	PAIR_UNTIL(t.loop, t.closed);
}

static void test_late(void **state)
{
	pair_say(t.peer, "PROXY ");
	pair_turns(t.loop, 5);
	assert_true(io_timer_armed(&t.reader.timer));
	/* The time itself is the wheel's to test. */
	io_timer_stop(&t.reader.timer);
	t.reader.timer.fire(&t.reader.timer);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.result, -ETIMEDOUT);
	PAIR_UNTIL(t.loop, t.closed);
}

static void test_cancel(void **state)
{
	pair_say(t.peer, "PROXY ");
	proxy_reader_cancel(&t.reader);
	proxy_reader_cancel(&t.reader);
	PAIR_UNTIL(t.loop, t.closed);
	assert_int_equal(t.calls, 0);
}

#define READS(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest format[] = {
		cmocka_unit_test(test_v1),         cmocka_unit_test(test_v1_longest),
		cmocka_unit_test(test_v1_refused), cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_refused), cmocka_unit_test(test_v2_tlvs),
		cmocka_unit_test(test_print),
	};
	const struct CMUnitTest reading[] = {
		READS(test_reads_v1_and_the_rest),
		READS(test_reads_byte_by_byte),
		READS(test_reads_ahead_of_much),
		READS(test_local_keeps_the_socket),
		READS(test_garbage_is_closed),
		READS(test_end_before_the_header),
		READS(test_reset_before_the_header),
		READS(test_late),
		READS(test_cancel),
	};

	return cmocka_run_group_tests(format, NULL, NULL) + RUN_OVER_ENGINES(reading);
}
