// SPDX-License-Identifier: Apache-2.0
// A date that is taken can be printed, and what is printed is the same date.
#include <errno.h>

#include "fuzz.h"
#include "http/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t unix_s = 42, again = 0;
	char out[HTTP_DATE_BYTES];
	int32_t now_s;
	char *text;
	int r;

	if (size < sizeof(now_s))
		return 0;
	memcpy(&now_s, data, sizeof(now_s));
	size -= sizeof(now_s);
	text = malloc(size ? size : 1);
	CHECK(text);
	memcpy(text, data + sizeof(now_s), size);
	r = http_date_parse((struct str){text, size}, now_s, &unix_s);
	CHECK(r == 0 || (r == -EINVAL && unix_s == 42));
	if (r == 0) {
		http_date_print(unix_s, out);
		/* The second after the last year of four digits has no form of its own. */
		if (unix_s <= 253402300799)
			CHECK(http_date_parse((struct str){out, sizeof(out)}, now_s, &again) == 0 &&
			      again == unix_s);
	}
	free(text);
	return 0;
}
