/* internal: the parts of the io_uring backend: the ring as the kernel offers it, and its provided buffers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_IO_URING_H
#define SLUICE_IO_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/seg.h"
#include "io/uring_abi.h"

/* Entries between two system calls; a fuller turn submits more than once. */
#define URING_SQ_ENTRIES 256
/* 64 KiB. What does not fit waits in the kernel (IORING_FEAT_NODROP), at a higher price. */
#define URING_CQ_ENTRIES 4096
/* The kernel's limit for a buffer ring. */
#define URING_BUFS_MAX 32768
#define URING_BUF_GROUP 0

/* A ring belongs to the thread that enables it; until then nothing can be submitted. */
struct uring_ring {
	struct io_uring io;
	unsigned setup;       /* IORING_SETUP_ flags that the kernel took */
	unsigned enter_flags; /* of every io_uring_enter */
	bool enabled;
	char features[128];
};

/* 0, or -errno with a sentence in why. The ring is still disabled. */
int uring_ring_open(struct uring_ring *, char *why, size_t why_len);
/* The calling thread becomes the owner. 0 or -errno. */
int uring_ring_enable(struct uring_ring *);
void uring_ring_close(struct uring_ring *);
/* Hands what is queued to the kernel. 0 or -errno; what the kernel did not take stays queued. */
int uring_ring_submit(struct uring_ring *);
/*
 * The same, and waits at most timeout_ns (-1: no bound) until a completion is there. Makes no system call when
 * nothing is queued and completions are there already. 0, also at the timeout and at a signal, or -errno.
 */
int uring_ring_wait(struct uring_ring *, int64_t timeout_ns);

/*
 * A buffer ring that is filled with pooled `struct buf`s: the kernel takes one when bytes have arrived, the loop
 * hands it to the callee for good and puts a fresh one into its place.
 */
struct uring_bufs {
	struct io_uring_buf_ring *ring;
	struct buf **held; /* by buffer id; NULL: an empty place that waits for memory */
	size_t map_bytes;
	unsigned count;  /* places, a power of two */
	unsigned filled; /* places that hold a buffer */
	unsigned added;  /* since the last commit */
};

/* Registers `count` places (rounded up to a power of two), empty. 0 or -errno. */
int uring_bufs_open(struct uring_bufs *, struct uring_ring *, unsigned count);
/* The ring is closed already, so that the kernel no longer writes into them. On the thread that filled them. */
void uring_bufs_close(struct uring_bufs *);
/* Fills empty places, as many as there is memory for. */
void uring_bufs_fill(struct uring_bufs *);
/* The buffer that a completion names, with `len` bytes in it, is the caller's. */
struct buf *uring_bufs_take(struct uring_bufs *, unsigned id, unsigned len);
/* The kernel took this buffer and wrote nothing into it. */
void uring_bufs_return(struct uring_bufs *, unsigned id);
/* Shows the kernel what was added: once before each system call, not once for each buffer. */
void uring_bufs_commit(struct uring_bufs *);

#endif
