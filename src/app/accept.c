// SPDX-License-Identifier: Apache-2.0
// accept = main: the main thread accepts, and hands each connection to the least loaded worker.
#include <unistd.h>

#include "app/run.h"
#include "base/err.h"
#include "base/log.h"

bool app_accept_is_main(const struct app_server *s)
{
	return s->first.accept == APP_ACCEPT_MAIN;
}

/*
 * The least loaded; when its hands are full, any other. So many that wait mean that no worker keeps up, and then a
 * quick refusal is better than a place in a queue that grows.
 */
static void accept_hand(struct app_door *door, int fd, unsigned number)
{
	struct app_server *s = door->owner;
	unsigned best = 0;
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < s->worker_count; i++) {
		uint64_t load = app_worker_load(&s->workers[i]);
		if (load < least && !s->workers[i].quits) {
			least = load;
			best = i;
		}
	}
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[(best + i) % s->worker_count];
		if (!w->quits && app_worker_hand(w, fd, number))
			return;
	}
	HTTP_COUNT(s->workers[best].hands->refused, 1);
	close(fd);
}

/* The idle connections are the workers': the one that has most of them is asked for its oldest. */
static bool accept_starved(struct app_door *door)
{
	struct app_server *s = door->owner;
	struct app_worker *most = NULL;
	uint64_t idle = 0;
	bool waiting = false;

	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		uint64_t n = atomic_load_explicit(&w->http.counts.connections_idle,
						  memory_order_relaxed);
		waiting |= app_worker_waiting(w) > 0;
		if (n > idle && !w->quits) {
			idle = n;
			most = w;
		}
	}
	/* Workers have not seen the last ones yet, and will close idle ones to take them. */
	if (!most)
		return waiting;
	if (!atomic_exchange(&most->sparing, true))
		app_worker_order(most, APP_ORDER_SPARE);
	return true;
}

static void accept_closed(struct app_door *door)
{
	struct app_server *s = door->owner;

	if (s->state >= APP_DRAINING)
		app_order_all(s, APP_ORDER_DRAIN);
	else if (s->change.state == APP_CHANGE_COMMITTING)
		app_change_answered(s, 0);
}

void app_accept_init(struct app_server *s)
{
	s->door = (struct app_door){.loop = s->loop,
				    .owner = s,
				    .accepted = accept_hand,
				    .starved = accept_starved,
				    .closed = accept_closed};
}

void app_accept_open_fresh(struct app_server *s)
{
	struct app_listens *listens = &s->now.listens;

	for (unsigned i = 0; app_accept_is_main(s) && i < listens->count; i++) {
		struct app_slot *slot = &listens->slots[i];
		if (!slot->fresh || slot->kind == APP_LISTEN_UDP)
			continue;
		int err = app_door_open(&s->door, slot->sockets[0], slot->number);
		slot->sockets[0] = -1;
		if (err)
			log_error("a listening socket cannot be watched: %s", err_text(err));
	}
}
