/* internal: a group as one worker sees it: picking a server, waiting for one, telling how it went, kept links. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_WORKER_H
#define SLUICE_UPSTREAM_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "http/client.h"
#include "io/io.h"
#include "upstream/upstream.h"

struct upstream_view;
struct upstream_slot;
struct upstream_server;

/* On the worker's thread. One reference; a second call for the same group and loop gives the same view. NULL without memory. */
struct upstream_view *upstream_view_get(struct upstream_group *, struct io_loop *);
/* The last one closes the kept links; the memory goes when they are gone. */
void upstream_view_put(struct upstream_view *);
/* The group's present configuration; changes with a reload, stays while the caller does not return to the loop. */
const struct upstream_config *upstream_view_config(const struct upstream_view *);

/* Servers that one request has tried; more than these are not avoided. */
#define UPSTREAM_TRIED_MAX 8

/*
 * The turn of one request or connection at a server. Embedded by its owner, zeroed, then the first part is set. Used for
 * one try after another: upstream_take, upstream_give, upstream_take again.
 */
struct upstream_turn {
	uint64_t hash;     /* for balances by hash: hash_bytes_fixed, so that all processes agree */
	struct str sticky; /* the value of the sticky cookie; .p NULL: none */
	const struct net_addr
		*local; /* where the client came to, for a PROXY header; NULL: not known */
	/* After -EINPROGRESS, from the top of the loop: 0, then `server` is set; -ETIMEDOUT, or as upstream_take. */
	void (*ready)(struct upstream_turn *, int result);
	void *owner;

	struct upstream_server *server;
	uint32_t tried[UPSTREAM_TRIED_MAX];
	uint8_t tried_count;
	uint8_t state;
	uint32_t probe, server_probe; /* of half-open breakers, which hear how it went; 0: none */
	struct list link;             /* in the queue */
	struct io_timer timer;
	struct upstream_view *view;
	struct upstream_slot *slot;
};

/*
 * A server that was not tried yet, if one has room, else one that was. 0; -EINPROGRESS: all are at max_conns, the turn waits,
 * behind those that wait already; -EBUSY: the bulkhead or the queue is full; -ENOENT: no server is usable (none known,
 * all down, ejected or their breakers open); -EHOSTDOWN: the group's breaker is open. Backups are for when none
 * of the others is usable (or all those were tried), not for when they have no room. A sticky server is preferred also while it drains.
 */
int upstream_take(struct upstream_view *, struct upstream_turn *);
/* Gives up waiting; harmless otherwise. */
void upstream_leave(struct upstream_turn *);

/* Gives the server back: once for each successful take. duration_ns: until the head of the answer; 0: not known. */
void upstream_give(struct upstream_turn *, enum upstream_outcome, uint64_t duration_ns);
/* A failure for the log and for `status`: "connection refused". Before upstream_give. */
void upstream_blame(struct upstream_turn *, const char *why);

const struct net_addr *upstream_server_addr(const struct upstream_server *);
struct str upstream_server_name(const struct upstream_server *);
/* The value for the sticky cookie; stable over restarts, does not tell the address. */
struct str upstream_server_sticky(const struct upstream_server *);

/*
 * A link to the turn's server that can take a call: a kept one, unless `fresh`, or a new one that is still connecting (with a
 * PROXY header first, for `client`, where the group sends one). It goes back to the kept ones by itself after its
 * call, when it can. `safe`: the request must not be sent twice, so a kept link is asked whether it lives. NULL: errno.
 */
struct http_link *upstream_link(struct upstream_turn *, bool fresh, bool safe,
				const struct net_addr *client);
/* The same for connections that are not HTTP: always new. Bytes and connects are the caller's to count with upstream_moved. */
struct conn *upstream_connect(struct upstream_turn *, const struct net_addr *client,
			      void (*connected)(struct conn *, void *consumer, int result));
void upstream_moved(struct upstream_turn *, uint64_t bytes_in, uint64_t bytes_out);

/* Whether another try is within the group's retry budget; counts it when it is. */
bool upstream_retry_allowed(struct upstream_view *);
enum upstream_event {
	UPSTREAM_EVENT_FALLBACK,
	UPSTREAM_EVENT_MIRROR,
	UPSTREAM_EVENT_MIRROR_DROPPED
};
void upstream_count(struct upstream_view *, enum upstream_event);

#endif
