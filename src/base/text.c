// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>

#define GROW_FIRST_BYTES 1024

void text_init(struct text *t, size_t bytes_max)
{
	*t = (struct text){.max = bytes_max};
}

void text_init_fixed(struct text *t, char *buffer, size_t cap)
{
	*t = (struct text){.p = buffer, .cap = cap};
}

void text_free(struct text *t)
{
	if (t->max)
		free(t->p);
	*t = (struct text){.max = t->max};
}

char *text_room_slow(struct text *t, size_t n)
{
	size_t cap = SL_MAX(t->cap, GROW_FIRST_BYTES);

	if (t->full)
		return NULL;
	while (cap - t->len < n && cap < t->max)
		cap = cap > t->max / 2 ? t->max : cap * 2;
	cap = SL_MIN(cap, t->max);

	char *p = cap > t->len && cap - t->len >= n ? realloc(t->p, cap) : NULL;

	if (!p) {
		t->full = true;
		return NULL;
	}
	t->p = p;
	t->cap = cap;
	return p + t->len;
}

void text_put(struct text *t, struct str s)
{
	char *to = s.len ? text_room(t, s.len) : NULL;

	if (!to)
		return;
	memcpy(to, s.p, s.len);
	t->len += s.len;
}

void text_put_u64(struct text *t, uint64_t v)
{
	char digits[20];

	text_put(t, (struct str){digits, str_put_u64(digits, v)});
}

void text_put_escaped(struct text *t, struct str s, enum escape how)
{
	char part[256];

	while (s.len && !t->full) {
		size_t taken, n = escape_put(part, sizeof(part), s, how, &taken);

		text_put(t, (struct str){part, n});
		s = str_skip(s, taken);
	}
}

void text_printf(struct text *t, const char *fmt, ...)
{
	char part[512];
	va_list args;

	va_start(args, fmt);
	int len = vsnprintf(part, sizeof(part), fmt, args);
	va_end(args);
	if (len < (int)sizeof(part)) {
		text_put(t, (struct str){part, len < 0 ? 0 : (size_t)len});
		return;
	}

	/* One more for the terminator that vsnprintf writes. */
	char *to = text_room(t, (size_t)len + 1);

	if (!to)
		return;
	va_start(args, fmt);
	vsnprintf(to, (size_t)len + 1, fmt, args);
	va_end(args);
	t->len += (size_t)len;
}
