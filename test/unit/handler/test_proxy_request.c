// SPDX-License-Identifier: Apache-2.0
/* What a server is sent: targets, what it is told of the client, fields that are set and removed. */
#include "handler/proxy/request.h"

#include <string.h>

#include "base/compiler.h"
#include "http/path.h"
#include "unit.h"

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena, 0);
	return 0;
}

static int teardown(void **state)
{
	arena_free(&arena);
	return 0;
}

static void head_of(struct http_head *head, const char *target)
{
	struct str raw = str_from(target);
	ptrdiff_t authority = str_find(raw, STR("://"));

	*head = (struct http_head){.target = raw};
	if (authority > 0) {
		ptrdiff_t slash = str_find_byte(str_skip(raw, (size_t)authority + 3), '/');
		raw = slash < 0 ? STR("/") : str_skip(raw, (size_t)(authority + 3 + slash));
	}
	ptrdiff_t query = str_find_byte(raw, '?');
	if (query >= 0) {
		head->query = str_skip(raw, (size_t)query + 1);
		raw = str_head(raw, (size_t)query);
	}
	if (str_eq(raw, STR("*")))
		head->path = raw;
	else
		assert_int_equal(http_path_normalise(raw, &arena, &head->path), 0);
}

static void test_targets(void **state)
{
	static const struct {
		const char *target, *strip, *prefix, *sent;
	} cases[] = {
		/* Nothing asked for: byte for byte. */
		{"/", "", "", "/"},
		{"/a/../b//c/%7e?x=%20y", "", "", "/a/../b//c/%7e?x=%20y"},
		{"/a?", "", "", "/a?"},
		{"*", "", "", "*"},
		{"http://example.com/a%2Fb?c", "", "", "/a%2Fb?c"},
		{"http://example.com", "", "", "/"},
		/* Whole segments alone are taken off. */
		{"/api", "/api", "", "/"},
		{"/api?x", "/api", "", "/?x"},
		{"/api/", "/api", "", "/"},
		{"/api/users/7?full", "/api", "", "/users/7?full"},
		{"/apis/users", "/api", "", "/apis/users"},
		{"/other", "/api", "", "/other"},
		{"/api/users", "/api/", "", "/users"},
		{"/api", "/api/", "", "/api"},
		{"/a/b/c", "/a/b", "", "/c"},
		{"*", "/api", "/v1", "*"},
		{"/a%2e/b", "/", "", "/a%2e/b"},
		{"http://example.com", "/", "", "/"},
		/* What is left stays as it was written. */
		{"/api/a%20b;v=1/(c)", "/api", "", "/a%20b;v=1/(c)"},
		{"/api/a%2Fb", "/api", "", "/a%2Fb"},
		{"/api//x", "/api", "", "//x"},
		{"/api/x/../y", "/api", "", "/x/../y"},
		/* Unless that would mean something else than what was matched. */
		{"/%61pi/a b;c", "/api", "", "/a%20b%3Bc"},
		{"/x/../api/users", "/api", "", "/users"},
		{"/api/../secret", "/api", "", "/api/../secret"},
		{"/api/../api/users", "/api", "", "/users"},
		{"/api/x/../../api/y", "/api", "", "/y"},
		/* Prefixes. */
		{"/users", "", "/v1", "/v1/users"},
		{"/users?q", "", "/v1/", "/v1/users?q"},
		{"/", "", "/v1", "/v1/"},
		{"/api/users", "/api", "/v1", "/v1/users"},
		{"/api", "/api", "/v1", "/v1/"},
		{"http://example.com/api/x?y", "/api", "/v2", "/v2/x?y"},
		{"http://example.com", "", "/v2", "/v2/"},
	};

	for (size_t i = 0; i < SL_ARRAY_SIZE(cases); i++) {
		struct http_head head;

		head_of(&head, cases[i].target);
		struct str sent = proxy_target(&head, str_from(cases[i].strip),
					       str_from(cases[i].prefix), &arena);
		if (!str_eq(sent, str_from(cases[i].sent)))
			fail_msg("%s without %s with %s: %.*s", cases[i].target, cases[i].strip,
				 cases[i].prefix, STR_ARG(sent));
	}
}

static void test_idempotent_methods(void **state)
{
	static const char *const safe[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
	static const char *const unsafe[] = {"POST", "PATCH", "CONNECT", "PURGE", "get"};

	for (size_t i = 0; i < SL_ARRAY_SIZE(safe); i++)
		assert_true(proxy_idempotent(http_method_find(str_from(safe[i]))));
	for (size_t i = 0; i < SL_ARRAY_SIZE(unsafe); i++)
		assert_false(proxy_idempotent(http_method_find(str_from(unsafe[i]))));
}

static void test_upgrades_that_are_passed_on(void **state)
{
	assert_true(proxy_upgrade_allowed(STR("websocket")));
	assert_true(proxy_upgrade_allowed(STR("websocket, foo/2")));
	assert_false(proxy_upgrade_allowed(STR("h2c")));
	assert_false(proxy_upgrade_allowed(STR("websocket, H2C")));
	assert_false(proxy_upgrade_allowed(STR("h2c-14")));
}

static const char *field(const struct http_fields *fields, const char *name)
{
	static char text[1024];
	unsigned seen = 0;

	for (unsigned i = 0; i < fields->count; i++) {
		if (!str_eq_nocase(fields->v[i].name, str_from(name)))
			continue;
		assert_true(fields->v[i].value.len < sizeof(text));
		memcpy(text, fields->v[i].value.p, fields->v[i].value.len);
		text[fields->v[i].value.len] = '\0';
		seen++;
	}
	assert_true(seen <= 1);
	return seen ? text : "none";
}

static struct net_addr addr(const char *text)
{
	struct net_addr a;
	char why[128];

	assert_int_equal(net_addr_parse(str_from(text), &a, why, sizeof(why)), 0);
	return a;
}

static void add(struct http_fields *fields, const char *name, const char *value)
{
	assert_int_equal(http_fields_add_named(fields, &arena, str_from(name), str_from(value)), 0);
}

static void check_forwarded(const struct http_fields *in, const char *peer, const char *host,
			    const char *for_, const char *forwarded)
{
	struct http_fields out = {0};
	struct net_addr a = peer ? addr(peer) : (struct net_addr){0};

	assert_int_equal(proxy_forwarded_add(&out, in, peer ? &a : NULL, str_from(host),
					     STR("http"), &arena),
			 0);
	assert_string_equal(field(&out, "x-forwarded-for"), for_);
	assert_string_equal(field(&out, "forwarded"), forwarded);
}

static void test_forwarded_for_a_new_way(void **state)
{
	const struct http_fields none = {0};
	struct http_fields out = {0};
	struct net_addr peer = addr("192.0.2.7:1234");

	check_forwarded(&none, "192.0.2.7:1234", "a.example", "192.0.2.7",
			"for=192.0.2.7;host=a.example;proto=http");
	check_forwarded(&none, "192.0.2.7:1234", "a.example:8080", "192.0.2.7",
			"for=192.0.2.7;host=\"a.example:8080\";proto=http");
	check_forwarded(&none, "[2001:db8::1]:80", "[::1]", "2001:db8::1",
			"for=\"[2001:db8::1]\";host=\"[::1]\";proto=http");
	check_forwarded(&none, "[::ffff:192.0.2.7]:80", "", "192.0.2.7",
			"for=192.0.2.7;proto=http");
	check_forwarded(&none, "unix:/run/x", "a", "none", "for=unknown;host=a;proto=http");
	check_forwarded(&none, NULL, "a", "none", "for=unknown;host=a;proto=http");
	assert_int_equal(proxy_forwarded_add(&out, &none, &peer, STR("h"), STR("https"), &arena),
			 0);
	assert_string_equal(field(&out, "x-forwarded-proto"), "https");
	assert_string_equal(field(&out, "x-forwarded-host"), "h");
}

static void test_forwarded_goes_on_behind_a_trusted_proxy(void **state)
{
	struct http_fields in = {0}, out = {0};
	struct net_addr peer = addr("10.0.0.9:1");

	add(&in, "X-Forwarded-For", "192.0.2.1");
	add(&in, "x-forwarded-for", "192.0.2.2, 10.0.0.1");
	add(&in, "Forwarded", "for=192.0.2.1");
	add(&in, "X-Forwarded-Proto", "https");
	add(&in, "X-Forwarded-Host", "front.example");
	assert_int_equal(proxy_forwarded_add(&out, &in, &peer, STR("inner"), STR("http"), &arena),
			 0);
	assert_string_equal(field(&out, "x-forwarded-for"),
			    "192.0.2.1, 192.0.2.2, 10.0.0.1, 10.0.0.9");
	assert_string_equal(field(&out, "forwarded"),
			    "for=192.0.2.1, for=10.0.0.9;host=inner;proto=http");
	assert_string_equal(field(&out, "x-forwarded-proto"), "https");
	assert_string_equal(field(&out, "x-forwarded-host"), "front.example");
	check_forwarded(&in, "unix:/run/x", "inner", "192.0.2.1, 192.0.2.2, 10.0.0.1, unknown",
			"for=192.0.2.1, for=unknown;host=inner;proto=http");
}

static void test_via(void **state)
{
	struct http_fields in = {0}, out = {0};

	assert_int_equal(proxy_via_add(&out, &in, 11, &arena), 0);
	assert_string_equal(field(&out, "via"), "1.1 sluice");
	out = (struct http_fields){0};
	add(&in, "Via", "1.0 fred");
	add(&in, "X", "y");
	add(&in, "via", "1.1 p.example (x)");
	assert_int_equal(proxy_via_add(&out, &in, 10, &arena), 0);
	assert_string_equal(field(&out, "via"), "1.0 fred, 1.1 p.example (x), 1.0 sluice");
	/* In place, as answers have it. */
	assert_int_equal(proxy_via_add(&in, &in, 11, &arena), 0);
	assert_string_equal(field(&in, "via"), "1.0 fred, 1.1 p.example (x), 1.1 sluice");
	assert_string_equal(field(&in, "x"), "y");
}

static int peer_of(struct http_stream *s, bool peer, struct net_addr *a)
{
	*a = addr("[2001:db8::7]:4000");
	return 0;
}

static void test_fields_are_removed_then_set(void **state)
{
	static const struct http_wire_ops wire = {.peer = peer_of};
	static const struct str remove[] = {STR("cookie"), STR("X-Secret"), STR("none-such")};
	static const struct http_field set[] = {
		{.name = STR("X-Client"), .value = STR("$client")},
		{.name = STR("x-all"), .value = STR("$scheme://$host$path to $server, $5 $")},
		{.name = STR("Authorization"), .value = STR("Basic abc")},
		{.name = STR("X-Empty"), .value = STR("")},
		{.name = STR("X-Secret"), .value = STR("ours")},
	};
	const struct proxy_fields config = {
		.set = set,
		.set_count = SL_ARRAY_SIZE(set),
		.remove = remove,
		.remove_count = SL_ARRAY_SIZE(remove),
	};
	struct http_stream s = {.wire = &wire, .arena = &arena};
	const struct proxy_vars vars = {.stream = &s, .server = STR("10.0.0.1:80")};
	struct http_fields fields = {0};

	s.request.scheme = STR("https");
	s.request.authority = STR("a.example");
	s.request.path = STR("/a b\xff");
	add(&fields, "Cookie", "a=b");
	add(&fields, "Accept", "*/*");
	add(&fields, "x-secret", "theirs");
	add(&fields, "authorization", "Bearer x");
	add(&fields, "cookie", "c=d");
	assert_int_equal(proxy_fields_apply(&fields, &config, &vars, &arena), 0);
	assert_int_equal(fields.count, 6);
	assert_string_equal(field(&fields, "cookie"), "none");
	assert_string_equal(field(&fields, "accept"), "*/*");
	assert_string_equal(field(&fields, "x-secret"), "ours");
	assert_string_equal(field(&fields, "x-client"), "2001:db8::7");
	assert_string_equal(field(&fields, "x-all"),
			    "https://a.example/a%20b%FF to 10.0.0.1:80, $5 $");
	assert_string_equal(field(&fields, "authorization"), "Basic abc");
	assert_string_equal(field(&fields, "x-empty"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_targets, setup, teardown),
		cmocka_unit_test(test_idempotent_methods),
		cmocka_unit_test(test_upgrades_that_are_passed_on),
		cmocka_unit_test_setup_teardown(test_forwarded_for_a_new_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_forwarded_goes_on_behind_a_trusted_proxy,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_via, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fields_are_removed_then_set, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
