// SPDX-License-Identifier: Apache-2.0
// The socket that clients send to.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/err.h"
#include "handler/udp/udp.h"

static void udp_set_state(struct udp_service *u, enum udp_state state)
{
	assert(state > u->state);
	u->state = state;
}

/* Goes on when there is more. False: the socket is in trouble. */
static bool udp_read(struct udp_service *u)
{
	for (unsigned batches = 0; batches < UDP_TURN_BATCHES; batches++) {
		struct udp_packet *p;
		struct udp_key key, next;
		int n = udp_receive(u->batch, u->fd.fd, &p);
		uint64_t suppressed;

		if (n < 0 && log_rate_allow(&u->error_log, io_now_ns(u->loop), &suppressed))
			log_warn("udp \"%.*s\": %s", STR_ARG(u->config->name), err_text(n));
		if (n <= 0)
			return n == 0;
		unsigned from = 0;
		udp_key_of(&key, &p[0]);
		for (unsigned i = 1; i <= (unsigned)n; i++) {
			if (i < (unsigned)n) {
				udp_key_of(&next, &p[i]);
				if (memcmp(&key, &next, sizeof(key)) == 0)
					continue;
			}
			udp_session_forward(u, &key, p + from, i - from);
			from = i;
			key = next;
		}
		if ((unsigned)n < UDP_BATCH)
			break;
	}
	return true;
}

static void udp_readable(struct io_op *op, int result)
{
	struct udp_service *u = SL_CONTAINER(op, struct udp_service, rd);

	if (u->state != UDP_OPEN || result == -ECANCELED)
		return;
	if (result == 0 && udp_read(u))
		io_submit(u->loop, &u->rd);
	else
		io_timer_set(u->loop, &u->rest, UDP_REST_MS);
}

static void udp_rested(struct io_timer *timer)
{
	struct udp_service *u = SL_CONTAINER(timer, struct udp_service, rest);

	io_submit(u->loop, &u->rd);
}

static void udp_closed(struct io_fd *fd)
{
	struct udp_service *u = SL_CONTAINER(fd, struct udp_service, fd);

	udp_set_state(u, UDP_CLOSED);
	upstream_view_put(u->view);
	u->view = NULL;
	if (u->drained)
		u->drained(u->owner);
}

static void udp_settle(struct io_task *task)
{
	struct udp_service *u = SL_CONTAINER(task, struct udp_service, settle);

	if (u->state != UDP_DRAINING || u->sessions.count || u->legs)
		return;
	io_timer_stop(&u->expiry);
	udp_set_state(u, UDP_CLOSING);
	io_close(&u->fd, udp_closed);
}

static void udp_expired(struct io_timer *timer)
{
	udp_sessions_expire(SL_CONTAINER(timer, struct udp_service, expiry));
}

static int udp_open(struct udp_service *u, const struct udp_config *config, struct io_loop *loop,
		    int fd)
{
	union udp_address own = {.sa = {0}};
	socklen_t len = sizeof(own);

	if (getsockname(fd, &own.sa, &len))
		return -errno;
	if (own.sa.sa_family != AF_INET && own.sa.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	u->config = config;
	u->loop = loop;
	u->batch = udp_batch_new();
	u->view = u->batch ? upstream_view_get(config->group, loop) : NULL;
	if (!u->view)
		return -ENOMEM;
	hash_init(&u->sessions, config->sessions_max ? config->sessions_max : UDP_SESSIONS_DEFAULT);
	list_init(&u->idle);
	u->expiry.fire = udp_expired;
	u->rest.fire = udp_rested;
	u->settle.run = udp_settle;
	u->segments = udp_prepare(fd);
	return io_fd_init(loop, &u->fd, fd);
}

int udp_service_new(const struct udp_config *config, struct io_loop *loop, int fd,
		    struct udp_service **out)
{
	struct udp_service *u = calloc(1, sizeof(*u));
	int err = u ? udp_open(u, config, loop, fd) : -ENOMEM;

	if (err) {
		close(fd);
		if (u && u->view)
			upstream_view_put(u->view);
		if (u)
			udp_batch_free(u->batch);
		free(u);
		return err;
	}
	u->rd = (struct io_op){.cb = udp_readable, .fd = &u->fd, .code = IO_WAIT_IN};
	io_submit(loop, &u->rd);
	*out = u;
	return 0;
}

void udp_service_drain(struct udp_service *u, void (*drained)(void *owner), void *owner)
{
	assert(u->state == UDP_OPEN);
	u->drained = drained;
	u->owner = owner;
	udp_set_state(u, UDP_DRAINING);
	io_timer_stop(&u->rest);
	io_cancel(&u->rd);
	udp_sessions_expire(u);
	io_defer(u->loop, &u->settle);
}

void udp_service_abort(struct udp_service *u)
{
	if (u->state == UDP_OPEN)
		udp_service_drain(u, NULL, NULL);
	while (!list_empty(&u->idle))
		udp_session_end(SL_CONTAINER(u->idle.next, struct udp_session, link));
}

void udp_service_free(struct udp_service *u)
{
	assert(u->state == UDP_CLOSED);
	hash_destroy(&u->sessions);
	udp_batch_free(u->batch);
	free(u);
}

const struct relay_counts *udp_service_counts(const struct udp_service *u)
{
	return &u->counts;
}
