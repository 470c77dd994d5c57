/* internal: text that is appended to: in a buffer of the caller, or growing up to a limit. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/escape.h"
#include "base/str.h"

/*
 * What does not fit is left out, `full` is set and stays, and every later append is left out too: so the
 * text is always a beginning of what was meant, and one check at the end is enough. Not terminated.
 */
struct text {
	char *p;
	size_t len, cap;
	size_t max; /* bytes it may grow to; 0: the caller's buffer */
	bool full;
};

void text_init(struct text *, size_t bytes_max);
void text_init_fixed(struct text *, char *buffer, size_t cap);
/* Frees what has grown; the text is empty then. */
void text_free(struct text *);
/* Room for n bytes at p + len, or NULL (full). The caller fills it and adds to len. */
char *text_room_slow(struct text *, size_t n);
void text_put(struct text *, struct str);
void text_put_u64(struct text *, uint64_t);
void text_put_escaped(struct text *, struct str, enum escape);
void text_printf(struct text *, const char *fmt, ...) SL_PRINTF(2, 3);

static inline char *text_room(struct text *t, size_t n)
{
	if (SL_UNLIKELY(t->full || t->cap - t->len < n))
		return text_room_slow(t, n);
	return t->p + t->len;
}

static inline void text_put_char(struct text *t, char c)
{
	char *to = text_room(t, 1);

	if (to) {
		*to = c;
		t->len++;
	}
}

static inline struct str text_str(const struct text *t)
{
	return (struct str){t->p, t->len};
}

#endif
