// SPDX-License-Identifier: Apache-2.0
/*
 * What an access list of a million prefixes costs: memory, the time to read it, nanoseconds for each lookup of an
 * address that is random (most of what it touches is in no cache) or one of 64 (all of it is).
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "guard/access_table.h"

#define LOOKUPS 20000000u
#define ADDRESSES (1u << 20)

static uint64_t state = 1;

/* splitmix64 */
static uint64_t draw(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void draw_ip(bool v6, uint8_t ip[16])
{
	uint64_t hi = draw(), lo = draw();

	memcpy(ip, &hi, 8);
	memcpy(ip + 8, &lo, 8);
	/* 2000::/3, as all that is routed. */
	if (v6)
		ip[0] = (uint8_t)(0x20 | (ip[0] & 0x1f));
}

static int fill(struct access_entries *e, bool v6, unsigned count)
{
	char ip[INET6_ADDRSTRLEN], prefix[64], why[256];
	uint8_t bytes[16];

	for (unsigned i = 0; i < count; i++) {
		unsigned bits = v6 ? 32 + (unsigned)(draw() % 33) : 20 + (unsigned)(draw() % 13);
		draw_ip(v6, bytes);
		for (unsigned bit = bits; bit < 128; bit++)
			bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
		inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, ip, sizeof(ip));
		int n = snprintf(prefix, sizeof(prefix), "%s/%u", ip, bits);
		if (access_entries_add(e, (struct str){prefix, (size_t)n}, true, 0, 0, why,
				       sizeof(why))) {
			fprintf(stderr, "%s\n", why);
			return -1;
		}
	}
	return 0;
}

static void look_up(const struct access_table *t, const struct net_addr *v, unsigned mask,
		    const char *what)
{
	uint64_t from = clock_monotonic_ns();
	unsigned allowed = 0;

	for (unsigned i = 0; i < LOOKUPS; i++)
		allowed += access_table_allows(t, &v[i & mask]);
	uint64_t took = clock_monotonic_ns() - from;
	printf("  %-16s %6.1f ns (%u %% allowed)\n", what, (double)took / LOOKUPS,
	       (unsigned)(allowed * 100ull / LOOKUPS));
}

static int measure(bool v6, unsigned count, struct net_addr *v)
{
	struct access_entries e = {0};
	struct access_table *t;
	const struct access_entry *tie;
	uint64_t from = clock_monotonic_ns();
	uint8_t ip[16];

	if (fill(&e, v6, count) || access_table_new(&e, false, &t, &tie))
		return 1;
	access_entries_free(&e);
	printf("%u prefixes of IPv%c: %.1f MiB, made in %.0f ms, %u intervals\n", count,
	       v6 ? '6' : '4', (double)t->bytes / (1 << 20),
	       (double)(clock_monotonic_ns() - from) / 1e6, v6 ? t->v6.count : t->v4.count);
	for (unsigned i = 0; i < ADDRESSES; i++) {
		draw_ip(v6, ip);
		v[i].u.sa.sa_family = v6 ? AF_INET6 : AF_INET;
		memcpy(v6 ? (void *)&((struct sockaddr_in6 *)&v[i].u.storage)->sin6_addr
			  : (void *)&((struct sockaddr_in *)&v[i].u.storage)->sin_addr,
		       ip, v6 ? 16 : 4);
	}
	look_up(t, v, ADDRESSES - 1, "random address");
	look_up(t, v, 63, "one of 64");
	access_table_free(t);
	return 0;
}

int main(void)
{
	static const unsigned counts[] = {1000, 1000000};
	struct net_addr *v = calloc(ADDRESSES, sizeof(*v));
	int failed = !v;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(counts) && !failed; i++)
		failed = measure(false, counts[i], v) || measure(true, counts[i], v);
	free(v);
	return failed;
}
