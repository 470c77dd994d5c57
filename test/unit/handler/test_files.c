// SPDX-License-Identifier: Apache-2.0
/* Which file a path means, and which it never means. */
#include "handler/files.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handler/harness.h"

static struct harness h;
static struct files_config config;

static int setup(void **state)
{
	harness_folder(&h);
	files_config_init(&config);
	config.root = str_from(h.dir);
	harness_text(&h, "index.html", "front");
	harness_text(&h, "a.txt", "letter a");
	harness_text(&h, "empty", "");
	harness_mkdir(&h, "docs");
	harness_text(&h, "docs/index.html", "docs");
	harness_text(&h, "docs/page.html", "page");
	harness_mkdir(&h, "bare");
	harness_text(&h, "bare/x", "x");
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

static void test_a_file_with_its_fields(void **state)
{
	start();
	for (unsigned round = 0; round < 3; round++) {
		struct reply *reply = harness_ask(&h, "GET", "/a.txt", NULL);

		assert_int_equal(reply->status, 200);
		assert_int_equal(reply->len, 8);
		assert_memory_equal(reply->body, "letter a", 8);
		assert_string_equal(reply_field(reply, "content-type"),
				    "text/plain; charset=utf-8");
		assert_string_equal(reply_field(reply, "content-length"), "8");
		assert_string_equal(reply_field(reply, "accept-ranges"), "bytes");
		assert_non_null(reply_field(reply, "last-modified"));
		assert_int_equal(reply_field(reply, "etag")[0], '"');
		assert_null(reply_field(reply, "vary"));
		reply_free(reply);
	}
}

static void test_head_has_the_fields_and_no_body(void **state)
{
	start();
	/* Before and after the file is in the cache. */
	for (unsigned round = 0; round < 3; round++) {
		struct reply *reply = harness_ask(&h, round == 1 ? "GET" : "HEAD", "/a.txt", NULL);

		assert_int_equal(reply->status, 200);
		assert_int_equal(reply->len, round == 1 ? 8 : 0);
		assert_string_equal(reply_field(reply, "content-length"), "8");
		reply_free(reply);
	}
}

static void test_an_empty_file(void **state)
{
	start();
	harness_expect_text(&h, "/empty", "");
	harness_expect_text(&h, "/empty", "");
}

static void test_index_and_slash(void **state)
{
	start();
	harness_expect_text(&h, "/", "front");
	harness_expect_text(&h, "/", "front");
	harness_expect_text(&h, "/docs/", "docs");
	harness_expect_text(&h, "/docs/", "docs");
	harness_expect(&h, "/bare/", 404);
	harness_expect(&h, "/a.txt/", 404);
	harness_expect(&h, "/none/", 404);
	harness_expect(&h, "/none", 404);
}

static void test_a_folder_without_slash_is_redirected(void **state)
{
	start();
	struct reply *reply = harness_ask(&h, "GET", "/docs?a=b%20%22c", NULL);

	assert_int_equal(reply->status, 301);
	assert_string_equal(reply_field(reply, "location"), "/docs/?a=b%20%22c");
	assert_int_equal(reply->len, 0);
	reply_free(reply);
}

static void test_indexes_in_order(void **state)
{
	const struct str names[] = {STR("missing.html"), STR("sub"), STR("page.html"),
				    STR("index.html")};

	harness_mkdir(&h, "docs/sub");
	config.index = names;
	config.index_count = 4;
	start();
	/* A folder of that name is no index. */
	harness_expect_text(&h, "/docs/", "page");
	harness_expect_text(&h, "/docs/", "page");
	harness_text(&h, "docs/missing.html", "now there");
	harness_expect_text(&h, "/docs/", "now there");
}

static void test_try_for_single_page_applications(void **state)
{
	const struct str tries[] = {STR("$path"), STR("$path.html"), STR("/index.html")};

	config.tries = tries;
	config.try_count = 3;
	start();
	harness_expect_text(&h, "/a.txt", "letter a");
	harness_expect_text(&h, "/docs/page", "page");
	harness_expect_text(&h, "/some/deep/route", "front");
	harness_expect_text(&h, "/some/deep/route/", "front");
	harness_expect_text(&h, "/bare/", "front");
	harness_expect_text(&h, "/bare/x", "x");
	harness_expect(&h, "/docs", 301);
	/* A new file is found although the fallback is in the cache. */
	harness_text(&h, "some", "some");
	harness_expect_text(&h, "/some", "some");
	harness_expect(&h, "/.env", 404);
}

static void test_try_ends_with_a_status(void **state)
{
	const struct str tries[] = {STR("$path"), STR("$path/page.html"), STR("=410")};

	config.tries = tries;
	config.try_count = 3;
	start();
	harness_expect_text(&h, "/docs/page.html", "page");
	harness_expect(&h, "/docs", 301);
	harness_expect(&h, "/none", 410);
	config.index_count = 0;
	harness_expect_text(&h, "/docs/", "page");
}

static void test_try_elements_are_checked(void **state)
{
	static const char *const good[] = {
		"$path", "$path/", "$path.html", "$path/index.html", "/index.html", "=404"};
	static const char *const bad[] = {"",     "index.html", "$pathx", "=200", "=x",
					  "=600", "/../x",      "/a/..",  "$uri"};
	const char *why;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(good); i++)
		assert_int_equal(files_try_check(str_from(good[i]), &why), 0);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		assert_int_not_equal(files_try_check(str_from(bad[i]), &why), 0);
		assert_non_null(why);
	}
}

static void test_other_methods(void **state)
{
	start();
	struct reply *reply = harness_ask(&h, "DELETE", "/a.txt", NULL);

	assert_int_equal(reply->status, 405);
	assert_string_equal(reply_field(reply, "allow"), "GET, HEAD");
	reply_free(reply);
	reply = harness_ask(&h, "BREW", "/a.txt", NULL);
	assert_int_equal(reply->status, 405);
	reply_free(reply);
}

static void test_hidden_names(void **state)
{
	harness_text(&h, ".env", "secret");
	harness_mkdir(&h, ".git");
	harness_text(&h, ".git/config", "secret");
	harness_mkdir(&h, ".well-known");
	harness_text(&h, ".well-known/security.txt", "contact");
	harness_text(&h, ".well-known/.x", "secret");
	harness_mkdir(&h, "docs/.well-known");
	harness_text(&h, "docs/.well-known/x", "secret");
	start();
	harness_expect(&h, "/.env", 404);
	harness_expect(&h, "/%2eenv", 404);
	harness_expect(&h, "/.git/config", 404);
	harness_expect(&h, "/.git", 404);
	harness_expect(&h, "/docs/.well-known/x", 404);
	harness_expect(&h, "/.well-known/.x", 404);
	harness_expect_text(&h, "/.well-known/security.txt", "contact");
}

static void test_hidden_names_when_allowed(void **state)
{
	harness_text(&h, ".env", "not secret");
	config.hidden = true;
	start();
	harness_expect_text(&h, "/.env", "not secret");
	harness_expect_text(&h, "/.env", "not secret");
}

static void test_a_hidden_fallback_is_not_reached_by_name(void **state)
{
	const struct str tries[] = {STR("$path"), STR("/.shell.html")};

	harness_text(&h, ".shell.html", "shell");
	config.tries = tries;
	config.try_count = 2;
	start();
	harness_expect_text(&h, "/any", "shell");
	harness_expect_text(&h, "/any", "shell");
	harness_expect(&h, "/.shell.html", 404);
}

static void link_to(const char *target, const char *name)
{
	char path[256];

	harness_path(&h, name, path);
	assert_int_equal(symlink(target, path), 0);
}

static void test_symlinks_stay_within_the_root(void **state)
{
	link_to("a.txt", "inside");
	link_to("../a.txt", "docs/up");
	link_to("/etc/passwd", "absolute");
	link_to("../../../../../../etc/passwd", "climbing");
	link_to("/etc", "folder");
	link_to("loop", "loop");
	start();
	harness_expect_text(&h, "/inside", "letter a");
	harness_expect_text(&h, "/docs/up", "letter a");
	harness_expect(&h, "/absolute", 404);
	harness_expect(&h, "/climbing", 404);
	harness_expect(&h, "/folder/passwd", 404);
	harness_expect(&h, "/folder/", 404);
	harness_expect(&h, "/loop", 404);
}

static void test_symlinks_when_refused(void **state)
{
	link_to("a.txt", "inside");
	config.no_symlinks = true;
	start();
	harness_expect(&h, "/inside", 404);
	harness_expect_text(&h, "/a.txt", "letter a");
}

static void test_paths_that_climb(void **state)
{
	start();
	harness_expect(&h, "/../a.txt", 400);
	harness_expect(&h, "/docs/../../etc/passwd", 400);
	harness_expect(&h, "/%2e%2e/a.txt", 400);
	harness_expect_text(&h, "/docs/../a.txt", "letter a");
	harness_expect(&h, "/docs%2findex.html", 404);
	harness_expect(&h, "/docs%2f..%2fa.txt", 404);
	harness_expect(&h, "/a.txt%00", 400);
}

static void test_only_regular_files(void **state)
{
	char path[256];

	harness_path(&h, "fifo", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	start();
	/* Nobody writes to it: an open that waits would hang here. */
	harness_expect(&h, "/fifo", 404);
	link_to("/dev/zero", "zero");
	harness_expect(&h, "/zero", 404);
}

static void test_names_too_long(void **state)
{
	char target[6000] = "/";

	memset(target + 1, 'x', 300);
	start();
	harness_expect(&h, target, 404);
	for (unsigned i = 1; i < sizeof(target) - 1; i++)
		target[i] = i % 200 ? 'y' : '/';
	harness_expect(&h, target, 404);
}

static void test_names_that_need_escaping(void **state)
{
	harness_text(&h, "<b> &\"'%2F é.txt", "odd");
	start();
	harness_expect_text(&h, "/a%2Etxt", "letter a");
	harness_text(&h, "sp ace+plus.txt", "space");
	harness_expect_text(&h, "/sp%20ace+plus.txt", "space");
}

#define NOBODY 65534

static void test_permission_denied(void **state)
{
	bool root = geteuid() == 0;
	char path[256];

	harness_text(&h, "locked", "x");
	harness_path(&h, "locked", path);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(chmod(h.dir, 0755), 0);
	start();
	/* Root may read everything. */
	if (root && seteuid(NOBODY) < 0)
		unit_skip("cannot become another user");
	struct reply *reply = harness_ask(&h, "GET", "/locked", NULL);

	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(reply->status, 403);
	reply_free(reply);
}

static void test_strip(void **state)
{
	config.strip = STR("/static");
	start();
	harness_expect_text(&h, "/static/a.txt", "letter a");
	harness_expect_text(&h, "/static/a.txt", "letter a");
	harness_expect_text(&h, "/static/", "front");
	harness_expect(&h, "/static", 301);
	harness_expect(&h, "/staticky", 404);
	harness_expect(&h, "/a.txt", 404);
	struct reply *reply = harness_ask(&h, "GET", "/static/docs", NULL);

	assert_string_equal(reply_field(reply, "location"), "/static/docs/");
	reply_free(reply);
}

static void test_cache_control(void **state)
{
	const struct files_pattern patterns[] = {{STR("*.txt"), STR("max-age=60")},
						 {STR("/docs/*"), STR("no-cache")}};

	config.cache_control = patterns;
	config.cache_control_count = 2;
	start();
	struct reply *reply = harness_ask(&h, "GET", "/a.txt", NULL);

	assert_string_equal(reply_field(reply, "cache-control"), "max-age=60");
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/docs/", NULL);
	assert_string_equal(reply_field(reply, "cache-control"), "no-cache");
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/", NULL);
	assert_null(reply_field(reply, "cache-control"));
	reply_free(reply);
}

static void test_the_routes_error_page(void **state)
{
	const struct http_error_page page = {404, STR("text/html"), STR("<h1>gone fishing")};

	harness_start(&h, &files_handler, &config, &page);
	struct reply *reply = harness_ask(&h, "GET", "/none", NULL);

	assert_int_equal(reply->status, 404);
	assert_memory_equal(reply->body, "<h1>gone fishing", 16);
	reply_free(reply);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_file_with_its_fields),
		TEST(test_head_has_the_fields_and_no_body),
		TEST(test_an_empty_file),
		TEST(test_index_and_slash),
		TEST(test_a_folder_without_slash_is_redirected),
		TEST(test_indexes_in_order),
		TEST(test_try_for_single_page_applications),
		TEST(test_try_ends_with_a_status),
		TEST(test_try_elements_are_checked),
		TEST(test_other_methods),
		TEST(test_hidden_names),
		TEST(test_hidden_names_when_allowed),
		TEST(test_a_hidden_fallback_is_not_reached_by_name),
		TEST(test_symlinks_stay_within_the_root),
		TEST(test_symlinks_when_refused),
		TEST(test_paths_that_climb),
		TEST(test_only_regular_files),
		TEST(test_names_too_long),
		TEST(test_names_that_need_escaping),
		TEST(test_permission_denied),
		TEST(test_strip),
		TEST(test_cache_control),
		TEST(test_the_routes_error_page),
	};

	return RUN_OVER_WIRES(tests);
}
