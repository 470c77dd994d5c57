// SPDX-License-Identifier: Apache-2.0
#include "base/str.h"

#include <errno.h>

#include "base/compiler.h"

/* Longer words are not typing errors of one another. */
#define DISTANCE_BYTES_MAX 64

static inline unsigned char fold(char c)
{
	unsigned char u = (unsigned char)c;

	return (unsigned)(u - 'A') < 26 ? u | 0x20 : u;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (fold(a.p[i]) != fold(b.p[i]))
			return false;
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq(str_head(s, prefix.len), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.len >= suffix.len && str_eq(str_skip(s, s.len - suffix.len), suffix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	return s.len >= prefix.len && str_eq_nocase(str_head(s, prefix.len), prefix);
}

ptrdiff_t str_find_byte(struct str s, char c)
{
	const char *at = s.len ? memchr(s.p, c, s.len) : NULL;

	return at ? at - s.p : -1;
}

ptrdiff_t str_find(struct str s, struct str what)
{
	if (what.len == 0)
		return 0;
	if (s.len < what.len)
		return -1;

	const char *at = memmem(s.p, s.len, what.p, what.len);

	return at ? at - s.p : -1;
}

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.len && is_blank(s.p[0]))
		s = str_skip(s, 1);
	while (s.len && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool str_next(struct str *rest, char sep, struct str *element)
{
	if (rest->len == 0)
		return false;

	ptrdiff_t at = str_find_byte(*rest, sep);

	if (at < 0) {
		*element = str_trim(*rest);
		*rest = str_skip(*rest, rest->len);
	} else {
		*element = str_trim(str_head(*rest, (size_t)at));
		*rest = str_skip(*rest, (size_t)at + 1);
	}
	return true;
}

int str_to_u64(struct str s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	bool over = false;

	if (s.len == 0)
		return -EINVAL;
	/* Runs to the end even when over the limit: a wrong byte is the more useful answer. */
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9)
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			over = true;
	}
	if (over || v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

unsigned str_put_u64(char *p, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	char digits[20];
	unsigned at = sizeof(digits);

	while (v >= 100) {
		at -= 2;
		memcpy(digits + at, pairs + v % 100 * 2, 2);
		v /= 100;
	}
	if (v >= 10) {
		at -= 2;
		memcpy(digits + at, pairs + v * 2, 2);
	} else {
		digits[--at] = (char)('0' + v);
	}
	memcpy(p, digits + at, sizeof(digits) - at);
	return (unsigned)sizeof(digits) - at;
}

unsigned str_put_hex(char *p, uint64_t v)
{
	unsigned bits = v ? 64 - (unsigned)__builtin_clzll(v) : 1;
	unsigned n = (bits + 3) / 4;

	for (unsigned i = n; i-- > 0; v >>= 4)
		p[i] = "0123456789abcdef"[v & 15];
	return n;
}

unsigned str_distance(struct str a, struct str b)
{
	unsigned row[DISTANCE_BYTES_MAX + 1];

	a = str_head(a, DISTANCE_BYTES_MAX);
	b = str_head(b, DISTANCE_BYTES_MAX);
	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			unsigned replace = diagonal + (a.p[i - 1] != b.p[j - 1]);
			unsigned insert = row[j - 1] + 1, remove = row[j] + 1;

			diagonal = row[j];
			row[j] = SL_MIN(replace, SL_MIN(insert, remove));
		}
	}
	return row[b.len];
}
