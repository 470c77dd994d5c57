// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "io/backend.h"
#include "unit.h"

/* Helper threads under a loop, here over epoll; the suite has what every engine shares. */

struct work {
	struct io_op op;
	sem_t *begun, *go;
	int finals, result;
	bool signals_blocked;
};

static void work_done(struct io_op *op, int result)
{
	struct work *work = SL_CONTAINER(op, struct work, op);

	work->finals++;
	work->result = result;
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) < 0)
		assert_int_equal(errno, EINTR);
}

static int work_run(struct io_op *op)
{
	struct work *work = SL_CONTAINER(op, struct work, op);
	sigset_t blocked;

	pthread_sigmask(SIG_BLOCK, NULL, &blocked);
	work->signals_blocked = sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGHUP);
	if (work->begun) {
		sem_post(work->begun);
		wait_for(work->go);
	}
	return 1;
}

static struct io_loop *loop_with(unsigned helpers)
{
	struct io_options options = {.engine = IO_ENGINE_EPOLL, .helpers = helpers};
	struct io_loop *loop;
	char why[128];

	assert_int_equal(io_loop_new(&options, &loop, why, sizeof(why)), 0);
	return loop;
}

static void work_submit(struct io_loop *loop, struct work *work, sem_t *begun, sem_t *go)
{
	*work = (struct work){
		.op = {.cb = work_done, .code = IO_WORK, .u.work.run = work_run},
		.begun = begun,
		.go = go,
	};
	io_submit(loop, &work->op);
	assert_int_equal(work->finals, 0);
}

static void work_finish(struct io_loop *loop, struct work *work)
{
	while (!work->finals)
		assert_int_equal(io_loop_turn(loop, -1), 0);
	assert_int_equal(work->finals, 1);
}

static unsigned count_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

/* A joined thread may show in /proc for a moment longer; it is waited for, not timed. */
static void wait_for_threads(unsigned n)
{
	for (unsigned i = 0; count_threads() != n; i++) {
		assert_true(i < 100000);
		sched_yield();
	}
}

static void test_threads_start_when_needed_and_end_with_the_loop(void **state)
{
	struct io_loop *loop = loop_with(2);
	struct work work;
	unsigned before;

	/* A sanitizer may start a thread of its own beside the first one. */
	work_submit(loop, &work, NULL, NULL);
	work_finish(loop, &work);
	io_loop_free(loop);
	before = count_threads();
	loop = loop_with(2);
	assert_null(loop->pool);
	for (unsigned i = 0; i < 20; i++) {
		work_submit(loop, &work, NULL, NULL);
		work_finish(loop, &work);
		assert_int_equal(work.result, 1);
		assert_true(work.signals_blocked);
		assert_in_range(count_threads(), before + 1, before + 2);
	}
	io_loop_free(loop);
	wait_for_threads(before);
}

static void test_as_many_at_once_as_there_are_helpers(void **state)
{
	struct io_loop *loop = loop_with(5);
	struct work works[8];
	sem_t begun, go;
	int waiting;

	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(works); i++)
		work_submit(loop, &works[i], &begun, &go);
	for (unsigned i = 0; i < 5; i++)
		wait_for(&begun);
	/* All helpers are taken, so the sixth cannot have begun. */
	sem_getvalue(&begun, &waiting);
	assert_int_equal(waiting, 0);
	assert_int_equal(loop->helpers, 5);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(works); i++)
		sem_post(&go);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(works); i++)
		work_finish(loop, &works[i]);
	io_loop_free(loop);
}

static void test_the_queue_is_bounded(void **state)
{
	struct io_loop *loop = loop_with(1);
	struct work *works = calloc(IO_POOL_QUEUE_MAX + 2, sizeof(*works));
	struct work *last = &works[IO_POOL_QUEUE_MAX + 1];
	sem_t begun, go;

	assert_non_null(works);
	sem_init(&begun, 0, 0);
	sem_init(&go, 0, 0);
	work_submit(loop, &works[0], &begun, &go);
	wait_for(&begun);
	for (unsigned i = 1; i <= IO_POOL_QUEUE_MAX; i++)
		work_submit(loop, &works[i], NULL, NULL);
	work_submit(loop, last, NULL, NULL);
	work_finish(loop, last);
	assert_int_equal(last->result, -EAGAIN);
	/* One that is taken back makes room for one. */
	io_cancel(&works[7].op);
	work_finish(loop, &works[7]);
	assert_int_equal(works[7].result, -ECANCELED);
	work_submit(loop, last, NULL, NULL);
	sem_post(&go);
	for (unsigned i = 0; i < IO_POOL_QUEUE_MAX + 2; i++) {
		work_finish(loop, &works[i]);
		assert_int_equal(works[i].result, i == 7 ? -ECANCELED : 1);
	}
	io_loop_free(loop);
	free(works);
}

/* What the kernel has at hand needs no helper: a page in the cache, a name in the cache. */
static void test_cached_files_need_no_thread(void **state)
{
	struct io_openat how = {.dirfd = AT_FDCWD, .path = "/etc/passwd", .flags = O_RDONLY};
	struct work open = {.op = {.cb = work_done, .code = IO_OPENAT, .u.open = &how}};
	struct work read = {.op = {.cb = work_done, .code = IO_READ}};
	struct io_loop *loop = loop_with(1);
	char mem[4];

	/* The first time brings it into the caches. */
	for (unsigned i = 0; i < 2; i++) {
		open.finals = read.finals = 0;
		io_submit(loop, &open.op);
		work_finish(loop, &open);
		assert_true(open.result >= 0);
		read.op.u.file.fd = open.result;
		read.op.u.file.mem = mem;
		read.op.u.file.len = sizeof(mem);
		read.op.u.file.off = 0;
		io_submit(loop, &read.op);
		work_finish(loop, &read);
		assert_int_equal(read.result, sizeof(mem));
		close(open.result);
		if (i == 0) {
			io_loop_free(loop);
			loop = loop_with(1);
		}
	}
	if (loop->pool)
		print_message("this file system does not say what is cached\n");
	io_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads_start_when_needed_and_end_with_the_loop),
		cmocka_unit_test(test_as_many_at_once_as_there_are_helpers),
		cmocka_unit_test(test_the_queue_is_bounded),
		cmocka_unit_test(test_cached_files_need_no_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
