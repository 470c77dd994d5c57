// SPDX-License-Identifier: Apache-2.0
/*
 * The least an HTTP server on io_uring can do: find the blank line, send a constant. One multishot accept, one
 * multishot recv a connection with buffers from a ring, sends queued and handed over once a turn.
 *
 * Tried beside this, on Linux 6.18, and within the noise of it or behind: IOSQE_CQE_SKIP_SUCCESS on sends,
 * direct descriptors, both together, recv bundles, RECVSEND_POLL_FIRST, send(2) at once instead of queued
 * sends, COOP_TASKRUN instead of DEFER_TASKRUN, no registered ring. NO_SQARRAY cannot be used with liburing 2.3:
 * it writes its index array over the head of the ring, and the kernel then spins in a wait that no signal ends.
 */
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>

#include "limit.h"

enum { SQ_ENTRIES = 4096, CQ_ENTRIES = 32768, BUFFERS = 1024, BUFFER_GROUP = 1 };
enum tag { TAG_ACCEPT, TAG_RECV, TAG_SEND, TAG_CLOSE };

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *buffer_memory;
static const char *responses;
static uint32_t tails[LIMIT_FDS_MAX];
static bool closing[LIMIT_FDS_MAX];

static struct io_uring_sqe *sqe_get(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	while (!sqe) {
		io_uring_submit(&ring);
		sqe = io_uring_get_sqe(&ring);
	}
	return sqe;
}

static void sqe_tag(struct io_uring_sqe *sqe, enum tag tag, int fd)
{
	io_uring_sqe_set_data64(sqe, (uint64_t)fd << 8 | tag);
}

static void arm_accept(int listener)
{
	struct io_uring_sqe *sqe = sqe_get();

	io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
	sqe_tag(sqe, TAG_ACCEPT, listener);
}

static void arm_recv(int fd)
{
	struct io_uring_sqe *sqe = sqe_get();

	io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
	sqe->buf_group = BUFFER_GROUP;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe_tag(sqe, TAG_RECV, fd);
}

/* A shutdown ends the armed recv, whose last completion then closes the descriptor. */
static void fail(int fd)
{
	closing[fd] = true;
	shutdown(fd, SHUT_RDWR);
}

static void answer(int fd, unsigned lines)
{
	while (lines) {
		unsigned batch = lines < LIMIT_BATCH_MAX ? lines : LIMIT_BATCH_MAX;
		struct io_uring_sqe *sqe = sqe_get();

		io_uring_prep_send(sqe, fd, responses, (size_t)batch * LIMIT_RESPONSE_BYTES,
				   MSG_NOSIGNAL);
		sqe_tag(sqe, TAG_SEND, fd);
		lines -= batch;
	}
}

static void on_accept(const struct io_uring_cqe *cqe, int listener)
{
	int fd = cqe->res;

	if (fd >= LIMIT_FDS_MAX) {
		close(fd);
	} else if (fd >= 0) {
		tails[fd] = 0;
		closing[fd] = false;
		arm_recv(fd);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		arm_accept(listener);
}

/* Returns the number of buffers given back to the ring, 0 or 1; the caller makes them visible once a turn. */
static int on_recv(const struct io_uring_cqe *cqe, int fd, int returned)
{
	int used = 0;

	if (cqe->res > 0) {
		unsigned short id = (unsigned short)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
		char *at = buffer_memory + (size_t)id * LIMIT_RECV_BYTES;

		if (!closing[fd])
			answer(fd, limit_blank_lines(&tails[fd], at, (size_t)cqe->res));
		io_uring_buf_ring_add(buffers, at, LIMIT_RECV_BYTES, id, BUFFERS - 1, returned);
		used = 1;
	}
	if (cqe->flags & IORING_CQE_F_MORE)
		return used;
	if (cqe->res > 0 || cqe->res == -ENOBUFS) {
		arm_recv(fd);
	} else {
		struct io_uring_sqe *sqe = sqe_get();

		io_uring_prep_close(sqe, fd);
		sqe_tag(sqe, TAG_CLOSE, fd);
	}
	return used;
}

static void turn(int listener)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int returned = 0;

	io_uring_for_each_cqe(&ring, head, cqe)
	{
		int fd = (int)(cqe->user_data >> 8);

		seen++;
		switch ((enum tag)(cqe->user_data & 0xff)) {
		case TAG_ACCEPT:
			on_accept(cqe, listener);
			break;
		case TAG_RECV:
			returned += on_recv(cqe, fd, returned);
			break;
		case TAG_SEND:
			if (cqe->res < 0 || cqe->res % LIMIT_RESPONSE_BYTES)
				fail(fd);
			break;
		case TAG_CLOSE:
			break;
		}
	}
	io_uring_buf_ring_advance(buffers, returned);
	io_uring_cq_advance(&ring, seen);
}

static int buffers_open(void)
{
	struct io_uring_buf_reg reg = {.ring_entries = BUFFERS, .bgid = BUFFER_GROUP};

	buffers = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
	buffer_memory = aligned_alloc(4096, (size_t)BUFFERS * LIMIT_RECV_BYTES);
	if (!buffers || !buffer_memory)
		return -ENOMEM;
	io_uring_buf_ring_init(buffers);
	for (int i = 0; i < BUFFERS; i++)
		io_uring_buf_ring_add(buffers, buffer_memory + (size_t)i * LIMIT_RECV_BYTES,
				      LIMIT_RECV_BYTES, (unsigned short)i, BUFFERS - 1, i);
	io_uring_buf_ring_advance(buffers, BUFFERS);
	reg.ring_addr = (uintptr_t)buffers;
	return io_uring_register_buf_ring(&ring, &reg, 0);
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	int listener = limit_listen(argc, argv, 0);
	int error = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);

	if (!error)
		error = buffers_open();
	if (error) {
		fprintf(stderr, "%s: io_uring: %s\n", argv[0], strerror(-error));
		return 1;
	}
	io_uring_register_ring_fd(&ring);
	responses = limit_responses();
	arm_accept(listener);
	for (;;) {
		io_uring_submit_and_wait(&ring, 1);
		turn(listener);
	}
}
