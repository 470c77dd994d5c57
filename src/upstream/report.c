// SPDX-License-Identifier: Apache-2.0
// What is made of how turns went: breakers, ejections, retries, counters.
#include "base/clock.h"
#include "base/compiler.h"
#include "upstream/view.h"

#define ADD(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)

void upstream_slot_dirty(struct upstream_slot *slot)
{
	struct upstream_view *view = slot->view;

	if (slot->dirty)
		return;
	slot->dirty = true;
	slot->next_dirty = view->dirty;
	view->dirty = slot;
	io_defer(view->loop, &view->flush);
}

static void tell(struct upstream_server *server, const struct upstream_tally *t)
{
	ADD(server->requests, t->requests);
	if (t->failures)
		ADD(server->failures, t->failures);
	if (t->connects)
		ADD(server->connects, t->connects);
	if (t->reused)
		ADD(server->reused, t->reused);
	if (t->bytes_in)
		ADD(server->bytes_in, t->bytes_in);
	if (t->bytes_out)
		ADD(server->bytes_out, t->bytes_out);
}

void upstream_flush(struct upstream_view *view)
{
	struct upstream_slot *slot = view->dirty;

	view->dirty = NULL;
	for (; slot; slot = slot->next_dirty) {
		tell(slot->server, &slot->tally);
		slot->tally = (struct upstream_tally){0};
		slot->dirty = false;
	}
	if (view->requests) {
		ADD(view->group->requests, view->requests);
		budget_requests(&view->group->budget, io_now_ns(view->loop), view->requests);
	}
	if (view->failures)
		ADD(view->group->failures, view->failures);
	view->requests = view->failures = 0;
}

void upstream_breaker_log(struct upstream_group *group, struct upstream_server *server,
			  enum breaker_change change)
{
	static const char *const texts[] = {
		[BREAKER_OPENED] = "breaker opened: too many requests failed or were slow",
		[BREAKER_PROBING] = "breaker half open: trying a few requests",
		[BREAKER_SHUT] = "breaker closed: all probes succeeded",
	};
	enum log_level level = change == BREAKER_OPENED ? LOG_WARN : LOG_INFO;

	if (change == BREAKER_SAME)
		return;
	if (server) {
		atomic_store(&server->breaker, (uint8_t)breaker_state(&server->circuit));
		upstream_server_log(server, level, "%s", texts[change]);
		return;
	}
	atomic_store(&group->breaker, (uint8_t)breaker_state(&group->circuit));
	log_write(level, "upstream \"%.*s\": %s", STR_ARG(group->name), texts[change]);
}

/* Whether the group may do without it: a bad server is better than none. */
static bool may_eject(const struct upstream_set *set, const struct upstream_server *server,
		      uint64_t now_ns)
{
	unsigned ejected = 0, others = 0;

	for (unsigned i = 0; i < set->count; i++) {
		const struct upstream_server *s = set->members[i].server;
		bool out = atomic_load(&s->ejected_until_ns) > now_ns;

		ejected += out;
		others += s != server && !out && !atomic_load(&s->flags);
	}
	return others && outlier_may_eject(&set->config->outlier, ejected, set->count);
}

/* The group's lock keeps two workers from ejecting one more than may be. */
static void eject(struct upstream_view *view, struct upstream_server *server, const char *why)
{
	const struct upstream_set *set = view->now.set;
	const struct upstream_outlier *config = &set->config->outlier;
	uint64_t now = io_now_ns(view->loop), ms = 0, last;

	pthread_mutex_lock(&view->group->lock);
	last = atomic_load(&server->ejected_until_ns);
	if (last <= now && may_eject(set, server, now)) {
		ms = outlier_eject(&server->outlier, config, now, last);
		atomic_store(&server->starting_since_ns, now + ms * CLOCK_NS_PER_MS);
		atomic_store(&server->ejected_until_ns, now + ms * CLOCK_NS_PER_MS);
	}
	pthread_mutex_unlock(&view->group->lock);
	if (!ms)
		return;
	ADD(server->ejections, 1);
	upstream_server_log(server, LOG_WARN, "ejected for %llu ms: %s", (unsigned long long)ms,
			    why);
	upstream_group_wake(view->group);
}

void upstream_report(struct upstream_turn *turn, enum upstream_outcome outcome,
		     uint64_t duration_ns)
{
	struct upstream_view *view = turn->view;
	struct upstream_server *server = turn->server;
	const struct upstream_config *config = view->now.set->config;
	uint64_t now = io_now_ns(view->loop);
	enum breaker_change change = breaker_report(&server->circuit, &config->breaker, now,
						    turn->server_probe, outcome, duration_ns);
	const char *why;

	upstream_breaker_log(view->group, server, change);
	change = breaker_report(&view->group->circuit, &config->group_breaker, now, turn->probe,
				outcome, duration_ns);
	upstream_breaker_log(view->group, NULL, change);
	if (outcome == UPSTREAM_ABANDONED)
		return;
	if (outcome == UPSTREAM_FAILED) {
		turn->slot->tally.failures++;
		view->failures++;
		upstream_slot_dirty(turn->slot);
	}
	if (!outlier_on(&config->outlier))
		return;
	why = outlier_report(&server->outlier, &config->outlier, now, outcome == UPSTREAM_FAILED);
	if (SL_UNLIKELY(why != NULL))
		eject(view, server, why);
}

void upstream_blame(struct upstream_turn *turn, const char *why)
{
	struct upstream_view *view = turn->view;
	uint64_t kept_quiet;

	upstream_server_error(turn->server, why);
	if (!log_rate_allow(&view->blamed, io_now_ns(view->loop), &kept_quiet))
		return;
	if (kept_quiet)
		upstream_server_log(turn->server, LOG_WARN, "%s (and %llu other failures)", why,
				    (unsigned long long)kept_quiet);
	else
		upstream_server_log(turn->server, LOG_WARN, "%s", why);
}

void upstream_moved(struct upstream_turn *turn, uint64_t bytes_in, uint64_t bytes_out)
{
	turn->slot->tally.bytes_in += bytes_in;
	turn->slot->tally.bytes_out += bytes_out;
	upstream_slot_dirty(turn->slot);
}

bool upstream_retry_allowed(struct upstream_view *view)
{
	struct upstream_group *group = view->group;
	bool allowed;

	/* The requests of this turn of the loop count, too. */
	upstream_flush(view);
	allowed = budget_retry(&group->budget, view->now.set->config->retry.budget_percent,
			       io_now_ns(view->loop));
	if (allowed)
		ADD(group->retries, 1);
	else
		ADD(group->retries_refused, 1);
	return allowed;
}

void upstream_count(struct upstream_view *view, enum upstream_event event)
{
	switch (event) {
	case UPSTREAM_EVENT_FALLBACK:
		ADD(view->group->fallbacks, 1);
		return;
	case UPSTREAM_EVENT_MIRROR:
		ADD(view->group->mirrored, 1);
		return;
	case UPSTREAM_EVENT_MIRROR_DROPPED:
		ADD(view->group->mirrors_dropped, 1);
		return;
	}
}
