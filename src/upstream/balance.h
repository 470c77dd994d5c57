/* internal: which server is next: every balance of the configuration, over servers that somebody else looks at. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_BALANCE_H
#define SLUICE_UPSTREAM_BALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/chance.h"
#include "upstream/config.h"
#include "upstream/ring.h"

/* What is known of the servers beforehand: made once for a set, immutable, used by every worker. */
struct balance_table {
	enum upstream_balance how;
	unsigned count;
	struct ring *ring; /* UPSTREAM_CONSISTENT */
	/* Of each server: its part of the sum ends here. sums[count - 1] is the sum of the weights. */
	uint32_t sums[];
};

/* ids: of equal servers in any process and at any time, for UPSTREAM_CONSISTENT. count >= 1. NULL without memory. */
struct balance_table *balance_table_new(enum upstream_balance, const struct ring_member *,
					unsigned count);
void balance_table_free(struct balance_table *);

/* A server that is whole has all of its weight, one that starts slowly a share of it. */
#define BALANCE_SHARE_FULL 256u
/* The share of a server that came back at since_ns (0, or slow_start_ms 0: whole), at least a tenth. */
uint32_t balance_share(uint64_t since_ns, uint64_t now_ns, uint32_t slow_start_ms);

struct balance_sight {
	uint32_t load;  /* requests that it has */
	uint32_t share; /* 1 to BALANCE_SHARE_FULL */
};

/* What a pick is made for. */
struct balance_query {
	/* Whether that server may be picked; then what it looks like. May be asked for one server many times. */
	bool (*look)(const struct balance_query *, unsigned server, struct balance_sight *);
	void *owner;
	uint64_t hash; /* of the client's address, or the key */
	/* UPSTREAM_CONSISTENT, 0: not bounded. A server has at most that of its share of `load`. */
	uint32_t load_max_percent;
	uint64_t load; /* of all servers of the table */
};

/* Places on the ring that are looked up for a key; the one closest to its next point decides. */
#define BALANCE_PROBES 5
/* Random draws, and points of the ring from each of these places, before every server is looked at. */
#define BALANCE_DRAWS 8
#define BALANCE_STEPS 1024

/* One worker's place in the table. */
struct balance {
	const struct balance_table *table;
	struct chance chance;
	uint32_t next;                /* round robin, and where a look at all begins */
	struct balance_scratch *each; /* of each server; NULL: this balance needs none */
};

/* seed 0: from the first server on; else workers begin at different ones. 0 or -ENOMEM. */
int balance_init(struct balance *, const struct balance_table *, uint64_t seed);
void balance_destroy(struct balance *);
/*
 * The server, or -1 when `look` has refused every one. Round robin, random, address: O(1) while most may be picked, with a
 * search among the sums. Consistent: O(1) the same. P2C: two draws. Weighted and least look at all.
 */
int balance_pick(struct balance *, const struct balance_query *);

#endif
