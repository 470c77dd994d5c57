// SPDX-License-Identifier: Apache-2.0
#include "handler/files/ranges.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/hash.h"

struct str ranges_content_range(struct arena *arena, const struct http_range *range, uint64_t size)
{
	if (!range)
		return arena_printf(arena, "bytes */%" PRIu64, size);
	return arena_printf(arena, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first,
			    range->last, size);
}

/*
 * The boundary must not occur in the file. It comes from a hash with a secret key, so that nobody who writes
 * files can know it.
 */
static struct str make_boundary(struct arena *arena, const struct file_rep *rep)
{
	uint64_t seed[3] = {clock_monotonic_ns(), (uintptr_t)rep, 0};
	uint64_t a = hash_bytes(seed, sizeof(seed));

	seed[2] = 1;
	return arena_printf(arena, "%016" PRIx64 "%016" PRIx64, a, hash_bytes(seed, sizeof(seed)));
}

static int add_text(struct ranges_multipart *multi, struct str text)
{
	if (!text.p)
		return -ENOMEM;
	multi->pieces[multi->count++] = (struct file_piece){text.p, 0, text.len};
	multi->length += text.len;
	return 0;
}

int ranges_multipart(struct arena *arena, const struct file_rep *rep,
		     const struct http_range *ranges, unsigned count,
		     struct ranges_multipart *multi)
{
	struct str boundary = make_boundary(arena, rep);

	assert(count >= 2);
	multi->pieces = arena_alloc(arena, (2 * count + 1) * sizeof(struct file_piece));
	multi->count = 0;
	multi->length = 0;
	multi->type = arena_printf(arena, "multipart/byteranges; boundary=%.*s", STR_ARG(boundary));
	if (!boundary.p || !multi->pieces || !multi->type.p)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++) {
		const struct http_range *range = &ranges[i];
		uint64_t len = range->last - range->first + 1;
		struct str where = ranges_content_range(arena, range, rep->size);
		struct str text = arena_printf(arena,
					       "%s--%.*s\r\nContent-Type: %.*s\r\n"
					       "Content-Range: %.*s\r\n\r\n",
					       i ? "\r\n" : "", STR_ARG(boundary),
					       STR_ARG(rep->type), STR_ARG(where));

		if (!where.p || add_text(multi, text) < 0)
			return -ENOMEM;
		multi->pieces[multi->count++] = (struct file_piece){NULL, range->first, len};
		multi->length += len;
	}
	return add_text(multi, arena_printf(arena, "\r\n--%.*s--\r\n", STR_ARG(boundary)));
}
