/* internal: the parts of the TCP service: one flow is one client's connection and what became of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_TCP_TCP_H
#define SLUICE_HANDLER_TCP_TCP_H

#include "base/list.h"
#include "base/log.h"
#include "handler/relays.h"
#include "net/relay.h"
#include "upstream/chance.h"
#include "upstream/worker.h"

struct tcp_service {
	const struct tcp_config *config;
	struct io_loop *loop;
	struct relay_options relay;
	struct relay_counts counts;
	struct upstream_view *view, *mirror; /* NULL: none */
	struct list flows, mirrors;
	unsigned flow_count, mirror_count;
	bool draining;
	bool needs_address; /* the client's, for a list, a limit or the balance */
	void (*drained)(void *owner);
	void *owner;
	struct io_task task;
	struct chance chance;
	struct log_rate log;
	struct upstream_view *routes[]; /* by the number of the configuration's */
};

/* After a flow or a mirror is gone. */
void tcp_service_less(struct tcp_service *);

enum tcp_state {
	TCP_DELAYED,    /* a limiter lets it wait */
	TCP_HELLO,      /* reads the ClientHello */
	TCP_WAITING,    /* for a server, or for the next try */
	TCP_CONNECTING, /* to turn.server */
	TCP_RELAYING,   /* both connections are the relay's */
	TCP_CLOSING,    /* the client's connection is being closed */
};

struct tcp_hello;

struct tcp_flow {
	struct list link;
	struct tcp_service *service;
	struct relay relay; /* its conn[] from the beginning; a server's while there is one */
	struct upstream_turn turn;
	struct upstream_view *view; /* of the group that it goes to */
	struct io_timer timer;      /* of the state */
	struct tcp_hello *hello;
	struct seg
		early; /* the client's first bytes, sent to the server that is connecting; len 0: none */
	uint64_t limit_key, connect_ns;
	uint8_t state, retries;
	bool taken; /* the turn has a server */
	bool owed;  /* guard_limit_leave */
};

/* Goes to this group; NULL: to none, it is closed. */
void tcp_flow_route(struct tcp_flow *, struct upstream_view *);
/* It ends before the relay began: counted, and told in the log, with `what` unless that is NULL. */
void tcp_flow_fail(struct tcp_flow *, int why, const char *what);
/* A new client's. */
void tcp_flow_take(struct tcp_service *, struct conn *);
void tcp_flow_abort(struct tcp_flow *);

/* hello.c: then tcp_flow_route or tcp_flow_fail. */
void tcp_hello_start(struct tcp_flow *);
void tcp_hello_free(struct tcp_flow *);

/* filter.c: what the bytes of a relay pass; for relay_options, whose owner is the flow. */
bool tcp_filter_wanted(const struct tcp_config *);
struct source *tcp_filter(void *flow, enum relay_side from, struct source *);

/*
 * mirror.c: a source that gives what `from` gives, and sends it to a server of the mirror's group, too. Owns `from`. The
 * same source without memory or without such a server: counted.
 */
struct source *tcp_mirror_new(struct tcp_flow *, struct source *from);
struct tcp_mirror;
/* Cuts what goes to the other group. */
void tcp_mirrors_abort(struct tcp_service *);
/* What a mirror holds that its server has not taken: beyond it the mirror ends. More than one pipe. */
#define TCP_MIRROR_BYTES_MAX (2u * 1024 * 1024)

#endif
