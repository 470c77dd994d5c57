// SPDX-License-Identifier: Apache-2.0
#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

static struct net_listener *listener_of(struct io_op *op)
{
	return SL_CONTAINER(op, struct net_listener, op);
}

static void listener_submit(struct net_listener *l)
{
	l->op.code = IO_ACCEPT;
	l->op.flags = IO_MULTI;
	io_submit(l->fd.loop, &l->op);
}

static void listener_rested(struct io_timer *timer)
{
	struct net_listener *l = SL_CONTAINER(timer, struct net_listener, rest);

	if (!l->fd.closing)
		listener_submit(l);
}

/*
 * With the reserve given up there is room for one descriptor: what waits is taken and closed, so that its owner
 * knows at once and does not wait for a timeout.
 */
static unsigned listener_turn_away(struct net_listener *l)
{
	unsigned n = 0;

	close(l->reserve);
	for (; n < NET_REFUSE_MAX; n++) {
		int fd = accept4(l->fd.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		close(fd);
	}
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return n;
}

/* accept(2) says EMFILE before it looks whether there is a connection. */
static bool listener_is_awaited(const struct net_listener *l)
{
	struct pollfd p = {.fd = l->fd.fd, .events = POLLIN};

	return poll(&p, 1, 0) != 0;
}

static void listener_starved(struct net_listener *l, int error)
{
	uint64_t quiet;

	if (!listener_is_awaited(l)) {
		io_timer_set(l->fd.loop, &l->rest, NET_STARVED_MS);
		return;
	}
	bool freed = l->events->starved && l->events->starved(l);
	unsigned refused = freed ? 0 : listener_turn_away(l);

	l->refused += refused;
	if (log_rate_allow(&l->log, io_now_ns(l->fd.loop), &quiet))
		log_warn(
			"out of descriptors (%s): %s; raise the limit of open files (ulimit -n, LimitNOFILE=)",
			err_name(error),
			freed ? "the oldest idle connection was closed"
			      : "new connections are refused");
	io_timer_set(l->fd.loop, &l->rest, freed ? 1 : NET_STARVED_MS);
}

static void listener_accepted(struct io_op *op, int result)
{
	struct net_listener *l = listener_of(op);
	bool more = op->flags & IO_MORE;

	if (result >= 0) {
		l->accepted++;
		l->events->accepted(l, result);
	}
	if (more || l->fd.closing || result == -ECANCELED)
		return;
	if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
		listener_starved(l, result);
		return;
	}
	/* ECONNABORTED and the network errors of accept(2) concern one connection, not the listener. */
	if (result < 0) {
		uint64_t quiet;
		if (log_rate_allow(&l->log, io_now_ns(l->fd.loop), &quiet))
			log_warn("accept failed: %s", err_text(result));
		io_timer_set(l->fd.loop, &l->rest, NET_STARVED_MS);
		return;
	}
	listener_submit(l);
}

int net_listener_start(struct net_listener *l, struct io_loop *loop, int fd,
		       const struct net_listener_events *events, void *owner)
{
	*l = (struct net_listener){.events = events, .owner = owner};
	l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int err = io_fd_init(loop, &l->fd, fd);
	if (err) {
		close(l->reserve);
		return err;
	}
	l->op.cb = listener_accepted;
	l->op.fd = &l->fd;
	l->rest.fire = listener_rested;
	listener_submit(l);
	return 0;
}

static void listener_closed(struct io_fd *fd)
{
	struct net_listener *l = SL_CONTAINER(fd, struct net_listener, fd);

	close(l->reserve);
	l->reserve = -1;
	if (l->stopped)
		l->stopped(l);
}

void net_listener_stop(struct net_listener *l, void (*stopped)(struct net_listener *))
{
	assert(!l->fd.closing);
	l->stopped = stopped;
	io_timer_stop(&l->rest);
	/* What the kernel has already taken for us would be reset by the close. */
	for (unsigned i = 0; i < NET_DRAIN_MAX; i++) {
		int fd = accept4(l->fd.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			break;
		l->accepted++;
		l->events->accepted(l, fd);
	}
	io_close(&l->fd, listener_closed);
}
