// SPDX-License-Identifier: Apache-2.0
#include "observe/access_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

static char folder[] = "/tmp/sluice-access-XXXXXX";
static char path[64], moved[64];
static char content[8 << 20];
static int server_log;

static size_t content_of(const char *name)
{
	int fd = open(name, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, content, sizeof(content) - 1);
	assert_true(n >= 0 && n < (ssize_t)sizeof(content) - 1);
	close(fd);
	content[n] = 0;
	return (size_t)n;
}

/* What the server's log has heard since the test began. */
static const char *complaints(void)
{
	static char text[1 << 16];
	ssize_t n = pread(server_log, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = 0;
	return text;
}

static int begin(void **state)
{
	server_log = memfd_create("server log", 0);
	log_setup(server_log, LOG_INFO, LOG_TEXT);
	return server_log < 0;
}

static int end(void **state)
{
	log_setup(STDERR_FILENO, LOG_INFO, LOG_TEXT);
	close(server_log);
	unlink(path);
	unlink(moved);
	return 0;
}

static bool put(struct access_ring *r, const char *line)
{
	return access_ring_put(r, line, strlen(line));
}

static void test_lines_arrive_in_order(void **state)
{
	struct access_log *log;
	struct access_ring *a, *b;
	struct stat st;

	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	a = access_ring_open(log);
	b = access_ring_open(log);
	assert_true(put(a, "a1\n") && put(a, "a2\n"));
	assert_int_equal(access_log_flush(log), 0);
	assert_true(put(b, "b1\n"));
	assert_int_equal(access_log_flush(log), 0);
	assert_true(put(a, "a3\n"));
	access_ring_close(a);
	access_ring_close(b);
	/* Closing writes what is left. */
	access_log_close(log);
	content_of(path);
	assert_string_equal(content, "a1\na2\nb1\na3\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07137, 0);
	/* Opened again, it goes on at the end. */
	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	assert_true(put(access_ring_open(log), "later\n"));
	access_log_close(log);
	content_of(path);
	assert_string_equal(content, "a1\na2\nb1\na3\nlater\n");
	assert_string_equal(complaints(), "");
	access_log_close(NULL);
}

static void test_what_cannot_be_opened(void **state)
{
	struct access_log *log = NULL;

	assert_int_equal(access_log_open(&log, "/nonexistent/access.log", ACCESS_RING_BYTES),
			 -ENOENT);
	assert_int_equal(access_log_open(&log, folder, ACCESS_RING_BYTES), -EISDIR);
	assert_null(log);
}

/* Numbered lines of many lengths, so that each stands at every place of the ring's end once. */
static size_t numbered(char *line, unsigned worker, unsigned i)
{
	int n = sprintf(line, "%u %u ", worker, i);
	unsigned fill = i * 7919 % 300;

	memset(line + n, 'x', fill);
	line[(unsigned)n + fill] = '\n';
	return (unsigned)n + fill + 1;
}

/* Every line of the files is whole and in the order of its worker; next[] gets how many there are. */
static void check_numbered(unsigned *next, unsigned workers, bool gaps)
{
	char *rest = content, *line, expected[400];

	while ((line = strsep(&rest, "\n")) && rest) {
		unsigned worker, i;

		assert_int_equal(sscanf(line, "%u %u ", &worker, &i), 2);
		assert_true(worker < workers);
		assert_true(gaps ? i >= next[worker] : i == next[worker]);
		size_t n = numbered(expected, worker, i);
		assert_int_equal(strlen(line), n - 1);
		assert_memory_equal(line, expected, n - 1);
		next[worker] = i + 1;
	}
	/* And the last one ends. */
	assert_true(!line || !*line);
}

static void test_round_and_round(void **state)
{
	struct access_log *log;
	struct access_ring *r;
	unsigned next = 0;
	char line[400];

	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	r = access_ring_open(log);
	for (unsigned i = 0; i < 5000; i++) {
		if (!access_ring_put(r, line, numbered(line, 0, i))) {
			assert_int_equal(access_log_flush(log), 0);
			assert_true(access_ring_put(r, line, numbered(line, 0, i)));
		}
	}
	access_log_close(log);
	content_of(path);
	check_numbered(&next, 1, false);
	assert_int_equal(next, 5000);
}

/* A full disk: the lines wait, what finds no room is counted, and after a rotation all goes on. */
static void test_a_full_disk(void **state)
{
	struct access_log *log;
	struct access_ring *r;
	unsigned kept = 0, next = 0, lost = 0, refused = 0;
	char line[400];

	if (access("/dev/full", W_OK))
		unit_skip("no /dev/full");
	assert_int_equal(symlink("/dev/full", path), 0);
	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	r = access_ring_open(log);
	while (access_ring_put(r, line, numbered(line, 0, kept)))
		kept++;
	assert_true(kept > 20);
	assert_int_equal(access_log_flush(log), -ENOSPC);
	for (unsigned i = 0; i < 500; i++)
		lost += !access_ring_put(r, line, numbered(line, 0, kept));
	assert_int_equal(lost, 500);
	assert_int_equal(access_log_flush(log), -ENOSPC);
	assert_int_equal(access_log_lost(log), 501);
	/* It was said once, with the cure, however often it was tried. */
	assert_non_null(strstr(complaints(), "no space left on device: free some space."));
	assert_ptr_equal(strchr(complaints(), '\n') + 1, complaints() + strlen(complaints()));

	assert_int_equal(unlink(path), 0);
	access_log_reopen(log);
	assert_int_equal(access_log_flush(log), 0);
	assert_non_null(strstr(complaints(), "written again, 501 lines lost so far"));
	while (refused < 3) {
		if (access_ring_put(r, line, numbered(line, 0, kept)))
			kept++;
		else
			assert_int_equal(access_log_flush(log), 0);
		refused++;
	}
	access_log_close(log);
	content_of(path);
	check_numbered(&next, 1, false);
	assert_int_equal(next, kept);
}

/* What is left when the server ends and the disk is still full is not lost in silence. */
static void test_closing_on_a_full_disk(void **state)
{
	struct access_log *log;
	struct access_ring *r;

	if (access("/dev/full", W_OK))
		unit_skip("no /dev/full");
	assert_int_equal(access_log_open(&log, "/dev/full", ACCESS_RING_BYTES_MIN), 0);
	r = access_ring_open(log);
	assert_true(put(r, "one\n") && put(r, "two\n") && put(r, "three\n"));
	access_ring_close(r);
	access_log_close(log);
	assert_non_null(strstr(complaints(),
			       "the last 3 lines could not be written: no space left on device"));
}

static rlim_t file_limit(rlim_t bytes)
{
	struct rlimit limit;
	rlim_t old;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	old = limit.rlim_cur;
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	return old;
}

/* The file ends in the middle of a line: when it takes bytes again, that line goes on before any other. */
static void test_short_writes_do_not_mix_lines(void **state)
{
	enum { LIMIT = 1000 };
	struct access_log *log;
	struct access_ring *r[3];
	unsigned next[3] = {0}, count[3] = {0};
	char line[400];
	rlim_t old;

	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	for (unsigned k = 0; k < 3; k++)
		r[k] = access_ring_open(log);
	old = file_limit(LIMIT);
	for (unsigned k = 0; k < 3; k++)
		for (; count[k] < 20; count[k]++)
			assert_true(access_ring_put(r[k], line, numbered(line, k, count[k])));
	assert_int_equal(access_log_flush(log), -EFBIG);
	assert_int_equal(content_of(path), LIMIT);
	assert_int_not_equal(content[LIMIT - 1], '\n');
	file_limit(old);
	for (unsigned k = 0; k < 3; k++)
		assert_true(access_ring_put(r[k], line, numbered(line, k, count[k]++)));
	assert_int_equal(access_log_flush(log), 0);
	access_log_close(log);
	content_of(path);
	check_numbered(next, 3, false);
	assert_memory_equal(next, count, sizeof(count));
}

/* The same, but the file is rotated away: the half line stays in the old one and is counted. */
static void test_a_rotation_in_the_middle_of_a_line(void **state)
{
	struct access_log *log;
	struct access_ring *r;
	rlim_t old;

	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	r = access_ring_open(log);
	old = file_limit(10);
	assert_true(put(r, "first\n") && put(r, "second\n") && put(r, "third\n"));
	assert_int_equal(access_log_flush(log), -EFBIG);
	assert_int_equal(rename(path, moved), 0);
	access_log_reopen(log);
	/* Only "third" fits into the new one. */
	assert_int_equal(access_log_flush(log), 0);
	file_limit(old);
	assert_int_equal(access_log_lost(log), 1);
	access_log_close(log);
	content_of(moved);
	assert_string_equal(content, "first\nseco");
	content_of(path);
	assert_string_equal(content, "third\n");
}

static void test_rotation(void **state)
{
	struct access_log *log;
	struct access_ring *r;

	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	r = access_ring_open(log);
	assert_true(put(r, "old\n"));
	assert_int_equal(rename(path, moved), 0);
	assert_true(put(r, "also old\n"));
	access_log_reopen(log);
	assert_int_equal(access_log_flush(log), 0);
	assert_true(put(r, "new\n"));
	assert_int_equal(access_log_flush(log), 0);
	content_of(moved);
	assert_string_equal(content, "old\nalso old\n");
	content_of(path);
	assert_string_equal(content, "new\n");

	/* A path that cannot be opened: the old file goes on. */
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	access_log_reopen(log);
	assert_true(put(r, "stays\n"));
	assert_int_equal(access_log_flush(log), 0);
	assert_int_equal(rmdir(path), 0);
	content_of(moved);
	assert_string_equal(content, "new\nstays\n");
	assert_non_null(strstr(complaints(), "cannot be opened again: is a directory"));
	access_log_close(log);
}

static void test_a_reader_that_does_not_keep_up(void **state)
{
	struct access_log *log;
	struct access_ring *r;
	unsigned put_count = 0, next = 0, lost = 0;
	char line[400];
	int reader, error;
	ssize_t n;
	size_t at = 0;

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), -ENXIO);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_true(reader >= 0);
	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	r = access_ring_open(log);
	do {
		if (access_ring_put(r, line, numbered(line, 0, put_count)))
			put_count++;
		else
			lost++;
		error = access_log_flush(log);
	} while (!error);
	assert_int_equal(error, -EAGAIN);
	assert_int_equal(lost, 0);
	/* A full pipe is no reason to complain, lost lines are. */
	assert_string_equal(complaints(), "");
	for (; lost == 0; put_count += !lost)
		lost += !access_ring_put(r, line, numbered(line, 0, put_count));
	assert_int_equal(access_log_flush(log), -EAGAIN);
	assert_non_null(strstr(complaints(), "whoever reads it does not keep up"));
	do {
		n = read(reader, content + at, sizeof(content) - 1 - at);
		if (n > 0)
			at += (size_t)n;
		error = access_log_flush(log);
	} while (n > 0 || error);
	content[at] = 0;
	check_numbered(&next, 1, false);
	assert_int_equal(next, put_count);
	close(reader);
	/* Nobody reads any more. */
	assert_true(put(r, "x\n"));
	assert_int_equal(access_log_flush(log), -EPIPE);
	access_log_close(log);
	assert_non_null(strstr(complaints(), "the last 1 lines could not be written: broken pipe"));
}

enum { WORKERS = 3, LINES = 6000 };

struct worker {
	struct access_log *log;
	pthread_t thread;
	unsigned number, lost;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct access_ring *r = access_ring_open(w->log);
	char line[400];

	for (unsigned i = 0; i < LINES; i++)
		w->lost += !access_ring_put(r, line, numbered(line, w->number, i));
	access_ring_close(r);
	return NULL;
}

/* Workers that put as fast as they can, while the file is rotated and the counts are read. */
static void test_many_workers(void **state)
{
	struct worker workers[WORKERS];
	struct access_log *log;
	unsigned next[WORKERS] = {0}, lost = 0, lines = 0;

	assert_int_equal(access_log_open(&log, path, ACCESS_RING_BYTES_MIN), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){.log = log, .number = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	assert_int_equal(rename(path, moved), 0);
	access_log_reopen(log);
	for (unsigned i = 0; i < 20; i++) {
		access_log_reopen(log);
		assert_int_equal(access_log_flush(log), 0);
		access_log_lost(log);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		lost += workers[i].lost;
	}
	assert_int_equal(access_log_flush(log), 0);
	assert_int_equal(access_log_lost(log), lost);
	access_log_close(log);
	content_of(moved);
	check_numbered(next, WORKERS, true);
	/* strsep has cut the lines apart: they are counted anew. */
	for (size_t n = content_of(moved), i = 0; i < n; i++)
		lines += content[i] == '\n';
	for (size_t n = content_of(path), i = 0; i < n; i++)
		lines += content[i] == '\n';
	check_numbered(next, WORKERS, true);
	assert_int_equal(lines, WORKERS * LINES - lost);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines_arrive_in_order, begin, end),
		cmocka_unit_test_setup_teardown(test_what_cannot_be_opened, begin, end),
		cmocka_unit_test_setup_teardown(test_round_and_round, begin, end),
		cmocka_unit_test_setup_teardown(test_a_full_disk, begin, end),
		cmocka_unit_test_setup_teardown(test_closing_on_a_full_disk, begin, end),
		cmocka_unit_test_setup_teardown(test_short_writes_do_not_mix_lines, begin, end),
		cmocka_unit_test_setup_teardown(test_a_rotation_in_the_middle_of_a_line, begin,
						end),
		cmocka_unit_test_setup_teardown(test_rotation, begin, end),
		cmocka_unit_test_setup_teardown(test_a_reader_that_does_not_keep_up, begin, end),
		cmocka_unit_test_setup_teardown(test_many_workers, begin, end),
	};
	int failed;

	signal(SIGXFSZ, SIG_IGN);
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/access.log", folder);
	snprintf(moved, sizeof(moved), "%s/access.log.1", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return failed;
}
