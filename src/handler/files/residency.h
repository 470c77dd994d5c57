/* internal: keeping cold file pages from blocking the loop: asking what is in memory, and warming what is not. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_RESIDENCY_H
#define SLUICE_HANDLER_FILES_RESIDENCY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "handler/files/rep.h"
#include "io/io.h"

/*
 * True when rep's bytes [off, off + len) are in the page cache, by cachestat(2) or, on kernels before 6.5, by
 * probing the first and the last page with RWF_NOWAIT. A yes for the beginning of a file is remembered for
 * RESIDENT_TRUST_NS, so that a hot file costs one call a megabyte and quarter second, not one a request.
 */
bool residency_known(struct file_rep *, uint64_t off, uint64_t len, uint64_t now_ns);
#define RESIDENT_TRUST_NS (250 * 1000000ull)

/* For tests: forget that this kernel has cachestat. */
void residency_without_cachestat(bool);

/* Reads at most this much ahead for one waiter, with at most so many reads at once; the others queue. */
#define WARM_BYTES (128u * 1024)
#define WARM_SLOTS_MAX 16

/* Embedded by who waits, zeroed; in use from warm_start to done or warm_stop. */
struct warm_wait {
	struct list link; /* in the queue, while `queued` */
	struct warm_slot *slot;
	bool queued;
	struct file_rep *rep;
	uint64_t off;
	uint32_t len;
	/* From the top of the loop: bytes in memory now from off on, 0 at the end of the file, or -errno. */
	void (*done)(struct warm_wait *, int result);
};

struct warm;

/* Of whoever embeds a struct warm. */
struct warm_calls {
	/* A read begins, and it ended: the owner stays as long as one is in flight. */
	void (*hold)(struct warm *);
	void (*release)(struct warm *);
	/* A response that began cannot be finished: for the log. */
	void (*failed)(struct warm *, const struct file_rep *, int error);
};

struct warm {
	struct io_loop *loop;
	struct list queue;
	struct warm_slot *spare;
	unsigned active;
	const struct warm_calls *calls;
};

void warm_init(struct warm *, struct io_loop *, const struct warm_calls *);
/* No read may be in flight, nobody waits. */
void warm_free(struct warm *);
/* rep, off, len (at most WARM_BYTES are read) and done are set by the caller, which keeps a reference to rep. 0 or -ENOMEM. */
int warm_start(struct warm *, struct warm_wait *);
/* No done after this. Harmless when idle. */
void warm_stop(struct warm_wait *);

#endif
