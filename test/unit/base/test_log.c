// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "json_check.h"
#include "unit.h"

static char lines[1 << 20];

/* What was logged since the last call, terminated. */
static size_t taken(int fd)
{
	ssize_t n = pread(fd, lines, sizeof(lines) - 1, 0);

	assert_true(n >= 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	lseek(fd, 0, SEEK_SET);
	lines[n] = 0;
	return (size_t)n;
}

static void test_text(void **state)
{
	int fd = memfd_create("log", 0);
	struct tm tm;
	size_t n;
	const char *end;

	log_setup(fd, LOG_INFO, LOG_TEXT);
	errno = ENOENT;
	log_warn("bad request from %s: \"%s\"", "10.0.0.1", "a\nb\r\x1b[31m \xff\xc3\xa9");
	assert_int_equal(errno, ENOENT);
	n = taken(fd);
	/* 2026-11-21T08:00:00.123Z, with whatever time it is. */
	end = strptime(lines, "%Y-%m-%dT%H:%M:%S", &tm);
	assert_ptr_equal(end, lines + 19);
	assert_int_equal(lines[19], '.');
	assert_int_equal(lines[23], 'Z');
	assert_string_equal(
		lines + 24,
		" warn bad request from 10.0.0.1: \"a\\nb\\r\\x1b[31m \\xff\xc3\xa9\"\n");
	assert_int_equal(n, strlen(lines));
	close(fd);
}

static void test_json(void **state)
{
	int fd = memfd_create("log", 0);

	log_setup(fd, LOG_INFO, LOG_JSON);
	log_error("say \"hi\\\"\n\xff");
	taken(fd);
	assert_true(json_check(str_from(lines)));
	assert_non_null(strstr(
		lines, "\",\"level\":\"error\",\"message\":\"say \\\"hi\\\\\\\"\\n\\\\xff\"}\n"));
	assert_memory_equal(lines, "{\"time\":\"20", 11);
	close(fd);
}

static void test_levels(void **state)
{
	int fd = memfd_create("log", 0);
	unsigned calls = 0;

	log_setup(fd, LOG_WARN, LOG_TEXT);
	log_debug("%u", ++calls);
	/* An unwanted debug line does not even compute its arguments. */
	assert_int_equal(calls, 0);
	log_info("no");
	assert_int_equal(taken(fd), 0);
	log_warn("yes");
	assert_true(taken(fd) > 0);
	log_setup(fd, LOG_OFF, LOG_TEXT);
	log_error("no");
	assert_int_equal(taken(fd), 0);
	log_setup(fd, LOG_DEBUG, LOG_TEXT);
	log_debug("%u", ++calls);
	taken(fd);
	assert_non_null(strstr(lines, "debug 1\n"));
	close(fd);
}

static void test_long_messages_are_cut_and_say_so(void **state)
{
	static const char fill[] = {'x', '\n'};
	int fd = memfd_create("log", 0);

	for (unsigned json = 0; json < 2; json++) {
		log_setup(fd, LOG_INFO, json ? LOG_JSON : LOG_TEXT);
		for (unsigned k = 0; k < 2; k++) {
			for (size_t n = 900; n < 2 * LOG_LINE_BYTES; n += n < 2100 ? 1 : 500) {
				char message[2 * LOG_LINE_BYTES + 1];
				size_t got;

				memset(message, fill[k], n);
				message[n] = 0;
				log_info("%s", message);
				got = taken(fd);
				assert_true(got <= LOG_LINE_BYTES);
				assert_ptr_equal(memchr(lines, '\n', got), lines + got - 1);
				if (json)
					assert_true(json_check(str_from(lines)));
				if (n * (k + 1) > LOG_LINE_BYTES)
					assert_non_null(strstr(lines, json ? "...\"}\n" : "...\n"));
				else if (n * (k + 1) < LOG_LINE_BYTES - 80)
					assert_null(strstr(lines, "..."));
			}
		}
	}
	close(fd);
}

static void test_what_cannot_be_written_is_counted(void **state)
{
	uint64_t lost = log_lost();
	int pipes[2], full = open("/dev/full", O_WRONLY);
	unsigned written = 0;
	ssize_t n;

	log_setup(full, LOG_INFO, LOG_TEXT);
	log_info("x");
	assert_int_equal(log_lost(), lost + 1);
	close(full);

	/* A pipe that nobody reads: its descriptor is blocking, and we do not wait. */
	assert_int_equal(pipe(pipes), 0);
	log_setup(pipes[1], LOG_INFO, LOG_TEXT);
	lost = log_lost();
	while (log_lost() == lost && written < 100000) {
		log_info("%01000d", 1);
		written++;
	}
	assert_int_equal(log_lost(), lost + 1);
	close(pipes[1]);
	/* Every line that was not counted is there, whole. */
	for (unsigned got = 0;; got += (unsigned)n) {
		n = read(pipes[0], lines, sizeof(lines));
		assert_true(n >= 0);
		if (n == 0) {
			assert_int_equal(got, (written - 1) * (24 + 6 + 1000 + 1));
			break;
		}
		assert_int_equal(lines[n - 1], '\n');
	}
	close(pipes[0]);

	assert_int_equal(pipe(pipes), 0);
	close(pipes[0]);
	log_setup(pipes[1], LOG_INFO, LOG_TEXT);
	lost = log_lost();
	log_info("nobody reads this");
	assert_int_equal(log_lost(), lost + 1);
	close(pipes[1]);
	log_setup(-1, LOG_INFO, LOG_TEXT);
	log_info("x");
	assert_int_equal(log_lost(), lost + 2);
}

static void *log_many(void *arg)
{
	for (unsigned i = 0; i < 1000; i++)
		log_info("thread %c line %u end", *(char *)arg, i);
	return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state)
{
	static char names[] = {'a', 'b', 'c'};
	unsigned next[3] = {0};
	char path[] = "/tmp/sluice-log-XXXXXX", *line, *rest = lines;
	int fd = mkstemp(path);
	pthread_t threads[3];

	assert_true(fd >= 0);
	unlink(path);
	fcntl(fd, F_SETFL, O_APPEND);
	log_setup(fd, LOG_INFO, LOG_TEXT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, &names[i]), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	taken(fd);
	while ((line = strsep(&rest, "\n")) && *line) {
		unsigned i;
		char name;

		assert_int_equal(sscanf(line + 24, " info thread %c line %u end", &name, &i), 2);
		assert_int_equal(i, next[name - 'a']);
		next[name - 'a']++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(next[i], 1000);
	close(fd);
}

static void test_rate(void **state)
{
	struct log_rate rate = {0};
	uint64_t suppressed = 9, now = 5 * CLOCK_NS_PER_S;

	assert_true(log_rate_allow(&rate, now, &suppressed));
	assert_int_equal(suppressed, 0);
	for (unsigned i = 0; i < 50; i++)
		assert_false(log_rate_allow(&rate, now + i, &suppressed));
	assert_false(log_rate_allow(&rate, now + CLOCK_NS_PER_S - 1, &suppressed));
	assert_true(log_rate_allow(&rate, now + CLOCK_NS_PER_S, &suppressed));
	assert_int_equal(suppressed, 51);
	assert_true(log_rate_allow(&rate, now + 9 * CLOCK_NS_PER_S, &suppressed));
	assert_int_equal(suppressed, 0);
}

static void test_errors_have_names(void **state)
{
	assert_string_equal(err_name(-ECONNRESET), "ECONNRESET");
	assert_string_equal(err_name(ECONNRESET), "ECONNRESET");
	assert_string_equal(err_text(-ECONNRESET), "connection reset by peer");
	assert_string_equal(err_name(0), "E?");
	assert_string_equal(err_name(100000), "E?");
	assert_string_equal(err_text(INT32_MIN), "unknown error");
	for (int e = -200; e < 200; e++)
		assert_true(err_name(e) && err_text(e));
}

static void test_time(void **state)
{
	char time[LOG_TIME_BYTES];

	assert_int_equal(log_put_time(time, 1795248000123999999), 24);
	assert_string_equal(time, "2026-11-21T08:00:00.123Z");
	assert_true(clock_monotonic_ns() <= clock_monotonic_ns());
	assert_true(clock_realtime_ns() / CLOCK_NS_PER_S > 1600000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_long_messages_are_cut_and_say_so),
		cmocka_unit_test(test_what_cannot_be_written_is_counted),
		cmocka_unit_test(test_lines_of_threads_do_not_mix),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_errors_have_names),
		cmocka_unit_test(test_time),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
