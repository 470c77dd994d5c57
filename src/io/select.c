// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>

#include "base/compiler.h"
#include "base/err.h"
#include "io/ready.h"

struct selector {
	struct ready ready;
	int top; /* all that are watched lie below */
	fd_set in, out;
	fd_set can_read, can_write; /* what the kernel answered */
};

static int select_watch(struct ready *r, struct io_fd *fd, unsigned want)
{
	struct selector *s = SL_CONTAINER(r, struct selector, ready);

	if (want & IO_READY_IN)
		FD_SET(fd->fd, &s->in);
	else
		FD_CLR(fd->fd, &s->in);
	if (want & IO_READY_OUT)
		FD_SET(fd->fd, &s->out);
	else
		FD_CLR(fd->fd, &s->out);
	if (want && fd->fd >= s->top)
		s->top = fd->fd + 1;
	while (s->top > 0 && !FD_ISSET(s->top - 1, &s->in) && !FD_ISSET(s->top - 1, &s->out))
		s->top--;
	return 0;
}

static void select_forget(struct ready *r, struct io_fd *fd)
{
	(void)select_watch(r, fd, 0);
}

static const struct ready_poller select_poller = {
	.edge = false,
	.watch = select_watch,
	.forget = select_forget,
};

/* A set of select(2) ends at FD_SETSIZE, whatever the limit of the process is. */
static int select_attach(struct io_loop *loop, struct io_fd *fd)
{
	return fd->fd < FD_SETSIZE ? ready_attach(loop, fd) : -EMFILE;
}

static int select_init(struct io_loop *loop, const struct io_options *options, char *why,
		       size_t why_len)
{
	struct selector *s = calloc(1, sizeof(*s));
	int rc = s ? ready_init(&s->ready, loop, &select_poller) : -ENOMEM;

	(void)options;
	if (rc == 0 && s->ready.wake_fd >= FD_SETSIZE) {
		ready_fini(&s->ready);
		rc = -EMFILE;
	}
	if (rc == -EMFILE)
		snprintf(why, why_len, "select: no descriptor below %d is free", FD_SETSIZE);
	else if (rc < 0)
		snprintf(why, why_len, "select: %s", err_text(rc));
	if (rc < 0) {
		free(s);
		return rc;
	}
	FD_SET(s->ready.wake_fd, &s->in);
	s->top = s->ready.wake_fd + 1;
	loop->state = s;
	return 0;
}

static void select_fini(struct io_loop *loop)
{
	struct selector *s = loop->state;

	loop->state = NULL;
	ready_fini(&s->ready);
	free(s);
}

static int select_sleep(struct io_loop *loop, int64_t timeout_ns)
{
	struct selector *s = loop->state;
	int timeout_ms = ready_flush(&s->ready, timeout_ns);
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	int top = s->top, n, rc;

	s->can_read = s->in;
	s->can_write = s->out;
	n = select(top, &s->can_read, &s->can_write, NULL, timeout_ms < 0 ? NULL : &tv);
	rc = n < 0 && errno != EINTR ? -errno : 0;
	io_loop_woke(loop);
	for (int i = 0; i < top && n > 0; i++) {
		bool in = FD_ISSET(i, &s->can_read), out = FD_ISSET(i, &s->can_write);

		if (!in && !out)
			continue;
		n -= in + out;
		if (i == s->ready.wake_fd) {
			ready_take_wakeup(&s->ready);
			continue;
		}
		loop->stats.events++;
		ready_event(&s->ready, s->ready.slots[i].fd,
			    (in ? POLLIN : 0u) | (out ? POLLOUT : 0u));
	}
	return rc;
}

static const char *select_features(struct io_loop *loop)
{
	(void)loop;
	return "level-triggered eventfd";
}

const struct io_backend io_backend_select = {
	.name = "select",
	.init = select_init,
	.fini = select_fini,
	.attach = select_attach,
	.submit = ready_submit,
	.cancel = ready_cancel,
	.detach = ready_detach,
	.wait = select_sleep,
	.wakeup = ready_wakeup,
	.now_ns = ready_now_ns,
	.features = select_features,
};
