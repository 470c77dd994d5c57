// SPDX-License-Identifier: Apache-2.0
// One TCP service of one configuration in one worker: what it is made of, and how it ends.
#include <stddef.h>
#include <stdlib.h>

#include "handler/tcp/tcp.h"

static void service_drained(struct io_task *task)
{
	struct tcp_service *s = SL_CONTAINER(task, struct tcp_service, task);
	void (*drained)(void *) = s->drained;

	s->drained = NULL;
	if (drained)
		drained(s->owner);
}

void tcp_service_less(struct tcp_service *s)
{
	if (s->draining && !s->flow_count && !s->mirror_count)
		io_defer(s->loop, &s->task);
}

static bool group_needs_address(const struct upstream_config *c)
{
	return c && (c->balance == UPSTREAM_ADDRESS || c->balance == UPSTREAM_CONSISTENT);
}

static bool config_needs_address(const struct tcp_config *c)
{
	bool needs = c->access || c->limiter || group_needs_address(c->upstream) ||
		     group_needs_address(c->mirror);

	for (unsigned i = 0; i < c->route_count; i++)
		needs |= group_needs_address(c->routes[i].upstream);
	return needs;
}

static bool service_view(struct tcp_service *s, struct upstream_group *group,
			 struct upstream_view **view)
{
	if (!group)
		return true;
	*view = upstream_view_get(group, s->loop);
	return *view != NULL;
}

static bool service_views(struct tcp_service *s)
{
	const struct tcp_config *c = s->config;

	for (unsigned i = 0; i < c->route_count; i++)
		if (!service_view(s, c->routes[i].group, &s->routes[i]))
			return false;
	return service_view(s, c->group, &s->view) && service_view(s, c->mirror_group, &s->mirror);
}

struct tcp_service *tcp_service_new(const struct tcp_config *config, struct io_loop *loop)
{
	struct tcp_service *s =
		calloc(1, offsetof(struct tcp_service, routes[config->route_count]));

	if (!s)
		return NULL;
	s->config = config;
	s->loop = loop;
	list_init(&s->flows);
	list_init(&s->mirrors);
	s->task.run = service_drained;
	s->needs_address = config_needs_address(config);
	s->chance.state = (uintptr_t)s;
	s->relay = (struct relay_options){
		.idle_timeout_ms = config->idle_timeout_ms,
		.lifetime_max_ms = config->lifetime_max_ms,
		.never_splice = config->never_splice,
		.moved = {&s->counts.bytes_in, &s->counts.bytes_out},
	};
	if (tcp_filter_wanted(config))
		s->relay.filter = tcp_filter;
	if (service_views(s))
		return s;
	tcp_service_free(s);
	return NULL;
}

void tcp_service_take(struct tcp_service *s, struct conn *client)
{
	tcp_flow_take(s, client);
}

void tcp_service_drain(struct tcp_service *s, void (*drained)(void *owner), void *owner)
{
	s->draining = true;
	s->drained = drained;
	s->owner = owner;
	tcp_service_less(s);
}

void tcp_service_abort(struct tcp_service *s)
{
	for (struct list *l = s->flows.next, *next; l != &s->flows; l = next) {
		next = l->next;
		tcp_flow_abort(SL_CONTAINER(l, struct tcp_flow, link));
	}
	tcp_mirrors_abort(s);
}

void tcp_service_free(struct tcp_service *s)
{
	for (unsigned i = 0; i < s->config->route_count; i++)
		if (s->routes[i])
			upstream_view_put(s->routes[i]);
	if (s->view)
		upstream_view_put(s->view);
	if (s->mirror)
		upstream_view_put(s->mirror);
	io_undefer(s->loop, &s->task);
	free(s);
}

const struct relay_counts *tcp_service_counts(const struct tcp_service *s)
{
	return &s->counts;
}
