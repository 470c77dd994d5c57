// SPDX-License-Identifier: Apache-2.0
// The check that is a request: its status, and what must be in the beginning of its body.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "net/dial.h"
#include "net/proxy_header.h"
#include "upstream/check.h"
#include "upstream/set.h"

static bool body_matches(const struct upstream_check *c)
{
	struct str want = c->config->health.body;

	return want.len == 0 || (c->body && memmem(c->body, c->body_len, want.p, want.len) != NULL);
}

static void body_verdict(struct upstream_check *c)
{
	if (body_matches(c))
		check_verdict(c, NULL);
	else
		check_verdict(c, "its answer does not have the text that is expected");
}

/* The whole answer is taken, up to a bound, so that a server does not see its clients go in the middle of it. */
static void body_pull(struct source *source, void *consumer)
{
	struct upstream_check *c = consumer;
	struct seg seg;

	while (c->body_len < UPSTREAM_CHECK_BODY_BYTES) {
		switch (source_pull(source, UPSTREAM_CHECK_BODY_BYTES - c->body_len, SEG_MEM,
				    &seg)) {
		case PULL_DATA:
			if (c->body)
				memcpy(c->body + c->body_len, seg.u.mem, seg.len);
			c->body_len += (uint32_t)seg.len;
			seg_release(&seg);
			break;
		case PULL_WAIT:
			return;
		case PULL_END:
			body_verdict(c);
			return;
		case PULL_FAIL:
			check_verdict(c, "its answer was cut short: %s", err_text(source->error));
			return;
		}
	}
	body_verdict(c);
}

static void call_respond(struct http_call *call)
{
	struct upstream_check *c = call->owner;
	const struct upstream_health *h = &c->config->health;
	unsigned status = call->response.status;

	if (status < h->status_min || status > h->status_max) {
		check_verdict(c, "status %u (expected %u to %u)", status, h->status_min,
			      h->status_max);
		return;
	}
	if (!call->body) {
		body_verdict(c);
		return;
	}
	call->body->wake = body_pull;
	call->body->consumer = c;
	body_pull(call->body, c);
}

static void call_done(struct http_call *call, int why)
{
	struct upstream_check *c = call->owner;

	/* After the head, whoever pulls the body hears of it. */
	if (!why || call->responded)
		return;
	if (why == -EBADMSG && call->refused)
		check_verdict(c, "a malformed answer: %s", call->refused);
	else if (why == -ENODATA)
		check_verdict(c, "its answer was cut short");
	else
		check_verdict(c, "%s", err_text(why));
}

/* It carries one request, and is closed after it. */
static void link_idle(struct http_link *http)
{
	(void)http;
}

static void link_closed(struct http_link *http)
{
	struct upstream_check *c = http->owner;

	if (c)
		c->http = NULL;
}

static int make_request(struct upstream_check *c, const struct net_addr *addr)
{
	const struct upstream_health *h = &c->config->health;
	char text[NET_ADDR_TEXT];
	struct str host = {text, net_addr_print(addr, text)};

	/* A path has no name. */
	if (addr->u.sa.sa_family == AF_UNIX)
		host = STR("localhost");
	if (h->host.len)
		host = h->host;
	c->request = (struct http_head){
		.method = HTTP_GET,
		.method_text = STR("GET"),
		.scheme = STR("http"),
		.target = h->path.len ? h->path : STR("/"),
		.authority = arena_dup(&c->arena, host),
		.version = 11,
		.content_length = -1,
	};
	if (!c->request.authority.p || http_fields_add(&c->request.fields, &c->arena,
						       HTTP_USER_AGENT, STR("sluice-check")) < 0)
		return -ENOMEM;
	if (h->body.len) {
		c->body = malloc(UPSTREAM_CHECK_BODY_BYTES);
		if (!c->body)
			return -ENOMEM;
	}
	return 0;
}

/* Who expects a PROXY header expects it of us, too: one that says that we speak for ourselves. */
static int send_proxy_header(const struct upstream_check *c, struct conn *conn)
{
	uint8_t *out;

	if (c->config->send_proxy == PROXY_NONE)
		return 0;
	out = conn_reserve(conn, PROXY_HEADER_V2_MAX);
	if (!out)
		return -ENOMEM;
	conn_commit(conn, proxy_header_print(c->config->send_proxy, NULL, NULL, out));
	return 0;
}

int check_http_start(struct upstream_check *c, const struct net_addr *addr)
{
	static const struct conn_dial dial;
	static const struct http_link_ops link_ops = {.idle = link_idle, .closed = link_closed};
	static const struct http_call_ops call_ops = {.respond = call_respond, .done = call_done};
	struct conn *conn;
	int error;

	arena_init(&c->arena, 0);
	c->body_len = 0;
	error = make_request(c, addr);
	if (error)
		return error;
	conn = conn_plain_connect(c->checks->loop, addr, &dial, http_link_connected);
	if (!conn)
		return -errno;
	if (send_proxy_header(c, conn) < 0) {
		conn_close(conn, -ENOMEM);
		return -ENOMEM;
	}
	c->http = http_link_new(conn, true, &link_ops, c);
	if (!c->http)
		return -ENOMEM;
	c->call = (struct http_call){
		.ops = &call_ops,
		.owner = c,
		.arena = &c->arena,
		.request = &c->request,
	};
	http_call_start(c->http, &c->call);
	return 0;
}

void check_http_stop(struct upstream_check *c)
{
	if (c->call.body) {
		source_close(c->call.body, 0);
		c->call.body = NULL;
	}
	if (c->call.ops)
		http_call_cancel(&c->call);
	c->call.ops = NULL;
	if (c->http) {
		struct http_link *http = c->http;

		c->http = NULL;
		http->owner = NULL;
		http_link_close(http);
	}
	free(c->body);
	c->body = NULL;
	arena_free(&c->arena);
}
