// SPDX-License-Identifier: Apache-2.0
#include "handler/proxy/upgrade.h"

#include <errno.h>

#include "base/slab.h"
#include "handler/proxy/request.h"
#include "http/hop.h"
#include "http/server.h"
#include "net/relay.h"

/* Outlives the stream that it came from; it has the turn, so that the server counts it as active. */
struct proxy_tunnel {
	struct upstream_turn turn;
	struct proxy *proxy;
	struct conn *server; /* between 101 and the relay */
	struct http_session session;
	struct relay relay;
	uint64_t head_ns; /* until 101 */
};

static _Thread_local struct slab tunnel_slab =
	SLAB_INIT("proxy tunnel", sizeof(struct proxy_tunnel), 64);

static const struct relay_options tunnel_options = {
	.idle_timeout_ms = PROXY_TUNNEL_IDLE_MS,
	.half_timeout_ms = PROXY_TUNNEL_HALF_MS,
};

int proxy_tunnel_prepare(struct proxy_request *p)
{
	const struct http_stream *s = p->stream;

	if (SL_LIKELY(!p->upgrade.p))
		return 0;
	if (p->proxy->config->no_upgrade || s->request.version < 11 || s->request_body ||
	    !p->upgrade.len || !proxy_upgrade_allowed(p->upgrade))
		return 0;
	p->tunnel = slab_zalloc(&tunnel_slab);
	if (!p->tunnel)
		return -ENOMEM;
	p->tunnel->proxy = proxy_ref(p->proxy);
	p->turn = &p->tunnel->turn;
	return 0;
}

static void tunnel_free(struct proxy_tunnel *t)
{
	struct proxy *proxy = t->proxy;

	slab_free(&tunnel_slab, t);
	proxy_unref(proxy);
}

void proxy_tunnel_discard(struct proxy_request *p)
{
	struct proxy_tunnel *t = p->tunnel;

	if (!t)
		return;
	p->tunnel = NULL;
	p->turn = &p->own_turn;
	if (t->server) {
		conn_close(t->server, -ECANCELED);
		t->server = NULL;
		upstream_give(&t->turn, UPSTREAM_ABANDONED, t->head_ns);
	}
	tunnel_free(t);
}

static void tunnel_done(struct relay *relay, int why)
{
	struct proxy_tunnel *t = SL_CONTAINER(relay, struct proxy_tunnel, relay);

	/* How a conversation ends is between the two. */
	(void)why;
	upstream_moved(&t->turn, relay->bytes[RELAY_SERVER], relay->bytes[RELAY_CLIENT]);
	upstream_give(&t->turn, UPSTREAM_OK, t->head_ns);
	http_session_end(t->proxy->worker, &t->session);
	tunnel_free(t);
}

static struct proxy_tunnel *tunnel_of(struct http_session *session)
{
	return SL_CONTAINER(session, struct proxy_tunnel, session);
}

/* It goes on until the time for draining is over. */
static void tunnel_drain(struct http_session *session)
{
	(void)session;
}

static void tunnel_abort(struct http_session *session)
{
	relay_abort(&tunnel_of(session)->relay, -ECANCELED);
}

static const struct http_session_ops tunnel_session_ops = {
	.drain = tunnel_drain,
	.evict = tunnel_abort,
	.abort = tunnel_abort,
};

static void tunnel_upgraded(struct http_stream *s, struct conn *client)
{
	struct proxy_request *p = s->data;
	struct proxy_tunnel *t = p->tunnel;

	p->tunnel = NULL;
	p->turn = &p->own_turn;
	t->session.ops = &tunnel_session_ops;
	http_session_take_over(s->worker, &t->session);
	t->relay.conn[RELAY_CLIENT] = client;
	t->relay.conn[RELAY_SERVER] = t->server;
	t->server = NULL;
	t->relay.options = &tunnel_options;
	t->relay.done = tunnel_done;
	t->relay.owner = t;
	relay_start(&t->relay);
}

static bool tunnel_lists(struct str protocols, struct str wanted)
{
	struct str protocol;

	while (str_next(&protocols, ',', &protocol))
		if (str_eq_nocase(protocol, wanted))
			return true;
	return false;
}

/* A server switches to nothing that it was not asked for (RFC 9110 section 7.8). */
static bool tunnel_agreed(struct str asked, struct str switched)
{
	struct str protocol;

	if (!switched.len)
		return false;
	while (str_next(&switched, ',', &protocol))
		if (!tunnel_lists(asked, protocol))
			return false;
	return true;
}

/* 101 as the server gave it; Connection is the wire's. */
static int tunnel_head(struct proxy_request *p, struct http_head *head)
{
	struct str upgrade = STR_NONE;

	*head = p->call.response;
	int err = http_hop_remove(&head->fields, &upgrade);
	if (!err && !tunnel_agreed(p->upgrade, upgrade))
		err = -EBADMSG;
	if (!err && !p->proxy->config->no_via)
		err = proxy_via_add(&head->fields, &head->fields, head->version, p->stream->arena);
	return err ? err : http_fields_add(&head->fields, p->stream->arena, HTTP_UPGRADE, upgrade);
}

int proxy_tunnel_open(struct proxy_request *p)
{
	struct proxy_tunnel *t = p->tunnel;
	struct http_head head;
	int err = tunnel_head(p, &head);

	if (err) {
		proxy_cancel_call(p);
		return err;
	}
	p->calling = false;
	if (p->call.first_byte_ns > p->call.began_ns)
		t->head_ns = p->call.first_byte_ns - p->call.began_ns;
	t->server = http_call_take_conn(&p->call);
	io_timer_stop(&p->total);
	/* The tunnel gives the server back. */
	p->taken = false;
	proxy_set_state(p, PROXY_OVER);
	err = http_upgrade(p->stream, &head, tunnel_upgraded);
	if (err)
		http_reset(p->stream, HTTP_ERROR_CANCEL);
	return 0;
}
