// SPDX-License-Identifier: Apache-2.0
#include "upstream/config.h"

#include <errno.h>
#include <stdio.h>

#include "base/compiler.h"
#include "unit.h"

static const struct {
	const char *text;
	enum upstream_server_kind kind;
	const char *is; /* the address, or host and port */
} good[] = {
	{"10.0.0.1:80", UPSTREAM_SERVER_ADDR, "10.0.0.1:80"},
	{"[::1]:8080", UPSTREAM_SERVER_ADDR, "[::1]:8080"},
	{":3000", UPSTREAM_SERVER_ADDR, "127.0.0.1:3000"},
	{"3000", UPSTREAM_SERVER_ADDR, "127.0.0.1:3000"},
	{"unix:/run/app.sock", UPSTREAM_SERVER_ADDR, "unix:/run/app.sock"},
	{"localhost:80", UPSTREAM_SERVER_NAME, "localhost:80"},
	{"a-1.b_2.example.com:65535", UPSTREAM_SERVER_NAME, "a-1.b_2.example.com:65535"},
	{"srv:_http._tcp.example.com", UPSTREAM_SERVER_SRV, "_http._tcp.example.com:0"},
};

static void test_servers_are_addresses_names_and_services(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(good); i++) {
		struct upstream_server_config server;
		char why[256], is[NET_ADDR_TEXT * 3];

		assert_int_equal(upstream_server_parse(str_from(good[i].text), &server, why,
						       sizeof(why)),
				 0);
		assert_int_equal(server.kind, good[i].kind);
		assert_int_equal(server.weight, 1);
		assert_true(str_eq(server.text, str_from(good[i].text)));
		if (server.kind == UPSTREAM_SERVER_ADDR)
			net_addr_print(&server.addr, is);
		else
			snprintf(is, sizeof(is), "%.*s:%u", STR_ARG(server.host), server.port);
		assert_string_equal(is, good[i].is);
	}
}

static const struct {
	const char *text, *why;
} bad[] = {
	{"", "empty"},
	{"http://app:80/x", "a server is an address, not a URL: write \"app:80\""},
	{"https://app", "servers are reached without TLS in this version"},
	{"app", "the port is missing"},
	{"10.0.0.1", "the port is missing"},
	{"app:", "the port is not a number up to 65535"},
	{"app:0", "the port is not a number up to 65535"},
	{"app:65536", "the port is not a number up to 65535"},
	{":0", "port 0"},
	{":70000", "the port is not a number up to 65535"},
	{"*:80", "not a server"},
	{"a..b:80", "not a server"},
	{"1.2.3:80", "not a server"},
	{"a b:80", "not a server"},
	{"srv:", "not a name"},
	{"unix:", "\"unix:\" is not an address: the path is missing"},
};

static void test_what_is_no_server_is_told_with_the_cure(void **state)
{
	char label[256];
	struct upstream_server_config server;
	char why[256];

	for (size_t i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		assert_int_equal(upstream_server_parse(str_from(bad[i].text), &server, why,
						       sizeof(why)),
				 -EINVAL);
		assert_true(str_starts(str_from(why), str_from(bad[i].why)));
	}
	/* A label of 63 bytes, and one more. */
	memset(label, 'a', sizeof(label));
	memcpy(label + 63, ":80", 4);
	assert_int_equal(upstream_server_parse(str_from(label), &server, why, sizeof(why)), 0);
	memcpy(label + 63, "a:80", 5);
	assert_int_equal(upstream_server_parse(str_from(label), &server, why, sizeof(why)),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_servers_are_addresses_names_and_services),
		cmocka_unit_test(test_what_is_no_server_is_told_with_the_cure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
