// SPDX-License-Identifier: Apache-2.0
/* Servers that are names, with a name server that changes its mind. */
#include "build_config.h"
#include "net/dns.h"
#include "upstream/groups.h"

static int start(void **state)
{
	dns_open();
	groups_start(dns.servers);
	return 0;
}

static int stop(void **state)
{
	groups_stop();
	dns_close();
	return 0;
}

#define UNTIL(what) PAIR_UNTIL(t.loop, (dns_serve(), what))

static bool has(const char *text)
{
	return strcmp(groups_text(), text) == 0;
}

static void test_every_address_is_a_server(void **state)
{
	dns_add("app.test", DNS_A, 300, "10.0.0.2");
	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	dns_add("app.test", DNS_AAAA, 300, "fd00::1");
	groups_server("10.0.0.9:80");
	groups_server("app.test:8080")->weight = 3;
	groups_join();
	/* What is known is used at once. */
	assert_string_equal(groups_text(), "10.0.0.9:80 1 up");
	assert_true(groups_status()->unresolved);
	UNTIL(groups_status()->server_count > 1);
	assert_string_equal(groups_text(),
			    "10.0.0.9:80 1 up, 10.0.0.1:8080 3 up, 10.0.0.2:8080 3 up, "
			    "[fd00::1]:8080 3 up");
	assert_false(groups_status()->unresolved);
	assert_true(str_eq(groups_find("10.0.0.1:8080")->origin, STR("app.test:8080")));
	assert_true(groups_logged(
		"upstream \"api\": server app.test:8080 has 3 addresses (3 came, 0 went)"));
}

static void test_addresses_come_and_go(void **state)
{
	struct upstream_set *before, *after;

	t.config.slow_start_ms = 600000;
	dns_add("app.test", DNS_A, 1, "10.0.0.1");
	dns_add("app.test", DNS_A, 1, "10.0.0.2");
	groups_server("app.test:80");
	groups_join();
	UNTIL(has("10.0.0.1:80 1 up, 10.0.0.2:80 1 up"));
	before = upstream_set_of(t.group);
	dns_forget();
	dns_add("app.test", DNS_A, 1, "10.0.0.2");
	dns_add("app.test", DNS_A, 1, "10.0.0.3");
	/* The time to live is over after a second. */
	UNTIL(has("10.0.0.2:80 1 up, 10.0.0.3:80 1 starting"));
	assert_true(groups_logged("server app.test:80 has 2 addresses (1 came, 1 went)"));
	after = upstream_set_of(t.group);
	assert_ptr_equal(after->members[0].server, before->members[1].server);
	assert_true(atomic_load(&before->members[0].server->flags) & UPSTREAM_FLAG_GONE);
	upstream_set_unref(before);
	upstream_set_unref(after);
}

static void test_an_answer_that_is_the_same_changes_nothing(void **state)
{
	unsigned asked;
	uint32_t generation;

	dns_add("app.test", DNS_A, 1, "10.0.0.1");
	groups_server("app.test:80");
	groups_join();
	UNTIL(has("10.0.0.1:80 1 up"));
	generation = atomic_load(&t.group->generation);
	asked = dns.questions;
	UNTIL(dns.questions >= asked + 2);
	pair_turns(t.loop, 10);
	dns_serve();
	assert_int_equal(atomic_load(&t.group->generation), generation);
	assert_int_equal(groups_logged_times("addresses"), 0);
	assert_int_equal(groups_logged_times("has 1 address ("), 1);
}

static void test_a_name_that_is_not_there_is_asked_again(void **state)
{
	groups_server("app.test:80");
	groups_join();
	UNTIL(groups_logged("server app.test:80 is not resolved: no such name; it has no addresses "
			    "yet, and asked again in 1 s"));
	assert_true(groups_status()->unresolved);
	assert_int_equal(groups_status()->server_count, 0);
	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	UNTIL(has("10.0.0.1:80 1 up"));
	assert_false(groups_status()->unresolved);
	assert_int_equal(groups_logged_times("not resolved"), 1);
}

static void test_a_failure_keeps_what_was_found(void **state)
{
	dns_add("app.test", DNS_A, 1, "10.0.0.1");
	groups_server("app.test:80");
	groups_join();
	UNTIL(has("10.0.0.1:80 1 up"));
	/* Gone from the DNS, and there again. */
	dns_forget();
	UNTIL(groups_logged("server app.test:80 is not resolved: no such name; its last addresses "
			    "are kept"));
	assert_string_equal(groups_text(), "10.0.0.1:80 1 up");
	assert_false(groups_status()->unresolved);
	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	UNTIL(groups_logged("server app.test:80 is resolved again"));
	assert_string_equal(groups_text(), "10.0.0.1:80 1 up");
}

static void test_services_have_priorities_and_weights(void **state)
{
	dns_add("_http._tcp.test", DNS_SRV, 300, "10 60 8080 a.test");
	dns_add("_http._tcp.test", DNS_SRV, 300, "10 0 8080 b.test");
	dns_add("_http._tcp.test", DNS_SRV, 300, "20 5 9090 c.test");
	dns_add("a.test", DNS_A, 300, "10.0.0.1");
	dns_add("b.test", DNS_A, 300, "10.0.0.2");
	dns_add("c.test", DNS_A, 300, "10.0.0.3");
	groups_server("srv:_http._tcp.test");
	groups_join();
	UNTIL(has("10.0.0.1:8080 60 up, 10.0.0.2:8080 1 up, 10.0.0.3:9090 5 up backup"));
}

static void test_large_weights_keep_their_proportion(void **state)
{
	dns_add("_http._tcp.test", DNS_SRV, 300, "0 60000 80 a.test");
	dns_add("_http._tcp.test", DNS_SRV, 300, "0 30000 80 b.test");
	dns_add("_http._tcp.test", DNS_SRV, 300, "0 1 80 c.test");
	dns_add("a.test", DNS_A, 300, "10.0.0.1");
	dns_add("b.test", DNS_A, 300, "10.0.0.2");
	dns_add("c.test", DNS_A, 300, "10.0.0.3");
	groups_server("srv:_http._tcp.test");
	groups_join();
	UNTIL(has("10.0.0.1:80 256 up, 10.0.0.2:80 128 up, 10.0.0.3:80 1 up"));
}

static void test_what_could_not_be_asked_stays(void **state)
{
	dns_add("_http._tcp.test", DNS_SRV, 1, "10 1 80 a.test");
	dns_add("_http._tcp.test", DNS_SRV, 1, "10 1 80 b.test");
	dns_add("a.test", DNS_A, 1, "10.0.0.1");
	dns_add("b.test", DNS_A, 1, "10.0.0.2");
	groups_server("srv:_http._tcp.test");
	groups_join();
	UNTIL(has("10.0.0.1:80 1 up, 10.0.0.2:80 1 up"));
	dns_forget();
	dns_add("_http._tcp.test", DNS_SRV, 1, "10 1 80 a.test");
	dns_add("_http._tcp.test", DNS_SRV, 1, "10 1 80 b.test");
	dns_add("_http._tcp.test", DNS_SRV, 1, "10 1 80 c.test");
	dns_rule("a.test", DNS_SERVFAIL, DNS_ANSWER);
	dns_add("b.test", DNS_A, 1, "10.0.0.2");
	dns_add("c.test", DNS_A, 1, "10.0.0.3");
	UNTIL(groups_status()->server_count == 3);
	assert_int_equal(groups_find("10.0.0.1:80")->state, UPSTREAM_UP);
}

static void test_a_reload_keeps_what_was_found(void **state)
{
	unsigned asked;

	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	groups_server("app.test:80");
	groups_join();
	UNTIL(has("10.0.0.1:80 1 up"));
	asked = dns.questions;
	groups_server("10.0.0.2:80");
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_string_equal(groups_text(), "10.0.0.1:80 1 up, 10.0.0.2:80 1 up");
	pair_turns(t.loop, 10);
	dns_serve();
	assert_int_equal(dns.questions, asked);
	/* Without the name its servers go. */
	t.servers[0] = t.servers[1];
	t.config.server_count = 1;
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_string_equal(groups_text(), "10.0.0.2:80 1 up");
}

static void test_a_reload_during_a_lookup_asks_again(void **state)
{
	dns_add("app.test", DNS_A, 300, "10.0.0.1");
	groups_server("app.test:80");
	groups_join();
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	UNTIL(has("10.0.0.1:80 1 up"));
}

static int change(const char *server, enum upstream_change change, uint32_t weight, char *why)
{
	return upstream_change(t.registry, STR("api"), str_from(server), change, weight, why, 256);
}

static void test_a_name_is_changed_as_a_whole(void **state)
{
	char why[256] = "";

	dns_add("app.test", DNS_A, 1, "10.0.0.1");
	dns_add("app.test", DNS_A, 1, "10.0.0.2");
	groups_join();
	assert_int_equal(change("app.test:80", UPSTREAM_ADD, 2, why), 0);
	UNTIL(has("10.0.0.1:80 2 up, 10.0.0.2:80 2 up"));
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_WEIGHT, 9, why), 0);
	assert_int_equal(change("app.test:80", UPSTREAM_WEIGHT, 4, why), 0);
	assert_string_equal(groups_text(), "10.0.0.1:80 9 up, 10.0.0.2:80 4 up");
	assert_int_equal(change("app.test:80", UPSTREAM_DRAIN, 0, why), 0);
	/* So are those that come later. */
	dns_add("app.test", DNS_A, 1, "10.0.0.3");
	UNTIL(groups_status()->server_count == 3);
	assert_string_equal(groups_text(), "10.0.0.1:80 9 draining, 10.0.0.2:80 4 draining, "
					   "10.0.0.3:80 4 draining");
	assert_int_equal(change("app.test:80", UPSTREAM_UNDRAIN, 0, why), 0);
	assert_int_equal(groups_find("10.0.0.3:80")->state, UPSTREAM_UP);
	assert_int_equal(change("10.0.0.3:80", UPSTREAM_REMOVE, 0, why), -EINVAL);
	assert_string_equal(why, "server 10.0.0.3:80 was found by the name app.test:80 and would "
				 "come back: drain it, or remove the name");
	assert_int_equal(change("app.test:80", UPSTREAM_REMOVE, 0, why), 0);
	assert_int_equal(groups_status()->server_count, 0);
}

static void test_without_a_resolver_it_says_so(void **state)
{
	groups_server("app.test:80");
	groups_server("10.0.0.1:80");
	groups_join();
	assert_string_equal(groups_text(), "10.0.0.1:80 1 up");
	assert_true(groups_status()->unresolved);
	assert_true(groups_logged("built without c-ares"));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_every_address_is_a_server),
		WITH(test_addresses_come_and_go),
		WITH(test_an_answer_that_is_the_same_changes_nothing),
		WITH(test_a_name_that_is_not_there_is_asked_again),
		WITH(test_a_failure_keeps_what_was_found),
		WITH(test_services_have_priorities_and_weights),
		WITH(test_large_weights_keep_their_proportion),
		WITH(test_what_could_not_be_asked_stays),
		WITH(test_a_reload_keeps_what_was_found),
		WITH(test_a_reload_during_a_lookup_asks_again),
		WITH(test_a_name_is_changed_as_a_whole),
	};
	const struct CMUnitTest without[] = {WITH(test_without_a_resolver_it_says_so)};

	if (!SLUICE_HAVE_CARES)
		return cmocka_run_group_tests(without, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
