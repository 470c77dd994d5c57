// SPDX-License-Identifier: Apache-2.0
#include "app/parts.h"

#include <errno.h>

#include "base/err.h"
#include "base/log.h"

int app_shared_open(struct app_shared *shared, struct io_loop *loop, struct str resolver)
{
	shared->groups = upstream_registry_new(loop, resolver.len ? resolver.p : NULL);
	shared->limiters = guard_registry_new();
	return shared->groups && shared->limiters ? 0 : -ENOMEM;
}

void app_shared_stop(struct app_shared *shared)
{
	if (shared->groups)
		upstream_registry_stop(shared->groups);
}

void app_shared_free(struct app_shared *shared)
{
	if (shared->groups)
		upstream_registry_free(shared->groups);
	shared->groups = NULL;
	if (shared->limiters)
		guard_registry_free(shared->limiters);
	shared->limiters = NULL;
}

static void parts_set(const struct app_use *use, void *what)
{
	for (; use; use = use->next)
		*(void **)use->place = what;
}

static int parts_join_load(struct guards_load *step, struct app_shared *shared, unsigned workers,
			   struct arena *arena)
{
	step->load = &shared->load;
	if (step->adaptive_max == 0)
		return 0;
	step->slots = arena_zalloc(arena, workers * sizeof(*step->slots));
	step->slot_count = step->slots ? workers : 0;
	return step->slots ? 0 : -ENOMEM;
}

int app_parts_join(struct app_parts *parts, struct app_shared *shared, unsigned workers,
		   struct arena *arena)
{
	int err = 0;

	for (struct app_group *g = parts->groups; g; g = g->next) {
		g->group = upstream_group_join(shared->groups, g->config);
		if (!g->group)
			return -ENOMEM;
		parts_set(g->uses, g->group);
	}
	for (struct app_limiter *l = parts->limiters; l; l = l->next) {
		l->limiter = guard_limiter_join(shared->limiters, l->step.config);
		if (!l->limiter)
			return -ENOMEM;
		parts_set(l->uses, l->limiter);
	}
	for (struct app_load *l = parts->loads; l && !err; l = l->next)
		err = parts_join_load(l->step, shared, workers, arena);
	return err;
}

void app_parts_adopt(struct app_parts *parts)
{
	for (struct app_group *g = parts->groups; g; g = g->next) {
		int err = upstream_group_adopt(g->group, g->config);

		if (err)
			log_error("upstream \"%.*s\" stays as it was: %s", STR_ARG(g->config->name),
				  err_text(err));
	}
}

void app_parts_refresh(struct app_parts *parts)
{
	for (struct app_list *l = parts->lists; l; l = l->next)
		if (l->files)
			guard_access_refresh(l->step.access);
}

void app_parts_leave(struct app_parts *parts)
{
	for (struct app_group *g = parts->groups; g; g = g->next) {
		if (g->group)
			upstream_group_unref(g->group);
		g->group = NULL;
	}
	for (struct app_limiter *l = parts->limiters; l; l = l->next) {
		if (l->limiter)
			guard_limiter_unref(l->limiter);
		l->limiter = NULL;
	}
	for (struct app_list *l = parts->lists; l; l = l->next) {
		if (l->step.access)
			guard_access_unref(l->step.access);
		l->step.access = NULL;
	}
}
