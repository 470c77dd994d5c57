// SPDX-License-Identifier: Apache-2.0
#include "handler/files/residency.h"

#include <assert.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Linux 6.5; the headers of Debian 12 are older. The number is the same on every architecture. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct cache_range {
	uint64_t off, len;
};

struct cache_stat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

enum residency { RESIDENT, COLD, RESIDENCY_UNKNOWN };

static atomic_bool no_cachestat;

void residency_without_cachestat(bool without)
{
	atomic_store_explicit(&no_cachestat, without, memory_order_relaxed);
}

static enum residency ask_cachestat(int fd, uint64_t off, uint64_t len)
{
	struct cache_range range = {off, len};
	struct cache_stat stat;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t pages = (off + len - 1) / page - off / page + 1;

	if (syscall(SYS_cachestat, fd, &range, &stat, 0) == 0)
		return stat.cached >= pages ? RESIDENT : COLD;
	/* A container may refuse a call that it does not know with EPERM. */
	if (errno == ENOSYS || errno == EPERM)
		residency_without_cachestat(true);
	return RESIDENCY_UNKNOWN;
}

static enum residency probe_byte(int fd, uint64_t off)
{
	char byte;
	struct iovec iov = {&byte, 1};
	ssize_t n = preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT);

	if (n >= 0)
		return RESIDENT; /* 0 is the end of a file that shrank: nothing to wait for */
	return errno == EAGAIN ? COLD : RESIDENCY_UNKNOWN;
}

static enum residency ask_kernel(int fd, uint64_t off, uint64_t len)
{
	if (!atomic_load_explicit(&no_cachestat, memory_order_relaxed)) {
		enum residency found = ask_cachestat(fd, off, len);

		if (found != RESIDENCY_UNKNOWN)
			return found;
	}
	enum residency first = probe_byte(fd, off);

	return first == RESIDENT ? probe_byte(fd, off + len - 1) : first;
}

/* A file system that answers neither question either lives in memory or must be treated as cold. */
static void learn_file_system(struct file_rep *rep)
{
	struct statfs fs;

	rep->resident_unknown = true;
	rep->resident_always = fstatfs(rep->fd, &fs) == 0 &&
			       (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

bool residency_known(struct file_rep *rep, uint64_t off, uint64_t len, uint64_t now_ns)
{
	bool trusted = now_ns - rep->resident_ns < RESIDENT_TRUST_NS;

	if (rep->resident_unknown)
		return rep->resident_always;
	if (trusted && off + len <= rep->resident_until)
		return true;
	switch (ask_kernel(rep->fd, off, len)) {
	case RESIDENT:
		break;
	case COLD:
		return false;
	case RESIDENCY_UNKNOWN:
		learn_file_system(rep);
		return rep->resident_always;
	}
	if (off == 0 && !trusted) {
		rep->resident_ns = now_ns;
		rep->resident_until = 0;
	}
	if (off <= rep->resident_until && now_ns - rep->resident_ns < RESIDENT_TRUST_NS)
		rep->resident_until = SL_MAX(rep->resident_until, off + len);
	return true;
}

/* A read whose bytes nobody looks at: it is done when the pages are in memory. */
struct warm_slot {
	struct io_op op;
	struct warm *warm;
	struct warm_slot *next; /* among the spare ones */
	struct warm_wait *wait; /* NULL: stopped meanwhile */
	struct file_rep *rep;
	uint8_t bytes[WARM_BYTES];
};

void warm_init(struct warm *warm, struct io_loop *loop, const struct warm_calls *calls)
{
	*warm = (struct warm){.loop = loop, .calls = calls};
	list_init(&warm->queue);
}

void warm_free(struct warm *warm)
{
	assert(warm->active == 0);
	assert(list_empty(&warm->queue));
	while (warm->spare) {
		struct warm_slot *slot = warm->spare;

		warm->spare = slot->next;
		free(slot);
	}
}

static void slot_read(struct warm_slot *slot, struct warm_wait *wait);

static void slot_done(struct io_op *op, int result)
{
	struct warm_slot *slot = SL_CONTAINER(op, struct warm_slot, op);
	struct warm *warm = slot->warm;
	struct warm_wait *wait = slot->wait;

	file_rep_unref(slot->rep);
	slot->rep = NULL;
	slot->wait = NULL;
	if (!list_empty(&warm->queue)) {
		struct list *item = warm->queue.next;
		struct warm_wait *next = SL_CONTAINER(item, struct warm_wait, link);

		list_del(item);
		next->queued = false;
		slot_read(slot, next);
	} else {
		warm->active--;
		slot->next = warm->spare;
		warm->spare = slot;
	}
	if (wait) {
		wait->slot = NULL;
		wait->done(wait, result);
	}
	warm->calls->release(warm);
}

static void slot_read(struct warm_slot *slot, struct warm_wait *wait)
{
	struct warm *warm = slot->warm;

	slot->wait = wait;
	slot->rep = file_rep_ref(wait->rep);
	wait->slot = slot;
	slot->op = (struct io_op){.cb = slot_done, .code = IO_READ};
	slot->op.u.file.fd = wait->rep->fd;
	slot->op.u.file.mem = slot->bytes;
	slot->op.u.file.len = SL_MIN(wait->len, WARM_BYTES);
	slot->op.u.file.off = (int64_t)wait->off;
	warm->calls->hold(warm);
	io_submit(warm->loop, &slot->op);
}

int warm_start(struct warm *warm, struct warm_wait *wait)
{
	struct warm_slot *slot = warm->spare;

	assert(!wait->queued && !wait->slot);
	if (warm->active == WARM_SLOTS_MAX) {
		wait->queued = true;
		list_init(&wait->link);
		list_add(&warm->queue, &wait->link);
		return 0;
	}
	if (slot) {
		warm->spare = slot->next;
	} else {
		slot = malloc(sizeof(*slot));
		if (!slot)
			return -ENOMEM;
		slot->warm = warm;
	}
	warm->active++;
	slot_read(slot, wait);
	return 0;
}

void warm_stop(struct warm_wait *wait)
{
	if (wait->queued)
		list_del(&wait->link);
	wait->queued = false;
	if (wait->slot)
		wait->slot->wait = NULL;
	wait->slot = NULL;
}
