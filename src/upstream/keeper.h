/* internal: the main thread's side of the groups: where servers come from, checks, lookups, publication. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_KEEPER_H
#define SLUICE_UPSTREAM_KEEPER_H

#include "base/hash.h"
#include "net/resolve.h"
#include "upstream/chance.h"
#include "upstream/check.h"
#include "upstream/set.h"

/* The time of one lookup, and between lookups that fail: doubled each time. */
#define UPSTREAM_LOOKUP_TIMEOUT_MS 5000
#define UPSTREAM_LOOKUP_AGAIN_MS 1000
#define UPSTREAM_LOOKUP_AGAIN_MAX_MS 60000

struct upstream_registry {
	struct io_loop *loop;
	pthread_mutex_t lock; /* of the list, for readers on other threads */
	struct list groups;   /* of keepers */
	struct upstream_checks checks;
	struct resolver *resolver; /* made for the first name */
	char *resolver_servers;
	bool resolver_failed, stopped;
	struct chance chance;
	uint32_t last_id;
};

/* What is written in the configuration, or was added at run time: one server, or a name that has many. */
struct upstream_source {
	struct list link;
	struct upstream_keeper *keeper;
	struct upstream_server_config config; /* its strings are in `text` */
	bool added;                           /* at run time */
	bool draining;                        /* so are servers that it brings later */
	struct upstream_source *older;        /* adopt: what it takes the place of */

	/* A name's. */
	bool known; /* there was an answer */
	unsigned failures;
	const char *why; /* of the last failure; NULL: none */
	struct resolve_found *found;
	unsigned found_count;
	uint64_t due_ns; /* of the next lookup */
	struct resolve_query query;
	struct io_timer again;
	char text[];
};

/* A server that is in the present set. */
struct upstream_seat {
	struct list link;
	struct upstream_server *server;
	struct upstream_source *source;
	uint32_t weight;              /* said at run time; 0: that of its source */
	uint64_t told_until_ns;       /* the end of an ejection that was logged */
	bool fresh;                   /* while a set is made */
	struct upstream_source *next; /* the same; NULL: not in that set */
	struct upstream_check check;
};

struct upstream_keeper {
	struct list link; /* in the registry */
	struct upstream_group *group;
	struct upstream_settings *settings;
	struct list sources, seats;
	struct hash by_name;      /* of seats */
	struct io_timer ejection; /* the end of the next one */
	struct io_msg wake, drop;
	_Atomic bool woken;
	bool gone; /* without a reference; freed when no message is on its way */
	char name[];
};

static inline const struct upstream_config *keeper_config(const struct upstream_keeper *k)
{
	return k->group->set->config;
}

/* registry.c */
struct upstream_keeper *registry_find(struct upstream_registry *, struct str name);

/* group.c: what changes at once. 0 or -errno: then all is as before. `forget`: weights that were said at run time. */
int keeper_publish(struct upstream_keeper *, struct list *sources, struct upstream_settings *,
		   bool forget);
struct upstream_source *source_new(struct upstream_keeper *, const struct upstream_server_config *);
void source_free(struct upstream_source *);
int keeper_load(struct upstream_keeper *, const struct upstream_config *);
void keeper_stop(struct upstream_keeper *);
/* Stops, and frees what the group has. */
void keeper_empty(struct upstream_keeper *);

/* discover.c: begins, or goes on where an older source of the same text was. Harmless for one that is no name. */
void source_begin(struct upstream_source *);
void source_stop(struct upstream_source *);
void keeper_note_unresolved(struct upstream_keeper *);

/* set.c and server.c: see set.h for the rest. NULL without memory. */
struct upstream_settings *upstream_settings_new(const struct upstream_config *);
struct upstream_settings *upstream_settings_ref(struct upstream_settings *);
void upstream_settings_unref(struct upstream_settings *);
const struct upstream_config *upstream_settings_config(const struct upstream_settings *);
/* With room for `count` members, which are zeroed; unref takes what is there. */
struct upstream_set *upstream_set_new(struct upstream_settings *, unsigned count);
struct upstream_server *upstream_server_new(uint32_t id, struct str group, struct str name,
					    struct str origin, const struct net_addr *);

#endif
