// SPDX-License-Identifier: Apache-2.0
/*
 * What a decision of a limiter costs, and what its keys cost in memory:
 *   bench_limit_decisions [ROUNDS]
 * Each row is the mean of one thread over ROUNDS decisions, in CPU time, the least of REPEATS. Two rows stand beside them and are not taken off: what the loop
 * around a decision costs (choosing a key), and that loop with one locked access to memory of the same size. "million" asks
 * for a million keys in random order, so that hardly any is in a cache: that column is the machine's memory.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "guard/limit.h"
#include "net/addr.h"

#define ROUNDS 5000000ul
#define MILLION 1000000u
#define REPEATS 5
/* Between two decisions. */
#define STEP_NS 100
#define HUGE_BYTES (2u << 20)
/* Of a table, for each key. */
#define TOUCH_BYTES 31

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
	uint32_t keys;
	uint64_t seed, now_ns;
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
	uint64_t state = 1, began = clock_thread_cpu_ns(), sum = 0;

	for (unsigned long n = 0; n < rounds; n++)
		sum += key_at(&state, keys);
	sink = sum;
	return (double)(clock_thread_cpu_ns() - began) / (double)rounds;
}

/* What any table must pay: one locked access to a line of as much memory as the keys take. */
static double run_touch(uint32_t keys)
{
	const size_t lines = (size_t)keys * TOUCH_BYTES / 64 + 1;
	const size_t bytes = (lines * 64 + HUGE_BYTES) & ~(size_t)(HUGE_BYTES - 1);
	_Atomic uint32_t *memory = aligned_alloc(HUGE_BYTES, bytes);
	uint64_t state = 1, sum = 0, began;

	if (!memory)
		abort();
	(void)madvise((void *)memory, bytes, MADV_HUGEPAGE);
	memset((void *)memory, 0, bytes);
	began = clock_thread_cpu_ns();
	for (unsigned long n = 0; n < rounds; n++) {
		uint64_t line = (key_at(&state, keys) >> 32) * lines >> 32;
		sum += atomic_exchange(&memory[line * 16], 0);
	}
	double ns = (double)(clock_thread_cpu_ns() - began) / (double)rounds;
	sink = sum;
	free((void *)memory);
	return ns;
}

static void *run_take(void *arg)
{
	struct run *run = arg;
	uint64_t state = run->seed, allowed = 0, began = clock_thread_cpu_ns();
	struct guard_verdict v;

	for (unsigned long n = 0; n < rounds; n++) {
		guard_limit_take(run->limiter, key_at(&state, run->keys), run->now_ns, 1, &v);
		allowed += v.allowed;
		run->now_ns += STEP_NS;
	}
	run->ns = (double)(clock_thread_cpu_ns() - began) / (double)rounds;
	run->seed = state;
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
		each[i].seed += i;
		if (pthread_create(&ids[i], NULL, run_take, &each[i]))
			abort();
	}
	run->seed += threads;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(ids[i], NULL);
		sum += each[i].ns;
		run->now_ns = SL_MAX(run->now_ns, each[i].now_ns);
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

/* The least of some repeats: what disturbs a measurement only ever adds to it. */
static double least(struct run *run, unsigned threads)
{
	double best = 0;

	for (unsigned i = 0; i < REPEATS; i++) {
		double ns = run_threads(run, threads);
		best = i && best < ns ? best : ns;
	}
	return best;
}

static void row(struct guard_registry *registry, unsigned a)
{
	static const uint32_t keys[] = {1, 10000, MILLION};
	struct guard_limiter *l = join(registry, algorithms[a].algorithm, MILLION);
	struct run run = {.limiter = l, .seed = 1, .now_ns = CLOCK_NS_PER_S};
	double ns[SL_ARRAY_SIZE(keys)], both;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(keys); i++) {
		run.keys = keys[i];
		ns[i] = least(&run, 1);
	}
	run.keys = 10000;
	both = least(&run, 2);
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
	uint64_t began = clock_thread_cpu_ns(), sum = 0;

	for (unsigned long n = 0; n < rounds; n++) {
		memcpy(&in6->sin6_addr, &n, sizeof(n));
		sum += guard_key_address(&a, 32, 64);
	}
	sink = sum;
	printf("the key of an IPv6 address: %.1f ns\n",
	       (double)(clock_thread_cpu_ns() - began) / (double)rounds);
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
	printf("%-15s %8.1f %12.1f %12.1f\n", "bare access", run_touch(1), run_touch(10000),
	       run_touch(MILLION));
	for (unsigned a = 0; a < SL_ARRAY_SIZE(algorithms); a++)
		row(registry, a);
	print_memory(registry);
	print_key();
	guard_registry_free(registry);
	return 0;
}
