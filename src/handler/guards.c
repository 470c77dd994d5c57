// SPDX-License-Identifier: Apache-2.0
// The steps that ask who may come in, and how the process is doing.
#include "handler/guards.h"

#include <errno.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "handler/respond.h"
#include "http/filter.h"
#include "http/server.h"

/* Below it a latency says more about the loop's turn than about the handler. */
#define GUARDS_LATENCY_MIN_NS CLOCK_NS_PER_MS
/* Where a worker begins to look for the limit of a route. */
#define GUARDS_ADAPTIVE_BEGIN 20
#define GUARDS_PRIORITY_MAX 7

/* One request that counts against the limit of its route. */
struct load_hold {
	struct http_filter filter;
	struct guard_adaptive *adaptive;
	uint64_t began_ns, took_ns;
};

/* 1 or -errno, as a step returns it. */
static int step_answered(int err)
{
	return err ? err : 1;
}

int guards_access_run(const void *config, struct http_stream *s)
{
	const struct guards_access *g = config;
	struct net_addr client;

	if (http_client(s, &client) == 0 && guard_access_allows(g->access, &client))
		return 0;
	return step_answered(http_respond_error(s, 403));
}

/* Load. */

static int load_refuse(struct http_stream *s, struct str retry_after_s)
{
	const struct http_field field = {.id = HTTP_RETRY_AFTER, .value = retry_after_s};

	return step_answered(http_respond_error_with(s, 503, &field, 1));
}

static bool load_trusts_peer(struct http_stream *s)
{
	const struct http_config *config = s->generation->config;
	struct net_addr peer;

	return config->trusted_count && http_peer(s, &peer) == 0 &&
	       http_cidr_match(config->trusted, config->trusted_count, &peer);
}

static unsigned load_priority(const struct guards_load *g, struct http_stream *s)
{
	const struct http_fields *fields = &s->request.fields;

	if (!g->priority_header.len || !load_trusts_peer(s))
		return g->priority;
	for (unsigned i = 0; i < fields->count; i++) {
		uint64_t told;

		if (!str_eq_nocase(fields->v[i].name, g->priority_header))
			continue;
		if (str_to_u64(fields->v[i].value, GUARDS_PRIORITY_MAX, &told))
			break;
		return (unsigned)told;
	}
	return g->priority;
}

/* 0: the handler does what it can. */
static int load_fall_back(const struct guards_load *g, struct http_stream *s)
{
	if (g->fallback)
		return step_answered(respond_handler.open((void *)(uintptr_t)g->fallback, s));
	if (!s->route->handler->falls_back)
		return load_refuse(s, STR("10"));
	s->fallback = true;
	return 0;
}

static void load_answered(struct load_hold *hold)
{
	uint64_t took = clock_monotonic_ns() - hold->began_ns;

	hold->took_ns = SL_MAX(took, GUARDS_LATENCY_MIN_NS);
}

static int load_respond(struct http_filter *filter, struct http_stream *s, struct http_head *head,
			struct source **body)
{
	(void)s;
	(void)head;
	(void)body;
	load_answered(SL_CONTAINER(filter, struct load_hold, filter));
	return 0;
}

/* How long the answer took is known since its head: a slow reader is not a slow server. */
static void load_finish(struct http_filter *filter, struct http_stream *s, int why)
{
	struct load_hold *hold = SL_CONTAINER(filter, struct load_hold, filter);

	(void)why;
	if (!hold->took_ns)
		guard_adaptive_drop(hold->adaptive);
	else
		guard_adaptive_end(hold->adaptive, s->status >= 500 ? 0 : hold->took_ns,
				   clock_monotonic_ns());
}

static const struct http_filter_ops load_filter_ops = {
	.respond = load_respond,
	.finish = load_finish,
};

static int load_hold(const struct guards_load *g, struct http_stream *s, unsigned priority)
{
	if (!g->adaptive_max || s->worker->index >= g->slot_count)
		return 0;
	struct guard_adaptive *a = &g->slots[s->worker->index].adaptive;
	if (!a->max) {
		a->min = g->adaptive_min;
		a->max = g->adaptive_max;
		a->limit = GUARDS_ADAPTIVE_BEGIN;
	}
	struct load_hold *hold = arena_alloc(s->arena, sizeof(*hold));
	if (!hold)
		return -ENOMEM;
	if (!guard_adaptive_begin(a, priority))
		return load_refuse(s, STR("1"));
	*hold = (struct load_hold){
		.filter.ops = &load_filter_ops, .adaptive = a, .began_ns = clock_monotonic_ns()};
	http_stream_add_filter(s, &hold->filter);
	return 0;
}

int guards_load_run(const void *config, struct http_stream *s)
{
	const struct guards_load *g = config;
	enum guard_level level = g->load ? guard_load_level(g->load) : GUARD_NORMAL;
	unsigned priority = load_priority(g, s);

	if (priority < g->priority_min[level])
		return load_refuse(s, STR("10"));
	switch (g->at[level]) {
	case GUARDS_FULL:
		break;
	case GUARDS_FALLBACK:
	case GUARDS_STALE:
		return load_fall_back(g, s);
	case GUARDS_REFUSE:
		return load_refuse(s, STR("10"));
	}
	return load_hold(g, s, priority);
}
