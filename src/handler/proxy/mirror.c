// SPDX-License-Identifier: Apache-2.0
#include "handler/proxy/mirror.h"

#include <assert.h>
#include <errno.h>

#include "base/seg.h"
#include "base/slab.h"
#include "handler/proxy/request.h"
#include "handler/proxy/retry.h"
#include "http/server.h"

/* Head, fields and the answer's head. */
#define MIRROR_ARENA_MAX (128 * 1024)
#define MIRROR_WANT 65536

struct mirror {
	struct list link; /* proxy->mirrors */
	struct proxy *proxy;
	struct arena arena;
	struct http_head head;
	struct upstream_turn turn;
	struct http_call call;
	struct source source; /* what was copied of the body, for the call */
	struct seg_chain body;
	struct buf *tail; /* the last of `body`; a reference */
	uint64_t bytes, answer;
	bool taken, calling, reading;
};

/* Gives the body on to the call, and a copy of it to the mirror. */
struct proxy_tee {
	struct source source;
	struct source *from;
	struct mirror *mirror; /* NULL: whole, or dropped */
	uint64_t bytes_max;
	int64_t length; /* -1: to the end */
};

/* Of this worker. */
static _Thread_local struct slab mirror_slab = SLAB_INIT("proxy mirror", sizeof(struct mirror), 64);
static _Thread_local uint64_t mirror_bytes;
static _Thread_local unsigned mirror_count;

static void mirror_free(struct mirror *m)
{
	list_del(&m->link);
	mirror_bytes -= m->bytes;
	mirror_count--;
	seg_chain_clear(&m->body);
	buf_unref(m->tail);
	arena_free(&m->arena);
	slab_free(&mirror_slab, m);
}

static void mirror_drop(struct mirror *m)
{
	upstream_count(m->proxy->view, UPSTREAM_EVENT_MIRROR_DROPPED);
	mirror_free(m);
}

/* The copied body as a source: all of it is there. */

static enum pull mirror_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct mirror *m = SL_CONTAINER(source, struct mirror, source);
	struct seg_node *first = m->body.head;

	(void)kinds;
	if (!first)
		return PULL_END;
	if (first->seg.len <= want) {
		seg_chain_take(&m->body, out);
		return PULL_DATA;
	}
	*out = first->seg;
	out->len = want;
	seg_owner_ref(out->owner);
	seg_chain_consume(&m->body, want);
	return PULL_DATA;
}

static void mirror_close(struct source *source, int why)
{
	(void)why;
	source->wake = NULL;
}

static const struct source_ops mirror_source_ops = {.pull = mirror_pull, .close = mirror_close};

/* The call. */

static void mirror_give(struct mirror *m, enum upstream_outcome outcome)
{
	if (!m->taken)
		return;
	m->taken = false;
	upstream_give(&m->turn, outcome, 0);
}

static void mirror_over(struct mirror *m)
{
	if (!m->calling && !m->reading)
		mirror_free(m);
}

static void mirror_cut(struct mirror *m, enum upstream_outcome outcome)
{
	if (m->reading)
		source_close(m->call.body, -ECANCELED);
	if (m->calling)
		http_call_cancel(&m->call);
	m->reading = m->calling = false;
	mirror_give(m, outcome);
}

static void mirror_read(struct mirror *m)
{
	struct seg seg;

	for (;;) {
		switch (source_pull(m->call.body, MIRROR_WANT, SEG_MEM, &seg)) {
		case PULL_DATA:
			m->answer += seg.len;
			seg_release(&seg);
			if (m->answer <= PROXY_MIRROR_ANSWER_MAX)
				continue;
			mirror_cut(m, UPSTREAM_OK);
			mirror_free(m);
			return;
		case PULL_WAIT:
			return;
		case PULL_END:
		case PULL_FAIL:
			break;
		}
		m->reading = false;
		source_close(m->call.body, 0);
		mirror_over(m);
		return;
	}
}

static void mirror_woken(struct source *body, void *consumer)
{
	(void)body;
	mirror_read(consumer);
}

static void mirror_respond(struct http_call *call)
{
	struct mirror *m = call->owner;

	if (!call->body)
		return;
	m->reading = true;
	call->body->wake = mirror_woken;
	call->body->consumer = m;
	mirror_read(m);
}

static void mirror_done(struct http_call *call, int why)
{
	struct mirror *m = call->owner;
	bool bad = why || retry_status_text(call->response.status);

	m->calling = false;
	mirror_give(m, bad ? UPSTREAM_FAILED : UPSTREAM_OK);
	mirror_over(m);
}

static const struct http_call_ops mirror_call_ops = {.respond = mirror_respond,
						     .done = mirror_done};

static void mirror_fill_call(struct mirror *m, const struct upstream_config *config)
{
	m->call = (struct http_call){
		.ops = &mirror_call_ops,
		.owner = m,
		.arena = &m->arena,
		.request = &m->head,
		.request_body = m->bytes ? &m->source : NULL,
		.connect_timeout_ms = config->timeouts.connect_ms,
		.first_byte_timeout_ms = config->timeouts.first_byte_ms,
		.between_timeout_ms = config->timeouts.between_ms,
	};
}

/* The copy is whole. It never waits for a server: those who do are clients. */
static void mirror_send(struct mirror *m)
{
	struct proxy *proxy = m->proxy;
	const struct upstream_config *config = upstream_view_config(proxy->mirror);
	int r = upstream_take(proxy->mirror, &m->turn);

	if (r == -EINPROGRESS)
		upstream_leave(&m->turn);
	if (r) {
		mirror_drop(m);
		return;
	}
	m->taken = true;
	if (!m->head.authority.len)
		m->head.authority = arena_dup(&m->arena, upstream_server_name(m->turn.server));
	mirror_fill_call(m, config);
	struct http_link *link = upstream_link(&m->turn, false, false, NULL);
	if (!link) {
		mirror_give(m, UPSTREAM_ABANDONED);
		mirror_drop(m);
		return;
	}
	upstream_count(proxy->view, UPSTREAM_EVENT_MIRROR);
	m->calling = true;
	http_call_start(link, &m->call);
}

/* Nobody waits in the queue for long enough to be called. */
static void mirror_ready(struct upstream_turn *turn, int result)
{
	(void)turn;
	(void)result;
}

/* The copy. */

static bool copy_str(struct arena *arena, struct str *s)
{
	struct str copy = s->len ? arena_dup(arena, *s) : *s;

	if (s->len && !copy.p)
		return false;
	*s = copy;
	return true;
}

static bool mirror_copy_head(struct mirror *m, const struct proxy_request *p)
{
	const struct http_head *from = &p->out;
	struct str host = p->proxy->config->host;

	m->head = (struct http_head){
		.method = from->method,
		.method_text = from->method_text,
		.scheme = from->scheme,
		.authority = host.len ? host : p->stream->request.authority,
		.target = from->target,
		.version = from->version,
	};
	if (str_eq(host, STR("$server")))
		m->head.authority = STR_NONE;
	if (!copy_str(&m->arena, &m->head.method_text) || !copy_str(&m->arena, &m->head.scheme) ||
	    !copy_str(&m->arena, &m->head.authority) || !copy_str(&m->arena, &m->head.target))
		return false;
	for (unsigned i = 0; i < from->fields.count; i++) {
		const struct http_field *f = &from->fields.v[i];
		struct str name = f->name, value = f->value;

		/* Its body is there as a whole before it is sent. */
		if (f->id == HTTP_EXPECT || f->id == HTTP_TRAILER)
			continue;
		if (!copy_str(&m->arena, &name) || !copy_str(&m->arena, &value) ||
		    http_fields_add_named(&m->head.fields, &m->arena, name, value))
			return false;
	}
	return true;
}

/* False when it would be over a bound. */
static bool mirror_copy_body(struct mirror *m, const uint8_t *p, size_t len, uint64_t bytes_max)
{
	if (m->bytes + len > bytes_max || mirror_bytes + len > PROXY_MIRROR_BYTES_MAX)
		return false;
	m->bytes += len;
	mirror_bytes += len;
	while (len) {
		struct buf *b = m->tail;

		if (!b || b->end == BUF_CAPACITY) {
			buf_unref(b);
			b = m->tail = buf_alloc();
			if (!b)
				return false;
		}
		size_t n = SL_MIN(len, (size_t)(BUF_CAPACITY - b->end));
		memcpy(b->data + b->end, p, n);
		seg_owner_ref(&b->owner);
		if (seg_chain_append(&m->body, seg_mem(b->data + b->end, n, &b->owner))) {
			seg_owner_unref(&b->owner);
			return false;
		}
		b->end += (uint32_t)n;
		p += n;
		len -= n;
	}
	return true;
}

static struct mirror *mirror_new(struct proxy_request *p)
{
	struct mirror *m;

	if (mirror_count >= PROXY_MIRROR_REQUESTS_MAX || mirror_bytes >= PROXY_MIRROR_BYTES_MAX)
		return NULL;
	m = slab_zalloc(&mirror_slab);
	if (!m)
		return NULL;
	m->proxy = p->proxy;
	m->source.ops = &mirror_source_ops;
	m->turn.ready = mirror_ready;
	m->turn.owner = m;
	arena_init(&m->arena, MIRROR_ARENA_MAX);
	list_init(&m->link);
	list_add(&p->proxy->mirrors, &m->link);
	mirror_count++;
	if (mirror_copy_head(m, p))
		return m;
	mirror_free(m);
	return NULL;
}

/* The tee. */

static void tee_whole(struct proxy_tee *tee)
{
	struct mirror *m = tee->mirror;

	tee->mirror = NULL;
	m->head.content_length = (int64_t)m->bytes;
	mirror_send(m);
}

static void tee_take(struct proxy_tee *tee, const struct seg *seg)
{
	struct mirror *m = tee->mirror;

	if (!mirror_copy_body(m, seg->u.mem, seg->len, tee->bytes_max)) {
		tee->mirror = NULL;
		mirror_drop(m);
	} else if ((int64_t)m->bytes == tee->length) {
		/* Who knows the length does not ask for the end. */
		tee_whole(tee);
	}
}

static enum pull tee_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct proxy_tee *tee = SL_CONTAINER(source, struct proxy_tee, source);
	enum pull r = source_pull(tee->from, want, tee->mirror ? SEG_MEM : kinds, out);

	if (r == PULL_FAIL)
		source->error = tee->from->error;
	if (r == PULL_DATA && tee->mirror)
		tee_take(tee, out);
	else if (r == PULL_END && tee->mirror)
		tee_whole(tee);
	return r;
}

static void tee_woken(struct source *from, void *consumer)
{
	struct proxy_tee *tee = consumer;

	(void)from;
	if (tee->source.wake)
		source_wake(&tee->source);
}

static void tee_close(struct source *source, int why)
{
	(void)why;
	source->wake = NULL;
}

static const struct http_fields *tee_trailers(struct source *source)
{
	struct source *from = SL_CONTAINER(source, struct proxy_tee, source)->from;

	return from->ops->trailers ? from->ops->trailers(from) : NULL;
}

static const struct source_ops tee_ops = {
	.pull = tee_pull,
	.close = tee_close,
	.trailers = tee_trailers,
};

static bool mirror_wants(struct proxy *proxy)
{
	proxy->mirror_credit += proxy->config->mirror_permille;
	if (proxy->mirror_credit < 1000)
		return false;
	proxy->mirror_credit -= 1000;
	return true;
}

void proxy_mirror_begin(struct proxy_request *p)
{
	uint64_t bytes_max = p->proxy->config->mirror_body_max;
	struct proxy_tee *tee = NULL;
	struct mirror *m;

	/* What becomes of a connection cannot be copied. */
	if (p->tunnel || !mirror_wants(p->proxy))
		return;
	if (p->body)
		tee = arena_zalloc(p->stream->arena, sizeof(*tee));
	m = (p->body && !tee) || p->out.content_length > (int64_t)bytes_max ? NULL : mirror_new(p);
	if (!m) {
		upstream_count(p->view, UPSTREAM_EVENT_MIRROR_DROPPED);
		return;
	}
	if (!p->body) {
		mirror_send(m);
		return;
	}
	tee->source.ops = &tee_ops;
	tee->from = p->body;
	tee->mirror = m;
	tee->bytes_max = bytes_max;
	tee->length = p->out.content_length;
	tee->from->wake = tee_woken;
	tee->from->consumer = tee;
	p->tee = tee;
	p->body = &tee->source;
}

void proxy_mirror_finish(struct proxy_request *p)
{
	if (p->tee->mirror)
		mirror_drop(p->tee->mirror);
	p->tee->mirror = NULL;
}

void proxy_mirrors_stop(struct proxy *proxy)
{
	while (!list_empty(&proxy->mirrors)) {
		struct mirror *m = SL_CONTAINER(proxy->mirrors.next, struct mirror, link);

		mirror_cut(m, UPSTREAM_ABANDONED);
		mirror_free(m);
	}
}
