// SPDX-License-Identifier: Apache-2.0
/*
 * What a decision of a limiter costs, and what its keys cost in memory:
 *   bench_limit_decisions [ROUNDS]
 * Each row is the mean of one thread over ROUNDS decisions; what the loop around them costs (choosing a key) stands beside
 * it and is not taken off. "million" asks for a million keys in random order, so that hardly any is in a cache.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "guard/limit.h"
#include "net/addr.h"

#define ROUNDS 5000000ul
#define MILLION 1000000u

static const struct {
	const char *name;
	enum guard_algorithm algorithm;
} algorithms[] = {
	{"fixed_window", GUARD_FIXED_WINDOW},
	{"sliding_window", GUARD_SLIDING_WINDOW},
	{"token_bucket", GUARD_TOKEN_BUCKET},
	{"leaky_bucket", GUARD_LEAKY_BUCKET},
	{"gcra", GUARD_GCRA},
};

static unsigned long rounds = ROUNDS;
static volatile uint64_t sink;

struct run {
	struct guard_limiter *limiter;
	uint32_t keys; /* a power of two is not needed */
	uint64_t step_ns;
	double ns; /* the result */
};

/* Spreads i over `keys` without a table that would cost cache lines itself. */
static inline uint64_t key_at(uint64_t *state, uint32_t keys)
{
	uint64_t i;

	*state = *state * 6364136223846793005u + 1442695040888963407u;
	i = (*state >> 32) * keys >> 32;
	i = (i + 1) * 0x9e3779b97f4a7c15u;
	i = (i ^ i >> 32) * 0xd6e8feb86659fd93u;
	return i ^ i >> 32;
}

static double run_bare(uint32_t keys)
{
	uint64_t state = 1, began = clock_monotonic_ns(), sum = 0;

	for (unsigned long n = 0; n < rounds; n++)
		sum += key_at(&state, keys);
	sink = sum;
	return (double)(clock_monotonic_ns() - began) / (double)rounds;
}

static void *run_take(void *arg)
{
	struct run *run = arg;
	uint64_t state = (uintptr_t)arg, now_ns = clock_monotonic_ns(), allowed = 0;
	struct guard_verdict v;
	uint64_t began = clock_monotonic_ns();

	for (unsigned long n = 0; n < rounds; n++) {
		guard_limit_take(run->limiter, key_at(&state, run->keys), now_ns, 1, &v);
		allowed += v.allowed;
		now_ns += run->step_ns;
	}
	run->ns = (double)(clock_monotonic_ns() - began) / (double)rounds;
	sink = allowed;
	return NULL;
}

static double run_threads(struct run *run, unsigned threads)
{
	struct run each[16];
	pthread_t ids[16];
	double sum = 0;

	for (unsigned i = 0; i < threads; i++) {
		each[i] = *run;
		if (pthread_create(&ids[i], NULL, run_take, &each[i]))
			abort();
	}
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		sum += each[i].ns;
	}
	return sum / threads;
}

static struct guard_limiter *join(struct guard_registry *registry, enum guard_algorithm algorithm,
				  uint32_t keys_max)
{
	const struct guard_limit_config config = {
		.name = STR("bench"),
		.key = GUARD_KEY_ADDRESS,
		.algorithm = algorithm,
		.count = 50,
		.period_ns = CLOCK_NS_PER_S,
		.burst = 100,
		.keys_max = keys_max,
	};
	struct guard_limiter *l = guard_limiter_join(registry, &config);

	if (!l)
		abort();
	return l;
}

static void row(struct guard_registry *registry, unsigned a)
{
	static const uint32_t keys[] = {1, 10000, MILLION};
	struct guard_limiter *l = join(registry, algorithms[a].algorithm, MILLION);
	double ns[SL_ARRAY_SIZE(keys)], both;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(keys); i++) {
		struct run run = {.limiter = l, .keys = keys[i], .step_ns = 100};
		/* Once to fill the table. */
		run_take(&run);
		run_take(&run);
		ns[i] = run.ns;
	}
	both = run_threads(&(struct run){.limiter = l, .keys = 10000, .step_ns = 100}, 2);
	printf("%-15s %8.1f %12.1f %12.1f %22.1f\n", algorithms[a].name, ns[0], ns[1], ns[2], both);
	guard_limiter_unref(l);
}

static void print_memory(struct guard_registry *registry)
{
	struct guard_limiter *l = join(registry, GUARD_GCRA, MILLION);
	const struct guard_limit_status *status;
	struct guard_verdict v;
	struct arena arena;
	unsigned count;

	/* All at one moment: every key owes something, so whoever is evicted counts. */
	for (uint32_t i = 0; i < MILLION; i++) {
		struct net_addr a = {.u.sa.sa_family = AF_INET6};
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.u.storage;
		memcpy(&in6->sin6_addr, &i, sizeof(i));
		guard_limit_take(l, guard_key_address(&a, 32, 64), CLOCK_NS_PER_S, 1, &v);
	}
	arena_init(&arena, 0);
	if (guard_limit_status(registry, &arena, &status, &count) || count != 1)
		abort();
	printf("\n%u keys: %.1f MB, %.1f bytes a key; %u held, %llu evicted when all of them owe\n",
	       MILLION, (double)status->memory_bytes / 1e6,
	       (double)status->memory_bytes / status->keys_max, status->keys,
	       (unsigned long long)status->evicted);
	arena_free(&arena);
	guard_limiter_unref(l);
}

static void print_key(void)
{
	struct net_addr a = {.u.sa.sa_family = AF_INET6};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a.u.storage;
	uint64_t began = clock_monotonic_ns(), sum = 0;

	for (unsigned long n = 0; n < rounds; n++) {
		memcpy(&in6->sin6_addr, &n, sizeof(n));
		sum += guard_key_address(&a, 32, 64);
	}
	sink = sum;
	printf("the key of an IPv6 address: %.1f ns\n",
	       (double)(clock_monotonic_ns() - began) / (double)rounds);
}

int main(int argc, char **argv)
{
	struct guard_registry *registry = guard_registry_new();

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 10);
	if (!registry || !rounds)
		return 1;
	printf("ns a decision   one key   10000 keys      million   2 threads, 10000 keys\n");
	printf("%-15s %8.1f %12.1f %12.1f\n", "bare loop", run_bare(1), run_bare(10000),
	       run_bare(MILLION));
	for (unsigned a = 0; a < SL_ARRAY_SIZE(algorithms); a++)
		row(registry, a);
	print_memory(registry);
	print_key();
	guard_registry_free(registry);
	return 0;
}
