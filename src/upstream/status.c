// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "base/clock.h"
#include "upstream/keeper.h"

#define READ(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

/* False without memory. */
static bool copy(struct arena *a, struct str from, struct str *to)
{
	*to = from.len ? arena_dup(a, from) : STR("");
	return to->p != NULL;
}

static bool copy_error(struct arena *a, struct upstream_server *s, struct str *to)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = copy(a, str_from(s->last_error), to);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static bool fill_server(struct arena *a, const struct upstream_member *m, uint32_t slow_start_ms,
			uint64_t now_ns, struct upstream_server_status *to)
{
	struct upstream_server *s = m->server;
	char text[NET_ADDR_TEXT];
	struct str address = {text, net_addr_print(&s->addr, text)};

	*to = (struct upstream_server_status){
		.state = upstream_server_state(s, slow_start_ms, now_ns),
		.breaker = READ(s->breaker),
		.backup = m->backup,
		.weight = m->weight,
		.active = READ(s->active),
		.max_conns = m->max_conns,
		.requests = READ(s->requests),
		.failures = READ(s->failures),
		.connects = READ(s->connects),
		.reused = READ(s->reused),
		.checks_failed = READ(s->checks_failed),
		.ejections = READ(s->ejections),
		.bytes_in = READ(s->bytes_in),
		.bytes_out = READ(s->bytes_out),
	};
	return copy(a, s->name, &to->name) && copy(a, s->origin, &to->origin) &&
	       copy(a, address, &to->address) && copy_error(a, s, &to->last_error);
}

static bool fill_servers(struct arena *a, const struct upstream_set *set, uint64_t now_ns,
			 struct upstream_group_status *to)
{
	struct upstream_server_status *servers =
		arena_alloc(a, (set->count + 1) * sizeof(*servers));

	if (!servers)
		return false;
	for (unsigned i = 0; i < set->count; i++)
		if (!fill_server(a, &set->members[i], set->config->slow_start_ms, now_ns,
				 &servers[i]))
			return false;
	to->servers = servers;
	to->server_count = set->count;
	return true;
}

static bool fill_group(struct arena *a, struct upstream_group *g, uint64_t now_ns,
		       struct upstream_group_status *to)
{
	struct upstream_set *set = upstream_set_of(g);
	bool ok;

	*to = (struct upstream_group_status){
		.balance = set->config->balance,
		.breaker = READ(g->breaker),
		.active = READ(g->active),
		.requests_max = set->config->requests_max,
		.queued = READ(g->queued),
		.requests = READ(g->requests),
		.failures = READ(g->failures),
		.retries = READ(g->retries),
		.retries_refused = READ(g->retries_refused),
		.refused = READ(g->refused),
		.fallbacks = READ(g->fallbacks),
		.mirrored = READ(g->mirrored),
		.mirrors_dropped = READ(g->mirrors_dropped),
		.unresolved = READ(g->unresolved),
	};
	ok = copy(a, g->name, &to->name) && fill_servers(a, set, now_ns, to);
	upstream_set_unref(set);
	return ok;
}

int upstream_status(struct upstream_registry *r, struct arena *a,
		    const struct upstream_group_status **out, unsigned *count)
{
	/* The loop's time is its own thread's. */
	uint64_t now_ns = clock_monotonic_ns();
	struct upstream_group_status *groups = NULL;
	unsigned n = 0;
	bool ok;

	/* While it is held no group goes. */
	pthread_mutex_lock(&r->lock);
	for (const struct list *l = r->groups.next; l != &r->groups; l = l->next)
		n++;
	groups = arena_alloc(a, (n + 1) * sizeof(*groups));
	ok = groups != NULL;
	*count = n;
	n = 0;
	for (const struct list *l = r->groups.next; l != &r->groups && ok; l = l->next)
		ok = fill_group(a, SL_CONTAINER(l, struct upstream_keeper, link)->group, now_ns,
				&groups[n++]);
	pthread_mutex_unlock(&r->lock);
	*out = groups;
	return ok ? 0 : -ENOMEM;
}
