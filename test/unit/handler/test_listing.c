// SPDX-License-Identifier: Apache-2.0
/* Folder listings: what they show, what they hide, and that names cannot break out of them. */
#include "handler/files/listing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handler/files.h"
#include "handler/files/state.h"
#include "handler/harness.h"
#include "json_check.h"

static struct harness h;
static struct files_config config;

static int setup(void **state)
{
	harness_folder(&h);
	files_config_init(&config);
	config.root = str_from(h.dir);
	config.listing = true;
	harness_mkdir(&h, "pub");
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

static struct reply *ask(const char *target, const char *fields)
{
	struct reply *reply = harness_ask(&h, "GET", target, fields);

	assert_int_equal(reply->status, 200);
	assert_false(reply->cut);
	return reply;
}

static bool shows(const struct reply *reply, const char *text)
{
	return strstr((char *)reply->body, text) != NULL;
}

static void test_a_page(void **state)
{
	harness_text(&h, "pub/b.txt", "12345");
	harness_mkdir(&h, "pub/folder");
	start();
	struct reply *reply = ask("/pub/", NULL);

	assert_string_equal(reply_field(reply, "content-type"), "text/html; charset=utf-8");
	assert_string_equal(reply_field(reply, "x-content-type-options"), "nosniff");
	assert_non_null(
		strstr(reply_field(reply, "content-security-policy"), "default-src 'none'"));
	assert_string_equal(reply_field(reply, "vary"), "Accept");
	assert_true(shows(reply, "<title>/pub/</title>"));
	assert_true(shows(reply, "href=\"./b.txt\""));
	assert_true(shows(reply, ">5 B<"));
	assert_true(shows(reply, "href=\"./folder/\""));
	assert_true(shows(reply, "href=\"../\""));
	assert_true(shows(reply, "1 folder, 1 file"));
	assert_true(shows(reply, "width=device-width"));
	reply_free(reply);
	reply = ask("/", NULL);
	assert_false(shows(reply, "href=\"../\""));
	reply_free(reply);
}

static void test_names_are_escaped(void **state)
{
	harness_text(&h, "pub/<script>alert(1)<", "");
	harness_text(&h, "pub/\"onmouseover=\"x'&amp;", "");
	harness_text(&h, "pub/a b?c#d%41", "");
	harness_text(&h, "pub/javascript:alert(1)", "");
	harness_text(&h, "pub/line\nbreak", "");
	harness_text(&h, "pub/bad\xff\xfeutf", "");
	harness_mkdir(&h, "pub/<b>");
	start();
	struct reply *reply = ask("/pub/", NULL);

	assert_false(shows(reply, "<script"));
	assert_false(shows(reply, "<b>"));
	assert_true(shows(reply, "&lt;script&gt;alert(1)&lt;"));
	assert_true(shows(reply, "href=\"./%3Cscript%3E"));
	assert_false(shows(reply, "=\"x'"));
	assert_true(shows(reply, "href=\"./a%20b%3Fc%23d%2541\""));
	assert_false(shows(reply, "href=\"javascript"));
	assert_true(shows(reply, "href=\"./bad%FF%FEutf\""));
	reply_free(reply);
	/* The links lead where they say. */
	harness_expect(&h, "/pub/%3Cscript%3Ealert%281%29%3C", 200);
	harness_expect(&h, "/pub/a%20b%3Fc%23d%2541", 200);
	harness_expect(&h, "/pub/%3Cb%3E/", 200);
	reply = ask("/pub/%3Cb%3E/", NULL);
	assert_true(shows(reply, "<title>/pub/&lt;b&gt;/</title>"));
	assert_false(shows(reply, "<b>"));
	reply_free(reply);
}

static void test_json(void **state)
{
	harness_text(&h, "pub/quote\"back\\", "123");
	harness_text(&h, "pub/bad\xff", "");
	harness_mkdir(&h, "pub/folder");
	start();
	struct reply *reply = ask("/pub/", "Accept: application/json\r\n");

	assert_string_equal(reply_field(reply, "content-type"), "application/json");
	assert_true(shows(reply, "\"path\":\"/pub/\""));
	assert_true(shows(reply, "\"name\":\"quote\\\"back\\\\\",\"type\":\"file\",\"size\":3"));
	assert_true(shows(reply, "\"name\":\"folder\",\"type\":\"folder\""));
	assert_true(shows(reply, "\"more\":false"));
	assert_true(json_check((struct str){(char *)reply->body, reply->len}));
	reply_free(reply);
	reply = ask("/pub/?format=json", NULL);
	assert_string_equal(reply_field(reply, "content-type"), "application/json");
	reply_free(reply);
	reply = ask("/pub/", "Accept: text/html, application/json;q=0.9, */*;q=0.8\r\n");
	assert_string_equal(reply_field(reply, "content-type"), "text/html; charset=utf-8");
	reply_free(reply);
}

static void test_what_is_not_shown(void **state)
{
	char path[256];

	harness_text(&h, "pub/.hidden", "");
	harness_text(&h, "inside", "1234567");
	harness_path(&h, "pub/fifo", path);
	assert_int_equal(mkfifo(path, 0644), 0);
	harness_path(&h, "pub/outside", path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	harness_path(&h, "pub/within", path);
	assert_int_equal(symlink("../inside", path), 0);
	harness_path(&h, "pub/dangling", path);
	assert_int_equal(symlink("nowhere", path), 0);
	start();
	struct reply *reply = ask("/pub/", NULL);

	assert_false(shows(reply, ".hidden"));
	assert_false(shows(reply, "fifo"));
	assert_false(shows(reply, "outside"));
	assert_false(shows(reply, "dangling"));
	assert_true(shows(reply, "href=\"./within\""));
	assert_true(shows(reply, ">7 B<"));
	reply_free(reply);
	harness_expect_text(&h, "/pub/within", "1234567");
}

static void test_listings_are_off_unless_asked_for(void **state)
{
	config.listing = false;
	start();
	harness_expect(&h, "/pub/", 404);
}

static void test_an_index_wins(void **state)
{
	harness_text(&h, "pub/index.html", "the index");
	start();
	harness_expect_text(&h, "/pub/", "the index");
}

static void test_a_folder_that_is_not_there(void **state)
{
	start();
	harness_expect(&h, "/nothing/", 404);
	harness_expect(&h, "/.git/", 404);
}

static void test_head_of_a_listing(void **state)
{
	start();
	struct reply *reply = harness_ask(&h, "HEAD", "/pub/", NULL);

	assert_int_equal(reply->status, 200);
	assert_int_equal(reply->len, 0);
	assert_true(atoi(reply_field(reply, "content-length")) > 1000);
	reply_free(reply);
}

static struct listing_item items[] = {
	{STR("b"), 30, 100, false}, {STR("A"), 10, 300, false},  {STR("zdir"), 0, 200, true},
	{STR("c"), 10, 200, false}, {STR("Adir"), 0, 400, true},
};

static void expect_order(const char *sort, const char *order)
{
	struct listing_view view = {.items = items, .count = SL_ARRAY_SIZE(items)};
	char found[64] = "";

	listing_sort_parse(str_from(sort), &view);
	listing_sort_items(&view);
	for (unsigned i = 0; i < view.count; i++) {
		strncat(found, view.items[i].name.p, view.items[i].name.len);
		strcat(found, " ");
	}
	assert_string_equal(found, order);
}

static void test_order(void **state)
{
	expect_order("", "Adir zdir A b c ");
	expect_order("name", "Adir zdir A b c ");
	expect_order("-name", "zdir Adir c b A ");
	expect_order("size", "Adir zdir A c b ");
	expect_order("-size", "zdir Adir b c A ");
	expect_order("time", "zdir Adir b c A ");
	expect_order("-time", "Adir zdir A c b ");
	expect_order("nonsense", "Adir zdir A b c ");
}

static void test_columns_turn_round(void **state)
{
	harness_text(&h, "pub/a", "1");
	start();
	struct reply *reply = ask("/pub/?sort=size", NULL);

	assert_true(shows(reply, "href=\"?sort=-size\""));
	assert_true(shows(reply, "href=\"?sort=name\""));
	assert_true(shows(reply, "aria-sort=\"ascending\""));
	reply_free(reply);
}

static void test_a_folder_with_too_many_entries(void **state)
{
	char root[] = "/dev/shm/sluice-test-XXXXXX", name[64];

	if (!mkdtemp(root))
		unit_skip("no folder in memory, and ten thousand files on a disk take too long");
	config.root = str_from(root);
	int dir = open(root, O_RDONLY | O_DIRECTORY);

	assert_true(dir >= 0);
	for (unsigned i = 0; i < FILES_LISTING_MAX + 5; i++) {
		snprintf(name, sizeof(name), "file-%05u", i);
		int fd = openat(dir, name, O_WRONLY | O_CREAT, 0644);

		assert_true(fd >= 0);
		close(fd);
	}
	start();
	struct reply *reply = ask("/", NULL);

	assert_true(
		shows(reply, "0 folders, 10000 files. This folder holds more than 10000 entries"));
	reply_free(reply);
	reply = ask("/", "Accept: application/json\r\n");
	assert_true(shows(reply, "\"more\":true"));
	reply_free(reply);
	for (unsigned i = 0; i < FILES_LISTING_MAX + 5; i++) {
		snprintf(name, sizeof(name), "file-%05u", i);
		unlinkat(dir, name, 0);
	}
	close(dir);
	rmdir(root);
}

static void test_a_client_that_goes_away(void **state)
{
	struct loopback_request request = {.method = "GET", .authority = "x", .target = "/pub/"};

	start();
	struct loopback *all[FILES_LISTINGS_MAX + 1];
	struct files *files = harness_state(&h);

	/* From here on the kernel knows without waiting that there is no index. */
	harness_expect(&h, "/pub/", 200);
	for (unsigned i = 0; i <= FILES_LISTINGS_MAX; i++)
		all[i] = loopback_send(&h.worker, 0, &request);
	assert_int_equal(files->listings, FILES_LISTINGS_MAX);
	for (unsigned i = 0; i < FILES_LISTINGS_MAX; i++)
		loopback_cancel(all[i]);
	for (unsigned i = 0; i < 2000 && files->listings; i++)
		io_loop_turn(h.loop, 5000000);
	assert_int_equal(files->listings, 0);
	/* One more at once than may be is refused. */
	assert_int_equal(all[FILES_LISTINGS_MAX]->response.status, 503);
	for (unsigned i = 0; i <= FILES_LISTINGS_MAX; i++) {
		assert_true(all[i]->done);
		loopback_free(all[i]);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_page),
		TEST(test_names_are_escaped),
		TEST(test_json),
		TEST(test_what_is_not_shown),
		TEST(test_listings_are_off_unless_asked_for),
		TEST(test_an_index_wins),
		TEST(test_a_folder_that_is_not_there),
		TEST(test_head_of_a_listing),
		TEST(test_order),
		TEST(test_columns_turn_round),
		TEST(test_a_folder_with_too_many_entries),
		TEST(test_a_client_that_goes_away),
	};

	return RUN_OVER_WIRES(tests);
}
