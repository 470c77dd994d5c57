// SPDX-License-Identifier: Apache-2.0
#include "app/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/conn.h"

static void worker_end_if_idle(struct app_worker *w)
{
	if (w->draining && !w->listeners_open && !w->http.connections)
		io_loop_stop(w->loop);
}

void app_worker_take(struct app_worker *w, int fd, unsigned number)
{
	struct conn *conn = conn_plain_new(w->loop, fd);

	if (conn)
		http_worker_serve(&w->http, conn, number);
	else
		HTTP_COUNT(w->http.counts.refused, 1);
}

static void worker_accepted(struct net_listener *net, int fd)
{
	struct app_listener *l = net->owner;

	app_worker_take(l->worker, fd, l->number);
}

static bool worker_starved(struct net_listener *net)
{
	struct app_listener *l = net->owner;

	return http_worker_close_idle(&l->worker->http);
}

static const struct net_listener_events worker_listener_events = {
	.accepted = worker_accepted,
	.starved = worker_starved,
};

static void worker_listen(struct app_worker *w, unsigned number, int fd)
{
	struct app_listener *l = &w->listeners[number];

	l->worker = w;
	l->number = number;
	int err = net_listener_start(&l->net, w->loop, fd, &worker_listener_events, l);
	if (err) {
		log_error("worker %u cannot watch a listening socket: %s", w->index, err_text(err));
		close(fd);
		return;
	}
	l->open = true;
	w->listeners_open++;
}

static void worker_stopped(struct net_listener *net)
{
	struct app_listener *l = net->owner;

	l->open = false;
	l->worker->listeners_open--;
	worker_end_if_idle(l->worker);
}

static void worker_drained(struct http_worker *http)
{
	worker_end_if_idle(http->owner);
}

static void worker_on_listen(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_LISTEN]);

	(void)loop;
	for (unsigned i = 0; i < w->config->listen_count; i++)
		if (w->sockets[i] >= 0)
			worker_listen(w, i, w->sockets[i]);
}

static void worker_on_drain(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_DRAIN]);

	(void)loop;
	/* What waits in the backlogs is accepted first, so the HTTP side must still take it. */
	for (unsigned i = 0; i < APP_LISTENS_MAX; i++)
		if (w->listeners[i].open)
			net_listener_stop(&w->listeners[i].net, worker_stopped);
	w->draining = true;
	http_worker_drain(&w->http);
	worker_end_if_idle(w);
}

static void worker_on_abort(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_ABORT]);

	(void)loop;
	http_worker_abort(&w->http);
}

static void worker_tell_started(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, started);

	(void)loop;
	w->events->started(w, w->result);
}

static void worker_tell_ended(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, ended);

	(void)loop;
	w->events->ended(w);
}

static void worker_pin(const struct app_worker *w)
{
	cpu_set_t set;

	if (w->cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)w->cpu, &set);
	int err = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	if (err)
		log_warn("worker %u cannot be pinned to CPU %d: %s", w->index, w->cpu,
			 err_text(err));
}

static void *worker_main(void *arg)
{
	struct app_worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "sluice/%u", w->index % 1000);
	pthread_setname_np(pthread_self(), name);
	worker_pin(w);
	w->result = http_worker_init(&w->http, w->loop, w->config->http);
	w->http.owner = w;
	w->http.index = w->index;
	w->http.drained = worker_drained;
	io_post(w->main_loop, &w->started);
	int err = io_loop_run(w->loop);
	if (err)
		log_error("worker %u: the loop failed: %s", w->index, err_text(err));
	if (!w->result)
		http_worker_free(&w->http);
	/* What handlers began on helper threads outlives their requests; and objects die with the loop's last turn. */
	while (!err && io_loop_busy(w->loop))
		err = io_loop_turn(w->loop, -1);
	io_loop_free(w->loop);
	w->loop = NULL;
	base_thread_exit();
	io_post(w->main_loop, &w->ended);
	return NULL;
}

int app_worker_start(struct app_worker *w)
{
	w->orders[APP_ORDER_LISTEN].run = worker_on_listen;
	w->orders[APP_ORDER_DRAIN].run = worker_on_drain;
	w->orders[APP_ORDER_ABORT].run = worker_on_abort;
	w->started.run = worker_tell_started;
	w->ended.run = worker_tell_ended;
	return -pthread_create(&w->thread, NULL, worker_main, w);
}

void app_worker_order(struct app_worker *w, enum app_order order)
{
	io_post(w->loop, &w->orders[order]);
}
