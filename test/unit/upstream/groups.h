/* internal: a registry on a loop, configurations, and what `status` says, for tests of groups of servers */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_UPSTREAM_GROUPS_H
#define SLUICE_TEST_UPSTREAM_GROUPS_H

#include <fcntl.h>
#include <stdio.h>

#include "net/pair.h"
#include "upstream/set.h"

#define GROUPS_SERVERS 8

static struct {
	struct io_loop *loop;
	struct upstream_registry *registry;
	struct upstream_group *group; /* given back at the end */
	struct upstream_config config;
	struct upstream_server_config servers[GROUPS_SERVERS];
	struct arena arena; /* of what was last asked */
	int log[2];
	char logged[16384];
	size_t logged_len;
} t;

/* The log goes into a pipe, to be looked at. */
static inline void groups_start(const char *resolver_servers)
{
	memset(&t, 0, sizeof(t));
	t.loop = pair_loop();
	assert_int_equal(pipe2(t.log, O_NONBLOCK | O_CLOEXEC), 0);
	log_setup(t.log[1], LOG_INFO, LOG_TEXT);
	t.registry = upstream_registry_new(t.loop, resolver_servers);
	assert_non_null(t.registry);
	upstream_config_init(&t.config);
	t.config.name = STR("api");
	t.config.servers = t.servers;
}

static inline void groups_stop(void)
{
	upstream_registry_stop(t.registry);
	upstream_group_unref(t.group);
	while (io_loop_busy(t.loop))
		assert_int_equal(io_loop_turn(t.loop, -1), 0);
	upstream_registry_free(t.registry);
	arena_free(&t.arena);
	pair_loop_free(t.loop);
	log_setup(2, LOG_OFF, LOG_TEXT);
	close(t.log[0]);
	close(t.log[1]);
}

static inline struct upstream_server_config *groups_server(const char *text)
{
	struct upstream_server_config *s = &t.servers[t.config.server_count++];
	char why[256] = "";

	assert_true(t.config.server_count <= GROUPS_SERVERS);
	assert_int_equal(upstream_server_parse(str_from(text), s, why, sizeof(why)), 0);
	return s;
}

static inline void groups_join(void)
{
	t.group = upstream_group_join(t.registry, &t.config);
	assert_non_null(t.group);
}

static inline const char *groups_log(void)
{
	ssize_t n = read(t.log[0], t.logged + t.logged_len, sizeof(t.logged) - 1 - t.logged_len);

	if (n > 0)
		t.logged_len += (size_t)n;
	t.logged[t.logged_len] = '\0';
	return t.logged;
}

static inline bool groups_logged(const char *what)
{
	return strstr(groups_log(), what) != NULL;
}

static inline unsigned groups_logged_times(const char *what)
{
	unsigned n = 0;

	for (const char *p = groups_log(); (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

static inline const struct upstream_group_status *groups_status(void)
{
	const struct upstream_group_status *status;
	unsigned count;

	arena_free(&t.arena);
	assert_int_equal(upstream_status(t.registry, &t.arena, &status, &count), 0);
	assert_int_equal(count, 1);
	return status;
}

static inline const struct upstream_server_status *groups_find(const char *name)
{
	const struct upstream_group_status *g = groups_status();

	for (unsigned i = 0; i < g->server_count; i++)
		if (str_eq(g->servers[i].name, str_from(name)))
			return &g->servers[i];
	fail_msg("no server %s", name);
	return NULL;
}

/* "NAME WEIGHT STATE, ..." with "backup" where it is one. */
static inline const char *groups_text(void)
{
	static char text[2048];
	const struct upstream_group_status *g = groups_status();
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < g->server_count; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s %u %s%s",
					i ? ", " : "", STR_ARG(g->servers[i].name),
					g->servers[i].weight,
					upstream_state_name(g->servers[i].state),
					g->servers[i].backup ? " backup" : "");
	return text;
}

#endif
