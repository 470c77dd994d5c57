// SPDX-License-Identifier: Apache-2.0
/* The body of a request as a source. */
#include <errno.h>

#include "http/h1/conn.h"

static void body_continue(struct h1_stream *st)
{
	static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";

	/* Within a response it would be taken for its body. */
	if (!st->framing.expect_continue || st->continued || st->http.responded)
		return;
	st->continued = true;
	/* A body that is already here needs no invitation. */
	if (st->h1->in.len)
		return;
	uint8_t *at = conn_reserve(st->h1->conn, sizeof(line) - 1);
	if (!at)
		return;
	memcpy(at, line, sizeof(line) - 1);
	conn_commit(st->h1->conn, sizeof(line) - 1);
}

static enum pull body_fail(struct h1_stream *st, int error)
{
	st->body.error = error;
	return PULL_FAIL;
}

/* The first n bytes of the input at `p` go out as a segment. */
static enum pull body_give(struct h1_stream *st, const uint8_t *p, size_t n, struct seg *out)
{
	*out = seg_mem(p, n, seg_owner_ref(st->h1->in.owner));
	st->http.body_bytes_in += n;
	return PULL_DATA;
}

static enum pull body_chunked(struct h1_stream *st, size_t want, struct seg *out)
{
	struct h1_conn *h1 = st->h1;
	const uint8_t *data;
	size_t len = h1->in.len, data_len;

	/* The decoder gives a chunk's bytes up to the end of its input: a smaller want means less input. */
	if (len > want)
		len = want;
	switch (h1_chunked_next(&st->chunked, h1->in.mem, &len, &data, &data_len)) {
	case H1_CHUNK_MORE:
		h1_in_advance(h1, len);
		return PULL_WAIT;
	case H1_CHUNK_DATA:
		if (st->http.body_bytes_in + data_len > st->http.body_max)
			return body_fail(st, -EMSGSIZE);
		body_give(st, data, data_len, out);
		h1_in_advance(h1, len);
		return PULL_DATA;
	case H1_CHUNK_END:
		h1_in_advance(h1, len);
		st->body_done = true;
		return PULL_END;
	case H1_CHUNK_BAD:
		break;
	}
	return body_fail(st, -EBADMSG);
}

static enum pull body_counted(struct h1_stream *st, size_t want, struct seg *out)
{
	size_t n = SL_MIN(SL_MIN(want, st->h1->in.len), st->body_left);

	if (st->http.body_bytes_in + n > st->http.body_max)
		return body_fail(st, -EMSGSIZE);
	body_give(st, st->h1->in.mem, n, out);
	h1_in_advance(st->h1, n);
	st->body_left -= n;
	st->body_done = !st->body_left;
	return PULL_DATA;
}

static enum pull body_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct h1_stream *st = SL_CONTAINER(source, struct h1_stream, body);

	(void)kinds;
	if (source->error)
		return PULL_FAIL;
	if (st->body_done)
		return PULL_END;
	if (!st->h1->conn || st->h1->state >= H1_CLOSING)
		return body_fail(st, -ECONNRESET);
	body_continue(st);
	for (;;) {
		enum pull r = h1_fill(st->h1);
		if (r == PULL_WAIT) {
			st->body_waiting = true;
			return r;
		}
		if (r != PULL_DATA)
			return body_fail(st, st->h1->conn->source.error ? st->h1->conn->source.error
									: -ECONNRESET);
		r = st->framing.body == H1_BODY_CHUNKED ? body_chunked(st, want, out)
							: body_counted(st, want, out);
		if (r != PULL_WAIT)
			return r;
	}
}

/* The wire reads away what is left; the source is part of the stream. */
static void body_close(struct source *source, int why)
{
	struct h1_stream *st = SL_CONTAINER(source, struct h1_stream, body);

	(void)why;
	source->wake = NULL;
	st->body_waiting = false;
}

static const struct http_fields *body_trailers(struct source *source)
{
	return SL_CONTAINER(source, struct h1_stream, body)->chunked.trailers;
}

static const struct source_ops body_ops = {
	.pull = body_pull,
	.close = body_close,
	.trailers = body_trailers,
};

void h1_body_init(struct h1_stream *st)
{
	st->body_done = st->framing.body == H1_BODY_NONE || (st->framing.body == H1_BODY_LENGTH &&
							     st->http.request.content_length == 0);
	if (st->body_done)
		return;
	st->body.ops = &body_ops;
	st->body_left =
		st->framing.body == H1_BODY_LENGTH ? (uint64_t)st->http.request.content_length : 0;
	st->chunked.arena = &st->arena;
	st->http.request_body = &st->body;
}

int h1_body_discard(struct h1_stream *st)
{
	struct seg s;

	/* Not invited: whether the body comes is the peer's choice, so its end cannot be found. */
	if (st->framing.expect_continue && !st->continued && !st->http.body_bytes_in)
		return -EPROTO;
	if (st->framing.body == H1_BODY_LENGTH && st->body_left > H1_REST_MAX)
		return -EMSGSIZE;
	st->http.body_max = SL_MIN(st->http.body_max, st->http.body_bytes_in + H1_REST_MAX);
	for (;;) {
		switch (body_pull(&st->body, H1_REST_MAX, SEG_MEM, &s)) {
		case PULL_DATA:
			seg_release(&s);
			continue;
		case PULL_WAIT:
			return 0;
		case PULL_END:
			return 1;
		case PULL_FAIL:
			return st->body.error;
		}
	}
}

bool h1_body_wake(struct h1_stream *st)
{
	if (!st->body_waiting)
		return false;
	st->body_waiting = false;
	if (st->body.wake)
		source_wake(&st->body);
	return true;
}
