// SPDX-License-Identifier: Apache-2.0
#include "app/listens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static struct app_listens now, then;
static char why[512];

static int setup(void **state)
{
	now = (struct app_listens){.loops = 1};
	then = (struct app_listens){0};
	return 0;
}

/* A configuration that listens on these, each with a router of its own. */
static struct app_config *listening_on(const char *const *texts, unsigned count)
{
	struct http_config *http = http_config_new(count);
	struct app_config *config = arena_zalloc(&http->arena, sizeof(*config));

	config->http = http;
	config->listens = arena_zalloc(&http->arena, count * sizeof(*config->listens));
	config->listen_count = count;
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(net_addr_parse(str_from(texts[i]), &config->listens[i].addr, why,
						sizeof(why)),
				 0);
	return config;
}

static int plan(const char *const *texts, unsigned count, struct app_config **config)
{
	*config = listening_on(texts, count);
	return app_listens_plan(&now, *config, &then, why, sizeof(why));
}

static void become(void)
{
	for (unsigned i = 0; i < then.count; i++)
		then.slots[i].fresh = false;
	now = then;
}

static void test_addresses_keep_their_numbers(void **state)
{
	const char *const one[] = {"127.0.0.1:1001", "127.0.0.1:1002"};
	const char *const two[] = {"127.0.0.1:1003", "127.0.0.1:1002"};
	const char *const three[] = {"127.0.0.1:1001"};
	struct app_config *config;

	assert_int_equal(plan(one, 2, &config), 0);
	assert_int_equal(then.slots[0].number, 0);
	assert_int_equal(then.slots[1].number, 1);
	assert_true(then.slots[0].fresh && then.slots[1].fresh);
	http_config_unref(config->http);
	become();

	assert_int_equal(plan(two, 2, &config), 0);
	assert_int_equal(then.slots[0].number, 2);
	assert_true(then.slots[0].fresh);
	assert_int_equal(then.slots[1].number, 1);
	assert_false(then.slots[1].fresh);
	http_config_unref(config->http);
	become();

	/* An address that comes back has a new number: the old one may still have connections. */
	assert_int_equal(plan(three, 1, &config), 0);
	assert_int_equal(then.slots[0].number, 3);
	assert_null(app_listens_find(&then, 0));
	assert_ptr_equal(app_listens_find(&then, 3), &then.slots[0]);
	http_config_unref(config->http);
}

static void test_routers_stand_in_the_order_of_the_numbers(void **state)
{
	const char *const one[] = {"127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"};
	const char *const two[] = {"127.0.0.1:1004", "127.0.0.1:1003", "127.0.0.1:1001"};
	struct app_config *config;

	assert_int_equal(plan(one, 3, &config), 0);
	http_config_unref(config->http);
	become();
	assert_int_equal(plan(two, 3, &config), 0);

	struct http_config *http = config->http;
	struct http_router *routers[] = {http->routers[0], http->routers[1], http->routers[2]};
	assert_int_equal(app_listens_number(&then, http), 0);
	assert_int_equal(http->router_count, 4);
	assert_ptr_equal(http->routers[0], routers[2]);
	assert_null(http->routers[1]);
	assert_ptr_equal(http->routers[2], routers[1]);
	assert_ptr_equal(http->routers[3], routers[0]);
	http_config_unref(http);
}

static void test_numbers_end(void **state)
{
	const char *const texts[] = {"127.0.0.1:1001"};
	struct app_config *config;

	now.numbers = APP_NUMBERS_MAX - 1;
	assert_int_equal(plan(texts, 1, &config), 0);
	assert_int_equal(then.slots[0].number, APP_NUMBERS_MAX - 1);
	http_config_unref(config->http);

	now.numbers = APP_NUMBERS_MAX;
	assert_int_equal(plan(texts, 1, &config), -ENOSPC);
	assert_non_null(strstr(why, "restart"));
	http_config_unref(config->http);
}

static unsigned port_of(int fd)
{
	struct net_addr addr = {.len = sizeof(addr.u.storage)};

	assert_int_equal(getsockname(fd, &addr.u.sa, &addr.len), 0);
	return net_addr_port(&addr);
}

static void test_loops_share_a_port_that_the_system_chose(void **state)
{
	const char *const texts[] = {"127.0.0.1:0"};
	struct app_config *config;

	now.loops = 3;
	assert_int_equal(plan(texts, 1, &config), 0);
	assert_int_equal(app_listens_open(&then, why, sizeof(why)), 0);
	const struct app_slot *slot = &then.slots[0];
	assert_int_not_equal(net_addr_port(&slot->bound), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(port_of(slot->sockets[i]), net_addr_port(&slot->bound));

	/* Another server is refused, though SO_REUSEPORT would let it in. */
	struct app_listens other = {.loops = 2, .count = 1};
	other.slots[0] = (struct app_slot){.addr = slot->bound, .fresh = true};
	assert_int_equal(app_listens_open(&other, why, sizeof(why)), -EADDRINUSE);
	assert_non_null(strstr(why, "in use"));
	app_listens_drop(&other, true);
	app_listens_drop(&then, false);
	assert_null(then.slots[0].sockets);
	http_config_unref(config->http);
}

static void test_a_socket_file_goes_with_a_change_that_failed(void **state)
{
	char folder[] = "/tmp/sluice-listens-XXXXXX", text[64];
	struct app_config *config;
	struct stat st;

	assert_non_null(mkdtemp(folder));
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	now.loops = 2;
	assert_int_equal(plan((const char *const[]){text}, 1, &config), 0);
	assert_int_equal(app_listens_open(&then, why, sizeof(why)), 0);
	assert_int_equal(stat(text + 5, &st), 0);
	/* One queue under two descriptors. */
	assert_int_not_equal(then.slots[0].sockets[0], then.slots[0].sockets[1]);
	app_listens_drop(&then, true);
	assert_int_equal(stat(text + 5, &st), -1);
	rmdir(folder);
	http_config_unref(config->http);
}

static void test_a_socket_file_of_somebody_else_stays(void **state)
{
	char folder[] = "/tmp/sluice-listens-XXXXXX", text[64];
	struct app_socket_file file;
	struct app_config *config;
	struct stat st;

	assert_non_null(mkdtemp(folder));
	snprintf(text, sizeof(text), "unix:%s/s", folder);
	assert_int_equal(plan((const char *const[]){text}, 1, &config), 0);
	assert_int_equal(app_listens_open(&then, why, sizeof(why)), 0);
	app_socket_file_note(&file, &then.slots[0].addr);
	/* The old name keeps its file, so that the new one cannot have its number. */
	char kept[80];
	snprintf(kept, sizeof(kept), "%s.kept", text + 5);
	assert_int_equal(rename(text + 5, kept), 0);
	assert_int_equal(mknod(text + 5, S_IFSOCK | 0600, 0), 0);
	app_socket_file_remove(&file);
	assert_int_equal(stat(text + 5, &st), 0);
	unlink(text + 5);
	unlink(kept);
	rmdir(folder);
	app_listens_drop(&then, false);
	http_config_unref(config->http);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_addresses_keep_their_numbers, setup),
		cmocka_unit_test_setup(test_routers_stand_in_the_order_of_the_numbers, setup),
		cmocka_unit_test_setup(test_numbers_end, setup),
		cmocka_unit_test_setup(test_loops_share_a_port_that_the_system_chose, setup),
		cmocka_unit_test_setup(test_a_socket_file_goes_with_a_change_that_failed, setup),
		cmocka_unit_test_setup(test_a_socket_file_of_somebody_else_stays, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
