// SPDX-License-Identifier: Apache-2.0
#include "http/path.h"

#include <errno.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "http/chars.h"

static inline int hex_digit(char c)
{
	if ((unsigned)(c - '0') < 10)
		return c - '0';
	if ((unsigned)((c | 0x20) - 'a') < 6)
		return (c | 0x20) - 'a' + 10;
	return -1;
}

/* The byte of the escape at s.p[0], or -1. */
static int unescape(struct str s)
{
	int high, low;

	if (s.len < 3 || s.p[0] != '%')
		return -1;
	high = hex_digit(s.p[1]);
	low = hex_digit(s.p[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Takes the next byte, escaped or not, off *s; -1 at the end or for a bad escape. */
static int next_byte(struct str *s)
{
	int c = -1;
	size_t n = 1;

	if (s->len && s->p[0] != '%') {
		c = (unsigned char)s->p[0];
	} else if (s->len) {
		c = unescape(*s);
		n = 3;
	}
	if (c >= 0)
		*s = str_skip(*s, n);
	return c;
}

/* Whether what follows an escaped '%' would make it read as "%2F". */
static bool is_before_2f(struct str s)
{
	return next_byte(&s) == '2' && (next_byte(&s) | 0x20) == 'f';
}

/*
 * True where nothing has to change: no escape, no control character, no "//", no segment that begins with
 * a dot. Segments such as ".well-known" are looked at again by the slow way.
 */
static bool is_plain(struct str path)
{
	const uint8_t *p = (const uint8_t *)path.p;
	uint64_t slash = 0;
	size_t left = path.len;

	while (left) {
		size_t n = SL_MIN(left, (size_t)SCAN_BYTES);
		scan_vec v = n == SCAN_BYTES ? scan_load(p) : scan_load_part(p, n);
		uint64_t bad = scan_bits(scan_or(scan_le(v, 0x1f), scan_eq(v, 0x7f))) |
			       scan_odd_path(v, &slash);

		if (n < SCAN_BYTES)
			bad &= scan_first(n);
		if (bad)
			return false;
		p += n;
		left -= n;
	}
	return true;
}

/* Decodes into out, which is as large as raw: no escape grows. Returns the length or -EINVAL. */
static ptrdiff_t decode(struct str raw, char *out)
{
	char *to = out;

	while (raw.len) {
		bool escaped = raw.p[0] == '%';
		int c = next_byte(&raw);

		if (c < 0x20 || c == 0x7f)
			return -EINVAL;
		if (escaped && (c == '/' || (c == '%' && is_before_2f(raw)))) {
			memcpy(to, raw.p - 3, 3);
			to += 3;
		} else {
			*to++ = (char)c;
		}
	}
	return to - out;
}

/* Removes ".", ".." and empty segments in place. Returns the length or -EINVAL. p[0] is '/'. */
static ptrdiff_t remove_dots(char *p, size_t len)
{
	size_t to = 1; /* after a slash, always */
	size_t at = 1;

	while (at < len) {
		const char *slash = memchr(p + at, '/', len - at);
		size_t end = slash ? (size_t)(slash - p) : len;
		size_t n = end - at;

		if (n == 2 && p[at] == '.' && p[at + 1] == '.') {
			if (to == 1)
				return -EINVAL;
			to--;
			while (p[to - 1] != '/')
				to--;
		} else if (n > 0 && !(n == 1 && p[at] == '.')) {
			memmove(p + to, p + at, n);
			to += n;
			if (slash)
				p[to++] = '/';
		}
		at = end + 1;
	}
	return (ptrdiff_t)to;
}

int http_path_normalise(struct str raw, struct arena *arena, struct str *out)
{
	if (!raw.len || raw.p[0] != '/')
		return -EINVAL;
	if (SL_LIKELY(is_plain(raw))) {
		*out = raw;
		return 0;
	}
	char *p = arena_alloc(arena, raw.len);

	if (!p)
		return -ENOMEM;
	ptrdiff_t len = decode(raw, p);

	if (len >= 0)
		len = remove_dots(p, (size_t)len);
	if (len < 0)
		return (int)len;
	*out = (struct str){p, (size_t)len};
	if (str_eq(raw, *out))
		*out = raw;
	return 0;
}

static inline bool is_unreserved(char c)
{
	return (unsigned)((c | 0x20) - 'a') < 26 || (unsigned)(c - '0') < 10 || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

struct str http_path_encode(struct str path, struct arena *arena)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t len = 0;
	char *p, *to;

	for (size_t i = 0; i < path.len; i++)
		len += is_unreserved(path.p[i]) || path.p[i] == '/' ? 1 : 3;
	p = to = arena_alloc(arena, len ? len : 1);
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < path.len; i++) {
		unsigned char c = (unsigned char)path.p[i];
		bool is_2f = c == '%' && path.len - i >= 3 && path.p[i + 1] == '2' &&
			     (path.p[i + 2] | 0x20) == 'f';

		if (is_unreserved((char)c) || c == '/' || is_2f) {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = hex[c >> 4];
			*to++ = hex[c & 15];
		}
	}
	return (struct str){p, (size_t)(to - p)};
}

static struct str entity_of(char c)
{
	switch (c) {
	case '&':
		return STR("&amp;");
	case '<':
		return STR("&lt;");
	case '>':
		return STR("&gt;");
	case '"':
		return STR("&quot;");
	case '\'':
		return STR("&#39;");
	default:
		return STR_NONE;
	}
}

struct str http_html_escape(struct str text, struct arena *arena)
{
	size_t len = 0;
	char *p, *to;

	for (size_t i = 0; i < text.len; i++) {
		struct str entity = entity_of(text.p[i]);

		len += entity.p ? entity.len : 1;
	}
	if (len == text.len)
		return text.p ? text : STR("");
	p = to = arena_alloc(arena, len);
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < text.len; i++) {
		struct str entity = entity_of(text.p[i]);

		if (!entity.p) {
			*to++ = text.p[i];
			continue;
		}
		memcpy(to, entity.p, entity.len);
		to += entity.len;
	}
	return (struct str){p, len};
}
