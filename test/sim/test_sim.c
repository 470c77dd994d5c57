// SPDX-License-Identifier: Apache-2.0

/* The simulated world itself: its time, its sockets, its faults and its limits. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "sim_test.h"

static struct sim *world;
static struct io_loop *loop;
static const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = 80};

static void world_open(const struct sim_options *o)
{
	world = sim_test_world(o);
	loop = sim_test_loop(world);
}

static int setup(void **state)
{
	const struct sim_options o = {.seed = 1};

	(void)state;
	world_open(&o);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	/* After a failed test something may be open, and freeing the loop would hide the failure. */
	if (sim_live(world).fds || sim_live(world).file_ops)
		return -1;
	io_loop_free(loop);
	sim_test_world_free(world);
	return 0;
}

/* For tests that need a world of another kind than setup's. */
static void world_again(const struct sim_options *o)
{
	teardown(NULL);
	world_open(o);
}

/* An end of a connection with one op each way. */
struct end {
	struct io_fd fd;
	struct counted rd, wr;
	char mem[256];
	struct iovec iov;
	int result;
	bool done, closed;
};

static void end_closed(struct io_fd *fd)
{
	SL_CONTAINER(fd, struct end, fd)->closed = true;
	sim_stop(world);
}

static void end_rd_done(struct counted *c, int result)
{
	struct end *e = SL_CONTAINER(c, struct end, rd);

	e->result = result;
	e->done = true;
	sim_stop(world);
}

static void end_wr_done(struct counted *c, int result)
{
	struct end *e = SL_CONTAINER(c, struct end, wr);

	e->result = result;
	e->done = true;
	sim_stop(world);
}

static void end_open(struct end *e, int fd)
{
	assert_in_range(fd, SIM_FD_BASE, INT32_MAX);
	*e = (struct end){.rd.done = end_rd_done, .wr.done = end_wr_done};
	assert_int_equal(io_fd_init(loop, &e->fd, fd), 0);
}

static void pair_open(struct end *a, struct end *b)
{
	int fds[2];

	assert_int_equal(sim_pair(world, fds), 0);
	end_open(a, fds[0]);
	end_open(b, fds[1]);
}

static void end_close(struct end *e)
{
	io_close(&e->fd, end_closed);
	while (!e->closed)
		assert_int_equal(sim_run(world, CLOCK_NS_PER_S), SIM_STOPPED);
}

/* Runs until the op that was submitted last has its result. */
static int end_result(struct end *e)
{
	while (!e->done)
		assert_int_equal(sim_run(world, 3600 * CLOCK_NS_PER_S), SIM_STOPPED);
	e->done = false;
	return e->result;
}

static int end_recv(struct end *e)
{
	e->rd.op.u.recv.mem = e->mem;
	e->rd.op.u.recv.cap = sizeof(e->mem);
	counted_submit(loop, &e->rd, &e->fd, IO_RECV, 0);
	return end_result(e);
}

static ssize_t end_send(struct end *e, const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

	return io_try_send(&e->fd, &iov, 1, IO_SEND_NOW);
}

static void connect_begin(struct end *e)
{
	end_open(e, io_socket(loop, AF_INET, SOCK_STREAM));
	e->wr.op.u.connect.addr = (const struct sockaddr *)&address;
	e->wr.op.u.connect.len = sizeof(address);
	counted_submit(loop, &e->wr, &e->fd, IO_CONNECT, 0);
}

static void listen_at(struct end *e, unsigned backlog)
{
	end_open(e, sim_listen(world, (const struct sockaddr *)&address, sizeof(address), backlog));
}

/* All that is on its way arrives. */
static void run_ms(uint64_t ms)
{
	sim_run(world, ms * CLOCK_NS_PER_MS);
}

/* Time and its ends. */

static struct io_timer timer;
static uint64_t fired_ns;

static void fired(struct io_timer *t)
{
	(void)t;
	fired_ns = sim_now_ns(world);
}

static void test_time_stands_where_it_was_told_to(void **state)
{
	uint64_t start = sim_now_ns(world);

	(void)state;
	timer.fire = fired;
	fired_ns = 0;
	io_timer_set(loop, &timer, 1000);
	assert_int_equal(sim_run(world, 999 * CLOCK_NS_PER_MS), SIM_TIME);
	assert_int_equal(sim_now_ns(world), start + 999 * CLOCK_NS_PER_MS);
	assert_int_equal(fired_ns, 0);
	assert_int_equal(sim_run(world, CLOCK_NS_PER_S), SIM_DEADLOCK);
	assert_int_equal(fired_ns, start + 1000 * CLOCK_NS_PER_MS);
}

static void test_two_who_wait_for_each_other_are_a_deadlock(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	a.rd.op.u.recv.mem = b.rd.op.u.recv.mem = NULL;
	counted_submit(loop, &a.rd, &a.fd, IO_RECV, 0);
	counted_submit(loop, &b.rd, &b.fd, IO_RECV, 0);
	assert_int_equal(sim_run(world, UINT64_MAX), SIM_DEADLOCK);
	/* The same alone: a loop that would sleep for ever says so. */
	assert_int_equal(io_loop_turn(loop, -1), -EDEADLK);
	end_close(&a);
	end_close(&b);
}

static unsigned spins;

static void spin(struct io_task *task)
{
	spins++;
	io_defer(loop, task);
}

static void test_a_loop_that_spins_is_a_livelock(void **state)
{
	struct io_task task = {.run = spin};

	(void)state;
	spins = 0;
	io_defer(loop, &task);
	assert_int_equal(sim_run(world, UINT64_MAX), SIM_LIVELOCK);
	assert_true(spins >= SIM_TURNS_MAX);
	io_undefer(loop, &task);
}

static void test_a_world_is_needed_and_chances_are_per_mille(void **state)
{
	struct io_options options = {.engine = IO_ENGINE_SIM};
	struct sim_options o = {.faults.split = 1001};
	struct io_loop *other;
	struct io_fd fd;
	struct sim *w;
	char why[128];

	(void)state;
	assert_int_equal(io_loop_new(&options, &other, why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "the simulator engine is for tests: it needs a world");
	assert_int_equal(sim_new(&o, &w), -EINVAL);
	/* The kernel's descriptors are none of this world's. */
	assert_int_equal(io_fd_init(loop, &fd, STDIN_FILENO), -EBADF);
}

/* Ends of streams, as Linux has them. */

static void test_an_orderly_end_comes_after_all_bytes(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(end_send(&a, "hello"), 5);
	end_close(&a);
	assert_int_equal(end_recv(&b), 5);
	assert_memory_equal(b.mem, "hello", 5);
	assert_int_equal(end_recv(&b), 0);
	assert_int_equal(end_recv(&b), 0);
	end_close(&b);
}

static void test_a_reset_is_told_once_and_then_looks_like_an_end(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(end_send(&a, "arrived"), 7);
	run_ms(10);
	assert_int_equal(end_send(&a, "lost?"), 5);
	io_set_reset(&a.fd);
	end_close(&a);
	run_ms(10);
	/* What was in the receiver's buffer stays; what was under way may be lost. */
	assert_in_range(end_recv(&b), 7, 12);
	assert_memory_equal(b.mem, "arrived", 7);
	assert_int_equal(end_recv(&b), -ECONNRESET);
	assert_int_equal(end_recv(&b), 0);
	assert_int_equal(end_send(&b, "x"), -EPIPE);
	assert_int_equal(io_shutdown(&b.fd), -ENOTCONN);
	end_close(&b);
}

static void test_a_close_with_unread_bytes_resets(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(end_send(&b, "never read"), 10);
	run_ms(10);
	end_close(&a);
	assert_int_equal(end_recv(&b), -ECONNRESET);
	end_close(&b);
}

static void test_bytes_for_a_closed_end_bring_a_reset(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	end_close(&a);
	assert_int_equal(end_recv(&b), 0);
	assert_int_equal(end_send(&b, "anybody?"), 8);
	run_ms(10);
	/* After the peer's end a reset is a broken pipe, and reading still finds the end. */
	assert_int_equal(end_recv(&b), 0);
	assert_int_equal(end_send(&b, "x"), -EPIPE);
	end_close(&b);
}

static void test_a_half_closed_stream_goes_on_the_other_way(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(io_shutdown(&a.fd), 0);
	assert_int_equal(end_send(&a, "x"), -EPIPE);
	assert_int_equal(end_recv(&b), 0);
	assert_int_equal(end_send(&b, "still here"), 10);
	assert_int_equal(end_recv(&a), 10);
	end_close(&a);
	end_close(&b);
}

static void test_buffers_hold_what_they_hold(void **state)
{
	const struct sim_options o = {.seed = 1, .send_bytes = 3, .recv_bytes = 2};
	struct end a, b;

	(void)state;
	world_again(&o);
	pair_open(&a, &b);
	assert_int_equal(end_send(&a, "1234567"), 3);
	assert_int_equal(end_send(&a, "4567"), -EAGAIN);
	run_ms(10);
	assert_int_equal(end_send(&a, "4567"), 2);
	assert_int_equal(end_send(&a, "67"), -EAGAIN);
	run_ms(10);
	assert_int_equal(end_send(&a, "67"), -EAGAIN);
	counted_submit(loop, &a.wr, &a.fd, IO_WAIT_OUT, 0);
	assert_int_equal(end_recv(&b), 2);
	assert_memory_equal(b.mem, "12", 2);
	assert_int_equal(end_result(&a), 0);
	run_ms(10);
	assert_int_equal(end_recv(&b), 2);
	assert_memory_equal(b.mem, "34", 2);
	assert_int_equal(end_recv(&b), 1);
	end_close(&a);
	end_close(&b);
}

/* Connecting. */

static void test_nobody_listens(void **state)
{
	struct end a;

	int fd = sim_listen(world, (const struct sockaddr *)&address, sizeof(address), 1);

	(void)state;
	/* Not any more. */
	assert_true(fd >= SIM_FD_BASE);
	sim_close(world, fd);
	connect_begin(&a);
	assert_int_equal(end_result(&a), -ECONNREFUSED);
	end_close(&a);
}

static void test_a_full_backlog_lets_others_wait(void **state)
{
	struct end listener, in, early, late;

	(void)state;
	listen_at(&listener, 1);
	connect_begin(&early);
	assert_int_equal(end_result(&early), 0);
	connect_begin(&late);
	run_ms(500);
	assert_false(late.done);
	counted_submit(loop, &listener.rd, &listener.fd, IO_ACCEPT, 0);
	end_open(&in, end_result(&listener));
	assert_int_equal(end_result(&late), 0);
	end_close(&early);
	/* Who is not accepted by the end is reset. */
	end_close(&listener);
	assert_int_equal(end_recv(&late), -ECONNRESET);
	end_close(&late);
	end_close(&in);
}

static void test_a_backlog_that_stays_full_times_out(void **state)
{
	struct end listener, early, late;

	(void)state;
	listen_at(&listener, 1);
	connect_begin(&early);
	assert_int_equal(end_result(&early), 0);
	connect_begin(&late);
	assert_int_equal(end_result(&late), -ETIMEDOUT);
	end_close(&listener);
	end_close(&early);
	end_close(&late);
}

static void test_descriptors_run_out(void **state)
{
	const struct sim_options o = {.seed = 1, .fds_max = 2};
	struct end listener, a, in;

	(void)state;
	world_again(&o);
	listen_at(&listener, 1);
	connect_begin(&a);
	assert_int_equal(io_socket(loop, AF_INET, SOCK_STREAM), -EMFILE);
	assert_int_equal(end_result(&a), 0);
	counted_submit(loop, &listener.rd, &listener.fd, IO_ACCEPT, 0);
	assert_int_equal(end_result(&listener), -EMFILE);
	/* The connection keeps its place in the queue. */
	end_close(&a);
	counted_submit(loop, &listener.rd, &listener.fd, IO_ACCEPT, 0);
	end_open(&in, end_result(&listener));
	assert_int_equal(end_recv(&in), 0);
	end_close(&in);
	end_close(&listener);
}

/* Scripts. */

static void test_a_scripted_reset_comes_after_exactly_so_many_bytes(void **state)
{
	struct end a, b;

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(sim_reset_after(world, a.fd.fd, 4), 0);
	assert_int_equal(end_send(&a, "123"), 3);
	run_ms(10);
	assert_int_equal(end_send(&a, "456"), 3);
	run_ms(10);
	assert_int_equal(end_recv(&b), 4);
	assert_int_equal(end_recv(&b), -ECONNRESET);
	assert_int_equal(end_recv(&a), -ECONNRESET);
	end_close(&a);
	end_close(&b);
	assert_int_equal(sim_reset_after(world, SIM_FD_BASE, 0), -EBADF);
}

static void test_a_stalled_connection_is_silent_and_goes_on(void **state)
{
	struct end a, b;
	uint64_t start = sim_now_ns(world);

	(void)state;
	pair_open(&a, &b);
	assert_int_equal(sim_stall(world, b.fd.fd, 0, 60 * CLOCK_NS_PER_S), 0);
	assert_int_equal(end_send(&a, "late"), 4);
	assert_int_equal(end_recv(&b), 4);
	assert_int_equal(sim_now_ns(world), start + 60 * CLOCK_NS_PER_S);
	end_close(&a);
	end_close(&b);
}

static struct io_openat open_null = {.dirfd = AT_FDCWD, .path = "/dev/null", .flags = O_RDONLY};

static int file_op(struct end *e, enum io_code code)
{
	counted_submit(loop, &e->rd, NULL, code, 0);
	return end_result(e);
}

static void test_the_next_opens_fail_as_told(void **state)
{
	struct end e = {.rd.done = end_rd_done};
	int fd;

	(void)state;
	e.rd.op.u.open = &open_null;
	assert_int_equal(sim_fail(world, SIM_OPEN, 1, 2, EIO), 0);
	for (unsigned i = 0; i < 4; i++) {
		fd = file_op(&e, IO_OPENAT);
		if (i == 1 || i == 2) {
			assert_int_equal(fd, -EIO);
			continue;
		}
		assert_true(fd >= 0);
		close(fd);
	}
	assert_int_equal(sim_fail(world, SIM_OPEN, 0, 0, EIO), -EINVAL);
	assert_int_equal(sim_fail(world, SIM_OPEN, 0, 1, 0), -EINVAL);
	for (unsigned i = 0; i < SIM_RULES_MAX; i++)
		assert_int_equal(sim_fail(world, SIM_SYNC, 0, 1, EIO), 0);
	assert_int_equal(sim_fail(world, SIM_SYNC, 0, 1, EIO), -ENOSPC);
}

static void test_a_disk_that_is_full(void **state)
{
	struct end e = {.rd.done = end_rd_done};
	int fd = memfd_create("disk", MFD_CLOEXEC);
	char text[10] = "0123456789";

	(void)state;
	assert_true(fd >= 0);
	e.rd.op.u.file.fd = fd;
	e.rd.op.u.file.mem = text;
	e.rd.op.u.file.len = sizeof(text);
	e.rd.op.u.file.off = -1;
	sim_disk_room(world, 6);
	assert_int_equal(file_op(&e, IO_WRITE), 6);
	assert_int_equal(file_op(&e, IO_WRITE), -ENOSPC);
	assert_int_equal(lseek(fd, 0, SEEK_END), 6);
	sim_disk_room(world, UINT64_MAX);
	assert_int_equal(sim_fail(world, SIM_WRITE, 0, 1, 0), 0);
	assert_int_equal(file_op(&e, IO_WRITE), 1);
	assert_int_equal(file_op(&e, IO_WRITE), 10);
	close(fd);
}

static void test_sendfile_meets_the_disk(void **state)
{
	struct end a, b;
	int fd = memfd_create("file", MFD_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	pair_open(&a, &b);
	assert_int_equal(io_try_sendfile(&a.fd, fd, 2, 100), 8);
	assert_int_equal(io_try_sendfile(&a.fd, fd, 10, 100), 0);
	assert_int_equal(sim_fail(world, SIM_READ, 0, 1, EIO), 0);
	assert_int_equal(sim_fail(world, SIM_READ, 0, 1, 0), 0);
	assert_int_equal(io_try_sendfile(&a.fd, fd, 0, 100), -EIO);
	assert_int_equal(io_try_sendfile(&a.fd, fd, 0, 100), 0);
	assert_int_equal(io_try_sendfile(&a.fd, fd, 0, 5), 5);
	run_ms(10);
	assert_int_equal(end_recv(&b), 13);
	assert_memory_equal(b.mem, "2345678901234", 13);
	end_close(&a);
	end_close(&b);
	close(fd);
}

/* Chance: at 1000 per mille a fault comes every time. */

static void with_faults(const struct sim_faults *f)
{
	sim_set_faults(world, f);
}

static void test_faults_that_always_come(void **state)
{
	static const struct {
		struct sim_faults faults;
		enum io_code code;
		int result;
	} cases[] = {
		{{.open_enoent = 1000}, IO_OPENAT, -ENOENT},
		{{.open_eacces = 1000}, IO_OPENAT, -EACCES},
		{{.read_eio = 1000}, IO_READ, -EIO},
		{{.read_end = 1000}, IO_READ, 0},
		{{.write_eio = 1000}, IO_WRITE, -EIO},
		{{.write_full = 1000}, IO_WRITE, -ENOSPC},
		{{.sync_eio = 1000}, IO_FSYNC, -EIO},
	};
	struct end e = {.rd.done = end_rd_done};
	int fd = memfd_create("file", MFD_CLOEXEC);
	char text[4] = "1234";

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, 4), 4);
	for (size_t i = 0; i < SL_ARRAY_SIZE(cases); i++) {
		with_faults(&cases[i].faults);
		if (cases[i].code == IO_OPENAT) {
			e.rd.op.u.open = &open_null;
		} else {
			e.rd.op.u.file.fd = fd;
			e.rd.op.u.file.mem = text;
			e.rd.op.u.file.len = sizeof(text);
			e.rd.op.u.file.off = 0;
		}
		assert_int_equal(file_op(&e, cases[i].code), cases[i].result);
	}
	close(fd);
}

static void test_faults_of_sockets_that_always_come(void **state)
{
	struct end listener, a, b;

	(void)state;
	listen_at(&listener, 1);
	with_faults(&(struct sim_faults){.refuse = 1000});
	connect_begin(&a);
	assert_int_equal(end_result(&a), -ECONNREFUSED);
	end_close(&a);
	with_faults(&(struct sim_faults){.accept_emfile = 1000});
	connect_begin(&a);
	assert_int_equal(end_result(&a), 0);
	counted_submit(loop, &listener.rd, &listener.fd, IO_ACCEPT, 0);
	assert_int_equal(end_result(&listener), -EMFILE);
	with_faults(&(struct sim_faults){.accept_abort = 1000});
	counted_submit(loop, &listener.rd, &listener.fd, IO_ACCEPT, 0);
	assert_int_equal(end_recv(&a), -ECONNRESET);
	end_close(&a);
	end_close(&listener);

	with_faults(&(struct sim_faults){.again = 1000});
	pair_open(&a, &b);
	assert_int_equal(end_send(&a, "x"), -EAGAIN);
	counted_submit(loop, &b.rd, &b.fd, IO_WAIT_IN, 0);
	assert_int_equal(end_result(&b), 0);
	with_faults(&(struct sim_faults){.no_bufs = 1000});
	assert_int_equal(end_send(&a, "x"), 1);
	b.rd.op.u.recv.mem = NULL;
	counted_submit(loop, &b.rd, &b.fd, IO_RECV, IO_MULTI);
	assert_int_equal(end_result(&b), -ENOBUFS);
	with_faults(&(struct sim_faults){.reset = 1000});
	assert_int_equal(end_send(&a, "x"), 1);
	run_ms(10);
	assert_int_equal(end_recv(&a), -ECONNRESET);
	end_close(&a);
	end_close(&b);
}

static void test_cancel_is_a_wish(void **state)
{
	struct end a, b;
	struct end e = {.rd.done = end_rd_done};

	(void)state;
	e.rd.op.u.open = &open_null;
	counted_submit(loop, &e.rd, NULL, IO_OPENAT, 0);
	io_cancel(&e.rd.op);
	assert_int_equal(end_result(&e), -ECANCELED);
	with_faults(&(struct sim_faults){.cancel_race = 1000});
	counted_submit(loop, &e.rd, NULL, IO_OPENAT, 0);
	io_cancel(&e.rd.op);
	assert_true(end_result(&e) >= 0);
	close(e.result);

	pair_open(&a, &b);
	assert_int_equal(end_send(&a, "x"), 1);
	run_ms(10);
	b.rd.op.u.recv.mem = b.mem;
	b.rd.op.u.recv.cap = 1;
	counted_submit(loop, &b.rd, &b.fd, IO_RECV, 0);
	io_cancel(&b.rd.op);
	assert_int_equal(end_result(&b), 1);
	counted_submit(loop, &b.rd, &b.fd, IO_RECV, 0);
	io_cancel(&b.rd.op);
	assert_int_equal(end_result(&b), -ECANCELED);
	end_close(&a);
	end_close(&b);
}

#define world_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(test_time_stands_where_it_was_told_to),
		world_test(test_two_who_wait_for_each_other_are_a_deadlock),
		world_test(test_a_loop_that_spins_is_a_livelock),
		world_test(test_a_world_is_needed_and_chances_are_per_mille),
		world_test(test_an_orderly_end_comes_after_all_bytes),
		world_test(test_a_reset_is_told_once_and_then_looks_like_an_end),
		world_test(test_a_close_with_unread_bytes_resets),
		world_test(test_bytes_for_a_closed_end_bring_a_reset),
		world_test(test_a_half_closed_stream_goes_on_the_other_way),
		world_test(test_buffers_hold_what_they_hold),
		world_test(test_nobody_listens),
		world_test(test_a_full_backlog_lets_others_wait),
		world_test(test_a_backlog_that_stays_full_times_out),
		world_test(test_descriptors_run_out),
		world_test(test_a_scripted_reset_comes_after_exactly_so_many_bytes),
		world_test(test_a_stalled_connection_is_silent_and_goes_on),
		world_test(test_the_next_opens_fail_as_told),
		world_test(test_a_disk_that_is_full),
		world_test(test_sendfile_meets_the_disk),
		world_test(test_faults_that_always_come),
		world_test(test_faults_of_sockets_that_always_come),
		world_test(test_cancel_is_a_wish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
