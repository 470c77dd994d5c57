// SPDX-License-Identifier: Apache-2.0
// Who waits until a server has room: a queue for each view, and views that wake one another.
#include <errno.h>

#include "base/compiler.h"
#include "upstream/view.h"

/*
 * No wake-up is lost: who waits counts itself in group->queued and then looks at the servers once more; who gives a place back
 * frees it and then looks at group->queued. All four are sequentially consistent, so one of the two sees the other.
 */

static bool has_no_room(int result)
{
	return result == -EINPROGRESS || result == -EBUSY;
}

static void unqueue(struct upstream_turn *turn)
{
	struct upstream_view *view = turn->view;

	list_del(&turn->link);
	io_timer_stop(&turn->timer);
	atomic_fetch_sub(&view->waiting_count, 1);
	atomic_fetch_sub(&view->group->queued, 1);
}

/* It got a server, or it never will. */
static int settle(struct upstream_turn *turn, int result)
{
	unqueue(turn);
	if (result)
		turn->state = UPSTREAM_TURN_IDLE;
	return result;
}

static void queue_timed_out(struct io_timer *timer)
{
	struct upstream_turn *turn = SL_CONTAINER(timer, struct upstream_turn, timer);

	turn->ready(turn, upstream_refused(turn->view, settle(turn, -ETIMEDOUT)));
}

int upstream_queue_join(struct upstream_view *view, struct upstream_turn *turn)
{
	const struct upstream_config *config = view->now.set->config;
	bool first = list_empty(&view->waiting);
	int result = first ? upstream_take_now(view, turn) : -EINPROGRESS;

	if (result != -EINPROGRESS)
		return result;
	if (atomic_load_explicit(&view->waiting_count, memory_order_relaxed) >= config->queue_max)
		return -EBUSY;
	turn->state = UPSTREAM_TURN_WAITING;
	list_add(&view->waiting, &turn->link);
	atomic_fetch_add(&view->waiting_count, 1);
	atomic_fetch_add(&view->group->queued, 1);
	/* Those before it have looked, and what was freed since then finds them. */
	result = first ? upstream_take_now(view, turn) : -EINPROGRESS;
	if (!has_no_room(result))
		return settle(turn, result);
	turn->timer.fire = queue_timed_out;
	io_timer_set(view->loop, &turn->timer, config->queue_timeout_ms);
	return -EINPROGRESS;
}

void upstream_leave(struct upstream_turn *turn)
{
	if (turn->state == UPSTREAM_TURN_WAITING)
		settle(turn, -ECANCELED);
}

/* One that waits, and not `view`; it hands on what it cannot use. */
static void kick_one(struct upstream_group *group, const struct upstream_view *view)
{
	struct list *at;

	pthread_mutex_lock(&group->lock);
	for (at = group->views.next; at != &group->views; at = at->next) {
		struct upstream_view *other = SL_CONTAINER(at, struct upstream_view, link);

		if (other == view || !atomic_load(&other->waiting_count))
			continue;
		if (!atomic_exchange(&other->kicked, true))
			io_post(other->loop, &other->kick);
		/* The next time it is another's turn. */
		list_del(at);
		list_add(&group->views, at);
		break;
	}
	pthread_mutex_unlock(&group->lock);
}

void upstream_group_stir(struct upstream_group *group)
{
	/* An exchange and not a look: who waits counted himself before it, or sees in what he finds what came before it. */
	if (atomic_fetch_add(&group->queued, 0))
		kick_one(group, NULL);
}

void upstream_queue_wake(struct upstream_view *view)
{
	if (SL_LIKELY(!atomic_load(&view->group->queued)))
		return;
	if (list_empty(&view->waiting))
		kick_one(view->group, view);
	else
		io_defer(view->loop, &view->pump);
}

static void pump(struct upstream_view *view)
{
	uint32_t most = atomic_load_explicit(&view->waiting_count, memory_order_relaxed);
	bool room = true;

	/* What `ready` does may be the last that anybody wants of the view. */
	view->refs++;
	upstream_view_refresh(view);
	for (; room && most > 0 && !list_empty(&view->waiting); most--) {
		struct upstream_turn *turn =
			SL_CONTAINER(view->waiting.next, struct upstream_turn, link);
		int result = upstream_take_now(view, turn);

		room = !has_no_room(result);
		if (room)
			turn->ready(turn, upstream_refused(view, settle(turn, result)));
	}
	if (!list_empty(&view->waiting) && room)
		io_defer(view->loop, &view->pump);
	else if (list_empty(&view->waiting) && atomic_load(&view->group->queued))
		kick_one(view->group, view);
	upstream_view_put(view);
}

static void run_pump(struct io_task *task)
{
	pump(SL_CONTAINER(task, struct upstream_view, pump));
}

static void kicked(struct io_loop *loop, struct io_msg *msg)
{
	struct upstream_view *view = SL_CONTAINER(msg, struct upstream_view, kick);

	/* Before the look at the servers: a kick from now on is for what is freed after it. */
	atomic_store(&view->kicked, false);
	if (view->refs)
		pump(view);
	else
		upstream_view_settle(view);
}

void upstream_queue_init(struct upstream_view *view)
{
	list_init(&view->waiting);
	view->pump.run = run_pump;
	view->kick.run = kicked;
}
