// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/err.h"
#include "io/ready.h"

/* poll(2) skips entries whose descriptor is negative, so the table is indexed by descriptor. */
#define POLL_UNUSED (-1)

struct poller {
	struct ready ready;
	struct pollfd *table;
	unsigned count; /* entries of the table */
	unsigned top;   /* all that are used lie below */
};

static void poll_set(struct poller *p, unsigned descriptor, short events)
{
	p->table[descriptor].fd = events ? (int)descriptor : POLL_UNUSED;
	p->table[descriptor].events = events;
	if (events && descriptor >= p->top)
		p->top = descriptor + 1;
	while (p->top > 0 && p->table[p->top - 1].fd == POLL_UNUSED)
		p->top--;
}

static int poll_watch(struct ready *r, struct io_fd *fd, unsigned want)
{
	struct poller *p = SL_CONTAINER(r, struct poller, ready);
	int events =
		(want & IO_READY_IN ? POLLIN | POLLRDHUP : 0) | (want & IO_READY_OUT ? POLLOUT : 0);

	poll_set(p, (unsigned)fd->fd, (short)events);
	return 0;
}

static void poll_forget(struct ready *r, struct io_fd *fd)
{
	poll_set(SL_CONTAINER(r, struct poller, ready), (unsigned)fd->fd, 0);
}

static int poll_grow(struct ready *r, unsigned count)
{
	struct poller *p = SL_CONTAINER(r, struct poller, ready);
	struct pollfd *table;

	if (count <= p->count)
		return 0;
	table = reallocarray(p->table, count, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (unsigned i = p->count; i < count; i++)
		table[i] = (struct pollfd){.fd = POLL_UNUSED};
	p->table = table;
	p->count = count;
	return 0;
}

static const struct ready_poller poll_poller = {
	.edge = false,
	.watch = poll_watch,
	.forget = poll_forget,
	.grow = poll_grow,
};

static int poll_init(struct io_loop *loop, const struct io_options *options, char *why,
		     size_t why_len)
{
	struct poller *p = calloc(1, sizeof(*p));
	int rc = p ? ready_init(&p->ready, loop, &poll_poller) : -ENOMEM;

	(void)options;
	if (rc < 0) {
		snprintf(why, why_len, "poll: %s", err_text(rc));
		if (p)
			free(p->table);
		free(p);
		return rc;
	}
	poll_set(p, (unsigned)p->ready.wake_fd, POLLIN);
	loop->state = p;
	return 0;
}

static void poll_fini(struct io_loop *loop)
{
	struct poller *p = loop->state;

	loop->state = NULL;
	ready_fini(&p->ready);
	free(p->table);
	free(p);
}

static int poll_sleep(struct io_loop *loop, int64_t timeout_ns)
{
	struct poller *p = loop->state;
	int timeout_ms = ready_flush(&p->ready, timeout_ns);
	unsigned top = p->top;
	int n = poll(p->table, top, timeout_ms);
	int rc = n < 0 && errno != EINTR ? -errno : 0;

	io_loop_woke(loop);
	/* Callbacks may attach and so move the table, but what they change is watched from the next turn on. */
	for (unsigned i = 0; i < top && n > 0; i++) {
		short events = p->table[i].revents;

		if (!events || p->table[i].fd == POLL_UNUSED)
			continue;
		n--;
		if ((int)i == p->ready.wake_fd) {
			ready_take_wakeup(&p->ready);
			continue;
		}
		loop->stats.events++;
		ready_event(&p->ready, p->ready.slots[i].fd, (unsigned short)events);
	}
	return rc;
}

static const char *poll_features(struct io_loop *loop)
{
	(void)loop;
	return "level-triggered eventfd";
}

const struct io_backend io_backend_poll = {
	.name = "poll",
	.init = poll_init,
	.fini = poll_fini,
	.attach = ready_attach,
	.submit = ready_submit,
	.cancel = ready_cancel,
	.detach = ready_detach,
	.wait = poll_sleep,
	.wakeup = ready_wakeup,
	.now_ns = ready_now_ns,
	.features = poll_features,
};
