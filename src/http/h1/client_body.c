// SPDX-License-Identifier: Apache-2.0
/* The body of a response as a source. */
#include <errno.h>

#include "http/h1/link.h"

/* The last use of what was received. */
static void exchange_release(struct h1_exchange *x)
{
	seg_owner_unref(x->head_owner);
	x->head_owner = NULL;
}

void h1_exchange_over(struct h1_exchange *x, int why)
{
	x->link = NULL;
	x->call = NULL;
	if (why)
		x->body.error = why;
	if (!x->given || x->closed)
		exchange_release(x);
}

static void exchange_wake_task(struct io_task *task)
{
	h1_exchange_wake(SL_CONTAINER(task, struct h1_exchange, task));
}

void h1_exchange_drop(struct h1_exchange *x)
{
	if (x->given && !x->closed && !x->ended) {
		x->body.error = x->body.error ? x->body.error : -ECANCELED;
		x->task.run = exchange_wake_task;
		if (x->waiting)
			io_defer(x->loop, &x->task);
	}
	x->link = NULL;
	x->call = NULL;
	exchange_release(x);
}

void h1_exchange_wake(struct h1_exchange *x)
{
	if (!x->waiting)
		return;
	x->waiting = false;
	source_wake(&x->body);
}

static enum pull body_wait(struct h1_exchange *x)
{
	x->waiting = true;
	h1_link_touch(x->link);
	return PULL_WAIT;
}

static enum pull body_fail(struct h1_exchange *x, int why)
{
	x->body.error = why;
	h1_link_fail(x->link, why);
	return PULL_FAIL;
}

static enum pull body_end(struct h1_exchange *x)
{
	x->ended = true;
	h1_link_finish(x->link);
	return PULL_END;
}

/* At most n bytes, from what was pulled or from the conn itself, in the form that the consumer takes. */
static enum pull body_take(struct h1_link *l, size_t n, unsigned kinds, struct seg *out)
{
	if (!l->in.len)
		return source_pull(&l->conn->source, n, kinds, out);
	n = SL_MIN(n, l->in.len);
	*out = seg_mem(l->in.mem, n, seg_owner_ref(l->in.owner));
	h1_input_advance(&l->in, n);
	return PULL_DATA;
}

static enum pull body_counted(struct h1_exchange *x, size_t want, unsigned kinds, struct seg *out)
{
	struct h1_link *l = x->link;

	switch (body_take(l, SL_MIN(want, x->left), kinds, out)) {
	case PULL_DATA:
		x->call->bytes_in += out->len;
		x->left -= out->len;
		/* A consumer that knows the length does not pull again. */
		if (!x->left)
			(void)body_end(x);
		return PULL_DATA;
	case PULL_WAIT:
		return body_wait(x);
	case PULL_END:
		return body_fail(x, -ENODATA);
	case PULL_FAIL:
		break;
	}
	return body_fail(x, l->conn->source.error);
}

/* Only an orderly end is the end. */
static enum pull body_until_close(struct h1_exchange *x, size_t want, unsigned kinds,
				  struct seg *out)
{
	struct h1_link *l = x->link;

	switch (body_take(l, want, kinds, out)) {
	case PULL_DATA:
		x->call->bytes_in += out->len;
		return PULL_DATA;
	case PULL_WAIT:
		return body_wait(x);
	case PULL_END:
		return body_end(x);
	case PULL_FAIL:
		break;
	}
	return body_fail(x, l->conn->source.error);
}

/* What the input holds of it. PULL_WAIT: nothing any more. */
static enum pull body_decode(struct h1_exchange *x, size_t want, struct seg *out)
{
	struct h1_link *l = x->link;
	const uint8_t *data;
	/* The decoder gives a chunk's bytes up to the end of its input: a smaller want means less input. */
	size_t len = SL_MIN(want, l->in.len), data_len;

	switch (h1_chunked_next(&x->chunked, l->in.mem, &len, &data, &data_len)) {
	case H1_CHUNK_MORE:
		h1_input_advance(&l->in, len);
		return PULL_WAIT;
	case H1_CHUNK_DATA:
		*out = seg_mem(data, data_len, seg_owner_ref(l->in.owner));
		x->call->bytes_in += data_len;
		h1_input_advance(&l->in, len);
		return PULL_DATA;
	case H1_CHUNK_END:
		h1_input_advance(&l->in, len);
		return body_end(x);
	case H1_CHUNK_BAD:
		break;
	}
	x->call->refused = x->chunked.why;
	return body_fail(x, -EBADMSG);
}

static enum pull body_chunked(struct h1_exchange *x, size_t want, struct seg *out)
{
	for (;;) {
		switch (h1_input_fill(&x->link->in, x->link->conn)) {
		case PULL_DATA:
			break;
		case PULL_WAIT:
			return body_wait(x);
		case PULL_END:
			return body_fail(x, -ENODATA);
		case PULL_FAIL:
			return body_fail(x, x->link->conn->source.error);
		}
		enum pull r = body_decode(x, want, out);
		if (r != PULL_WAIT)
			return r;
	}
}

static enum pull body_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct h1_exchange *x = SL_CONTAINER(source, struct h1_exchange, body);

	if (source->error)
		return PULL_FAIL;
	if (x->ended)
		return PULL_END;
	kinds &= SEG_MEM | SEG_PIPE;
	switch (x->framing.body) {
	case H1_BODY_LENGTH:
		return body_counted(x, want, kinds, out);
	case H1_BODY_CHUNKED:
		return body_chunked(x, want, out);
	default:
		return body_until_close(x, want, kinds, out);
	}
}

static void body_close(struct source *source, int why)
{
	struct h1_exchange *x = SL_CONTAINER(source, struct h1_exchange, body);

	(void)why;
	x->closed = true;
	x->waiting = false;
	source->wake = NULL;
	io_undefer(x->loop, &x->task);
	if (x->link)
		h1_link_fail(x->link, -ECANCELED);
	else
		exchange_release(x);
}

static const struct http_fields *body_trailers(struct source *source)
{
	return SL_CONTAINER(source, struct h1_exchange, body)->chunked.trailers;
}

static const struct source_ops body_ops = {
	.pull = body_pull,
	.close = body_close,
	.trailers = body_trailers,
};

void h1_exchange_body(struct h1_exchange *x)
{
	x->body.ops = &body_ops;
	x->given = true;
	if (x->framing.body == H1_BODY_LENGTH)
		x->left = (uint64_t)x->call->response.content_length;
	x->chunked.arena = x->call->arena;
	x->call->body = &x->body;
}
