// SPDX-License-Identifier: Apache-2.0
// Takes a server for a turn and gives it back.
#include "upstream/worker.h"

#include <assert.h>
#include <errno.h>

#include "base/compiler.h"
#include "upstream/view.h"

/* Other workers may take the last place of a server that was picked: then another is picked, this often. */
#define CLAIMS_MAX 4

/* Looking for a server for one turn. */
struct choice {
	struct upstream_view *view;
	struct upstream_turn *turn;
	const struct upstream_tier *tier;
	uint64_t now_ns;
	bool again;  /* those that were tried will do */
	bool full;   /* there is a usable one, without room */
	bool passed; /* there is a usable one that was tried */
};

static bool was_tried(const struct upstream_turn *turn, uint32_t id)
{
	for (unsigned i = 0; i < turn->tried_count; i++)
		if (turn->tried[i] == id)
			return true;
	return false;
}

static void remember_tried(struct upstream_turn *turn, uint32_t id)
{
	if (turn->tried_count < UPSTREAM_TRIED_MAX && !was_tried(turn, id))
		turn->tried[turn->tried_count++] = id;
}

static bool has_room(const struct upstream_slot *slot)
{
	return !slot->max_conns || atomic_load(&slot->server->active) < slot->max_conns;
}

/* A turn that must go to this server and no other may go there while it drains. */
static bool is_usable(const struct choice *c, struct upstream_slot *slot, bool draining_too)
{
	const struct upstream_server *s = slot->server;
	uint32_t flags = atomic_load_explicit(&s->flags, memory_order_relaxed);

	if (SL_UNLIKELY(flags & ~(draining_too ? UPSTREAM_FLAG_DRAINING : 0u))) {
		if (slot->idle_count && (flags & (UPSTREAM_FLAG_DOWN | UPSTREAM_FLAG_GONE)))
			upstream_pool_clear(slot);
		return false;
	}
	return atomic_load_explicit(&s->ejected_until_ns, memory_order_relaxed) <= c->now_ns &&
	       breaker_would_allow(&s->circuit, &c->view->now.set->config->breaker, c->now_ns);
}

static bool look(const struct balance_query *q, unsigned server, struct balance_sight *sight)
{
	struct choice *c = q->owner;
	struct upstream_slot *slot = c->view->now.members[c->tier->members[server]];

	if (!is_usable(c, slot, false))
		return false;
	if (!c->again && was_tried(c->turn, slot->server->id)) {
		c->passed = true;
		return false;
	}
	if (!has_room(slot)) {
		c->full = true;
		return false;
	}
	sight->load = atomic_load_explicit(&slot->server->active, memory_order_relaxed);
	sight->share = balance_share(atomic_load_explicit(&slot->server->starting_since_ns,
							  memory_order_relaxed),
				     c->now_ns, c->view->now.set->config->slow_start_ms);
	return true;
}

/*
 * One place of `most` (0: any number). Never one more, not even to take it back: who saw that would wait, and nobody
 * would wake him.
 */
static bool enter(_Atomic uint32_t *active, uint32_t most)
{
	uint32_t now;

	if (!most) {
		atomic_fetch_add(active, 1);
		return true;
	}
	now = atomic_load(active);
	while (now < most)
		if (atomic_compare_exchange_weak(active, &now, now + 1))
			return true;
	return false;
}

static void leave(struct upstream_view *view, _Atomic uint32_t *active)
{
	atomic_fetch_sub(active, 1);
	upstream_queue_wake(view);
}

/* A place at the server, and its breaker's leave. */
static bool claim(const struct choice *c, struct upstream_slot *slot)
{
	struct upstream_server *server = slot->server;
	enum breaker_change change;

	if (!enter(&server->active, slot->max_conns))
		return false;
	if (!breaker_allow(&server->circuit, &c->view->now.set->config->breaker, c->now_ns,
			   &c->turn->server_probe, &change)) {
		leave(c->view, &server->active);
		return false;
	}
	if (SL_UNLIKELY(change != BREAKER_SAME))
		upstream_breaker_log(c->view->group, server, change);
	return true;
}

/* Takes back a claim, when the group has no place. */
static int unclaim(const struct choice *c, struct upstream_slot *slot, int result)
{
	breaker_report(&slot->server->circuit, &c->view->now.set->config->breaker, c->now_ns,
		       c->turn->server_probe, UPSTREAM_ABANDONED, 0);
	leave(c->view, &slot->server->active);
	return result;
}

static struct upstream_slot *pick(struct choice *c, unsigned tier, bool again)
{
	const struct upstream_config *config = c->view->now.set->config;
	struct balance_query q = {
		.look = look,
		.owner = c,
		.hash = c->turn->hash,
		.load_max_percent = config->load_max_percent,
	};

	c->tier = &c->view->now.set->tiers[tier];
	c->again = again;
	if (!c->tier->table)
		return NULL;
	if (q.load_max_percent)
		q.load = atomic_load_explicit(&c->view->group->active, memory_order_relaxed);
	for (unsigned i = 0; i < CLAIMS_MAX; i++) {
		int at = balance_pick(&c->view->now.balances[tier], &q);
		struct upstream_slot *slot;

		if (at < 0)
			return NULL;
		slot = c->view->now.members[c->tier->members[at]];
		if (claim(c, slot))
			return slot;
	}
	/* They were all there and went to others, who will give them back. */
	c->full = true;
	return NULL;
}

static struct upstream_slot *pick_sticky(struct choice *c)
{
	struct upstream_slot *slot;

	if (!c->turn->sticky.p)
		return NULL;
	slot = hash_get(&c->view->now.by_sticky, c->turn->sticky);
	if (!slot || was_tried(c->turn, slot->server->id) || !is_usable(c, slot, true) ||
	    !has_room(slot) || !claim(c, slot))
		return NULL;
	return slot;
}

/* The order is: those not tried, backups not tried, anything. */
static struct upstream_slot *choose(struct choice *c)
{
	struct upstream_slot *slot = pick_sticky(c);

	if (!slot)
		slot = pick(c, 0, false);
	if (!slot && !c->full)
		slot = pick(c, 1, false);
	if (!slot && c->passed)
		slot = pick(c, 0, true);
	if (!slot && c->passed && !c->full)
		slot = pick(c, 1, true);
	return slot;
}

int upstream_take_now(struct upstream_view *view, struct upstream_turn *turn)
{
	struct choice c = {.view = view, .turn = turn, .now_ns = io_now_ns(view->loop)};
	struct upstream_group *group = view->group;
	const struct upstream_config *config = view->now.set->config;
	struct upstream_slot *slot;
	enum breaker_change change;

	if (!breaker_would_allow(&group->circuit, &config->group_breaker, c.now_ns))
		return -EHOSTDOWN;
	if (config->requests_max && atomic_load(&group->active) >= config->requests_max)
		return -EBUSY;
	slot = choose(&c);
	if (!slot)
		return c.full ? -EINPROGRESS : -ENOENT;
	if (!enter(&group->active, config->requests_max))
		return unclaim(&c, slot, -EBUSY);
	if (!breaker_allow(&group->circuit, &config->group_breaker, c.now_ns, &turn->probe,
			   &change)) {
		leave(view, &group->active);
		return unclaim(&c, slot, -EHOSTDOWN);
	}
	if (SL_UNLIKELY(change != BREAKER_SAME))
		upstream_breaker_log(group, NULL, change);
	turn->slot = slot;
	turn->server = slot->server;
	turn->state = UPSTREAM_TURN_TAKEN;
	slot->turns++;
	slot->tally.requests++;
	upstream_slot_dirty(slot);
	remember_tried(turn, slot->server->id);
	return 0;
}

int upstream_refused(struct upstream_view *view, int result)
{
	if (result < 0 && result != -EINPROGRESS)
		atomic_fetch_add_explicit(&view->group->refused, 1, memory_order_relaxed);
	return result;
}

int upstream_take(struct upstream_view *view, struct upstream_turn *turn)
{
	assert(view->refs && turn->state == UPSTREAM_TURN_IDLE);
	upstream_view_refresh(view);
	turn->view = view;
	if (turn->tried_count == 0) {
		view->requests++;
		io_defer(view->loop, &view->flush);
	}
	return upstream_refused(view, upstream_queue_join(view, turn));
}

void upstream_give(struct upstream_turn *turn, enum upstream_outcome outcome, uint64_t duration_ns)
{
	struct upstream_view *view = turn->view;
	struct upstream_slot *slot = turn->slot;

	assert(turn->state == UPSTREAM_TURN_TAKEN);
	upstream_report(turn, outcome, duration_ns);
	turn->state = UPSTREAM_TURN_IDLE;
	turn->server = NULL;
	turn->slot = NULL;
	turn->probe = turn->server_probe = 0;
	atomic_fetch_sub(&slot->server->active, 1);
	leave(view, &view->group->active);
	slot->turns--;
	upstream_slot_settle(slot);
}

const struct net_addr *upstream_server_addr(const struct upstream_server *server)
{
	return &server->addr;
}

struct str upstream_server_name(const struct upstream_server *server)
{
	return server->name;
}

struct str upstream_server_sticky(const struct upstream_server *server)
{
	return server->sticky;
}
