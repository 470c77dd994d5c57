// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

#define PIECE 65536

static char folder[64];
static int folder_fd;

static int file_setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s", "/tmp/sluice-io-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder_fd < 0 ? -1 : suite_setup(state);
}

static int file_teardown(void **state)
{
	unlinkat(folder_fd, "file", 0);
	close(folder_fd);
	rmdir(folder);
	return suite_teardown(state);
}

static int file_do(struct rec *rec, enum io_code code)
{
	rec->op.code = (uint8_t)code;
	suite_submit_free(rec);
	suite_until(rec->finals);
	return rec->last;
}

static int file_open(const char *path, uint64_t flags, uint64_t resolve)
{
	struct io_openat open = {
		.dirfd = folder_fd,
		.path = path,
		.flags = flags | O_CLOEXEC,
		.mode = flags & O_CREAT ? 0600 : 0,
		.resolve = resolve,
	};
	struct rec rec = {.op.u.open = &open};

	return file_do(&rec, IO_OPENAT);
}

static int file_io(enum io_code code, int fd, void *mem, size_t len, int64_t off)
{
	struct rec rec = {.op.u.file = {.fd = fd, .mem = mem, .len = len, .off = off}};

	return file_do(&rec, code);
}

static void test_a_file_is_written_and_read(void **state)
{
	static uint8_t out[PIECE], in[PIECE];
	int fd = file_open("file", O_RDWR | O_CREAT | O_EXCL, RESOLVE_BENEATH);

	assert_true(fd >= 0);
	for (unsigned piece = 0; piece < 16; piece++) {
		memset(out, (int)piece, sizeof(out));
		assert_int_equal(file_io(IO_WRITE, fd, out, PIECE, piece * PIECE), PIECE);
	}
	assert_int_equal(file_io(IO_FSYNC, fd, NULL, 0, 0), 0);
	for (unsigned piece = 16; piece-- > 0;) {
		memset(out, (int)piece, sizeof(out));
		assert_int_equal(file_io(IO_READ, fd, in, PIECE, piece * PIECE), PIECE);
		assert_memory_equal(in, out, PIECE);
	}
	/* The end of the file: first a part, then nothing. */
	assert_int_equal(file_io(IO_READ, fd, in, PIECE, 16 * PIECE - 10), 10);
	assert_int_equal(file_io(IO_READ, fd, in, PIECE, 16 * PIECE), 0);
	close(fd);
}

static void test_a_write_without_an_offset_appends(void **state)
{
	char in[16];
	int fd = file_open("file", O_RDWR | O_CREAT | O_APPEND, 0);

	assert_true(fd >= 0);
	assert_int_equal(file_io(IO_WRITE, fd, (void *)"one ", 4, -1), 4);
	assert_int_equal(file_io(IO_WRITE, fd, (void *)"two", 3, -1), 3);
	assert_int_equal(file_io(IO_READ, fd, in, sizeof(in), 0), 7);
	assert_memory_equal(in, "one two", 7);
	close(fd);
}

static void test_errors_of_files(void **state)
{
	char byte = 0;
	int fd;

	assert_int_equal(file_open("missing", O_RDONLY, 0), -ENOENT);
	assert_int_equal(file_open("../escape", O_RDONLY, RESOLVE_BENEATH), -EXDEV);
	assert_int_equal(file_open(".", O_WRONLY, 0), -EISDIR);
	fd = file_open("file", O_RDONLY | O_CREAT, 0);
	assert_true(fd >= 0);
	assert_int_equal(file_open("file/below", O_RDONLY, 0), -ENOTDIR);
	assert_int_equal(file_open("file", O_RDWR | O_CREAT | O_EXCL, 0), -EEXIST);
	assert_int_equal(file_io(IO_WRITE, fd, &byte, 1, 0), -EBADF);
	assert_int_equal(file_io(IO_READ, folder_fd, &byte, 1, 0), -EISDIR);
	close(fd);
	assert_int_equal(file_io(IO_READ, fd, &byte, 1, 0), -EBADF);
	assert_int_equal(file_io(IO_FSYNC, fd, NULL, 0, 0), -EBADF);
}

static void test_a_canceled_file_op_ends_once(void **state)
{
	struct rec rec = {.op.code = IO_FSYNC, .op.u.file.fd = folder_fd};

	for (unsigned i = 0; i < 50; i++) {
		suite_submit_free(&rec);
		if (i & 1)
			suite_world->turn();
		io_cancel(&rec.op);
		suite_until(rec.finals);
		assert_true(rec.last == 0 || rec.last == -ECANCELED);
		assert_int_equal(rec.finals, 1);
	}
	suite_world->settle();
	assert_int_equal(rec.finals, 1);
}

/* A file that no socket buffer holds, with the pattern that receivers expect. */
#define LONG_BYTES (6u << 20)

static int long_file(void)
{
	static uint8_t piece[PIECE];
	int fd = file_open("file", O_RDWR | O_CREAT | O_EXCL, 0);

	assert_true(fd >= 0);
	for (uint64_t at = 0; at < LONG_BYTES; at += PIECE) {
		for (unsigned i = 0; i < PIECE; i++)
			piece[i] = suite_pattern(at + i);
		assert_int_equal(pwrite(fd, piece, PIECE, (off_t)at), PIECE);
	}
	return fd;
}

static void test_a_file_goes_into_a_socket(void **state)
{
	struct end a, b;
	uint64_t at = 0;
	unsigned waits = 0;
	ssize_t n;
	int fd = long_file();

	suite_pair(&a, &b);
	/* More is asked for than the file holds: its end is told by 0. */
	while ((n = io_try_sendfile(&a.fd, fd, (int64_t)at, LONG_BYTES)) != 0) {
		if (n > 0) {
			at += (uint64_t)n;
			continue;
		}
		assert_int_equal(n, -EAGAIN);
		suite_submit(&a, &a.wr, IO_WAIT_OUT, 0);
		if (waits++ == 0) {
			suite_world->settle();
			suite_submit(&b, &b.rd, IO_RECV, IO_MULTI);
		}
		suite_until(a.wr.finals);
		assert_int_equal(a.wr.last, 0);
	}
	assert_int_equal(at, LONG_BYTES);
	assert_true(waits > 0);
	suite_until(b.rd.bytes == LONG_BYTES);
	assert_false(b.rd.corrupt);
	suite_close(&a);
	suite_close(&b);
	close(fd);
}

struct work {
	struct rec rec;
	pthread_t thread;
	sem_t begun, go;
	int result;
	bool ran;
};

static int work_now(struct io_op *op)
{
	struct work *work = SL_CONTAINER(op, struct work, rec.op);

	work->ran = true;
	work->thread = pthread_self();
	return work->result;
}

static int work_when_told(struct io_op *op)
{
	struct work *work = SL_CONTAINER(op, struct work, rec.op);

	sem_post(&work->begun);
	while (sem_wait(&work->go) < 0)
		;
	return work_now(op);
}

static void work_submit(struct work *work, int (*run)(struct io_op *))
{
	sem_init(&work->begun, 0, 0);
	sem_init(&work->go, 0, 0);
	work->rec.op.code = IO_WORK;
	work->rec.op.u.work.run = run;
	suite_submit_free(&work->rec);
}

static void test_work_gives_its_result(void **state)
{
	static struct work works[300];

	memset(works, 0, sizeof(works));
	for (unsigned i = 0; i < SL_ARRAY_SIZE(works); i++) {
		works[i].result = (int)i - 10;
		work_submit(&works[i], work_now);
	}
	for (unsigned i = 0; i < SL_ARRAY_SIZE(works); i++) {
		suite_until(works[i].rec.finals);
		assert_int_equal(works[i].rec.last, (int)i - 10);
		assert_true(works[i].ran);
		if (suite_world->kernel)
			assert_false(pthread_equal(works[i].thread, pthread_self()));
	}
}

static void test_work_that_has_not_begun_can_be_canceled(void **state)
{
	struct work busy[IO_HELPERS_DEFAULT] = {0}, waiting[3] = {0};

	suite_needs_kernel();
	for (unsigned i = 0; i < IO_HELPERS_DEFAULT; i++) {
		busy[i].result = 7;
		work_submit(&busy[i], work_when_told);
	}
	for (unsigned i = 0; i < IO_HELPERS_DEFAULT; i++) {
		while (sem_wait(&busy[i].begun) < 0)
			;
	}
	for (unsigned i = 0; i < 3; i++)
		work_submit(&waiting[i], work_now);
	/* The last, so that the queue's end moves; then the first. */
	io_cancel(&waiting[2].rec.op);
	io_cancel(&waiting[0].rec.op);
	io_cancel(&busy[0].rec.op);
	suite_until(waiting[0].rec.finals && waiting[2].rec.finals);
	assert_int_equal(waiting[0].rec.last, -ECANCELED);
	assert_int_equal(waiting[2].rec.last, -ECANCELED);
	assert_false(waiting[0].ran || waiting[2].ran);
	assert_int_equal(busy[0].rec.finals + waiting[1].rec.finals, 0);
	for (unsigned i = 0; i < IO_HELPERS_DEFAULT; i++)
		sem_post(&busy[i].go);
	suite_until(waiting[1].rec.finals && busy[0].rec.finals && busy[1].rec.finals);
	/* What had begun ends with its own result. */
	assert_int_equal(busy[0].rec.last, 7);
	assert_true(waiting[1].ran);
}

#define file_test(f) suite_test_with(f, file_setup, file_teardown)

int suite_file_run(void)
{
	const struct CMUnitTest tests[] = {
		file_test(test_a_file_is_written_and_read),
		file_test(test_a_write_without_an_offset_appends),
		file_test(test_errors_of_files),
		file_test(test_a_canceled_file_op_ends_once),
		file_test(test_a_file_goes_into_a_socket),
		file_test(test_work_gives_its_result),
		file_test(test_work_that_has_not_begun_can_be_canceled),
	};

	return cmocka_run_group_tests_name("files and work", tests, NULL, NULL);
}
