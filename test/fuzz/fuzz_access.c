// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>

#include "base/escape.h"
#include "observe/access.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const char *line, size_t n, bool json)
{
	if (n == 0 || n > ACCESS_LINE_BYTES || line[n - 1] != '\n')
		abort();
	for (size_t i = 0, used; i < n - 1; i += used) {
		used = utf8_length((struct str){line + i, n - 1 - i});
		if (used == 0 || (!json && used > 1) || (unsigned char)line[i] < 0x20 ||
		    line[i] == 0x7f)
			abort();
	}
}

/* The fields of a record, separated by zeros: whatever they hold, each format makes one line of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = {(const char *)data, size}, field[8] = {STR_NONE};
	static char line[ACCESS_LINE_BYTES];

	for (unsigned i = 0; i < 8 && rest.len; i++) {
		ptrdiff_t at = str_find_byte(rest, 0);
		size_t n = at < 0 ? rest.len : (size_t)at;

		field[i] = str_head(rest, n);
		rest = str_skip(rest, at < 0 ? n : n + 1);
	}
	for (unsigned format = 0; format < 3; format++) {
		struct access_formatter f = {.format = (enum access_format)format};
		struct access_record r = {.method = field[0],
					  .target = field[1],
					  .protocol = field[2],
					  .host = field[3],
					  .referer = field[4],
					  .user_agent = field[5],
					  .client = field[6],
					  .user = field[7],
					  .time_ns = size * 1000000007u,
					  .status = (unsigned)size};

		check_line(line, access_format_line(&f, &r, line), f.format == ACCESS_JSON);
	}
	return 0;
}
