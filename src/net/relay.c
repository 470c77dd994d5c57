// SPDX-License-Identifier: Apache-2.0
#include "net/relay.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"

enum relay_state {
	RELAY_NEW,
	RELAY_MOVING,
	RELAY_ENDING, /* both sides have ended; the last bytes are leaving */
	RELAY_CLOSED, /* conn_close was called for both */
};

static struct relay *relay_of(struct pump *p)
{
	return p->owner;
}

static unsigned relay_from(struct relay *r, const struct pump *p)
{
	return p == &r->way[RELAY_SERVER].pump ? RELAY_SERVER : RELAY_CLIENT;
}

/* Closing. */

static void relay_unfilter(struct relay_way *way, int why)
{
	struct source *filtered = way->filtered;

	way->filtered = NULL;
	if (filtered)
		source_close(filtered, why);
}

static void relay_closed(void *consumer)
{
	struct relay *r = relay_of(consumer);

	if (++r->closed == 2)
		r->done(r, r->why);
}

static void relay_close(struct relay *r, int why)
{
	if (r->state == RELAY_CLOSED)
		return;
	r->state = RELAY_CLOSED;
	r->why = why;
	io_timer_stop(&r->timer);
	for (unsigned i = 0; i < 2; i++) {
		pump_stop(&r->way[i].pump);
		relay_unfilter(&r->way[i], why);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct conn *c = r->conn[i];

		r->conn[i] = NULL;
		conn_close(c, why ? why : CONN_DONE);
	}
}

void relay_abort(struct relay *r, int why)
{
	assert(why < 0);
	relay_close(r, why);
}

/* Time. */

/* The time over, or 0, or how long it still may take. */
static uint64_t relay_left_ms(const struct relay *r, uint64_t since_ns, uint32_t ms)
{
	uint64_t over_ns = since_ns + ms * CLOCK_NS_PER_MS, now_ns = io_now_ns(r->conn[0]->loop);

	return over_ns <= now_ns ? 0 : (over_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
}

/* The kernel takes bytes of a slow reader without a pull, which nobody notes when it happens. */
static bool relay_trickles(struct relay *r)
{
	uint64_t out = r->conn[0]->bytes_out + r->conn[1]->bytes_out;
	bool moved = out != r->mark && (r->conn[0]->queued || r->conn[1]->queued);

	r->mark = out;
	return moved;
}

/* Looks at the clock when the timer fires, and not when bytes move. */
static void relay_watch(struct relay *r)
{
	const struct relay_options *o = r->options;
	bool half = r->way[0].ended || r->way[1].ended;
	uint32_t idle_ms = half && o->half_timeout_ms ? o->half_timeout_ms : o->idle_timeout_ms;
	uint64_t left_ms = UINT64_MAX;

	if (idle_ms)
		left_ms = relay_left_ms(r, r->active_ns, idle_ms);
	if (!left_ms && relay_trickles(r)) {
		r->active_ns = io_now_ns(r->conn[0]->loop);
		left_ms = idle_ms;
	}
	if (o->lifetime_max_ms)
		left_ms = SL_MIN(left_ms, relay_left_ms(r, r->began_ns, o->lifetime_max_ms));
	if (!left_ms)
		relay_close(r, -ETIMEDOUT);
	else if (left_ms != UINT64_MAX)
		io_timer_set(r->conn[0]->loop, &r->timer, left_ms);
}

static void relay_timeout(struct io_timer *t)
{
	relay_watch(SL_CONTAINER(t, struct relay, timer));
}

/* Moving. */

static void relay_fail(struct relay *r, enum relay_side side, int why)
{
	if (r->state == RELAY_CLOSED)
		return;
	r->failed = (uint8_t)side;
	relay_close(r, why);
}

static void relay_both_ended(struct relay *r)
{
	r->state = RELAY_ENDING;
	for (unsigned i = 0; i < 2; i++) {
		if (!r->conn[i]->queued)
			continue;
		conn_shutdown(r->conn[i]);
		conn_want_drained(r->conn[i]);
		return;
	}
	relay_close(r, 0);
}

static void relay_pumped(struct pump *p, int result)
{
	struct relay *r = relay_of(p);
	unsigned from = relay_from(r, p);
	struct relay_way *way = &r->way[from];

	if (r->state == RELAY_CLOSED)
		return;
	if (result) {
		relay_fail(r, r->conn[!from]->error == result ? !from : from, result);
		return;
	}
	way->ended = true;
	relay_unfilter(way, 0);
	if (r->way[!from].ended) {
		relay_both_ended(r);
		return;
	}
	conn_shutdown(r->conn[!from]);
	r->active_ns = io_now_ns(r->conn[0]->loop);
	if (r->options->half_timeout_ms)
		relay_watch(r);
}

static void relay_drained(struct conn *c, void *consumer)
{
	struct pump *p = consumer;
	struct relay *r = relay_of(p);
	unsigned from = relay_from(r, p);

	if (c->error)
		relay_fail(r, !from, c->error);
	else if (r->state == RELAY_ENDING)
		relay_both_ended(r);
	else
		pump_drained(p);
}

static int relay_send(struct pump *p, struct seg s)
{
	struct relay *r = relay_of(p);
	unsigned from = relay_from(r, p);
	struct relay_way *way = &r->way[from];

	_Atomic uint64_t *moved = r->options->moved[from];

	/* One writer: this loop's thread. */
	if (moved)
		atomic_store_explicit(moved,
				      atomic_load_explicit(moved, memory_order_relaxed) + s.len,
				      memory_order_relaxed);
	r->bytes[from] += s.len;
	r->active_ns = io_now_ns(p->conn->loop);
	way->run = s.len < RELAY_SMALL
			 ? 0
			 : (uint32_t)SL_MIN(way->run + s.len, 2u * RELAY_SPLICE_AFTER);
	p->copy = r->options->never_splice || way->run < RELAY_SPLICE_AFTER;
	return conn_send(p->conn, s);
}

static int relay_prepare(struct relay *r, unsigned from)
{
	struct relay_way *way = &r->way[from];
	struct conn *to = r->conn[!from];

	way->pump = (struct pump){
		.source = &r->conn[from]->source,
		.conn = to,
		.bytes_max = PUMP_TO_END,
		.frame = relay_send,
		.done = relay_pumped,
		.owner = r,
		.copy = true,
	};
	/* Who takes what this way brings tells its pump. */
	to->consumer = &way->pump;
	to->drained = relay_drained;
	to->closed = relay_closed;
	if (!r->options->filter)
		return 0;
	struct source *filtered = r->options->filter(r->owner, from, way->pump.source);
	if (!filtered)
		return -ENOMEM;
	if (filtered != way->pump.source)
		way->pump.source = way->filtered = filtered;
	return 0;
}

void relay_start(struct relay *r)
{
	assert(r->state == RELAY_NEW);
	r->state = RELAY_MOVING;
	r->began_ns = r->active_ns = io_now_ns(r->conn[0]->loop);
	r->timer.fire = relay_timeout;
	int err = relay_prepare(r, RELAY_CLIENT);
	int err_back = relay_prepare(r, RELAY_SERVER);
	if (err || err_back) {
		relay_close(r, -ENOMEM);
		return;
	}
	relay_watch(r);
	if (r->state != RELAY_CLOSED)
		pump_start(&r->way[RELAY_CLIENT].pump);
	if (r->state != RELAY_CLOSED)
		pump_start(&r->way[RELAY_SERVER].pump);
}
