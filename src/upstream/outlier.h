/* internal: who fails more than a server should is left out for a while, longer each time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_OUTLIER_H
#define SLUICE_UPSTREAM_OUTLIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "upstream/config.h"
#include "upstream/window.h"

/* An ejection lasts at most this many times eject_ms; so long without one, and the next is a first one again. */
#define OUTLIER_GROWTH_MAX 10u

/* Of one server, used by all workers. Zeroed at the beginning. */
struct outlier {
	_Atomic uint32_t consecutive;
	_Atomic uint32_t growth; /* ejections in a row, as far as they lengthen the next */
	struct window window;
};

static inline bool outlier_on(const struct upstream_outlier *c)
{
	return c->consecutive || c->error_percent;
}

/* Counts a request. NULL, or why the server should be ejected, now or with the next failure when it may not yet. */
const char *outlier_report(struct outlier *, const struct upstream_outlier *, uint64_t now_ns,
			   bool failed);
/* Whether one more of `count` servers may be ejected when `ejected` are. One always may. */
bool outlier_may_eject(const struct upstream_outlier *, unsigned ejected, unsigned count);
/*
 * How long, in milliseconds: the caller ejects it, and does not do so twice at a time. last_until_ns: the end of its last
 * ejection, 0: there was none. What was counted is forgotten.
 */
uint64_t outlier_eject(struct outlier *, const struct upstream_outlier *, uint64_t now_ns,
		       uint64_t last_until_ns);

#endif
