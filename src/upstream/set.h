/* internal: what a group is made of: servers, the immutable sets of them that workers see, counters. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_SET_H
#define SLUICE_UPSTREAM_SET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "net/addr.h"
#include "upstream/balance.h"
#include "upstream/breaker.h"
#include "upstream/budget.h"
#include "upstream/outlier.h"
#include "upstream/upstream.h"

#define UPSTREAM_ERROR_BYTES 96
#define UPSTREAM_STICKY_CHARS 16

enum upstream_flag {
	UPSTREAM_FLAG_DOWN = 1,     /* by checks; set and cleared on the main thread */
	UPSTREAM_FLAG_DRAINING = 2, /* the same, by upstream_change */
	UPSTREAM_FLAG_GONE = 4,     /* in no set any more: it will not come back */
};

/*
 * One server. Lives as long as anything refers to it: sets, checks, turns. What is not atomic and not under the lock
 * never changes. Times are io_now_ns, relaxed order is enough for everything: nothing else is published by them.
 */
struct upstream_server {
	_Atomic uint32_t refs;
	uint32_t id; /* no other server of the process has it */
	struct net_addr addr;
	struct str name;   /* its text; that of its address, when it was found by name */
	struct str origin; /* the text of the name that it was found by; empty: none */
	struct str group;  /* the group's name */
	struct str sticky; /* for the cookie */

	_Atomic uint32_t flags; /* enum upstream_flag */
	_Atomic uint64_t
		ejected_until_ns; /* 0: never was; stays when it is over. Who sets it calls upstream_group_wake */
	_Atomic uint64_t starting_since_ns; /* slow start; 0: none. In the future while ejected */
	_Atomic uint8_t breaker; /* enum breaker_state, to be shown; set with each change */
	_Atomic uint32_t active;
	_Atomic uint64_t requests, failures, connects, reused, checks_failed, ejections, bytes_in,
		bytes_out;

	struct breaker circuit; /* the workers'; zeroed at the beginning, as is the next */
	struct outlier outlier;

	pthread_mutex_t lock; /* what follows; zeroed at the beginning */
	char last_error[UPSTREAM_ERROR_BYTES];
};

/* A server as one set has it. */
struct upstream_member {
	struct upstream_server *server; /* one reference */
	uint32_t weight, max_conns;
	bool backup;
};

/* Servers that are used alike, as their balance sees them: the number of one in the table is its place in `members`. */
struct upstream_tier {
	struct balance_table *table; /* NULL: there is none */
	uint16_t *members;           /* the index in the set's members */
};

/* A configuration with all that it points to, shared by the sets that were made under it. */
struct upstream_settings;

/* Immutable once it is published, but for the servers' own state. The last reference may go on any thread. */
struct upstream_set {
	_Atomic uint32_t refs;
	uint32_t epoch; /* the group's generation that it belongs to */
	struct upstream_settings *settings;
	const struct upstream_config *config; /* in settings */
	unsigned count, weight_sum;
	struct upstream_tier tiers[2]; /* those that are used, and the backups */
	struct upstream_member
		members[]; /* no two have one name; in the order of the configuration */
};

struct upstream_keeper;

struct upstream_group {
	struct str name;
	struct upstream_registry *registry;
	struct upstream_keeper *keeper; /* checks and lookups: the main thread's */
	_Atomic uint32_t refs;
	_Atomic uint32_t generation; /* of the present set: compare it, relaxed, before each take */

	pthread_mutex_t lock;
	struct upstream_set *set; /* never NULL; may have no members */
	struct list views;

	_Atomic uint8_t breaker; /* enum breaker_state, to be shown */
	_Atomic bool unresolved;
	struct breaker circuit; /* the workers'; zeroed at the beginning, as is the next */
	struct budget budget;
	_Atomic uint32_t active, queued;
	_Atomic uint64_t requests, failures, retries, retries_refused, refused, fallbacks, mirrored,
		mirrors_dropped;
};

/* Any thread that has a reference to the group: the present set, with a reference. */
struct upstream_set *upstream_set_of(struct upstream_group *);
void upstream_set_unref(struct upstream_set *);

/* Part of making a set, when its members are there, before it is published; and of freeing it. 0 or -ENOMEM. */
int upstream_set_sort(struct upstream_set *);
void upstream_set_unsort(struct upstream_set *);

struct upstream_server *upstream_server_ref(struct upstream_server *);
void upstream_server_unref(struct upstream_server *);
/* slow_start_ms of the configuration; ejection before draining before slow start. */
enum upstream_state upstream_server_state(const struct upstream_server *, uint32_t slow_start_ms,
					  uint64_t now_ns);
/* Remembered as the last error; any thread. */
void upstream_server_error(struct upstream_server *, const char *why);
/* A line of the log: upstream "api": server 10.0.0.1:80 WHAT. Any thread. */
void upstream_server_log(const struct upstream_server *, enum log_level, const char *what, ...)
	SL_PRINTF(3, 4);

/* Any thread with a reference: the main loop looks at the group soon (an ejection began: its end will be logged). */
void upstream_group_wake(struct upstream_group *);
/* Any thread: a server came or came back; turns that wait for one with room look again. */
void upstream_group_stir(struct upstream_group *);

/* In any state a request that does not have to go there may be sent: neither down, nor draining, nor ejected. */
static inline bool upstream_server_usable(const struct upstream_server *s, uint64_t now_ns)
{
	return atomic_load_explicit(&s->flags, memory_order_relaxed) == 0 &&
	       atomic_load_explicit(&s->ejected_until_ns, memory_order_relaxed) <= now_ns;
}

#endif
