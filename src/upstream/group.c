// SPDX-License-Identifier: Apache-2.0
// Makes sets of servers from what is written, added and found, and publishes them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "upstream/keeper.h"

/* A set while it is made. */
struct plan {
	struct upstream_keeper *keeper;
	struct upstream_set *set;
	struct list fresh; /* seats that the group has not yet */
	unsigned room;
	bool forget;
};

struct upstream_source *source_new(struct upstream_keeper *k,
				   const struct upstream_server_config *c)
{
	struct upstream_source *s = calloc(1, sizeof(*s) + c->text.len + c->host.len + 1);

	if (!s)
		return NULL;
	s->keeper = k;
	s->config = *c;
	memcpy(s->text, c->text.p, c->text.len);
	s->config.text = (struct str){s->text, c->text.len};
	if (c->host.len)
		memcpy(s->text + c->text.len, c->host.p, c->host.len);
	s->config.host = (struct str){s->text + c->text.len, c->host.len};
	list_init(&s->link);
	return s;
}

void source_free(struct upstream_source *s)
{
	source_stop(s);
	list_del(&s->link);
	free(s->found);
	free(s);
}

static void seat_free(struct upstream_keeper *k, struct upstream_seat *seat)
{
	check_stop(&seat->check);
	hash_del(&k->by_name, seat->server->name);
	list_del(&seat->link);
	upstream_server_unref(seat->server);
	free(seat);
}

static struct upstream_seat *plan_seat(struct plan *p, struct str name, struct str origin,
				       const struct net_addr *addr)
{
	struct upstream_keeper *k = p->keeper;
	struct upstream_seat *seat = calloc(1, sizeof(*seat));

	if (!seat)
		return NULL;
	list_init(&seat->link);
	seat->fresh = true;
	seat->server = upstream_server_new(++k->group->registry->last_id, k->group->name, name,
					   origin, addr);
	if (seat->server && hash_put(&k->by_name, seat->server->name, seat) == 0) {
		list_add(&p->fresh, &seat->link);
		return seat;
	}
	upstream_server_unref(seat->server);
	free(seat);
	return NULL;
}

/* A name that is there twice is taken once; what is over UPSTREAM_SERVERS_MAX is left out. */
static int plan_add(struct plan *p, struct upstream_source *source, struct str name,
		    struct str origin, const struct net_addr *addr, uint32_t weight, bool backup)
{
	struct upstream_seat *seat = hash_get(&p->keeper->by_name, name);

	if ((seat && seat->next) || p->set->count == p->room)
		return 0;
	if (!seat)
		seat = plan_seat(p, name, origin, addr);
	if (!seat)
		return -ENOMEM;
	seat->next = source;
	if (seat->weight && !p->forget)
		weight = seat->weight;
	p->set->members[p->set->count++] = (struct upstream_member){
		.server = upstream_server_ref(seat->server),
		.weight = weight,
		.max_conns = source->config.max_conns,
		.backup = backup,
	};
	p->set->weight_sum += weight;
	return 0;
}

/* Weights of SRV go up to 65535, and 0 is "hardly ever" (RFC 2782): in proportion to the largest. */
static uint32_t found_weight(const struct upstream_source *s, unsigned i, uint32_t largest)
{
	uint32_t weight = s->found[i].weight;

	if (largest > UPSTREAM_WEIGHT_MAX)
		weight = weight * UPSTREAM_WEIGHT_MAX / largest;
	weight = SL_MAX(weight, 1u) * s->config.weight;
	return SL_MIN(weight, UPSTREAM_WEIGHT_MAX);
}

static int plan_add_found(struct plan *p, struct upstream_source *s)
{
	uint32_t largest = 0;
	uint16_t first = UINT16_MAX;

	for (unsigned i = 0; i < s->found_count; i++) {
		largest = SL_MAX(largest, s->found[i].weight);
		first = SL_MIN(first, s->found[i].priority);
	}
	for (unsigned i = 0; i < s->found_count; i++) {
		const struct resolve_found *f = &s->found[i];
		char text[NET_ADDR_TEXT];
		struct str name = {text, net_addr_print(&f->addr, text)};
		/* The lowest priority is the first choice (RFC 2782). */
		bool backup = s->config.backup || f->priority > first;
		int error = plan_add(p, s, name, s->config.text, &f->addr,
				     found_weight(s, i, largest), backup);

		if (error)
			return error;
	}
	return 0;
}

static unsigned count_servers(const struct list *sources)
{
	unsigned count = 0;

	for (const struct list *l = sources->next; l != sources; l = l->next) {
		const struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		count += s->config.kind == UPSTREAM_SERVER_ADDR ? 1 : s->found_count;
	}
	return count;
}

static int plan_fill(struct plan *p, struct list *sources)
{
	int error = 0;

	for (struct list *l = sources->next; l != sources && !error; l = l->next) {
		struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		if (s->config.kind == UPSTREAM_SERVER_ADDR)
			error = plan_add(p, s, s->config.text, STR(""), &s->config.addr,
					 s->config.weight, s->config.backup);
		else
			error = plan_add_found(p, s);
	}
	return error ? error : upstream_set_sort(p->set);
}

static void plan_undo(struct plan *p)
{
	struct upstream_keeper *k = p->keeper;

	while (!list_empty(&p->fresh))
		seat_free(k, SL_CONTAINER(p->fresh.next, struct upstream_seat, link));
	for (struct list *l = k->seats.next; l != &k->seats; l = l->next)
		SL_CONTAINER(l, struct upstream_seat, link)->next = NULL;
	upstream_set_unref(p->set);
}

static void seat_begin(struct upstream_keeper *k, struct upstream_seat *seat)
{
	seat->check.checks = &k->group->registry->checks;
	seat->check.group = k->group;
	seat->check.server = seat->server;
	check_begin(&seat->check, keeper_config(k));
}

/* Checks begin anew under another configuration, and for servers that are new. */
static void commit_seats(struct plan *p, bool anew, bool running)
{
	struct upstream_keeper *k = p->keeper;
	uint64_t now_ns = io_now_ns(k->group->registry->loop);
	struct list *next;

	for (struct list *l = k->seats.next; l != &k->seats; l = next) {
		struct upstream_seat *seat = SL_CONTAINER(l, struct upstream_seat, link);

		next = l->next;
		if (seat->next)
			continue;
		atomic_fetch_or_explicit(&seat->server->flags, UPSTREAM_FLAG_GONE,
					 memory_order_relaxed);
		seat_free(k, seat);
	}
	while (!list_empty(&p->fresh)) {
		struct list *l = p->fresh.next;

		list_del(l);
		list_add(&k->seats, l);
	}
	for (struct list *l = k->seats.next; l != &k->seats; l = l->next) {
		struct upstream_seat *seat = SL_CONTAINER(l, struct upstream_seat, link);
		bool fresh = seat->fresh;

		seat->source = seat->next;
		seat->next = NULL;
		seat->fresh = false;
		if (p->forget)
			seat->weight = 0;
		/* Who comes into a group that is at work begins slowly; so do not all at its start. */
		if (fresh && running)
			atomic_store_explicit(&seat->server->starting_since_ns, now_ns,
					      memory_order_relaxed);
		if (fresh && seat->source->draining)
			atomic_fetch_or_explicit(&seat->server->flags, UPSTREAM_FLAG_DRAINING,
						 memory_order_relaxed);
		if (fresh || anew)
			seat_begin(k, seat);
	}
}

static void commit(struct plan *p, struct upstream_settings *settings)
{
	struct upstream_keeper *k = p->keeper;
	struct upstream_group *g = k->group;
	struct upstream_set *old = g->set;
	struct upstream_settings *old_settings = k->settings;

	p->set->epoch = atomic_load_explicit(&g->generation, memory_order_relaxed) + 1;
	pthread_mutex_lock(&g->lock);
	g->set = p->set;
	pthread_mutex_unlock(&g->lock);
	atomic_store_explicit(&g->generation, p->set->epoch, memory_order_release);
	k->settings = upstream_settings_ref(settings);
	commit_seats(p, settings != old_settings, old && old->count);
	upstream_group_stir(g);
	upstream_settings_unref(old_settings);
	upstream_set_unref(old);
}

int keeper_publish(struct upstream_keeper *k, struct list *sources,
		   struct upstream_settings *settings, bool forget)
{
	struct plan p = {.keeper = k, .forget = forget};
	unsigned count = count_servers(sources);
	int error;

	p.room = SL_MIN(count, UPSTREAM_SERVERS_MAX);
	p.set = upstream_set_new(settings, p.room);
	if (!p.set)
		return -ENOMEM;
	p.set->count = 0;
	list_init(&p.fresh);
	error = plan_fill(&p, sources);
	if (error) {
		plan_undo(&p);
		return error;
	}
	if (count > UPSTREAM_SERVERS_MAX)
		log_warn("upstream \"%.*s\": more than %u servers; the rest is left out",
			 STR_ARG(k->group->name), UPSTREAM_SERVERS_MAX);
	commit(&p, settings);
	keeper_note_unresolved(k);
	return 0;
}

static struct upstream_source *find_source(struct list *sources, struct str text)
{
	for (struct list *l = sources->next; l != sources; l = l->next) {
		struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		if (str_eq(s->config.text, text))
			return s;
	}
	return NULL;
}

/* What an older source of the same text knows; it has it back when this comes to nothing. */
static void source_inherit(struct upstream_source *s, struct upstream_source *older)
{
	s->older = older;
	s->draining = older->draining;
	s->known = older->known;
	s->failures = older->failures;
	s->why = older->why;
	s->due_ns = older->due_ns;
	s->found = older->found;
	s->found_count = older->found_count;
}

static void free_sources(struct list *sources)
{
	struct list *next;

	for (struct list *l = sources->next; l != sources; l = next) {
		struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		next = l->next;
		if (s->older)
			s->found = NULL;
		source_free(s);
	}
}

static int load_sources(struct upstream_keeper *k, const struct upstream_config *c,
			struct list *sources)
{
	for (unsigned i = 0; i < c->server_count && i < UPSTREAM_SERVERS_MAX; i++) {
		struct upstream_source *older, *s;

		if (find_source(sources, c->servers[i].text))
			continue;
		s = source_new(k, &c->servers[i]);
		if (!s)
			return -ENOMEM;
		older = find_source(&k->sources, c->servers[i].text);
		if (older)
			source_inherit(s, older);
		list_add(sources, &s->link);
	}
	return 0;
}

static void drop_old_sources(struct upstream_keeper *k, const struct list *sources)
{
	struct list *next;

	for (const struct list *l = sources->next; l != sources; l = l->next) {
		struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		if (!s->older)
			continue;
		s->older->found = NULL;
		s->older->added = false;
		s->older = NULL;
	}
	for (struct list *l = k->sources.next; l != &k->sources; l = next) {
		struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		next = l->next;
		if (s->added)
			log_info("upstream \"%.*s\": server %.*s was added at run time and is not "
				 "in the configuration: dropped",
				 STR_ARG(k->group->name), STR_ARG(s->config.text));
		source_free(s);
	}
}

int keeper_load(struct upstream_keeper *k, const struct upstream_config *config)
{
	struct upstream_settings *settings = upstream_settings_new(config);
	struct list sources;
	int error;

	list_init(&sources);
	if (!settings)
		return -ENOMEM;
	error = load_sources(k, upstream_settings_config(settings), &sources);
	if (!error)
		error = keeper_publish(k, &sources, settings, true);
	upstream_settings_unref(settings);
	if (error) {
		free_sources(&sources);
		return error;
	}
	drop_old_sources(k, &sources);
	while (!list_empty(&sources)) {
		struct upstream_source *s =
			SL_CONTAINER(sources.next, struct upstream_source, link);

		list_del(&s->link);
		list_add(&k->sources, &s->link);
		source_begin(s);
	}
	keeper_note_unresolved(k);
	return 0;
}

void keeper_stop(struct upstream_keeper *k)
{
	for (struct list *l = k->seats.next; l != &k->seats; l = l->next)
		check_stop(&SL_CONTAINER(l, struct upstream_seat, link)->check);
	for (struct list *l = k->sources.next; l != &k->sources; l = l->next)
		source_stop(SL_CONTAINER(l, struct upstream_source, link));
	io_timer_stop(&k->ejection);
}

void keeper_empty(struct upstream_keeper *k)
{
	keeper_stop(k);
	while (!list_empty(&k->seats))
		seat_free(k, SL_CONTAINER(k->seats.next, struct upstream_seat, link));
	free_sources(&k->sources);
	hash_destroy(&k->by_name);
	upstream_settings_unref(k->settings);
	k->settings = NULL;
}
