// SPDX-License-Identifier: Apache-2.0
/* The parts of the files handler by themselves: types, the cache and its limits, sources, warming. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "handler/files.h"
#include "handler/files/body.h"
#include "handler/files/cache.h"
#include "handler/files/mime.h"
#include "unit.h"

static struct files_config config;

static int setup(void **state)
{
	files_config_init(&config);
	return 0;
}

/* --- types --- */

static void expect_type(const char *path, const char *type, bool text)
{
	struct mime mime = mime_find(&config, str_from(path));

	assert_int_equal(mime.type.len, strlen(type));
	assert_memory_equal(mime.type.p, type, mime.type.len);
	assert_int_equal(mime.text, text);
}

static void test_types(void **state)
{
	expect_type("index.html", "text/html", true);
	expect_type("a/b.c/STYLE.CSS", "text/css", true);
	expect_type("app.mjs", "text/javascript", true);
	expect_type("data.json", "application/json", false);
	expect_type("p.jpeg", "image/jpeg", false);
	expect_type("archive.tar.gz", "application/gzip", false);
	/* The first and the last of the table. */
	expect_type("x.7z", "application/x-7z-compressed", false);
	expect_type("x.zst", "application/zstd", false);
	expect_type("README", "text/plain", true);
	expect_type("docs/Makefile", "text/plain", true);
	expect_type("noextension", "application/octet-stream", false);
	expect_type("dir.d/none", "application/octet-stream", false);
	expect_type("dot.", "application/octet-stream", false);
	expect_type("", "application/octet-stream", false);
	expect_type("x.waytoolongtobeanextension", "application/octet-stream", false);
}

/* A table out of order would hide rows from the binary search. */
static void test_every_usual_extension_is_found(void **state)
{
	static const char *const usual[] = {
		"avif", "bmp",  "css",  "csv",  "eot",   "gif",         "htm", "html", "ico",
		"jpeg", "jpg",  "js",   "json", "map",   "md",          "mjs", "mp3",  "mp4",
		"ogg",  "otf",  "pdf",  "png",  "svg",   "tar",         "ttf", "txt",  "wasm",
		"wav",  "webm", "webp", "woff", "woff2", "xhtml",       "xml", "yaml", "yml",
		"zip",  "aac",  "apk",  "deb",  "epub",  "flac",        "ics", "m3u8", "mov",
		"mpd",  "rss",  "tgz",  "toml", "vtt",   "webmanifest",
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(usual); i++) {
		char path[32];

		snprintf(path, sizeof(path), "x.%s", usual[i]);
		struct str type = mime_find(&config, str_from(path)).type;

		if (str_eq(type, config.default_type))
			print_error("%s\n", path);
		assert_false(str_eq(type, config.default_type));
	}
}

static void test_own_types_come_first(void **state)
{
	const struct files_type types[] = {{STR("html"), STR("text/x-own")},
					   {STR("foo"), STR("x/foo")}};

	config.types = types;
	config.type_count = 2;
	config.default_type = STR("x/default");
	expect_type("a.HTML", "text/x-own", false);
	expect_type("a.foo", "x/foo", false);
	expect_type("a.bar", "x/default", false);
}

/* --- the cache --- */

static struct file_entry *add_entry(struct file_cache *cache, unsigned number, size_t bytes, int fd)
{
	char key[32];
	int n = snprintf(key, sizeof(key), "file%u", number);
	struct file_rep_make make = {
		.config = &config, .path = {key, (size_t)n}, .size = bytes, .id = {.size = bytes}};
	struct file_rep *rep = file_rep_new(&make);

	assert_non_null(rep);
	rep->fd = fd;
	if (fd < 0 && bytes)
		file_rep_adopt(rep, calloc(1, bytes));
	struct file_entry *entry = file_entry_new((struct str){key, (size_t)n}, rep);

	assert_non_null(entry);
	file_cache_put(cache, entry);
	return entry;
}

static bool holds(struct file_cache *cache, unsigned number)
{
	char key[32];

	snprintf(key, sizeof(key), "file%u", number);
	return file_cache_get(cache, str_from(key)) != NULL;
}

static void destroy(struct file_cache *cache)
{
	file_cache_clear(cache);
	assert_int_equal(cache->bytes, 0);
	assert_int_equal(cache->fds, 0);
	assert_int_equal(cache->table.count, 0);
	hash_destroy(&cache->table);
}

static void test_the_cache_ends_at_its_entries(void **state)
{
	struct file_cache cache;

	file_cache_init(&cache, 8, 8, 1 << 20);
	for (unsigned i = 0; i < 100; i++) {
		file_entry_unref(add_entry(&cache, i, 10, -1));
		assert_true(cache.table.count <= 8);
	}
	assert_int_equal(cache.table.count, 8);
	assert_int_equal(cache.bytes, 80);
	assert_int_equal(cache.evictions, 92);
	assert_true(holds(&cache, 99));
	destroy(&cache);
}

static void test_the_cache_ends_at_its_bytes(void **state)
{
	struct file_cache cache;

	file_cache_init(&cache, 100, 100, 1000);
	for (unsigned i = 0; i < 50; i++) {
		file_entry_unref(add_entry(&cache, i, 300, -1));
		assert_true(cache.bytes <= 1000);
	}
	assert_int_equal(cache.table.count, 3);
	/* What alone is too large does not stay, and its holder keeps it. */
	struct file_entry *entry = add_entry(&cache, 1000, 1001, -1);

	assert_false(entry->cached);
	assert_int_equal(entry->reps[HTTP_IDENTITY]->size, 1001);
	assert_true(cache.bytes <= 1000);
	file_entry_unref(entry);
	destroy(&cache);
}

static void test_the_cache_ends_at_its_descriptors(void **state)
{
	struct file_cache cache;

	file_cache_init(&cache, 100, 4, 1000);
	for (unsigned i = 0; i < 20; i++) {
		file_entry_unref(
			add_entry(&cache, i, 300, open("/dev/null", O_RDONLY | O_CLOEXEC)));
		assert_true(cache.fds <= 4);
	}
	assert_int_equal(cache.fds, 4);
	assert_int_equal(file_cache_shed_fds(&cache, 3), 3);
	assert_int_equal(cache.fds, 1);
	assert_int_equal(file_cache_shed_fds(&cache, 3), 1);
	assert_int_equal(file_cache_shed_fds(&cache, 3), 0);
	destroy(&cache);
}

static void test_what_is_used_stays(void **state)
{
	struct file_cache cache;

	file_cache_init(&cache, 4, 4, 1000);
	for (unsigned i = 0; i < 4; i++)
		file_entry_unref(add_entry(&cache, i, 1, -1));
	for (unsigned i = 4; i < 40; i++) {
		file_cache_get(&cache, STR("file2"))->used = true;
		file_entry_unref(add_entry(&cache, i, 1, -1));
	}
	assert_true(holds(&cache, 2));
	assert_false(holds(&cache, 3));
	destroy(&cache);
}

static void test_one_key_one_entry(void **state)
{
	struct file_cache cache;

	file_cache_init(&cache, 4, 4, 1000);
	struct file_entry *first = add_entry(&cache, 1, 10, -1);
	struct file_entry *second = add_entry(&cache, 1, 20, -1);

	assert_false(first->cached);
	assert_ptr_equal(file_cache_get(&cache, STR("file1")), second);
	assert_int_equal(cache.table.count, 1);
	assert_int_equal(cache.bytes, 20);
	file_entry_unref(first);
	file_entry_unref(second);
	destroy(&cache);
}

static void test_a_cache_of_nothing(void **state)
{
	struct file_cache cache;

	file_cache_init(&cache, 0, 0, 0);
	struct file_entry *entry = add_entry(&cache, 1, 10, -1);

	assert_false(entry->cached);
	assert_null(file_cache_get(&cache, STR("file1")));
	file_entry_unref(entry);
	destroy(&cache);
}

/* --- sources --- */

#define FILE_BYTES (2 * BODY_CHUNK_BYTES + 12345)

struct world {
	struct io_loop *loop;
	struct warm warm;
	struct file_rep *rep;
	unsigned held, woken, failed;
	char path[64];
};
static struct world world;

static void count_hold(struct warm *warm)
{
	world.held++;
}

static void count_release(struct warm *warm)
{
	world.held--;
}

static void count_failed(struct warm *warm, const struct file_rep *rep, int error)
{
	assert_int_not_equal(error, 0);
	assert_true(str_eq(rep->path, STR("x")));
	world.failed++;
}

static const struct warm_calls warm_calls = {
	.hold = count_hold, .release = count_release, .failed = count_failed};

static void count_wake(struct source *source, void *consumer)
{
	world.woken++;
}

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 ^ i >> 9);
}

static int open_world(void **state)
{
	struct io_options options = {.engine = IO_ENGINE_EPOLL};
	char why[200];
	struct stat st;

	setup(state);
	memset(&world, 0, sizeof(world));
	assert_int_equal(io_loop_new(&options, &world.loop, why, sizeof(why)), 0);
	warm_init(&world.warm, world.loop, &warm_calls);
	strcpy(world.path, "/tmp/sluice-test-XXXXXX");
	int fd = mkstemp(world.path);
	uint8_t *bytes = malloc(FILE_BYTES);

	for (size_t i = 0; i < FILE_BYTES; i++)
		bytes[i] = byte_at(i);
	assert_int_equal(write(fd, bytes, FILE_BYTES), FILE_BYTES);
	free(bytes);
	assert_int_equal(fstat(fd, &st), 0);
	struct file_rep_make make = {.config = &config, .path = STR("x"), .size = FILE_BYTES};

	file_id_from_stat(&make.id, &st);
	world.rep = file_rep_new(&make);
	world.rep->fd = fd;
	return 0;
}

static int close_world(void **state)
{
	for (unsigned i = 0; i < 100 && world.held; i++)
		io_loop_turn(world.loop, 5000000);
	assert_int_equal(world.held, 0);
	file_rep_unref(world.rep);
	warm_free(&world.warm);
	io_loop_free(world.loop);
	unlink(world.path);
	return 0;
}

static void drop_pages(void)
{
	assert_int_equal(fsync(world.rep->fd), 0);
	assert_int_equal(posix_fadvise(world.rep->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static struct source *start_body(struct file_body *body, uint64_t off, uint64_t len)
{
	struct source *source = file_body_init_range(body, &world.warm, world.rep, off, len, 0);

	source->wake = count_wake;
	return source;
}

/* Pulls everything and compares it; the number of waits. */
static unsigned drain(struct source *source, unsigned kinds, uint64_t off, uint64_t len)
{
	uint64_t at = off;
	unsigned waits = 0;
	struct seg seg;

	for (;;) {
		enum pull got = source_pull(source, 3000000, kinds, &seg);

		if (got == PULL_END)
			break;
		if (got == PULL_WAIT) {
			unsigned woken = world.woken;

			assert_int_equal(source_pull(source, 1, kinds, &seg), PULL_WAIT);
			for (unsigned i = 0; i < 2000 && world.woken == woken; i++)
				io_loop_turn(world.loop, 5000000);
			assert_int_equal(world.woken, woken + 1);
			waits++;
			continue;
		}
		assert_int_equal(got, PULL_DATA);
		assert_true(seg.len <= BODY_CHUNK_BYTES && at + seg.len <= off + len);
		if (seg.kind == SEG_FILE) {
			assert_true(kinds & SEG_FILE);
			assert_int_equal(seg.u.file.off, at);
		} else {
			for (size_t i = 0; i < seg.len; i++)
				assert_int_equal(seg.u.mem[i], byte_at(at + i));
		}
		at += seg.len;
		seg_release(&seg);
	}
	assert_int_equal(at, off + len);
	assert_int_equal(source_pull(source, 1, kinds, &seg), PULL_END);
	source_close(source, 0);
	return waits;
}

static void test_a_hot_file_never_waits(void **state)
{
	struct file_body body;

	assert_int_equal(drain(start_body(&body, 0, FILE_BYTES), SEG_ALL, 0, FILE_BYTES), 0);
	assert_int_equal(drain(start_body(&body, 777, 1500000), SEG_ALL, 777, 1500000), 0);
	assert_int_equal(drain(start_body(&body, 0, FILE_BYTES), SEG_MEM, 0, FILE_BYTES), 0);
}

static void test_a_cold_file_is_warmed_first(void **state)
{
	struct file_body body;

	for (unsigned round = 0; round < 4; round++) {
		drop_pages();
		world.rep->resident_until = 0;
		if (residency_known(world.rep, 0, FILE_BYTES, CLOCK_NS_PER_S * (round + 1)))
			unit_skip("this file system keeps its pages in memory");
		residency_without_cachestat(round & 1);
		unsigned waits = drain(start_body(&body, 0, FILE_BYTES),
				       round & 2 ? SEG_ALL : SEG_MEM, 0, FILE_BYTES);

		residency_without_cachestat(false);
		assert_true(waits >= 1);
	}
}

static void test_closing_while_a_read_is_in_flight(void **state)
{
	struct file_body body;
	struct seg seg;

	drop_pages();
	if (residency_known(world.rep, 0, FILE_BYTES, CLOCK_NS_PER_S))
		unit_skip("this file system keeps its pages in memory");
	struct source *source = start_body(&body, 0, FILE_BYTES);

	assert_int_equal(source_pull(source, 1000, SEG_ALL, &seg), PULL_WAIT);
	source_close(source, -ECANCELED);
	memset(&body, 0xee, sizeof(body));
	for (unsigned i = 0; i < 2000 && world.held; i++)
		io_loop_turn(world.loop, 5000000);
	assert_int_equal(world.woken, 0);
	assert_int_equal(world.held, 0);
}

#define WAITERS (3 * WARM_SLOTS_MAX)
static struct warm_wait waits[WAITERS];
static unsigned warmed;

static void count_warmed(struct warm_wait *wait, int result)
{
	assert_int_equal(result, 4096);
	assert_true(world.warm.active <= WARM_SLOTS_MAX);
	warmed++;
}

static void test_reads_at_once_are_bounded(void **state)
{
	warmed = 0;
	for (unsigned i = 0; i < WAITERS; i++) {
		waits[i] = (struct warm_wait){
			.rep = world.rep, .off = i * 4096, .len = 4096, .done = count_warmed};
		assert_int_equal(warm_start(&world.warm, &waits[i]), 0);
	}
	assert_int_equal(world.warm.active, WARM_SLOTS_MAX);
	assert_true(waits[WAITERS - 1].queued);
	/* One of each kind goes away: it is not called. */
	warm_stop(&waits[0]);
	warm_stop(&waits[WAITERS - 1]);
	for (unsigned i = 0; i < 2000 && (world.held || warmed < WAITERS - 2); i++)
		io_loop_turn(world.loop, 5000000);
	assert_int_equal(warmed, WAITERS - 2);
	assert_int_equal(world.warm.active, 0);
}

static void test_a_file_that_shrank_fails(void **state)
{
	struct file_body body;
	struct seg seg;
	struct source *source = start_body(&body, 0, FILE_BYTES);

	assert_int_equal(truncate(world.path, 1000), 0);
	assert_int_equal(source_pull(source, 1000, SEG_ALL, &seg), PULL_FAIL);
	assert_int_equal(source->error, -ESTALE);
	assert_int_equal(world.failed, 1);
	assert_int_equal(source_pull(source, 1000, SEG_ALL, &seg), PULL_FAIL);
	source_close(source, -ESTALE);
}

/* The loop does not turn, so that only the last look can see it. */
static void test_a_file_that_changed_meanwhile_is_not_ended(void **state)
{
	static const struct timespec other_time[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	struct file_body body;
	struct seg seg;
	struct source *source = start_body(&body, 0, FILE_BYTES);

	for (size_t at = 0; at < FILE_BYTES - BODY_TAIL_BYTES;) {
		assert_int_equal(source_pull(source, FILE_BYTES, SEG_ALL, &seg), PULL_DATA);
		assert_int_equal(seg.kind, SEG_FILE);
		at += seg.len;
		assert_true(at <= FILE_BYTES - BODY_TAIL_BYTES);
		seg_release(&seg);
	}
	assert_int_equal(futimens(world.rep->fd, other_time), 0);
	assert_int_equal(source_pull(source, FILE_BYTES, SEG_ALL, &seg), PULL_FAIL);
	assert_int_equal(source->error, -ESTALE);
	source_close(source, -ESTALE);
}

#define PART(name) cmocka_unit_test_setup(name, setup)
#define WORLD(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PART(test_types),
		PART(test_every_usual_extension_is_found),
		PART(test_own_types_come_first),
		PART(test_the_cache_ends_at_its_entries),
		PART(test_the_cache_ends_at_its_bytes),
		PART(test_the_cache_ends_at_its_descriptors),
		PART(test_what_is_used_stays),
		PART(test_one_key_one_entry),
		PART(test_a_cache_of_nothing),
		WORLD(test_a_hot_file_never_waits),
		WORLD(test_a_cold_file_is_warmed_first),
		WORLD(test_closing_while_a_read_is_in_flight),
		WORLD(test_reads_at_once_are_bounded),
		WORLD(test_a_file_that_shrank_fails),
		WORLD(test_a_file_that_changed_meanwhile_is_not_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
