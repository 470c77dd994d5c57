// SPDX-License-Identifier: Apache-2.0
// Groups by name, and what other threads ask of the main loop about them.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "upstream/keeper.h"

struct upstream_registry *upstream_registry_new(struct io_loop *loop, const char *resolver_servers)
{
	struct upstream_registry *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (resolver_servers) {
		r->resolver_servers = strdup(resolver_servers);
		if (!r->resolver_servers) {
			free(r);
			return NULL;
		}
	}
	r->loop = loop;
	pthread_mutex_init(&r->lock, NULL);
	list_init(&r->groups);
	r->checks.loop = loop;
	r->checks.chance.state = clock_monotonic_ns();
	list_init(&r->checks.queue);
	return r;
}

static struct upstream_keeper *keeper_at(struct list *l)
{
	return SL_CONTAINER(l, struct upstream_keeper, link);
}

void upstream_registry_stop(struct upstream_registry *r)
{
	r->stopped = true;
	for (struct list *l = r->groups.next; l != &r->groups; l = l->next)
		keeper_stop(keeper_at(l));
	if (r->resolver)
		resolver_free(r->resolver);
	r->resolver = NULL;
}

void upstream_registry_free(struct upstream_registry *r)
{
	if (!r)
		return;
	/* Each group was given back, and the loop has seen to that. */
	assert(list_empty(&r->groups) && !r->resolver);
	pthread_mutex_destroy(&r->lock);
	free(r->resolver_servers);
	free(r);
}

struct upstream_keeper *registry_find(struct upstream_registry *r, struct str name)
{
	for (struct list *l = r->groups.next; l != &r->groups; l = l->next)
		if (str_eq(keeper_at(l)->group->name, name))
			return keeper_at(l);
	return NULL;
}

static void group_free(struct upstream_keeper *k)
{
	struct upstream_group *g = k->group;

	assert(list_empty(&g->views));
	upstream_set_unref(g->set);
	pthread_mutex_destroy(&g->lock);
	free(g);
	free(k);
}

/* The last reference has gone. */
static void keeper_drop(struct io_loop *loop, struct io_msg *msg)
{
	struct upstream_keeper *k = SL_CONTAINER(msg, struct upstream_keeper, drop);
	struct upstream_registry *r = k->group->registry;

	(void)loop;
	/* Somebody may have joined in the meantime. */
	if (atomic_fetch_sub(&k->group->refs, 1) != 1)
		return;
	pthread_mutex_lock(&r->lock);
	list_del(&k->link);
	pthread_mutex_unlock(&r->lock);
	keeper_empty(k);
	k->gone = true;
	if (!atomic_load(&k->woken))
		group_free(k);
}

/* Logs ejections that are over, and waits for the next. */
static void keeper_watch_ejections(struct upstream_keeper *k)
{
	struct io_loop *loop = k->group->registry->loop;
	uint64_t now_ns = io_now_ns(loop), first_ns = UINT64_MAX;

	for (struct list *l = k->seats.next; l != &k->seats; l = l->next) {
		struct upstream_seat *seat = SL_CONTAINER(l, struct upstream_seat, link);
		uint64_t until_ns =
			atomic_load_explicit(&seat->server->ejected_until_ns, memory_order_relaxed);

		if (until_ns == seat->told_until_ns)
			continue;
		if (until_ns > now_ns) {
			first_ns = SL_MIN(first_ns, until_ns);
			continue;
		}
		seat->told_until_ns = until_ns;
		upstream_server_log(seat->server, LOG_INFO, "is used again: its ejection is over");
		upstream_group_stir(k->group);
	}
	if (first_ns != UINT64_MAX)
		io_timer_set(loop, &k->ejection, (first_ns - now_ns) / CLOCK_NS_PER_MS + 1);
}

static void ejection_over(struct io_timer *timer)
{
	keeper_watch_ejections(SL_CONTAINER(timer, struct upstream_keeper, ejection));
}

static void keeper_woken(struct io_loop *loop, struct io_msg *msg)
{
	struct upstream_keeper *k = SL_CONTAINER(msg, struct upstream_keeper, wake);

	(void)loop;
	/* Before the look: what happens during it wakes again. */
	atomic_store(&k->woken, false);
	if (k->gone)
		group_free(k);
	else if (!k->group->registry->stopped)
		keeper_watch_ejections(k);
}

void upstream_group_wake(struct upstream_group *g)
{
	if (!atomic_exchange(&g->keeper->woken, true))
		io_post(g->registry->loop, &g->keeper->wake);
}

static struct upstream_keeper *keeper_new(struct upstream_registry *r, struct str name)
{
	struct upstream_keeper *k = calloc(1, sizeof(*k) + name.len + 1);
	struct upstream_group *g = calloc(1, sizeof(*g));

	if (!k || !g) {
		free(k);
		free(g);
		return NULL;
	}
	memcpy(k->name, name.p, name.len);
	k->group = g;
	list_init(&k->link);
	list_init(&k->sources);
	list_init(&k->seats);
	hash_init(&k->by_name, 0);
	k->ejection.fire = ejection_over;
	k->wake.run = keeper_woken;
	k->drop.run = keeper_drop;
	g->name = (struct str){k->name, name.len};
	g->registry = r;
	g->keeper = k;
	g->refs = 1;
	list_init(&g->views);
	pthread_mutex_init(&g->lock, NULL);
	return k;
}

struct upstream_group *upstream_group_join(struct upstream_registry *r,
					   const struct upstream_config *config)
{
	struct upstream_keeper *k = registry_find(r, config->name);

	if (k)
		return upstream_group_ref(k->group);
	k = keeper_new(r, config->name);
	if (!k)
		return NULL;
	if (keeper_load(k, config) < 0) {
		keeper_empty(k);
		group_free(k);
		return NULL;
	}
	pthread_mutex_lock(&r->lock);
	list_add(&r->groups, &k->link);
	pthread_mutex_unlock(&r->lock);
	return k->group;
}

int upstream_group_adopt(struct upstream_group *g, const struct upstream_config *config)
{
	return keeper_load(g->keeper, config);
}

struct upstream_group *upstream_group_ref(struct upstream_group *g)
{
	atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
	return g;
}

void upstream_group_unref(struct upstream_group *g)
{
	uint32_t refs;

	if (!g)
		return;
	refs = atomic_load(&g->refs);
	/*
	 * The last reference is given back on the main loop, by a message that lies in the group: nothing of it is touched
	 * after that is sent, and there is no second one on its way, since it is this reference.
	 */
	while (refs > 1)
		if (atomic_compare_exchange_weak(&g->refs, &refs, refs - 1))
			return;
	io_post(g->registry->loop, &g->keeper->drop);
}
