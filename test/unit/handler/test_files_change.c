// SPDX-License-Identifier: Apache-2.0
/* Files and folders that change, shrink, move and go away, before and during a response. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handler/files.h"
#include "handler/files/state.h"
#include "handler/harness.h"

/* More than a socket pair holds, and several chunks. */
#define LARGE (6 * 1024 * 1024)
#define PAUSE_AT (64 * 1024)

static struct harness h;
static struct files_config config;
static uint8_t *bytes;

static int setup(void **state)
{
	harness_folder(&h);
	files_config_init(&config);
	harness_mkdir(&h, "root");
	bytes = malloc(LARGE);
	harness_fill(bytes, LARGE, 11);
	harness_write(&h, "root/large", bytes, LARGE);
	harness_text(&h, "root/small", "before");
	static char root[256];

	harness_path(&h, "root", root);
	config.root = str_from(root);
	config.cache.revalidate_ms = 0;
	return 0;
}

static int teardown(void **state)
{
	harness_stop(&h);
	free(bytes);
	return 0;
}

static void start(void)
{
	harness_start(&h, &files_handler, &config, NULL);
}

static void rename_in(const char *from, const char *to)
{
	char a[256], b[256];

	harness_path(&h, from, a);
	harness_path(&h, to, b);
	assert_int_equal(rename(a, b), 0);
}

static void set_time(const char *name, time_t unix_s)
{
	const struct timespec times[2] = {{.tv_sec = unix_s}, {.tv_sec = unix_s}};
	char path[256];

	harness_path(&h, name, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_a_replaced_small_file_is_noticed(void **state)
{
	start();
	harness_expect_text(&h, "/small", "before");
	harness_text(&h, "root/new", "after!");
	rename_in("root/new", "root/small");
	harness_expect_text(&h, "/small", "after!");
	harness_text(&h, "root/small", "in place");
	harness_expect_text(&h, "/small", "in place");
	rename_in("root/small", "root/elsewhere");
	harness_expect(&h, "/small", 404);
}

/* The same size and the same times: only reading it again tells, so a young copy is not trusted for long. */
static void test_a_change_within_one_tick_is_noticed(void **state)
{
	char path[256];

	start();
	harness_expect_text(&h, "/small", "before");
	harness_path(&h, "root/small", path);
	int fd = open(path, O_WRONLY);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pwrite(fd, "AFTER.", 6, 0), 6);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};

	assert_int_equal(futimens(fd, times), 0);
	close(fd);
	harness_expect_text(&h, "/small", "AFTER.");
}

static void test_an_entry_is_trusted_for_a_while(void **state)
{
	config.cache.revalidate_ms = 3600 * 1000;
	start();
	harness_expect_text(&h, "/small", "before");
	harness_text(&h, "root/new", "after!");
	rename_in("root/new", "root/small");
	harness_expect_text(&h, "/small", "before");
}

static void replace_large(struct harness *harness)
{
	uint8_t *other = malloc(LARGE);

	harness_fill(other, LARGE, 99);
	harness_write(&h, "root/new", other, LARGE);
	free(other);
	rename_in("root/new", "root/large");
}

static void test_a_file_replaced_while_sent_stays_what_it_was(void **state)
{
	start();
	struct reply *reply = harness_ask_pausing(&h, "/large", PAUSE_AT, replace_large);

	assert_int_equal(reply->status, 200);
	assert_false(reply->cut);
	assert_int_equal(reply->len, LARGE);
	assert_memory_equal(reply->body, bytes, LARGE);
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/large", NULL);
	assert_int_equal(reply->len, LARGE);
	assert_memory_not_equal(reply->body, bytes, LARGE);
	reply_free(reply);
}

static void remove_large(struct harness *harness)
{
	char path[256];

	harness_path(&h, "root/large", path);
	assert_int_equal(unlink(path), 0);
}

static void test_a_file_removed_while_sent_arrives_whole(void **state)
{
	start();
	struct reply *reply = harness_ask_pausing(&h, "/large", PAUSE_AT, remove_large);

	assert_false(reply->cut);
	assert_int_equal(reply->len, LARGE);
	assert_memory_equal(reply->body, bytes, LARGE);
	reply_free(reply);
	harness_expect(&h, "/large", 404);
}

static void truncate_large(struct harness *harness)
{
	char path[256];

	harness_path(&h, "root/large", path);
	assert_int_equal(truncate(path, LARGE / 2), 0);
}

static void test_a_file_truncated_while_sent_is_visibly_cut(void **state)
{
	start();
	struct reply *reply = harness_ask_pausing(&h, "/large", PAUSE_AT, truncate_large);

	assert_int_equal(reply->status, 200);
	assert_true(reply->cut);
	assert_true(reply->len < LARGE);
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/large", NULL);
	assert_int_equal(reply->status, 200);
	assert_false(reply->cut);
	assert_int_equal(reply->len, LARGE / 2);
	reply_free(reply);
}

static void overwrite_large(struct harness *harness)
{
	char path[256];

	harness_path(&h, "root/large", path);
	int fd = open(path, O_WRONLY);

	assert_int_equal(pwrite(fd, "!", 1, LARGE - 1), 1);
	close(fd);
	set_time("root/large", 7000);
}

static void test_a_file_overwritten_while_sent_is_visibly_cut(void **state)
{
	start();
	struct reply *reply = harness_ask_pausing(&h, "/large", PAUSE_AT, overwrite_large);

	assert_true(reply->cut);
	assert_true(reply->len < LARGE);
	reply_free(reply);
	bytes[LARGE - 1] = '!';
	reply = harness_ask(&h, "GET", "/large", NULL);
	assert_false(reply->cut);
	assert_int_equal(reply->len, LARGE);
	assert_memory_equal(reply->body, bytes, LARGE);
	reply_free(reply);
}

/* Even an entry that is trusted is compared with its open file before its size is promised. */
static void test_a_file_changed_in_place_is_noticed_before_the_head(void **state)
{
	config.cache.revalidate_ms = 3600 * 1000;
	start();
	struct reply *reply = harness_ask(&h, "HEAD", "/large", NULL);

	reply_free(reply);
	truncate_large(&h);
	reply = harness_ask(&h, "GET", "/large", NULL);
	assert_int_equal(reply->status, 200);
	assert_false(reply->cut);
	assert_int_equal(reply->len, LARGE / 2);
	reply_free(reply);
}

static void test_a_root_that_goes_and_comes_back(void **state)
{
	start();
	harness_expect_text(&h, "/small", "before");
	rename_in("root", "away");
	harness_expect(&h, "/small", 503);
	harness_expect(&h, "/other", 503);
	rename_in("away", "root");
	harness_expect_text(&h, "/small", "before");
}

static void test_a_root_that_is_not_there_at_the_start(void **state)
{
	rename_in("root", "away");
	start();
	harness_expect(&h, "/small", 503);
	rename_in("away", "root");
	harness_expect_text(&h, "/small", "before");
}

static void test_a_root_that_is_replaced(void **state)
{
	char link[256];

	/* As deployments do it: a symlink that is moved to the next release. */
	harness_mkdir(&h, "release-2");
	harness_text(&h, "release-2/small", "second");
	harness_path(&h, "current", link);
	assert_int_equal(symlink("root", link), 0);
	config.root = str_from(link);
	start();
	harness_expect_text(&h, "/small", "before");
	char next[256];

	harness_path(&h, "next", next);
	assert_int_equal(symlink("release-2", next), 0);
	rename_in("next", "current");
	harness_expect_text(&h, "/small", "second");
}

/* Without cachestat(2) a byte is probed; memory-only consumers get copies. */
static void test_the_bytes_are_right_without_cachestat(void **state)
{
	residency_without_cachestat(true);
	start();
	struct reply *reply = harness_ask(&h, "GET", "/large", NULL);

	residency_without_cachestat(false);
	assert_false(reply->cut);
	assert_int_equal(reply->len, LARGE);
	assert_memory_equal(reply->body, bytes, LARGE);
	reply_free(reply);
}

static void drop_pages(const char *name)
{
	char path[256];

	harness_path(&h, name, path);
	int fd = open(path, O_RDONLY);

	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	close(fd);
}

static void test_cold_files_arrive_whole(void **state)
{
	start();
	for (unsigned round = 0; round < 2; round++) {
		drop_pages("root/large");
		drop_pages("root/small");
		residency_without_cachestat(round == 1);
		struct reply *reply = harness_ask(&h, "GET", "/large", NULL);

		residency_without_cachestat(false);
		assert_false(reply->cut);
		assert_int_equal(reply->len, LARGE);
		assert_memory_equal(reply->body, bytes, LARGE);
		reply_free(reply);
		harness_expect_text(&h, "/small", "before");
	}
}

static void test_without_a_cache(void **state)
{
	config.cache.entries_max = 0;
	config.cache.bytes_max = 0;
	start();
	harness_expect_text(&h, "/small", "before");
	harness_text(&h, "root/small", "after");
	harness_expect_text(&h, "/small", "after");
	struct files *files = harness_state(&h);

	assert_int_equal(files->cache.table.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_replaced_small_file_is_noticed),
		TEST(test_a_change_within_one_tick_is_noticed),
		TEST(test_an_entry_is_trusted_for_a_while),
		TEST(test_a_file_replaced_while_sent_stays_what_it_was),
		TEST(test_a_file_removed_while_sent_arrives_whole),
		TEST(test_a_file_truncated_while_sent_is_visibly_cut),
		TEST(test_a_file_overwritten_while_sent_is_visibly_cut),
		TEST(test_a_file_changed_in_place_is_noticed_before_the_head),
		TEST(test_a_root_that_goes_and_comes_back),
		TEST(test_a_root_that_is_not_there_at_the_start),
		TEST(test_a_root_that_is_replaced),
		TEST(test_the_bytes_are_right_without_cachestat),
		TEST(test_cold_files_arrive_whole),
		TEST(test_without_a_cache),
	};

	return RUN_OVER_WIRES(tests);
}
