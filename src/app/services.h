/* internal: what a worker does with a connection by the number of its address: HTTP, or a relay, behind a PROXY header. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_SERVICES_H
#define SLUICE_APP_SERVICES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "app/config.h"
#include "app/listens.h"
#include "base/list.h"
#include "base/log.h"
#include "handler/relays.h"
#include "handler/status.h"
#include "http/server.h"

/* Connections of one worker whose PROXY header is not whole yet; more are closed. */
#define APP_GREETINGS_MAX 1024
/* A session of datagrams has no end of its own: when its address goes, or the server, answers have so long to come. */
#define APP_DATAGRAM_GRACE_MS 1000

/* A tcp or udp block at work in one worker, from one configuration on until its last connection is gone. */
struct app_service {
	struct list link; /* in `present`, `prepared` or `ending` */
	struct app_services *owner;
	struct http_config *config; /* a reference: what it was made of lives there */
	const struct app_service_config *what;
	struct tcp_service *tcp; /* one of both */
	struct udp_service *udp;
	unsigned number;          /* UDP: of its address */
	int fd;                   /* UDP: of its socket, which udp_service owns */
	bool last;                /* UDP: nobody follows at its address */
	struct status_relay past; /* of those before it, which have ended */
};

/* What is done with connections of one address. */
struct app_entry {
	enum app_listen_kind kind;
	const struct app_listen *listen; /* NULL: the address is gone */
	struct app_service *service;     /* TCP; NULL: it is gone */
};

/* Of one worker, on its thread. Zeroed, then loop, http, index, drained and owner are set, and app_services_init. */
struct app_services {
	struct io_loop *loop;
	struct http_worker *http;
	unsigned index; /* of the worker: into the sockets of an address */
	void *owner;
	void (*drained)(struct app_services *); /* after app_services_drain: the last has ended */
	struct list present, prepared, ending;
	struct app_entry *entries, *entries_next; /* by number */
	unsigned entry_count, entry_count_next;
	struct list greetings;
	unsigned greeting_count;
	bool draining;
	struct io_timer grace; /* of datagrams whose address goes */
	_Atomic bool relays;   /* TCP is relayed: who looks for the load looks here first */
	struct log_rate refused_log;
	pthread_mutex_t lock; /* lists and counts, for those who read them from other threads */
};

void app_services_init(struct app_services *);
/* Whether nothing is left that drains. */
bool app_services_idle(const struct app_services *);

/*
 * The steps of a change, as of http_worker. prepare: 0 or -ENOMEM. adopt cannot fail: a UDP socket that cannot be
 * watched is logged. A UDP service that stays as it was keeps its sessions.
 */
int app_services_prepare(struct app_services *, struct app_config *, const struct app_listens *);
void app_services_adopt(struct app_services *, struct app_config *, const struct app_listens *);
void app_services_discard(struct app_services *);

/* A connection that was accepted: to HTTP or to its relay. Owns it. */
void app_services_take(struct app_services *, struct conn *, unsigned number);
/* No new ones, then `drained`, never inline; abort cuts what is left. */
void app_services_drain(struct app_services *);
void app_services_abort(struct app_services *);
void app_services_free(struct app_services *);

/* Any thread: adds what there is to the list, which grows in the arena. 0 or -ENOMEM. */
int app_services_status(struct app_services *, struct arena *, struct status_relay **list,
			unsigned *count);
/* TCP connections at the moment. Any thread. */
uint64_t app_services_active(struct app_services *);

#endif
