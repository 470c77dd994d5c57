// SPDX-License-Identifier: Apache-2.0
// A normalised path has no dots, no empty segments and no control characters left, and comes back as it is when it
// is written into a link.
#include <errno.h>

#include "fuzz.h"
#include "http/path.h"

static void check_segments(struct str path)
{
	CHECK(path.len && path.p[0] == '/');
	for (size_t at = 1; at < path.len;) {
		ptrdiff_t slash = str_find_byte(str_skip(path, at), '/');
		size_t n = slash < 0 ? path.len - at : (size_t)slash;
		struct str segment = {path.p + at, n};

		CHECK(n && !str_eq(segment, STR(".")) && !str_eq(segment, STR("..")));
		at += n + 1;
	}
	for (size_t i = 0; i < path.len; i++)
		CHECK((unsigned char)path.p[i] >= 0x20 && path.p[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size ? size : 1);
	struct str out, again, link;
	struct arena arena;
	int r;

	CHECK(text);
	memcpy(text, data, size);
	arena_init(&arena, 0);
	r = http_path_normalise((struct str){text, size}, &arena, &out);
	CHECK(r == 0 || r == -EINVAL);
	if (r == 0) {
		CHECK(out.len <= size);
		check_segments(out);
		link = http_path_encode(out, &arena);
		CHECK(http_path_normalise(link, &arena, &again) == 0 && str_eq(out, again));
		/* Without escapes it is also its own normal form. */
		if (str_find_byte(out, '%') < 0)
			CHECK(http_path_normalise(out, &arena, &again) == 0 && again.p == out.p);
	}
	CHECK(http_html_escape((struct str){text, size}, &arena).len >= size);
	arena_free(&arena);
	free(text);
	return 0;
}
