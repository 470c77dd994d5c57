// SPDX-License-Identifier: Apache-2.0
/* Answers: the server's, passed on; or our own when there is none. */
#include <errno.h>
#include <stdio.h>

#include "handler/proxy/request.h"
#include "handler/proxy/retry.h"
#include "handler/proxy/state.h"
#include "handler/proxy/upgrade.h"
#include "http/hop.h"
#include "http/server.h"

/* When nothing says how long a group cannot serve. */
#define RETRY_AFTER_S 1

/* 103 and its like (RFC 9110 section 15.2). One that cannot be passed on is left out: it is only a hint. */
void proxy_inform(struct http_call *call, const struct http_head *head)
{
	struct proxy_request *p = call->owner;
	struct http_head copy = *head;
	struct arena *arena = p->stream->arena;
	unsigned count = head->fields.count;

	if (p->state != PROXY_CALLING)
		return;
	copy.fields.v = arena_alloc(arena, (count + 1) * sizeof(*copy.fields.v));
	if (!copy.fields.v)
		return;
	if (count)
		memcpy(copy.fields.v, head->fields.v, count * sizeof(*copy.fields.v));
	copy.fields.cap = (uint16_t)(count + 1);
	if (!http_hop_remove(&copy.fields, NULL))
		(void)http_inform(p->stream, &copy);
}

static int respond_add_sticky(struct proxy_request *p, struct http_fields *fields, struct str name)
{
	struct str value = upstream_server_sticky(p->turn->server), cookie;

	if (str_eq(value, p->turn->sticky))
		return 0;
	cookie = arena_printf(p->stream->arena, "%.*s=%.*s; Path=/; HttpOnly; SameSite=Lax",
			      STR_ARG(name), STR_ARG(value));
	return cookie.p ? http_fields_add(fields, p->stream->arena, HTTP_SET_COOKIE, cookie)
			: -ENOMEM;
}

/* What is changed of the fields on the way back. */
static int respond_fields(struct proxy_request *p)
{
	const struct proxy_config *config = p->proxy->config;
	struct arena *arena = p->stream->arena;
	struct http_head *head = &p->call.response;
	struct str sticky = upstream_view_config(p->view)->sticky_cookie;
	int err = http_hop_remove(&head->fields, NULL);

	if (!err && (config->response.set_count || config->response.remove_count)) {
		const struct proxy_vars vars = {.stream = p->stream,
						.server = upstream_server_name(p->turn->server)};
		err = proxy_fields_apply(&head->fields, &config->response, &vars, arena);
	}
	if (!err && !config->no_via)
		err = proxy_via_add(&head->fields, &head->fields, head->version, arena);
	if (!err && sticky.len)
		err = respond_add_sticky(p, &head->fields, sticky);
	return err;
}

static void respond_note(struct proxy_request *p)
{
	const struct http_stream *s = p->stream;

	if (!s->worker->log)
		return;
	p->note.server = arena_dup(s->arena, upstream_server_name(p->turn->server));
	if (p->call.first_byte_ns > s->began_ns)
		p->note.first_byte_ns = p->call.first_byte_ns - s->began_ns;
}

/* A head that must not be passed on: no answer at all. */
static void respond_refuse(struct proxy_request *p, int err, const char *why)
{
	proxy_fail_at(p, HTTP_CALL_HEAD, err, why);
	proxy_cancel_call(p);
	proxy_failed(p);
}

static void respond_upgrade(struct proxy_request *p)
{
	int err = p->tunnel ? proxy_tunnel_open(p) : -EBADMSG;

	if (!err)
		return;
	proxy_fail_at(p, HTTP_CALL_HEAD, err, NULL);
	proxy_failed(p);
}

void proxy_respond(struct http_call *call)
{
	struct proxy_request *p = call->owner;
	unsigned status = call->response.status;

	if (SL_UNLIKELY(status < 200)) {
		respond_upgrade(p);
		return;
	}
	if (SL_UNLIKELY(status >= 500 && proxy_retry_status(p)))
		return;
	if (SL_UNLIKELY(status >= 600)) {
		respond_refuse(p, -EBADMSG, "a status above 599");
		return;
	}
	int err = respond_fields(p);
	if (SL_UNLIKELY(err)) {
		respond_refuse(p, err,
			       err == -EBADMSG ? "Connection names a field that is not its own"
					       : NULL);
		return;
	}
	respond_note(p);
	proxy_set_state(p, PROXY_ANSWERING);
	(void)http_respond(p->stream, &call->response, call->body);
}

/* Our own answers. */

void proxy_log(struct proxy_request *p, unsigned status)
{
	const struct proxy_failure *f = &p->failure;
	const struct upstream_config *config = upstream_view_config(p->view);
	uint64_t now = io_now_ns(p->proxy->worker->loop), more;
	char answer[32];

	if (!log_rate_allow(&p->proxy->log, now, &more))
		return;
	if (status)
		snprintf(answer, sizeof(answer), "answered %u", status);
	else
		snprintf(answer, sizeof(answer), "cut the answer short");
	log_warn("proxy %.*s: %.*s%s%s while %s (try %u); %s to %.*s %.*s; %llu more like this",
		 STR_ARG(config->name), STR_ARG(f->server), f->server.len ? ": " : "",
		 proxy_failure_text(f), retry_stage_name(f->stage), (unsigned)p->note.tries, answer,
		 STR_ARG(p->stream->request.method_text), STR_ARG(p->stream->request.target),
		 (unsigned long long)more);
}

/* Seconds, for 503 without a server to ask. */
static uint32_t answer_retry_after(const struct proxy_request *p)
{
	uint32_t open_ms = upstream_view_config(p->view)->group_breaker.open_ms;

	if (p->failure.why == -EHOSTDOWN && open_ms)
		return open_ms / 1000 + (open_ms % 1000 != 0);
	return RETRY_AFTER_S;
}

static int answer_plain(struct proxy_request *p, unsigned status)
{
	struct http_stream *s = p->stream;
	struct http_field field = {.id = HTTP_RETRY_AFTER};
	bool later = status == 503 && p->failure.stage == HTTP_CALL_IDLE;

	if (!later)
		return http_respond_error(s, status);
	field.value = arena_printf(s->arena, "%u", answer_retry_after(p));
	return field.value.p ? http_respond_error_with(s, status, &field, 1) : -ENOMEM;
}

static int answer_fallback(struct proxy_request *p, unsigned status)
{
	struct respond_config *config = arena_alloc(p->stream->arena, sizeof(*config));

	if (!config)
		return -ENOMEM;
	*config = p->proxy->config->fallback_respond;
	if (!config->status)
		config->status = (uint16_t)status;
	upstream_count(p->view, UPSTREAM_EVENT_FALLBACK);
	return respond_handler.open(config, p->stream);
}

/* A status that was to be tried again, but no other server was left, is answered as what it was. */
static unsigned answer_status(const struct proxy_failure *f)
{
	return f->status ? f->status : retry_status(f->stage, f->why);
}

void proxy_answer(struct proxy_request *p)
{
	const struct proxy_config *config = p->proxy->config;
	unsigned status = answer_status(&p->failure);
	bool fixed = config->fallback == PROXY_FALLBACK_FILE ||
		     config->fallback == PROXY_FALLBACK_RESPOND;

	io_timer_stop(&p->total);
	proxy_set_state(p, PROXY_OVER);
	if (p->stream->responded)
		return;
	p->note.server = p->failure.server;
	proxy_log(p, fixed && config->fallback_respond.status ? config->fallback_respond.status
							      : status);
	int err = fixed ? answer_fallback(p, status) : answer_plain(p, status);
	if (err && !p->stream->responded)
		http_stream_refuse(p->stream, 503);
}
