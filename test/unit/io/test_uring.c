// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "build_config.h"
#include "io/io.h"
#include "unit.h"

/* What only io_uring can do wrong: full rings, missing buffers, the thread that owns the ring, refusals. */

#if SLUICE_HAVE_IO_URING

#define TURN_NS 20000000
#define TURNS_MAX 5000
/* More than the submission ring, and more than the completion ring. */
#define MANY 5000

static struct io_loop *loop;

static int loop_open(unsigned recv_bufs, char *why, size_t why_len)
{
	struct io_options options = {.engine = IO_ENGINE_URING, .recv_bufs = recv_bufs};

	return io_loop_new(&options, &loop, why, why_len);
}

static void loop_open_or_skip(unsigned recv_bufs)
{
	char why[256] = "";

	if (loop_open(recv_bufs, why, sizeof(why)) < 0)
		unit_skip("%s", why);
}

static void turn(void)
{
	assert_int_equal(io_loop_turn(loop, TURN_NS), 0);
}

#define until(condition)                                           \
	do {                                                       \
		for (unsigned turn_ = 0; !(condition); turn_++) {  \
			if (turn_ == TURNS_MAX)                    \
				fail_msg("never: %s", #condition); \
			turn();                                    \
		}                                                  \
	} while (0)

/* An op without a descriptor's slot, or on a descriptor of its own. */
struct one {
	struct io_fd fd;
	struct io_op op;
	struct iovec iov;
	unsigned finals, mores;
	int last;
	size_t bytes;
	struct buf *kept[8]; /* buffers that the test does not give back yet */
	unsigned n_kept, keep;
	bool once; /* cancels itself when it hears something */
	uint8_t byte;
};

static unsigned finals, failures;

static void one_done(struct io_op *op, int result)
{
	struct one *one = SL_CONTAINER(op, struct one, op);

	one->last = result;
	if (op->flags & IO_MORE)
		one->mores++;
	else
		one->finals++;
	finals += !(op->flags & IO_MORE);
	failures += result < 0;
	if (one->once)
		io_cancel(op);
	if (op->code != IO_RECV || result <= 0)
		return;
	for (uint32_t i = op->u.recv.buf->start; i < op->u.recv.buf->end; i++)
		failures += op->u.recv.buf->data[i] != one->byte;
	one->bytes += (size_t)result;
	if (one->n_kept < one->keep)
		one->kept[one->n_kept++] = op->u.recv.buf;
	else
		buf_unref(op->u.recv.buf);
	op->u.recv.buf = NULL;
}

static void one_submit(struct one *one, enum io_code code, unsigned flags)
{
	one->op.cb = one_done;
	one->op.code = (uint8_t)code;
	one->op.flags = (uint16_t)flags;
	io_submit(loop, &one->op);
}

static void one_attach(struct one *one, int fd)
{
	assert_true(fd >= 0);
	assert_int_equal(io_fd_init(loop, &one->fd, fd), 0);
	one->op.fd = &one->fd;
}

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
}

static unsigned closed_count;

static void count_closed(struct io_fd *fd)
{
	closed_count++;
}

static void close_all(struct one *all, unsigned n)
{
	closed_count = 0;
	for (unsigned i = 0; i < n; i++)
		io_close(&all[i].fd, count_closed);
	until(closed_count == n);
}

static struct one *many_new(unsigned n)
{
	struct one *all = calloc(n, sizeof(*all));

	assert_non_null(all);
	finals = failures = 0;
	return all;
}

static bool allow_descriptors(rlim_t n)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < n)
		limit.rlim_cur = SL_MIN(n, limit.rlim_max);
	return setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= n;
}

static void test_sends_beyond_the_submission_ring(void **state)
{
	struct one *all, reader = {.byte = 'x'};
	int fds[2];

	if (!allow_descriptors(MANY + 100))
		unit_skip("too few descriptors here");
	loop_open_or_skip(0);
	pair(fds);
	all = many_new(MANY);
	for (unsigned i = 0; i < MANY; i++) {
		one_attach(&all[i], dup(fds[0]));
		all[i].iov = (struct iovec){&reader.byte, 1};
		all[i].op.u.send.iov = &all[i].iov;
		all[i].op.u.send.n = 1;
	}
	close(fds[0]);
	one_attach(&reader, fds[1]);
	one_submit(&reader, IO_RECV, IO_MULTI);
	turn();
	for (unsigned i = 0; i < MANY; i++)
		one_submit(&all[i], IO_SEND, 0);
	until(finals == MANY && reader.bytes == MANY);
	assert_int_equal(failures, 0);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(all[i].finals, 1);
		assert_int_equal(all[i].last, 1);
	}
	assert_int_equal(reader.finals, 0);
	close_all(all, MANY);
	close_all(&reader, 1);
	io_loop_free(loop);
	free(all);
}

static void test_all_of_a_full_ring_is_cancelled(void **state)
{
	struct one *all;
	int fds[2];

	if (!allow_descriptors(MANY + 100))
		unit_skip("too few descriptors here");
	loop_open_or_skip(0);
	pair(fds);
	all = many_new(MANY);
	for (unsigned i = 0; i < MANY; i++) {
		one_attach(&all[i], dup(fds[0]));
		one_submit(&all[i], IO_WAIT_IN, 0);
		/* Some in the ring of a loop that has not yet run, most behind it, and some with the kernel. */
		if (i == MANY / 2)
			turn();
	}
	for (unsigned i = 0; i < MANY; i++)
		io_cancel(&all[i].op);
	assert_int_equal(finals, 0);
	until(finals == MANY);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(all[i].finals, 1);
		assert_int_equal(all[i].last, -ECANCELED);
	}
	close_all(all, MANY);
	close(fds[0]);
	close(fds[1]);
	io_loop_free(loop);
	free(all);
}

/*
 * A multishot receive, which the kernel ends when its completion has no place, goes on. Reads of no descriptor
 * complete while they are submitted, so they fill the completion ring before the loop looks at it.
 */
static void test_completions_beyond_the_completion_ring(void **state)
{
	struct one *all, reader = {.byte = 'r'};
	int fds[2];

	loop_open_or_skip(0);
	pair(fds);
	one_attach(&reader, fds[0]);
	one_submit(&reader, IO_RECV, IO_MULTI);
	turn();
	for (unsigned round = 1; round <= 4; round++) {
		all = many_new(MANY);
		reader.once = round == 4;
		assert_int_equal(write(fds[1], "rrrr", 4), 4);
		for (unsigned i = 0; i < MANY; i++) {
			all[i].op.u.file.fd = -1;
			one_submit(&all[i], IO_READ, 0);
		}
		until(finals == MANY + (unsigned)reader.once && reader.bytes == round * 4);
		for (unsigned i = 0; i < MANY; i++) {
			assert_int_equal(all[i].finals, 1);
			assert_int_equal(all[i].last, -EBADF);
		}
		free(all);
		assert_int_equal(reader.mores, round);
		assert_int_equal(reader.finals, round == 4);
	}
	assert_int_equal(reader.last, -ECANCELED);
	close_all(&reader, 1);
	close(fds[1]);
	io_loop_free(loop);
}

/* Receives that find no buffer are taken up again, lose nothing, and do not keep the loop from sleeping. */
static void test_receives_without_buffers(void **state)
{
	enum { PEERS = 60, ROUNDS = 20 };
	static struct one all[PEERS];
	int peer[PEERS];
	struct io_stats before, after;

	loop_open_or_skip(2);
	memset(all, 0, sizeof(all));
	finals = failures = 0;
	for (unsigned i = 0; i < PEERS; i++) {
		int fds[2];

		pair(fds);
		peer[i] = fds[1];
		all[i].byte = (uint8_t)i;
		all[i].keep = 2;
		one_attach(&all[i], fds[0]);
		one_submit(&all[i], IO_RECV, i & 1 ? IO_MULTI : 0);
	}
	for (unsigned round = 1; round <= ROUNDS; round++) {
		for (unsigned i = 0; i < PEERS; i++)
			assert_int_equal(write(peer[i], &all[i].byte, 1), 1);
		for (unsigned i = 0; i < PEERS; i++) {
			until(all[i].bytes == round);
			if (!(i & 1)) {
				assert_int_equal(all[i].finals, round);
				one_submit(&all[i], IO_RECV, 0);
			} else {
				assert_int_equal(all[i].finals, 0);
			}
		}
	}
	assert_int_equal(failures, 0);
	/* Nothing more comes: a few turns, each of which sleeps to its end. */
	turn();
	io_loop_stats(loop, &before);
	for (unsigned i = 0; i < 3; i++)
		turn();
	io_loop_stats(loop, &after);
	assert_int_equal(after.events, before.events);
	close_all(all, PEERS);
	for (unsigned i = 0; i < PEERS; i++) {
		close(peer[i]);
		while (all[i].n_kept)
			buf_unref(all[i].kept[--all[i].n_kept]);
	}
	io_loop_free(loop);
}

/* Made and filled here, run there: the ring belongs to the thread that runs it. */
struct runner {
	struct io_msg msg;
	struct one reader;
	pthread_t thread;
	sem_t posted;
	unsigned ops;
	int rc;
};

static void close_reader(struct io_loop *l, struct io_msg *msg)
{
	struct runner *r = SL_CONTAINER(msg, struct runner, msg);

	io_close(&r->reader.fd, count_closed);
	io_loop_stop(l);
}

static void *run_loop(void *arg)
{
	struct runner *r = arg;

	r->rc = io_loop_run(loop);
	while (r->rc == 0 && (finals < r->ops || !closed_count))
		r->rc = io_loop_turn(loop, TURN_NS);
	/* The message may have run while its sender was still inside io_post. */
	while (sem_wait(&r->posted) < 0)
		;
	io_loop_free(loop);
	base_thread_exit();
	return NULL;
}

static void test_a_loop_runs_on_another_thread_than_it_was_made_on(void **state)
{
	static struct one early[600];
	struct runner r = {.msg.run = close_reader, .reader.byte = 'q'};
	char zero[1];
	int fds[2], file = memfd_create("early", MFD_CLOEXEC);

	loop_open_or_skip(0);
	memset(early, 0, sizeof(early));
	finals = failures = closed_count = 0;
	r.ops = SL_ARRAY_SIZE(early) + 1;
	sem_init(&r.posted, 0, 0);
	assert_true(file >= 0);
	pair(fds);
	one_attach(&r.reader, fds[0]);
	one_submit(&r.reader, IO_RECV, IO_MULTI);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(early); i++) {
		early[i].op.u.file.fd = file;
		early[i].op.u.file.mem = zero;
		early[i].op.u.file.len = 0;
		one_submit(&early[i], IO_READ, 0);
	}
	/* One of those for which the ring, not yet enabled, had no room. */
	io_cancel(&early[SL_ARRAY_SIZE(early) - 1].op);
	assert_int_equal(pthread_create(&r.thread, NULL, run_loop, &r), 0);
	assert_int_equal(write(fds[1], "qqq", 3), 3);
	io_post(loop, &r.msg);
	sem_post(&r.posted);
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	assert_int_equal(r.rc, 0);
	assert_int_equal(r.reader.finals, 1);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(early); i++)
		assert_int_equal(early[i].finals, 1);
	assert_int_equal(early[SL_ARRAY_SIZE(early) - 1].last, -ECANCELED);
	close(fds[1]);
	close(file);
}

static void test_features_are_named(void **state)
{
	loop_open_or_skip(0);
	assert_string_equal(io_engine_name(loop), "io_uring");
	assert_non_null(strstr(io_loop_features(loop), "defer_taskrun"));
	assert_null(strstr(io_loop_features(loop), "  "));
	io_loop_free(loop);
}

/* Refusals, in a child under a filter that makes one system call fail. */
static const struct {
	int number, error;
	const char *says;
} refusals[] = {
	{SYS_io_uring_setup, EPERM, "forbidden"},  {SYS_io_uring_setup, ENOSYS, "no io_uring"},
	{SYS_io_uring_setup, EINVAL, "Linux 6.1"}, {SYS_io_uring_setup, ENOMEM, "memory"},
	{SYS_io_uring_enter, EPERM, "forbidden"},  {SYS_io_uring_register, EPERM, "forbidden"},
	{SYS_eventfd2, EMFILE, "descriptor"},
};

enum { CHILD_OK, CHILD_NO_FILTER, CHILD_ACCEPTED, CHILD_WRONG_ERROR, CHILD_WRONG_WORDS };

static int refused(unsigned i)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)refusals[i].number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)refusals[i].error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {SL_ARRAY_SIZE(filter), filter};
	int expected = refusals[i].error == EINVAL ? -ENOSYS : -refusals[i].error, rc;
	char why[256] = "";

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return CHILD_NO_FILTER;
	rc = loop_open(0, why, sizeof(why));
	if (rc == 0)
		return CHILD_ACCEPTED;
	if (rc != expected)
		return CHILD_WRONG_ERROR;
	if (!strstr(why, refusals[i].says)) {
		fprintf(stderr, "%s\n", why);
		return CHILD_WRONG_WORDS;
	}
	return CHILD_OK;
}

static void test_refusals_are_said_in_a_sentence(void **state)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(refusals); i++) {
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0)
			_exit(refused(i));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == CHILD_NO_FILTER)
			unit_skip("no seccomp filters here");
		if (WEXITSTATUS(status) != CHILD_OK)
			fail_msg("refusal %u: %d", i, WEXITSTATUS(status));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sends_beyond_the_submission_ring),
		cmocka_unit_test(test_all_of_a_full_ring_is_cancelled),
		cmocka_unit_test(test_completions_beyond_the_completion_ring),
		cmocka_unit_test(test_receives_without_buffers),
		cmocka_unit_test(test_a_loop_runs_on_another_thread_than_it_was_made_on),
		cmocka_unit_test(test_features_are_named),
		cmocka_unit_test(test_refusals_are_said_in_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* What Meson takes for "skipped". */
int main(void)
{
	puts("skipped: built without io_uring");
	return 77;
}

#endif
