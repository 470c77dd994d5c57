// SPDX-License-Identifier: Apache-2.0
#include "net/addr.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "base/compiler.h"
#include "unit.h"

static struct net_addr parse(const char *text)
{
	struct net_addr a;
	char why[256] = "";

	if (net_addr_parse(str_from(text), &a, why, sizeof(why)))
		fail_msg("%s", why);
	return a;
}

static void test_what_is_printed_is_what_was_parsed(void **state)
{
	static const struct {
		const char *text, *printed, *host;
		unsigned port;
	} rows[] = {
		{":8080", "[::]:8080", "::", 8080},
		{"*:80", "[::]:80", "::", 80},
		{"8080", "[::]:8080", "::", 8080},
		{":0", "[::]:0", "::", 0},
		{"127.0.0.1:65535", "127.0.0.1:65535", "127.0.0.1", 65535},
		{"[::1]:80", "[::1]:80", "::1", 80},
		{"[2001:db8::1:0]:443", "[2001:db8::1:0]:443", "2001:db8::1:0", 443},
		{"[::ffff:10.0.0.1]:80", "10.0.0.1:80", "10.0.0.1", 80},
		{"unix:/run/a.sock", "unix:/run/a.sock", "unix:", 0},
		{"unix:@hidden", "unix:@hidden", "unix:", 0},
		{"unix:@", "unix:@", "unix:", 0},
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		struct net_addr a = parse(rows[i].text);
		char text[NET_ADDR_TEXT];

		assert_int_equal(net_addr_print(&a, text), strlen(rows[i].printed));
		assert_string_equal(text, rows[i].printed);
		assert_int_equal(net_addr_print_host(&a, text), strlen(rows[i].host));
		assert_string_equal(text, rows[i].host);
		assert_int_equal(net_addr_port(&a), rows[i].port);
		assert_true(net_addr_eq(&a, &a));
	}
}

static void test_what_is_no_address(void **state)
{
	static const struct str bad[] = {
		STR(""),
		STR(":"),
		STR(":65536"),
		STR(":-1"),
		STR(":8o"),
		STR(":99999999999999999999"),
		STR("localhost:80"),
		STR("127.0.0.1"),
		STR("127.0.0.1:"),
		STR("256.0.0.1:80"),
		STR("::1:80"),
		STR("[::1]"),
		STR("[::1]80"),
		STR("[::1:80"),
		STR("[]:80"),
		STR("[127.0.0.1]:80"),
		STR("127.0.0.1\0x:80"),
		STR("unix:"),
		STR("unix:/a\0b"),
		STR("[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb]:80"),
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(bad); i++) {
		struct net_addr a;
		char why[256] = "";

		if (net_addr_parse(bad[i], &a, why, sizeof(why)) != -EINVAL)
			fail_msg("taken for an address: %.*s", STR_ARG(bad[i]));
		assert_non_null(strstr(why, "is not an address"));
	}
}

static void test_the_longest_path(void **state)
{
	char text[5 + sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "unix:";
	char printed[NET_ADDR_TEXT], why[256];
	struct net_addr a;
	size_t longest = sizeof(text) - 2;

	memset(text + 5, 'x', longest - 5);
	a = parse(text);
	assert_int_equal(net_addr_print(&a, printed), longest);
	assert_string_equal(printed, text);
	text[longest] = 'x';
	assert_int_equal(net_addr_parse((struct str){text, longest + 1}, &a, why, sizeof(why)),
			 -EINVAL);
}

static void test_which_are_the_same(void **state)
{
	static const char *const all[] = {
		":80",      ":81",     "127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80",
		"[::1]:80", "unix:/a", "unix:/b",      "unix:@a",      "unix:/a/long",
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(all); i++) {
		for (unsigned j = 0; j < SL_ARRAY_SIZE(all); j++) {
			struct net_addr a = parse(all[i]), b = parse(all[j]);

			assert_int_equal(net_addr_eq(&a, &b), i == j);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_printed_is_what_was_parsed),
		cmocka_unit_test(test_what_is_no_address),
		cmocka_unit_test(test_the_longest_path),
		cmocka_unit_test(test_which_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
