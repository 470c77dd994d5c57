// SPDX-License-Identifier: Apache-2.0
/* Responses of the HTTP/1 wire: heads, framing, upgrade. */
#include <assert.h>
#include <errno.h>

#include "base/seg.h"
#include "base/slab.h"
#include "http/h1/conn.h"
#include "http/h1/send.h"

/* Room for what the wire itself adds to a head: Server, Date, framing, Connection, and the empty line. */
#define H1_OWN_FIELDS_BYTES 192
/* Nearly every head fits here; larger ones are printed again with more room. */
#define H1_HEAD_ROOM 1024
#define H1_HEAD_ROOM_MAX (64 * 1024)

/* Asked for once a connection, when a log or a handler wants it. */
static _Thread_local struct slab peer_slab = SLAB_INIT("peer", sizeof(struct net_addr), 256);

static uint8_t *put(uint8_t *p, struct str s)
{
	memcpy(p, s.p, s.len);
	return p + s.len;
}
#define PUT(p, literal) put(p, STR(literal))

static bool respond_has_body(const struct h1_stream *st, const struct http_head *head)
{
	return st->http.request.method != HTTP_HEAD && head->status != 204 && head->status != 304;
}

/* What is left of the request's body cannot, or need not, be read to find the next request. */
static bool respond_gives_up_body(const struct h1_stream *st, unsigned status)
{
	if (st->body_done)
		return false;
	/* After 413 some peers send on and some stop, and a wait for the rest could be long. */
	if (st->body.error || status == 413)
		return true;
	if (st->framing.expect_continue && !st->continued)
		return true;
	return st->framing.body == H1_BODY_LENGTH && st->body_left > H1_REST_MAX;
}

/* How the peer finds the end of the body; decides keep_alive and chunk_out. */
static void respond_frame(struct h1_stream *st, const struct http_head *head, bool has_body)
{
	struct h1_conn *h1 = st->h1;

	st->keep_alive =
		st->keep_alive && !h1->worker->draining && !respond_gives_up_body(st, head->status);
	if (!has_body || head->content_length >= 0)
		return;
	st->chunk_out = st->http.request.version >= 11;
	if (!st->chunk_out)
		st->keep_alive = false;
}

static uint8_t *respond_own_fields(struct h1_stream *st, const struct http_head *head, uint8_t *p)
{
	struct http_worker *w = st->http.worker;

	/* What a server behind us said of itself stands (RFC 9110 sections 6.6.1 and 10.2.4). */
	if (w->current->config->limits.server_name && !head->fields.first[HTTP_SERVER])
		p = PUT(p, "Server: sluice\r\n");
	if (!head->fields.first[HTTP_DATE]) {
		p = PUT(p, "Date: ");
		p = put(p, http_worker_date(w));
		p = PUT(p, "\r\n");
	}
	if (st->chunk_out) {
		p = PUT(p, "Transfer-Encoding: chunked\r\n");
	} else if (head->content_length >= 0 && head->status != 204 &&
		   (head->status != 304 || head->content_length > 0)) {
		p = PUT(p, "Content-Length: ");
		p += str_put_u64((char *)p, (uint64_t)head->content_length);
		p = PUT(p, "\r\n");
	}
	if (!st->keep_alive)
		p = PUT(p, "Connection: close\r\n");
	else if (st->http.request.version == 10)
		p = PUT(p, "Connection: keep-alive\r\n");
	return PUT(p, "\r\n");
}

/* The whole head into out; the length, or -ENOBUFS. */
static int respond_print(struct h1_stream *st, const struct http_head *head, uint8_t *out,
			 size_t cap)
{
	const struct http_block *extra = st->http.route ? st->http.route->headers : NULL;
	size_t tail = H1_OWN_FIELDS_BYTES + (extra ? extra->h1.len : 0);

	if (cap < tail)
		return -ENOBUFS;
	int n = h1_print_head(head, out, cap - tail);
	if (n < 0)
		return n;
	uint8_t *p = out + n;
	if (extra)
		p = put(p, extra->h1);
	p = respond_own_fields(st, head, p);
	return (int)(p - out);
}

static int respond_send_large_head(struct h1_stream *st, const struct http_head *head)
{
	for (size_t cap = 4 * H1_HEAD_ROOM; cap <= H1_HEAD_ROOM_MAX; cap *= 2) {
		uint8_t *p = arena_alloc(&st->arena, cap);
		if (!p)
			return -ENOMEM;
		int n = respond_print(st, head, p, cap);
		if (n >= 0)
			return conn_send(st->h1->conn, seg_mem(p, (size_t)n, NULL));
	}
	return -ENOBUFS;
}

static int respond_send_head(struct h1_stream *st, const struct http_head *head)
{
	uint8_t *p = conn_reserve(st->h1->conn, H1_HEAD_ROOM);

	if (!p)
		return -ENOMEM;
	int n = respond_print(st, head, p, H1_HEAD_ROOM);
	if (n == -ENOBUFS)
		return respond_send_large_head(st, head);
	if (n < 0)
		return n;
	conn_commit(st->h1->conn, (size_t)n);
	return st->h1->conn->error;
}

/* Everything of this response is with the conn. */
static void respond_complete(struct h1_stream *st)
{
	st->complete = true;
	st->end_mark = st->h1->conn->bytes_out + st->h1->conn->queued;
	h1_kick(st);
}

static void respond_pumped(struct pump *pump, int result)
{
	struct h1_stream *st = pump->owner;

	st->http.body_bytes_out = pump->bytes;
	if (!result && st->chunk_out)
		result = h1_send_last_chunk(st->h1->conn, st->response);
	source_close(st->response, result);
	st->response = NULL;
	/* Only the end of the connection tells the end of this body: a reset must tell the cut. */
	bool bare = !st->chunk_out && pump->bytes_max == PUMP_TO_END;
	if (result && (bare || st->h1->conn->error)) {
		h1_fail(st->h1, result);
		return;
	}
	/* Otherwise its framing shows the cut, and the responses before it still arrive. */
	if (result)
		st->keep_alive = false;
	st->why = result;
	respond_complete(st);
}

static void respond_start_body(struct h1_stream *st, const struct http_head *head,
			       struct source *body)
{
	st->response = body;
	st->pump = (struct pump){
		.source = body,
		.conn = st->h1->conn,
		.bytes_max =
			head->content_length >= 0 ? (uint64_t)head->content_length : PUMP_TO_END,
		.frame = st->chunk_out ? h1_send_chunk : NULL,
		.done = respond_pumped,
		.owner = st,
	};
	pump_start(&st->pump);
}

/* -errno when no answer can be given any more. */
static int respond_refused(const struct h1_stream *st)
{
	return st->h1->state == H1_OPEN && !st->h1->conn->error ? 0 : -EPIPE;
}

static int h1_respond(struct http_stream *s, const struct http_head *head, struct source *body)
{
	struct h1_stream *st = h1_stream_of(s);
	struct h1_conn *h1 = st->h1;
	int err = respond_refused(st);
	bool has_body = respond_has_body(st, head);

	if (!err) {
		/* Without a source there is nothing to come: the length is known. */
		struct http_head known = *head;
		if (!body && has_body)
			known.content_length = 0;
		respond_frame(st, &known, has_body);
		err = respond_send_head(st, &known);
	}
	if (err) {
		if (body)
			source_close(body, err);
		h1_fail(h1, err);
		h1_kick(st);
		return err;
	}
	h1_set_state(h1, H1_BODY);
	if (body && has_body) {
		respond_start_body(st, head, body);
		return 0;
	}
	if (body)
		source_close(body, 0);
	respond_complete(st);
	return 0;
}

static int h1_inform(struct http_stream *s, const struct http_head *head)
{
	struct h1_stream *st = h1_stream_of(s);
	struct conn *conn = st->h1->conn;

	if (head->status < 100 || head->status > 199 || head->status == 101 || s->responded)
		return -EINVAL;
	if (s->request.version < 11)
		return 0;
	if (respond_refused(st))
		return -EPIPE;
	uint8_t *p = conn_reserve(conn, CONN_RESERVE_MAX);
	if (!p)
		return -ENOMEM;
	int n = h1_print_head(head, p, CONN_RESERVE_MAX - 2);
	if (n < 0)
		return n;
	PUT(p + n, "\r\n");
	conn_commit(conn, (size_t)n + 2);
	return conn->error;
}

static int h1_upgrade(struct http_stream *s, const struct http_head *head, http_upgraded *upgraded)
{
	struct h1_stream *st = h1_stream_of(s);

	if (s->responded || head->status != 101 || !st->framing.upgrade || !st->body_done)
		return -EINVAL;
	int err = respond_refused(st);
	if (err)
		return err;
	uint8_t *p = conn_reserve(st->h1->conn, CONN_RESERVE_MAX);
	if (!p)
		return -ENOMEM;
	int n = h1_print_head(head, p, CONN_RESERVE_MAX - 32);
	if (n < 0)
		return n;
	uint8_t *end = PUT(p + n, "Connection: Upgrade\r\n\r\n");
	conn_commit(st->h1->conn, (size_t)(end - p));
	s->responded = true;
	s->status = 101;
	st->upgraded = upgraded;
	h1_set_state(st->h1, H1_UPGRADED);
	h1_kick(st);
	return 0;
}

static void h1_reset(struct http_stream *s, enum http_error error)
{
	struct h1_stream *st = h1_stream_of(s);
	static const int why[] = {
		[HTTP_ERROR_INTERNAL] = -EIO,
		[HTTP_ERROR_CANCEL] = -ECANCELED,
		[HTTP_ERROR_TRUNCATED] = -ENODATA,
	};

	s->responded = true;
	h1_fail(st->h1, why[error]);
	h1_kick(st);
}

void h1_peer_keep(struct h1_conn *h1)
{
	struct net_addr *a = slab_alloc(&peer_slab);

	if (a && conn_name(h1->conn, true, a)) {
		slab_free(&peer_slab, a);
		a = NULL;
	}
	h1->peer = a;
}

static int h1_peer(struct http_stream *s, bool peer, struct net_addr *a)
{
	struct h1_conn *h1 = h1_stream_of(s)->h1;

	if (peer && h1->peer) {
		*a = *h1->peer;
		return 0;
	}
	if (!h1->conn)
		return -ENOTCONN;
	if (!peer)
		return conn_name(h1->conn, false, a);
	h1_peer_keep(h1);
	if (!h1->peer)
		return conn_name(h1->conn, true, a);
	*a = *h1->peer;
	return 0;
}

void h1_peer_free(struct h1_conn *h1)
{
	slab_free(&peer_slab, h1->peer);
	h1->peer = NULL;
}

const struct http_wire_ops h1_wire_ops = {
	.name = "http/1.1",
	.inform = h1_inform,
	.respond = h1_respond,
	.upgrade = h1_upgrade,
	.reset = h1_reset,
	.peer = h1_peer,
};
