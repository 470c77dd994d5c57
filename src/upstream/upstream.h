/* internal: groups of servers, as the process has them: found by name, kept over reloads, shared by the workers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_UPSTREAM_H
#define SLUICE_UPSTREAM_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "io/io.h"
#include "upstream/config.h"

struct upstream_registry;
struct upstream_group;

/*
 * The registry lives on the main thread's loop: it checks servers, resolves names, and publishes what it finds as
 * immutable sets, which workers notice by a number that changes. resolver_servers: see net/resolve.h; NULL: the
 * system's. Without c-ares names never resolve, and a warning says so.
 */
struct upstream_registry *upstream_registry_new(struct io_loop *, const char *resolver_servers);
/* Stops checks and lookups. Then turn the loop until it is not busy, and free it. */
void upstream_registry_stop(struct upstream_registry *);
void upstream_registry_free(struct upstream_registry *);

/*
 * The group of that name: made with this configuration, or the one that is there, which keeps its own until
 * upstream_group_adopt. One reference. Main thread. NULL without memory.
 */
struct upstream_group *upstream_group_join(struct upstream_registry *,
					   const struct upstream_config *);
/*
 * From now on the configuration of the group, which it copies: servers that stay (by their text) keep their state;
 * checks and lookups begin or change. Servers that were added at run time are dropped, with a log line. Main thread. 0 or
 * -ENOMEM: then all is as before.
 */
int upstream_group_adopt(struct upstream_group *, const struct upstream_config *);
struct upstream_group *upstream_group_ref(struct upstream_group *);
/* Any thread. The last one stops its checks, from the main loop. */
void upstream_group_unref(struct upstream_group *);

/*
 * At run time, on the main thread. `server` is its text, or that of an address that was found by a name; a name means all
 * that it has. 0; -ENOENT: no such group or server; -EEXIST; -EINVAL; -ENOSPC; -ENOMEM.
 */
enum upstream_change {
	UPSTREAM_ADD,    /* with `weight`; like one of the configuration until the next reload */
	UPSTREAM_REMOVE, /* what is in flight on it is finished */
	UPSTREAM_DRAIN,  /* no new requests; those in flight and sticky ones go on */
	UPSTREAM_UNDRAIN,
	UPSTREAM_WEIGHT,
};
int upstream_change(struct upstream_registry *, struct str group, struct str server,
		    enum upstream_change, uint32_t weight, char *why, size_t why_len);

enum upstream_state {
	UPSTREAM_UP,
	UPSTREAM_STARTING, /* slow start */
	UPSTREAM_DOWN,     /* by checks */
	UPSTREAM_EJECTED,  /* outlier */
	UPSTREAM_DRAINING,
};
enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF_OPEN };
/* How a request at a server ended. */
enum upstream_outcome {
	UPSTREAM_OK,
	UPSTREAM_FAILED, /* refused, reset, timed out, garbage, or a status of 500, 502, 503, 504 */
	UPSTREAM_ABANDONED, /* the client went away: says nothing about the server */
};

/* Of one moment, for `status`. Views live as long as the arena. */
struct upstream_server_status {
	struct str name, address;
	struct str origin; /* the name that it was found by; empty: none */
	enum upstream_state state;
	enum breaker_state breaker;
	bool backup;
	uint32_t weight, active, max_conns;
	uint64_t requests, failures, connects, reused, checks_failed, ejections, bytes_in,
		bytes_out;
	struct str last_error; /* of a check or a request; empty: none */
};
struct upstream_group_status {
	struct str name;
	enum upstream_balance balance;
	enum breaker_state breaker;
	uint32_t active, requests_max, queued;
	uint64_t requests, failures, retries, retries_refused, refused, fallbacks, mirrored,
		mirrors_dropped;
	const struct upstream_server_status *servers;
	unsigned server_count;
	bool unresolved; /* a name has no answer yet */
};
/* All groups, any thread. 0 or -ENOMEM. */
int upstream_status(struct upstream_registry *, struct arena *,
		    const struct upstream_group_status **, unsigned *count);

const char *upstream_state_name(enum upstream_state);
const char *breaker_state_name(enum breaker_state);

#endif
