// SPDX-License-Identifier: Apache-2.0
// What a client sends, sent to a second group, too: as long as that keeps up, and without a word from it.
#include <assert.h>
#include <errno.h>

#include "base/err.h"
#include "base/slab.h"
#include "handler/tcp/tcp.h"
#include "net/pipe.h"

struct tcp_mirror {
	struct source source;
	struct source *from; /* NULL: it was closed */
	struct list link;
	struct tcp_service *service;
	struct conn *conn;    /* NULL: conn_close was called */
	struct conn *closing; /* then this, until it is gone */
	struct upstream_turn turn;
	struct io_timer timer; /* of connecting, and of closing */
	uint64_t connect_ns;
	uint8_t outcome; /* enum upstream_outcome */
	bool conn_gone;  /* and it was closed */
};

/* The client has ended; a server that does not take the rest in this time is not worth a longer wait. */
#define MIRROR_LEAVE_MS 5000

static _Thread_local struct slab mirror_slab =
	SLAB_INIT("tcp mirror", sizeof(struct tcp_mirror), 64);

/* The side of the server. */

static void mirror_maybe_free(struct tcp_mirror *m)
{
	struct tcp_service *s = m->service;

	if (m->from || !m->conn_gone)
		return;
	list_del(&m->link);
	slab_free(&mirror_slab, m);
	s->mirror_count--;
	tcp_service_less(s);
}

static void mirror_closed(void *consumer)
{
	struct tcp_mirror *m = consumer;

	io_timer_stop(&m->timer);
	upstream_give(&m->turn, m->outcome, m->connect_ns);
	m->closing = NULL;
	m->conn_gone = true;
	mirror_maybe_free(m);
}

static void mirror_left(struct io_timer *t)
{
	conn_close(SL_CONTAINER(t, struct tcp_mirror, timer)->closing, -ETIMEDOUT);
}

static void mirror_end(struct tcp_mirror *m, enum upstream_outcome outcome, int why)
{
	struct conn *c = m->conn;

	if (!c)
		return;
	m->conn = NULL;
	m->closing = c;
	m->timer.fire = mirror_left;
	io_timer_set(m->service->loop, &m->timer, MIRROR_LEAVE_MS);
	m->outcome = (uint8_t)outcome;
	upstream_moved(&m->turn, c->bytes_in, c->bytes_out);
	conn_close(c, why);
}

/* From now on the client has one server only. */
static void mirror_drop(struct tcp_mirror *m, enum upstream_outcome outcome, int why)
{
	if (!m->conn)
		return;
	if (outcome == UPSTREAM_FAILED)
		upstream_blame(&m->turn, err_text(why));
	upstream_count(m->service->mirror, UPSTREAM_EVENT_MIRROR_DROPPED);
	mirror_end(m, outcome, why);
}

static void mirror_connected(struct conn *c, void *consumer, int result)
{
	struct tcp_mirror *m = consumer;

	(void)c;
	io_timer_stop(&m->timer);
	m->connect_ns = io_now_ns(m->service->loop) - m->connect_ns;
	if (result)
		mirror_drop(m, UPSTREAM_FAILED, result);
}

static void mirror_timeout(struct io_timer *t)
{
	mirror_drop(SL_CONTAINER(t, struct tcp_mirror, timer), UPSTREAM_FAILED, -ETIMEDOUT);
}

static void mirror_drained(struct conn *c, void *consumer)
{
	if (c->error)
		mirror_drop(consumer, UPSTREAM_ABANDONED, c->error);
}

/* Its answers are thrown away. */
static void mirror_answered(struct source *source, void *consumer)
{
	struct seg s;
	enum pull r;

	while ((r = source_pull(source, CONN_AHEAD_BYTES, SEG_MEM, &s)) == PULL_DATA)
		seg_release(&s);
	if (r == PULL_FAIL)
		mirror_drop(consumer, UPSTREAM_ABANDONED, source->error);
}

static void mirror_dial(struct tcp_mirror *m)
{
	uint32_t connect_ms = upstream_view_config(m->service->mirror)->timeouts.connect_ms;
	struct conn *c = upstream_connect(&m->turn, NULL, mirror_connected);

	if (!c) {
		upstream_give(&m->turn, UPSTREAM_ABANDONED, 0);
		return;
	}
	m->conn = c;
	m->connect_ns = io_now_ns(m->service->loop);
	c->consumer = c->source.consumer = m;
	c->drained = mirror_drained;
	c->closed = mirror_closed;
	c->source.wake = mirror_answered;
	m->timer.fire = mirror_timeout;
	if (connect_ms)
		io_timer_set(m->service->loop, &m->timer, connect_ms);
	mirror_answered(&c->source, m);
}

/* The side of the client. */

static int mirror_send(struct tcp_mirror *m, const struct seg *s)
{
	if (s->kind == SEG_MEM)
		return conn_send(m->conn, seg_mem(s->u.mem, s->len, seg_owner_ref(s->owner)));
	struct pipe_lease *copy = pipe_lease_tee(s->u.pipe, s->len);
	if (!copy)
		return -ENOBUFS;
	struct seg pipe = {.kind = SEG_PIPE, .len = s->len, .owner = &copy->owner};
	pipe.u.pipe = copy;
	return conn_send(m->conn, pipe);
}

static enum pull mirror_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct tcp_mirror *m = SL_CONTAINER(source, struct tcp_mirror, source);
	enum pull r = source_pull(m->from, want, kinds & ~(unsigned)SEG_FILE, out);

	source->error = m->from->error;
	if (r != PULL_DATA || !m->conn)
		return r;
	if (m->conn->queued + out->len > TCP_MIRROR_BYTES_MAX || mirror_send(m, out))
		mirror_drop(m, UPSTREAM_ABANDONED, -ENOBUFS);
	return r;
}

static void mirror_close(struct source *source, int why)
{
	struct tcp_mirror *m = SL_CONTAINER(source, struct tcp_mirror, source);
	struct source *from = m->from;

	m->from = NULL;
	source_close(from, why);
	mirror_end(m, UPSTREAM_OK, why < 0 ? why : CONN_LINGER);
	mirror_maybe_free(m);
}

static void mirror_woken(struct source *from, void *consumer)
{
	struct tcp_mirror *m = consumer;

	(void)from;
	if (m->source.wake)
		source_wake(&m->source);
}

struct source *tcp_mirror_new(struct tcp_flow *f, struct source *from)
{
	static const struct source_ops ops = {.pull = mirror_pull, .close = mirror_close};
	struct tcp_service *s = f->service;
	struct tcp_mirror *m = slab_zalloc(&mirror_slab);
	int err = -ENOMEM;

	upstream_count(s->mirror, UPSTREAM_EVENT_MIRROR);
	if (m) {
		m->service = s;
		m->turn.hash = f->turn.hash;
		err = upstream_take(s->mirror, &m->turn);
	}
	/* Nobody waits for a place in a queue only to be looked at. */
	if (err == -EINPROGRESS)
		upstream_leave(&m->turn);
	if (!err)
		mirror_dial(m);
	if (err || !m->conn) {
		upstream_count(s->mirror, UPSTREAM_EVENT_MIRROR_DROPPED);
		slab_free(&mirror_slab, m);
		return from;
	}
	m->source.ops = &ops;
	m->from = from;
	from->wake = mirror_woken;
	from->consumer = m;
	list_init(&m->link);
	list_add(&s->mirrors, &m->link);
	s->mirror_count++;
	return &m->source;
}

void tcp_mirrors_abort(struct tcp_service *s)
{
	for (struct list *l = s->mirrors.next, *next; l != &s->mirrors; l = next) {
		struct tcp_mirror *m = SL_CONTAINER(l, struct tcp_mirror, link);

		next = l->next;
		if (m->closing)
			conn_close(m->closing, -ECANCELED);
		mirror_end(m, UPSTREAM_ABANDONED, -ECANCELED);
	}
}
