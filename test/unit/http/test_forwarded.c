// SPDX-License-Identifier: Apache-2.0
// Rule 14: who the client is, and what is believed of it.
#include <arpa/inet.h>
#include <stdio.h>

#include "http/forwarded.h"
#include "unit.h"

#define LINES_MAX 4

static const char *const trusted_ranges[] = {"10.0.0.0/8", "::1", "2001:db8::/32"};

struct line {
	const char *name, *value;
};

static void add_lines(struct http_fields *f, struct arena *arena, const struct line *lines)
{
	memset(f, 0, sizeof(*f));
	arena_init(arena, 0);
	for (unsigned i = 0; i < LINES_MAX && lines[i].name; i++)
		assert_int_equal(http_fields_add_named(f, arena, str_from(lines[i].name),
						       str_from(lines[i].value)),
				 0);
}

static void client_of(const char *peer, struct http_fields *f, char text[INET6_ADDRSTRLEN + 8])
{
	struct http_cidr trusted[3];
	struct net_addr p, a;
	const void *address;

	for (unsigned i = 0; i < 3; i++)
		assert_true(http_cidr_parse(str_from(trusted_ranges[i]), &trusted[i]));
	assert_true(http_hop_parse(str_from(peer), &p));
	a = http_client_addr(&p, trusted, 3, f);
	address = a.u.sa.sa_family == AF_INET
			? (const void *)&((struct sockaddr_in *)&a.u.storage)->sin_addr
			: (const void *)&((struct sockaddr_in6 *)&a.u.storage)->sin6_addr;
	assert_non_null(inet_ntop(a.u.sa.sa_family, address, text, INET6_ADDRSTRLEN));
}

static void test_rule_14_read_from_the_right(void **state)
{
	static const struct {
		const char *peer, *client;
		struct line lines[LINES_MAX];
	} table[] = {
		{"10.0.0.1", "10.0.0.1", {{NULL, NULL}}},
		{"10.0.0.1", "1.2.3.4", {{"X-Forwarded-For", "1.2.3.4"}}},
		{"10.0.0.1", "1.2.3.4", {{"x-forwarded-for", "9.9.9.9, 1.2.3.4"}}},
		{"10.0.0.1", "1.2.3.4", {{"X-Forwarded-For", "9.9.9.9,1.2.3.4 , 10.0.0.2"}}},
		{"10.0.0.1", "10.0.0.3", {{"X-Forwarded-For", "10.0.0.3, 10.0.0.2"}}},
		{"10.0.0.1",
		 "1.2.3.4",
		 {{"X-Forwarded-For", "9.9.9.9, 1.2.3.4"},
		  {"Host", "a"},
		  {"X-Forwarded-For", "10.0.0.2, 10.0.0.3"}}},
		/* What is no address ends the list: before it nothing can be believed. */
		{"10.0.0.1", "10.0.0.2", {{"X-Forwarded-For", "1.2.3.4, unknown, 10.0.0.2"}}},
		{"10.0.0.1", "10.0.0.1", {{"X-Forwarded-For", "1.2.3.4, "}}},
		{"10.0.0.1", "10.0.0.1", {{"X-Forwarded-For", "1.2.3.4 5.6.7.8"}}},
		{"10.0.0.1", "1.2.3.4", {{"X-Forwarded-For", "1.2.3.4:5678"}}},
		{"::1", "2001:db9::1", {{"X-Forwarded-For", "2001:db9::1"}}},
		{"::1", "2001:db9::1", {{"X-Forwarded-For", "[2001:db9::1]:80, 2001:db8::5"}}},
		{"10.0.0.1", "1.2.3.4", {{"Forwarded", "for=1.2.3.4"}}},
		{"10.0.0.1",
		 "1.2.3.4",
		 {{"Forwarded", "For=\"1.2.3.4:80\";proto=https;by=10.0.0.1"}}},
		{"10.0.0.1",
		 "2001:db9::1",
		 {{"Forwarded", "for=9.9.9.9, by=x; for=\"[2001:db9::1]:80\" , for=10.0.0.9"}}},
		{"10.0.0.1", "10.0.0.1", {{"Forwarded", "for=1.2.3.4, for=_hidden"}}},
		{"10.0.0.1", "10.0.0.1", {{"Forwarded", "for=1.2.3.4, proto=https"}}},
		{"10.0.0.1", "10.0.0.1", {{"Forwarded", "for=1.2.3.4, for=\"a,b\""}}},
		{"10.0.0.1", "10.0.0.1", {{"Forwarded", "for="}}},
		{"10.0.0.1", "10.0.0.1", {{"Forwarded", "for=\"1.2.3.4"}}},
		/* The one that more proxies write is read first. */
		{"10.0.0.1",
		 "1.2.3.4",
		 {{"Forwarded", "for=9.9.9.9"}, {"X-Forwarded-For", "1.2.3.4"}}},
	};
	char text[INET6_ADDRSTRLEN + 8];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct http_fields f;
		struct arena arena;
		unsigned count;

		add_lines(&f, &arena, table[i].lines);
		count = f.count;
		client_of(table[i].peer, &f, text);
		assert_string_equal(text, table[i].client);
		assert_int_equal(f.count, count);
		arena_free(&arena);
	}
}

static void test_rule_14_others_are_not_believed(void **state)
{
	static const struct line lines[LINES_MAX] = {{"X-Forwarded-For", "1.2.3.4"},
						     {"X-Forwarded-Proto", "https"},
						     {"Accept", "a"},
						     {"x-forwarded-port", "443"}};
	static const struct line more[LINES_MAX] = {{"Forwarded", "for=1.2.3.4"},
						    {"Accept", "a"},
						    {"X-Forwarder", "b"},
						    {"Accept", "c"}};
	char text[INET6_ADDRSTRLEN + 8];
	struct http_fields f;
	struct arena arena;

	add_lines(&f, &arena, lines);
	client_of("11.0.0.1", &f, text);
	assert_string_equal(text, "11.0.0.1");
	assert_int_equal(f.count, 1);
	assert_null(http_fields_get(&f, HTTP_X_FORWARDED_FOR).p);
	assert_null(http_fields_get(&f, HTTP_X_FORWARDED_PROTO).p);
	assert_true(str_eq(http_fields_get(&f, HTTP_ACCEPT), STR("a")));
	arena_free(&arena);

	add_lines(&f, &arena, more);
	client_of("2001:db9::1", &f, text);
	assert_string_equal(text, "2001:db9::1");
	assert_int_equal(f.count, 3);
	assert_int_equal(f.first[HTTP_FORWARDED], 0);
	assert_int_equal(f.first[HTTP_ACCEPT], 1);
	assert_int_equal(f.first[HTTP_OTHER], 2);
	assert_true(str_eq(f.v[2].value, STR("c")));
	arena_free(&arena);
}

static void test_hops_at_their_limit(void **state)
{
	char list[4096], text[INET6_ADDRSTRLEN + 8];

	for (unsigned hops = HTTP_HOPS_MAX; hops <= HTTP_HOPS_MAX + 1; hops++) {
		const struct line lines[LINES_MAX] = {{"X-Forwarded-For", list}};
		struct http_fields f;
		struct arena arena;
		size_t at = (size_t)snprintf(list, sizeof(list), "1.2.3.4");

		for (unsigned i = 1; i < hops; i++)
			at += (size_t)snprintf(list + at, sizeof(list) - at, ",10.0.0.%u", i);
		add_lines(&f, &arena, lines);
		client_of("10.0.0.99", &f, text);
		assert_string_equal(text, hops > HTTP_HOPS_MAX ? "10.0.0.1" : "1.2.3.4");
		arena_free(&arena);
	}
}

static void test_hops(void **state)
{
	static const char *const bad[] = {
		"",          ":",
		"1.2.3",     "1.2.3.4:",
		"1.2.3.4:x", "1.2.3.4:65536",
		"[::1",      "::1]",
		"[::1]80",   "[::1]:",
		"a",         "[]",
		"_x",        "11111111111111111111111111111111111111111111111111"};
	struct net_addr a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(http_hop_parse(str_from(bad[i]), &a));
	assert_true(http_hop_parse(STR("1.2.3.4:80"), &a));
	assert_int_equal(a.u.sa.sa_family, AF_INET);
	assert_int_equal(ntohs(((struct sockaddr_in *)&a.u.storage)->sin_port), 80);
	assert_int_equal(a.len, sizeof(struct sockaddr_in));
	assert_true(http_hop_parse(STR("[::1]:81"), &a));
	assert_int_equal(a.u.sa.sa_family, AF_INET6);
	assert_int_equal(ntohs(((struct sockaddr_in6 *)&a.u.storage)->sin6_port), 81);
	assert_int_equal(a.len, sizeof(struct sockaddr_in6));
	assert_true(http_hop_parse(STR("::1"), &a));
	assert_true(http_hop_parse(STR("[::1]"), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_14_read_from_the_right),
		cmocka_unit_test(test_rule_14_others_are_not_believed),
		cmocka_unit_test(test_hops_at_their_limit),
		cmocka_unit_test(test_hops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
