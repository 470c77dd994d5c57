// SPDX-License-Identifier: Apache-2.0
/* Groups by name, over reloads, and changed at run time. */
#include "upstream/groups.h"

static int start(void **state)
{
	groups_start(NULL);
	return 0;
}

static int stop(void **state)
{
	groups_stop();
	return 0;
}

static int change(const char *server, enum upstream_change change, uint32_t weight,
		  const char *says)
{
	char why[256] = "";
	int result = upstream_change(t.registry, STR("api"), str_from(server), change, weight, why,
				     sizeof(why));

	assert_string_equal(why, says);
	return result;
}

static void join_three(void)
{
	groups_server("10.0.0.1:80")->weight = 3;
	groups_server("10.0.0.2:80");
	groups_server("unix:/run/app.sock")->backup = true;
	groups_join();
}

static void test_has_what_is_configured(void **state)
{
	const struct upstream_group_status *s;

	t.config.requests_max = 7;
	t.config.balance = UPSTREAM_LEAST;
	t.servers[0].max_conns = 0;
	join_three();
	assert_string_equal(groups_text(),
			    "10.0.0.1:80 3 up, 10.0.0.2:80 1 up, unix:/run/app.sock 1 up backup");
	s = groups_status();
	assert_int_equal(s->balance, UPSTREAM_LEAST);
	assert_int_equal(s->requests_max, 7);
	assert_int_equal(s->breaker, BREAKER_CLOSED);
	assert_false(s->unresolved);
	assert_true(str_eq(s->servers[2].address, STR("unix:/run/app.sock")));
	assert_int_equal(s->servers[0].origin.len, 0);
}

static void test_is_one_for_all_who_join(void **state)
{
	struct upstream_group *same, *other;
	struct upstream_config config;

	join_three();
	same = upstream_group_join(t.registry, &t.config);
	assert_ptr_equal(same, t.group);
	config = t.config;
	config.name = STR("web");
	other = upstream_group_join(t.registry, &config);
	assert_ptr_not_equal(other, t.group);
	upstream_group_unref(same);
	upstream_group_unref(other);
	pair_turns(t.loop, 2);
	/* The one that is still held is there; the other would be a new one. */
	assert_int_equal(groups_status()->server_count, 3);
}

static void test_survives_being_joined_while_it_goes(void **state)
{
	join_three();
	upstream_group_unref(t.group);
	groups_join();
	pair_turns(t.loop, 2);
	assert_int_equal(groups_status()->server_count, 3);
}

static void test_servers_keep_their_state_over_a_reload(void **state)
{
	struct upstream_set *before, *after;

	join_three();
	before = upstream_set_of(t.group);
	atomic_store(&before->members[1].server->requests, 42);
	upstream_server_error(before->members[1].server, "connection refused");
	assert_int_equal(change("10.0.0.2:80", UPSTREAM_DRAIN, 0, ""), 0);

	t.config.server_count = 0;
	groups_server("10.0.0.2:80")->weight = 5;
	groups_server("10.0.0.9:80");
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_string_equal(groups_text(), "10.0.0.2:80 5 draining, 10.0.0.9:80 1 up");
	assert_int_equal(groups_find("10.0.0.2:80")->requests, 42);
	assert_true(str_eq(groups_find("10.0.0.2:80")->last_error, STR("connection refused")));

	after = upstream_set_of(t.group);
	assert_ptr_equal(after->members[0].server, before->members[1].server);
	assert_true(after->epoch > before->epoch);
	assert_int_equal(after->epoch, atomic_load(&t.group->generation));
	/* A worker that still has the old set sees that its server will not come back. */
	assert_true(atomic_load(&before->members[0].server->flags) & UPSTREAM_FLAG_GONE);
	assert_false(upstream_server_usable(before->members[0].server, 1));
	upstream_set_unref(before);
	upstream_set_unref(after);
}

static void test_a_configuration_is_copied(void **state)
{
	char text[] = "10.0.0.1:80", name[] = "api", cookie[] = "route";
	struct upstream_set *set;

	t.config.name = str_from(name);
	t.config.sticky_cookie = str_from(cookie);
	groups_server(text);
	groups_join();
	memset(text, 'x', sizeof(text) - 1);
	memset(name, 'x', sizeof(name) - 1);
	memset(cookie, 'x', sizeof(cookie) - 1);
	set = upstream_set_of(t.group);
	assert_true(str_eq(set->config->name, STR("api")));
	assert_true(str_eq(set->config->sticky_cookie, STR("route")));
	assert_true(str_eq(set->config->servers[0].text, STR("10.0.0.1:80")));
	assert_true(str_eq(set->members[0].server->group, STR("api")));
	upstream_set_unref(set);
}

static void test_a_server_that_is_written_twice_is_one(void **state)
{
	groups_server("10.0.0.1:80");
	groups_server("10.0.0.1:80");
	groups_join();
	assert_string_equal(groups_text(), "10.0.0.1:80 1 up");
}

static void test_adds_and_removes(void **state)
{
	t.config.slow_start_ms = 60000;
	join_three();
	assert_int_equal(change("10.0.0.3:80", UPSTREAM_ADD, 2, ""), 0);
	/* It comes into a group that is at work. */
	assert_string_equal(groups_text(),
			    "10.0.0.1:80 3 up, 10.0.0.2:80 1 up, "
			    "unix:/run/app.sock 1 up backup, 10.0.0.3:80 2 starting");
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_REMOVE, 0, ""), 0);
	assert_string_equal(groups_text(), "10.0.0.2:80 1 up, unix:/run/app.sock 1 up backup, "
					   "10.0.0.3:80 2 starting");
	assert_true(groups_logged("upstream \"api\": server 10.0.0.3:80 was added, weight 2"));
	assert_true(groups_logged("upstream \"api\": server 10.0.0.1:80 was removed"));

	/* A reload brings back what the configuration says. */
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_int_equal(groups_status()->server_count, 3);
	assert_true(groups_logged("server 10.0.0.3:80 was added at run time and is not in the "
				  "configuration: dropped"));
}

static void test_an_added_server_that_is_configured_stays(void **state)
{
	struct upstream_set *before, *after;

	join_three();
	assert_int_equal(change("10.0.0.3:80", UPSTREAM_ADD, 2, ""), 0);
	before = upstream_set_of(t.group);
	groups_server("10.0.0.3:80");
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	after = upstream_set_of(t.group);
	assert_ptr_equal(after->members[3].server, before->members[3].server);
	assert_false(groups_logged("dropped"));
	upstream_set_unref(before);
	upstream_set_unref(after);
}

static void test_drains_and_weighs(void **state)
{
	join_three();
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_DRAIN, 0, ""), 0);
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_DRAIN, 0, ""), 0);
	assert_int_equal(groups_logged_times("server 10.0.0.1:80 is draining"), 1);
	assert_int_equal(groups_find("10.0.0.1:80")->state, UPSTREAM_DRAINING);
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_UNDRAIN, 0, ""), 0);
	assert_int_equal(groups_find("10.0.0.1:80")->state, UPSTREAM_UP);
	assert_int_equal(change("10.0.0.2:80", UPSTREAM_WEIGHT, 256, ""), 0);
	assert_int_equal(groups_find("10.0.0.2:80")->weight, 256);
	/* It is said until the configuration is read again, other changes do not take it back. */
	assert_int_equal(change("10.0.0.9:80", UPSTREAM_ADD, 1, ""), 0);
	assert_int_equal(groups_find("10.0.0.2:80")->weight, 256);
	assert_int_equal(upstream_group_adopt(t.group, &t.config), 0);
	assert_int_equal(groups_find("10.0.0.2:80")->weight, 1);
}

static void test_knows_a_server_by_its_address(void **state)
{
	groups_server(":3000");
	groups_join();
	assert_int_equal(change("127.0.0.1:3000", UPSTREAM_DRAIN, 0, ""), 0);
	assert_string_equal(groups_text(), ":3000 1 draining");
	assert_int_equal(change("127.0.0.1:3000", UPSTREAM_WEIGHT, 4, ""), 0);
	assert_string_equal(groups_text(), ":3000 4 draining");
	assert_int_equal(change("127.0.0.1:3000", UPSTREAM_ADD, 1,
				"upstream \"api\" has a server 127.0.0.1:3000"),
			 -EEXIST);
	assert_int_equal(change("127.0.0.1:3000", UPSTREAM_REMOVE, 0, ""), 0);
	assert_int_equal(groups_status()->server_count, 0);
}

static void test_refuses_changes_with_a_reason(void **state)
{
	char why[256];

	join_three();
	assert_int_equal(change("10.9.9.9:80", UPSTREAM_DRAIN, 0,
				"upstream \"api\" has no server 10.9.9.9:80"),
			 -ENOENT);
	assert_int_equal(change("10.9.9.9:80", UPSTREAM_REMOVE, 0,
				"upstream \"api\" has no server 10.9.9.9:80"),
			 -ENOENT);
	assert_int_equal(change("10.9.9.9:80", UPSTREAM_WEIGHT, 1,
				"upstream \"api\" has no server 10.9.9.9:80"),
			 -ENOENT);
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_ADD, 1,
				"upstream \"api\" has a server 10.0.0.1:80"),
			 -EEXIST);
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_WEIGHT, 0, "a weight is 1 to 256"),
			 -EINVAL);
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_WEIGHT, 257, "a weight is 1 to 256"),
			 -EINVAL);
	assert_int_equal(upstream_change(t.registry, STR("api"), STR("no server!"), UPSTREAM_ADD, 1,
					 why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "expected \"10.0.0.1:8080\""));
	assert_int_equal(upstream_change(t.registry, STR("web"), STR("10.0.0.1:80"), UPSTREAM_DRAIN,
					 0, why, sizeof(why)),
			 -ENOENT);
	assert_string_equal(why, "there is no upstream \"web\"");
	assert_int_equal(groups_status()->server_count, 3);
}

static void test_bounds_its_servers(void **state)
{
	groups_join();
	for (unsigned i = 0; i < UPSTREAM_SERVERS_MAX; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.1.%u.%u:80", i / 250, i % 250);
		assert_int_equal(change(text, UPSTREAM_ADD, 1, ""), 0);
		groups_log();
		t.logged_len = 0;
	}
	assert_int_equal(groups_status()->server_count, UPSTREAM_SERVERS_MAX);
	assert_int_equal(change("10.0.0.1:80", UPSTREAM_ADD, 1,
				"upstream \"api\" has 1024 servers, and no room for more"),
			 -ENOSPC);
}

static void test_says_when_an_ejection_is_over(void **state)
{
	struct upstream_set *set;
	struct upstream_server *server;

	join_three();
	set = upstream_set_of(t.group);
	server = set->members[0].server;
	assert_int_equal(io_loop_turn(t.loop, 0), 0);
	/* As a worker does it. */
	atomic_store(&server->starting_since_ns, io_now_ns(t.loop) + 20 * CLOCK_NS_PER_MS);
	atomic_store(&server->ejected_until_ns, io_now_ns(t.loop) + 20 * CLOCK_NS_PER_MS);
	upstream_group_wake(t.group);
	upstream_group_wake(t.group);
	assert_int_equal(groups_find("10.0.0.1:80")->state, UPSTREAM_EJECTED);
	PAIR_UNTIL(t.loop, groups_logged("server 10.0.0.1:80 is used again"));
	assert_int_equal(groups_find("10.0.0.1:80")->state, UPSTREAM_UP);
	upstream_group_wake(t.group);
	pair_turns(t.loop, 3);
	assert_int_equal(groups_logged_times("is used again"), 1);
	upstream_set_unref(set);
}

static void test_tells_states_apart(void **state)
{
	struct upstream_set *set;
	struct upstream_server *s;

	join_three();
	set = upstream_set_of(t.group);
	s = set->members[0].server;
	assert_int_equal(upstream_server_state(s, 100, CLOCK_NS_PER_S), UPSTREAM_UP);
	atomic_store(&s->starting_since_ns, CLOCK_NS_PER_S);
	assert_int_equal(upstream_server_state(s, 100, CLOCK_NS_PER_S), UPSTREAM_STARTING);
	assert_int_equal(upstream_server_state(s, 100, CLOCK_NS_PER_S + 100 * CLOCK_NS_PER_MS),
			 UPSTREAM_UP);
	assert_true(upstream_server_usable(s, CLOCK_NS_PER_S));
	atomic_store(&s->flags, UPSTREAM_FLAG_DRAINING);
	assert_int_equal(upstream_server_state(s, 100, CLOCK_NS_PER_S), UPSTREAM_DRAINING);
	assert_false(upstream_server_usable(s, CLOCK_NS_PER_S));
	atomic_store(&s->ejected_until_ns, 2 * CLOCK_NS_PER_S);
	assert_int_equal(upstream_server_state(s, 100, CLOCK_NS_PER_S), UPSTREAM_EJECTED);
	atomic_store(&s->flags, UPSTREAM_FLAG_DOWN);
	assert_int_equal(upstream_server_state(s, 100, CLOCK_NS_PER_S), UPSTREAM_DOWN);
	upstream_set_unref(set);
}

static void test_cookies_name_servers_without_telling_them(void **state)
{
	struct upstream_set *set;
	struct str first, second;

	join_three();
	set = upstream_set_of(t.group);
	first = set->members[0].server->sticky;
	second = set->members[1].server->sticky;
	assert_int_equal(first.len, UPSTREAM_STICKY_CHARS);
	assert_false(str_eq(first, second));
	assert_int_equal(str_find(first, STR("10.0.0.1")), -1);
	/* Of these two names, in every process. */
	assert_int_equal(strspn(first.p, "0123456789abcdef"), UPSTREAM_STICKY_CHARS);
	upstream_set_unref(set);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_has_what_is_configured),
		WITH(test_is_one_for_all_who_join),
		WITH(test_survives_being_joined_while_it_goes),
		WITH(test_servers_keep_their_state_over_a_reload),
		WITH(test_a_configuration_is_copied),
		WITH(test_a_server_that_is_written_twice_is_one),
		WITH(test_adds_and_removes),
		WITH(test_an_added_server_that_is_configured_stays),
		WITH(test_drains_and_weighs),
		WITH(test_knows_a_server_by_its_address),
		WITH(test_refuses_changes_with_a_reason),
		WITH(test_bounds_its_servers),
		WITH(test_says_when_an_ejection_is_over),
		WITH(test_tells_states_apart),
		WITH(test_cookies_name_servers_without_telling_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
