// SPDX-License-Identifier: Apache-2.0
#include "net/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/slab.h"
#include "base/thread.h"

/* A pipe that holds less moves less at a time than a copy would. */
#define PIPE_BYTES_MIN 65536
/* After a refusal by the system so many flows copy before it is asked again. */
#define PIPE_REFUSED_PAUSE 256

static _Thread_local struct slab lease_slab = SLAB_INIT("pipe", sizeof(struct pipe_lease), 64);
static _Thread_local struct {
	struct pipe_lease *kept; /* empty ones */
	unsigned kept_count, leased, pause;
	bool hooked;
} pool;

static void pipe_destroy(struct pipe_lease *p)
{
	close(p->read_fd);
	close(p->write_fd);
	slab_free(&lease_slab, p);
}

static void pipe_free(struct seg_owner *owner)
{
	struct pipe_lease *p = SL_CONTAINER(owner, struct pipe_lease, owner);

	pool.leased--;
	/* What is left in it must not come out of the next one's connection. */
	if (p->held || pool.kept_count >= PIPE_KEEP) {
		pipe_destroy(p);
		return;
	}
	p->next = pool.kept;
	pool.kept = p;
	pool.kept_count++;
}

/* The size that it got, or 0: too small to be of use. */
static uint32_t pipe_size(int fd)
{
	int bytes = fcntl(fd, F_SETPIPE_SZ, PIPE_BYTES);

	/* A user who has many large ones gets no more of them, but may get smaller ones. */
	if (bytes < 0)
		bytes = fcntl(fd, F_GETPIPE_SZ);
	return bytes < PIPE_BYTES_MIN ? 0 : (uint32_t)bytes;
}

static void pipe_thread_exit(void)
{
	pool.hooked = false;
	pipe_pool_close();
}

static _Thread_local struct base_thread_hook pipe_hook = {.run = pipe_thread_exit};

static struct pipe_lease *pipe_make(void)
{
	struct pipe_lease *p;
	int fds[2];

	if (pool.pause) {
		pool.pause--;
		return NULL;
	}
	pool.pause = PIPE_REFUSED_PAUSE;
	p = slab_zalloc(&lease_slab);
	if (!p || pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		slab_free(&lease_slab, p);
		return NULL;
	}
	p->owner.free = pipe_free;
	p->read_fd = fds[0];
	p->write_fd = fds[1];
	p->bytes_max = pipe_size(p->write_fd);
	if (!p->bytes_max) {
		pipe_destroy(p);
		return NULL;
	}
	pool.pause = 0;
	if (!pool.hooked)
		base_thread_at_exit(&pipe_hook);
	pool.hooked = true;
	return p;
}

struct pipe_lease *pipe_lease_take(void)
{
	struct pipe_lease *p = pool.kept;

	if (pool.leased >= PIPE_LEASES_MAX)
		return NULL;
	if (p) {
		pool.kept = p->next;
		pool.kept_count--;
	} else {
		p = pipe_make();
		if (!p)
			return NULL;
	}
	p->next = NULL;
	p->owner.refs = 1;
	pool.leased++;
	return p;
}

struct pipe_lease *pipe_lease_tee(const struct pipe_lease *from, size_t n)
{
	struct pipe_lease *p = pipe_lease_take();
	ssize_t done;

	if (!p)
		return NULL;
	do {
		done = tee(from->read_fd, p->write_fd, n, SPLICE_F_NONBLOCK);
	} while (done < 0 && errno == EINTR);
	p->held = done > 0 ? (uint32_t)done : 0;
	if (done == (ssize_t)n)
		return p;
	seg_owner_unref(&p->owner);
	return NULL;
}

void pipe_pool_close(void)
{
	struct pipe_lease *p;

	while ((p = pool.kept) != NULL) {
		pool.kept = p->next;
		pool.kept_count--;
		pipe_destroy(p);
	}
}
