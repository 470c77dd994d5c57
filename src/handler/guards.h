/* internal: the steps of a route that guard it: access lists, limiters, load. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_GUARDS_H
#define SLUICE_HANDLER_GUARDS_H

#include <stdbool.h>
#include <stdint.h>

#include "guard/access.h"
#include "guard/limit.h"
#include "guard/load.h"
#include "http/router.h"
#include "http/stream.h"

/*
 * Each of these is the `run` of an http_step, its config the struct beside it: immutable, but for what the program joins before a
 * worker sees it. They run in the order in which the program lists them: access, load, limits.
 */

/* 403 to who may not come in (http_client's address), and to who has none any more. */
struct guards_access {
	struct guard_access *access;
};
int guards_access_run(const void *config, struct http_stream *);

/*
 * 429 with Retry-After when the key has no quota left; RateLimit and RateLimit-Policy (the draft of the httpapi
 * working group) on every answer; holds a slot of `conns` until the stream ends; the response goes no faster than
 * bytes_per_s; a leaky bucket makes the request wait.
 */
struct guards_limit {
	const struct guard_limit_config *config;
	struct guard_limiter *limiter;
	bool no_fields; /* RateLimit fields are not sent */
};
int guards_limit_run(const void *config, struct http_stream *);

enum guards_load_action {
	GUARDS_FULL, /* as always */
	GUARDS_FALLBACK, /* `fallback` below, else the handler's own where it has one (http_stream.fallback), else 503 */
	GUARDS_STALE,  /* what a cache has, however old; without one as FALLBACK */
	GUARDS_REFUSE, /* 503 with Retry-After */
};

/* What one worker has found out about one route. In a cache line that no other worker writes. */
struct guards_slot {
	struct guard_adaptive adaptive;
	uint8_t apart[64];
};

struct guards_load {
	struct guard_load *load;       /* the process's; NULL: always normal */
	enum guards_load_action at[3]; /* by enum guard_level */
	uint8_t priority;              /* 0 to 7; those below `priority_min` are refused */
	uint8_t priority_min[3];       /* by level */
	struct str
		priority_header; /* of trusted peers: a number in it counts in place of `priority`; empty: none */
	uint32_t adaptive_min,
		adaptive_max; /* adaptive concurrency of the route in each worker; max 0: off */
	const struct respond_config *fallback; /* NULL: 503 */
	struct guards_slot *
		slots; /* one for each worker, by its index, zeroed by the program, used by that worker alone */
	unsigned slot_count; /* workers; in one without a slot adaptive concurrency is off */
};
int guards_load_run(const void *config, struct http_stream *);

#endif
