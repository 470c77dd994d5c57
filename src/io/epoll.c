// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/err.h"
#include "io/ready.h"

#define EPOLL_EVENTS_MAX 512

struct epoll {
	struct ready ready;
	int fd;
	struct epoll_event events[EPOLL_EVENTS_MAX];
};

/* What an event carries: a descriptor, and which of its lives was meant. */
static uint64_t epoll_token(unsigned descriptor, uint32_t gen)
{
	return (uint64_t)gen << 32 | descriptor;
}

static int epoll_watch(struct ready *r, struct io_fd *fd, unsigned want)
{
	struct epoll *e = SL_CONTAINER(r, struct epoll, ready);
	bool known = fd->ready & (IO_READY_WATCH_IN | IO_READY_WATCH_OUT);
	struct epoll_event event = {
		.events = EPOLLET | (want & IO_READY_IN ? EPOLLIN | EPOLLRDHUP : 0u) |
			  (want & IO_READY_OUT ? EPOLLOUT : 0u),
		.data.u64 = epoll_token((unsigned)fd->fd, fd->gen),
	};

	if (epoll_ctl(e->fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd->fd, &event) == 0)
		return 0;
	/* A copy of the descriptor in another process may keep a registration of its former life. */
	if (errno == EEXIST && epoll_ctl(e->fd, EPOLL_CTL_MOD, fd->fd, &event) == 0)
		return 0;
	return -errno;
}

static const struct ready_poller epoll_poller = {
	.edge = true,
	.watch = epoll_watch,
};

static int epoll_open(struct epoll *e, struct io_loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = UINT64_MAX};
	int rc = ready_init(&e->ready, loop, &epoll_poller);

	if (rc < 0)
		return rc;
	e->fd = epoll_create1(EPOLL_CLOEXEC);
	if (e->fd >= 0 && epoll_ctl(e->fd, EPOLL_CTL_ADD, e->ready.wake_fd, &event) == 0)
		return 0;
	rc = -errno;
	if (e->fd >= 0)
		close(e->fd);
	ready_fini(&e->ready);
	return rc;
}

static int epoll_init(struct io_loop *loop, const struct io_options *options, char *why,
		      size_t why_len)
{
	struct epoll *e = calloc(1, sizeof(*e));
	int rc = e ? epoll_open(e, loop) : -ENOMEM;

	(void)options;
	if (rc < 0) {
		snprintf(why, why_len, "epoll: %s", err_text(rc));
		free(e);
		return rc;
	}
	loop->state = e;
	return 0;
}

static void epoll_fini(struct io_loop *loop)
{
	struct epoll *e = loop->state;

	loop->state = NULL;
	close(e->fd);
	ready_fini(&e->ready);
	free(e);
}

static int epoll_sleep(struct io_loop *loop, int64_t timeout_ns)
{
	struct epoll *e = loop->state;
	struct ready *r = &e->ready;
	int timeout_ms = ready_flush(r, timeout_ns);
	int n = epoll_wait(e->fd, e->events, EPOLL_EVENTS_MAX, timeout_ms);
	int rc = n < 0 && errno != EINTR ? -errno : 0;

	io_loop_woke(loop);
	for (int i = 0; i < n; i++) {
		uint64_t token = e->events[i].data.u64;
		unsigned descriptor = (unsigned)token;
		struct io_fd *fd;

		/* Wake-ups carry no descriptor of the table: to have woken is all that they are for. */
		if (descriptor >= r->count)
			continue;
		fd = r->slots[descriptor].fd;
		if (SL_UNLIKELY(!fd || fd->gen != token >> 32))
			continue;
		loop->stats.events++;
		ready_event(r, fd, e->events[i].events);
	}
	return rc;
}

static const char *epoll_features(struct io_loop *loop)
{
	(void)loop;
	return "edge-triggered eventfd";
}

const struct io_backend io_backend_epoll = {
	.name = "epoll",
	.init = epoll_init,
	.fini = epoll_fini,
	.attach = ready_attach,
	.submit = ready_submit,
	.cancel = ready_cancel,
	.detach = ready_detach,
	.wait = epoll_sleep,
	.wakeup = ready_wakeup,
	.now_ns = ready_now_ns,
	.features = epoll_features,
};
