// SPDX-License-Identifier: Apache-2.0
// Servers added, removed, drained and weighted while the group is at work.
#include <errno.h>
#include <stdio.h>

#include "upstream/keeper.h"

struct change {
	struct upstream_keeper *keeper;
	struct str server;
	uint32_t weight;
	char *why;
	size_t why_len;
};

static struct upstream_source *find_source(const struct change *c)
{
	struct list *sources = &c->keeper->sources;

	for (struct list *l = sources->next; l != sources; l = l->next) {
		struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		if (str_eq(s->config.text, c->server))
			return s;
	}
	return NULL;
}

/* By its name, or as its address is printed: ":3000" is 127.0.0.1:3000. */
static struct upstream_seat *find_seat(const struct change *c)
{
	struct list *seats = &c->keeper->seats;
	struct upstream_seat *found = hash_get(&c->keeper->by_name, c->server);

	for (struct list *l = seats->next; l != seats && !found; l = l->next) {
		struct upstream_seat *seat = SL_CONTAINER(l, struct upstream_seat, link);
		char text[NET_ADDR_TEXT];
		struct str address = {text, net_addr_print(&seat->server->addr, text)};

		if (str_eq(address, c->server))
			found = seat;
	}
	return found;
}

static int change_add(const struct change *c)
{
	struct upstream_keeper *k = c->keeper;
	struct upstream_server_config config;
	struct upstream_source *s;
	int error;

	if (find_source(c) || find_seat(c)) {
		snprintf(c->why, c->why_len, "upstream \"%.*s\" has a server %.*s",
			 STR_ARG(k->group->name), STR_ARG(c->server));
		return -EEXIST;
	}
	if (k->group->set->count >= UPSTREAM_SERVERS_MAX) {
		snprintf(c->why, c->why_len,
			 "upstream \"%.*s\" has %d servers, and no room for more",
			 STR_ARG(k->group->name), UPSTREAM_SERVERS_MAX);
		return -ENOSPC;
	}
	error = upstream_server_parse(c->server, &config, c->why, c->why_len);
	if (error)
		return error;
	config.weight = c->weight;
	s = source_new(k, &config);
	if (!s)
		return -ENOMEM;
	s->added = true;
	list_add(&k->sources, &s->link);
	error = keeper_publish(k, &k->sources, k->settings, false);
	if (error) {
		source_free(s);
		return error;
	}
	source_begin(s);
	log_info("upstream \"%.*s\": server %.*s was added, weight %u", STR_ARG(k->group->name),
		 STR_ARG(c->server), c->weight);
	return 0;
}

static int unknown(const struct change *c)
{
	snprintf(c->why, c->why_len, "upstream \"%.*s\" has no server %.*s",
		 STR_ARG(c->keeper->group->name), STR_ARG(c->server));
	return -ENOENT;
}

static int change_remove(const struct change *c)
{
	struct upstream_keeper *k = c->keeper;
	struct upstream_seat *seat = find_seat(c);
	struct upstream_source *s = find_source(c);
	struct list *before;
	int error;

	if (!s && !seat)
		return unknown(c);
	if (!s && seat->source->config.kind != UPSTREAM_SERVER_ADDR) {
		snprintf(c->why, c->why_len,
			 "server %.*s was found by the name %.*s and would come back: drain it, or "
			 "remove the name",
			 STR_ARG(c->server), STR_ARG(seat->source->config.text));
		return -EINVAL;
	}
	if (!s)
		s = seat->source;
	before = s->link.next;
	list_del(&s->link);
	error = keeper_publish(k, &k->sources, k->settings, false);
	if (error) {
		list_add(before, &s->link);
		return error;
	}
	log_info("upstream \"%.*s\": server %.*s was removed", STR_ARG(k->group->name),
		 STR_ARG(c->server));
	source_free(s);
	keeper_note_unresolved(k);
	return 0;
}

static void drain_seat(struct upstream_seat *seat, bool drain)
{
	struct upstream_server *server = seat->server;
	uint64_t now_ns = io_now_ns(seat->source->keeper->group->registry->loop);
	uint32_t was;

	if (drain) {
		was = atomic_fetch_or_explicit(&server->flags, UPSTREAM_FLAG_DRAINING,
					       memory_order_relaxed);
	} else {
		was = atomic_fetch_and_explicit(&server->flags, ~(uint32_t)UPSTREAM_FLAG_DRAINING,
						memory_order_relaxed);
	}
	if (drain == !!(was & UPSTREAM_FLAG_DRAINING))
		return;
	if (!drain) {
		atomic_store_explicit(&server->starting_since_ns, now_ns, memory_order_relaxed);
		upstream_group_stir(seat->source->keeper->group);
	}
	upstream_server_log(server, LOG_INFO,
			    drain ? "is draining: no new requests" : "is not draining any more");
}

static int change_drain(const struct change *c, bool drain)
{
	struct upstream_keeper *k = c->keeper;
	struct upstream_seat *one = find_seat(c);
	struct upstream_source *s = find_source(c);

	if (!one && !s)
		return unknown(c);
	if (one)
		drain_seat(one, drain);
	if (!s)
		return 0;
	s->draining = drain;
	for (struct list *l = k->seats.next; l != &k->seats; l = l->next) {
		struct upstream_seat *seat = SL_CONTAINER(l, struct upstream_seat, link);

		if (seat->source == s)
			drain_seat(seat, drain);
	}
	return 0;
}

static int change_weight(const struct change *c)
{
	struct upstream_keeper *k = c->keeper;
	struct upstream_seat *seat = find_seat(c);
	struct upstream_source *s = seat ? NULL : find_source(c);
	uint32_t *weight = seat ? &seat->weight : s ? &s->config.weight : NULL;
	uint32_t was;
	int error;

	if (!weight)
		return unknown(c);
	was = *weight;
	*weight = c->weight;
	error = keeper_publish(k, &k->sources, k->settings, false);
	if (error) {
		*weight = was;
		return error;
	}
	log_info("upstream \"%.*s\": server %.*s has weight %u", STR_ARG(k->group->name),
		 STR_ARG(c->server), c->weight);
	return 0;
}

static int apply(const struct change *c, enum upstream_change change)
{
	switch (change) {
	case UPSTREAM_ADD:
		return change_add(c);
	case UPSTREAM_REMOVE:
		return change_remove(c);
	case UPSTREAM_DRAIN:
		return change_drain(c, true);
	case UPSTREAM_UNDRAIN:
		return change_drain(c, false);
	case UPSTREAM_WEIGHT:
		return change_weight(c);
	}
	return -EINVAL;
}

int upstream_change(struct upstream_registry *r, struct str group, struct str server,
		    enum upstream_change change, uint32_t weight, char *why, size_t why_len)
{
	struct change c = {registry_find(r, group), server, weight, why, why_len};
	bool weighs = change == UPSTREAM_ADD || change == UPSTREAM_WEIGHT;
	int error;

	if (!c.keeper) {
		snprintf(why, why_len, "there is no upstream \"%.*s\"", STR_ARG(group));
		return -ENOENT;
	}
	if (weighs && (weight == 0 || weight > UPSTREAM_WEIGHT_MAX)) {
		snprintf(why, why_len, "a weight is 1 to %d", UPSTREAM_WEIGHT_MAX);
		return -EINVAL;
	}
	error = apply(&c, change);
	if (error == -ENOMEM)
		snprintf(why, why_len, "out of memory");
	return error;
}
