// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "io/backend.h"

/* Helper threads of one loop. What is below the lock is shared with them. */
struct io_pool {
	struct io_loop *loop;
	struct io_msg msg; /* tells the loop that something is done */
	unsigned threads;
	pthread_t thread[IO_HELPERS_MAX];

	pthread_mutex_t lock;
	pthread_cond_t work;
	struct io_op *queue, **queue_tail;
	unsigned queued, idle;
	struct io_op *done, **done_tail;
	bool posted, stop;
};

/* Runs on a helper thread, and may block. */
static int pool_perform(struct io_op *op)
{
	ssize_t n;

	if (op->code == IO_WORK)
		return op->u.work.run(op);
	do {
		switch (op->code) {
		case IO_READ:
			n = pread(op->u.file.fd, op->u.file.mem, op->u.file.len, op->u.file.off);
			break;
		case IO_WRITE:
			n = op->u.file.off == -1
				  ? write(op->u.file.fd, op->u.file.mem, op->u.file.len)
				  : pwrite(op->u.file.fd, op->u.file.mem, op->u.file.len,
					   op->u.file.off);
			break;
		case IO_FSYNC:
			n = fsync(op->u.file.fd);
			break;
		default:
			return io_sys_openat(op->u.open);
		}
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static void *pool_thread(void *arg)
{
	struct io_pool *pool = arg;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct io_op *op = pool->queue;
		bool post;

		if (!op) {
			if (pool->stop)
				break;
			pool->idle++;
			pthread_cond_wait(&pool->work, &pool->lock);
			pool->idle--;
			continue;
		}
		pool->queue = op->next;
		if (!pool->queue)
			pool->queue_tail = &pool->queue;
		pool->queued--;
		pthread_mutex_unlock(&pool->lock);
		op->result = pool_perform(op);
		pthread_mutex_lock(&pool->lock);
		op->next = NULL;
		*pool->done_tail = op;
		pool->done_tail = &op->next;
		post = !pool->posted;
		pool->posted = true;
		pthread_mutex_unlock(&pool->lock);
		if (post)
			io_post(pool->loop, &pool->msg);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* On the loop's thread: what the helpers have done. */
static void pool_reap(struct io_loop *loop, struct io_msg *msg)
{
	struct io_pool *pool = loop->pool;
	struct io_op *op, *next;

	(void)msg;
	pthread_mutex_lock(&pool->lock);
	op = pool->done;
	pool->done = NULL;
	pool->done_tail = &pool->done;
	pool->posted = false;
	pthread_mutex_unlock(&pool->lock);
	for (; op; op = next) {
		next = op->next;
		io_op_finish(op, op->result);
	}
}

static struct io_pool *pool_get(struct io_loop *loop)
{
	struct io_pool *pool = loop->pool;

	if (pool)
		return pool;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->loop = loop;
	pool->msg.run = pool_reap;
	pool->queue_tail = &pool->queue;
	pool->done_tail = &pool->done;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	loop->pool = pool;
	return pool;
}

/* Signals are for the threads that run loops. */
static int pool_start_thread(struct io_pool *pool)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&pool->thread[pool->threads], NULL, pool_thread, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pool->threads++;
	return -rc;
}

static int pool_queue(struct io_loop *loop, struct io_op *op)
{
	struct io_pool *pool = pool_get(loop);
	unsigned idle, queued;

	if (!pool)
		return -ENOMEM;
	pthread_mutex_lock(&pool->lock);
	idle = pool->idle;
	queued = pool->queued;
	pthread_mutex_unlock(&pool->lock);
	if (queued >= IO_POOL_QUEUE_MAX)
		return -EAGAIN;
	/* With fewer threads than allowed the work is still done, with none it is not. */
	if (idle <= queued && pool->threads < loop->helpers) {
		int rc = pool_start_thread(pool);

		if (rc < 0 && !pool->threads)
			return rc;
	}
	pthread_mutex_lock(&pool->lock);
	op->next = NULL;
	*pool->queue_tail = op;
	pool->queue_tail = &op->next;
	pool->queued++;
	pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	return 0;
}

/* What needs no waiting is done at once: pages and names that the kernel has at hand. -EAGAIN when it has not. */
static int pool_try_cached(struct io_op *op)
{
	ssize_t n = -EAGAIN;

	if (op->code == IO_READ)
		n = io_sys_try_read(op->u.file.fd, op->u.file.mem, op->u.file.len, op->u.file.off);
	else if (op->code == IO_OPENAT)
		n = io_sys_try_openat(op->u.open);
	/* Not every file system and kernel knows how, and only the plain call's refusal counts. */
	return n == -EOPNOTSUPP || n == -EINVAL ? -EAGAIN : (int)n;
}

void io_pool_submit(struct io_loop *loop, struct io_op *op)
{
	int result;

	io_op_set_state(op, IO_INFLIGHT);
	result = pool_try_cached(op);
	if (result != -EAGAIN) {
		io_op_finish(op, result);
		return;
	}
	result = pool_queue(loop, op);
	if (result < 0)
		io_op_finish(op, result);
}

bool io_pool_cancel(struct io_loop *loop, struct io_op *op)
{
	struct io_pool *pool = loop->pool;
	struct io_op **at;
	bool found;

	pthread_mutex_lock(&pool->lock);
	for (at = &pool->queue; *at && *at != op; at = &(*at)->next)
		;
	found = *at;
	if (found) {
		*at = op->next;
		if (!*at)
			pool->queue_tail = at;
		pool->queued--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (found)
		io_op_finish(op, -ECANCELED);
	return found;
}

void io_pool_free(struct io_loop *loop)
{
	struct io_pool *pool = loop->pool;

	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	assert(!pool->queue && !pool->done);
	pool->stop = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->threads; i++)
		pthread_join(pool->thread[i], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->work);
	loop->pool = NULL;
	free(pool);
}
