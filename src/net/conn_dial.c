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
	int result; /* of the first attempt */
};

static _Thread_local struct slab dial_slab = SLAB_INIT("conn dial", sizeof(struct plain_dial), 64);

void plain_dial_free(struct plain *p)
{
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

/*
 * A send that took bytes tells as much as asking: on loopback the peer is usually there before the end of the turn,
 * and then connecting costs no call but connect(2).
 */
void plain_dial_step(struct plain *p)
{
	int result = p->dial->result;

	if (p->sending || p->state != PLAIN_OPEN)
		return;
	if (result == -EINPROGRESS && p->conn.queued)
		plain_push(p);
	else if (result == -EINPROGRESS && !p->conn.bytes_out)
		result = io_try_connect(&p->fd, &p->dial->to.u.sa, p->dial->to.len);
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
	struct plain_dial *dial = slab_alloc(&dial_slab);
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
	dial->result = io_try_connect(&p->fd, &to->u.sa, to->len);
	io_defer(loop, &p->task);
	return c;
}
