// SPDX-License-Identifier: Apache-2.0
/* The public names of this room: include/sluice/net.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slab.h"
#include "net/conn.h"
#include "net/listener.h"
#include "sluice/net.h"

/* Pieces of one pull, so that a fast peer does not hold the loop. */
#define API_PULL_BYTES 65536
#define API_PULLS_MAX 16

struct sl_listener {
	struct net_listener net;
	void (*accepted)(struct sl_conn *, void *owner);
	void *owner;
	struct net_addr addr;
};

struct sl_conn {
	struct conn *conn;
	const struct sl_conn_events *events;
	void *owner;
	struct io_task again;
	int error;
	bool ended, closing, was_full;
};

static _Thread_local struct slab sl_conn_slab = SLAB_INIT("sl_conn", sizeof(struct sl_conn), 64);

static void api_closed(void *consumer)
{
	struct sl_conn *c = consumer;

	if (c->events && c->events->on_closed)
		c->events->on_closed(c, c->error);
	slab_free(&sl_conn_slab, c);
}

static void api_close(struct sl_conn *c, int why)
{
	if (c->closing && why >= 0)
		return;
	c->closing = true;
	io_undefer(c->conn->loop, &c->again);
	conn_close(c->conn, why);
}

static void api_ended(struct sl_conn *c)
{
	c->ended = true;
	if (c->events->on_end)
		c->events->on_end(c);
	else
		api_close(c, CONN_DONE);
}

static void api_read(struct sl_conn *c)
{
	for (unsigned i = 0; i < API_PULLS_MAX; i++) {
		struct seg s;
		if (c->ended || c->closing || conn_full(c->conn))
			return;
		switch (source_pull(&c->conn->source, API_PULL_BYTES, SEG_MEM, &s)) {
		case PULL_DATA:
			c->events->on_data(c, s.u.mem, s.len);
			seg_release(&s);
			break;
		case PULL_WAIT:
			return;
		case PULL_END:
			api_ended(c);
			return;
		case PULL_FAIL:
			c->error = c->conn->source.error;
			api_close(c, c->error);
			return;
		}
	}
	io_defer(c->conn->loop, &c->again);
}

static void api_read_again(struct io_task *task)
{
	api_read(SL_CONTAINER(task, struct sl_conn, again));
}

static void api_woken(struct source *source, void *consumer)
{
	(void)source;
	api_read(consumer);
}

static void api_drained(struct conn *conn, void *consumer)
{
	struct sl_conn *c = consumer;

	if (conn->error) {
		c->error = conn->error;
		api_close(c, conn->error);
		return;
	}
	if (c->was_full && c->events->on_drained) {
		c->was_full = false;
		c->events->on_drained(c);
	}
	api_read(c);
}

static void api_accepted(struct net_listener *net, int fd)
{
	struct sl_listener *l = SL_CONTAINER(net, struct sl_listener, net);
	struct sl_conn *c = slab_zalloc(&sl_conn_slab);

	if (!c) {
		close(fd);
		return;
	}
	c->conn = conn_plain_new(net->fd.loop, fd);
	if (!c->conn) {
		slab_free(&sl_conn_slab, c);
		return;
	}
	c->again.run = api_read_again;
	c->conn->consumer = c;
	c->conn->closed = api_closed;
	l->accepted(c, l->owner);
}

static const struct net_listener_events api_listener_events = {.accepted = api_accepted};

static int api_listen(struct sl_listener *l, struct io_loop *loop, const char *address, char *why,
		      size_t why_len)
{
	const struct net_options options = {0};
	int fd = net_listen_text(str_from(address), &options, &l->addr, why, why_len);

	if (fd < 0)
		return fd;
	int err = net_listener_start(&l->net, loop, fd, &api_listener_events, l);
	if (err) {
		close(fd);
		snprintf(why, why_len, "the loop cannot watch the socket");
	}
	return err;
}

struct sl_listener *sl_listen(struct sl_loop *loop, const char *address,
			      void (*accepted)(struct sl_conn *, void *owner), void *owner,
			      char *why, size_t why_len)
{
	struct sl_listener *l = calloc(1, sizeof(*l));
	char reason[256] = "out of memory";

	if (l) {
		l->accepted = accepted;
		l->owner = owner;
	}
	if (l && !api_listen(l, (struct io_loop *)loop, address, reason, sizeof(reason)))
		return l;
	if (why_len)
		snprintf(why, why_len, "%s", reason);
	free(l);
	return NULL;
}

size_t sl_listener_address(const struct sl_listener *l, char *text, size_t text_len)
{
	char full[NET_ADDR_TEXT];

	net_addr_print(&l->addr, full);
	return (size_t)snprintf(text, text_len, "%s", full);
}

static void api_stopped(struct net_listener *net)
{
	free(SL_CONTAINER(net, struct sl_listener, net));
}

void sl_listener_close(struct sl_listener *l)
{
	net_listener_stop(&l->net, api_stopped);
}

void sl_conn_start(struct sl_conn *c, const struct sl_conn_events *events, void *owner)
{
	c->events = events;
	c->owner = owner;
	c->conn->drained = api_drained;
	c->conn->source.wake = api_woken;
	c->conn->source.consumer = c;
	io_defer(c->conn->loop, &c->again);
}

void *sl_conn_owner(const struct sl_conn *c)
{
	return c->owner;
}

int sl_conn_send(struct sl_conn *c, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len) {
		size_t n = SL_MIN(len, CONN_RESERVE_MAX);
		uint8_t *at = c->closing ? NULL : conn_reserve(c->conn, n);
		if (!at)
			return c->conn->error ? c->conn->error : c->closing ? -EPIPE : -ENOMEM;
		memcpy(at, p, n);
		conn_commit(c->conn, n);
		p += n;
		len -= n;
	}
	c->was_full |= conn_full(c->conn);
	return c->conn->error;
}

int sl_conn_full(const struct sl_conn *c)
{
	return conn_full(c->conn);
}

void sl_conn_close(struct sl_conn *c)
{
	api_close(c, c->ended ? CONN_DONE : CONN_LINGER);
}

void sl_conn_reset(struct sl_conn *c)
{
	api_close(c, -ECONNABORTED);
}
