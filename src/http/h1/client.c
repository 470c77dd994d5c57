// SPDX-License-Identifier: Apache-2.0
/* The life of a link: calls, one after another, their times, and the end. */
#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "base/slab.h"
#include "http/h1/link.h"

_Static_assert(sizeof(struct h1_link) <= 176, "thousands of links wait in pools");

static _Thread_local struct slab link_slab = SLAB_INIT("http link", sizeof(struct h1_link), 64);

void h1_link_set_state(struct h1_link *l, enum link_state state)
{
	l->state = (uint8_t)state;
	l->link.usable = (state == LINK_IDLE || state == LINK_CONNECTING) && !l->call;
}

/* Times. */

/* The server has to take bytes. After a failure to send only its answer is waited for. */
static bool link_sends(const struct h1_link *l)
{
	const struct h1_exchange *x = l->call->exchange;

	return !x->expecting && !l->conn->error && (!x->sent || l->conn->queued);
}

/* A server that has answered and does not take the end of its request is not worth a longer wait. */
#define LINK_LEAVING_MS 1000

/* What bounds the present wait; 0: nothing does. */
static uint32_t link_timeout_ms(const struct h1_link *l)
{
	const struct http_call *call = l->call;

	if (!call)
		return l->state == LINK_LEAVING ? LINK_LEAVING_MS : 0;
	switch ((enum link_state)l->state) {
	case LINK_CONNECTING:
		return call->connect_timeout_ms;
	case LINK_HEAD:
		if (call->exchange->expecting && call->expect_timeout_ms)
			return call->expect_timeout_ms;
		return link_sends(l) || call->exchange->gather.len ? call->between_timeout_ms
								   : call->first_byte_timeout_ms;
	case LINK_BODY:
		return call->exchange->waiting ? call->between_timeout_ms : 0;
	default:
		return 0;
	}
}

void h1_link_touch(struct h1_link *l)
{
	uint32_t timeout_ms = link_timeout_ms(l);

	l->since_ns = io_now_ns(l->link.loop);
	l->mark = l->conn->bytes_out;
	if (timeout_ms)
		io_timer_set(l->link.loop, &l->timer, timeout_ms);
}

/* It was set for some wait; whether that is over, and which one is on now, is looked at here. */
static void link_timer_fired(struct io_timer *timer)
{
	struct h1_link *l = SL_CONTAINER(timer, struct h1_link, timer);
	uint32_t timeout_ms = link_timeout_ms(l);
	uint64_t now = io_now_ns(l->link.loop);
	uint64_t due = l->since_ns + timeout_ms * CLOCK_NS_PER_MS;

	if (!timeout_ms)
		return;
	/* Nothing waits to leave: it is the request's own source that is slow. */
	if (l->state == LINK_HEAD && link_sends(l) &&
	    (l->mark != l->conn->bytes_out || !l->conn->queued)) {
		h1_link_touch(l);
		return;
	}
	if (now < due) {
		io_timer_set(l->link.loop, timer,
			     (due - now + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS);
		return;
	}
	if (l->state == LINK_HEAD && l->call->exchange->expecting && l->call->expect_timeout_ms)
		h1_link_send_body(l);
	else
		h1_link_fail(l, -ETIMEDOUT);
}

/* Ends. */

static void link_cut(struct h1_link *l, int how)
{
	/* What the server did not take by now, it could let us wait for for ever. */
	if (how == CONN_DONE && l->conn->queued)
		how = -ECANCELED;
	h1_link_set_state(l, LINK_CLOSING);
	io_timer_stop(&l->timer);
	h1_input_release(&l->in);
	conn_close(l->conn, how);
}

void h1_link_count_out(struct h1_link *l)
{
	struct http_call *call = l->call;

	call->bytes_out = call->exchange->pump.bytes;
	call->body_begun = call->bytes_out > 0;
}

void h1_link_fail(struct h1_link *l, int why)
{
	struct h1_exchange *x = l->call ? l->call->exchange : NULL;

	if (l->state >= LINK_CLOSING)
		return;
	if (x) {
		h1_link_stop_body(x);
		h1_link_count_out(l);
		x->body.error = why;
	}
	l->why = why;
	link_cut(l, why);
	if (l->call)
		io_defer(l->link.loop, &l->task);
}

/* Tells the call of a link that was cut. */
static void link_report(struct h1_link *l)
{
	struct http_call *call = l->call;

	if (call && call->exchange)
		h1_exchange_wake(call->exchange);
	/* Who was woken may have cancelled it. */
	if (!call || l->call != call)
		return;
	l->call = NULL;
	call->link = NULL;
	if (call->exchange)
		h1_exchange_over(call->exchange, l->why);
	call->ops->done(call, l->why);
}

/* The server keeps the connection, all of the request is on its way, and nothing came that was not asked for. */
static bool link_stays(struct h1_link *l, const struct h1_exchange *x)
{
	return x->framing.keep_alive && x->sent && !l->conn->error &&
	       h1_input_fill(&l->in, l->conn) == PULL_WAIT;
}

/* Free for the next call, when the bytes of the last one have left: an answer may be seen before that is. */
static void link_rest(struct h1_link *l)
{
	if (l->conn->queued) {
		h1_link_set_state(l, LINK_LEAVING);
		conn_want_drained(l->conn);
		h1_link_touch(l);
		return;
	}
	h1_link_set_state(l, LINK_IDLE);
	l->link.ops->idle(&l->link);
}

void h1_link_finish(struct h1_link *l)
{
	struct http_call *call = l->call;
	struct h1_exchange *x = call->exchange;
	bool stays = link_stays(l, x), sent = x->sent;

	h1_link_stop_body(x);
	h1_link_count_out(l);
	call->stage = HTTP_CALL_DONE;
	l->call = NULL;
	l->ending = call;
	if (stays)
		link_rest(l);
	else
		link_cut(l, sent ? CONN_DONE : -ECANCELED);
	if (l->ending != call)
		return;
	l->ending = NULL;
	call->link = NULL;
	/* Views of the response are good inside `done`. */
	struct seg_owner *head = seg_owner_ref(x->head_owner);
	h1_exchange_over(x, 0);
	call->ops->done(call, 0);
	seg_owner_unref(head);
}

static void link_gone(struct h1_link *l)
{
	io_undefer(l->link.loop, &l->task);
	io_timer_stop(&l->timer);
	h1_input_release(&l->in);
	l->link.ops->closed(&l->link);
	slab_free(&link_slab, l);
}

static void link_closed(void *consumer)
{
	struct h1_link *l = consumer;

	link_report(l);
	l->conn = NULL;
	link_gone(l);
}

/* What moves it. */

static void link_run(struct h1_link *l)
{
	enum pull r;

	switch ((enum link_state)l->state) {
	case LINK_IDLE:
	case LINK_LEAVING:
		r = h1_input_fill(&l->in, l->conn);
		/* What comes unasked would be taken for the answer to the next request. */
		if (r != PULL_WAIT)
			link_cut(l, r == PULL_END    ? CONN_DONE
				    : r == PULL_FAIL ? l->conn->source.error
						     : -EPROTO);
		break;
	case LINK_HEAD:
		h1_link_read_heads(l);
		break;
	case LINK_BODY:
		h1_exchange_wake(l->call->exchange);
		break;
	case LINK_CLOSING:
		link_report(l);
		break;
	case LINK_TAKEN:
		link_gone(l);
		break;
	case LINK_CONNECTING:
	case LINK_SWITCHED:
		break;
	}
}

static void link_run_task(struct io_task *task)
{
	link_run(SL_CONTAINER(task, struct h1_link, task));
}

static void link_woken(struct source *source, void *consumer)
{
	(void)source;
	link_run(consumer);
}

/* All of the request has left. */
static void link_note_left(struct h1_link *l)
{
	struct http_call *call = l->call;

	if (l->state != LINK_HEAD || !call->exchange->sent || l->conn->queued)
		return;
	if (call->stage == HTTP_CALL_SEND)
		call->stage = HTTP_CALL_WAIT;
	h1_link_touch(l);
}

static void link_drained(struct conn *conn, void *consumer)
{
	struct h1_link *l = consumer;

	if ((l->state == LINK_IDLE || l->state == LINK_LEAVING) && conn->error)
		link_cut(l, conn->error);
	if (l->state == LINK_LEAVING)
		link_rest(l);
	if (l->state != LINK_HEAD && l->state != LINK_BODY)
		return;
	/* A server may answer before it has read everything, and then stop reading: its answer is still to be had. */
	if (l->call->exchange->pumping)
		pump_drained(&l->call->exchange->pump);
	if (conn->error && l->state == LINK_HEAD)
		h1_link_touch(l);
	else
		link_note_left(l);
}

/* Calls. */

static void link_begin(struct h1_link *l)
{
	struct h1_exchange *x = l->call->exchange;

	l->call->stage = HTTP_CALL_SEND;
	h1_link_set_state(l, LINK_HEAD);
	x->sent = !l->call->request_body;
	x->expecting = l->call->expect_continue && !x->sent;
	if (!x->sent && !x->expecting)
		h1_link_send_body(l);
	if (l->state != LINK_HEAD)
		return;
	if (x->sent || x->expecting)
		conn_want_drained(l->conn);
	h1_link_touch(l);
}

void http_call_start(struct http_link *link, struct http_call *call)
{
	struct h1_link *l = h1_link_of(link);
	struct h1_exchange *x = arena_zalloc(call->arena, sizeof(*x));
	size_t out = offsetof(struct http_call, response);

	assert(link->usable);
	memset((char *)call + out, 0, sizeof(*call) - out);
	call->link = link;
	call->exchange = x;
	call->began_ns = io_now_ns(link->loop);
	call->reused = link->calls++ > 0;
	call->stage = HTTP_CALL_CONNECT;
	l->call = call;
	link->usable = false;
	if (!x) {
		h1_link_fail(l, -ENOMEM);
		return;
	}
	x->link = l;
	x->call = call;
	x->loop = link->loop;
	/* While it connects, too: what is queued by then leaves with the connection. */
	int err = h1_link_send_head(l);
	if (err)
		h1_link_fail(l, err);
	else if (l->state == LINK_IDLE)
		link_begin(l);
	else
		h1_link_touch(l);
}

void http_call_cancel(struct http_call *call)
{
	struct h1_exchange *x = call->exchange;

	if (call->link) {
		struct h1_link *l = h1_link_of(call->link);

		if (l->call == call) {
			if (x) {
				h1_link_stop_body(x);
				h1_link_count_out(l);
			}
			l->call = NULL;
			if (l->state < LINK_CLOSING)
				link_cut(l, -ECANCELED);
		}
		if (l->ending == call)
			l->ending = NULL;
		call->link = NULL;
	}
	call->exchange = NULL;
	if (x)
		h1_exchange_drop(x);
}

struct conn *http_call_take_conn(struct http_call *call)
{
	struct h1_link *l = h1_link_of(call->link);
	struct conn *conn = l->conn;

	assert(l->state == LINK_SWITCHED && l->call == call);
	conn->drained = NULL;
	conn->closed = NULL;
	conn->source.wake = NULL;
	conn_unpull(conn, seg_mem(l->in.mem, l->in.len, l->in.owner));
	l->in = (struct h1_input){0};
	l->conn = NULL;
	l->call = NULL;
	h1_link_set_state(l, LINK_TAKEN);
	io_defer(l->link.loop, &l->task);
	call->stage = HTTP_CALL_DONE;
	call->link = NULL;
	h1_exchange_over(call->exchange, 0);
	return conn;
}

/* Links. */

struct http_link *http_link_new(struct conn *conn, bool connecting, const struct http_link_ops *ops,
				void *owner)
{
	struct h1_link *l = slab_zalloc(&link_slab);

	if (!l) {
		conn_close(conn, -ENOMEM);
		return NULL;
	}
	l->link.loop = conn->loop;
	l->link.ops = ops;
	l->link.owner = owner;
	l->conn = conn;
	l->timer.fire = link_timer_fired;
	l->task.run = link_run_task;
	conn->consumer = l;
	conn->drained = link_drained;
	conn->closed = link_closed;
	conn->source.wake = link_woken;
	conn->source.consumer = l;
	h1_link_set_state(l, connecting ? LINK_CONNECTING : LINK_IDLE);
	/* Receiving is armed from the top of the loop, for what came already ends it. */
	if (!connecting)
		io_defer(conn->loop, &l->task);
	return &l->link;
}

void http_link_connected(struct conn *conn, void *consumer, int result)
{
	struct h1_link *l = consumer;

	(void)conn;
	if (l->state != LINK_CONNECTING)
		return;
	if (result) {
		h1_link_fail(l, result);
		return;
	}
	h1_link_set_state(l, LINK_IDLE);
	if (l->call) {
		l->call->connected_ns = io_now_ns(l->link.loop);
		link_begin(l);
	}
	link_run(l);
}

void http_link_close(struct http_link *link)
{
	struct h1_link *l = h1_link_of(link);

	if (l->call)
		h1_link_fail(l, -ECANCELED);
	else if (l->state < LINK_CLOSING)
		link_cut(l, l->state == LINK_IDLE ? CONN_DONE : -ECANCELED);
}

bool http_link_alive(struct http_link *link)
{
	struct h1_link *l = h1_link_of(link);

	if (!link->usable)
		return false;
	return l->state == LINK_CONNECTING || !l->conn->ops->quiet || l->conn->ops->quiet(l->conn);
}
