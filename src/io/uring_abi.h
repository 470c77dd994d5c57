/* internal: values of the kernel's io_uring interface that the header of liburing 2.3 lacks. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_IO_URING_ABI_H
#define SLUICE_IO_URING_ABI_H

#include <liburing.h>

/*
 * liburing 2.3, which Debian 12 installs, brings a copy of the kernel's header from the days of Linux 6.1.
 * What newer kernels added and this backend asks for stands here and nowhere else. Having a value does not
 * mean that the running kernel knows it: uring_ring_open probes for each of them.
 */

/* Linux 6.6: no array of indices between the submission ring and its entries. io_uring_setup flag. */
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)
#endif

/* Linux 6.15: waiting for events may be left out of the CPU's I/O wait time. io_uring_enter flag and feature. */
#ifndef IORING_ENTER_NO_IOWAIT
#define IORING_ENTER_NO_IOWAIT (1U << 7)
#endif
#ifndef IORING_FEAT_NO_IOWAIT
#define IORING_FEAT_NO_IOWAIT (1U << 17)
#endif

#endif
