// SPDX-License-Identifier: Apache-2.0
/* The public names of this room: include/sluice/loop.h. An sl_loop is an io_loop by another name. */
#include "sluice/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"
#include "io/backend.h"

/* How long sl_loop_free waits for what was closed to say so. */
#define API_SETTLE_NS CLOCK_NS_PER_S
#define API_TURN_NS (10 * CLOCK_NS_PER_MS)

struct sl_timer {
	struct io_timer timer;
	struct io_loop *loop;
	void (*fire)(struct sl_timer *, void *owner);
	void *owner;
};

struct sl_loop *sl_loop_new(const char *engine, char *why, size_t why_len)
{
	char reason[256] = "";
	int code = io_engine_parse(engine ? engine : "auto");
	struct io_options options = {.engine = code < 0 ? IO_ENGINE_AUTO : (enum io_engine)code};
	struct io_loop *loop = NULL;

	if (code < 0)
		snprintf(reason, sizeof(reason),
			 "unknown engine \"%s\" (auto, io_uring, epoll, poll, select)", engine);
	else if (io_loop_new(&options, &loop, reason, sizeof(reason)))
		loop = NULL;
	if (!loop && why_len)
		snprintf(why, why_len, "%s", reason);
	return (struct sl_loop *)loop;
}

const char *sl_loop_engine(const struct sl_loop *loop)
{
	return io_engine_name((const struct io_loop *)loop);
}

int sl_loop_run(struct sl_loop *loop)
{
	return io_loop_run((struct io_loop *)loop);
}

void sl_loop_stop(struct sl_loop *loop)
{
	io_loop_stop((struct io_loop *)loop);
}

static bool api_busy(struct io_loop *loop)
{
	return loop->inflight || loop->fds || io_wheel_next_ms(&loop->wheel) >= 0;
}

int sl_loop_free(struct sl_loop *public)
{
	struct io_loop *loop = (struct io_loop *)public;
	uint64_t end = clock_monotonic_ns() + API_SETTLE_NS;

	while (api_busy(loop) && clock_monotonic_ns() < end)
		(void)io_loop_turn(loop, API_TURN_NS);
	if (api_busy(loop))
		return -EBUSY;
	io_loop_free(loop);
	base_thread_exit();
	return 0;
}

static void api_fired(struct io_timer *timer)
{
	struct sl_timer *t = SL_CONTAINER(timer, struct sl_timer, timer);

	t->fire(t, t->owner);
}

struct sl_timer *sl_timer_new(struct sl_loop *loop, void (*fire)(struct sl_timer *, void *owner),
			      void *owner)
{
	struct sl_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->loop = (struct io_loop *)loop;
	t->fire = fire;
	t->owner = owner;
	t->timer.fire = api_fired;
	return t;
}

void sl_timer_set(struct sl_timer *t, uint64_t after_ms)
{
	io_timer_set(t->loop, &t->timer, after_ms);
}

void sl_timer_stop(struct sl_timer *t)
{
	io_timer_stop(&t->timer);
}

void sl_timer_free(struct sl_timer *t)
{
	if (t)
		io_timer_stop(&t->timer);
	free(t);
}
