// SPDX-License-Identifier: Apache-2.0
#include "upstream/outlier.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/compiler.h"

const char *outlier_report(struct outlier *o, const struct upstream_outlier *c, uint64_t now_ns,
			   bool failed)
{
	bool rated = c->error_percent && c->window_ms;

	if (rated)
		window_add(&o->window, c->window_ms, now_ns, failed, false);
	if (!failed) {
		if (atomic_load_explicit(&o->consecutive, memory_order_relaxed))
			atomic_store_explicit(&o->consecutive, 0, memory_order_relaxed);
		return NULL;
	}

	uint32_t row = atomic_fetch_add_explicit(&o->consecutive, 1, memory_order_relaxed) + 1;

	if (c->consecutive && row >= c->consecutive)
		return "failures in a row";
	if (!rated)
		return NULL;

	struct window_sum sum = window_sum(&o->window, c->window_ms, now_ns);

	if (sum.requests >= c->requests_min &&
	    (uint64_t)sum.failures * 100 >= (uint64_t)sum.requests * c->error_percent)
		return "rate of failures";
	return NULL;
}

bool outlier_may_eject(const struct upstream_outlier *c, unsigned ejected, unsigned count)
{
	return ejected == 0 ||
	       ((uint64_t)ejected + 1) * 100 <= (uint64_t)count * c->ejected_max_percent;
}

uint64_t outlier_eject(struct outlier *o, const struct upstream_outlier *c, uint64_t now_ns,
		       uint64_t last_until_ns)
{
	uint32_t growth = atomic_load_explicit(&o->growth, memory_order_relaxed);
	uint64_t calm_ns = (uint64_t)c->eject_ms * OUTLIER_GROWTH_MAX * CLOCK_NS_PER_MS;

	if (!last_until_ns || now_ns >= last_until_ns + calm_ns)
		growth = 0;
	growth = SL_MIN(growth + 1, OUTLIER_GROWTH_MAX);
	atomic_store_explicit(&o->growth, growth, memory_order_relaxed);
	atomic_store_explicit(&o->consecutive, 0, memory_order_relaxed);
	window_clear(&o->window);
	return (uint64_t)c->eject_ms * growth;
}
