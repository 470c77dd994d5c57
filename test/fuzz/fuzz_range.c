// SPDX-License-Identifier: Apache-2.0
// Ranges within a size that the first eight bytes of the input give: what comes out lies inside, apart and within
// the limit, and holds what was asked.
#include <errno.h>

#include "fuzz.h"
#include "http/negotiate.h"

static void check_ranges(const struct http_range *v, int count, uint64_t size)
{
	for (int i = 0; i < count; i++) {
		CHECK(v[i].first <= v[i].last && v[i].last < size);
		for (int k = 0; k < i; k++)
			CHECK(v[i].first > v[k].last + 1 || v[k].first > v[i].last + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* One more than there may be: nobody may touch it. */
	struct http_range v[HTTP_RANGES_MAX + 1] = {{0, 0}};
	uint64_t total;
	char *text;
	int count;

	if (size < sizeof(total))
		return 0;
	memcpy(&total, data, sizeof(total));
	size -= sizeof(total);
	text = malloc(size ? size : 1);
	CHECK(text);
	memcpy(text, data + sizeof(total), size);
	v[HTTP_RANGES_MAX].first = 42;
	count = http_range_parse((struct str){text, size}, total, v);
	CHECK(count == -ERANGE || (count >= 0 && count <= HTTP_RANGES_MAX));
	CHECK(v[HTTP_RANGES_MAX].first == 42);
	check_ranges(v, count, total);
	free(text);
	return 0;
}
