/* internal: pipes that hold bytes inside the kernel between a splice in and a splice out. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_PIPE_H
#define SLUICE_NET_PIPE_H

#include <stdint.h>

#include "base/seg.h"

/*
 * A pipe is leased only while bytes are in it, as the owner of a SEG_PIPE; when the last reference goes, an empty pipe
 * returns to the pool of the thread and one that still holds bytes is closed. Whoever splices bytes out
 * counts them in `held`.
 */
struct pipe_lease {
	struct seg_owner owner;
	int read_fd, write_fd;
	uint32_t bytes_max; /* its size in the kernel */
	uint32_t held;      /* bytes in it */
	struct pipe_lease *next;
};

/* The size that is asked for; the system may grant less (fs.pipe-user-pages-soft). */
#define PIPE_BYTES (1u << 20)
/* Empty pipes that a thread keeps. */
#define PIPE_KEEP 64
/* Of all that a thread has leased at a time: beyond it flows are copied. */
#define PIPE_LEASES_MAX 4096

/* An empty pipe with one reference, or NULL: no descriptors, or too many leased. The caller copies then. */
struct pipe_lease *pipe_lease_take(void);
/* Another one with the same n bytes, which the first one holds alone: tee(2). NULL: as above. */
struct pipe_lease *pipe_lease_tee(const struct pipe_lease *, size_t n);
/* Closes the kept pipes of this thread; base_thread_exit does so, too. */
void pipe_pool_close(void);

#endif
