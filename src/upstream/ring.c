// SPDX-License-Identifier: Apache-2.0
#include "upstream/ring.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "upstream/chance.h"

/* How many points each weight has: points_of(weight). */
struct measure {
	uint64_t least, sum;
	uint64_t whole; /* points of all, before they are bounded */
};

static uint32_t points_of(const struct measure *m, uint32_t weight)
{
	uint64_t n;

	if (m->whole <= RING_POINTS_MAX)
		return (uint32_t)(RING_POINTS * (uint64_t)weight / m->least);
	n = (uint64_t)RING_POINTS_MAX * weight / m->sum;
	return n ? (uint32_t)n : 1;
}

static uint64_t point_of(const struct ring_member *member, uint32_t number, unsigned index)
{
	uint64_t place = chance_mix(member->id + number * 0x9e3779b97f4a7c15u);

	return (place >> (64 - RING_BITS)) << 16 | index;
}

static uint32_t bucket_of(const struct ring *r, uint64_t point)
{
	return (uint32_t)(point >> (64 - r->bucket_bits));
}

/* Places are random, so there is about one in each bucket: putting them there leaves little to sort. */
static void fill(struct ring *r, const struct ring_member *members, unsigned count,
		 const struct measure *m)
{
	uint32_t buckets = 1u << r->bucket_bits;

	for (unsigned i = 0; i < count; i++)
		for (uint32_t k = points_of(m, members[i].weight); k-- > 0;)
			r->first[bucket_of(r, point_of(&members[i], k, i)) + 1]++;
	for (uint32_t b = 0; b < buckets; b++)
		r->first[b + 1] += r->first[b];
	/* first[b] moves up to the end of its bucket, that is to where the next one begins. */
	for (unsigned i = 0; i < count; i++)
		for (uint32_t k = points_of(m, members[i].weight); k-- > 0;) {
			uint64_t point = point_of(&members[i], k, i);

			r->points[r->first[bucket_of(r, point)]++] = point;
		}
	for (uint32_t b = buckets; b > 0; b--)
		r->first[b] = r->first[b - 1];
	r->first[0] = 0;
	for (uint32_t i = 1; i < r->count; i++) {
		uint64_t point = r->points[i];
		uint32_t at = i;

		for (; at > 0 && r->points[at - 1] > point; at--)
			r->points[at] = r->points[at - 1];
		r->points[at] = point;
	}
}

struct ring *ring_new(const struct ring_member *members, unsigned count)
{
	struct measure m = {.least = UINT32_MAX};
	uint64_t points = 0;
	struct ring *r;
	uint8_t bits = 1;

	for (unsigned i = 0; i < count; i++) {
		m.sum += members[i].weight;
		m.least = SL_MIN(m.least, members[i].weight);
	}
	m.whole = RING_POINTS * m.sum / m.least;
	for (unsigned i = 0; i < count; i++)
		points += points_of(&m, members[i].weight);
	while (1ull << bits < points)
		bits++;

	size_t places = (1ull << bits) + 1;

	r = malloc(sizeof(*r) + points * sizeof(*r->points) + places * sizeof(*r->first));
	if (!r)
		return NULL;
	*r = (struct ring){.count = (uint32_t)points, .bucket_bits = bits};
	r->points = (uint64_t *)(r + 1);
	r->first = (uint32_t *)(r->points + points);
	for (size_t i = 0; i < places; i++)
		r->first[i] = 0;
	fill(r, members, count, &m);
	return r;
}

void ring_free(struct ring *r)
{
	free(r);
}
