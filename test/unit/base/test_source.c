// SPDX-License-Identifier: Apache-2.0
#include "base/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/thread.h"
#include "unit.h"

#define FILE_BYTES 40000

static unsigned freed;

static void count_free(struct seg_owner *o)
{
	freed++;
}

static void test_memory_in_parts(void **state)
{
	struct seg_owner owner = {1, count_free};
	struct source_seg place;
	struct source *s = source_seg_init(&place, seg_mem("hello world", 11, &owner));
	struct seg a, b;

	freed = 0;
	assert_int_equal(source_pull(s, 5, SEG_MEM, &a), PULL_DATA);
	assert_int_equal(source_pull(s, 1000, SEG_ALL, &b), PULL_DATA);
	assert_int_equal(source_pull(s, 1, SEG_MEM, &b), PULL_END);
	assert_int_equal(source_pull(s, 1, SEG_MEM, &b), PULL_END);
	assert_int_equal(a.len, 5);
	assert_memory_equal(a.u.mem, "hello", 5);
	assert_int_equal(b.len, 6);
	assert_memory_equal(b.u.mem, " world", 6);
	/* What was given out outlives the source. */
	source_close(s, 0);
	seg_release(&a);
	assert_int_equal(freed, 0);
	seg_release(&b);
	assert_int_equal(freed, 1);
}

static int make_file(void)
{
	int fd = memfd_create("test", 0);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < FILE_BYTES; i++) {
		uint8_t byte = (uint8_t)(i * 7);

		assert_int_equal(pwrite(fd, &byte, 1, i), 1);
	}
	return fd;
}

static void test_a_file_as_a_file(void **state)
{
	struct source_seg place;
	struct source *s = source_seg_init(&place, seg_file(99, 10, 1000, NULL));
	struct seg out;

	assert_int_equal(source_pull(s, 600, SEG_ALL, &out), PULL_DATA);
	assert_int_equal(out.kind, SEG_FILE);
	assert_int_equal(out.u.file.off, 10);
	assert_int_equal(out.len, 600);
	assert_int_equal(source_pull(s, 600, SEG_MEM | SEG_FILE, &out), PULL_DATA);
	assert_int_equal(out.u.file.off, 610);
	assert_int_equal(out.len, 400);
	assert_int_equal(source_pull(s, 600, SEG_ALL, &out), PULL_END);
	source_close(s, 0);
}

static void test_a_file_as_memory(void **state)
{
	int fd = make_file();
	struct source_seg place;
	struct source *s = source_seg_init(&place, seg_file(fd, 3, FILE_BYTES - 3, NULL));
	struct seg out;
	unsigned at = 3;
	enum pull got;

	while ((got = source_pull(s, 30000, SEG_MEM, &out)) == PULL_DATA) {
		assert_int_equal(out.kind, SEG_MEM);
		assert_true(out.len > 0 && out.len <= BUF_CAPACITY);
		for (unsigned i = 0; i < out.len; i++, at++)
			assert_int_equal(out.u.mem[i], (uint8_t)(at * 7));
		seg_release(&out);
	}
	assert_int_equal(got, PULL_END);
	assert_int_equal(at, FILE_BYTES);
	source_close(s, 0);
	close(fd);
}

static void test_a_file_cut_short_fails(void **state)
{
	int fd = make_file();
	struct source_seg place;
	struct source *s = source_seg_init(&place, seg_file(fd, 0, FILE_BYTES, NULL));
	struct seg out;

	assert_int_equal(source_pull(s, 1000, SEG_MEM, &out), PULL_DATA);
	seg_release(&out);
	assert_int_equal(ftruncate(fd, 500), 0);
	assert_int_equal(source_pull(s, 1000, SEG_MEM, &out), PULL_FAIL);
	assert_int_equal(s->error, -EIO);
	/* It has failed for good, though the rest were readable again. */
	assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
	assert_int_equal(source_pull(s, 1000, SEG_ALL, &out), PULL_FAIL);
	source_close(s, -EIO);
	close(fd);

	s = source_seg_init(&place, seg_file(-1, 0, 10, NULL));
	assert_int_equal(source_pull(s, 1000, SEG_MEM, &out), PULL_FAIL);
	assert_int_equal(s->error, -EBADF);
	source_close(s, s->error);
}

static int leave(void **state)
{
	return (int)base_thread_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_memory_in_parts, leave),
		cmocka_unit_test_teardown(test_a_file_as_a_file, leave),
		cmocka_unit_test_teardown(test_a_file_as_memory, leave),
		cmocka_unit_test_teardown(test_a_file_cut_short_fails, leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
