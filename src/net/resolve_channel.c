// SPDX-License-Identifier: Apache-2.0
#include "net/resolve_channel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

struct resolve_socket {
	struct io_fd fd;
	struct io_op in, out;
	bool want_in, want_out;
	struct resolve_channel *channel;
	struct list link;
};

static struct resolve_socket *socket_find(struct resolve_channel *c, int fd)
{
	for (struct list *l = c->sockets.next; l != &c->sockets; l = l->next) {
		struct resolve_socket *s = SL_CONTAINER(l, struct resolve_socket, link);

		/* One that closes still holds its number, so no other can have it. */
		if (s->fd.fd == fd && !s->fd.closing)
			return s;
	}
	return NULL;
}

static void socket_wait(struct resolve_socket *s)
{
	if (s->fd.closing)
		return;
	if (s->want_in && s->in.state == IO_IDLE)
		io_submit(s->channel->loop, &s->in);
	if (s->want_out && s->out.state == IO_IDLE)
		io_submit(s->channel->loop, &s->out);
}

static void socket_ready(struct resolve_socket *s, bool in)
{
	struct resolve_channel *c = s->channel;

	/* What went wrong with a socket, c-ares finds out by itself. */
	if (s->fd.closing || !c->ares)
		return;
	ares_process_fd(c->ares, in ? s->fd.fd : ARES_SOCKET_BAD, in ? ARES_SOCKET_BAD : s->fd.fd);
	resolve_channel_arm(c);
	socket_wait(s);
}

static void socket_readable(struct io_op *op, int result)
{
	(void)result;
	socket_ready(SL_CONTAINER(op, struct resolve_socket, in), true);
}

static void socket_writable(struct io_op *op, int result)
{
	(void)result;
	socket_ready(SL_CONTAINER(op, struct resolve_socket, out), false);
}

static void channel_wants(void *data, ares_socket_t fd, int readable, int writable)
{
	struct resolve_socket *s = socket_find(data, fd);

	if (!s)
		return;
	s->want_in = readable;
	s->want_out = writable;
	socket_wait(s);
}

static void socket_closed(struct io_fd *fd)
{
	struct resolve_socket *s = SL_CONTAINER(fd, struct resolve_socket, fd);
	struct resolve_channel *c = s->channel;

	list_del(&s->link);
	free(s);
	if (!c->ares && list_empty(&c->sockets))
		c->closed(c);
}

static ares_socket_t channel_socket(int domain, int type, int protocol, void *data)
{
	struct resolve_channel *c = data;
	struct resolve_socket *s = calloc(1, sizeof(*s));
	int fd, rc = -ENOMEM;

	(void)protocol;
	if (!s)
		goto fail;
	fd = io_socket(c->loop, domain, type);
	rc = fd;
	if (fd < 0)
		goto fail;
	rc = io_fd_init(c->loop, &s->fd, fd);
	if (rc < 0) {
		close(fd);
		goto fail;
	}
	s->channel = c;
	s->in = (struct io_op){.cb = socket_readable, .fd = &s->fd, .code = IO_WAIT_IN};
	s->out = (struct io_op){.cb = socket_writable, .fd = &s->fd, .code = IO_WAIT_OUT};
	list_init(&s->link);
	list_add(&c->sockets, &s->link);
	return fd;
fail:
	free(s);
	errno = -rc;
	return ARES_SOCKET_BAD;
}

static int channel_close_socket(ares_socket_t fd, void *data)
{
	struct resolve_socket *s = socket_find(data, fd);

	assert(s);
	io_close(&s->fd, socket_closed);
	return 0;
}

static int channel_connect(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t len,
			   void *data)
{
	(void)data;
	return connect(fd, to, len);
}

static ares_ssize_t channel_receive(ares_socket_t fd, void *mem, size_t len, int flags,
				    struct sockaddr *from, ares_socklen_t *from_len, void *data)
{
	(void)data;
	return recvfrom(fd, mem, len, flags | MSG_DONTWAIT, from, from_len);
}

static ares_ssize_t channel_send(ares_socket_t fd, const struct iovec *iov, int n, void *data)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n};

	(void)data;
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void channel_timeout(struct io_timer *timer)
{
	struct resolve_channel *c = SL_CONTAINER(timer, struct resolve_channel, timer);

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolve_channel_arm(c);
}

void resolve_channel_arm(struct resolve_channel *c)
{
	struct timeval tv, *next = ares_timeout(c->ares, NULL, &tv);

	if (!next) {
		io_timer_stop(&c->timer);
		return;
	}
	/* Rounded up: c-ares does nothing before its time. */
	io_timer_set(c->loop, &c->timer,
		     (uint64_t)next->tv_sec * 1000 + (uint64_t)next->tv_usec / 1000 + 1);
}

int resolve_channel_open(struct resolve_channel *c, struct io_loop *loop, const char *servers,
			 char *why, size_t why_len)
{
	static const struct ares_socket_functions functions = {
		.asocket = channel_socket,
		.aclose = channel_close_socket,
		.aconnect = channel_connect,
		.arecvfrom = channel_receive,
		.asendv = channel_send,
	};
	struct ares_options options = {
		.timeout = RESOLVE_TRY_MS,
		.tries = RESOLVE_TRIES,
		.sock_state_cb = channel_wants,
		.sock_state_cb_data = c,
	};
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	if (rc == ARES_SUCCESS) {
		rc = ares_init_options(&c->ares, &options,
				       ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					       ARES_OPT_SOCK_STATE_CB);
		if (rc != ARES_SUCCESS)
			ares_library_cleanup();
	}
	if (rc != ARES_SUCCESS) {
		c->ares = NULL;
		snprintf(why, why_len, "the resolver does not start: %s", ares_strerror(rc));
		return rc == ARES_ENOMEM ? -ENOMEM : -EIO;
	}
	c->loop = loop;
	c->timer.fire = channel_timeout;
	list_init(&c->sockets);
	ares_set_socket_functions(c->ares, &functions, c);
	rc = servers ? ares_set_servers_ports_csv(c->ares, servers) : ARES_SUCCESS;
	if (rc == ARES_SUCCESS)
		return 0;
	snprintf(why, why_len, "\"%s\" are no name servers (expected \"ADDRESS:PORT,...\")",
		 servers);
	ares_destroy(c->ares);
	c->ares = NULL;
	ares_library_cleanup();
	return rc == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

void resolve_channel_close(struct resolve_channel *c)
{
	ares_channel ares = c->ares;

	io_timer_stop(&c->timer);
	/* Before the callbacks come: none of them begins anything any more. */
	c->ares = NULL;
	ares_destroy(ares);
	ares_library_cleanup();
	if (list_empty(&c->sockets))
		c->closed(c);
}
