/* internal: a worker: one thread, one loop, its listeners and its HTTP side; and what it is ordered to do. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_WORKER_H
#define SLUICE_APP_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "app/access.h"
#include "app/config.h"
#include "app/door.h"
#include "app/listens.h"
#include "app/services.h"
#include "http/server.h"
#include "io/io.h"

struct app_worker;

/* What all workers change to together. The main thread's; it stands still while they work on it. */
struct app_next {
	struct app_config *config;
	struct app_listens listens;
	struct app_access access;
};

/*
 * What the main thread asks of a worker, by io_post. Each order is a message of its own, so it may be given
 * again only when the one before was carried out.
 */
enum app_order {
	APP_ORDER_PREPARE, /* makes what `next` needs; answered */
	APP_ORDER_COMMIT, /* adopts it: cannot fail; answered when listeners that are gone have closed */
	APP_ORDER_DISCARD, /* drops it; answered */
	APP_ORDER_DRAIN,   /* no new connections, finish those in hand; drained is told once */
	APP_ORDER_ABORT,   /* cut what is left */
	APP_ORDER_SPARE,   /* close the oldest idle connection: descriptors are short */
	APP_ORDER_BEAT,    /* say that the loop turns: `beats` */
	APP_ORDER_PING,    /* say how late it comes to this: `lag_ns` */
	APP_ORDER_QUIT,    /* the last order, after drained: the thread ends and may be joined */
	APP_ORDER_COUNT
};

/* What a worker tells the main thread, from the main loop. */
struct app_worker_events {
	void (*answered)(struct app_worker *, int result);
	void (*drained)(struct app_worker *);
	/* Its loop broke (result is -errno): it serves nothing any more, and takes no order. */
	void (*failed)(struct app_worker *, int result);
};

/* Connections that the main thread accepted, on their way to the worker: from one thread to one other. */
#define APP_HANDS_MAX 4096
struct app_hands {
	struct app_worker *owner;
	_Atomic uint32_t head, tail; /* the main thread puts at head, the worker takes at tail */
	_Atomic bool posted;
	_Atomic uint64_t refused; /* there was no room in any worker */
	struct io_msg msg;
	struct {
		int fd;
		unsigned number;
	} ring[APP_HANDS_MAX];
};

struct app_worker {
	/* Set before the start. */
	unsigned index;
	int cpu; /* to be pinned to, or -1 */
	struct io_loop *loop, *main_loop;
	const struct app_next *next;
	const struct app_worker_events *events;
	void *owner;
	struct app_hands *hands; /* NULL: the worker accepts for itself. Freed by the owner */
	/* The main thread's. */
	pthread_t thread;
	bool started, quits, asked; /* asked: an order that is answered is under way */
	uint32_t beats_asked;
	/* Shared. */
	pthread_mutex_t
		quitting; /* held while the last order is posted: the loop must live until then */
	_Atomic uint32_t beats;
	_Atomic bool sparing;
	_Atomic uint64_t ping_ns; /* when APP_ORDER_PING was given; 0: it has come */
	_Atomic uint64_t lag_ns;
	/* The worker's own. */
	struct http_worker http;
	struct app_services services;
	struct app_access_worker access;
	struct app_door door;
	struct log_rate refused_log;
	bool draining, drained_told, committing;
	int result, failure;
	struct io_msg orders[APP_ORDER_COUNT], answered, drained, failed;
};

/* 0 or -errno: then there is no thread, and the loop is the caller's to free. */
int app_worker_start(struct app_worker *);
/* From the main thread. */
void app_worker_order(struct app_worker *, enum app_order);
/*
 * From the main thread: hands over a connection that it accepted. False when APP_HANDS_MAX wait already; then
 * `fd` is still the caller's.
 */
bool app_worker_hand(struct app_worker *, int fd, unsigned number);
/* Connections that were handed over and that it has not taken yet; and those with the ones that it has. Any thread. */
uint32_t app_worker_waiting(const struct app_worker *);
uint64_t app_worker_load(struct app_worker *);

#endif
