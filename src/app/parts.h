/* internal: what a configuration shares with the process: groups of servers, limiters, access lists; joined while it runs. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_PARTS_H
#define SLUICE_APP_PARTS_H

#include "base/str.h"
#include "handler/guards.h"
#include "handler/relays.h"
#include "upstream/upstream.h"

/* A pointer of the running form to something that is joined: it is set before a worker sees the configuration. */
struct app_use {
	struct app_use *next;
	void *place; /* struct upstream_group **, struct guard_limiter ** */
};

#define APP_GROUPS_MAX 1024

struct app_group {
	struct app_group *next;
	const struct upstream_config *config;
	struct upstream_group *group; /* one reference; NULL: not joined */
	struct app_use *uses;
};

struct app_limiter {
	struct app_limiter *next;
	struct guards_limit step;      /* of every route that has it */
	struct guard_limiter *limiter; /* one reference; NULL: not joined */
	struct app_use *uses;
};

struct app_list {
	struct app_list *next;
	struct guards_access
		step; /* with one reference, from the reading of the configuration on */
	bool files;   /* that may change */
};

/* The load step of one route. */
struct app_load {
	struct app_load *next;
	struct guards_load *step;
};

/* What a listener relays: exactly one of both. */
struct app_service_config {
	struct str name;
	const struct tcp_config *tcp;
	const struct udp_config *udp;
};

/* All of one configuration. It lives in its arena. */
struct app_parts {
	struct app_group *groups;
	struct app_limiter *limiters;
	struct app_list *lists;
	struct app_service_config *services;
	unsigned service_count;
	struct guard_load_config load;
	struct app_load *loads;
};

/* What the process keeps for all of its configurations. Main thread. */
struct app_shared {
	struct upstream_registry *groups;
	struct guard_registry *limiters;
	struct guard_load load;
};

/* 0 or -ENOMEM. resolver: see upstream_registry_new; empty: the system's. */
int app_shared_open(struct app_shared *, struct io_loop *, struct str resolver);
/* Nothing new is begun. Then the loop is turned until it is not busy, and all is freed. */
void app_shared_stop(struct app_shared *);
void app_shared_free(struct app_shared *);

/*
 * Takes references of everything and sets every use; what each worker finds out lives in the arena, that of the
 * configuration. -ENOMEM: what was taken is dropped with the configuration.
 */
int app_parts_join(struct app_parts *, struct app_shared *, unsigned workers, struct arena *);
/* The configuration is the present one now: the groups take what it says. What they cannot is logged. */
void app_parts_adopt(struct app_parts *);
/* Looks whether files of access lists have changed, and says so in the log. May block for as long as a file is read. */
void app_parts_refresh(struct app_parts *);
/* Drops the references. Any thread. */
void app_parts_leave(struct app_parts *);

#endif
