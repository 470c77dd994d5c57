// SPDX-License-Identifier: Apache-2.0
// Names of servers: looked up at once, again when their time is over, and with patience when that fails.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "upstream/keeper.h"

/* After an answer in which something is missing. */
#define PARTIAL_AGAIN_MS 5000

static struct resolver *registry_resolver(struct upstream_registry *r)
{
	char why[256];

	if (r->resolver || r->resolver_failed)
		return r->resolver;
	if (resolver_new(r->loop, r->resolver_servers, &r->resolver, why, sizeof(why)) < 0) {
		r->resolver = NULL;
		r->resolver_failed = true;
		log_warn("upstream: %s; servers that are names stay unknown", why);
	}
	return r->resolver;
}

void keeper_note_unresolved(struct upstream_keeper *k)
{
	bool unresolved = false;

	for (struct list *l = k->sources.next; l != &k->sources; l = l->next) {
		const struct upstream_source *s = SL_CONTAINER(l, struct upstream_source, link);

		unresolved |= s->config.kind != UPSTREAM_SERVER_ADDR && !s->known;
	}
	atomic_store_explicit(&k->group->unresolved, unresolved, memory_order_relaxed);
}

static void lookup(struct upstream_source *s)
{
	struct resolver *r = registry_resolver(s->keeper->group->registry);

	if (r)
		resolve_start(r, &s->query,
			      s->config.kind == UPSTREAM_SERVER_SRV ? RESOLVE_SRV : RESOLVE_ADDRESS,
			      s->config.host, s->config.port, UPSTREAM_LOOKUP_TIMEOUT_MS);
}

static void lookup_in(struct upstream_source *s, uint64_t wait_ms)
{
	struct io_loop *loop = s->keeper->group->registry->loop;

	s->due_ns = io_now_ns(loop) + wait_ms * CLOCK_NS_PER_MS;
	io_timer_set(loop, &s->again, wait_ms);
}

static void lookup_failed(struct upstream_source *s, const char *why)
{
	unsigned doublings = SL_MIN(s->failures, 16u);
	uint64_t wait_ms = (uint64_t)UPSTREAM_LOOKUP_AGAIN_MS << doublings;

	wait_ms = SL_MIN(wait_ms, (uint64_t)UPSTREAM_LOOKUP_AGAIN_MAX_MS);
	/* Said once, and again when the reason is another one. */
	if (!s->why || strcmp(s->why, why) != 0)
		log_warn("upstream \"%.*s\": server %.*s is not resolved: %s; %s, and asked again "
			 "in %u s",
			 STR_ARG(s->keeper->group->name), STR_ARG(s->config.text), why,
			 s->known ? "its last addresses are kept" : "it has no addresses yet",
			 (unsigned)(wait_ms / 1000));
	s->failures++;
	s->why = why;
	lookup_in(s, wait_ms);
}

static const struct resolve_found *find(const struct resolve_found *found, unsigned count,
					const struct net_addr *addr)
{
	for (unsigned i = 0; i < count; i++)
		if (net_addr_eq(&found[i].addr, addr))
			return &found[i];
	return NULL;
}

static unsigned count_missing(const struct resolve_found *of, unsigned of_count,
			      const struct resolve_found *in, unsigned in_count)
{
	unsigned missing = 0;

	for (unsigned i = 0; i < of_count; i++)
		missing += !find(in, in_count, &of[i].addr);
	return missing;
}

static bool is_same(const struct upstream_source *s, const struct resolve_found *found,
		    unsigned count)
{
	if (count != s->found_count)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct resolve_found *old = find(s->found, count, &found[i].addr);

		if (!old || found[i].priority != old->priority || found[i].weight != old->weight)
			return false;
	}
	return true;
}

/* The addresses of an answer, and behind them those that only the last answer had, when this one is not whole. */
static struct resolve_found *take_found(const struct upstream_source *s,
					const struct resolve_answer *answer, unsigned *count)
{
	unsigned kept = answer->partial ? s->found_count : 0, n = answer->count;
	struct resolve_found *found = calloc(n + kept, sizeof(*found));

	if (!found)
		return NULL;
	memcpy(found, answer->found, n * sizeof(*found));
	for (unsigned i = 0; i < kept && n < RESOLVE_ADDRS_MAX; i++)
		if (!find(answer->found, answer->count, &s->found[i].addr))
			found[n++] = s->found[i];
	*count = n;
	return found;
}

/* True when they are the source's now. */
static bool set_found(struct upstream_source *s, struct resolve_found *found, unsigned count)
{
	struct upstream_keeper *k = s->keeper;
	struct resolve_found *old = s->found;
	unsigned old_count = s->found_count;

	s->found = found;
	s->found_count = count;
	if (keeper_publish(k, &k->sources, k->settings, false) < 0) {
		s->found = old;
		s->found_count = old_count;
		free(found);
		return false;
	}
	log_info("upstream \"%.*s\": server %.*s has %u address%s (%u came, %u went)",
		 STR_ARG(k->group->name), STR_ARG(s->config.text), count, count == 1 ? "" : "es",
		 count_missing(found, count, old, old_count),
		 count_missing(old, old_count, found, count));
	free(old);
	return true;
}

static void lookup_done(struct resolve_query *query, const struct resolve_answer *answer)
{
	struct upstream_source *s = SL_CONTAINER(query, struct upstream_source, query);
	struct resolve_found *found;
	unsigned count;

	if (answer->result < 0) {
		lookup_failed(s, answer->why);
		return;
	}
	found = take_found(s, answer, &count);
	if (found && is_same(s, found, count)) {
		free(found);
		if (s->why)
			log_info("upstream \"%.*s\": server %.*s is resolved again",
				 STR_ARG(s->keeper->group->name), STR_ARG(s->config.text));
	} else if (!found || !set_found(s, found, count)) {
		lookup_failed(s, "out of memory");
		return;
	}
	s->known = true;
	s->failures = 0;
	s->why = NULL;
	keeper_note_unresolved(s->keeper);
	lookup_in(s, answer->partial ? SL_MIN(answer->ttl_s * 1000, PARTIAL_AGAIN_MS)
				     : answer->ttl_s * 1000);
}

static void again_due(struct io_timer *timer)
{
	lookup(SL_CONTAINER(timer, struct upstream_source, again));
}

void source_begin(struct upstream_source *s)
{
	struct upstream_registry *r = s->keeper->group->registry;
	uint64_t now_ns = io_now_ns(r->loop);

	if (s->config.kind == UPSTREAM_SERVER_ADDR || r->stopped)
		return;
	s->query.done = lookup_done;
	s->again.fire = again_due;
	if (s->known && s->due_ns > now_ns)
		io_timer_set(r->loop, &s->again, (s->due_ns - now_ns) / CLOCK_NS_PER_MS);
	else
		lookup(s);
}

void source_stop(struct upstream_source *s)
{
	resolve_cancel(&s->query);
	io_timer_stop(&s->again);
}
