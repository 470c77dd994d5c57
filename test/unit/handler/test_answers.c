// SPDX-License-Identifier: Apache-2.0
/* respond, redirect and status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handler/harness.h"
#include "handler/redirect.h"
#include "handler/respond.h"
#include "handler/status.h"
#include "json_check.h"

static struct harness h;

static int setup(void **state)
{
	harness_folder(&h);
	return 0;
}

static int teardown(void **state)
{
	harness_stop(&h);
	return 0;
}

static void test_respond(void **state)
{
	const struct respond_config config = {
		.status = 418, .type = STR("text/x-tea"), .body = STR("short and stout")};

	harness_start(&h, &respond_handler, &config, NULL);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const methods[] = {"GET", "POST", "HEAD"};
		struct reply *reply = harness_ask(&h, methods[i], "/any", NULL);

		assert_int_equal(reply->status, 418);
		assert_string_equal(reply_field(reply, "content-type"), "text/x-tea");
		assert_string_equal(reply_field(reply, "content-length"), "15");
		assert_int_equal(reply->len, i == 2 ? 0 : 15);
		assert_memory_equal(reply->body, "short and stout", reply->len);
		reply_free(reply);
	}
}

static void test_respond_without_content(void **state)
{
	const struct respond_config config = {.status = 204, .body = STR("not to be sent")};

	harness_start(&h, &respond_handler, &config, NULL);
	struct reply *reply = harness_ask(&h, "GET", "/", NULL);

	assert_int_equal(reply->status, 204);
	assert_int_equal(reply->len, 0);
	assert_null(reply_field(reply, "content-type"));
	assert_null(reply_field(reply, "content-length"));
	reply_free(reply);
}

static void test_respond_with_nothing_but_a_status(void **state)
{
	const struct respond_config config = {.status = 200};

	harness_start(&h, &respond_handler, &config, NULL);
	harness_expect_text(&h, "/", "");
}

static const struct {
	const char *target, *asked, *location;
} redirects[] = {
	{"https://$host$path$query", "/a/b?c=d", "https://example.com/a/b?c=d"},
	{"https://$host$path$query", "/", "https://example.com/"},
	{"https://$host$path$query", "/a?", "https://example.com/a?"},
	{"/new/$rest", "/old/x%20y", "/new/old/x%20y"},
	{"$scheme://www.$host/", "/x", "http://www.example.com/"},
	{"https://other.example/price$$", "/x", "https://other.example/price$"},
	/* What a client sends stays within its place. */
	{"https://$host$path", "/a%0d%0aSet-Cookie:%20x", NULL},
	{"https://$host$path", "/a%22%3Cb%3E", "https://example.com/a%22%3Cb%3E"},
	{"https://$host/$query", "/?a=\"<b>|", "https://example.com/?a=%22%3Cb%3E%7C"},
	{"/$rest", "//evil.example/x", "/evil.example/x"},
};

static void test_redirect(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(redirects); i++) {
		struct redirect_config config = {.status = 308,
						 .target = str_from(redirects[i].target)};
		const char *why;

		assert_int_equal(redirect_target_check(config.target, &why), 0);
		if (i)
			setup(state);
		harness_start(&h, &redirect_handler, &config, NULL);
		struct reply *reply = harness_ask(&h, "GET", redirects[i].asked, NULL);

		assert_int_equal(reply->status, redirects[i].location ? 308 : 400);
		if (redirects[i].location)
			assert_string_equal(reply_field(reply, "location"), redirects[i].location);
		assert_null(reply_field(reply, "set-cookie"));
		reply_free(reply);
		harness_stop(&h);
	}
	setup(state);
	memset(&h.loop, 0, sizeof(h.loop));
}

static void test_redirect_targets_are_checked(void **state)
{
	static const char *const bad[] = {
		"",          "example.com",      "//evil.example", "/$path",
		"$nope",     "https://$hos/",    "/a b",           "/a\r\nb: c",
		"/\xc3\xa9", "https://h/$query$"};
	const char *why;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		assert_int_not_equal(redirect_target_check(str_from(bad[i]), &why), 0);
		assert_non_null(why);
	}
}

static struct status_counts counts[2];
static struct hist request_ns;

static int collect(void *owner, struct arena *arena, struct status_snapshot *out)
{
	struct harness *harness = owner;

	status_counts_read(&counts[0], &harness->worker.counts);
	memset(&request_ns, 0, sizeof(request_ns));
	hist_merge(&request_ns, &harness->worker.request_ns);
	hist_add(&request_ns, 7000000);
	*out = (struct status_snapshot){
		.version = STR("9.9"),
		.engine = STR("epoll"),
		.features = STR("a b"),
		.pid = 42,
		.uptime_s = 7,
		.config_generation = 3,
		.access_lines_lost = 12,
		.config_file = STR("/etc/\"odd\"\n.conf"),
		.workers = counts,
		.worker_count = 2,
		.request_ns = &request_ns,
	};
	return 0;
}

static void test_status(void **state)
{
	const struct status_config config = {.collect = collect, .owner = &h};

	counts[1] = (struct status_counts){.requests = 1000, .status = {0, 0, 900, 0, 0, 100}};
	harness_start(&h, &status_handler, &config, NULL);
	struct reply *reply = harness_ask(&h, "GET", "/", NULL);

	assert_string_equal(reply_field(reply, "content-type"), "text/plain; charset=utf-8");
	assert_non_null(strstr((char *)reply->body, "version 9.9\n"));
	assert_non_null(strstr((char *)reply->body, "\nrequests 1001\n"));
	assert_non_null(strstr((char *)reply->body, "\nresponses_5xx 100\n"));
	assert_non_null(strstr((char *)reply->body, "\nrequest_us_max 7000\n"));
	assert_non_null(strstr((char *)reply->body, "\naccess_lines_lost 12\n"));
	assert_non_null(strstr((char *)reply->body, "\nconfig_file /etc/\"odd\"\\n.conf\n"));
	reply_free(reply);
	reply = harness_ask(&h, "GET", "/", "Accept: application/json\r\n");
	assert_string_equal(reply_field(reply, "content-type"), "application/json");
	assert_string_equal(reply_field(reply, "cache-control"), "no-store");
	assert_true(json_check((struct str){(char *)reply->body, reply->len}));
	assert_non_null(strstr((char *)reply->body, "\"generation\":3"));
	assert_non_null(strstr((char *)reply->body, "\"access_lines_lost\":12"));
	assert_non_null(strstr((char *)reply->body, "\"requests\":1002"));
	assert_non_null(strstr((char *)reply->body, "\"max\":7000"));
	reply_free(reply);
}

static void test_status_for_prometheus(void **state)
{
	const struct status_config config = {.collect = collect, .owner = &h};
	static const char *const asks[][2] = {
		{"/?format=prometheus", NULL},
		{"/", "Accept: application/openmetrics-text;version=1.0.0;q=0.5,"
		      "text/plain;version=0.0.4;q=0.3,*/*;q=0.1\r\n"},
	};

	counts[1] = (struct status_counts){.requests = 1000, .status = {0, 0, 900, 0, 0, 100}};
	harness_start(&h, &status_handler, &config, NULL);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(asks); i++) {
		struct reply *reply = harness_ask(&h, "GET", asks[i][0], asks[i][1]);
		const char *body = (const char *)reply->body;
		char line[100];

		assert_string_equal(reply_field(reply, "content-type"),
				    "text/plain; version=0.0.4; charset=utf-8");
		assert_non_null(
			strstr(body, "\nsluice_info{version=\"9.9\",engine=\"epoll\"} 1\n"));
		snprintf(line, sizeof(line), "\nsluice_http_requests_total %u\n", 1001 + i);
		assert_non_null(strstr(body, line));
		assert_non_null(strstr(body, "\nsluice_http_responses_total{class=\"5xx\"} 100\n"));
		/* This answer is not finished: the one that collect adds, and the ones before. */
		snprintf(line, sizeof(line), "\nsluice_http_request_seconds_count %u\n", 1 + i);
		assert_non_null(strstr(body, line));
		reply_free(reply);
	}
	/* A program that keeps no times may have none, as `sluice explain`. */
	struct status_snapshot empty = {0};
	struct arena arena;
	arena_init(&arena, 0);
	for (int format = STATUS_TEXT; format <= STATUS_PROMETHEUS; format++)
		assert_true(status_render(&empty, (enum status_format)format, &arena).len > 0);
	arena_free(&arena);
	/* What is not known is the usual text. */
	struct reply *reply = harness_ask(&h, "GET", "/?format=xml", NULL);
	assert_string_equal(reply_field(reply, "content-type"), "text/plain; charset=utf-8");
	reply_free(reply);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_respond),
		TEST(test_respond_without_content),
		TEST(test_respond_with_nothing_but_a_status),
		TEST(test_redirect),
		TEST(test_redirect_targets_are_checked),
		TEST(test_status),
		TEST(test_status_for_prometheus),
	};

	return RUN_OVER_WIRES(tests);
}
