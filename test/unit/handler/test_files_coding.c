// SPDX-License-Identifier: Apache-2.0
/* Compressed files beside the originals, and compression on the fly. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "build_config.h"
#include "handler/files.h"
#include "handler/files/compress.h"
#include "handler/files/state.h"
#include "handler/harness.h"

#if SLUICE_HAVE_ZLIB
#include <zlib.h>
#endif
#if SLUICE_HAVE_ZSTD
#include <zstd.h>
#endif

#define TEXT_BYTES 20000
#define ALL_CODINGS (1u << HTTP_GZIP | 1u << HTTP_BR | 1u << HTTP_ZSTD)

static struct harness h;
static struct files_config config;
static char text[TEXT_BYTES + 1];

static int setup(void **state)
{
	harness_folder(&h);
	files_config_init(&config);
	config.root = str_from(h.dir);
	for (size_t i = 0; i < TEXT_BYTES; i++)
		text[i] = "all work and no play \n"[i % 22];
	harness_write(&h, "page.html", text, TEXT_BYTES);
	return 0;
}

static int teardown(void **state)
{
	harness_stop(&h);
	return 0;
}

static void start(void)
{
	harness_start(&h, &files_handler, &config, NULL);
}

static void set_time(const char *name, time_t unix_s)
{
	const struct timespec times[2] = {{.tv_sec = unix_s}, {.tv_sec = unix_s}};
	char path[256];

	harness_path(&h, name, path);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void expect_coding(const char *accept, const char *coding, const char *body, size_t len)
{
	char fields[256];

	snprintf(fields, sizeof(fields), "Accept-Encoding: %s\r\n", accept);
	struct reply *reply = harness_ask(&h, "GET", "/page.html", fields);
	const char *found = reply_field(reply, "content-encoding");

	assert_int_equal(reply->status, 200);
	assert_string_equal(found ? found : "identity", coding);
	assert_string_equal(reply_field(reply, "content-type"), "text/html; charset=utf-8");
	assert_string_equal(reply_field(reply, "vary"), "Accept-Encoding");
	assert_int_equal(reply->len, len);
	assert_memory_equal(reply->body, body, len);
	reply_free(reply);
}

static void test_precompressed_files(void **state)
{
	config.precompressed = ALL_CODINGS;
	harness_text(&h, "page.html.gz", "as gzip");
	harness_text(&h, "page.html.br", "as brotli");
	harness_text(&h, "page.html.zst", "as zstd");
	start();
	for (unsigned round = 0; round < 2; round++) {
		expect_coding("gzip", "gzip", "as gzip", 7);
		expect_coding("br;q=1, gzip;q=0.5", "br", "as brotli", 9);
		expect_coding("gzip, deflate, br, zstd", "zstd", "as zstd", 7);
		expect_coding("identity", "identity", text, TEXT_BYTES);
		expect_coding("gzip;q=0", "identity", text, TEXT_BYTES);
	}
	/* By its own name it is what it is. */
	struct reply *reply = harness_ask(&h, "GET", "/page.html.gz", NULL);

	assert_string_equal(reply_field(reply, "content-type"), "application/gzip");
	assert_null(reply_field(reply, "content-encoding"));
	reply_free(reply);
}

static void test_each_coding_has_its_own_tag(void **state)
{
	char plain[64], gzip[64], fields[256];

	config.precompressed = ALL_CODINGS;
	harness_text(&h, "page.html.gz", "as gzip");
	start();
	struct reply *reply = harness_ask(&h, "GET", "/page.html", NULL);

	strcpy(plain, reply_field(reply, "etag"));
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/page.html", "Accept-Encoding: gzip\r\n");
	strcpy(gzip, reply_field(reply, "etag"));
	reply_free(reply);
	assert_string_not_equal(plain, gzip);
	snprintf(fields, sizeof(fields), "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", plain);
	reply = harness_ask(&h, "GET", "/page.html", fields);
	assert_int_equal(reply->status, 200);
	reply_free(reply);
	snprintf(fields, sizeof(fields), "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", gzip);
	reply = harness_ask(&h, "GET", "/page.html", fields);
	assert_int_equal(reply->status, 304);
	assert_string_equal(reply_field(reply, "vary"), "Accept-Encoding");
	reply_free(reply);
}

static void test_a_range_of_a_precompressed_file(void **state)
{
	config.precompressed = ALL_CODINGS;
	harness_text(&h, "page.html.gz", "as gzip");
	start();
	struct reply *reply = harness_ask(&h, "GET", "/page.html",
					  "Accept-Encoding: gzip\r\nRange: bytes=3-\r\n");

	assert_int_equal(reply->status, 206);
	assert_string_equal(reply_field(reply, "content-range"), "bytes 3-6/7");
	assert_string_equal(reply_field(reply, "content-encoding"), "gzip");
	assert_memory_equal(reply->body, "gzip", 4);
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/page.html",
			    "Accept-Encoding: gzip\r\nRange: bytes=0-0,3-4\r\n");
	assert_int_equal(reply->status, 206);
	assert_string_equal(reply_field(reply, "content-encoding"), "gzip");
	assert_non_null(strstr(reply_field(reply, "content-type"), "multipart/byteranges"));
	reply_free(reply);
}

static void test_a_precompressed_file_that_is_older_is_ignored(void **state)
{
	config.precompressed = ALL_CODINGS;
	config.cache.revalidate_ms = 0;
	harness_text(&h, "page.html.gz", "as gzip");
	set_time("page.html", 2000);
	set_time("page.html.gz", 1999);
	start();
	expect_coding("gzip", "identity", text, TEXT_BYTES);
	set_time("page.html.gz", 2000);
	expect_coding("gzip", "gzip", "as gzip", 7);
	set_time("page.html", 2001);
	expect_coding("gzip", "identity", text, TEXT_BYTES);
	/* It comes and goes. */
	char path[256];

	set_time("page.html.gz", 2002);
	expect_coding("gzip", "gzip", "as gzip", 7);
	harness_path(&h, "page.html.gz", path);
	assert_int_equal(remove(path), 0);
	expect_coding("gzip", "identity", text, TEXT_BYTES);
}

static void test_no_coding_no_vary(void **state)
{
	start();
	struct reply *reply =
		harness_ask(&h, "GET", "/page.html", "Accept-Encoding: gzip, br, zstd\r\n");

	assert_null(reply_field(reply, "content-encoding"));
	assert_null(reply_field(reply, "vary"));
	reply_free(reply);
}

static const char *const accepts[HTTP_CODING_COUNT] = {
	[HTTP_GZIP] = "Accept-Encoding: gzip\r\n",
	[HTTP_BR] = "Accept-Encoding: br\r\n",
	[HTTP_ZSTD] = "Accept-Encoding: zstd\r\n",
};

static void test_compression_on_the_fly(void **state)
{
	config.compress.codings = ALL_CODINGS;
	start();
	for (unsigned coding = HTTP_GZIP; coding < HTTP_CODING_COUNT; coding++) {
		if (!(files_compress_codings() & 1u << coding))
			continue;
		char etag[64] = "";

		for (unsigned round = 0; round < 2; round++) {
			struct reply *reply = harness_ask(&h, "GET", "/page.html", accepts[coding]);

			assert_int_equal(reply->status, 200);
			assert_string_equal(reply_field(reply, "content-encoding"),
					    http_coding_name((enum http_coding)coding).p);
			assert_string_equal(reply_field(reply, "vary"), "Accept-Encoding");
			assert_true(reply->len < TEXT_BYTES / 10);
			assert_false(reply->cut);
			if (round)
				assert_string_equal(reply_field(reply, "etag"), etag);
			strcpy(etag, reply_field(reply, "etag"));
			reply_free(reply);
		}
	}
	expect_coding("identity", "identity", text, TEXT_BYTES);
}

static void test_what_is_compressed_is_the_file(void **state)
{
	static const uint8_t in[] =
		"to be compressed, to be compressed, to be compressed, to be compressed";
	size_t len;
	uint8_t *out;
	char back[sizeof(in)];

#if SLUICE_HAVE_ZLIB
	z_stream z = {0};

	assert_int_equal(compress_bytes(HTTP_GZIP, 0, in, sizeof(in), &out, &len), 0);
	assert_true(len < sizeof(in));
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_in = out;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)back;
	z.avail_out = sizeof(back);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, sizeof(in));
	assert_memory_equal(back, in, sizeof(in));
	inflateEnd(&z);
	free(out);
#endif
#if SLUICE_HAVE_ZSTD
	assert_int_equal(compress_bytes(HTTP_ZSTD, 19, in, sizeof(in), &out, &len), 0);
	assert_int_equal(ZSTD_decompress(back, sizeof(back), out, len), sizeof(in));
	assert_memory_equal(back, in, sizeof(in));
	free(out);
#endif
}

static void test_what_does_not_shrink_stays_as_it_is(void **state)
{
	uint8_t noise[TEXT_BYTES];

	harness_fill(noise, sizeof(noise), 3);
	harness_write(&h, "page.html", noise, sizeof(noise));
	config.compress.codings = ALL_CODINGS;
	start();
	expect_coding("gzip, br, zstd", "identity", (char *)noise, sizeof(noise));
	expect_coding("gzip, br, zstd", "identity", (char *)noise, sizeof(noise));
	struct files *files = harness_state(&h);
	struct file_entry *entry = file_cache_get(&files->cache, STR("page.html"));

	assert_int_equal(entry->refused, files_compress_codings());
	assert_int_equal(entry->offered, 1);
	assert_int_equal(files->compressions, 0);
}

static void test_compression_by_type_and_size(void **state)
{
	const struct str types[] = {STR("text/html"), STR("image/")};

	config.compress.codings = ALL_CODINGS;
	config.compress.types = types;
	config.compress.type_count = 2;
	config.compress.size_min = 100;
	config.compress.size_max = 1000;
	assert_int_not_equal(compress_offered(&config, STR("text/html"), 100), 0);
	assert_int_not_equal(compress_offered(&config, STR("text/html; charset=utf-8"), 1000), 0);
	assert_int_not_equal(compress_offered(&config, STR("image/bmp"), 1000), 0);
	assert_int_equal(compress_offered(&config, STR("text/html"), 99), 0);
	assert_int_equal(compress_offered(&config, STR("text/html"), 1001), 0);
	assert_int_equal(compress_offered(&config, STR("text/css"), 500), 0);
	assert_int_equal(compress_offered(&config, STR("text/htmlx"), 500), 0);
	config.cache.entries_max = 0;
	assert_int_equal(compress_offered(&config, STR("text/html"), 100), 0);
	config.cache.entries_max = 10;
	config.compress.type_count = 0;
	assert_int_not_equal(compress_offered(&config, STR("application/json"), 500), 0);
	assert_int_equal(compress_offered(&config, STR("image/png"), 500), 0);
}

static void test_a_large_file_is_compressed_from_its_descriptor(void **state)
{
	size_t len = 300 * 1024;
	char *large = malloc(len);

	for (size_t i = 0; i < len; i++)
		large[i] = "large and boring "[i % 17];
	harness_write(&h, "page.html", large, len);
	config.compress.codings = 1u << HTTP_GZIP;
	if (!(files_compress_codings() & 1u << HTTP_GZIP)) {
		free(large);
		unit_skip("built without zlib");
	}
	start();
	struct reply *reply = harness_ask(&h, "GET", "/page.html", accepts[HTTP_GZIP]);

	assert_string_equal(reply_field(reply, "content-encoding"), "gzip");
	assert_true(reply->len < len / 10);
	reply_free(reply);
	expect_coding("identity", "identity", large, len);
	free(large);
}

static void test_a_changed_file_is_compressed_anew(void **state)
{
	char first[64];

	config.compress.codings = ALL_CODINGS;
	config.cache.revalidate_ms = 0;
	start();
	struct reply *reply =
		harness_ask(&h, "GET", "/page.html", "Accept-Encoding: gzip, br, zstd\r\n");

	assert_non_null(reply_field(reply, "content-encoding"));
	strcpy(first, reply_field(reply, "etag"));
	reply_free(reply);
	memset(text, 'z', TEXT_BYTES);
	harness_write(&h, "page.html", text, TEXT_BYTES);
	set_time("page.html", 5000);
	reply = harness_ask(&h, "GET", "/page.html", "Accept-Encoding: gzip, br, zstd\r\n");
	assert_non_null(reply_field(reply, "content-encoding"));
	assert_string_not_equal(reply_field(reply, "etag"), first);
	reply_free(reply);
	expect_coding("identity", "identity", text, TEXT_BYTES);
}

/* The handler's state is detached while a helper thread still compresses for nobody. */
static void test_stopping_while_a_file_is_compressed(void **state)
{
	struct http_field accept = {.id = HTTP_ACCEPT_ENCODING, .value = STR("gzip, br, zstd")};
	struct loopback_request request = {.method = "GET",
					   .authority = "x",
					   .target = "/page.html",
					   .fields = &accept,
					   .field_count = 1};

	config.compress.codings = ALL_CODINGS;
	if (!files_compress_codings())
		unit_skip("built without any coding");
	start();
	/* In memory, so that the next request starts with compressing. */
	expect_coding("identity", "identity", text, TEXT_BYTES);
	struct files *files = harness_state(&h);
	struct loopback *one = loopback_send(&h.worker, 0, &request);
	struct loopback *two = loopback_send(&h.worker, 0, &request);

	assert_int_equal(files->compressions, 1);
	loopback_cancel(one);
	loopback_cancel(two);
	while (!one->done || !two->done)
		io_loop_turn(h.loop, 0);
	assert_int_equal(one->result, -ECANCELED);
	loopback_free(one);
	loopback_free(two);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_precompressed_files),
		TEST(test_each_coding_has_its_own_tag),
		TEST(test_a_range_of_a_precompressed_file),
		TEST(test_a_precompressed_file_that_is_older_is_ignored),
		TEST(test_no_coding_no_vary),
		TEST(test_compression_on_the_fly),
		TEST(test_what_is_compressed_is_the_file),
		TEST(test_what_does_not_shrink_stays_as_it_is),
		TEST(test_compression_by_type_and_size),
		TEST(test_a_large_file_is_compressed_from_its_descriptor),
		TEST(test_a_changed_file_is_compressed_anew),
		TEST(test_stopping_while_a_file_is_compressed),
	};

	return RUN_OVER_WIRES(tests);
}
