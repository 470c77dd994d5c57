/* internal: random numbers for property tests, from a seed that is printed and can be given again */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_RANDOM_H
#define SLUICE_TEST_RANDOM_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

struct random {
	uint64_t state;
};

/* Draws a seed, or takes the one in SLUICE_TEST_SEED, and prints it: a failure can be repeated with it. */
static inline struct random random_start(const char *test)
{
	const char *given = getenv("SLUICE_TEST_SEED");
	uint64_t seed = 0;

	if (given)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = 1;
	printf("%s: SLUICE_TEST_SEED=0x%llx\n", test, (unsigned long long)seed);
	return (struct random){seed};
}

/* splitmix64 */
static inline uint64_t random_u64(struct random *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_u64(r) % n;
}

#endif
