// SPDX-License-Identifier: Apache-2.0
#include "base/escape.h"

unsigned utf8_length(struct str in)
{
	const unsigned char *p = (const unsigned char *)in.p;
	unsigned char low = 0x80, high = 0xbf;
	unsigned n;

	if (in.len == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] <= 0xef)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return 0;
	/* Only the second byte has bounds of its own (RFC 3629 section 4). */
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (in.len < n || p[1] < low || p[1] > high)
		return 0;
	for (unsigned i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

static unsigned put_hex_byte(char *to, unsigned char c, enum escape how)
{
	unsigned n = 0;

	to[n++] = '\\';
	if (how == ESCAPE_JSON)
		to[n++] = '\\';
	to[n++] = 'x';
	to[n++] = "0123456789abcdef"[c >> 4];
	to[n++] = "0123456789abcdef"[c & 15];
	return n;
}

/* An ASCII character that cannot stand as it is. */
static unsigned put_special(char *to, unsigned char c, enum escape how)
{
	static const char letters[] = {
		['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};

	to[0] = '\\';
	if (c < sizeof(letters) && letters[c]) {
		to[1] = letters[c];
		return 2;
	}
	if (how != ESCAPE_JSON)
		return put_hex_byte(to, c, how);
	memcpy(to, "\\u00", 4);
	to[4] = "0123456789abcdef"[c >> 4];
	to[5] = "0123456789abcdef"[c & 15];
	return 6;
}

static inline bool is_plain(unsigned char c, enum escape how)
{
	if (c < 0x20 || c >= 0x7f)
		return false;
	return how == ESCAPE_TEXT || (c != '"' && c != '\\');
}

/* The replacement of what stands at the start of `in`; *used is the number of its bytes. */
static unsigned put_one(char *to, struct str in, enum escape how, unsigned *used)
{
	unsigned char c = (unsigned char)in.p[0];
	unsigned n;

	*used = 1;
	if (c < 0x80)
		return put_special(to, c, how);
	n = how == ESCAPE_QUOTED ? 0 : utf8_length(in);
	/* U+0080 to U+009F: control characters that some terminals obey. */
	if (n == 2 && c == 0xc2 && (unsigned char)in.p[1] < 0xa0) {
		if (how == ESCAPE_JSON) {
			*used = 2;
			return put_special(to, (unsigned char)in.p[1], how);
		}
		n = 0;
	}
	if (n == 0)
		return put_hex_byte(to, c, how);
	*used = n;
	memcpy(to, in.p, n);
	return n;
}

#define BYTES(b) (0x0101010101010101ull * (b))

/* The highest bit of each byte of v that is zero; higher bytes than the first such may be wrong. */
static inline uint64_t zero_bytes(uint64_t v)
{
	return (v - BYTES(0x01)) & ~v & BYTES(0x80);
}

/* Eight plain bytes at once: most text has no others. Never true when is_plain() refuses one of them. */
static inline bool all_plain(uint64_t v, enum escape how)
{
	/* 0x7f and all above carry into the highest bit, all below 0x20 borrow from it. */
	uint64_t bad = (v | (v + BYTES(0x01)) | (v - BYTES(0x20))) & BYTES(0x80);

	if (how != ESCAPE_TEXT)
		bad |= zero_bytes(v ^ BYTES('"')) | zero_bytes(v ^ BYTES('\\'));
	return bad == 0;
}

size_t escape_put(char *out, size_t cap, struct str in, enum escape how, size_t *taken)
{
	size_t from = 0, to = 0;

	while (from < in.len && to < cap) {
		uint64_t eight;

		if (in.len - from >= 8 && cap - to >= 8) {
			memcpy(&eight, in.p + from, 8);
			if (all_plain(eight, how)) {
				memcpy(out + to, &eight, 8);
				from += 8;
				to += 8;
				continue;
			}
		}
		if (is_plain((unsigned char)in.p[from], how)) {
			out[to++] = in.p[from++];
			continue;
		}

		char one[ESCAPE_BYTES_MAX];
		unsigned used;
		unsigned n = put_one(one, str_skip(in, from), how, &used);

		if (n > cap - to)
			break;
		memcpy(out + to, one, n);
		to += n;
		from += used;
	}
	if (taken)
		*taken = from;
	return to;
}
