// SPDX-License-Identifier: Apache-2.0
#include "http/h1/input.h"

#include <errno.h>

int h1_gather_add(struct h1_gather *g, struct arena *arena, const struct h1_input *in)
{
	uint32_t want = (uint32_t)SL_MIN((size_t)(H1_GATHER_MAX - g->len), in->len);

	if (g->len + want > g->cap) {
		uint32_t cap = SL_MAX(H1_GATHER_FIRST, g->cap * 2);
		while (cap < g->len + want)
			cap *= 2;
		uint8_t *copy = arena_alloc(arena, cap);
		if (!copy)
			return -ENOMEM;
		if (g->len)
			memcpy(copy, g->copy, g->len);
		g->copy = copy;
		g->cap = cap;
	}
	memcpy(g->copy + g->len, in->mem, want);
	g->len += want;
	return (int)want;
}
