// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>

#include "http/router.h"
#include "unit.h"

#define M(method) (1u << HTTP_##method)
#define ALL ((1u << HTTP_METHOD_COUNT) - 1)

static struct http_config *config;
static struct http_site *site;

static int set_up(void **state)
{
	config = http_config_new(1);
	site = NULL;
	return config && http_router_site(config, 0, STR("*"), &site) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	http_config_unref(config);
	return 0;
}

static int add(const char *path, bool exact, uint32_t methods)
{
	struct http_route route = {.path = str_from(path), .exact = exact, .methods = methods};
	struct http_route *made;

	return http_router_route(config, site, &route, &made);
}

static enum http_match match(const char *host, enum http_method method, const char *path,
			     struct http_route **route, uint32_t *allow)
{
	struct http_head head = {
		.method = method, .authority = str_from(host), .path = str_from(path)};

	return http_router_match(config->routers[0], &head, route, allow);
}

/* The path of the route that takes a GET; "" for none. */
static void expect_route(const char *path, const char *expected)
{
	struct http_route *route;
	uint32_t allow;
	enum http_match got = match("h", HTTP_GET, path, &route, &allow);

	assert_int_equal(got, *expected ? HTTP_MATCH : HTTP_MATCH_NONE);
	if (!*expected) {
		assert_null(route);
		return;
	}
	if (!str_eq(route->path, str_from(expected)))
		print_error("%s: %.*s\n", path, STR_ARG(route->path));
	assert_true(str_eq(route->path, str_from(expected)));
}

static void test_the_longest_path_wins(void **state)
{
	/* The order in which they come does not matter. */
	static const char *const paths[] = {"/api/v1/users", "/",           "/api/",
					    "/apix",         "/api/v1/",    "/api/v1/u",
					    "/static",       "/static/js/", "/0123456789",
					    "/01234567",     "/012345678/a"};
	struct http_route *route;
	uint32_t allow;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(add(paths[i], false, 0), 0);
	expect_route("/", "/");
	expect_route("/x", "/");
	expect_route("/api", "/");
	expect_route("/api/", "/api/");
	expect_route("/api/v", "/api/");
	expect_route("/api/v1", "/api/");
	expect_route("/api/v1/", "/api/v1/");
	expect_route("/api/v1/u", "/api/v1/u");
	expect_route("/api/v1/u/x", "/api/v1/u");
	expect_route("/api/v1/us", "/api/v1/");
	expect_route("/api/v1/users", "/api/v1/users");
	expect_route("/api/v1/users/7", "/api/v1/users");
	expect_route("/api/v1/userss", "/api/v1/");
	expect_route("/api/v2", "/api/");
	expect_route("/apix", "/apix");
	expect_route("/apixy", "/");
	expect_route("/apix/y", "/apix");
	expect_route("/static", "/static");
	expect_route("/static/x", "/static");
	expect_route("/static/js", "/static");
	expect_route("/static/js/x", "/static/js/");
	expect_route("/staticx", "/");
	expect_route("/01234567", "/01234567");
	expect_route("/012345678", "/");
	expect_route("/0123456789", "/0123456789");
	expect_route("/01234567/89", "/01234567");
	expect_route("/012345678/a/b", "/012345678/a");
	expect_route("/zzz", "/");
	assert_int_equal(match("h", HTTP_GET, "*", &route, &allow), HTTP_MATCH_NONE);
}

static void test_without_a_root_route_there_may_be_none(void **state)
{
	assert_int_equal(add("/b/", false, 0), 0);
	expect_route("/", "");
	expect_route("/a", "");
	expect_route("/b", "");
	expect_route("/b/", "/b/");
	expect_route("/c", "");
}

static void test_an_exact_route_takes_itself_only_and_first(void **state)
{
	struct http_route *route;
	uint32_t allow;

	assert_int_equal(add("/", false, 0), 0);
	assert_int_equal(add("/a", true, 0), 0);
	assert_int_equal(add("/b", false, 0), 0);
	assert_int_equal(add("/b", true, 0), 0);
	assert_int_equal(add("/b/c", true, 0), 0);
	expect_route("/a", "/a");
	expect_route("/a/", "/");
	expect_route("/a/x", "/");
	expect_route("/b/c", "/b/c");
	expect_route("/b/c/d", "/b");
	assert_int_equal(match("h", HTTP_GET, "/b", &route, &allow), HTTP_MATCH);
	assert_true(route->exact);
	assert_int_equal(match("h", HTTP_GET, "/b/x", &route, &allow), HTTP_MATCH);
	assert_false(route->exact);
}

static void test_methods(void **state)
{
	struct http_route *route;
	uint32_t allow;

	assert_int_equal(add("/", false, 0), 0);
	assert_int_equal(add("/a", false, M(GET)), 0);
	assert_int_equal(add("/a", false, M(POST) | M(PUT)), 0);
	assert_int_equal(add("/a", true, M(DELETE)), 0);
	assert_int_equal(add("/head", false, M(HEAD)), 0);
	assert_int_equal(match("h", HTTP_GET, "/a", &route, &allow), HTTP_MATCH);
	assert_int_equal(route->methods, M(GET));
	assert_int_equal(allow, M(GET) | M(HEAD) | M(POST) | M(PUT) | M(DELETE));
	assert_int_equal(match("h", HTTP_PUT, "/a/x", &route, &allow), HTTP_MATCH);
	assert_int_equal(route->methods, M(POST) | M(PUT));
	assert_int_equal(allow, M(GET) | M(HEAD) | M(POST) | M(PUT));
	/* What answers GET answers HEAD; not the other way. */
	assert_int_equal(match("h", HTTP_HEAD, "/a", &route, &allow), HTTP_MATCH);
	assert_int_equal(route->methods, M(GET));
	assert_int_equal(match("h", HTTP_GET, "/head", &route, &allow), HTTP_MATCH_METHOD);
	assert_int_equal(allow, M(HEAD));
	/* The longest path decides, even when a shorter one knows the method. */
	assert_int_equal(match("h", HTTP_PATCH, "/a", &route, &allow), HTTP_MATCH_METHOD);
	assert_null(route);
	assert_int_equal(match("h", HTTP_OPTIONS, "/a", &route, &allow), HTTP_MATCH_METHOD);
	/* An exact route gives way to the other of its path for what it does not take. */
	assert_int_equal(match("h", HTTP_DELETE, "/a", &route, &allow), HTTP_MATCH);
	assert_int_equal(match("h", HTTP_DELETE, "/a/x", &route, &allow), HTTP_MATCH_METHOD);
	/* No methods: all of them, unknown ones too. */
	assert_int_equal(match("h", HTTP_METHOD_OTHER, "/", &route, &allow), HTTP_MATCH);
	assert_int_equal(allow, ALL);
}

static void test_head_has_its_own_route_where_there_is_one(void **state)
{
	struct http_route *route;
	uint32_t allow;

	assert_int_equal(add("/", false, M(GET)), 0);
	assert_int_equal(add("/", false, M(HEAD)), 0);
	assert_int_equal(match("h", HTTP_HEAD, "/", &route, &allow), HTTP_MATCH);
	assert_int_equal(route->methods, M(HEAD));
}

static void test_routes_that_are_refused(void **state)
{
	static const char *const paths[] = {"", "a", "*", "/a/../b", "//", "/a/.", "/%41", "/a\n"};
	struct http_route many = {.path = STR("/steps"), .step_count = HTTP_STEPS_MAX + 1};
	struct http_route *made;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		assert_int_equal(add(paths[i], false, 0), -EINVAL);
	assert_int_equal(http_router_route(config, site, &many, &made), -EINVAL);
	many.step_count = HTTP_STEPS_MAX;
	assert_int_equal(http_router_route(config, site, &many, &made), 0);
	assert_int_equal(add("/a", false, M(GET) | M(POST)), 0);
	assert_int_equal(add("/a", false, M(POST)), -EEXIST);
	assert_int_equal(add("/a", false, 0), -EEXIST);
	assert_int_equal(add("/a", false, M(PUT)), 0);
	assert_int_equal(add("/a", true, 0), 0);
	assert_int_equal(add("/a", true, M(GET)), -EEXIST);
	assert_int_equal(config->route_count, 4);
}

static void test_routes_are_copied_and_numbered(void **state)
{
	char path[16] = "/r";
	struct http_route route = {.path = {path, 2}, .body_max = 7};
	struct http_route *made[40];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "/r%u", i);
		route.path = str_from(path);
		assert_int_equal(http_router_route(config, site, &route, &made[i]), 0);
		assert_int_equal(made[i]->index, i);
	}
	memset(path, 'x', sizeof(path));
	assert_int_equal(config->route_count, 40);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "/r%u", i);
		assert_ptr_equal(config->routes[i], made[i]);
		assert_true(str_eq(made[i]->path, str_from(path)));
		assert_int_equal(made[i]->body_max, 7);
		expect_route(path, path);
	}
}

/* Paths of the segments "a" and "ab", against a search of all of them. */
static void test_against_a_search_of_all_routes(void **state)
{
	char paths[200][24], path[24];
	unsigned count = 0;
	uint32_t random = 1;

	for (unsigned i = 0; i < 4000; i++) {
		const char *best = "";
		size_t at = 0;

		random = random * 1664525 + 1013904223;
		for (unsigned r = random >> 8, n = r % 6 + 1; n; n--, r /= 3)
			at += (size_t)snprintf(path + at, sizeof(path) - at, "/%s",
					       (const char *[]){"a", "ab", "b"}[r % 3]);
		if (random >> 31)
			strcpy(path + at, "/");
		if (i % 20 == 0 && add(path, false, 0) == 0)
			strcpy(paths[count++], path);
		for (unsigned k = 0; k < count; k++) {
			size_t len = strlen(paths[k]);

			if (strncmp(path, paths[k], len) == 0 && len > strlen(best) &&
			    (!path[len] || path[len] == '/' || path[len - 1] == '/'))
				best = paths[k];
		}
		expect_route(path, best);
	}
	assert_true(count > 50);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_the_longest_path_wins),
		TEST(test_without_a_root_route_there_may_be_none),
		TEST(test_an_exact_route_takes_itself_only_and_first),
		TEST(test_methods),
		TEST(test_head_has_its_own_route_where_there_is_one),
		TEST(test_routes_that_are_refused),
		TEST(test_routes_are_copied_and_numbered),
		TEST(test_against_a_search_of_all_routes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
