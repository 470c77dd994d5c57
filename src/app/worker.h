/* internal: a worker: one thread, one loop, its listeners and its HTTP side. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_WORKER_H
#define SLUICE_APP_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "app/config.h"
#include "http/server.h"
#include "io/io.h"
#include "net/listener.h"

struct app_worker;

/* A listening socket of one worker, under the number of its address. */
struct app_listener {
	struct net_listener net;
	struct app_worker *worker;
	unsigned number;
	bool open;
};

/* What the main thread asks of a worker, by io_post; each message is the worker's own and used once. */
enum app_order { APP_ORDER_LISTEN, APP_ORDER_DRAIN, APP_ORDER_ABORT, APP_ORDER_COUNT };

/* What a worker tells the main thread, by io_post to the main loop. */
struct app_worker_events {
	/* The worker is ready to listen, or could not be made: result is -errno. On the main thread. */
	void (*started)(struct app_worker *, int result);
	/* Its thread has nothing left to do and may be joined. */
	void (*ended)(struct app_worker *);
};

struct app_worker {
	unsigned index;
	int cpu; /* to be pinned to, or -1 */
	struct io_loop *loop, *main_loop;
	struct app_config *config; /* the one it began with */
	const int *sockets; /* by listener number; -1: none. Taken over at APP_ORDER_LISTEN */
	const struct app_worker_events *events;
	void *owner;
	/* its own */
	pthread_t thread;
	struct http_worker http;
	struct app_listener listeners[APP_LISTENS_MAX];
	unsigned listeners_open;
	bool draining;
	int result;
	struct io_msg orders[APP_ORDER_COUNT], started, ended;
};

/* index, cpu, loop, main_loop, config, sockets, events and owner are set. 0 or -errno: then there is no thread. */
int app_worker_start(struct app_worker *);
/* From the main thread, each order at most once. */
void app_worker_order(struct app_worker *, enum app_order);
/* A connection that the main thread accepted; takes over `fd`. On the worker's thread. */
void app_worker_take(struct app_worker *, int fd, unsigned number);

#endif
