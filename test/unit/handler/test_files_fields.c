// SPDX-License-Identifier: Apache-2.0
/* Conditional requests and ranges (RFC 9110 sections 13 and 14). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "handler/files.h"
#include "handler/harness.h"

#define SIZE 1000
#define LARGE (300 * 1024)
#define MODIFIED "Sun, 06 Nov 1994 08:49:37 GMT"

static struct harness h;
static struct files_config config;
static uint8_t bytes[LARGE];
static char etag[64];

static void set_time(const char *name, time_t unix_s)
{
	const struct timespec times[2] = {{.tv_sec = unix_s}, {.tv_sec = unix_s}};
	char path[256];

	harness_path(&h, name, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int setup(void **state)
{
	harness_folder(&h);
	files_config_init(&config);
	config.root = str_from(h.dir);
	harness_fill(bytes, LARGE, 7);
	harness_write(&h, "f.bin", bytes, SIZE);
	harness_write(&h, "large.bin", bytes, LARGE);
	harness_text(&h, "empty.bin", "");
	set_time("f.bin", 784111777);
	harness_start(&h, &files_handler, &config, NULL);
	struct reply *reply = harness_ask(&h, "HEAD", "/f.bin", NULL);

	assert_string_equal(reply_field(reply, "last-modified"), MODIFIED);
	strcpy(etag, reply_field(reply, "etag"));
	reply_free(reply);
	return 0;
}

static int teardown(void **state)
{
	harness_stop(&h);
	return 0;
}

/* In a row's fields, @ stands for the entity tag. */
static void with_etag(const char *fields, char *out, size_t cap)
{
	size_t n = 0;

	for (; *fields; fields++) {
		if (*fields == '@')
			n += (size_t)snprintf(out + n, cap - n, "%s", etag);
		else
			out[n++] = *fields;
	}
	out[n] = '\0';
}

static const struct {
	const char *fields;
	unsigned status;
} conditions[] = {
	{"If-None-Match: @\r\n", 304},
	{"If-None-Match: W/@\r\n", 304},
	{"If-None-Match: \"x\", @\r\n", 304},
	{"If-None-Match: *\r\n", 304},
	{"If-None-Match: \"x\"\r\n", 200},
	{"If-Modified-Since: " MODIFIED "\r\n", 304},
	{"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304},
	{"If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304},
	{"If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
	{"If-Modified-Since: yesterday\r\n", 200},
	{"If-Match: @\r\n", 200},
	{"If-Match: *\r\n", 200},
	{"If-Match: W/@\r\n", 412},
	{"If-Match: \"x\"\r\n", 412},
	{"If-Unmodified-Since: " MODIFIED "\r\n", 200},
	{"If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412},
	/* The tag wins over the date. */
	{"If-None-Match: \"x\"\r\nIf-Modified-Since: " MODIFIED "\r\n", 200},
	{"If-None-Match: @\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 304},
	{"If-Match: @\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
	/* The precondition comes before the range. */
	{"If-None-Match: @\r\nRange: bytes=0-1\r\n", 304},
	{"If-Match: \"x\"\r\nRange: bytes=0-1\r\n", 412},
	{"If-Match: @\r\nRange: bytes=0-1\r\n", 206},
};

static void test_conditions(void **state)
{
	char fields[512];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(conditions); i++) {
		with_etag(conditions[i].fields, fields, sizeof(fields));
		struct reply *reply = harness_ask(&h, "GET", "/f.bin", fields);

		if (reply->status != conditions[i].status)
			print_error("%s\n", fields);
		assert_int_equal(reply->status, conditions[i].status);
		assert_false(reply->cut);
		if (reply->status == 200)
			assert_int_equal(reply->len, SIZE);
		reply_free(reply);
	}
}

static void test_not_modified_tells_what_it_must(void **state)
{
	char fields[128];

	snprintf(fields, sizeof(fields), "If-None-Match: %s\r\n", etag);
	for (unsigned round = 0; round < 2; round++) {
		struct reply *reply = harness_ask(&h, round ? "HEAD" : "GET", "/f.bin", fields);

		assert_int_equal(reply->status, 304);
		assert_int_equal(reply->len, 0);
		assert_string_equal(reply_field(reply, "etag"), etag);
		assert_null(reply_field(reply, "content-type"));
		assert_null(reply_field(reply, "content-length"));
		assert_null(reply_field(reply, "content-encoding"));
		reply_free(reply);
	}
}

static const struct {
	const char *range;
	unsigned status;
	size_t first, len; /* of the body, for 200 and 206 */
} ranges[] = {
	{"bytes=0-0", 206, 0, 1},
	{"bytes=0-499", 206, 0, 500},
	{"bytes=500-", 206, 500, 500},
	{"bytes=-1", 206, SIZE - 1, 1},
	{"bytes=-5000", 206, 0, SIZE},
	{"bytes=999-2000", 206, 999, 1},
	{"bytes=0-99,50-199", 206, 0, 200},
	{"bytes=1000-", 416, 0, 0},
	{"bytes=1000-1001,2000-", 416, 0, 0},
	{"bytes=-0", 416, 0, 0},
	{"lines=0-1", 200, 0, SIZE},
	{"bytes=5-4", 200, 0, SIZE},
	{"bytes=x", 200, 0, SIZE},
	{"bytes=", 200, 0, SIZE},
};

static void check_ranges(const char *target, const uint8_t *expected)
{
	char fields[128], content_range[128];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(ranges); i++) {
		snprintf(fields, sizeof(fields), "Range: %s\r\n", ranges[i].range);
		struct reply *reply = harness_ask(&h, "GET", target, fields);

		if (reply->status != ranges[i].status)
			print_error("%s\n", fields);
		assert_int_equal(reply->status, ranges[i].status);
		snprintf(content_range, sizeof(content_range), "bytes %zu-%zu/%d", ranges[i].first,
			 ranges[i].first + ranges[i].len - 1, SIZE);
		if (reply->status == 206)
			assert_string_equal(reply_field(reply, "content-range"), content_range);
		else if (reply->status == 416)
			assert_string_equal(reply_field(reply, "content-range"), "bytes */1000");
		else
			assert_null(reply_field(reply, "content-range"));
		if (reply->status != 416) {
			assert_int_equal(reply->len, ranges[i].len);
			assert_memory_equal(reply->body, expected + ranges[i].first, reply->len);
		}
		reply_free(reply);
	}
}

static void test_ranges(void **state)
{
	check_ranges("/f.bin", bytes);
}

static void test_a_range_of_a_file_that_is_not_in_memory(void **state)
{
	struct reply *reply =
		harness_ask(&h, "GET", "/large.bin", "Range: bytes=100000-299999\r\n");

	assert_int_equal(reply->status, 206);
	assert_int_equal(reply->len, 200000);
	assert_memory_equal(reply->body, bytes + 100000, reply->len);
	reply_free(reply);
}

static void test_a_range_of_nothing(void **state)
{
	struct reply *reply = harness_ask(&h, "GET", "/empty.bin", "Range: bytes=0-\r\n");

	assert_int_equal(reply->status, 416);
	assert_string_equal(reply_field(reply, "content-range"), "bytes */0");
	reply_free(reply);
}

static void test_head_ignores_ranges(void **state)
{
	struct reply *reply = harness_ask(&h, "HEAD", "/f.bin", "Range: bytes=0-1\r\n");

	assert_int_equal(reply->status, 200);
	assert_string_equal(reply_field(reply, "content-length"), "1000");
	reply_free(reply);
}

static void test_if_range(void **state)
{
	static const struct {
		const char *fields;
		unsigned status;
	} rows[] = {
		{"If-Range: @\r\n", 206},
		{"If-Range: W/@\r\n", 200},
		{"If-Range: \"x\"\r\n", 200},
		{"If-Range: " MODIFIED "\r\n", 206},
		{"If-Range: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
		{"If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", 200},
	};
	char fields[256];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		with_etag(rows[i].fields, fields, sizeof(fields));
		strcat(fields, "Range: bytes=10-19\r\n");
		struct reply *reply = harness_ask(&h, "GET", "/f.bin", fields);

		if (reply->status != rows[i].status)
			print_error("%s\n", fields);
		assert_int_equal(reply->status, rows[i].status);
		assert_int_equal(reply->len, rows[i].status == 206 ? 10 : SIZE);
		reply_free(reply);
	}
}

/* Reads one part of a multipart body off *at; the end of the headers and the content-range are checked. */
static void check_part(const uint8_t **at, const char *boundary, const char *range, size_t first,
		       size_t len, const uint8_t *expected, bool is_first)
{
	char head[512];
	int n = snprintf(
		head, sizeof(head),
		"%s--%s\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %s\r\n\r\n",
		is_first ? "" : "\r\n", boundary, range);

	assert_memory_equal(*at, head, (size_t)n);
	*at += n;
	assert_memory_equal(*at, expected + first, len);
	*at += len;
}

static void test_several_ranges(void **state)
{
	struct reply *reply =
		harness_ask(&h, "GET", "/f.bin", "Range: bytes=900-, 0-9, 100-199\r\n");
	const char *prefix = "multipart/byteranges; boundary=";
	char boundary[64], end[80];

	assert_int_equal(reply->status, 206);
	assert_null(reply_field(reply, "content-range"));
	const char *type = reply_field(reply, "content-type");

	assert_memory_equal(type, prefix, strlen(prefix));
	strcpy(boundary, type + strlen(prefix));
	const uint8_t *at = reply->body;

	check_part(&at, boundary, "900-999/1000", 900, 100, bytes, true);
	check_part(&at, boundary, "0-9/1000", 0, 10, bytes, false);
	check_part(&at, boundary, "100-199/1000", 100, 100, bytes, false);
	int n = snprintf(end, sizeof(end), "\r\n--%s--\r\n", boundary);

	assert_int_equal(reply->body + reply->len - at, n);
	assert_memory_equal(at, end, (size_t)n);
	assert_false(reply->cut);
	reply_free(reply);
}

static void test_several_ranges_of_a_large_file(void **state)
{
	struct reply *reply =
		harness_ask(&h, "GET", "/large.bin", "Range: bytes=0-99999,200000-299999\r\n");
	const char *prefix = "multipart/byteranges; boundary=";
	char boundary[64];

	assert_int_equal(reply->status, 206);
	strcpy(boundary, reply_field(reply, "content-type") + strlen(prefix));
	const uint8_t *at = reply->body;

	check_part(&at, boundary, "0-99999/307200", 0, 100000, bytes, true);
	check_part(&at, boundary, "200000-299999/307200", 200000, 100000, bytes, false);
	assert_false(reply->cut);
	reply_free(reply);
}

static void test_too_many_ranges_are_ignored(void **state)
{
	char fields[2048] = "Range: bytes=0-0";
	size_t n = strlen(fields);

	for (unsigned i = 1; i <= HTTP_RANGES_MAX; i++)
		n += (size_t)sprintf(fields + n, ",%u-%u", i * 10, i * 10);
	strcpy(fields + n, "\r\n");
	struct reply *reply = harness_ask(&h, "GET", "/f.bin", fields);

	assert_int_equal(reply->status, 200);
	assert_int_equal(reply->len, SIZE);
	reply_free(reply);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_conditions),
		TEST(test_not_modified_tells_what_it_must),
		TEST(test_ranges),
		TEST(test_a_range_of_a_file_that_is_not_in_memory),
		TEST(test_a_range_of_nothing),
		TEST(test_head_ignores_ranges),
		TEST(test_if_range),
		TEST(test_several_ranges),
		TEST(test_several_ranges_of_a_large_file),
		TEST(test_too_many_ranges_are_ignored),
	};

	return RUN_OVER_WIRES(tests);
}
