/* internal: how many of the requests of the last seconds failed or were slow; counted by any thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_WINDOW_H
#define SLUICE_UPSTREAM_WINDOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WINDOW_BUCKETS 10
/* Of one bucket. At this number both sides of the rate are halved, so the rate stays right. */
#define WINDOW_COUNT_MAX 16383u

/*
 * A sliding window in WINDOW_BUCKETS steps. A bucket is one word, with its time in it: that it begins anew and counts its
 * first request is one exchange, no thread waits for another, and nobody has to sweep. Zeroed at the beginning.
 */
struct window {
	_Atomic uint64_t buckets[WINDOW_BUCKETS];
};

struct window_sum {
	uint32_t requests, failures, slow;
};

/* window_ms >= 1. A thread whose clock is a whole window behind the others' counts nothing. */
void window_add(struct window *, uint32_t window_ms, uint64_t now_ns, bool failed, bool slow);
/* Of the window that ends now. */
struct window_sum window_sum(const struct window *, uint32_t window_ms, uint64_t now_ns);
void window_clear(struct window *);

#endif
