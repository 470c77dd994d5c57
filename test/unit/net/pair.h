/* internal: a loop with both ends of a TCP connection, for tests of what lives on a conn. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_NET_PAIR_H
#define SLUICE_TEST_NET_PAIR_H

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "io/io.h"
#include "unit.h"

/* Only for a test that hangs. */
#define PAIR_PATIENCE_NS (20 * CLOCK_NS_PER_S)

/* The engine that the running group of tests is about. */
static enum io_engine pair_engine;

static inline struct io_loop *pair_loop(void)
{
	const struct io_options options = {.engine = pair_engine};
	struct io_loop *loop;
	char why[256];

	log_setup(2, LOG_OFF, LOG_TEXT);
	assert_int_equal(io_loop_new(&options, &loop, why, sizeof(why)), 0);
	return loop;
}

static inline void pair_loop_free(struct io_loop *loop)
{
	while (io_loop_busy(loop))
		assert_int_equal(io_loop_turn(loop, -1), 0);
	io_loop_free(loop);
}

/* fds[0] is the test's, fds[1] the program's; both do not block. */
static inline void pair_make(int fds[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&a, len), 0);
	fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fds[1] >= 0);
	close(listener);
}

/* Turns until `what` is true, with a word for the test that waits for nothing. */
#define PAIR_UNTIL(loop, what)                                                    \
	do {                                                                      \
		uint64_t until_ns_ = clock_monotonic_ns() + PAIR_PATIENCE_NS;     \
		while (!(what)) {                                                 \
			if (clock_monotonic_ns() > until_ns_)                     \
				fail_msg("still not true: %s", #what);            \
			assert_int_equal(io_loop_turn(loop, CLOCK_NS_PER_MS), 0); \
		}                                                                 \
	} while (0)

/* A few turns, for what must not happen. */
static inline void pair_turns(struct io_loop *loop, unsigned n)
{
	while (n--)
		assert_int_equal(io_loop_turn(loop, CLOCK_NS_PER_MS), 0);
}

static inline void pair_send(int fd, const void *bytes, size_t len)
{
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

static inline void pair_say(int fd, const char *text)
{
	pair_send(fd, text, strlen(text));
}

/* The peer's close that resets. */
static inline void pair_reset(int fd)
{
	const struct linger now = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
	close(fd);
}

/* What the peer has received so far. */
struct pair_in {
	char *text; /* terminated */
	size_t len, cap;
	bool ended; /* FIN */
	int error;  /* or how it broke */
};

static inline void pair_read(int fd, struct pair_in *in)
{
	while (!in->ended && !in->error) {
		if (in->cap - in->len < 65536) {
			in->cap = in->cap * 2 + 131072;
			in->text = realloc(in->text, in->cap);
			assert_non_null(in->text);
		}
		ssize_t n = recv(fd, in->text + in->len, 65535, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n > 0)
			in->len += (size_t)n;
		in->ended = n == 0;
		in->error = n < 0 ? errno : 0;
	}
	if (in->text)
		in->text[in->len] = '\0';
}

/* Reads and turns until the connection ended one way or the other. */
static inline void pair_read_to_end(struct io_loop *loop, int fd, struct pair_in *in)
{
	PAIR_UNTIL(loop, (pair_read(fd, in), in->ended || in->error));
}

static inline unsigned pair_count(const struct pair_in *in, const char *what)
{
	unsigned n = 0;

	for (const char *p = in->text; p && (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* Runs the tests over readiness and, where the kernel has it, over completion. */
#define RUN_OVER_ENGINES(tests) \
	pair_run(#tests, tests, sizeof(tests) / sizeof((tests)[0]), "epoll auto")
/* The same over every engine that there is. */
#define RUN_OVER_ALL_ENGINES(tests) \
	pair_run(#tests, tests, sizeof(tests) / sizeof((tests)[0]), "epoll poll select auto")

static inline int pair_run(const char *name, const struct CMUnitTest *tests, size_t count,
			   const char *engines)
{
	int failed = 0, len;
	char engine[16];

	for (; sscanf(engines, "%15s%n", engine, &len) == 1; engines += len) {
		pair_engine = (enum io_engine)io_engine_parse(engine);
		print_message("engine %s:\n", engine);
		failed += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	}
	return failed;
}

#endif
