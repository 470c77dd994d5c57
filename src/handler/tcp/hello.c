// SPDX-License-Identifier: Apache-2.0
// Reads the ClientHello of a flow, gives it back to the connection, and says where that goes.
#include <errno.h>
#include <string.h>

#include "base/slab.h"
#include "handler/tcp/tcp.h"
#include "net/client_hello.h"

struct tcp_hello {
	struct client_hello hello;
	struct buf *before; /* what came before the last segment, as it came; NULL: nothing */
};

static _Thread_local struct slab hello_slab = SLAB_INIT("tcp hello", sizeof(struct tcp_hello), 64);

void tcp_hello_free(struct tcp_flow *f)
{
	if (!f->hello)
		return;
	client_hello_free(&f->hello->hello);
	buf_unref(f->hello->before);
	slab_free(&hello_slab, f->hello);
	f->hello = NULL;
}

static struct upstream_view *hello_view(const struct tcp_flow *f)
{
	const struct client_hello *hello = &f->hello->hello;
	const struct tcp_config *config = f->service->config;

	for (unsigned i = 0; i < config->route_count; i++) {
		const struct tcp_route *r = &config->routes[i];

		if (r->sni.len && !client_hello_asks_for(hello, r->sni))
			continue;
		if (r->alpn.len && !client_hello_offers(hello, r->alpn))
			continue;
		return f->service->routes[i];
	}
	return f->service->view;
}

static void hello_over(struct tcp_flow *f, struct seg last)
{
	struct conn *c = f->relay.conn[RELAY_CLIENT];
	struct upstream_view *view = hello_view(f);
	struct buf *before = f->hello->before;

	io_timer_stop(&f->timer);
	conn_unpull(c, last);
	if (before) {
		f->hello->before = NULL;
		conn_unpull(c, seg_mem(before->data, before->end, &before->owner));
	}
	tcp_hello_free(f);
	tcp_flow_route(f, view);
}

/* 0, or -errno: then the segment is still the caller's. */
static int hello_keep(struct tcp_hello *h, const struct seg *s)
{
	if (!h->before && !(h->before = buf_alloc()))
		return -ENOMEM;
	if (s->len > BUF_CAPACITY - h->before->end)
		return -EBADMSG;
	memcpy(h->before->data + h->before->end, s->u.mem, s->len);
	h->before->end += (uint32_t)s->len;
	return 0;
}

/* False: the flow is somebody else's now, or gone. */
static bool hello_take(struct tcp_flow *f, struct seg s)
{
	const char *why = "the ClientHello is too long";
	int result = client_hello_feed(&f->hello->hello, s.u.mem, s.len, &why);

	if (!result) {
		hello_over(f, s);
		return false;
	}
	if (result == -EAGAIN)
		result = hello_keep(f->hello, &s);
	seg_release(&s);
	if (result)
		tcp_flow_fail(f, result, result == -EBADMSG ? why : "a ClientHello");
	return !result;
}

static void hello_read(struct tcp_flow *f)
{
	struct source *source = &f->relay.conn[RELAY_CLIENT]->source;
	struct seg s;

	for (;;) {
		switch (source_pull(source, CLIENT_HELLO_MAX, SEG_MEM, &s)) {
		case PULL_DATA:
			if (!hello_take(f, s))
				return;
			break;
		case PULL_WAIT:
			return;
		case PULL_END:
			tcp_flow_fail(f, -ENODATA, NULL);
			return;
		case PULL_FAIL:
			tcp_flow_fail(f, source->error, NULL);
			return;
		}
	}
}

static void hello_woken(struct source *source, void *consumer)
{
	(void)source;
	hello_read(consumer);
}

static void hello_timeout(struct io_timer *t)
{
	tcp_flow_fail(SL_CONTAINER(t, struct tcp_flow, timer), -ETIMEDOUT, NULL);
}

void tcp_hello_start(struct tcp_flow *f)
{
	struct source *source = &f->relay.conn[RELAY_CLIENT]->source;
	uint32_t timeout_ms = f->service->config->hello_timeout_ms;

	f->state = TCP_HELLO;
	f->hello = slab_zalloc(&hello_slab);
	if (!f->hello) {
		tcp_flow_fail(f, -ENOMEM, "a ClientHello");
		return;
	}
	source->wake = hello_woken;
	source->consumer = f;
	f->timer.fire = hello_timeout;
	if (timeout_ms)
		io_timer_set(f->service->loop, &f->timer, timeout_ms);
	hello_read(f);
}
