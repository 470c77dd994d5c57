// SPDX-License-Identifier: Apache-2.0
// Sessions: who the clients are, and which server each of them talks to.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/slab.h"
#include "guard/access.h"
#include "guard/limit.h"
#include "handler/udp/udp.h"

/* So that a client has the same server after a restart, and behind every machine. */
#define UDP_HASH_SEED 0

static _Thread_local struct slab session_slab =
	SLAB_INIT("udp session", sizeof(struct udp_session), 256);
static _Thread_local struct slab leg_slab = SLAB_INIT("udp leg", sizeof(struct udp_leg), 256);

void udp_key_of(struct udp_key *key, const struct udp_packet *p)
{
	memset(key, 0, sizeof(*key));
	key->family = p->from.sa.sa_family;
	memcpy(key->own, &p->to.ip, sizeof(key->own));
	if (p->from.sa.sa_family == AF_INET) {
		memcpy(key->client, &p->from.v4.sin_addr, 4);
		key->port = p->from.v4.sin_port;
	} else {
		memcpy(key->client, &p->from.v6.sin6_addr, 16);
		key->port = p->from.v6.sin6_port;
		key->scope = p->from.v6.sin6_scope_id;
	}
}

static struct str key_str(const struct udp_key *key)
{
	return (struct str){(const char *)key, sizeof(*key)};
}

static void client_addr(const union udp_address *from, struct net_addr *a)
{
	bool v4 = from->sa.sa_family == AF_INET;

	*a = (struct net_addr){.len = v4 ? sizeof(from->v4) : sizeof(from->v6)};
	memcpy(&a->u.storage, from, a->len);
}

static uint64_t client_hash(const union udp_address *from)
{
	const struct in6_addr *v6 = &from->v6.sin6_addr;

	if (from->sa.sa_family == AF_INET)
		return hash_bytes_fixed(&from->v4.sin_addr, 4, UDP_HASH_SEED);
	if (IN6_IS_ADDR_V4MAPPED(v6))
		return hash_bytes_fixed(&v6->s6_addr[12], 4, UDP_HASH_SEED);
	return hash_bytes_fixed(v6, 16, UDP_HASH_SEED);
}

/* Legs. */

static void leg_gone(struct io_fd *fd)
{
	struct udp_leg *leg = SL_CONTAINER(fd, struct udp_leg, fd);
	struct udp_service *u = leg->service;

	slab_free(&leg_slab, leg);
	u->legs--;
	io_defer(u->loop, &u->settle);
}

/* Gives the server back with it. */
static void leg_end(struct udp_session *s, enum upstream_outcome outcome)
{
	struct udp_leg *leg = s->leg;

	if (!leg)
		return;
	s->leg = NULL;
	leg->session = NULL;
	upstream_give(&s->turn, outcome, 0);
	io_close(&leg->fd, leg_gone);
}

static void leg_fail(struct udp_session *s, int err)
{
	upstream_blame(&s->turn, err_text(err));
	udp_count(&s->service->counts.failed, 1);
	leg_end(s, UPSTREAM_FAILED);
}

/* What the server says, to the client. */
static void leg_answer(struct udp_session *s, struct udp_packet *p, unsigned n)
{
	struct udp_service *u = s->service;
	const struct udp_target client = {
		.fd = u->fd.fd, .to = &s->client, .from = &s->own, .segments = &u->segments};
	struct udp_sent sent = {0};
	uint64_t came = 0;
	unsigned kept = 0, at = 0;

	for (unsigned i = 0; i < n; i++) {
		came += p[i].len;
		s->responses += udp_packet_datagrams(&p[i]);
		if (p[i].cut)
			sent.dropped++;
		else
			p[kept++] = p[i];
	}
	(void)udp_send(u->batch, &client, p, kept, &at, &sent);
	upstream_moved(&s->turn, came, 0);
	udp_count(&u->counts.datagrams_out, sent.datagrams);
	udp_count(&u->counts.bytes_out, sent.bytes);
	udp_count(&u->counts.dropped, sent.dropped);
}

static void session_touch(struct udp_session *s)
{
	s->used_ns = io_now_ns(s->service->loop);
	list_del(&s->link);
	list_add(&s->service->idle, &s->link);
}

static void leg_readable(struct io_op *op, int result)
{
	struct udp_leg *leg = SL_CONTAINER(op, struct udp_leg, rd);
	struct udp_session *s = leg->session;

	if (!s || result == -ECANCELED)
		return;
	struct udp_service *u = s->service;
	for (unsigned batches = 0; result == 0 && batches < UDP_TURN_BATCHES; batches++) {
		struct udp_packet *p;
		int n = udp_receive(u->batch, leg->fd.fd, &p);

		if (n < 0)
			result = n;
		if (n <= 0)
			break;
		session_touch(s);
		/* A server that answers is one to come back to. */
		s->answered = true;
		s->turn.tried_count = 0;
		leg_answer(s, p, (unsigned)n);
		if (u->config->responses && s->responses >= u->config->responses) {
			udp_session_end(s);
			return;
		}
		if (n < UDP_BATCH)
			break;
	}
	if (result < 0)
		leg_fail(s, result);
	else
		io_submit(u->loop, &leg->rd);
}

static int leg_socket(const struct net_addr *to)
{
	int family = to->u.sa.sa_family;

	if (family != AF_INET && family != AF_INET6)
		return -EAFNOSUPPORT;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &to->u.sa, to->len) == 0)
		return fd;
	int err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* To the server of the turn. */
static int leg_open(struct udp_session *s)
{
	struct udp_service *u = s->service;
	int fd = leg_socket(upstream_server_addr(s->turn.server));

	if (fd < 0)
		return fd;
	struct udp_leg *leg = slab_zalloc(&leg_slab);
	bool segments = udp_prepare(fd);
	int err = leg ? io_fd_init(u->loop, &leg->fd, fd) : -ENOMEM;
	if (err) {
		slab_free(&leg_slab, leg);
		close(fd);
		return err;
	}
	leg->service = u;
	leg->session = s;
	leg->segments = segments;
	leg->rd = (struct io_op){.cb = leg_readable, .fd = &leg->fd, .code = IO_WAIT_IN};
	io_submit(u->loop, &leg->rd);
	u->legs++;
	s->leg = leg;
	return 0;
}

/* What we lack is not the server's fault. */
static bool leg_blames_server(int err)
{
	return err != -ENOMEM && err != -EMFILE && err != -ENFILE && err != -ENOBUFS;
}

static int leg_connect(struct udp_session *s)
{
	struct udp_service *u = s->service;
	int err = upstream_take(u->view, &s->turn);

	/* A datagram does not wait for a server to have room. */
	if (err == -EINPROGRESS)
		upstream_leave(&s->turn);
	if (err)
		return err;
	err = leg_open(s);
	if (!err)
		return 0;
	upstream_blame(&s->turn, err_text(err));
	upstream_give(&s->turn, leg_blames_server(err) ? UPSTREAM_FAILED : UPSTREAM_ABANDONED, 0);
	return err;
}

/* Sessions. */

void udp_session_end(struct udp_session *s)
{
	struct udp_service *u = s->service;

	leg_end(s, s->answered ? UPSTREAM_OK : UPSTREAM_ABANDONED);
	if (s->limited)
		guard_limit_leave(u->config->limiter, s->limit_key);
	list_del(&s->link);
	hash_del(&u->sessions, key_str(&s->key));
	slab_free(&session_slab, s);
	udp_count(&u->counts.active, (uint64_t)-1);
	io_defer(u->loop, &u->settle);
}

static uint64_t idle_ns(const struct udp_service *u)
{
	uint32_t ms = u->config->idle_timeout_ms;

	if (!ms)
		ms = UDP_IDLE_DEFAULT_MS;
	if (u->state != UDP_OPEN)
		ms = SL_MIN(ms, UDP_DRAIN_IDLE_MS);
	return ms * CLOCK_NS_PER_MS;
}

void udp_sessions_expire(struct udp_service *u)
{
	uint64_t now = io_now_ns(u->loop), idle = idle_ns(u);

	while (!list_empty(&u->idle)) {
		struct udp_session *s = SL_CONTAINER(u->idle.next, struct udp_session, link);

		if (now - s->used_ns < idle) {
			io_timer_set(u->loop, &u->expiry,
				     (s->used_ns + idle - now) / CLOCK_NS_PER_MS + 1);
			return;
		}
		udp_session_end(s);
	}
}

/* Whether the limiter lets another session of the client begin; *owed: guard_limit_leave. */
static bool session_within_limit(struct udp_service *u, const struct net_addr *client,
				 struct udp_session *s)
{
	struct guard_limiter *limiter = u->config->limiter;
	uint64_t now = io_now_ns(u->loop);
	struct guard_verdict verdict;

	if (!limiter)
		return true;
	const struct guard_limit_config *config = guard_limiter_config(limiter);
	s->limit_key = guard_key_address(client, config->prefix_v4, config->prefix_v6);
	if (config->count) {
		guard_limit_take(limiter, s->limit_key, now, 1, &verdict);
		/* Nor does a datagram wait for its turn in a leaky bucket. */
		if ((!verdict.allowed || verdict.delay_ns) && !config->dry_run)
			return false;
	}
	return !config->conns || guard_limit_enter(limiter, s->limit_key, now, &s->limited);
}

static void session_log_full(struct udp_service *u)
{
	uint64_t suppressed;

	if (log_rate_allow(&u->full_log, io_now_ns(u->loop), &suppressed))
		log_warn(
			"udp \"%.*s\": %u sessions, no more are begun (raise sessions_max); %llu times before",
			STR_ARG(u->config->name), u->sessions.count,
			(unsigned long long)suppressed);
}

static struct udp_session *session_begin(struct udp_service *u, const struct udp_key *key,
					 const struct udp_packet *p)
{
	struct net_addr client;

	if (u->sessions.count == u->sessions.count_max) {
		session_log_full(u);
		return NULL;
	}
	client_addr(&p->from, &client);
	if (u->config->access && !guard_access_allows(u->config->access, &client))
		return NULL;
	struct udp_session *s = slab_zalloc(&session_slab);
	if (!s)
		return NULL;
	s->key = *key;
	s->service = u;
	s->client = p->from;
	s->own = p->to;
	s->turn.hash = client_hash(&p->from);
	s->used_ns = io_now_ns(u->loop);
	bool within = session_within_limit(u, &client, s);
	if (!within || hash_put(&u->sessions, key_str(&s->key), s)) {
		if (s->limited)
			guard_limit_leave(u->config->limiter, s->limit_key);
		slab_free(&session_slab, s);
		return NULL;
	}
	if (list_empty(&u->idle))
		io_timer_set(u->loop, &u->expiry, idle_ns(u) / CLOCK_NS_PER_MS + 1);
	list_init(&s->link);
	list_add(&u->idle, &s->link);
	udp_count(&u->counts.connections, 1);
	udp_count(&u->counts.active, 1);
	return s;
}

/* What a client says, to its server; to another one when that cannot be reached. */
static void session_send(struct udp_session *s, struct udp_packet *p, unsigned n,
			 struct udp_sent *sent)
{
	struct udp_service *u = s->service;
	unsigned at = 0;

	for (unsigned tries = 0; tries < UDP_TRIES && at < n; tries++) {
		if (!s->leg && leg_connect(s)) {
			udp_count(&u->counts.failed, 1);
			continue;
		}
		const struct udp_target server = {.fd = s->leg->fd.fd,
						  .segments = &s->leg->segments};
		uint64_t before = sent->bytes;
		int err = udp_send(u->batch, &server, p, n, &at, sent);
		upstream_moved(&s->turn, 0, sent->bytes - before);
		if (err)
			leg_fail(s, err);
	}
	for (; at < n; at++)
		sent->dropped += udp_packet_datagrams(&p[at]);
}

void udp_session_forward(struct udp_service *u, const struct udp_key *key, struct udp_packet *p,
			 unsigned n)
{
	struct udp_session *s = hash_get(&u->sessions, key_str(key));
	struct udp_sent sent = {0};
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		udp_count(&u->counts.datagrams_in, udp_packet_datagrams(&p[i]));
		udp_count(&u->counts.bytes_in, p[i].len);
		if (p[i].cut)
			sent.dropped++;
		else
			p[kept++] = p[i];
	}
	if (!s && kept && !(s = session_begin(u, key, p)))
		udp_count(&u->counts.refused, 1);
	if (s) {
		session_touch(s);
		session_send(s, p, kept, &sent);
		/* One without a server is kept only for what it knows of those that failed. */
		if (!s->leg && !s->turn.tried_count)
			udp_session_end(s);
	} else {
		for (unsigned i = 0; i < kept; i++)
			sent.dropped += udp_packet_datagrams(&p[i]);
	}
	udp_count(&u->counts.dropped, sent.dropped);
}
