// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "io/uring.h"

/*
 * One thread submits, and completions are worked out only when that thread asks for them (Linux 6.1): no
 * interrupts of user code, no locks between the two. DISABLED lets a loop be made on one thread and run on another.
 * With DEFER_TASKRUN there is nothing left that COOP_TASKRUN would save.
 */
#define SETUP_NEEDED                                                               \
	(IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | \
	 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

#define FEATURES_NEEDED (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE)

/*
 * Multishot accept and receive and buffer rings cannot be asked for by themselves; they are older (5.19 and 6.0)
 * than the setup flags above.
 */
static const struct {
	int code;
	const char *name;
} opcodes_needed[] = {
	{IORING_OP_ACCEPT, "accept"},       {IORING_OP_RECV, "recv"},
	{IORING_OP_SEND, "send"},           {IORING_OP_SENDMSG, "sendmsg"},
	{IORING_OP_CONNECT, "connect"},     {IORING_OP_POLL_ADD, "poll"},
	{IORING_OP_ASYNC_CANCEL, "cancel"}, {IORING_OP_READ, "read"},
	{IORING_OP_WRITE, "write"},         {IORING_OP_FSYNC, "fsync"},
	{IORING_OP_OPENAT2, "openat2"},
};

static int refuse(int error, char *why, size_t why_len)
{
	switch (-error) {
	case EPERM:
	case EACCES:
		snprintf(
			why, why_len,
			"io_uring is forbidden here, by kernel.io_uring_disabled or by a seccomp filter");
		return -EPERM;
	case ENOSYS:
		snprintf(why, why_len, "this kernel has no io_uring");
		return -ENOSYS;
	case EINVAL:
		snprintf(why, why_len,
			 "the io_uring of this kernel lacks deferred task work (Linux 6.1 has it)");
		return -ENOSYS;
	case ENOMEM:
		snprintf(
			why, why_len,
			"there is no memory for the rings of io_uring (or RLIMIT_MEMLOCK is too low)");
		return -ENOMEM;
	default:
		snprintf(why, why_len, "io_uring cannot be set up: %s", err_text(error));
		return error;
	}
}

static int open_rings(struct uring_ring *r)
{
	const unsigned wanted[] = {SETUP_NEEDED | IORING_SETUP_NO_SQARRAY, SETUP_NEEDED};
	struct io_uring_params p;
	int fd = -EINVAL, rc;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(wanted) && fd == -EINVAL; i++) {
		p = (struct io_uring_params){.flags = wanted[i], .cq_entries = URING_CQ_ENTRIES};
		fd = io_uring_setup(URING_SQ_ENTRIES, &p);
	}
	if (fd < 0)
		return fd;
	rc = io_uring_queue_mmap(fd, &p, &r->io);
	if (rc) {
		close(fd);
		return rc;
	}
	r->setup = p.flags;
	r->io.features = p.features;
	if (!(p.flags & IORING_SETUP_NO_SQARRAY)) {
		/* Entry i is always at index i, so the array is written once. */
		for (unsigned i = 0; i < r->io.sq.ring_entries; i++)
			r->io.sq.array[i] = i;
	}
	return 0;
}

static int check_opcodes(struct uring_ring *r, char *why, size_t why_len)
{
	union {
		struct io_uring_probe probe;
		uint8_t room[sizeof(struct io_uring_probe) +
			     IORING_OP_LAST * sizeof(struct io_uring_probe_op)];
	} u = {0};
	int rc = io_uring_register_probe(&r->io, &u.probe, IORING_OP_LAST);

	if (rc < 0)
		return refuse(rc, why, why_len);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(opcodes_needed); i++) {
		if (io_uring_opcode_supported(&u.probe, opcodes_needed[i].code))
			continue;
		snprintf(why, why_len, "the io_uring of this kernel lacks the operation %s",
			 opcodes_needed[i].name);
		return -ENOSYS;
	}
	return 0;
}

static int check_ring(struct uring_ring *r, char *why, size_t why_len)
{
	int rc;

	if ((r->io.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
		snprintf(why, why_len, "the io_uring of this kernel may drop completions");
		return -ENOSYS;
	}
	/* A filter may allow the set-up and forbid the use. A disabled ring answers EBADFD. */
	rc = io_uring_enter2((unsigned)r->io.ring_fd, 0, 0, 0, NULL, 0);
	if (rc != -EBADFD)
		return refuse(rc < 0 ? rc : -EINVAL, why, why_len);
	return check_opcodes(r, why, why_len);
}

int uring_ring_open(struct uring_ring *r, char *why, size_t why_len)
{
	int rc;

	*r = (struct uring_ring){0};
	rc = open_rings(r);
	if (rc)
		return refuse(rc, why, why_len);
	rc = check_ring(r, why, why_len);
	if (rc) {
		uring_ring_close(r);
		return rc;
	}
	if (r->io.features & IORING_FEAT_NO_IOWAIT)
		r->enter_flags |= IORING_ENTER_NO_IOWAIT;
	snprintf(r->features, sizeof(r->features),
		 "single_issuer defer_taskrun multishot buffer_ring%s%s",
		 r->setup & IORING_SETUP_NO_SQARRAY ? " no_sqarray" : "",
		 r->enter_flags & IORING_ENTER_NO_IOWAIT ? " no_iowait" : "");
	return 0;
}

int uring_ring_enable(struct uring_ring *r)
{
	/* The library of liburing 2.3 does not export its io_uring_enable_rings. */
	int rc = io_uring_register((unsigned)r->io.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	if (rc < 0)
		return rc;
	/* Saves a look-up of the descriptor in each call; a kernel without it looks it up. */
	if (io_uring_register_ring_fd(&r->io) == 1)
		r->enter_flags |= IORING_ENTER_REGISTERED_RING;
	else
		r->io.enter_ring_fd = r->io.ring_fd;
	r->enabled = true;
	return 0;
}

void uring_ring_close(struct uring_ring *r)
{
	io_uring_queue_exit(&r->io);
	r->enabled = false;
}

/* Shows the kernel what was queued: the number of entries that it has not taken. */
static unsigned publish(struct uring_ring *r)
{
	struct io_uring_sq *sq = &r->io.sq;

	io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
	return sq->sqe_tail - io_uring_smp_load_acquire(sq->khead);
}

int uring_ring_submit(struct uring_ring *r)
{
	unsigned queued = publish(r);
	int rc = 0;

	if (queued)
		rc = io_uring_enter2((unsigned)r->io.enter_ring_fd, queued, 0, r->enter_flags, NULL,
				     0);
	return rc < 0 ? rc : 0;
}

int uring_ring_wait(struct uring_ring *r, int64_t timeout_ns)
{
	const unsigned pending = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
	unsigned queued = publish(r);
	unsigned events = timeout_ns != 0 && io_uring_cq_ready(&r->io) == 0;
	struct __kernel_timespec ts;
	struct io_uring_getevents_arg arg = {.sigmask_sz = _NSIG / 8};
	int rc;

	if (!queued && !events && !(IO_URING_READ_ONCE(*r->io.sq.kflags) & pending))
		return 0;
	if (events && timeout_ns > 0) {
		ts.tv_sec = timeout_ns / (int64_t)CLOCK_NS_PER_S;
		ts.tv_nsec = timeout_ns % (int64_t)CLOCK_NS_PER_S;
		arg.ts = (uintptr_t)&ts;
	}
	rc = io_uring_enter2((unsigned)r->io.enter_ring_fd, queued, events,
			     r->enter_flags | IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			     (sigset_t *)(void *)&arg, sizeof(arg));
	return rc >= 0 || rc == -ETIME || rc == -EINTR ? 0 : rc;
}
