// SPDX-License-Identifier: Apache-2.0
#include "guard/access_table.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

/* Nested prefixes: at most one of each length, and what lies around them. */
#define ACCESS_DEPTH_MAX 130
/* 2^20 places of an index: with a million entries there are about two intervals in each. */
#define ACCESS_INDEX_BITS_MAX 20

static int entry_compare(const void *a, const void *b)
{
	const struct access_entry *x = a, *y = b;

	if (x->v6 != y->v6)
		return x->v6 ? 1 : -1;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (int)x->bits - (int)y->bits;
}

/* The intervals while they are made. */
struct access_sweep {
	access_key *starts;
	uint32_t count;
	bool first;
	unsigned depth;
	struct {
		access_key last;
		bool allow;
	} around[ACCESS_DEPTH_MAX];
};

static void sweep_begin(struct access_sweep *s, access_key at, bool allow)
{
	if (s->count && s->starts[s->count - 1] == at)
		s->count--;
	if (!s->count)
		s->first = allow;
	else if (allow == (s->first ^ ((s->count - 1) & 1)))
		return;
	s->starts[s->count++] = at;
}

/* Ends the prefixes that do not reach `at`. */
static void sweep_leave(struct access_sweep *s, access_key at)
{
	while (s->around[s->depth].last < at) {
		access_key next = s->around[s->depth].last + 1;
		s->depth--;
		sweep_begin(s, next, s->around[s->depth].allow);
	}
}

static void sweep_run(struct access_sweep *s, const struct access_entry *v, size_t n, unsigned bits,
		      bool allow_others)
{
	access_key last = ~(access_key)0 >> (128 - bits);

	s->count = 0;
	s->depth = 0;
	s->around[0].last = last;
	s->around[0].allow = allow_others;
	sweep_begin(s, 0, allow_others);
	for (size_t i = 0; i < n; i++) {
		unsigned below = bits - v[i].bits;
		access_key end = v[i].key;

		if (below)
			end |= ~(access_key)0 >> (128 - below);
		sweep_leave(s, v[i].key);
		s->depth++;
		s->around[s->depth].last = end;
		s->around[s->depth].allow = v[i].allow;
		sweep_begin(s, v[i].key, v[i].allow);
	}
	while (s->depth && s->around[s->depth].last != last) {
		access_key next = s->around[s->depth].last + 1;
		s->depth--;
		sweep_begin(s, next, s->around[s->depth].allow);
	}
}

/* Keeps one of what is there several times. -EEXIST as access_table_new. */
static int entries_unite(struct access_entries *e, const struct access_entry **tie)
{
	size_t kept = 0;

	for (size_t i = 0; i < e->count; i++) {
		struct access_entry *last = kept ? &e->v[kept - 1] : NULL;

		if (!last || entry_compare(last, &e->v[i]) != 0) {
			e->v[kept++] = e->v[i];
			continue;
		}
		if (last->allow == e->v[i].allow)
			continue;
		e->v[kept] = e->v[i];
		*tie = last;
		return -EEXIST;
	}
	e->count = kept;
	return 0;
}

static uint32_t half_slot(const struct access_half *h, bool v6, access_key key)
{
	return (uint32_t)(key >> ((v6 ? 128 : 32) - h->index_bits));
}

static void half_index(struct access_half *h, bool v6, const access_key *starts)
{
	uint32_t slots = 1u << h->index_bits, at = 0;

	for (uint32_t slot = 0; slot < slots; slot++) {
		while (at < h->count && half_slot(h, v6, starts[at]) < slot)
			at++;
		h->index[slot] = at;
	}
	h->index[slots] = h->count;
}

static size_t half_fill(struct access_half *h, bool v6, const struct access_sweep *s)
{
	size_t one = v6 ? sizeof(access_key) : sizeof(uint32_t);

	h->count = s->count;
	h->first = s->first;
	h->index_bits = 1;
	while (h->index_bits < ACCESS_INDEX_BITS_MAX && 4u << h->index_bits <= h->count)
		h->index_bits++;
	size_t slots = ((size_t)1 << h->index_bits) + 1;
	h->index = malloc(slots * sizeof(*h->index));
	if (v6)
		h->starts.v6 = malloc(h->count * one);
	else
		h->starts.v4 = malloc(h->count * one);
	if (!h->index || !h->starts.v4)
		return 0;
	half_index(h, v6, s->starts);
	for (uint32_t i = 0; i < h->count; i++) {
		if (v6)
			h->starts.v6[i] = s->starts[i];
		else
			h->starts.v4[i] = (uint32_t)s->starts[i];
	}
	return slots * sizeof(*h->index) + h->count * one;
}

static int table_fill(struct access_table *t, const struct access_entries *e, bool allow_others)
{
	struct access_sweep s = {.starts = calloc(2 * e->count + 1, sizeof(*s.starts))};
	size_t v4 = 0;

	if (!s.starts)
		return -ENOMEM;
	while (v4 < e->count && !e->v[v4].v6)
		v4++;
	sweep_run(&s, e->v, v4, 32, allow_others);
	size_t bytes4 = half_fill(&t->v4, false, &s);
	sweep_run(&s, e->v ? &e->v[v4] : NULL, e->count - v4, 128, allow_others);
	size_t bytes6 = half_fill(&t->v6, true, &s);
	free(s.starts);
	t->bytes = sizeof(*t) + bytes4 + bytes6;
	t->entries = e->count;
	return bytes4 && bytes6 ? 0 : -ENOMEM;
}

int access_table_new(struct access_entries *e, bool allow_others, struct access_table **out,
		     const struct access_entry **tie)
{
	if (e->count)
		qsort(e->v, e->count, sizeof(*e->v), entry_compare);
	int err = entries_unite(e, tie);
	if (err)
		return err;
	struct access_table *t = calloc(1, sizeof(*t));
	err = t ? table_fill(t, e, allow_others) : -ENOMEM;
	if (err) {
		access_table_free(t);
		return err;
	}
	*out = t;
	return 0;
}

void access_table_free(struct access_table *t)
{
	if (!t)
		return;
	free(t->v4.index);
	free(t->v4.starts.v4);
	free(t->v6.index);
	free(t->v6.starts.v6);
	free(t);
}

static bool half_verdict(const struct access_half *h, uint32_t begun)
{
	return h->first ^ ((begun - 1) & 1);
}

static bool half_allows_v4(const struct access_half *h, uint32_t key)
{
	uint32_t slot = key >> (32 - h->index_bits);
	uint32_t at = h->index[slot], n = h->index[slot + 1] - at;

	while (n) {
		uint32_t half = n / 2;
		bool after = h->starts.v4[at + half] <= key;
		at = after ? at + half + 1 : at;
		n = after ? n - half - 1 : half;
	}
	return half_verdict(h, at);
}

static bool half_allows_v6(const struct access_half *h, access_key key)
{
	uint32_t slot = half_slot(h, true, key);
	uint32_t at = h->index[slot], n = h->index[slot + 1] - at;

	while (n) {
		uint32_t half = n / 2;
		bool after = h->starts.v6[at + half] <= key;
		at = after ? at + half + 1 : at;
		n = after ? n - half - 1 : half;
	}
	return half_verdict(h, at);
}

static uint32_t load_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static access_key load_v6(const uint8_t *p)
{
	return (access_key)load_be32(p) << 96 | (access_key)load_be32(p + 4) << 64 |
	       (access_key)load_be32(p + 8) << 32 | load_be32(p + 12);
}

bool access_table_allows(const struct access_table *t, const struct net_addr *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->u.storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->u.storage;

	switch (a->u.sa.sa_family) {
	case AF_INET:
		return half_allows_v4(&t->v4, ntohl(v4->sin_addr.s_addr));
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			return half_allows_v4(&t->v4, load_be32(v6->sin6_addr.s6_addr + 12));
		return half_allows_v6(&t->v6, load_v6(v6->sin6_addr.s6_addr));
	default:
		return a->u.sa.sa_family == AF_UNIX;
	}
}
