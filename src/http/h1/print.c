// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "base/compiler.h"
#include "http/h1/parse.h"
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

/* Short strings are the rule here, and a call for each would cost more than the copy. */
static inline uint8_t *put(uint8_t *to, struct str s)
{
	uint64_t a, b;
	uint32_t c, d;

	if (s.len >= 8 && s.len <= 16) {
		memcpy(&a, s.p, 8);
		memcpy(&b, s.p + s.len - 8, 8);
		memcpy(to, &a, 8);
		memcpy(to + s.len - 8, &b, 8);
	} else if (s.len > 16) {
		memcpy(to, s.p, s.len);
	} else if (s.len >= 4) {
		memcpy(&c, s.p, 4);
		memcpy(&d, s.p + s.len - 4, 4);
		memcpy(to, &c, 4);
		memcpy(to + s.len - 4, &d, 4);
	} else {
		for (size_t i = 0; i < s.len; i++)
			to[i] = (uint8_t)s.p[i];
	}
	return to + s.len;
}

int h1_print_head(const struct http_head *head, uint8_t *out, size_t cap)
{
	struct str line = status_line(head->status);
	char unknown[] = "HTTP/1.1 000 \r\n";
	struct str block = head->block ? head->block->h1 : STR_NONE;
	size_t need;
	uint8_t *to;

	if (SL_UNLIKELY(!line.p)) {
		unknown[9] = (char)('0' + head->status / 100 % 10);
		unknown[10] = (char)('0' + head->status / 10 % 10);
		unknown[11] = (char)('0' + head->status % 10);
		line = (struct str){unknown, sizeof(unknown) - 1};
	}
	need = line.len + block.len;
	for (unsigned i = 0; i < head->fields.count; i++)
		need += head->fields.v[i].name.len + head->fields.v[i].value.len + 4;
	if (SL_UNLIKELY(need > cap))
		return -ENOBUFS;

	to = put(out, line);
	to = put(to, block);
	for (unsigned i = 0; i < head->fields.count; i++) {
		const struct http_field *field = &head->fields.v[i];

		to = put(to, field->name);
		memcpy(to, ": ", 2);
		to = put(to + 2, field->value);
		memcpy(to, "\r\n", 2);
		to += 2;
	}
	return (int)need;
}
