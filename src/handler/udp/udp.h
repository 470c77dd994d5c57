/* internal: the UDP service from the inside: clients' sessions, and their legs to servers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_UDP_UDP_H
#define SLUICE_HANDLER_UDP_UDP_H

#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "handler/relays.h"
#include "handler/udp/io.h"
#include "upstream/worker.h"

/* Calls of recvmmsg in one turn of the loop, for each socket. */
#define UDP_TURN_BATCHES 8
/* When the configuration has no bound. */
#define UDP_SESSIONS_DEFAULT 16384
#define UDP_IDLE_DEFAULT_MS 60000
/* While draining: as long as clients wait for an answer. A stop need not wait for who is only idle. */
#define UDP_DRAIN_IDLE_MS 5000
/* After an error of the listening socket that nothing explains. */
#define UDP_REST_MS 50
/* Servers that one batch of datagrams is offered to. */
#define UDP_TRIES 2

enum udp_state {
	UDP_OPEN,     /* clients' datagrams are read */
	UDP_DRAINING, /* answers alone are, until the sessions are idle */
	UDP_CLOSING,  /* no session and no leg is left, the socket closes */
	UDP_CLOSED,
};

struct udp_service {
	const struct udp_config *config;
	struct io_loop *loop;
	struct upstream_view *view;
	struct udp_batch *batch;
	struct io_fd fd;
	struct io_op rd;
	struct hash sessions;
	struct list idle; /* those, the longest idle first */
	uint32_t legs;    /* sockets that are open, or closing */
	struct io_timer expiry, rest;
	struct io_task settle;
	struct relay_counts counts;
	struct log_rate full_log, error_log;
	enum udp_state state;
	bool segments; /* UDP_SEGMENT works towards clients */
	void (*drained)(void *owner);
	void *owner;
};

/* Who sends to which of our addresses; IPv4 in IPv6 is another than IPv4, since the socket is. */
struct udp_key {
	uint8_t client[16], own[16];
	uint32_t scope;
	uint16_t port, family;
};

/* A connected socket. Outlives its session while it closes. */
struct udp_leg {
	struct io_fd fd;
	struct io_op rd;
	struct udp_service *service;
	struct udp_session *session; /* NULL: it closes */
	bool segments;
};

struct udp_session {
	struct udp_key key;
	struct list link; /* in service->idle */
	struct udp_service *service;
	struct udp_leg *leg; /* NULL: the last one failed; the turn is idle then */
	struct upstream_turn turn;
	uint64_t used_ns, limit_key;
	uint32_t responses;
	bool answered, limited;
	union udp_address client;
	struct udp_own own;
};

/* The worker alone writes. */
static inline void udp_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

void udp_key_of(struct udp_key *, const struct udp_packet *);
/* Datagrams of one client, in order. */
void udp_session_forward(struct udp_service *, const struct udp_key *, struct udp_packet *,
			 unsigned count);
void udp_session_end(struct udp_session *);
/* Ends those that were idle for too long, and arms the timer for the next. */
void udp_sessions_expire(struct udp_service *);

#endif
