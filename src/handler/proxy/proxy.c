// SPDX-License-Identifier: Apache-2.0
/* The life of a proxied request: from its route to its end. How it is tried is in try.c. */
#include "handler/proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "handler/proxy/mirror.h"
#include "handler/proxy/request.h"
#include "handler/proxy/state.h"
#include "handler/proxy/upgrade.h"
#include "handler/reply.h"
#include "http/server.h"

void proxy_set_state(struct proxy_request *p, enum proxy_state state)
{
	p->state = (uint8_t)state;
}

struct proxy *proxy_ref(struct proxy *proxy)
{
	proxy->refs++;
	return proxy;
}

void proxy_unref(struct proxy *proxy)
{
	if (--proxy->refs)
		return;
	if (proxy->view)
		upstream_view_put(proxy->view);
	if (proxy->fallback)
		upstream_view_put(proxy->fallback);
	if (proxy->mirror)
		upstream_view_put(proxy->mirror);
	free(proxy);
}

/* No secret hangs on it: jitter and the ids of traces. */
static uint64_t proxy_seed(const struct proxy *proxy, uint64_t salt)
{
	const uint64_t of[] = {(uintptr_t)proxy, clock_realtime_ns(), salt};

	return hash_bytes(of, sizeof(of)) | 1;
}

static bool proxy_view(struct upstream_view **view, struct upstream_group *group,
		       struct io_loop *loop)
{
	if (!group)
		return true;
	*view = upstream_view_get(group, loop);
	return *view != NULL;
}

static void *proxy_attach(const void *config, struct http_worker *worker)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	struct io_loop *loop = worker->loop;

	if (!proxy)
		return NULL;
	proxy->config = config;
	proxy->worker = worker;
	proxy->refs = 1;
	proxy->random = proxy_seed(proxy, 0);
	proxy->trace.state[0] = proxy_seed(proxy, 1);
	proxy->trace.state[1] = proxy_seed(proxy, 2);
	list_init(&proxy->mirrors);
	assert(proxy->config->group);
	if (proxy_view(&proxy->view, proxy->config->group, loop) &&
	    proxy_view(&proxy->fallback, proxy->config->fallback_group, loop) &&
	    proxy_view(&proxy->mirror, proxy->config->mirror_group, loop))
		return proxy;
	proxy_unref(proxy);
	return NULL;
}

static void proxy_detach(void *state)
{
	struct proxy *proxy = state;

	proxy_mirrors_stop(proxy);
	proxy_unref(proxy);
}

void proxy_cancel_call(struct proxy_request *p)
{
	struct source *body = p->call.body;

	if (!p->calling)
		return;
	p->calling = false;
	/* What was passed on is the wire's to close, and it has. */
	if (body && p->state != PROXY_ANSWERING)
		source_close(body, -ECANCELED);
	p->call.body = NULL;
	http_call_cancel(&p->call);
	if (p->body)
		p->body->wake = NULL;
}

void proxy_give(struct proxy_request *p, enum upstream_outcome outcome)
{
	uint64_t first = p->call.first_byte_ns, began = p->call.began_ns;

	if (!p->taken)
		return;
	p->taken = false;
	upstream_give(p->turn, outcome, first > began ? first - began : 0);
}

/* Everything that is under way ends, whatever the state; nothing calls back after it. */
static void proxy_stop(struct proxy_request *p)
{
	io_timer_stop(&p->total);
	io_timer_stop(&p->pause);
	if (p->state == PROXY_QUEUED)
		upstream_leave(p->turn);
	proxy_cancel_call(p);
	proxy_give(p, UPSTREAM_ABANDONED);
	proxy_set_state(p, PROXY_OVER);
}

static void proxy_total_fired(struct io_timer *timer)
{
	struct proxy_request *p = SL_CONTAINER(timer, struct proxy_request, total);

	if (p->state == PROXY_ANSWERING) {
		http_reset(p->stream, HTTP_ERROR_TRUNCATED);
		return;
	}
	/* Without a call it waited for a server, or for another try after the failure that is known. */
	proxy_fail_at(p, p->calling ? p->call.stage : p->failure.stage, -ETIMEDOUT,
		      "the time of the whole request was over");
	if (p->calling) {
		upstream_blame(p->turn, p->failure.refused);
		proxy_cancel_call(p);
		proxy_give(p, UPSTREAM_FAILED);
	}
	proxy_stop(p);
	proxy_answer(p);
}

static void proxy_total_set(struct proxy_request *p)
{
	uint32_t ms = p->proxy->config->total_timeout_ms;

	if (ms == UINT32_MAX)
		ms = upstream_view_config(p->view)->timeouts.total_ms;
	if (!ms)
		return;
	p->total.fire = proxy_total_fired;
	io_timer_set(p->proxy->worker->loop, &p->total, ms);
}

/* What the request itself is refused for. */
static int proxy_refuse(struct http_stream *s, int err)
{
	switch (err) {
	case -EBADMSG:
		return http_respond_error(s, 400);
	case -E2BIG:
		return http_respond_error(s, 431);
	default:
		return err;
	}
}

static int proxy_open(void *state, struct http_stream *s)
{
	struct proxy *proxy = state;
	struct proxy_request *p;

	if (SL_UNLIKELY(s->request.method == HTTP_CONNECT))
		return reply_error_with(s, 405, HTTP_ALLOW,
					STR("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
	p = arena_zalloc(s->arena, sizeof(*p));
	if (SL_UNLIKELY(!p))
		return -ENOMEM;
	p->proxy = proxy;
	p->stream = s;
	p->view = proxy->view;
	p->turn = &p->own_turn;
	p->body = s->request_body;
	proxy_set_state(p, PROXY_OVER);
	int err = proxy_request_build(p);
	if (!err)
		err = proxy_tunnel_prepare(p);
	if (SL_UNLIKELY(err))
		return proxy_refuse(s, err);
	s->data = p;
	s->upstream = &p->note;
	if (SL_UNLIKELY(s->fallback)) {
		proxy_total_set(p);
		proxy_fail_at(p, HTTP_CALL_IDLE, -EBUSY, "not asked under this load");
		proxy_give_up(p);
		return 0;
	}
	if (SL_UNLIKELY(proxy->mirror != NULL))
		proxy_mirror_begin(p);
	proxy_total_set(p);
	proxy_begin(p);
	return 0;
}

static void proxy_gone(struct http_stream *s)
{
	proxy_stop(s->data);
	http_reset(s, HTTP_ERROR_CANCEL);
}

static void proxy_on_close(struct http_stream *s, int why)
{
	struct proxy_request *p = s->data;

	(void)why;
	if (!p)
		return;
	proxy_stop(p);
	proxy_tunnel_discard(p);
	if (p->tee)
		proxy_mirror_finish(p);
	s->data = NULL;
}

const struct handler_ops proxy_handler = {
	.name = "proxy",
	.falls_back = true,
	.attach = proxy_attach,
	.detach = proxy_detach,
	.open = proxy_open,
	.gone = proxy_gone,
	.on_close = proxy_on_close,
};
