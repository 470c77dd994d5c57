// SPDX-License-Identifier: Apache-2.0
#include "app/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"
#include "net/conn.h"

static void worker_answer(struct app_worker *w, int result)
{
	w->result = result;
	io_post(w->main_loop, &w->answered);
}

/* Connections. */

static void worker_take(struct app_worker *w, int fd, unsigned number)
{
	uint64_t before = atomic_load_explicit(&w->http.counts.refused, memory_order_relaxed);
	struct conn *conn = conn_plain_new(w->loop, fd);
	uint64_t quiet;

	if (conn)
		app_services_take(&w->services, conn, number);
	else
		HTTP_COUNT(w->http.counts.refused, 1);
	if (SL_UNLIKELY(atomic_load_explicit(&w->http.counts.refused, memory_order_relaxed) !=
			before) &&
	    !w->draining && log_rate_allow(&w->refused_log, io_now_ns(w->loop), &quiet))
		log_warn("worker %u has %" PRIu32 " connections and refuses more (%" PRIu64
			 " since the last such line); raise the limit of open files (ulimit -n, "
			 "LimitNOFILE=), or `connections`",
			 w->index, w->http.connections, quiet + 1);
}

static void worker_accepted(struct app_door *door, int fd, unsigned number)
{
	worker_take(door->owner, fd, number);
}

static bool worker_starved(struct app_door *door)
{
	struct app_worker *w = door->owner;

	return http_worker_close_idle(&w->http);
}

static void worker_on_hands(struct io_loop *loop, struct io_msg *msg)
{
	struct app_hands *hands = SL_CONTAINER(msg, struct app_hands, msg);
	struct app_worker *w = hands->owner;

	(void)loop;
	/* Cleared first: what comes from here on posts again. */
	atomic_store(&hands->posted, false);
	uint32_t head = atomic_load_explicit(&hands->head, memory_order_acquire);
	uint32_t tail = atomic_load_explicit(&hands->tail, memory_order_relaxed);
	for (; tail != head; tail++) {
		uint32_t at = tail % APP_HANDS_MAX;
		worker_take(w, hands->ring[at].fd, hands->ring[at].number);
	}
	atomic_store_explicit(&hands->tail, tail, memory_order_release);
}

bool app_worker_hand(struct app_worker *w, int fd, unsigned number)
{
	struct app_hands *hands = w->hands;
	uint32_t head = atomic_load_explicit(&hands->head, memory_order_relaxed);

	if (head - atomic_load_explicit(&hands->tail, memory_order_acquire) == APP_HANDS_MAX)
		return false;
	hands->ring[head % APP_HANDS_MAX].fd = fd;
	hands->ring[head % APP_HANDS_MAX].number = number;
	atomic_store_explicit(&hands->head, head + 1, memory_order_release);
	if (!atomic_exchange(&hands->posted, true))
		io_post(w->loop, &hands->msg);
	return true;
}

uint32_t app_worker_waiting(const struct app_worker *w)
{
	return atomic_load_explicit(&w->hands->head, memory_order_relaxed) -
	       atomic_load_explicit(&w->hands->tail, memory_order_relaxed);
}

uint64_t app_worker_load(struct app_worker *w)
{
	return atomic_load_explicit(&w->http.counts.connections_active, memory_order_relaxed) +
	       app_services_active(&w->services) + app_worker_waiting(w);
}

/* The end. */

static void worker_tell_if_drained(struct app_worker *w)
{
	if (!w->draining || w->drained_told || w->door.open || w->door.closing ||
	    w->http.connections || !app_services_idle(&w->services))
		return;
	w->drained_told = true;
	io_post(w->main_loop, &w->drained);
}

static void worker_drained(struct http_worker *http)
{
	worker_tell_if_drained(http->owner);
}

static void worker_services_drained(struct app_services *services)
{
	worker_tell_if_drained(services->owner);
}

static void worker_door_closed(struct app_door *door)
{
	struct app_worker *w = door->owner;

	if (w->committing) {
		w->committing = false;
		worker_answer(w, 0);
	}
	worker_tell_if_drained(w);
}

/* Orders. */

static void worker_log(struct http_worker *http, const struct http_stream *s, int why)
{
	struct app_worker *w = http->owner;

	app_access_put(&w->access, s, why);
}

static int worker_prepare(struct app_worker *w)
{
	struct http_config *http = w->next->config->http;
	int err = app_access_prepare(&w->access, &w->next->access);

	if (!err)
		err = app_services_prepare(&w->services, w->next->config, &w->next->listens);
	if (err)
		return err;
	if (w->http.current)
		return http_worker_prepare(&w->http, http);
	err = http_worker_init(&w->http, w->loop, http);
	w->http.owner = w;
	w->http.index = w->index;
	w->http.drained = worker_drained;
	return err;
}

static void worker_on_prepare(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_PREPARE]);

	(void)loop;
	worker_answer(w, worker_prepare(w));
}

static bool worker_keeps(void *context, unsigned number)
{
	return app_listens_find(context, number) != NULL;
}

/* Each worker writes only its own place of `sockets`. */
static void worker_open_fresh(struct app_worker *w)
{
	const struct app_listens *listens = &w->next->listens;

	for (unsigned i = 0; i < listens->count; i++) {
		const struct app_slot *slot = &listens->slots[i];
		if (w->hands || !slot->fresh || slot->kind == APP_LISTEN_UDP)
			continue;
		int err = app_door_open(&w->door, slot->sockets[w->index], slot->number);
		slot->sockets[w->index] = -1;
		if (err)
			log_error("worker %u cannot watch a listening socket: %s", w->index,
				  err_text(err));
	}
}

static void worker_on_commit(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_COMMIT]);

	(void)loop;
	/* Who waits at an address that goes is taken first. */
	app_door_close(&w->door, worker_keeps, (void *)&w->next->listens);
	if (w->http.prepared)
		http_worker_adopt(&w->http);
	app_services_adopt(&w->services, w->next->config, &w->next->listens);
	app_access_adopt(&w->access, &w->next->access);
	w->http.log = w->access.ring ? worker_log : NULL;
	worker_open_fresh(w);
	w->committing = w->door.closing;
	if (!w->committing)
		worker_answer(w, 0);
}

static void worker_on_discard(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_DISCARD]);

	(void)loop;
	http_worker_discard(&w->http);
	app_services_discard(&w->services);
	app_access_discard(&w->access);
	worker_answer(w, 0);
}

static void worker_on_drain(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_DRAIN]);

	(void)loop;
	/* What waits in the backlogs is accepted first, so the HTTP side must still take it. */
	app_door_close(&w->door, NULL, NULL);
	w->draining = true;
	http_worker_drain(&w->http);
	app_services_drain(&w->services);
	worker_tell_if_drained(w);
}

static void worker_on_abort(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_ABORT]);

	(void)loop;
	http_worker_abort(&w->http);
	app_services_abort(&w->services);
}

static void worker_on_spare(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_SPARE]);

	(void)loop;
	http_worker_close_idle(&w->http);
	atomic_store(&w->sparing, false);
}

static void worker_on_beat(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_BEAT]);

	(void)loop;
	atomic_fetch_add(&w->beats, 1);
}

static void worker_on_ping(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, orders[APP_ORDER_PING]);

	(void)loop;
	atomic_store(&w->lag_ns, clock_monotonic_ns() - atomic_load(&w->ping_ns));
	atomic_store(&w->ping_ns, 0);
}

static void worker_on_quit(struct io_loop *loop, struct io_msg *msg)
{
	(void)msg;
	io_loop_stop(loop);
}

/* News, on the main thread. */

static void worker_tell_answered(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, answered);

	(void)loop;
	w->events->answered(w, w->result);
}

static void worker_tell_drained(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, drained);

	(void)loop;
	w->events->drained(w);
}

static void worker_tell_failed(struct io_loop *loop, struct io_msg *msg)
{
	struct app_worker *w = SL_CONTAINER(msg, struct app_worker, failed);

	(void)loop;
	w->events->failed(w, w->failure);
}

/* The thread. */

static void worker_pin(const struct app_worker *w)
{
	cpu_set_t *set = CPU_ALLOC((unsigned)w->cpu + 1);
	size_t bytes = CPU_ALLOC_SIZE((unsigned)w->cpu + 1);

	if (!set)
		return;
	CPU_ZERO_S(bytes, set);
	CPU_SET_S((unsigned)w->cpu, bytes, set);
	int err = pthread_setaffinity_np(pthread_self(), bytes, set);
	if (err)
		log_warn("worker %u cannot be pinned to CPU %d: %s", w->index, w->cpu,
			 err_text(err));
	CPU_FREE(set);
}

static void *worker_main(void *arg)
{
	struct app_worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "sluice/%u", w->index % 1000);
	pthread_setname_np(pthread_self(), name);
	if (w->cpu >= 0)
		worker_pin(w);
	int err = io_loop_run(w->loop);
	if (err) {
		/* What it holds stays: nothing can be closed without a loop, and the process is about to end. */
		w->failure = err;
		io_post(w->main_loop, &w->failed);
		return NULL;
	}
	if (w->http.current)
		http_worker_free(&w->http);
	app_services_drain(&w->services);
	app_services_abort(&w->services);
	/* What handlers began on helper threads outlives their requests; and objects die with the loop's last turn. */
	while (!err && io_loop_busy(w->loop))
		err = io_loop_turn(w->loop, -1);
	app_access_leave(&w->access);
	app_services_free(&w->services);
	/* Whoever posted the last order may not be done with the loop's wake-up yet. */
	pthread_mutex_lock(&w->quitting);
	pthread_mutex_unlock(&w->quitting);
	if (!err)
		io_loop_free(w->loop);
	base_thread_exit();
	return NULL;
}

int app_worker_start(struct app_worker *w)
{
	static void (*const orders[APP_ORDER_COUNT])(struct io_loop *, struct io_msg *) = {
		[APP_ORDER_PREPARE] = worker_on_prepare, [APP_ORDER_COMMIT] = worker_on_commit,
		[APP_ORDER_DISCARD] = worker_on_discard, [APP_ORDER_DRAIN] = worker_on_drain,
		[APP_ORDER_ABORT] = worker_on_abort,     [APP_ORDER_SPARE] = worker_on_spare,
		[APP_ORDER_BEAT] = worker_on_beat,       [APP_ORDER_PING] = worker_on_ping,
		[APP_ORDER_QUIT] = worker_on_quit,
	};

	for (unsigned i = 0; i < APP_ORDER_COUNT; i++)
		w->orders[i].run = orders[i];
	w->answered.run = worker_tell_answered;
	w->drained.run = worker_tell_drained;
	w->failed.run = worker_tell_failed;
	w->door = (struct app_door){.loop = w->loop,
				    .owner = w,
				    .accepted = worker_accepted,
				    .starved = worker_starved,
				    .closed = worker_door_closed};
	w->services.loop = w->loop;
	w->services.http = &w->http;
	w->services.index = w->index;
	w->services.owner = w;
	w->services.drained = worker_services_drained;
	app_services_init(&w->services);
	if (w->hands) {
		w->hands->owner = w;
		w->hands->msg.run = worker_on_hands;
	}
	pthread_mutex_init(&w->quitting, NULL);
	return -pthread_create(&w->thread, NULL, worker_main, w);
}

void app_worker_order(struct app_worker *w, enum app_order order)
{
	w->asked |= order == APP_ORDER_PREPARE || order == APP_ORDER_COMMIT ||
		    order == APP_ORDER_DISCARD;
	pthread_mutex_lock(&w->quitting);
	io_post(w->loop, &w->orders[order]);
	pthread_mutex_unlock(&w->quitting);
}
