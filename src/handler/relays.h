/* internal: services of a listener that do not speak HTTP: TCP and UDP relayed to a group of servers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_RELAYS_H
#define SLUICE_HANDLER_RELAYS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "io/io.h"
#include "net/proxy_header.h"
#include "upstream/config.h"

struct upstream_group;
struct guard_limiter;
struct guard_access;
struct conn;

/* Where a connection goes by what its ClientHello says. The first that matches; empty fields match everything. */
struct tcp_route {
	struct str sni; /* "example.com", "*.example.com" */
	struct str alpn;
	const struct upstream_config *upstream;
	struct upstream_group *group; /* joined by the program, as below */
};
#define TCP_ROUTES_MAX 256

/* Immutable, but for what the program joins before a worker sees it. */
struct tcp_config {
	struct str name;
	const struct upstream_config *upstream; /* when no route matches; NULL: then it is closed */
	struct upstream_group *group;
	const struct tcp_route *routes; /* any: the ClientHello is waited for */
	unsigned route_count;
	const struct upstream_config
		*mirror; /* gets what the client sends, its answers are thrown away */
	struct upstream_group *mirror_group;
	uint32_t idle_timeout_ms, lifetime_max_ms, hello_timeout_ms; /* 0: no bound */
	uint32_t conns_max;            /* in each worker; 0: none but the descriptors */
	uint64_t bytes_per_s;          /* each direction of each connection; 0: no bound */
	struct guard_limiter *limiter; /* connections by client address; NULL: none */
	struct guard_access *access;   /* NULL: everybody */
	bool never_splice;
};

/* Immutable, but for the group. */
struct udp_config {
	struct str name;
	const struct upstream_config *upstream;
	struct upstream_group *group;
	uint32_t idle_timeout_ms;
	uint32_t
		sessions_max; /* in each worker; the next client's datagrams are dropped and counted */
	uint32_t responses;            /* a session ends after so many; 0: by time alone */
	struct guard_limiter *limiter; /* sessions by client address */
	struct guard_access *access;
};

/* Written by the worker alone, read by anybody. */
struct relay_counts {
	_Atomic uint64_t connections, active, refused, failed, bytes_in, bytes_out;
	_Atomic uint64_t datagrams_in, datagrams_out, dropped; /* UDP */
};

/* One service of one configuration in one worker. */
struct tcp_service;
struct tcp_service *tcp_service_new(const struct tcp_config *, struct io_loop *);
/* Owns conn, which was just accepted (after its PROXY header, where one is expected). */
void tcp_service_take(struct tcp_service *, struct conn *);
/* No new ones are taken; `drained` when the last is gone, never inline. */
void tcp_service_drain(struct tcp_service *, void (*drained)(void *owner), void *owner);
/* Cuts what is left; `drained` follows. */
void tcp_service_abort(struct tcp_service *);
/* After `drained`. */
void tcp_service_free(struct tcp_service *);
const struct relay_counts *tcp_service_counts(const struct tcp_service *);

struct udp_service;
/* Owns fd, a bound datagram socket of this worker alone (SO_REUSEPORT). 0 or -errno: then fd is closed. */
int udp_service_new(const struct udp_config *, struct io_loop *, int fd, struct udp_service **);
/*
 * No datagram is read from fd any more, which may be shared (dup) with the service that follows and begins new sessions;
 * answers still go to the clients until their sessions are idle, for 5 s at most. Then `drained`, never inline.
 */
void udp_service_drain(struct udp_service *, void (*drained)(void *owner), void *owner);
void udp_service_abort(struct udp_service *);
void udp_service_free(struct udp_service *);
const struct relay_counts *udp_service_counts(const struct udp_service *);

#endif
