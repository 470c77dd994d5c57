// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "base/compiler.h"
#include "http/h1/parse.h"
#include "http/h1/put.h"
#include "http/status.h"

static struct str status_line(unsigned status)
{
	switch (status) {
#define X(code, text) \
	case code:    \
		return STR("HTTP/1.1 " #code " " text "\r\n");
		HTTP_STATUSES(X)
#undef X
	default:
		return STR_NONE;
	}
}

/* A code without a name has an empty reason. Returns what it wrote, or 0 without room. */
static SL_COLD size_t put_unknown(uint8_t *to, size_t cap, unsigned status)
{
	static const char line[] = "HTTP/1.1 000 \r\n";

	if (cap < sizeof(line) - 1)
		return 0;
	memcpy(to, line, sizeof(line) - 1);
	to[9] = (uint8_t)('0' + status / 100 % 10);
	to[10] = (uint8_t)('0' + status / 10 % 10);
	to[11] = (uint8_t)('0' + status % 10);
	return sizeof(line) - 1;
}

int h1_print_head(const struct http_head *head, uint8_t *out, size_t cap)
{
	const struct http_field *field = head->fields.v;
	struct str line =
		head->status == 200 ? STR("HTTP/1.1 200 OK\r\n") : status_line(head->status);
	uint8_t *to = out, *limit = out + cap;

	if (SL_LIKELY(line.p && line.len <= cap))
		to = h1_put(to, line);
	else if (!line.p)
		to += put_unknown(to, cap, head->status);
	if (SL_UNLIKELY(to == out))
		return -ENOBUFS;
	if (SL_LIKELY(head->block)) {
		if (SL_UNLIKELY(head->block->h1.len > (size_t)(limit - to)))
			return -ENOBUFS;
		memcpy(to, head->block->h1.p, head->block->h1.len);
		to += head->block->h1.len;
	}
	for (unsigned left = head->fields.count; left; left--, field++) {
		if (SL_UNLIKELY(field->name.len + field->value.len + 4 > (size_t)(limit - to)))
			return -ENOBUFS;
		to = h1_put(to, field->name);
		memcpy(to, ": ", 2);
		to = h1_put(to + 2, field->value);
		memcpy(to, "\r\n", 2);
		to += 2;
	}
	return (int)(to - out);
}
