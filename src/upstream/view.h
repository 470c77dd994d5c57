/* internal: what a group is made of in one worker: the view, its slots (one for each server), its kept links. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_VIEW_H
#define SLUICE_UPSTREAM_VIEW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/list.h"
#include "io/io.h"
#include "upstream/set.h"
#include "upstream/worker.h"

enum upstream_turn_state {
	UPSTREAM_TURN_IDLE,
	UPSTREAM_TURN_WAITING, /* in the view's queue */
	UPSTREAM_TURN_TAKEN,   /* has a server */
};

/* What is counted on the way and told to the group at the end of the loop's turn. */
struct upstream_tally {
	uint32_t requests, failures, connects, reused;
	uint64_t bytes_in, bytes_out;
};

/* One server. Lives as long as the present set has it, a turn is at it, or a link to it is open. */
struct upstream_slot {
	struct upstream_server *server; /* one reference; its id is the key in the view's table */
	struct upstream_view *view;
	struct list link; /* in the view's slots */
	uint32_t max_conns;
	bool member; /* of the present set */
	bool dirty;  /* in the view's list of those with something to tell */
	uint32_t turns, links;
	struct list idle; /* kept links, the last used first */
	uint32_t idle_count;
	struct upstream_tally tally;
	struct upstream_slot *next_dirty;
};

/* What goes with one set. */
struct upstream_outfit {
	struct upstream_set *set;
	struct upstream_slot **members; /* as those of the set; NULL: the view is closing */
	struct balance balances[2];     /* of the set's tiers */
	struct hash by_sticky;
};

struct upstream_view {
	struct upstream_group *group; /* one reference */
	struct io_loop *loop;
	uint32_t refs; /* 0: closing, out of the group's list */
	struct list link;
	struct upstream_outfit now;
	struct upstream_set *old_set; /* until the loop's turn ends */
	struct list slots;
	struct hash by_server;
	struct chance chance;

	struct list waiting; /* turns */
	_Atomic uint32_t waiting_count;
	struct io_task pump;
	/* From another worker, which freed a place and has nobody who waits. Posted under the group's lock only. */
	struct io_msg kick;
	_Atomic bool kicked;

	struct io_task flush; /* tells the tallies and lets old_set go */
	struct upstream_slot *dirty;
	uint32_t requests, failures;
	struct log_rate blamed;
};

/* Without waiting: as upstream_take, but -EINPROGRESS means that nothing has room, and the turn is nowhere. */
int upstream_take_now(struct upstream_view *, struct upstream_turn *);
/* Counts what is refused. The result as it was. */
int upstream_refused(struct upstream_view *, int result);
/* A slot that nobody needs any more is gone; so is a view, when it is closing and its slots are gone. */
void upstream_slot_settle(struct upstream_slot *);
void upstream_view_settle(struct upstream_view *);
/* The newest set, unless a change was taken up in this turn of the loop already. */
void upstream_view_refresh(struct upstream_view *);
/* Its tally changed. */
void upstream_slot_dirty(struct upstream_slot *);

/* A kept link of a server that left or went down is of no use: closes them. */
void upstream_pool_clear(struct upstream_slot *);

/* report.c: tells breakers and outliers how a turn went. */
void upstream_report(struct upstream_turn *, enum upstream_outcome, uint64_t duration_ns);
void upstream_flush(struct upstream_view *);
void upstream_breaker_log(struct upstream_group *, struct upstream_server *, enum breaker_change);

/* Takes at once, or waits: as upstream_take. */
int upstream_queue_join(struct upstream_view *, struct upstream_turn *);
/* A place was freed: somebody who waits, here or in another worker, will look. */
void upstream_queue_wake(struct upstream_view *);
void upstream_queue_init(struct upstream_view *);

#endif
