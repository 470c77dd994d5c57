// SPDX-License-Identifier: Apache-2.0
// When servers are checked, what follows from it, and the check that is a connection alone.
#include "upstream/check.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "net/dial.h"
#include "upstream/set.h"

static void check_run(struct upstream_check *);

static void set_state(struct upstream_check *c, enum check_state state)
{
	assert(c->state != state);
	c->state = state;
}

/* Not from itself: a check that fails at once would begin the next one inside of this one. */
static void checks_next(struct upstream_checks *checks)
{
	if (checks->starting)
		return;
	checks->starting = true;
	while (checks->running < UPSTREAM_CHECKS_MAX && !list_empty(&checks->queue)) {
		struct list *first = checks->queue.next;

		list_del(first);
		check_run(SL_CONTAINER(first, struct upstream_check, link));
	}
	checks->starting = false;
}

static void check_want(struct upstream_check *c)
{
	set_state(c, CHECK_QUEUED);
	list_add(&c->checks->queue, &c->link);
	checks_next(c->checks);
}

static void check_rest(struct upstream_check *c)
{
	const struct upstream_health *h = &c->config->health;
	uint64_t every_ms = h->every_ms;
	uint32_t jitter_ms = (uint32_t)(every_ms * SL_MIN(h->jitter_percent, 100u) / 100);

	every_ms = every_ms - jitter_ms + chance_below(&c->checks->chance, 2 * jitter_ms + 1);
	set_state(c, CHECK_RESTING);
	io_timer_set(c->checks->loop, &c->timer, SL_MAX(every_ms, 1u));
}

static void server_up(struct upstream_check *c)
{
	struct upstream_server *s = c->server;
	uint64_t now_ns = io_now_ns(c->checks->loop);

	atomic_store_explicit(&s->starting_since_ns, now_ns, memory_order_relaxed);
	atomic_fetch_and_explicit(&s->flags, ~(uint32_t)UPSTREAM_FLAG_DOWN, memory_order_relaxed);
	upstream_group_stir(c->group);
}

static bool is_down(const struct upstream_server *s)
{
	return atomic_load_explicit(&s->flags, memory_order_relaxed) & UPSTREAM_FLAG_DOWN;
}

static void check_passed(struct upstream_check *c)
{
	uint32_t rise = SL_MAX(c->config->health.rise, 1u);

	c->failed = 0;
	c->passed++;
	if (!is_down(c->server) || c->passed < rise)
		return;
	server_up(c);
	upstream_server_log(c->server, LOG_INFO, "is up (%u of %u checks)", c->passed, rise);
}

static void check_failed(struct upstream_check *c)
{
	struct upstream_server *s = c->server;
	uint32_t fall = SL_MAX(c->config->health.fall, 1u);

	c->passed = 0;
	c->failed++;
	atomic_fetch_add_explicit(&s->checks_failed, 1, memory_order_relaxed);
	upstream_server_error(s, c->why);
	if (is_down(s))
		return;
	if (c->failed < fall) {
		upstream_server_log(s, LOG_DEBUG, "fails a check: %s (%u of %u checks)", c->why,
				    c->failed, fall);
		return;
	}
	atomic_fetch_or_explicit(&s->flags, UPSTREAM_FLAG_DOWN, memory_order_relaxed);
	upstream_server_log(s, LOG_WARN, "is down: %s (%u of %u checks)", c->why, c->failed, fall);
}

/* Lets go of the check that runs. */
static void check_end(struct upstream_check *c)
{
	if (c->conn) {
		c->conn->consumer = NULL;
		conn_close(c->conn, CONN_DONE);
		c->conn = NULL;
	}
	check_http_stop(c);
	io_timer_stop(&c->timer);
	io_undefer(c->checks->loop, &c->verdict);
	c->checks->running--;
}

static void check_finish(struct io_task *task)
{
	struct upstream_check *c = SL_CONTAINER(task, struct upstream_check, verdict);

	check_end(c);
	if (c->passes)
		check_passed(c);
	else
		check_failed(c);
	check_rest(c);
	checks_next(c->checks);
}

void check_verdict(struct upstream_check *c, const char *why, ...)
{
	va_list args;

	if (c->verdict.at)
		return;
	c->passes = why == NULL;
	if (why) {
		va_start(args, why);
		vsnprintf(c->why, sizeof(c->why), why, args);
		va_end(args);
	}
	io_defer(c->checks->loop, &c->verdict);
}

static void check_timer(struct io_timer *timer)
{
	struct upstream_check *c = SL_CONTAINER(timer, struct upstream_check, timer);

	if (c->state == CHECK_RESTING)
		check_want(c);
	else
		check_verdict(c, "no answer in %u ms", c->config->health.timeout_ms);
}

static void check_connected(struct conn *conn, void *consumer, int result)
{
	struct upstream_check *c = consumer;

	(void)conn;
	/* NULL: given up. */
	if (c)
		check_verdict(c, result ? "%s" : NULL, err_text(result));
}

static int check_tcp_start(struct upstream_check *c, const struct net_addr *addr)
{
	static const struct conn_dial dial;

	c->conn = conn_plain_connect(c->checks->loop, addr, &dial, check_connected);
	if (!c->conn)
		return -errno;
	c->conn->consumer = c;
	return 0;
}

static void check_addr(const struct upstream_check *c, struct net_addr *addr)
{
	uint16_t port = htons(c->config->health.port);

	*addr = c->server->addr;
	if (!port)
		return;
	if (addr->u.sa.sa_family == AF_INET)
		((struct sockaddr_in *)&addr->u)->sin_port = port;
	else if (addr->u.sa.sa_family == AF_INET6)
		((struct sockaddr_in6 *)&addr->u)->sin6_port = port;
}

static void check_run(struct upstream_check *c)
{
	const struct upstream_health *h = &c->config->health;
	struct net_addr addr;
	int error;

	set_state(c, CHECK_RUNNING);
	c->checks->running++;
	io_timer_set(c->checks->loop, &c->timer, h->timeout_ms);
	check_addr(c, &addr);
	error = h->http ? check_http_start(c, &addr) : check_tcp_start(c, &addr);
	if (error)
		check_verdict(c, "%s", err_text(error));
}

void check_stop(struct upstream_check *c)
{
	switch (c->state) {
	case CHECK_OFF:
		return;
	case CHECK_RESTING:
		io_timer_stop(&c->timer);
		break;
	case CHECK_QUEUED:
		list_del(&c->link);
		break;
	case CHECK_RUNNING:
		check_end(c);
		break;
	}
	set_state(c, CHECK_OFF);
	checks_next(c->checks);
}

static bool is_same(const struct upstream_health *a, const struct upstream_health *b)
{
	return a->on == b->on && a->http == b->http && a->every_ms == b->every_ms &&
	       a->timeout_ms == b->timeout_ms && a->jitter_percent == b->jitter_percent &&
	       a->rise == b->rise && a->fall == b->fall && a->status_min == b->status_min &&
	       a->status_max == b->status_max && a->port == b->port && str_eq(a->path, b->path) &&
	       str_eq(a->host, b->host) && str_eq(a->body, b->body);
}

void check_begin(struct upstream_check *c, const struct upstream_config *config)
{
	bool same = c->config && is_same(&c->config->health, &config->health) &&
		    c->config->send_proxy == config->send_proxy;

	/* One that runs refers to the old configuration; one that is still to come does not. */
	if (!same || c->state == CHECK_RUNNING)
		check_stop(c);
	c->config = config;
	if (c->state != CHECK_OFF)
		return;
	if (!config->health.on) {
		if (!is_down(c->server))
			return;
		c->passed = c->failed = 0;
		server_up(c);
		upstream_server_log(c->server, LOG_INFO,
				    "is used again: it is not checked any more");
		return;
	}
	c->timer.fire = check_timer;
	c->verdict.run = check_finish;
	list_init(&c->link);
	check_want(c);
}
