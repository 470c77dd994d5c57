/* internal: bytes pulled from a conn that a parser has not consumed; and heads that come in pieces. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H1_INPUT_H
#define SLUICE_HTTP_H1_INPUT_H

#include <assert.h>

#include "base/arena.h"
#include "http/h1/parse.h"
#include "net/conn.h"

/* A SEG_MEM without what it need not say. Zero to begin. */
struct h1_input {
	const uint8_t *mem;
	struct seg_owner *owner;
	size_t len;
};

static inline void h1_input_release(struct h1_input *in)
{
	seg_owner_unref(in->owner);
	*in = (struct h1_input){0};
}

static inline void h1_input_advance(struct h1_input *in, size_t n)
{
	assert(n <= in->len);
	in->mem += n;
	in->len -= n;
	if (!in->len)
		h1_input_release(in);
}

/* Makes it hold bytes: PULL_DATA, or what the conn says. */
static inline enum pull h1_input_fill(struct h1_input *in, struct conn *conn)
{
	struct seg s;

	if (in->len)
		return PULL_DATA;
	enum pull r = source_pull(&conn->source, BUF_BYTES, SEG_MEM, &s);
	if (r == PULL_DATA)
		*in = (struct h1_input){s.u.mem, s.owner, s.len};
	return r;
}

/* A head that did not come whole, in one piece. Zero to begin. */
struct h1_gather {
	uint8_t *copy;
	uint32_t len, cap;
};

#define H1_GATHER_FIRST 4096
/*
 * A head, the line ends that its limits do not count (of the request line, of the empty lines before it and of the one
 * after it), and one byte to notice that it is too long.
 */
#define H1_GATHER_MAX (H1_HEAD_BYTES_MAX + 2 * (H1_EMPTY_LINES_MAX + 2) + 1)

/* Appends what came, up to H1_GATHER_MAX. The bytes taken, or -ENOMEM. */
int h1_gather_add(struct h1_gather *, struct arena *, const struct h1_input *);

#endif
