// SPDX-License-Identifier: Apache-2.0
#include "http/stream.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"
#include "http/filter.h"
#include "http/forwarded.h"
#include "http/server.h"

/* "500 " and the longest status text, with room. */
#define STATUS_LINE_MAX 64
/* What is read away of a body at a time. */
#define STREAM_SKIP_WANT 65536

int http_client(struct http_stream *s, struct net_addr *a)
{
	if (!s->client)
		return http_peer(s, a);
	*a = *s->client;
	return 0;
}

void http_stream_add_filter(struct http_stream *s, struct http_filter *filter)
{
	struct http_filter **at = &s->filters;

	while (*at)
		at = &(*at)->next;
	filter->next = NULL;
	*at = filter;
}

static int stream_respond_filtered(struct http_stream *s, const struct http_head *head,
				   struct source *body)
{
	struct http_head copy = *head;

	/* What is added must not land behind the caller's fields, in memory that is not ours. */
	copy.fields.cap = copy.fields.count;
	for (struct http_filter *f = s->filters; f; f = f->next)
		if (f->ops->respond)
			(void)f->ops->respond(f, s, &copy, &body);
	return s->wire->respond(s, &copy, body);
}

int http_respond(struct http_stream *s, const struct http_head *head, struct source *body)
{
	if (s->responded) {
		if (body)
			source_close(body, -EALREADY);
		return -EALREADY;
	}
	assert(head->status >= 200 && head->status < 600);
	s->responded = true;
	s->status = head->status;
	if (SL_UNLIKELY(s->filters != NULL))
		return stream_respond_filtered(s, head, body);
	return s->wire->respond(s, head, body);
}

static int stream_respond_page(struct http_stream *s, struct http_head *head, struct str type,
			       struct str body)
{
	struct source_seg *place = arena_alloc(s->arena, sizeof(*place));

	if (!place || http_fields_add(&head->fields, s->arena, HTTP_CONTENT_TYPE, type))
		return -ENOMEM;
	head->content_length = (int64_t)body.len;
	return http_respond(
		s, head, body.len ? source_seg_init(place, seg_mem(body.p, body.len, NULL)) : NULL);
}

int http_respond_text(struct http_stream *s, unsigned status, struct str type, struct str body)
{
	struct http_head head = {.status = (uint16_t)status};
	struct str copy = arena_dup(s->arena, body);

	if (body.len && !copy.p)
		return -ENOMEM;
	return stream_respond_page(s, &head, type, copy);
}

static const struct http_error_page *stream_error_page(const struct http_stream *s, unsigned status)
{
	for (unsigned i = 0; s->route && i < s->route->error_page_count; i++)
		if (s->route->error_pages[i].status == status)
			return &s->route->error_pages[i];
	return NULL;
}

/* Put together by hand: a flood of refusals should cost no more than what it asks for. */
static struct str stream_default_page(struct http_stream *s, unsigned status)
{
	static const struct str before = STR(
		"<!doctype html><html lang=en><meta charset=utf-8>"
		"<meta name=viewport content=\"width=device-width\"><style>:root{color-scheme:light dark}"
		"body{font:1.1rem system-ui;margin:20vh auto;max-width:30rem;padding:0 1rem}</style><title>");
	static const struct str between = STR("</title><h1>"), after = STR("</h1></html>\n");
	char digits[20], line[STATUS_LINE_MAX];
	struct str text = http_status_text(status);
	unsigned n = str_put_u64(digits, status);
	char *page = arena_alloc(s->arena, before.len + between.len + after.len + 2 * sizeof(line));

	if (!page)
		return STR_NONE;
	memcpy(line, digits, n);
	line[n++] = ' ';
	memcpy(line + n, text.p, text.len);
	n += (unsigned)text.len;
	const struct str parts[] = {before, {line, n}, between, {line, n}, after};
	char *p = page;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(parts); i++) {
		memcpy(p, parts[i].p, parts[i].len);
		p += parts[i].len;
	}
	return (struct str){page, (size_t)(p - page)};
}

int http_respond_error_with(struct http_stream *s, unsigned status, const struct http_field *fields,
			    unsigned count)
{
	struct http_head head = {.status = (uint16_t)status};
	const struct http_error_page *page = stream_error_page(s, status);

	for (unsigned i = 0; i < count; i++) {
		int err = fields[i].id ? http_fields_add(&head.fields, s->arena, fields[i].id,
							 fields[i].value)
				       : http_fields_add_named(&head.fields, s->arena,
							       fields[i].name, fields[i].value);
		if (err)
			return err;
	}
	if (page)
		return stream_respond_page(s, &head, page->type, page->body);
	struct str body = stream_default_page(s, status);
	if (!body.p)
		return -ENOMEM;
	return stream_respond_page(s, &head, STR("text/html; charset=utf-8"), body);
}

int http_respond_error(struct http_stream *s, unsigned status)
{
	return http_respond_error_with(s, status, NULL, 0);
}

/* "GET, HEAD, OPTIONS" from a mask. */
static struct str stream_allow(struct http_stream *s, uint32_t allow)
{
	static const struct str names[] = {
		[HTTP_GET] = STR("GET"),       [HTTP_HEAD] = STR("HEAD"),
		[HTTP_POST] = STR("POST"),     [HTTP_PUT] = STR("PUT"),
		[HTTP_DELETE] = STR("DELETE"), [HTTP_OPTIONS] = STR("OPTIONS"),
		[HTTP_PATCH] = STR("PATCH"),   [HTTP_CONNECT] = STR("CONNECT"),
		[HTTP_TRACE] = STR("TRACE"),
	};
	char *text = arena_alloc(s->arena, 96);
	size_t n = 0;

	if (!text)
		return STR_NONE;
	for (unsigned m = HTTP_GET; m < HTTP_METHOD_COUNT; m++) {
		if (!(allow & 1u << m))
			continue;
		if (n) {
			memcpy(text + n, ", ", 2);
			n += 2;
		}
		memcpy(text + n, names[m].p, names[m].len);
		n += names[m].len;
	}
	return (struct str){text, n};
}

static int stream_respond_allow(struct http_stream *s, uint32_t allow, unsigned status)
{
	struct http_field field = {.id = HTTP_ALLOW,
				   .value = stream_allow(s, allow | 1u << HTTP_OPTIONS)};
	struct http_head head = {.status = (uint16_t)status};

	if (!field.value.p)
		return -ENOMEM;
	if (status != 204)
		return http_respond_error_with(s, status, &field, 1);
	int err = http_fields_add(&head.fields, s->arena, HTTP_ALLOW, field.value);
	return err ? err : http_respond(s, &head, NULL);
}

static unsigned stream_status_of(int err)
{
	return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EAGAIN ? 503 : 500;
}

void http_stream_refuse(struct http_stream *s, unsigned status)
{
	int err = status == 405 ? stream_respond_allow(s, 1u << HTTP_GET | 1u << HTTP_HEAD, 405)
				: http_respond_error(s, status);

	if (err && !s->responded) {
		struct http_head head = {.status = (uint16_t)status};
		(void)http_respond(s, &head, NULL);
	}
}

static int stream_run_steps(struct http_stream *s)
{
	while (s->step < s->route->step_count) {
		const struct http_step *step = &s->route->steps[s->step++];
		int r = step->run(step->config, s);
		if (r)
			return r;
	}
	return 0;
}

static void stream_hand_over(struct http_stream *s)
{
	s->handler = s->route->handler;
	s->handler_state = s->generation->states[s->route->index];
	int err = s->handler->open(s->handler_state, s);
	if (err < 0 && !s->responded)
		http_stream_refuse(s, stream_status_of(err));
}

static unsigned stream_body_status_of(int err)
{
	if (err == -EMSGSIZE)
		return 413;
	return err == -ENOMEM ? 503 : 400;
}

static void stream_skip(struct http_stream *s)
{
	struct source *body = s->request_body;
	struct seg seg;

	for (;;) {
		switch (source_pull(body, STREAM_SKIP_WANT, SEG_MEM, &seg)) {
		case PULL_DATA:
			seg_release(&seg);
			continue;
		case PULL_WAIT:
			return;
		case PULL_END:
			body->wake = NULL;
			stream_hand_over(s);
			return;
		case PULL_FAIL:
			body->wake = NULL;
			http_stream_refuse(s, stream_body_status_of(body->error));
			return;
		}
	}
}

static void stream_skip_woken(struct source *body, void *consumer)
{
	(void)body;
	stream_skip(consumer);
}

static void stream_skip_gone(struct http_stream *s)
{
	http_reset(s, HTTP_ERROR_CANCEL);
}

/* Stands in for the handler until the body is read away. */
static const struct handler_ops stream_skipper = {.name = "skip", .gone = stream_skip_gone};

/* Who waits to be invited is not invited to send what will be refused. */
static bool stream_skips(const struct http_stream *s)
{
	const struct handler_ops *handler = s->route->handler;
	bool served = !handler->methods || handler->methods >> s->request.method & 1;

	return s->request_body && handler->skips_body &&
	       (served || !s->request.fields.first[HTTP_EXPECT]);
}

/* The steps that are left, and then the handler. 0 or -errno. */
static int stream_go_on(struct http_stream *s)
{
	int r = stream_run_steps(s);

	if (r)
		return r < 0 ? r : 0;
	if (!stream_skips(s)) {
		stream_hand_over(s);
		return 0;
	}
	s->handler = &stream_skipper;
	s->request_body->wake = stream_skip_woken;
	s->request_body->consumer = s;
	stream_skip(s);
	return 0;
}

static int stream_open(struct http_stream *s)
{
	struct http_route *route = s->route;

	if (s->request_body && s->request.content_length >= 0 &&
	    (uint64_t)s->request.content_length > route->body_max)
		return http_respond_error(s, 413);
	s->body_max = route->body_max;
	return stream_go_on(s);
}

void http_stream_resume(struct http_stream *s, int result)
{
	s->handler = NULL;
	if (!result)
		result = stream_go_on(s);
	if (result < 0 && !s->responded)
		http_stream_refuse(s, stream_status_of(result));
}

/* OPTIONS for a handler that serves other methods alone is answered for it. */
static bool stream_is_options(const struct http_stream *s)
{
	const struct handler_ops *handler = s->route->handler;

	return s->request.method == HTTP_OPTIONS && handler->methods &&
	       !(handler->methods >> HTTP_OPTIONS & 1);
}

static int stream_route(struct http_stream *s, unsigned listener)
{
	const struct http_config *config = s->generation->config;
	uint32_t allow = 0;

	s->body_max = config->limits.body_max;
	if (listener >= config->router_count || !config->routers[listener])
		return http_respond_error(s, 421);
	enum http_match match =
		http_router_match(config->routers[listener], &s->request, &s->route, &allow);
	bool options = s->request.method == HTTP_OPTIONS;
	if (options && str_eq(s->request.path, STR("*")))
		return stream_respond_allow(s, 1u << HTTP_GET | 1u << HTTP_HEAD, 204);
	switch (match) {
	case HTTP_MATCH:
		if (stream_is_options(s))
			return stream_respond_allow(
				s, s->route->handler->methods & (allow ? allow : ~0u), 204);
		return stream_open(s);
	case HTTP_MATCH_NONE:
		return http_respond_error(s, 404);
	case HTTP_MATCH_METHOD:
		return stream_respond_allow(s, allow, options ? 204 : 405);
	case HTTP_MATCH_HOST:
		break;
	}
	return http_respond_error(s, 421);
}

/* Rule 14. */
static int stream_set_client(struct http_stream *s)
{
	const struct http_config *config = s->generation->config;
	struct net_addr peer;

	if (!config->trusted_count || http_peer(s, &peer)) {
		http_forwarded_remove(&s->request.fields);
		return 0;
	}
	struct net_addr *client = arena_alloc(s->arena, sizeof(*client));
	if (!client)
		return -ENOMEM;
	*client =
		http_client_addr(&peer, config->trusted, config->trusted_count, &s->request.fields);
	s->client = client;
	return 0;
}

void http_stream_dispatch(struct http_stream *s, unsigned listener)
{
	s->generation = s->worker->current;
	s->generation->uses++;
	HTTP_COUNT(s->worker->counts.requests, 1);
	HTTP_COUNT(s->worker->counts.requests_active, 1);
	int err = stream_set_client(s);
	if (!err)
		err = stream_route(s, listener);
	if (err < 0 && !s->responded)
		http_stream_refuse(s, stream_status_of(err));
}

static void generation_release(struct http_worker *w, struct http_generation *g)
{
	if (--g->uses)
		return;
	for (struct http_generation **at = &w->old; *at; at = &(*at)->next)
		if (*at == g) {
			*at = g->next;
			break;
		}
	http_generation_free(g);
}

void http_stream_finish(struct http_stream *s, int why)
{
	struct http_worker *w = s->worker;

	if (s->status) {
		HTTP_COUNT(w->counts.status[s->status / 100], 1);
		hist_add(&w->request_ns, io_now_ns(w->loop) - s->began_ns);
	}
	if (why)
		HTTP_COUNT(w->counts.aborted, 1);
	HTTP_COUNT(w->counts.bytes_out, s->body_bytes_out);
	HTTP_COUNT(w->counts.bytes_in, s->body_bytes_in);
	if (w->log && s->status)
		w->log(w, s, why);
	for (struct http_filter *f = s->filters, *next; f; f = next) {
		next = f->next;
		if (f->ops->finish)
			f->ops->finish(f, s, why);
	}
	if (s->handler && s->handler->on_close)
		s->handler->on_close(s, why);
	if (!s->generation)
		return;
	HTTP_COUNT(w->counts.requests_active, (uint64_t)-1);
	generation_release(w, s->generation);
	s->generation = NULL;
}
