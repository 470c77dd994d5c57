// SPDX-License-Identifier: Apache-2.0
#include "upstream/balance.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"

/* For the balances that look at all servers: what was seen of them in this pick, and the state of the smooth one. */
struct balance_scratch {
	int64_t current;
	uint32_t weight, load; /* weight 0: may not be picked */
};

struct balance_table *balance_table_new(enum upstream_balance how,
					const struct ring_member *members, unsigned count)
{
	struct balance_table *t = malloc(sizeof(*t) + count * sizeof(t->sums[0]));
	uint32_t sum = 0;

	if (!t)
		return NULL;
	*t = (struct balance_table){.how = how, .count = count};
	for (unsigned i = 0; i < count; i++)
		t->sums[i] = sum += members[i].weight;
	if (how != UPSTREAM_CONSISTENT)
		return t;
	t->ring = ring_new(members, count);
	if (!t->ring) {
		free(t);
		return NULL;
	}
	return t;
}

void balance_table_free(struct balance_table *t)
{
	if (!t)
		return;
	ring_free(t->ring);
	t->ring = NULL;
	free(t);
}

uint32_t balance_share(uint64_t since_ns, uint64_t now_ns, uint32_t slow_start_ms)
{
	uint64_t whole_ns = slow_start_ms * CLOCK_NS_PER_MS, age_ns, share;

	if (!since_ns || now_ns >= since_ns + whole_ns)
		return BALANCE_SHARE_FULL;
	age_ns = now_ns > since_ns ? now_ns - since_ns : 0;
	share = age_ns * BALANCE_SHARE_FULL / whole_ns;
	return (uint32_t)SL_MAX(share, BALANCE_SHARE_FULL / 10);
}

static bool needs_scratch(enum upstream_balance how)
{
	return how == UPSTREAM_WEIGHTED || how == UPSTREAM_LEAST;
}

static uint32_t weight_of(const struct balance_table *t, unsigned i)
{
	return i ? t->sums[i] - t->sums[i - 1] : t->sums[0];
}

/* The server whose part of the sum holds `at`. */
static unsigned server_at(const struct balance_table *t, uint32_t at)
{
	unsigned low = 0, high = t->count - 1;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (at < t->sums[middle])
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int round_robin(struct balance *b, const struct balance_query *q)
{
	struct balance_sight sight;

	for (unsigned i = 0; i < b->table->count; i++) {
		unsigned at = b->next++;

		if (b->next == b->table->count)
			b->next = 0;
		if (q->look(q, at, &sight))
			return (int)at;
	}
	return -1;
}

static void see_all(struct balance *b, const struct balance_query *q)
{
	for (unsigned i = 0; i < b->table->count; i++) {
		struct balance_scratch *s = &b->each[i];
		struct balance_sight sight;

		s->weight = 0;
		if (!q->look(q, i, &sight))
			continue;
		s->weight = weight_of(b->table, i) * sight.share;
		s->load = sight.load;
	}
}

/*
 * Smooth weighted round robin, as nginx has it: each server gains its weight, the one that has most is picked and pays the
 * sum of those that gained.
 */
static int smooth(struct balance *b)
{
	int64_t sum = 0;
	int best = -1;

	for (unsigned i = 0; i < b->table->count; i++) {
		struct balance_scratch *s = &b->each[i];

		if (!s->weight)
			continue;
		sum += s->weight;
		s->current += s->weight;
		if (best < 0 || s->current > b->each[best].current)
			best = (int)i;
	}
	if (best >= 0)
		b->each[best].current -= sum;
	return best;
}

static bool less_loaded(uint64_t load, uint64_t weight, uint64_t than_load, uint64_t than_weight)
{
	return load * than_weight < than_load * weight;
}

/* Of those that have least the smooth one decides, so that weights count when nobody has anything to do. */
static int least(struct balance *b)
{
	const struct balance_scratch *best = NULL;

	for (unsigned i = 0; i < b->table->count; i++) {
		const struct balance_scratch *s = &b->each[i];

		if (s->weight &&
		    (!best || less_loaded(s->load, s->weight, best->load, best->weight)))
			best = s;
	}
	if (!best)
		return -1;

	uint32_t load = best->load, weight = best->weight;

	for (unsigned i = 0; i < b->table->count; i++)
		if (b->each[i].weight &&
		    less_loaded(load, weight, b->each[i].load, b->each[i].weight))
			b->each[i].weight = 0;
	return smooth(b);
}

/* One of all that may be picked but `except`, by weight: each takes the place of those before it with its share of the sum. */
static int any(struct balance *b, const struct balance_query *q, int except,
	       struct balance_sight *sight)
{
	uint64_t sum = 0;
	int best = -1;

	for (unsigned i = 0; i < b->table->count; i++) {
		struct balance_sight here;

		if ((int)i == except || !q->look(q, i, &here))
			continue;

		uint64_t weight = (uint64_t)weight_of(b->table, i) * here.share;

		sum += weight;
		if (chance_next(&b->chance) % sum >= weight)
			continue;
		best = (int)i;
		*sight = here;
	}
	return best;
}

/* The same in O(log n), while those that may not be picked are few. */
static int draw(struct balance *b, const struct balance_query *q, int except,
		struct balance_sight *sight)
{
	const struct balance_table *t = b->table;

	for (unsigned i = 0; i < BALANCE_DRAWS; i++) {
		unsigned at = server_at(t, chance_below(&b->chance, t->sums[t->count - 1]));

		if ((int)at == except || !q->look(q, at, sight))
			continue;
		if (sight->share == BALANCE_SHARE_FULL ||
		    chance_below(&b->chance, BALANCE_SHARE_FULL) < sight->share)
			return (int)at;
	}
	return any(b, q, except, sight);
}

static int two_choices(struct balance *b, const struct balance_query *q)
{
	struct balance_sight one, two;
	int first = draw(b, q, -1, &one);
	int second = first < 0 ? -1 : draw(b, q, first, &two);

	if (second < 0)
		return first;
	/* As if each had the new one already: of two idle servers the heavier is better. */
	return less_loaded((uint64_t)two.load + 1,
			   (uint64_t)weight_of(b->table, (unsigned)second) * two.share,
			   (uint64_t)one.load + 1,
			   (uint64_t)weight_of(b->table, (unsigned)first) * one.share)
		     ? second
		     : first;
}

/* Whether this key is one of those that a server in its slow start has already; as it grows it only gains keys. */
static bool has_key(uint64_t hash, unsigned server, uint32_t share)
{
	return share == BALANCE_SHARE_FULL ||
	       chance_mix(hash ^ (server + 1) * 0x9e3779b97f4a7c15u) % BALANCE_SHARE_FULL < share;
}

/* The first that may be picked, from a server on that the hash says. */
static int behind(const struct balance *b, const struct balance_query *q)
{
	unsigned from = (unsigned)(q->hash % b->table->count);
	struct balance_sight sight;

	for (unsigned i = 0; i < b->table->count; i++) {
		unsigned at = (from + i) % b->table->count;

		if (q->look(q, at, &sight))
			return (int)at;
	}
	return -1;
}

/* Keys of servers that may be picked stay where they are, whatever becomes of the others. */
static int by_address(const struct balance *b, const struct balance_query *q)
{
	const struct balance_table *t = b->table;
	struct chance draws = {q->hash};
	struct balance_sight sight;

	for (unsigned i = 0; i < BALANCE_DRAWS; i++) {
		unsigned at = server_at(t, chance_below(&draws, t->sums[t->count - 1]));

		if (q->look(q, at, &sight) && has_key(q->hash, at, sight.share))
			return (int)at;
	}
	return behind(b, q);
}

/* Of its share of the load with the new request, rounded up: bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016). */
static bool has_room(const struct balance_table *t, const struct balance_query *q, unsigned server,
		     uint32_t load)
{
	uint64_t all = (q->load + 1) * weight_of(t, server) * q->load_max_percent;
	uint64_t whole = t->sums[t->count - 1] * 100ull;

	return !q->load_max_percent || load * whole < all;
}

struct probe {
	int server, crowded; /* the first with room; the first at all; -1: none */
	uint64_t distance;
	struct balance_sight crowd;
};

static struct probe probe(const struct balance *b, const struct balance_query *q, uint64_t place)
{
	const struct ring *r = b->table->ring;
	uint32_t at = ring_find(r, place), steps = SL_MIN(r->count, BALANCE_STEPS);
	struct probe p = {.server = -1, .crowded = -1};

	for (; steps-- > 0; at = at + 1 < r->count ? at + 1 : 0) {
		unsigned server = ring_member_at(r, at);
		struct balance_sight sight;

		if (!q->look(q, server, &sight) || !has_key(q->hash, server, sight.share))
			continue;
		if (has_room(b->table, q, server, sight.load)) {
			p.server = (int)server;
			p.distance = ring_distance(r, at, place);
			return p;
		}
		if (p.crowded < 0) {
			p.crowded = (int)server;
			p.crowd = sight;
		}
	}
	return p;
}

/*
 * One look-up leaves 160 points a server with loads that differ by 8 % (standard deviation). Of k places of a key the one
 * closest to its next point wins, which makes the gaps between points matter less: 8 % / sqrt(2k - 1). What moves when a server
 * leaves is what it had: the others' points are where they were. When every server has its bounded load, because
 * many are down, the least loaded of those that were found.
 */
static int consistent(const struct balance *b, const struct balance_query *q)
{
	struct probe best = {.server = -1, .crowded = -1};
	struct chance places = {q->hash};

	for (unsigned i = 0; i < BALANCE_PROBES; i++) {
		struct probe p = probe(b, q, chance_next(&places) >> (64 - RING_BITS));

		if (p.server >= 0 && (best.server < 0 || p.distance < best.distance)) {
			best.server = p.server;
			best.distance = p.distance;
		}
		if (p.crowded >= 0 && (best.crowded < 0 || p.crowd.load < best.crowd.load)) {
			best.crowded = p.crowded;
			best.crowd = p.crowd;
		}
	}
	if (best.server >= 0)
		return best.server;
	return best.crowded >= 0 ? best.crowded : behind(b, q);
}

int balance_pick(struct balance *b, const struct balance_query *q)
{
	struct balance_sight sight;

	switch (b->table->how) {
	case UPSTREAM_ROUND_ROBIN:
		return round_robin(b, q);
	case UPSTREAM_WEIGHTED:
		see_all(b, q);
		return smooth(b);
	case UPSTREAM_RANDOM:
		return draw(b, q, -1, &sight);
	case UPSTREAM_P2C:
		return two_choices(b, q);
	case UPSTREAM_LEAST:
		see_all(b, q);
		return least(b);
	case UPSTREAM_ADDRESS:
		return by_address(b, q);
	case UPSTREAM_CONSISTENT:
		return consistent(b, q);
	}
	return -1;
}

/* As many turns as the worker's seed says, with every server whole: they do not all begin with the heaviest. */
static void turn_smooth(struct balance *b, unsigned turns)
{
	for (unsigned i = 0; i < b->table->count; i++)
		b->each[i].weight = weight_of(b->table, i) * BALANCE_SHARE_FULL;
	while (turns-- > 0)
		smooth(b);
}

int balance_init(struct balance *b, const struct balance_table *t, uint64_t seed)
{
	unsigned turns = seed ? (unsigned)(chance_mix(seed) % t->count) : 0;

	*b = (struct balance){.table = t, .chance = {seed}, .next = turns};
	if (!needs_scratch(t->how))
		return 0;
	b->each = calloc(t->count, sizeof(*b->each));
	if (!b->each)
		return -ENOMEM;
	turn_smooth(b, turns);
	return 0;
}

void balance_destroy(struct balance *b)
{
	free(b->each);
	b->each = NULL;
}
