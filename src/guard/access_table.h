/* internal: the table behind an access list: prefixes become intervals, sorted, that take turns in being allowed. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_ACCESS_TABLE_H
#define SLUICE_GUARD_ACCESS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"

/* A number wide enough for every address; an IPv4 one is in its lowest 32 bits. */
__extension__ typedef unsigned __int128 access_key;

struct access_entry {
	access_key key;
	uint32_t line;   /* of its file, from 1; 0: of the configuration */
	uint16_t source; /* which file: the caller's number */
	uint8_t bits;
	bool v6, allow;
};

/* Grows up to GUARD_ACCESS_ENTRIES_MAX; zero it to begin. */
struct access_entries {
	struct access_entry *v;
	size_t count, cap;
};
void access_entries_free(struct access_entries *);

/*
 * "10.0.0.0/8", "2001:db8::/32", an address, "all". What ::ffff:0:0/96 holds is taken as IPv4. 0; -EINVAL with the reason and
 * the cure in why; -E2BIG; -ENOMEM.
 */
int access_entries_add(struct access_entries *, struct str prefix, bool allow, uint32_t line,
		       uint16_t source, char *why, size_t why_len);

/* Immutable. Intervals begin at `starts`; the first is `first`, and each one differs from the one before. */
struct access_half {
	uint32_t count;
	bool first;
	uint8_t index_bits;
	uint32_t *index; /* by the highest bits of an address: where in `starts` to look */
	union {
		uint32_t *v4;
		access_key *v6;
	} starts;
};
struct access_table {
	struct access_half v4, v6;
	size_t bytes;
	size_t entries;
};

/*
 * Sorts the entries. 0; -ENOMEM; -EEXIST: *tie and the entry after it are the same prefix, once allowed and once
 * denied.
 */
int access_table_new(struct access_entries *, bool allow_others, struct access_table **,
		     const struct access_entry **tie);
void access_table_free(struct access_table *);
bool access_table_allows(const struct access_table *, const struct net_addr *);

#endif
