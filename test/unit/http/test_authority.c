// SPDX-License-Identifier: Apache-2.0
// Rule 11: hosts and ports (RFC 3986 section 3.2).
#include <stdlib.h>

#include "http/authority_quick.h"
#include "unit.h"

/* From memory of its own length, and with more behind it, as in a head. */
static void expect_parts(struct str text, bool ok, const char *host, const char *port)
{
	static const char behind[] = "\r\nA: b\r\nC: 1234567890:abcdef\r\n";
	char *copy = malloc(text.len + sizeof(behind));
	char *own = malloc(text.len ? text.len : 1);
	struct str got_host, got_port, s = {own, text.len};

	assert_non_null(copy);
	assert_non_null(own);
	memcpy(own, text.p, text.len);
	memcpy(copy, text.p, text.len);
	memcpy(copy + text.len, behind, sizeof(behind));
	if (http_authority_split(s, &got_host, &got_port) != ok)
		print_error("%.*s\n", STR_ARG(text));
	assert_int_equal(http_authority_split(s, &got_host, &got_port), ok);
	assert_int_equal(http_authority_valid(s, text.len), ok);
	assert_int_equal(
		http_authority_valid((struct str){copy, text.len}, text.len + sizeof(behind)), ok);
	if (ok) {
		assert_true(str_eq(got_host, str_from(host)));
		assert_true(str_eq(got_port, str_from(port)));
		assert_int_equal(got_port.p != NULL, port != NULL);
		assert_true(str_eq(http_authority_host(s), str_from(host)));
	}
	free(own);
	free(copy);
}

#define expect_ok(text, host, port) expect_parts(STR(text), true, host, port)
#define expect_bad(text) expect_parts(STR(text), false, NULL, NULL)

static void test_names_and_addresses(void **state)
{
	expect_ok("a", "a", NULL);
	expect_ok("example.com", "example.com", NULL);
	expect_ok("www.a-long-name.of-many.labels.example.com",
		  "www.a-long-name.of-many.labels.example.com", NULL);
	expect_ok("example.com.", "example.com.", NULL);
	expect_ok("127.0.0.1", "127.0.0.1", NULL);
	expect_ok("12345", "12345", NULL);
	expect_ok("a_b~c", "a_b~c", NULL);
	expect_ok("!$&'()*+,;=", "!$&'()*+,;=", NULL);
	expect_ok("a%20b%C3%a4", "a%20b%C3%a4", NULL);
	expect_ok("[::1]", "[::1]", NULL);
	expect_ok("[2001:db8::192.0.2.1]", "[2001:db8::192.0.2.1]", NULL);
	expect_ok("[1111:2222:3333:4444:5555:6666:255.255.255.255]",
		  "[1111:2222:3333:4444:5555:6666:255.255.255.255]", NULL);
}

static void test_ports(void **state)
{
	expect_ok("a:", "a", "");
	expect_ok("a:0", "a", "0");
	expect_ok("a:80", "a", "80");
	expect_ok("127.0.0.1:8080", "127.0.0.1", "8080");
	expect_ok("127.0.0.1:65535", "127.0.0.1", "65535");
	expect_ok("0123456789abc:99", "0123456789abc", "99");
	expect_ok("0123456789abcde:1", "0123456789abcde", "1");
	expect_ok("0123456789abcde:", "0123456789abcde", "");
	expect_ok("0123456:", "0123456", "");
	expect_ok("a_b:80", "a_b", "80");
	expect_ok("[::1]:443", "[::1]", "443");
	expect_ok("[::1]:", "[::1]", "");
	expect_bad("a:65536");
	expect_bad("a:99999");
	expect_bad("a:000080");
	expect_bad("a:8x");
	expect_bad("a:-1");
	expect_bad("a:+1");
	expect_bad("a: 1");
	expect_bad("a:1 ");
	expect_bad("a:1:2");
	expect_bad("a:b");
	expect_bad("[::1]:65536");
	expect_bad("[::1]:x");
	expect_bad("[::1]80");
	expect_bad("[::1]]");
}

static void test_what_is_no_authority(void **state)
{
	expect_bad("");
	expect_bad(":");
	expect_bad(":80");
	expect_bad("a b");
	expect_bad(" a");
	expect_bad("a ");
	expect_bad("a/b");
	expect_bad("a?b");
	expect_bad("a#b");
	expect_bad("u@a");
	expect_bad("u:p@a");
	expect_bad("a\\b");
	expect_bad("a\"");
	expect_bad("<a>");
	expect_bad("a%");
	expect_bad("a%2");
	expect_bad("a%2g");
	expect_bad("a%zz");
	expect_bad("\xc3\xa4");
	expect_bad("a\0b");
	expect_bad("\0");
	expect_bad("::1");
	expect_bad("[]");
	expect_bad("[");
	expect_bad("[::1");
	expect_bad("[a]");
	expect_bad("[127.0.0.1]");
	expect_bad("[::1%25eth0]");
	expect_bad("[v1.x]");
	expect_bad("[::1\0]");
	expect_bad("[0000:0000:0000:0000:0000:0000:0000:0000:0000]");
	expect_bad("[1111:2222:3333:4444:5555:6666:255.255.255.2555]");
	expect_bad("x[::1]");
	expect_bad("http://a");
}

static void test_a_host_at_its_limit(void **state)
{
	char text[HTTP_HOST_MAX + 8];
	struct str host, port;

	memset(text, 'h', sizeof(text));
	assert_true(http_authority_split((struct str){text, HTTP_HOST_MAX}, &host, &port));
	assert_false(http_authority_split((struct str){text, HTTP_HOST_MAX + 1}, &host, &port));
	memcpy(text + HTTP_HOST_MAX, ":65535", 6);
	assert_true(http_authority_split((struct str){text, HTTP_HOST_MAX + 6}, &host, &port));
	assert_int_equal(host.len, HTTP_HOST_MAX);
}

/* The quick check of a vector must say what the thorough one says. */
static void test_both_checks_agree(void **state)
{
	static const char bytes[] = "aA0-9.:::[]%_@ /";
	uint32_t random = 1;
	char text[40];

	for (unsigned round = 0; round < 200000; round++) {
		struct str host, port, s = {text, 0};

		for (size_t i = 0; i < sizeof(text); i++) {
			random = random * 1664525 + 1013904223;
			text[i] = bytes[(random >> 8) % (round % 2 ? 7 : sizeof(bytes) - 1)];
		}
		s.len = (random >> 8) % 22;
		assert_int_equal(http_authority_valid(s, sizeof(text)),
				 http_authority_split(s, &host, &port));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_addresses),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_what_is_no_authority),
		cmocka_unit_test(test_a_host_at_its_limit),
		cmocka_unit_test(test_both_checks_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
