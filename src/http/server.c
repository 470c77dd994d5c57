// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/h1/wire.h"
#include "net/conn.h"

void http_generation_free(struct http_generation *g)
{
	for (unsigned i = 0; i < g->config->route_count; i++) {
		const struct http_route *route = g->config->routes[i];
		if (g->states[i] && route->handler->detach)
			route->handler->detach(g->states[i]);
	}
	http_config_unref(g->config);
	free(g->states);
	free(g);
}

static struct http_generation *generation_new(struct http_worker *w, struct http_config *config)
{
	struct http_generation *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->states = calloc(config->route_count + 1, sizeof(*g->states));
	if (!g->states) {
		free(g);
		return NULL;
	}
	g->config = http_config_ref(config);
	g->uses = 1;
	for (unsigned i = 0; i < config->route_count; i++) {
		const struct http_route *route = config->routes[i];
		if (!route->handler->attach) {
			g->states[i] = (void *)(uintptr_t)route->config;
			continue;
		}
		g->states[i] = route->handler->attach(route->config, w);
		if (!g->states[i]) {
			http_generation_free(g);
			return NULL;
		}
	}
	return g;
}

int http_worker_init(struct http_worker *w, struct io_loop *loop, struct http_config *config)
{
	*w = (struct http_worker){.loop = loop};
	list_init(&w->idle);
	list_init(&w->busy);
	w->current = generation_new(w, config);
	if (!w->current)
		return -ENOMEM;
	w->connections_max = config->limits.connections_max;
	return 0;
}

int http_worker_prepare(struct http_worker *w, struct http_config *config)
{
	assert(!w->prepared);
	w->prepared = generation_new(w, config);
	return w->prepared ? 0 : -ENOMEM;
}

void http_worker_adopt(struct http_worker *w)
{
	struct http_generation *before = w->current;

	assert(w->prepared);
	w->current = w->prepared;
	w->prepared = NULL;
	w->connections_max = w->current->config->limits.connections_max;
	if (--before->uses == 0) {
		http_generation_free(before);
	} else {
		before->next = w->old;
		w->old = before;
	}
}

void http_worker_discard(struct http_worker *w)
{
	if (w->prepared)
		http_generation_free(w->prepared);
	w->prepared = NULL;
}

void http_worker_serve(struct http_worker *w, struct conn *conn, unsigned listener)
{
	h1_serve(w, conn, listener);
}

bool http_session_begin(struct http_worker *w, struct http_session *session)
{
	if (w->draining || (w->connections_max && w->connections >= w->connections_max &&
			    !http_worker_close_idle(w))) {
		HTTP_COUNT(w->counts.refused, 1);
		return false;
	}
	HTTP_COUNT(w->counts.connections, 1);
	http_session_take_over(w, session);
	return true;
}

void http_session_take_over(struct http_worker *w, struct http_session *session)
{
	w->connections++;
	HTTP_COUNT(w->counts.connections_active, 1);
	list_init(&session->link);
	list_add(&w->busy, &session->link);
}

void http_session_busy(struct http_worker *w, struct http_session *session)
{
	list_del(&session->link);
	list_add(&w->busy, &session->link);
}

void http_session_idle(struct http_worker *w, struct http_session *session)
{
	list_del(&session->link);
	list_add(&w->idle, &session->link);
}

void http_session_end(struct http_worker *w, struct http_session *session)
{
	list_del(&session->link);
	w->connections--;
	HTTP_COUNT(w->counts.connections_active, (uint64_t)-1);
	if (w->draining && !w->connections && w->drained)
		w->drained(w);
}

bool http_worker_close_idle(struct http_worker *w)
{
	if (list_empty(&w->idle))
		return false;
	struct http_session *s = SL_CONTAINER(w->idle.next, struct http_session, link);
	s->ops->evict(s);
	return true;
}

/* Each session leaves the list it is on when it is told; `seen` bounds the walk if one stays. */
static void worker_tell(struct http_worker *w, struct list *head, bool abort)
{
	for (uint32_t seen = w->connections; seen && !list_empty(head); seen--) {
		struct http_session *s = SL_CONTAINER(head->next, struct http_session, link);
		http_session_busy(w, s);
		if (abort)
			s->ops->abort(s);
		else
			s->ops->drain(s);
	}
}

void http_worker_drain(struct http_worker *w)
{
	if (w->draining)
		return;
	w->draining = true;
	worker_tell(w, &w->idle, false);
	if (!w->connections && w->drained)
		w->drained(w);
}

void http_worker_abort(struct http_worker *w)
{
	w->draining = true;
	worker_tell(w, &w->idle, true);
	worker_tell(w, &w->busy, true);
}

void http_worker_free(struct http_worker *w)
{
	assert(!w->connections && !w->old && !w->prepared);
	if (w->current)
		http_generation_free(w->current);
	w->current = NULL;
}

struct str http_worker_date(struct http_worker *w)
{
	uint64_t now = io_now_ns(w->loop);

	if (now >= w->date_until_ns) {
		uint64_t wall = clock_realtime_ns();
		http_date_print((int64_t)(wall / CLOCK_NS_PER_S), w->date);
		w->date_until_ns = now + CLOCK_NS_PER_S - wall % CLOCK_NS_PER_S;
	}
	return (struct str){w->date, HTTP_DATE_BYTES};
}
