// SPDX-License-Identifier: Apache-2.0
// A client's connection: may it come in, which server takes it, and then the relay.
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/slab.h"
#include "guard/access.h"
#include "guard/limit.h"
#include "handler/tcp/tcp.h"

/* Of addresses for balances by hash, the same after a restart and on every machine. */
#define KEY_SEED 0x736c75696365ull

static _Thread_local struct slab flow_slab = SLAB_INIT("tcp flow", sizeof(struct tcp_flow), 256);

/* One writer, any number of readers. */
static void count(_Atomic uint64_t *counter, int64_t n)
{
	uint64_t v = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, v + (uint64_t)n, memory_order_relaxed);
}

/* The end. */

static void flow_free(struct tcp_flow *f)
{
	struct tcp_service *s = f->service;

	assert(!f->taken && !f->hello && !f->early.len && !io_timer_armed(&f->timer));
	if (f->owed)
		guard_limit_leave(s->config->limiter, f->limit_key);
	list_del(&f->link);
	slab_free(&flow_slab, f);
	s->flow_count--;
	count(&s->counts.active, -1);
	tcp_service_less(s);
}

static void flow_closed(void *consumer)
{
	flow_free(consumer);
}

static void flow_give(struct tcp_flow *f, enum upstream_outcome outcome)
{
	f->taken = false;
	upstream_give(&f->turn, outcome, f->connect_ns);
}

/* Before the relay. why: as conn_close. */
static void flow_close(struct tcp_flow *f, int why)
{
	struct conn *client = f->relay.conn[RELAY_CLIENT], *server = f->relay.conn[RELAY_SERVER];

	f->state = TCP_CLOSING;
	io_timer_stop(&f->timer);
	tcp_hello_free(f);
	seg_release(&f->early);
	if (server) {
		f->relay.conn[RELAY_SERVER] = NULL;
		conn_close(server, -ECANCELED);
	}
	if (f->taken)
		flow_give(f, UPSTREAM_ABANDONED);
	else if (f->view)
		upstream_leave(&f->turn);
	conn_close(client, why);
}

void tcp_flow_fail(struct tcp_flow *f, int why, const char *what)
{
	struct tcp_service *s = f->service;
	uint64_t quiet;

	count(&s->counts.failed, 1);
	if (what && log_rate_allow(&s->log, io_now_ns(s->loop), &quiet))
		log_warn("tcp \"%.*s\": %s: %s", STR_ARG(s->config->name), what, err_text(why));
	flow_close(f, why);
}

void tcp_flow_abort(struct tcp_flow *f)
{
	if (f->state == TCP_RELAYING)
		relay_abort(&f->relay, -ECANCELED);
	else if (f->state == TCP_CLOSING)
		conn_close(f->relay.conn[RELAY_CLIENT], -ECANCELED);
	else
		flow_close(f, -ECANCELED);
}

/* What the end of a relay says of its server, which is the more to blame the less it gave. */
static enum upstream_outcome flow_outcome(const struct relay *r, int why)
{
	if (!why || why == -ETIMEDOUT || r->bytes[RELAY_SERVER])
		return UPSTREAM_OK;
	return why != -ECANCELED && r->failed == RELAY_SERVER ? UPSTREAM_FAILED
							      : UPSTREAM_ABANDONED;
}

static void flow_done(struct relay *r, int why)
{
	struct tcp_flow *f = r->owner;
	enum upstream_outcome outcome = flow_outcome(r, why);

	if (outcome == UPSTREAM_FAILED)
		upstream_blame(&f->turn, err_text(why));
	if (outcome == UPSTREAM_FAILED || why == -ETIMEDOUT)
		count(&f->service->counts.failed, 1);
	upstream_moved(&f->turn, r->bytes[RELAY_SERVER], r->bytes[RELAY_CLIENT]);
	flow_give(f, outcome);
	flow_free(f);
}

/* The server. */

static void flow_try(struct tcp_flow *);

static void flow_try_again(struct io_timer *t)
{
	flow_try(SL_CONTAINER(t, struct tcp_flow, timer));
}

/* This server did not take it. */
static void flow_failed(struct tcp_flow *f, int why)
{
	const struct upstream_retry *retry = &upstream_view_config(f->view)->retry;
	struct conn *server = f->relay.conn[RELAY_SERVER];

	io_timer_stop(&f->timer);
	f->relay.conn[RELAY_SERVER] = NULL;
	if (server)
		conn_close(server, why);
	/* Nothing of it can have arrived there: the next server gets it. */
	if (f->early.len)
		conn_unpull(f->relay.conn[RELAY_CLIENT], f->early);
	f->early = (struct seg){0};
	upstream_blame(&f->turn, err_text(why));
	flow_give(f, UPSTREAM_FAILED);
	f->state = TCP_WAITING;
	if (!(retry->on & UPSTREAM_RETRY_CONNECT) || f->retries >= retry->max ||
	    f->retries == UINT8_MAX || !upstream_retry_allowed(f->view)) {
		tcp_flow_fail(f, why, "no server took a connection");
		return;
	}
	f->retries++;
	f->timer.fire = flow_try_again;
	io_timer_set(f->service->loop, &f->timer,
		     chance_backoff_ms(&f->service->chance, retry->backoff_ms,
				       retry->backoff_max_ms, f->retries));
}

static void flow_connect_timeout(struct io_timer *t)
{
	flow_failed(SL_CONTAINER(t, struct tcp_flow, timer), -ETIMEDOUT);
}

/*
 * What the client has said by now leaves with the connecting: that saves calls, a packet, and on a real network the
 * time of a packet there and back. Filters want to see all, and then it waits.
 */
static void flow_early(struct tcp_flow *f)
{
	struct conn *client = f->relay.conn[RELAY_CLIENT], *server = f->relay.conn[RELAY_SERVER];
	struct seg s;

	if (f->early.len || f->state != TCP_CONNECTING || f->service->relay.filter)
		return;
	switch (source_pull(&client->source, BUF_CAPACITY, SEG_MEM, &s)) {
	case PULL_DATA:
		f->early = s;
		(void)conn_send(server, seg_mem(s.u.mem, s.len, seg_owner_ref(s.owner)));
		return;
	case PULL_FAIL:
		flow_close(f, client->source.error);
		return;
	case PULL_WAIT:
	case PULL_END:
		return;
	}
}

static void flow_early_woken(struct source *source, void *consumer)
{
	(void)source;
	flow_early(consumer);
}

static void flow_connected(struct conn *server, void *consumer, int result)
{
	struct tcp_flow *f = consumer;

	if (result) {
		flow_failed(f, result);
		return;
	}
	io_timer_stop(&f->timer);
	f->connect_ns = io_now_ns(f->service->loop) - f->connect_ns;
	f->state = TCP_RELAYING;
	f->relay.bytes[RELAY_CLIENT] = f->early.len;
	count(&f->service->counts.bytes_in, (int64_t)f->early.len);
	seg_release(&f->early);
	relay_start(&f->relay);
}

static void flow_connect(struct tcp_flow *f)
{
	const struct upstream_config *config = upstream_view_config(f->view);
	struct conn *client = f->relay.conn[RELAY_CLIENT], *server;
	struct net_addr peer, local;
	bool named = config->send_proxy && conn_name(client, true, &peer) == 0 &&
		     conn_name(client, false, &local) == 0;

	f->taken = true;
	f->connect_ns = 0;
	f->turn.local = named ? &local : NULL;
	server = upstream_connect(&f->turn, named ? &peer : NULL, flow_connected);
	f->turn.local = NULL;
	if (!server) {
		flow_failed(f, -errno);
		return;
	}
	server->consumer = f;
	f->state = TCP_CONNECTING;
	f->relay.conn[RELAY_SERVER] = server;
	f->connect_ns = io_now_ns(f->service->loop);
	f->timer.fire = flow_connect_timeout;
	if (config->timeouts.connect_ms)
		io_timer_set(f->service->loop, &f->timer, config->timeouts.connect_ms);
	client->source.wake = flow_early_woken;
	client->source.consumer = f;
	flow_early(f);
}

static void flow_taken(struct tcp_flow *f, int result)
{
	if (result == 0)
		flow_connect(f);
	else if (result != -EINPROGRESS)
		tcp_flow_fail(f, result, "no server for a connection");
}

static void flow_ready(struct upstream_turn *turn, int result)
{
	flow_taken(turn->owner, result);
}

static void flow_try(struct tcp_flow *f)
{
	f->state = TCP_WAITING;
	flow_taken(f, upstream_take(f->view, &f->turn));
}

static uint64_t hash_address(const struct net_addr *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->u.storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->u.storage;

	if (a->u.sa.sa_family == AF_INET)
		return hash_bytes_fixed(&v4->sin_addr, sizeof(v4->sin_addr), KEY_SEED);
	if (a->u.sa.sa_family != AF_INET6)
		return 0;
	/* The same client over either family of the listener. */
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return hash_bytes_fixed(&v6->sin6_addr.s6_addr[12], 4, KEY_SEED);
	return hash_bytes_fixed(&v6->sin6_addr, sizeof(v6->sin6_addr), KEY_SEED);
}

void tcp_flow_route(struct tcp_flow *f, struct upstream_view *view)
{
	f->view = view;
	f->turn.ready = flow_ready;
	f->turn.owner = f;
	if (view)
		flow_try(f);
	else
		tcp_flow_fail(f, -ENOENT, NULL);
}

/* The client. */

static void flow_begin(struct tcp_flow *f)
{
	if (f->service->config->route_count)
		tcp_hello_start(f);
	else
		tcp_flow_route(f, f->service->view);
}

static void flow_delayed(struct io_timer *t)
{
	flow_begin(SL_CONTAINER(t, struct tcp_flow, timer));
}

/* 0, or how long it must wait, or -EAGAIN: it is refused. */
static int64_t flow_limit(struct tcp_flow *f, const struct net_addr *client)
{
	struct guard_limiter *limiter = f->service->config->limiter;
	const struct guard_limit_config *config = guard_limiter_config(limiter);
	uint64_t now_ns = io_now_ns(f->service->loop);
	struct guard_verdict verdict;

	f->limit_key = config->key == GUARD_KEY_ADDRESS
			     ? guard_key_address(client, config->prefix_v4, config->prefix_v6)
			     : guard_key_bytes(STR_NONE);
	bool entered = guard_limit_enter(limiter, f->limit_key, now_ns, &f->owed);
	/* Who may not enter is not charged. */
	guard_limit_take(limiter, f->limit_key, now_ns, entered, &verdict);
	if (config->dry_run)
		return 0;
	return entered && verdict.allowed ? (int64_t)verdict.delay_ns : -EAGAIN;
}

static struct tcp_flow *flow_new(struct tcp_service *s, struct conn *client)
{
	struct tcp_flow *f = slab_zalloc(&flow_slab);

	if (!f)
		return NULL;
	f->service = s;
	f->relay.conn[RELAY_CLIENT] = client;
	f->relay.options = &s->relay;
	f->relay.done = flow_done;
	f->relay.owner = f;
	client->consumer = f;
	client->closed = flow_closed;
	list_init(&f->link);
	list_add(&s->flows, &f->link);
	s->flow_count++;
	count(&s->counts.active, 1);
	return f;
}

static void service_refuse(struct tcp_service *s, struct conn *client)
{
	count(&s->counts.refused, 1);
	conn_close(client, -ECONNREFUSED);
}

void tcp_flow_take(struct tcp_service *s, struct conn *client)
{
	const struct tcp_config *config = s->config;
	struct net_addr addr = {.u.sa.sa_family = AF_UNSPEC};
	int64_t wait_ns = 0;

	count(&s->counts.connections, 1);
	if (s->draining || (config->conns_max && s->flow_count >= config->conns_max) ||
	    (s->needs_address && conn_name(client, true, &addr)) ||
	    (config->access && !guard_access_allows(config->access, &addr))) {
		service_refuse(s, client);
		return;
	}
	struct tcp_flow *f = flow_new(s, client);
	if (!f) {
		service_refuse(s, client);
		return;
	}
	f->turn.hash = s->needs_address ? hash_address(&addr) : 0;
	if (config->limiter)
		wait_ns = flow_limit(f, &addr);
	if (wait_ns < 0) {
		count(&s->counts.refused, 1);
		flow_close(f, -ECONNREFUSED);
	} else if (wait_ns) {
		f->timer.fire = flow_delayed;
		io_timer_set(s->loop, &f->timer,
			     ((uint64_t)wait_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS);
	} else {
		flow_begin(f);
	}
}
