// SPDX-License-Identifier: Apache-2.0
// Views and their slots: made, kept up with the group's sets, freed when nothing of them is in use.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "upstream/view.h"

static struct str key_of(const struct upstream_server *server)
{
	return (struct str){(const char *)&server->id, sizeof(server->id)};
}

static struct upstream_slot *slot_of(struct upstream_view *view, struct upstream_server *server)
{
	struct upstream_slot *slot = hash_get(&view->by_server, key_of(server));

	if (slot)
		return slot;
	slot = calloc(1, sizeof(*slot));
	if (!slot)
		return NULL;
	slot->server = upstream_server_ref(server);
	slot->view = view;
	list_init(&slot->idle);
	if (hash_put(&view->by_server, key_of(slot->server), slot) < 0) {
		upstream_server_unref(server);
		free(slot);
		return NULL;
	}
	list_init(&slot->link);
	list_add(&view->slots, &slot->link);
	return slot;
}

static void free_slot(struct upstream_slot *slot)
{
	struct upstream_view *view = slot->view;

	/* Its tally is among those that were not told yet. */
	if (slot->dirty)
		upstream_flush(view);
	list_del(&slot->link);
	hash_del(&view->by_server, key_of(slot->server));
	upstream_server_unref(slot->server);
	slot->server = NULL;
	free(slot);
}

void upstream_slot_settle(struct upstream_slot *slot)
{
	struct upstream_view *view = slot->view;

	if (SL_LIKELY(slot->member) || slot->turns || slot->links)
		return;
	free_slot(slot);
	upstream_view_settle(view);
}

/* Slots that have left the set: their links are closed, and what nobody uses goes. */
static void drop_strangers(struct upstream_view *view)
{
	struct list *at = view->slots.next;

	while (at != &view->slots) {
		struct upstream_slot *slot = SL_CONTAINER(at, struct upstream_slot, link);

		at = at->next;
		if (slot->member)
			continue;
		upstream_pool_clear(slot);
		if (!slot->turns && !slot->links)
			free_slot(slot);
	}
}

/* All but the set. */
static void outfit_free(struct upstream_outfit *o)
{
	for (unsigned i = 0; i < 2; i++)
		balance_destroy(&o->balances[i]);
	hash_destroy(&o->by_sticky);
	free(o->members);
	o->members = NULL;
}

static int outfit_make(struct upstream_view *view, struct upstream_outfit *o)
{
	const struct upstream_set *set = o->set;

	o->members = calloc(set->count + 1, sizeof(struct upstream_slot *));
	if (!o->members)
		return -ENOMEM;
	for (unsigned i = 0; i < set->count; i++) {
		o->members[i] = slot_of(view, set->members[i].server);
		if (!o->members[i])
			return -ENOMEM;
		/* Two with one id: the first has it. */
		if (set->config->sticky_cookie.len &&
		    hash_put(&o->by_sticky, set->members[i].server->sticky, o->members[i]) ==
			    -ENOMEM)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < 2; i++)
		if (set->tiers[i].table && balance_init(&o->balances[i], set->tiers[i].table,
							chance_next(&view->chance)) < 0)
			return -ENOMEM;
	return 0;
}

static void set_members(const struct upstream_outfit *o, bool member)
{
	for (unsigned i = 0; o->members && i < o->set->count; i++) {
		o->members[i]->member = member;
		o->members[i]->max_conns = o->set->members[i].max_conns;
	}
}

/* 0 or -ENOMEM: then all is as before. The set that was worn is the caller's. */
static int wear(struct upstream_view *view, struct upstream_set *set)
{
	struct upstream_outfit fresh = {.set = set}, worn = view->now;
	int error = outfit_make(view, &fresh);

	if (error) {
		outfit_free(&fresh);
		drop_strangers(view);
		return error;
	}
	set_members(&worn, false);
	view->now = fresh;
	set_members(&fresh, true);
	outfit_free(&worn);
	drop_strangers(view);
	return 0;
}

/* What a new configuration turned off does not stay as it was when it was on. */
static void reset_breakers(struct upstream_view *view)
{
	const struct upstream_config *config = view->now.set->config;

	if (!breaker_on(&config->group_breaker)) {
		breaker_reset(&view->group->circuit);
		atomic_store(&view->group->breaker, BREAKER_CLOSED);
	}
	if (breaker_on(&config->breaker))
		return;
	for (unsigned i = 0; i < view->now.set->count; i++) {
		struct upstream_server *server = view->now.set->members[i].server;

		if (breaker_state(&server->circuit) == BREAKER_CLOSED)
			continue;
		breaker_reset(&server->circuit);
		atomic_store(&server->breaker, BREAKER_CLOSED);
	}
}

void upstream_view_refresh(struct upstream_view *view)
{
	struct upstream_set *worn = view->now.set, *set;

	if (SL_LIKELY(atomic_load_explicit(&view->group->generation, memory_order_relaxed) ==
		      worn->epoch) ||
	    view->old_set)
		return;
	set = upstream_set_of(view->group);
	if (wear(view, set) < 0) {
		upstream_set_unref(set);
		return;
	}
	view->old_set = worn;
	reset_breakers(view);
	io_defer(view->loop, &view->flush);
	if (!list_empty(&view->waiting))
		io_defer(view->loop, &view->pump);
}

static void run_flush(struct io_task *task)
{
	struct upstream_view *view = SL_CONTAINER(task, struct upstream_view, flush);

	upstream_flush(view);
	if (!view->old_set)
		return;
	upstream_set_unref(view->old_set);
	view->old_set = NULL;
}

static struct upstream_view *view_new(struct upstream_group *group, struct io_loop *loop,
				      uint64_t seed)
{
	struct upstream_view *view = calloc(1, sizeof(*view));
	struct upstream_set *set;

	if (!view)
		return NULL;
	view->group = upstream_group_ref(group);
	view->loop = loop;
	view->refs = 1;
	view->chance.state = seed;
	list_init(&view->link);
	list_init(&view->slots);
	hash_init(&view->by_server, 0);
	upstream_queue_init(view);
	view->flush.run = run_flush;
	set = upstream_set_of(group);
	if (wear(view, set) < 0) {
		upstream_set_unref(set);
		view->refs = 0;
		upstream_view_settle(view);
		return NULL;
	}
	return view;
}

struct upstream_view *upstream_view_get(struct upstream_group *group, struct io_loop *loop)
{
	struct upstream_view *view = NULL;
	uint64_t number = 1;

	pthread_mutex_lock(&group->lock);
	for (struct list *at = group->views.next; at != &group->views && !view; at = at->next) {
		view = SL_CONTAINER(at, struct upstream_view, link);
		if (view->loop != loop)
			view = NULL;
		number++;
	}
	pthread_mutex_unlock(&group->lock);
	if (view) {
		view->refs++;
		return view;
	}
	/* Workers begin at different servers; at which ones, is the same in each run of a simulation. */
	view = view_new(group, loop, hash_bytes_fixed(group->name.p, group->name.len, number));
	if (!view)
		return NULL;
	pthread_mutex_lock(&group->lock);
	list_add(&group->views, &view->link);
	pthread_mutex_unlock(&group->lock);
	return view;
}

/* The memory goes when the last slot has gone and no kick is under way. */
void upstream_view_settle(struct upstream_view *view)
{
	if (view->refs || !list_empty(&view->slots) || atomic_load(&view->kicked))
		return;
	upstream_flush(view);
	io_undefer(view->loop, &view->flush);
	io_undefer(view->loop, &view->pump);
	if (view->old_set)
		upstream_set_unref(view->old_set);
	if (view->now.set)
		upstream_set_unref(view->now.set);
	hash_destroy(&view->by_server);
	upstream_group_unref(view->group);
	view->group = NULL;
	free(view);
}

void upstream_view_put(struct upstream_view *view)
{
	assert(view->refs);
	if (--view->refs)
		return;
	assert(list_empty(&view->waiting));
	pthread_mutex_lock(&view->group->lock);
	list_del(&view->link);
	pthread_mutex_unlock(&view->group->lock);
	set_members(&view->now, false);
	outfit_free(&view->now);
	drop_strangers(view);
	upstream_view_settle(view);
}

const struct upstream_config *upstream_view_config(const struct upstream_view *view)
{
	return view->now.set->config;
}
