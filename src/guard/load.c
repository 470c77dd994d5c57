// SPDX-License-Identifier: Apache-2.0
#include "guard/load.h"

#include "base/clock.h"
#include "base/compiler.h"

void guard_load_config_init(struct guard_load_config *c)
{
	*c = (struct guard_load_config){
		.cpu_percent = {{85, 75}, {95, 85}},
		.lag_ms = {{100, 50}, {500, 250}},
		.error_percent = {{20, 10}, {50, 25}},
		.queue = {{100, 50}, {1000, 500}},
		.hold_ms = 10000,
	};
}

const char *guard_level_name(enum guard_level level)
{
	switch (level) {
	case GUARD_DEGRADED:
		return "degraded";
	case GUARD_CRITICAL:
		return "critical";
	case GUARD_NORMAL:
		break;
	}
	return "normal";
}

/* Whether a level begins (it is not there yet) or lasts (it is). */
static bool load_holds(const struct guard_threshold *t, uint32_t value, bool there)
{
	if (!t->enter)
		return false;
	return value >= t->enter || (there && value >= t->leave);
}

static bool load_is(const struct guard_load_config *c, const struct guard_load_sample *s,
		    enum guard_level level, enum guard_level now)
{
	unsigned i = level - GUARD_DEGRADED;
	bool there = now >= level;

	return load_holds(&c->cpu_percent[i], s->cpu_percent, there) ||
	       load_holds(&c->lag_ms[i], s->lag_ms, there) ||
	       load_holds(&c->error_percent[i], s->error_percent, there) ||
	       load_holds(&c->queue[i], s->queue, there);
}

bool guard_load_update(struct guard_load *l, const struct guard_load_config *c,
		       const struct guard_load_sample *s, uint64_t now_ns)
{
	enum guard_level now = guard_load_level(l), next = GUARD_NORMAL;

	l->last = *s;
	if (c->on && load_is(c, s, GUARD_CRITICAL, now))
		next = GUARD_CRITICAL;
	else if (c->on && load_is(c, s, GUARD_DEGRADED, now))
		next = GUARD_DEGRADED;
	if (next == now)
		return false;
	if (c->on && next < now && now_ns - l->since_ns < c->hold_ms * CLOCK_NS_PER_MS)
		return false;
	l->since_ns = now_ns;
	atomic_store_explicit(&l->level, (uint8_t)next, memory_order_relaxed);
	return true;
}
