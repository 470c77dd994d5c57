/* internal: cheap random numbers of one thread, and the wait before another try that is made with them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_CHANCE_H
#define SLUICE_UPSTREAM_CHANCE_H

#include <stdint.h>

/* Well spread and of no use as secrets. Any seed is good; two threads want two. */
struct chance {
	uint64_t state;
};

/* The finish of splitmix64 (Steele, Lea, Flood 2014): every bit of the result depends on every bit of z. */
static inline uint64_t chance_mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint64_t chance_next(struct chance *c)
{
	return chance_mix(c->state += 0x9e3779b97f4a7c15);
}

/* 0 <= result < n, n >= 1. A multiplication in place of a division: off by less than one part in 2^32 / n. */
static inline uint32_t chance_below(struct chance *c, uint32_t n)
{
	return (uint32_t)((chance_next(c) >> 32) * n >> 32);
}

/*
 * Milliseconds to wait before the try after `failed` of them (1 for the first): between 0 and base_ms doubled for each
 * failure, at most max_ms, all equally likely. Full jitter spreads those who failed together better than a wait with a
 * little of it. base_ms 0: no wait.
 */
static inline uint32_t chance_backoff_ms(struct chance *c, uint32_t base_ms, uint32_t max_ms,
					 unsigned failed)
{
	unsigned doublings = failed > 1 ? failed - 1 : 0;
	uint64_t top = (uint64_t)base_ms << (doublings < 32 ? doublings : 32);

	if (top > max_ms)
		top = max_ms;
	return top < UINT32_MAX ? chance_below(c, (uint32_t)top + 1) : (uint32_t)chance_next(c);
}

#endif
