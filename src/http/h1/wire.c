// SPDX-License-Identifier: Apache-2.0
/* The life of an HTTP/1 connection: reading heads, one request after another, timers, the end. */
#include "http/h1/wire.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "base/slab.h"
#include "http/h1/conn.h"

/* Memory of one stream: its head, its fields and what its handler allocates. */
#define H1_STREAM_ARENA_MAX (1024 * 1024)

enum h1_timer { H1_TIMER_NONE, H1_TIMER_IDLE, H1_TIMER_HEAD, H1_TIMER_STALL };

static _Thread_local struct slab h1_slab = SLAB_INIT("h1", sizeof(struct h1_conn), 256);
static _Thread_local struct slab stream_slab =
	SLAB_INIT("h1 stream", sizeof(struct h1_stream), 1024);

static void h1_run(struct h1_conn *);

void h1_set_state(struct h1_conn *h1, enum h1_state state)
{
	h1->state = (uint8_t)state;
}

static const struct http_limits *h1_limits(const struct h1_conn *h1)
{
	return &h1->worker->current->config->limits;
}

/* Streams. */

static void stream_run_task(struct io_task *task)
{
	h1_run(SL_CONTAINER(task, struct h1_stream, task)->h1);
}

static struct h1_stream *stream_new(struct h1_conn *h1)
{
	struct h1_stream *st = slab_zalloc(&stream_slab);

	if (!st)
		return NULL;
	st->h1 = h1;
	st->task.run = stream_run_task;
	arena_init(&st->arena, H1_STREAM_ARENA_MAX);
	st->http.wire = &h1_wire_ops;
	st->http.worker = h1->worker;
	st->http.arena = &st->arena;
	st->http.caps = h1->conn->caps;
	st->http.began_ns = io_now_ns(h1->worker->loop);
	/* A log wants the address when the connection may be gone; it is kept for all its requests. */
	if (h1->worker->log && !h1->peer)
		h1_peer_keep(h1);
	return st;
}

static void stream_free(struct h1_stream *st)
{
	io_undefer(st->h1->worker->loop, &st->task);
	seg_owner_unref(st->head_owner);
	arena_free(&st->arena);
	slab_free(&stream_slab, st);
}

static void stream_finish(struct h1_stream *st, int why)
{
	http_stream_finish(&st->http, why);
	stream_free(st);
}

void h1_kick(struct h1_stream *st)
{
	if (!st->h1->running)
		io_defer(st->h1->worker->loop, &st->task);
}

/* Input. */

enum pull h1_fill(struct h1_conn *h1)
{
	return h1_input_fill(&h1->in, h1->conn);
}

void h1_in_advance(struct h1_conn *h1, size_t n)
{
	h1_input_advance(&h1->in, n);
}

static int head_parse_at(struct h1_stream *st, const uint8_t *base, size_t len)
{
	const struct http_limits *limits = h1_limits(st->h1);
	const struct h1_options options = {
		.keep_underscores = limits->keep_underscores,
		.allow_connect = limits->allow_connect,
		.allow_trace = limits->allow_trace,
		.request_line_max = limits->request_line_max,
		.fields_bytes_max = limits->fields_bytes_max,
		.fields_max = limits->fields_max,
	};
	const char *why = NULL;
	int n = h1_parse_request(&st->parser, &options, base, len, &st->arena, &st->http.request,
				 &st->framing, &why);

	if (n < 0 && n != -ENOMEM)
		log_debug("http/1: request refused with %d: %s", -n, why ? why : "");
	return n;
}

/* As h1_parse_request, over the input and the copy. */
static int head_parse(struct h1_stream *st)
{
	struct h1_conn *h1 = st->h1;

	if (!st->gather.len) {
		int n = head_parse_at(st, h1->in.mem, h1->in.len);
		if (n > 0) {
			st->head_owner = seg_owner_ref(h1->in.owner);
			h1_in_advance(h1, (size_t)n);
		}
		if (n)
			return n;
	}
	int taken = h1_gather_add(&st->gather, &st->arena, &h1->in);
	if (taken < 0)
		return taken;
	int n = head_parse_at(st, st->gather.copy, st->gather.len);
	/* What came after the head in the last piece is the next reader's. */
	if (n > 0)
		taken -= (int)st->gather.len - n;
	h1_in_advance(h1, (size_t)taken);
	return n ? n : st->gather.len == H1_GATHER_MAX ? -431 : 0;
}

static void h1_refuse(struct h1_conn *h1, unsigned status)
{
	struct h1_stream *st = h1->stream;

	st->keep_alive = false;
	st->body_done = true;
	if (!st->http.request.version)
		st->http.request.version = 11;
	h1_set_state(h1, H1_OPEN);
	http_stream_refuse(&st->http, status);
}

static void h1_open(struct h1_conn *h1)
{
	struct h1_stream *st = h1->stream;

	h1_set_state(h1, H1_OPEN);
	h1->requests++;
	st->http.request.scheme = STR("http");
	st->keep_alive = st->framing.keep_alive && h1->requests < h1_limits(h1)->requests_max &&
			 http_worker_listens(h1->worker, h1->listener);
	h1->client_last = !st->framing.keep_alive;
	h1_body_init(st);
	http_stream_dispatch(&st->http, h1->listener);
}

/* The peer ended its side between or inside heads. */
static void h1_input_ended(struct h1_conn *h1)
{
	if (h1->stream) {
		stream_free(h1->stream);
		h1->stream = NULL;
	}
	h1->client_last = true;
	h1_set_state(h1, H1_LAST);
}

/* Too much is on its way out to take another request. */
static bool h1_blocked(const struct h1_conn *h1)
{
	return h1->flushing_count >= H1_FLUSHING_MAX || conn_full(h1->conn);
}

/* True to go on. */
static bool h1_read_head(struct h1_conn *h1)
{
	if (h1_blocked(h1))
		return false;
	switch (h1_fill(h1)) {
	case PULL_DATA:
		break;
	case PULL_WAIT:
		return false;
	case PULL_END:
		h1_input_ended(h1);
		return true;
	case PULL_FAIL:
		h1_fail(h1, h1->conn->source.error);
		return false;
	}
	if (!h1->stream) {
		h1->stream = stream_new(h1);
		if (!h1->stream) {
			h1_fail(h1, -ENOMEM);
			return false;
		}
		h1_set_state(h1, H1_HEAD);
		/* Each head has its time, also when the one before it came late. */
		h1->timer_kind = H1_TIMER_NONE;
	}
	int n = head_parse(h1->stream);
	if (n > 0)
		h1_open(h1);
	else if (n < 0)
		h1_refuse(h1, n == -ENOMEM ? 503 : (unsigned)-n);
	return true;
}

/* Out: responses that are queued, and those that have left. */

static void h1_queue_flushing(struct h1_conn *h1)
{
	struct h1_stream *st = h1->stream;

	h1->stream = NULL;
	struct h1_stream **at = &h1->flushing;
	while (*at)
		at = &(*at)->next;
	st->next = NULL;
	*at = st;
	h1->flushing_count++;
	h1_set_state(h1, st->keep_alive ? H1_IDLE : H1_LAST);
}

static bool h1_after_response(struct h1_conn *h1)
{
	struct h1_stream *st = h1->stream;

	if (!st->complete)
		return false;
	if (!st->body_done && st->keep_alive) {
		st->body.wake = NULL;
		st->body_waiting = false;
		h1_set_state(h1, H1_REST);
		return true;
	}
	/* It said that nothing follows, but still sends this: a close that does not wait would take the answer from it. */
	if (!st->body_done)
		h1->client_last = false;
	h1_queue_flushing(h1);
	return true;
}

static bool h1_discard(struct h1_conn *h1)
{
	int r = h1_body_discard(h1->stream);

	if (r == 0)
		return false;
	if (r < 0)
		h1->stream->keep_alive = false;
	h1_queue_flushing(h1);
	return true;
}

static void h1_reap(struct h1_conn *h1)
{
	while (h1->flushing && h1->flushing->end_mark <= h1->conn->bytes_out) {
		struct h1_stream *st = h1->flushing;
		h1->flushing = st->next;
		h1->flushing_count--;
		stream_finish(st, st->why);
	}
}

/* Ends. */

static void h1_closing(struct h1_conn *h1, int why)
{
	h1_set_state(h1, H1_CLOSING);
	conn_close(h1->conn, why);
}

void h1_fail(struct h1_conn *h1, int why)
{
	struct h1_stream *st = h1->stream;

	if (h1->state == H1_CLOSING || h1->state == H1_CLOSED)
		return;
	if (st) {
		st->why = why;
		if (st->response) {
			struct source *response = st->response;
			pump_stop(&st->pump);
			st->http.body_bytes_out = st->pump.bytes;
			st->response = NULL;
			source_close(response, why);
		}
	}
	for (struct h1_stream *f = h1->flushing; f; f = f->next)
		if (!f->why && f->end_mark > h1->conn->bytes_out)
			f->why = why;
	h1_closing(h1, why);
}

static void h1_free(struct h1_conn *h1)
{
	struct http_worker *w = h1->worker;

	io_timer_stop(&h1->timer);
	h1_input_release(&h1->in);
	h1_peer_free(h1);
	if (h1->idle)
		HTTP_COUNT(w->counts.connections_idle, (uint64_t)-1);
	http_session_end(w, &h1->session);
	slab_free(&h1_slab, h1);
}

static void h1_closed(void *consumer)
{
	struct h1_conn *h1 = consumer;
	struct h1_stream *st = h1->stream;

	h1->conn = NULL;
	while (h1->flushing) {
		struct h1_stream *f = h1->flushing;
		h1->flushing = f->next;
		stream_finish(f, f->why);
	}
	h1_set_state(h1, H1_CLOSED);
	if (st && st->http.generation && !st->http.responded) {
		/* A handler that waits for the body learns of the end there. */
		h1_body_wake(st);
		if (!st->http.responded && st->http.handler && st->http.handler->gone)
			st->http.handler->gone(&st->http);
		return;
	}
	h1->stream = NULL;
	if (st)
		stream_finish(st, st->why ? st->why : -ECONNRESET);
	h1_free(h1);
}

static void h1_hand_over(struct h1_conn *h1)
{
	struct h1_stream *st = h1->stream;
	struct conn *conn = h1->conn;

	h1->stream = NULL;
	h1->conn = NULL;
	conn->drained = NULL;
	conn->closed = NULL;
	conn->source.wake = NULL;
	conn_unpull(conn, seg_mem(h1->in.mem, h1->in.len, h1->in.owner));
	h1->in = (struct h1_input){0};
	st->upgraded(&st->http, conn);
	stream_finish(st, 0);
	h1_free(h1);
}

/* Timers. */

/* Everything was answered and has left. */
static bool h1_is_idle(const struct h1_conn *h1)
{
	return h1->state == H1_IDLE && !h1->flushing;
}

static uint32_t h1_progress(const struct h1_conn *h1)
{
	return (uint32_t)(h1->conn->bytes_in + h1->conn->bytes_out);
}

/* Before its answer, or inside it: the peer has all that there is, and owes nothing. */
static bool h1_waits_for_handler(const struct h1_conn *h1)
{
	return (h1->state == H1_OPEN || h1->state == H1_BODY) && !h1->stream->body_waiting &&
	       !h1->conn->queued;
}

static void h1_arm_stall(struct h1_conn *h1)
{
	h1->timer_kind = H1_TIMER_STALL;
	h1->mark = h1_progress(h1);
	io_timer_set(h1->worker->loop, &h1->timer, h1_limits(h1)->stall_timeout_ms);
}

static void h1_stalled(struct h1_conn *h1)
{
	const struct http_limits *limits = h1_limits(h1);
	uint64_t least = (uint64_t)limits->rate_min * limits->stall_timeout_ms / 1000;

	if (!h1_waits_for_handler(h1) && h1_progress(h1) - h1->mark < SL_MAX(least, 1)) {
		HTTP_COUNT(h1->worker->counts.timeouts, 1);
		if (h1->state == H1_CLOSING)
			conn_close(h1->conn, -ETIMEDOUT);
		else
			h1_fail(h1, -ETIMEDOUT);
		return;
	}
	h1_arm_stall(h1);
}

static void h1_timer_fired(struct io_timer *timer)
{
	struct h1_conn *h1 = SL_CONTAINER(timer, struct h1_conn, timer);

	if (!h1->conn)
		return;
	if (h1->timer_kind == H1_TIMER_STALL) {
		h1_stalled(h1);
		return;
	}
	HTTP_COUNT(h1->worker->counts.timeouts, 1);
	h1->timer_kind = H1_TIMER_NONE;
	if (h1->state == H1_HEAD)
		h1_refuse(h1, 408);
	else
		h1_set_state(h1, H1_LAST);
	h1_run(h1);
}

static void h1_set_timer(struct h1_conn *h1)
{
	struct io_loop *loop = h1->worker->loop;

	if (h1_is_idle(h1)) {
		h1->timer_kind = H1_TIMER_IDLE;
		io_timer_set(loop, &h1->timer, h1_limits(h1)->idle_timeout_ms);
	} else if (h1->state == H1_HEAD) {
		if (h1->timer_kind != H1_TIMER_HEAD)
			io_timer_set(loop, &h1->timer, h1_limits(h1)->head_timeout_ms);
		h1->timer_kind = H1_TIMER_HEAD;
	} else if (h1->timer_kind != H1_TIMER_STALL) {
		h1_arm_stall(h1);
	}
}

/* The loop of states. */

static bool h1_advance(struct h1_conn *h1)
{
	switch ((enum h1_state)h1->state) {
	case H1_IDLE:
	case H1_HEAD:
		return h1_read_head(h1);
	case H1_BODY:
		return h1_after_response(h1);
	case H1_REST:
		return h1_discard(h1);
	case H1_OPEN:
	case H1_LAST:
	case H1_CLOSING:
	case H1_CLOSED:
	case H1_UPGRADED:
		break;
	}
	return false;
}

static void h1_list(struct h1_conn *h1)
{
	bool idle = h1_is_idle(h1);

	if (idle != h1->idle) {
		h1->idle = idle;
		HTTP_COUNT(h1->worker->counts.connections_idle, idle ? 1 : (uint64_t)-1);
		if (!idle)
			http_session_busy(h1->worker, &h1->session);
	}
	if (idle)
		http_session_idle(h1->worker, &h1->session);
}

/* Sends, and finishes what has left. True when that made room for a request that had to wait. */
static bool h1_flush(struct h1_conn *h1)
{
	if (h1->state == H1_CLOSING || h1->state == H1_CLOSED)
		return false;
	bool blocked = h1_blocked(h1);
	h1->conn->last = h1->state == H1_LAST;
	conn_flush(h1->conn);
	h1_reap(h1);
	return blocked && !h1_blocked(h1);
}

/* After the states came to rest and what could be sent was. */
static void h1_settle(struct h1_conn *h1)
{
	if (h1->state == H1_CLOSED) {
		struct h1_stream *st = h1->stream;
		if (!st->http.responded)
			return;
		h1->stream = NULL;
		stream_finish(st, st->why ? st->why : -ECONNRESET);
		h1_free(h1);
		return;
	}
	if (h1->state == H1_UPGRADED && !h1->flushing) {
		h1_hand_over(h1);
		return;
	}
	if (h1->state != H1_CLOSING) {
		if (h1->flushing)
			conn_want_drained(h1->conn);
		else if (h1->state == H1_LAST || (h1->state == H1_IDLE && h1->worker->draining))
			h1_closing(h1, h1->client_last && !h1->in.len ? CONN_DONE : CONN_LINGER);
	}
	/* Nothing else would tell that the peer went away; what comes instead is the next reader's. */
	if (h1_waits_for_handler(h1))
		(void)h1_fill(h1);
	h1_list(h1);
	h1_set_timer(h1);
}

static void h1_run(struct h1_conn *h1)
{
	do {
		h1->running = true;
		while (h1_advance(h1))
			;
		h1->running = false;
	} while (h1_flush(h1));
	h1_settle(h1);
}

static void h1_woken(struct source *source, void *consumer)
{
	struct h1_conn *h1 = consumer;

	(void)source;
	if (h1->stream)
		h1_body_wake(h1->stream);
	h1_run(h1);
}

static void h1_drained(struct conn *conn, void *consumer)
{
	struct h1_conn *h1 = consumer;

	if (conn->error)
		h1_fail(h1, conn->error);
	else if (h1->stream && h1->stream->response)
		pump_drained(&h1->stream->pump);
	h1_run(h1);
}

static void h1_drain(struct http_session *session)
{
	struct h1_conn *h1 = SL_CONTAINER(session, struct h1_conn, session);

	if (h1->state != H1_IDLE)
		return;
	h1_set_state(h1, H1_LAST);
	h1_run(h1);
}

static void h1_evict(struct http_session *session)
{
	struct h1_conn *h1 = SL_CONTAINER(session, struct h1_conn, session);

	h1->client_last = true;
	h1_drain(session);
}

static void h1_abort(struct http_session *session)
{
	struct h1_conn *h1 = SL_CONTAINER(session, struct h1_conn, session);

	if (h1->state == H1_CLOSING)
		conn_close(h1->conn, -ECANCELED);
	else
		h1_fail(h1, -ECANCELED);
}

static const struct http_session_ops h1_session_ops = {
	.drain = h1_drain,
	.evict = h1_evict,
	.abort = h1_abort,
};

void h1_serve(struct http_worker *w, struct conn *conn, unsigned listener)
{
	struct h1_conn *h1 = slab_zalloc(&h1_slab);

	if (!h1 || !http_session_begin(w, &h1->session)) {
		slab_free(&h1_slab, h1);
		conn_close(conn, -ECONNREFUSED);
		return;
	}
	h1->session.ops = &h1_session_ops;
	h1->worker = w;
	h1->conn = conn;
	h1->listener = (uint16_t)listener;
	h1->timer.fire = h1_timer_fired;
	conn->consumer = h1;
	conn->drained = h1_drained;
	conn->closed = h1_closed;
	conn->source.wake = h1_woken;
	conn->source.consumer = h1;
	h1_set_state(h1, H1_IDLE);
	h1_run(h1);
}
