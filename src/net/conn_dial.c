// SPDX-License-Identifier: Apache-2.0
#include "net/dial.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/slab.h"
#include "net/plain.h"

/* Only while it connects. */
struct plain_dial {
	struct net_addr to;
	void (*connected)(struct conn *, void *consumer, int result);
	struct io_timer timer; /* runs out at once: in the next turn of the loop */
	struct io_loop *loop;
	struct io_task *task;
	bool waited, begun;
};

static _Thread_local struct slab dial_slab = SLAB_INIT("conn dial", sizeof(struct plain_dial), 64);

void plain_dial_free(struct plain *p)
{
	if (p->dial)
		io_timer_stop(&p->dial->timer);
	slab_free(&dial_slab, p->dial);
	p->dial = NULL;
}

static void dial_over(struct plain *p, int result)
{
	void (*connected)(struct conn *, void *, int) = p->dial->connected;

	plain_dial_free(p);
	if (result)
		p->conn.error = p->conn.source.error = result;
	else if (p->waiting)
		plain_receive(p);
	if (connected)
		connected(&p->conn, p->conn.consumer, result);
	if (!result || !p->waiting || p->state != PLAIN_OPEN)
		return;
	p->waiting = false;
	source_wake(&p->conn.source);
}

/* After the callbacks of that turn, which may bring something to send. */
static void dial_waited(struct io_timer *t)
{
	struct plain_dial *d = SL_CONTAINER(t, struct plain_dial, timer);

	io_defer(d->loop, d->task);
}

/*
 * One turn of the loop may bring what is to be sent first, which then saves calls and a packet. True: it is
 * waited for.
 */
static bool dial_waits(struct plain *p)
{
	struct plain_dial *d = p->dial;

	if (d->begun || d->waited || p->conn.queued)
		return false;
	d->waited = true;
	io_timer_set(d->loop, &d->timer, 0);
	return true;
}

static int dial_try(struct plain *p)
{
	struct plain_dial *d = p->dial;
	bool again = d->begun && p->conn.queued;

	/* A send tells as much as asking. */
	if (again || p->conn.bytes_out)
		return -EINPROGRESS;
	d->begun = true;
	return io_try_connect(&p->fd, &d->to.u.sa, d->to.len, p->conn.queued > 0);
}

/*
 * On loopback the peer is there when connect(2) returns: then the first send goes through, or a second look finds it,
 * before anybody need wait.
 */
void plain_dial_step(struct plain *p)
{
	bool began = p->dial->begun;
	int result;

	if (p->sending || p->state != PLAIN_OPEN || dial_waits(p))
		return;
	result = dial_try(p);
	if (result == -EINPROGRESS && !p->conn.queued && !began)
		result = dial_try(p);
	if (result == -EINPROGRESS && p->conn.queued)
		plain_push(p);
	if (p->conn.error)
		result = p->conn.error;
	else if (p->conn.bytes_out)
		result = 0;
	else if (result == -EINPROGRESS && !p->sending)
		result = plain_sleep(p, IO_WAIT_OUT) ? -ENOMEM : -EINPROGRESS;
	if (result != -EINPROGRESS)
		dial_over(p, result);
}

static void set_int(int fd, int level, int name, int value)
{
	/* Each only makes the connection better; a system without it, or a Unix socket, still has one. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

static int dial_prepare(int fd, int family, const struct conn_dial *o)
{
	if (family != AF_UNIX)
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!o)
		return 0;
	if (o->keepalive_s > 0) {
		set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
		set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepalive_s);
	}
	if (o->user_timeout_ms > 0)
		set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, o->user_timeout_ms);
	if (!o->from)
		return 0;
	/* The port is chosen when the peer is known: one port serves connections to several peers. */
	set_int(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, &o->from->u.sa, o->from->len) < 0 ? -errno : 0;
}

struct conn *conn_plain_connect(struct io_loop *loop, const struct net_addr *to,
				const struct conn_dial *options,
				void (*connected)(struct conn *, void *consumer, int result))
{
	int fd = io_socket(loop, to->u.sa.sa_family, SOCK_STREAM);
	int err = fd < 0 ? fd : dial_prepare(fd, to->u.sa.sa_family, options);

	if (err < 0) {
		if (fd >= 0)
			close(fd);
		errno = -err;
		return NULL;
	}
	struct plain_dial *dial = slab_zalloc(&dial_slab);
	struct conn *c = conn_plain_new(loop, fd);
	if (!c || !dial) {
		slab_free(&dial_slab, dial);
		if (c)
			conn_close(c, -ENOMEM);
		errno = ENOMEM;
		return NULL;
	}
	struct plain *p = plain_of(c);
	p->dial = dial;
	dial->to = *to;
	dial->connected = connected;
	dial->timer.fire = dial_waited;
	dial->loop = loop;
	dial->task = &p->task;
	io_defer(loop, &p->task);
	return c;
}
