// SPDX-License-Identifier: Apache-2.0
// The servers of a set that are used, and its backups, each with a table of its own to be picked from.
#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "upstream/set.h"

_Static_assert(UPSTREAM_SERVERS_MAX <= RING_MEMBERS_MAX,
	       "a point of the ring names its member in 16 bits");

static int make_tier(const struct upstream_set *set, bool backup, struct upstream_tier *tier)
{
	struct ring_member members[UPSTREAM_SERVERS_MAX];
	unsigned count = 0;

	tier->members = malloc((set->count + 1) * sizeof(*tier->members));
	if (!tier->members)
		return -ENOMEM;
	for (unsigned i = 0; i < set->count; i++) {
		const struct upstream_member *m = &set->members[i];

		if (m->backup != backup)
			continue;
		members[count] = (struct ring_member){
			.id = hash_bytes_fixed(m->server->name.p, m->server->name.len, 0),
			.weight = m->weight,
		};
		tier->members[count++] = (uint16_t)i;
	}
	if (count == 0)
		return 0;
	tier->table = balance_table_new(set->config->balance, members, count);
	return tier->table ? 0 : -ENOMEM;
}

int upstream_set_sort(struct upstream_set *set)
{
	int error = make_tier(set, false, &set->tiers[0]);

	if (!error)
		error = make_tier(set, true, &set->tiers[1]);
	if (error)
		upstream_set_unsort(set);
	return error;
}

void upstream_set_unsort(struct upstream_set *set)
{
	for (unsigned i = 0; i < 2; i++) {
		struct upstream_tier *tier = &set->tiers[i];

		balance_table_free(tier->table);
		tier->table = NULL;
		free(tier->members);
		tier->members = NULL;
	}
}
