// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "build_config.h"
#include "io/backend.h"

/* Rounds of callbacks, tasks and closes in one turn before the poller is asked again. */
#define LOOP_ROUNDS_MAX 8
#define LOOP_WHY_BYTES 256

static void loop_assert_owner(const struct io_loop *loop)
{
	assert(!loop->owned || pthread_equal(loop->thread, pthread_self()));
	(void)loop;
}

void io_op_set_state(struct io_op *op, enum io_state state)
{
	static const uint8_t from[] = {
		[IO_IDLE] = 1 << IO_DONE,
		[IO_QUEUED] = 1 << IO_IDLE,
		[IO_INFLIGHT] = 1 << IO_QUEUED,
		[IO_CANCELING] = 1 << IO_QUEUED | 1 << IO_INFLIGHT,
		[IO_DONE] = 1 << IO_QUEUED | 1 << IO_INFLIGHT | 1 << IO_CANCELING,
	};

	assert(from[state] & 1 << op->state);
	(void)from;
	op->state = (uint8_t)state;
}

static struct io_op **op_slot(struct io_op *op)
{
	return io_code_reads(op->code) ? &op->fd->rd : &op->fd->wr;
}

void io_op_finish(struct io_op *op, int result)
{
	struct io_loop *loop = op->loop;

	io_op_set_state(op, IO_DONE);
	if (io_code_has_fd(op->code) && *op_slot(op) == op)
		*op_slot(op) = NULL;
	op->flags &= (uint16_t)~IO_MORE;
	op->result = result;
	op->next = NULL;
	*loop->done_tail = op;
	loop->done_tail = &op->next;
}

void io_op_more(struct io_op *op, int result)
{
	op->flags |= IO_MORE;
	op->cb(op, result);
	op->flags &= (uint16_t)~IO_MORE;
}

static int op_refusal(const struct io_op *op)
{
	if (op->fd->closing)
		return -ECANCELED;
	if (op->code == IO_RECV && op->u.recv.mem && (op->flags & IO_MULTI || !op->u.recv.cap))
		return -EINVAL;
	if (op->code == IO_SEND && (!op->u.send.n || op->u.send.n > IO_IOV_MAX))
		return -EINVAL;
	return 0;
}

void io_submit(struct io_loop *loop, struct io_op *op)
{
	loop_assert_owner(loop);
	assert(op->cb);
	op->loop = loop;
	op->next = NULL;
	op->flags &= IO_MULTI;
	io_op_set_state(op, IO_QUEUED);
	loop->stats.ops++;
	loop->inflight++;
	if (io_code_has_fd(op->code)) {
		struct io_op **slot = op_slot(op);
		int refusal = op_refusal(op);

		assert(op->fd->loop == loop);
		op->fd->inflight++;
		if (!refusal && *slot)
			refusal = -EBUSY;
		if (refusal) {
			io_op_finish(op, refusal);
			return;
		}
		*slot = op;
	}
	loop->backend->submit(loop, op);
}

void io_cancel(struct io_op *op)
{
	if (op->state != IO_QUEUED && op->state != IO_INFLIGHT)
		return;
	loop_assert_owner(op->loop);
	io_op_set_state(op, IO_CANCELING);
	op->loop->backend->cancel(op->loop, op);
}

int io_fd_init(struct io_loop *loop, struct io_fd *fd, int descriptor)
{
	int rc;

	loop_assert_owner(loop);
	*fd = (struct io_fd){
		.loop = loop,
		.fd = descriptor,
		.gen = ++loop->gen,
		.ready = IO_READY_OUT,
	};
	rc = loop->backend->attach(loop, fd);
	if (rc == 0)
		loop->fds++;
	return rc;
}

static void fd_drained(struct io_fd *fd)
{
	struct io_loop *loop = fd->loop;

	fd->closing = IO_FD_DRAINED;
	fd->next = NULL;
	*loop->drained_tail = fd;
	loop->drained_tail = &fd->next;
}

void io_close(struct io_fd *fd, void (*closed)(struct io_fd *))
{
	loop_assert_owner(fd->loop);
	assert(fd->closing == IO_FD_OPEN);
	fd->closing = IO_FD_CLOSING;
	fd->closed = closed;
	if (fd->rd)
		io_cancel(fd->rd);
	if (fd->wr)
		io_cancel(fd->wr);
	if (!fd->inflight)
		fd_drained(fd);
}

static void loop_run_done(struct io_loop *loop)
{
	struct io_op *op = loop->done;

	loop->done = NULL;
	loop->done_tail = &loop->done;
	while (op) {
		struct io_op *next = op->next;
		struct io_fd *fd = io_code_has_fd(op->code) ? op->fd : NULL;

		io_op_set_state(op, IO_IDLE);
		op->next = NULL;
		loop->inflight--;
		if (fd)
			fd->inflight--;
		op->cb(op, op->result);
		/* The descriptor outlives the callback: its owner may free it in `closed`, never before. */
		if (fd && fd->closing == IO_FD_CLOSING && !fd->inflight)
			fd_drained(fd);
		op = next;
	}
}

static void loop_run_drained(struct io_loop *loop)
{
	struct io_fd *fd = loop->drained;

	loop->drained = NULL;
	loop->drained_tail = &loop->drained;
	while (fd) {
		struct io_fd *next = fd->next;

		loop->fds--;
		loop->backend->detach(loop, fd);
		fd->fd = -1;
		if (fd->closed)
			fd->closed(fd);
		fd = next;
	}
}

void io_defer(struct io_loop *loop, struct io_task *task)
{
	loop_assert_owner(loop);
	if (task->at)
		return;
	task->next = NULL;
	task->at = loop->tasks_tail;
	*loop->tasks_tail = task;
	loop->tasks_tail = &task->next;
}

void io_undefer(struct io_loop *loop, struct io_task *task)
{
	loop_assert_owner(loop);
	if (!task->at)
		return;
	*task->at = task->next;
	if (task->next)
		task->next->at = task->at;
	else
		loop->tasks_tail = task->at;
	task->next = NULL;
	task->at = NULL;
}

static void loop_run_tasks(struct io_loop *loop)
{
	struct io_task *task;

	if (!loop->tasks)
		return;
	/* A task that defers itself again waits for the next round. */
	io_defer(loop, &loop->mark);
	while ((task = loop->tasks) != &loop->mark) {
		io_undefer(loop, task);
		loop->stats.tasks++;
		task->run(task);
	}
	io_undefer(loop, &loop->mark);
}

static bool loop_has_work(const struct io_loop *loop)
{
	return loop->done || loop->tasks || loop->drained;
}

/* From any thread. */
static void loop_wake(struct io_loop *loop)
{
	if (atomic_load(&loop->sleeping) && atomic_exchange(&loop->sleeping, 0))
		loop->backend->wakeup(loop);
}

void io_post(struct io_loop *loop, struct io_msg *msg)
{
	msg->next = atomic_load_explicit(&loop->posts, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&loop->posts, &msg->next, msg))
		;
	loop_wake(loop);
}

static void loop_run_posts(struct io_loop *loop)
{
	struct io_msg *taken, *msg = NULL, *next;

	if (!atomic_load_explicit(&loop->posts, memory_order_relaxed))
		return;
	taken = atomic_exchange_explicit(&loop->posts, NULL, memory_order_acquire);
	for (; taken; taken = next) {
		next = taken->next;
		taken->next = msg;
		msg = taken;
	}
	for (; msg; msg = next) {
		next = msg->next;
		loop->stats.posts++;
		msg->run(loop, msg);
	}
}

void io_loop_woke(struct io_loop *loop)
{
	if (atomic_load_explicit(&loop->sleeping, memory_order_relaxed))
		atomic_store_explicit(&loop->sleeping, 0, memory_order_relaxed);
	loop->now_ns = loop->backend->now_ns(loop);
}

static int64_t loop_timeout_ns(struct io_loop *loop, int64_t timeout_ns)
{
	int64_t next_ms;
	uint64_t due_ns;

	if (timeout_ns == 0 || loop_has_work(loop))
		return 0;
	next_ms = io_wheel_next_ms(&loop->wheel);
	if (next_ms >= 0) {
		due_ns = (loop->wheel.now_ms + (uint64_t)next_ms) * CLOCK_NS_PER_MS;
		due_ns = due_ns > loop->now_ns ? due_ns - loop->now_ns : 0;
		if (timeout_ns < 0 || due_ns < (uint64_t)timeout_ns)
			timeout_ns = (int64_t)due_ns;
	}
	if (timeout_ns != 0) {
		/* Either a poster sees that we sleep, or we see what it posted. */
		atomic_store(&loop->sleeping, 1);
		if (atomic_load(&loop->posts) || atomic_load(&loop->stop))
			timeout_ns = 0;
	}
	return timeout_ns;
}

int io_loop_turn(struct io_loop *loop, int64_t timeout_ns)
{
	uint64_t now_ms;
	int rc;

	if (!loop->owned) {
		loop->thread = pthread_self();
		loop->owned = true;
	}
	loop_assert_owner(loop);
	assert(!loop->turning);
	loop->turning = true;
	loop->stats.turns++;
	rc = loop->backend->wait(loop, loop_timeout_ns(loop, timeout_ns));
	loop_run_posts(loop);
	now_ms = loop->now_ns / CLOCK_NS_PER_MS;
	if (now_ms >= loop->wheel.now_ms)
		loop->stats.timers += io_wheel_advance(&loop->wheel, now_ms);
	for (unsigned round = 0; round < LOOP_ROUNDS_MAX && loop_has_work(loop); round++) {
		loop_run_done(loop);
		loop_run_tasks(loop);
		loop_run_drained(loop);
	}
	loop->turning = false;
	return rc;
}

int io_loop_run(struct io_loop *loop)
{
	int rc = 0;

	while (rc == 0 && !atomic_load_explicit(&loop->stop, memory_order_relaxed))
		rc = io_loop_turn(loop, -1);
	atomic_store(&loop->stop, 0);
	return rc;
}

void io_loop_stop(struct io_loop *loop)
{
	atomic_store(&loop->stop, 1);
	loop_wake(loop);
}

void io_timer_set(struct io_loop *loop, struct io_timer *t, uint64_t after_ms)
{
	uint64_t due_ms;

	loop_assert_owner(loop);
	/* Between turns the cached time may be old. */
	if (!loop->turning)
		loop->now_ns = loop->backend->now_ns(loop);
	due_ms = loop->now_ns / CLOCK_NS_PER_MS;
	if (after_ms) {
		due_ms = (loop->now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
		due_ms = after_ms < UINT64_MAX - due_ms ? due_ms + after_ms : UINT64_MAX;
	}
	io_wheel_set(&loop->wheel, t, due_ms);
}

#if SLUICE_HAVE_IO_URING
#define BACKEND_URING (&io_backend_uring)
#else
#define BACKEND_URING NULL
#endif

static const struct io_backend *const engines[] = {
	[IO_ENGINE_URING] = BACKEND_URING,   [IO_ENGINE_EPOLL] = &io_backend_epoll,
	[IO_ENGINE_POLL] = &io_backend_poll, [IO_ENGINE_SELECT] = &io_backend_select,
	[IO_ENGINE_SIM] = &io_backend_sim,
};

static const char *const engine_names[] = {
	[IO_ENGINE_AUTO] = "auto", [IO_ENGINE_URING] = "io_uring", [IO_ENGINE_EPOLL] = "epoll",
	[IO_ENGINE_POLL] = "poll", [IO_ENGINE_SELECT] = "select",
};

int io_engine_parse(const char *name)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(engine_names); i++) {
		if (strcmp(name, engine_names[i]) == 0)
			return (int)i;
	}
	return -EINVAL;
}

static int loop_try_engine(struct io_loop *loop, const struct io_options *options,
			   enum io_engine engine, char *why, size_t why_len)
{
	const struct io_backend *backend = engine < SL_ARRAY_SIZE(engines) ? engines[engine] : NULL;
	int rc;

	if (!backend) {
		snprintf(why, why_len, "this program was built without it");
		return -ENOSYS;
	}
	if (why_len)
		why[0] = '\0';
	loop->backend = backend;
	rc = backend->init(loop, options, why, why_len);
	if (rc < 0 && why_len && !why[0])
		snprintf(why, why_len, "%s", err_text(rc));
	return rc;
}

/* The engine of IO_ENGINE_AUTO. */
static int loop_choose_engine(struct io_loop *loop, const struct io_options *options, char *why,
			      size_t why_len)
{
	char reason[LOOP_WHY_BYTES];
	int rc = loop_try_engine(loop, options, IO_ENGINE_URING, reason, sizeof(reason));

	if (rc == 0)
		return 0;
	log_warn("io_uring is not available (%s): using epoll", reason);
	return loop_try_engine(loop, options, IO_ENGINE_EPOLL, why, why_len);
}

int io_loop_new(const struct io_options *options, struct io_loop **out, char *why, size_t why_len)
{
	struct io_loop *loop = calloc(1, sizeof(*loop));
	int rc;

	if (!loop) {
		snprintf(why, why_len, "%s", err_text(-ENOMEM));
		return -ENOMEM;
	}
	loop->done_tail = &loop->done;
	loop->tasks_tail = &loop->tasks;
	loop->drained_tail = &loop->drained;
	loop->helpers = options->helpers ? options->helpers : IO_HELPERS_DEFAULT;
	if (loop->helpers > IO_HELPERS_MAX)
		loop->helpers = IO_HELPERS_MAX;
	if (options->engine == IO_ENGINE_AUTO)
		rc = loop_choose_engine(loop, options, why, why_len);
	else
		rc = loop_try_engine(loop, options, options->engine, why, why_len);
	if (rc < 0) {
		free(loop);
		return rc;
	}
	loop->now_ns = loop->backend->now_ns(loop);
	io_wheel_init(&loop->wheel, loop->now_ns / CLOCK_NS_PER_MS);
	*out = loop;
	return 0;
}

bool io_loop_busy(struct io_loop *loop)
{
	loop_assert_owner(loop);
	return loop->inflight || loop_has_work(loop) || atomic_load(&loop->posts);
}

void io_loop_free(struct io_loop *loop)
{
	loop_assert_owner(loop);
	assert(!loop->turning && !loop_has_work(loop));
	assert(!loop->fds && !loop->inflight);
	assert(io_wheel_next_ms(&loop->wheel) < 0);
	io_pool_free(loop);
	assert(!atomic_load(&loop->posts));
	loop->backend->fini(loop);
	free(loop);
}

uint64_t io_now_ns(const struct io_loop *loop)
{
	return loop->now_ns;
}

const char *io_engine_name(const struct io_loop *loop)
{
	return loop->backend->name;
}

const char *io_loop_features(const struct io_loop *loop)
{
	return loop->backend->features((struct io_loop *)loop);
}

void io_loop_stats(const struct io_loop *loop, struct io_stats *stats)
{
	loop_assert_owner(loop);
	*stats = loop->stats;
	stats->busy_ns = clock_thread_cpu_ns();
}

ssize_t io_try_send(struct io_fd *fd, const struct iovec *iov, unsigned n, unsigned flags)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(n > 0 && n <= IO_IOV_MAX);
	/* Bytes of an op that is still sending must not be overtaken. */
	assert(!fd->wr || fd->wr->code == IO_WAIT_OUT);
	return backend->try_send ? backend->try_send(fd, iov, n, flags)
				 : io_sys_send(fd, iov, n, flags);
}

ssize_t io_try_sendfile(struct io_fd *fd, int file, int64_t off, size_t len)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(!fd->wr || fd->wr->code == IO_WAIT_OUT);
	return backend->try_sendfile ? backend->try_sendfile(fd, file, off, len)
				     : io_sys_sendfile(fd, file, off, len);
}

ssize_t io_try_recv(struct io_fd *fd, const struct iovec *iov, unsigned n)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(n > 0 && n <= IO_IOV_MAX);
	assert(!fd->rd);
	return backend->try_recv ? backend->try_recv(fd, iov, n) : io_sys_recv(fd, iov, n);
}

ssize_t io_try_splice_in(struct io_fd *fd, int pipe, size_t len)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(!fd->rd);
	return backend->try_splice_in ? backend->try_splice_in(fd, pipe, len)
				      : io_sys_splice_in(fd, pipe, len);
}

ssize_t io_try_splice_out(struct io_fd *fd, int pipe, size_t len, bool more)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(!fd->wr);
	return backend->try_splice_out ? backend->try_splice_out(fd, pipe, len, more)
				       : io_sys_splice_out(fd, pipe, len, more);
}

int io_try_connect(struct io_fd *fd, const struct sockaddr *addr, socklen_t len, bool first)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(!fd->wr);
	return backend->try_connect ? backend->try_connect(fd, addr, len, first)
				    : io_sys_connect(fd, addr, len, first);
}

int io_shutdown(struct io_fd *fd)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	assert(!fd->wr);
	return backend->shutdown ? backend->shutdown(fd) : io_sys_shutdown(fd);
}

void io_set_reset(struct io_fd *fd)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	if (backend->set_reset)
		backend->set_reset(fd);
	else
		io_sys_set_reset(fd);
}

int io_name(struct io_fd *fd, bool peer, struct sockaddr_storage *addr, socklen_t *len)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	return backend->sock_name ? backend->sock_name(fd, peer, addr, len)
				  : io_sys_name(fd, peer, addr, len);
}

bool io_quiet(struct io_fd *fd)
{
	const struct io_backend *backend = fd->loop->backend;

	loop_assert_owner(fd->loop);
	return backend->quiet ? backend->quiet(fd) : io_sys_quiet(fd);
}

int io_socket(struct io_loop *loop, int domain, int type)
{
	const struct io_backend *backend = loop->backend;

	return backend->socket ? backend->socket(loop, domain, type) : io_sys_socket(domain, type);
}

ssize_t io_try_read(struct io_loop *loop, int file, void *mem, size_t len, int64_t off)
{
	const struct io_backend *backend = loop->backend;

	return backend->try_read ? backend->try_read(loop, file, mem, len, off)
				 : io_sys_try_read(file, mem, len, off);
}

int io_try_openat(struct io_loop *loop, const struct io_openat *open)
{
	const struct io_backend *backend = loop->backend;

	return backend->try_openat ? backend->try_openat(loop, open) : io_sys_try_openat(open);
}
