// SPDX-License-Identifier: Apache-2.0
// Hosts and sites, references of a configuration, and address ranges.
#include <errno.h>
#include <stdio.h>

#include "http/authority.h"
#include "http/forwarded.h"
#include "http/router.h"
#include "unit.h"

static struct http_site *add_site(struct http_config *c, const char *host, const char *path)
{
	struct http_site *site = NULL;
	struct http_route route = {.path = str_from(path)}, *made;

	assert_int_equal(http_router_site(c, 0, str_from(host), &site), 0);
	assert_non_null(site);
	assert_int_equal(http_router_route(c, site, &route, &made), 0);
	return site;
}

/* The site is known by the path of its only route: "" for 421. */
static void expect_site(struct http_config *c, const char *host, const char *path)
{
	struct http_head head = {.method = HTTP_GET, .authority = str_from(host)};
	struct http_route *route;
	uint32_t allow;

	head.path = str_from(*path ? path : "/");
	if (http_router_match(c->routers[0], &head, &route, &allow) !=
	    (*path ? HTTP_MATCH : HTTP_MATCH_HOST))
		print_error("%s\n", host);
	assert_int_equal(http_router_match(c->routers[0], &head, &route, &allow),
			 *path ? HTTP_MATCH : HTTP_MATCH_HOST);
	assert_int_equal(route != NULL, *path != '\0');
}

static void test_hosts(void **state)
{
	struct http_config *c = http_config_new(1);

	assert_non_null(c);
	add_site(c, "example.com", "/exact");
	add_site(c, "*.example.com", "/any");
	add_site(c, "*.b.example.com", "/b");
	add_site(c, "WWW.Example.COM.", "/www");
	add_site(c, "[::1]", "/v6");
	add_site(c, "127.0.0.1", "/v4");
	add_site(c, "", "/default");
	expect_site(c, "example.com", "/exact");
	expect_site(c, "EXAMPLE.com:8080", "/exact");
	expect_site(c, "example.com.", "/exact");
	expect_site(c, "example.com.:80", "/exact");
	expect_site(c, "www.example.com", "/www");
	expect_site(c, "x.example.com", "/any");
	expect_site(c, "x.y.example.com:1", "/any");
	expect_site(c, "b.example.com", "/any");
	expect_site(c, "x.b.Example.com", "/b");
	expect_site(c, "xexample.com", "/default");
	expect_site(c, "com", "/default");
	expect_site(c, "other.org", "/default");
	expect_site(c, "", "/default");
	expect_site(c, ".", "/default");
	expect_site(c, "[::1]:80", "/v6");
	expect_site(c, "[::2]", "/default");
	expect_site(c, "127.0.0.1:8080", "/v4");
	http_config_unref(c);
}

static void test_the_first_site_is_the_default_where_there_is_none(void **state)
{
	struct http_config *c = http_config_new(1);

	assert_non_null(c);
	expect_site(c, "a", "");
	add_site(c, "a", "/a");
	expect_site(c, "x", "/a");
	add_site(c, "b", "/b");
	expect_site(c, "x", "/a");
	expect_site(c, "b", "/b");
	c->routers[0]->strict_hosts = true;
	expect_site(c, "x", "");
	expect_site(c, "a", "/a");
	http_config_unref(c);
}

static void test_strict_hosts(void **state)
{
	struct http_config *c = http_config_new(1);

	assert_non_null(c);
	c->routers[0]->strict_hosts = true;
	add_site(c, "a", "/a");
	expect_site(c, "a", "/a");
	expect_site(c, "b", "");
	expect_site(c, "", "");
	/* A default that is written down is not against it. */
	add_site(c, "*", "/default");
	expect_site(c, "b", "/default");
	http_config_unref(c);
}

static void test_hosts_may_share_a_site(void **state)
{
	struct http_config *c = http_config_new(2);
	struct http_site *site;

	assert_non_null(c);
	site = add_site(c, "a", "/a");
	assert_int_equal(http_router_site(c, 0, STR("b"), &site), 0);
	expect_site(c, "b", "/a");
	add_site(c, "c", "/c");
	expect_site(c, "b", "/a");
	expect_site(c, "c", "/c");
	/* On another listener too. */
	assert_int_equal(http_router_site(c, 1, STR("c"), &site), 0);
	assert_int_equal(http_router_site(c, 2, STR("c"), &site), -EINVAL);
	http_config_unref(c);
}

static void test_hosts_that_are_refused(void **state)
{
	static const char *const hosts[] = {"a b",   "a:80", "u@a",      "*.",    "**",
					    "*.*.a", "a/b",  ".",        ".a",    "[::1",
					    "[x]",   "*a",   "[::1]:80", "*.[::1"};
	struct http_config *c = http_config_new(1);
	struct http_site *site;
	char host[HTTP_HOST_MAX + 2];

	assert_non_null(c);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		site = NULL;
		assert_int_equal(http_router_site(c, 0, str_from(hosts[i]), &site), -EINVAL);
		assert_null(site);
	}
	add_site(c, "a", "/a");
	add_site(c, "*.a", "/a");
	add_site(c, "*", "/a");
	for (unsigned i = 0; i < 4; i++) {
		site = NULL;
		assert_int_equal(
			http_router_site(c, 0, str_from((const char *[]){"A", "*.A.", "", "*"}[i]),
					 &site),
			-EEXIST);
	}
	memset(host, 'h', sizeof(host));
	assert_int_equal(http_router_site(c, 0, (struct str){host, HTTP_HOST_MAX + 1}, &site),
			 -EINVAL);
	assert_int_equal(http_router_site(c, 0, (struct str){host, HTTP_HOST_MAX}, &site), 0);
	http_config_unref(c);
}

static void test_many_sites(void **state)
{
	struct http_config *c = http_config_new(1);
	char host[32], path[32];

	assert_non_null(c);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(host, sizeof(host), "%sh%u.example", i % 2 ? "*." : "", i);
		snprintf(path, sizeof(path), "/p%u", i);
		add_site(c, host, path);
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(host, sizeof(host), "%sh%u.example", i % 2 ? "x.y." : "", i);
		snprintf(path, sizeof(path), "/p%u", i);
		expect_site(c, host, path);
	}
	http_config_unref(c);
}

static unsigned freed_count;

static void count_freed(struct http_config *c)
{
	assert_ptr_equal(c->owner, &freed_count);
	freed_count++;
}

static void test_the_last_reference_frees(void **state)
{
	struct http_config *c = http_config_new(3);

	assert_non_null(c);
	assert_int_equal(c->router_count, 3);
	assert_int_equal(c->limits.request_line_max, 8192);
	assert_int_equal(c->limits.fields_bytes_max, 32768);
	assert_int_equal(c->limits.fields_max, 100);
	assert_int_equal(c->limits.body_max, 10485760);
	c->freed = count_freed;
	c->owner = &freed_count;
	freed_count = 0;
	assert_ptr_equal(http_config_ref(c), c);
	http_config_unref(c);
	assert_int_equal(freed_count, 0);
	http_config_unref(c);
	assert_int_equal(freed_count, 1);
}

static void test_cidr(void **state)
{
	static const struct {
		const char *range, *address;
		bool matches;
	} table[] = {
		{"10.0.0.0/8", "10.255.0.1", true},
		{"10.0.0.0/8", "11.0.0.1", false},
		{"10.1.2.3/8", "10.9.9.9", true},
		{"192.168.1.1", "192.168.1.1", true},
		{"192.168.1.1", "192.168.1.2", false},
		{"192.168.1.0/31", "192.168.1.1", true},
		{"192.168.1.0/31", "192.168.1.2", false},
		{"0.0.0.0/0", "1.2.3.4", true},
		{"0.0.0.0/0", "::1", false},
		{"::/0", "1.2.3.4", false},
		{"::/0", "fe80::1", true},
		{"::1", "::1", true},
		{"::1", "::2", false},
		{"fe80::/10", "febf::1", true},
		{"fe80::/10", "fec0::1", false},
		{"2001:db8::/33", "2001:db8:7fff::1", true},
		{"2001:db8::/33", "2001:db8:8000::1", false},
		{"10.0.0.0/8", "::ffff:10.1.1.1", true},
		{"127.0.0.0/8", "[::ffff:127.0.0.1]:80", true},
	};
	struct http_cidr cidr;
	struct net_addr a;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		assert_true(http_cidr_parse(str_from(table[i].range), &cidr));
		assert_true(http_hop_parse(str_from(table[i].address), &a));
		assert_int_equal(http_cidr_match(&cidr, 1, &a), table[i].matches);
		assert_false(http_cidr_match(&cidr, 0, &a));
	}
	memset(&a, 0, sizeof(a));
	a.u.sa.sa_family = AF_UNIX;
	assert_true(http_cidr_parse(STR("0.0.0.0/0"), &cidr));
	assert_false(http_cidr_match(&cidr, 1, &a));
}

static void test_what_is_no_cidr(void **state)
{
	static const char *const table[] = {
		"",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"10.0.0/8",
		"::/129",
		"::1/ 8",
		"localhost",
		"10.0.0.256",
		" 10.0.0.1",
		"[::1]",
		"fe80::1%eth0",
		"10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0",
	};
	struct http_cidr cidr;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_false(http_cidr_parse(str_from(table[i]), &cidr));
	assert_false(http_cidr_parse(STR("10.0.0.1\0x"), &cidr));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_the_first_site_is_the_default_where_there_is_none),
		cmocka_unit_test(test_strict_hosts),
		cmocka_unit_test(test_hosts_may_share_a_site),
		cmocka_unit_test(test_hosts_that_are_refused),
		cmocka_unit_test(test_many_sites),
		cmocka_unit_test(test_the_last_reference_frees),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_what_is_no_cidr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
