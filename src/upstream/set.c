// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "upstream/keeper.h"

struct upstream_settings {
	_Atomic uint32_t refs;
	struct arena arena;
	struct upstream_config config;
};

/* False without memory. */
static bool copy(struct arena *a, struct str *s)
{
	if (s->len == 0) {
		*s = STR("");
		return true;
	}
	*s = arena_dup(a, *s);
	return s->p != NULL;
}

static bool copy_servers(struct arena *a, struct upstream_config *c)
{
	struct upstream_server_config *servers =
		arena_zalloc(a, (c->server_count + 1) * sizeof(*servers));

	if (!servers)
		return false;
	for (unsigned i = 0; i < c->server_count; i++) {
		servers[i] = c->servers[i];
		if (!copy(a, &servers[i].text) || !copy(a, &servers[i].host))
			return false;
	}
	c->servers = servers;
	return true;
}

struct upstream_settings *upstream_settings_new(const struct upstream_config *config)
{
	struct upstream_settings *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	s->config = *config;
	/* The last worker that uses it may free it. */
	arena_init_shared(&s->arena);
	if (copy(&s->arena, &s->config.name) && copy(&s->arena, &s->config.key_name) &&
	    copy(&s->arena, &s->config.sticky_cookie) && copy(&s->arena, &s->config.health.path) &&
	    copy(&s->arena, &s->config.health.host) && copy(&s->arena, &s->config.health.body) &&
	    copy_servers(&s->arena, &s->config))
		return s;
	upstream_settings_unref(s);
	return NULL;
}

struct upstream_settings *upstream_settings_ref(struct upstream_settings *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void upstream_settings_unref(struct upstream_settings *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	arena_free(&s->arena);
	free(s);
}

const struct upstream_config *upstream_settings_config(const struct upstream_settings *s)
{
	return &s->config;
}

struct upstream_set *upstream_set_new(struct upstream_settings *settings, unsigned count)
{
	struct upstream_set *set = calloc(1, sizeof(*set) + count * sizeof(set->members[0]));

	if (!set)
		return NULL;
	set->refs = 1;
	set->settings = upstream_settings_ref(settings);
	set->config = &settings->config;
	set->count = count;
	return set;
}

struct upstream_set *upstream_set_of(struct upstream_group *group)
{
	struct upstream_set *set;

	pthread_mutex_lock(&group->lock);
	set = group->set;
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&group->lock);
	return set;
}

void upstream_set_unref(struct upstream_set *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
		return;
	upstream_set_unsort(set);
	for (unsigned i = 0; i < set->count; i++)
		upstream_server_unref(set->members[i].server);
	upstream_settings_unref(set->settings);
	free(set);
}
