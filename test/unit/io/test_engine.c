// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/log.h"
#include "io/io.h"
#include "unit.h"

/* The choice of an engine, and what is said when there is none. */

static int loop_new(enum io_engine engine, struct io_loop **loop, char *why, size_t why_len)
{
	struct io_options options = {.engine = engine};

	return io_loop_new(&options, loop, why, why_len);
}

static void test_names_of_engines(void **state)
{
	assert_int_equal(io_engine_parse("auto"), IO_ENGINE_AUTO);
	assert_int_equal(io_engine_parse("io_uring"), IO_ENGINE_URING);
	assert_int_equal(io_engine_parse("epoll"), IO_ENGINE_EPOLL);
	assert_int_equal(io_engine_parse("poll"), IO_ENGINE_POLL);
	assert_int_equal(io_engine_parse("select"), IO_ENGINE_SELECT);
	assert_int_equal(io_engine_parse("sim"), -EINVAL);
	assert_int_equal(io_engine_parse("Epoll"), -EINVAL);
	assert_int_equal(io_engine_parse("epol"), -EINVAL);
	assert_int_equal(io_engine_parse(""), -EINVAL);
}

static void test_the_automatic_choice_is_one_that_works(void **state)
{
	struct io_loop *loop;
	char why[256];

	log_setup(STDERR_FILENO, LOG_OFF, LOG_TEXT);
	assert_int_equal(loop_new(IO_ENGINE_AUTO, &loop, why, sizeof(why)), 0);
	assert_true(strcmp(io_engine_name(loop), "io_uring") == 0 ||
		    strcmp(io_engine_name(loop), "epoll") == 0);
	assert_int_equal(io_loop_turn(loop, 0), 0);
	io_loop_free(loop);
}

/* As container runtimes do. False when this kernel has no filters. */
static bool forbid_io_uring(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {SL_ARRAY_SIZE(filter), filter};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Runs in a child; what it prints goes to fd. The exit status says what happened. */
enum { CHILD_OK, CHILD_NO_FILTER, CHILD_FAILED, CHILD_NOT_EPOLL, CHILD_DEAF };

static int choose_without_io_uring(int fd, enum io_engine engine)
{
	struct io_loop *loop;
	char why[256];
	int status;

	if (!forbid_io_uring())
		return CHILD_NO_FILTER;
	log_setup(fd, LOG_INFO, LOG_TEXT);
	if (loop_new(engine, &loop, why, sizeof(why)) < 0) {
		dprintf(fd, "%s\n", why);
		return CHILD_FAILED;
	}
	status = strcmp(io_engine_name(loop), "epoll") == 0 ? CHILD_OK : CHILD_NOT_EPOLL;
	if (io_loop_turn(loop, 0) < 0)
		status = CHILD_DEAF;
	io_loop_free(loop);
	return status;
}

static int in_a_child(enum io_engine engine, char *said, size_t len)
{
	int fds[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(choose_without_io_uring(fds[1], engine));
	close(fds[1]);
	while ((got = read(fds[0], said + n, len - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_NO_FILTER)
		unit_skip("no seccomp filters here");
	return WEXITSTATUS(status);
}

static void test_a_forbidden_io_uring_falls_back_with_one_line(void **state)
{
	char said[2048];

	assert_int_equal(in_a_child(IO_ENGINE_AUTO, said, sizeof(said)), CHILD_OK);
	assert_non_null(strstr(said, "io_uring is not available"));
	assert_non_null(strstr(said, "using epoll"));
	assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
}

static void test_an_explicit_choice_that_is_impossible_is_an_error(void **state)
{
	char said[2048];

	assert_int_equal(in_a_child(IO_ENGINE_URING, said, sizeof(said)), CHILD_FAILED);
	/* A sentence, which names no other engine and is not empty. */
	assert_true(strlen(said) > 10);
	assert_null(strstr(said, "epoll"));
}

static void test_a_simulator_without_a_world_is_an_error(void **state)
{
	struct io_loop *loop = NULL;
	char why[256] = "";

	assert_true(loop_new(IO_ENGINE_SIM, &loop, why, sizeof(why)) < 0);
	assert_true(strlen(why) > 0);
	assert_null(loop);
}

static void test_select_refuses_descriptors_that_its_sets_cannot_hold(void **state)
{
	struct io_loop *loop;
	struct io_fd fd;
	char why[256];
	int high, low;

	assert_int_equal(loop_new(IO_ENGINE_SELECT, &loop, why, sizeof(why)), 0);
	low = io_socket(loop, AF_INET, SOCK_STREAM);
	assert_true(low >= 0);
	high = fcntl(low, F_DUPFD_CLOEXEC, FD_SETSIZE);
	if (high < 0)
		unit_skip("no descriptors beyond FD_SETSIZE here");
	assert_int_equal(io_fd_init(loop, &fd, high), -EMFILE);
	/* It stays the caller's, and the last one that fits is taken. */
	assert_int_equal(close(high), 0);
	assert_int_equal(dup2(low, FD_SETSIZE - 1), FD_SETSIZE - 1);
	assert_int_equal(io_fd_init(loop, &fd, FD_SETSIZE - 1), 0);
	io_close(&fd, NULL);
	assert_int_equal(io_loop_turn(loop, 0), 0);
	assert_int_equal(fcntl(FD_SETSIZE - 1, F_GETFD), -1);
	close(low);
	io_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_of_engines),
		cmocka_unit_test(test_the_automatic_choice_is_one_that_works),
		cmocka_unit_test(test_a_forbidden_io_uring_falls_back_with_one_line),
		cmocka_unit_test(test_an_explicit_choice_that_is_impossible_is_an_error),
		cmocka_unit_test(test_a_simulator_without_a_world_is_an_error),
		cmocka_unit_test(test_select_refuses_descriptors_that_its_sets_cannot_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
