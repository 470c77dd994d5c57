/* internal: the ring of consistent hashing: points of members on a circle of 48 bits. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_RING_H
#define SLUICE_UPSTREAM_RING_H

#include <stddef.h>
#include <stdint.h>

/* Of the member with the least weight; others have as many times more as they weigh more. */
#define RING_POINTS 160u
/* Of all; above it each member has fewer, in proportion, but one at least. */
#define RING_POINTS_MAX (1u << 18)
#define RING_MEMBERS_MAX 65536u
#define RING_BITS 48

/* Immutable. A point is its place, shifted left by 16, and the member's index; `first` finds a place in O(1). */
struct ring {
	uint32_t count;
	uint8_t bucket_bits; /* 2^bucket_bits buckets, as many as points or a few more */
	uint64_t *points;    /* sorted */
	uint32_t *first;     /* the first point at or behind the beginning of each bucket */
};

struct ring_member {
	uint64_t id; /* where its points are is a function of this alone */
	uint32_t weight;
};

/* At least one member. NULL without memory. */
struct ring *ring_new(const struct ring_member *, unsigned count);
void ring_free(struct ring *);

/* The index of the first point at or behind `place` (RING_BITS bits), around the end. */
static inline uint32_t ring_find(const struct ring *r, uint64_t place)
{
	uint32_t i = r->first[place >> (RING_BITS - r->bucket_bits)];

	while (i < r->count && r->points[i] >> 16 < place)
		i++;
	return i < r->count ? i : 0;
}

static inline unsigned ring_member_at(const struct ring *r, uint32_t point)
{
	return (unsigned)(r->points[point] & 0xffff);
}

/* How far behind `place` the point is. */
static inline uint64_t ring_distance(const struct ring *r, uint32_t point, uint64_t place)
{
	return ((r->points[point] >> 16) - place) & ((1ull << RING_BITS) - 1);
}

#endif
