// SPDX-License-Identifier: Apache-2.0
#include "http/loopback.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/path.h"

#define LOOPBACK_ARENA_MAX (1024 * 1024)
#define LOOPBACK_WANT (256 * 1024)

static struct loopback *loopback_of(struct http_stream *s)
{
	return SL_CONTAINER(s, struct loopback, http);
}

/* The end comes from the top of the loop, never inside a handler's call. */
static void loopback_end(struct loopback *l, int result)
{
	if (l->source) {
		struct source *source = l->source;
		l->source = NULL;
		source_close(source, result);
	}
	l->result = result;
	io_defer(l->http.worker->loop, &l->task);
}

static void loopback_run_end(struct io_task *task)
{
	struct loopback *l = SL_CONTAINER(task, struct loopback, task);

	if (l->done)
		return;
	l->http.body_bytes_out = l->body_len;
	http_stream_finish(&l->http, l->result);
	if (l->request_body)
		source_close(l->request_body, l->result);
	l->request_body = NULL;
	l->done = true;
}

static int loopback_room(struct loopback *l, size_t n)
{
	if (l->body_len + n > LOOPBACK_BODY_MAX)
		return -EMSGSIZE;
	if (l->body_len + n <= l->body_cap)
		return 0;
	size_t cap = SL_MAX(l->body_cap * 2, l->body_len + n);
	uint8_t *body = realloc(l->body, cap);
	if (!body)
		return -ENOMEM;
	l->body = body;
	l->body_cap = cap;
	return 0;
}

static int loopback_take(struct loopback *l, const struct seg *s)
{
	int err = loopback_room(l, s->len);

	if (err)
		return err;
	l->segs[s->kind]++;
	if (s->kind == SEG_MEM) {
		memcpy(l->body + l->body_len, s->u.mem, s->len);
	} else {
		ssize_t n = pread(s->u.file.fd, l->body + l->body_len, s->len, s->u.file.off);
		if (n != (ssize_t)s->len)
			return n < 0 ? -errno : -ENODATA;
	}
	l->body_len += s->len;
	return 0;
}

/* 0 to go on; 1: waits; else the end was called. */
static int loopback_step(struct loopback *l)
{
	struct seg s;
	uint64_t left = SL_MIN(l->promised, l->pull_max) - l->body_len;

	if (l->body_len == l->promised) {
		loopback_end(l, 0);
		return 1;
	}
	if (!left)
		return 1;
	switch (source_pull(l->source, SL_MIN(left, LOOPBACK_WANT), l->kinds, &s)) {
	case PULL_DATA: {
		assert(s.kind == SEG_MEM || s.kind & l->kinds);
		assert(s.len && s.len <= left);
		int err = loopback_take(l, &s);
		seg_release(&s);
		if (err)
			loopback_end(l, err);
		return err;
	}
	case PULL_WAIT:
		return 1;
	case PULL_END:
		loopback_end(l, l->promised == UINT64_MAX ? 0 : -ENODATA);
		return 1;
	case PULL_FAIL:
		break;
	}
	loopback_end(l, l->source->error ? l->source->error : -EIO);
	return 1;
}

void loopback_pull(struct loopback *l)
{
	while (l->source && loopback_step(l) == 0)
		;
}

static void loopback_woken(struct source *source, void *consumer)
{
	(void)source;
	loopback_pull(consumer);
}

static int loopback_copy_fields(struct loopback *l, const struct http_field *v, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct str name = arena_dup(&l->arena, v[i].id ? http_name_h1(v[i].id) : v[i].name);
		struct str value = arena_dup(&l->arena, v[i].value);
		int err = name.p && value.p
				? http_fields_add_named(&l->response.fields, &l->arena, name, value)
				: -ENOMEM;
		if (err)
			return err;
	}
	return 0;
}

static int loopback_respond(struct http_stream *s, const struct http_head *head,
			    struct source *body)
{
	struct loopback *l = loopback_of(s);
	bool has_body =
		s->request.method != HTTP_HEAD && head->status != 204 && head->status != 304;
	int err = 0;

	l->response.status = head->status;
	l->response.content_length = head->content_length;
	if (s->route && s->route->headers)
		err = loopback_copy_fields(l, s->route->headers->v, s->route->headers->count);
	if (!err && head->block)
		err = loopback_copy_fields(l, head->block->v, head->block->count);
	if (!err)
		err = loopback_copy_fields(l, head->fields.v, head->fields.count);
	l->head_done = true;
	if (err || !body || !has_body) {
		if (body)
			source_close(body, err);
		loopback_end(l, err);
		return err;
	}
	l->promised = head->content_length >= 0 ? (uint64_t)head->content_length : UINT64_MAX;
	l->source = body;
	body->wake = loopback_woken;
	body->consumer = l;
	loopback_pull(l);
	return 0;
}

static int loopback_inform(struct http_stream *s, const struct http_head *head)
{
	if (head->status < 100 || head->status > 199 || s->responded)
		return -EINVAL;
	loopback_of(s)->informed++;
	return 0;
}

static int loopback_upgrade(struct http_stream *s, const struct http_head *head,
			    http_upgraded *upgraded)
{
	(void)s;
	(void)head;
	(void)upgraded;
	return -EOPNOTSUPP; /* there is no connection to hand over */
}

static void loopback_reset(struct http_stream *s, enum http_error error)
{
	s->responded = true;
	loopback_end(loopback_of(s), error == HTTP_ERROR_CANCEL ? -ECANCELED : -EIO);
}

static int loopback_peer(struct http_stream *s, bool peer, struct net_addr *a)
{
	char why[128];

	(void)s;
	(void)peer;
	return net_addr_parse(STR("127.0.0.1:0"), a, why, sizeof(why));
}

static const struct http_wire_ops loopback_wire_ops = {
	.name = "loopback",
	.inform = loopback_inform,
	.respond = loopback_respond,
	.upgrade = loopback_upgrade,
	.reset = loopback_reset,
	.peer = loopback_peer,
};

static int loopback_fill(struct loopback *l, const struct loopback_request *r)
{
	struct http_head *head = &l->http.request;
	struct str target = str_from(r->target);
	ptrdiff_t query = str_find_byte(target, '?');

	head->method_text = str_from(r->method);
	head->method = http_method_find(head->method_text);
	head->scheme = STR("http");
	head->authority = str_from(r->authority);
	head->target = target;
	head->version = 11;
	head->content_length = r->body ? r->body_length : 0;
	if (query >= 0)
		head->query = str_skip(target, (size_t)query + 1);
	for (unsigned i = 0; i < r->field_count; i++) {
		const struct http_field *f = &r->fields[i];
		struct str name = f->id ? http_name_h1(f->id) : f->name;
		int err = http_fields_add_named(&head->fields, &l->arena, name, f->value);
		if (err)
			return err;
	}
	return http_path_normalise(query >= 0 ? str_head(target, (size_t)query) : target, &l->arena,
				   &head->path);
}

struct loopback *loopback_send(struct http_worker *w, unsigned listener,
			       const struct loopback_request *r)
{
	struct loopback *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	arena_init(&l->arena, LOOPBACK_ARENA_MAX);
	l->http = (struct http_stream){
		.wire = &loopback_wire_ops,
		.worker = w,
		.arena = &l->arena,
		.request_body = r->body,
		.began_ns = io_now_ns(w->loop),
	};
	l->request_body = r->body;
	l->kinds = l->http.caps = r->kinds ? r->kinds : SEG_MEM;
	l->promised = UINT64_MAX;
	l->pull_max = r->pull_max ? r->pull_max : UINT64_MAX;
	l->task.run = loopback_run_end;
	int err = loopback_fill(l, r);
	if (err)
		http_stream_refuse(&l->http, err == -EINVAL ? 400 : 503);
	else
		http_stream_dispatch(&l->http, listener);
	return l;
}

void loopback_cancel(struct loopback *l)
{
	const struct handler_ops *handler = l->http.handler;

	if (l->done)
		return;
	if (l->http.responded)
		loopback_end(l, -ECANCELED);
	else if (handler && handler->gone)
		handler->gone(&l->http);
}

void loopback_free(struct loopback *l)
{
	assert(l->done);
	io_undefer(l->http.worker->loop, &l->task);
	arena_free(&l->arena);
	free(l->body);
	free(l);
}
