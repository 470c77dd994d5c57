// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "base/compiler.h"
#include "http/negotiate.h"

/* One range as it was written. */
struct asked {
	bool has_first, has_last;
	uint64_t first, last; /* a number beyond 64 bits is as good as the largest of them */
};

/* Digits, maybe none. False: another byte. */
static bool parse_position(struct str s, bool *has, uint64_t *value)
{
	*has = s.len > 0;
	*value = 0;
	if (!*has)
		return true;
	switch (str_to_u64(s, UINT64_MAX, value)) {
	case 0:
		return true;
	case -ERANGE:
		*value = UINT64_MAX;
		return true;
	default:
		return false;
	}
}

/* "0-99", "100-" or "-100" (RFC 9110 section 14.1.2). */
static bool parse_one(struct str s, struct asked *a)
{
	ptrdiff_t dash = str_find_byte(s, '-');

	return dash >= 0 && parse_position(str_head(s, (size_t)dash), &a->has_first, &a->first) &&
	       parse_position(str_skip(s, (size_t)dash + 1), &a->has_last, &a->last) &&
	       (a->has_first || a->has_last) &&
	       (!a->has_first || !a->has_last || a->first <= a->last);
}

/* What is asked, within the size; false when nothing of it is there. size is not 0. */
static bool satisfy(const struct asked *a, uint64_t size, struct http_range *r)
{
	if (!a->has_first) {
		r->first = a->last < size ? size - a->last : 0;
		r->last = size - 1;
		return a->last > 0;
	}
	r->first = a->first;
	r->last = a->has_last ? SL_MIN(a->last, size - 1) : size - 1;
	return a->first < size;
}

/* No sum here overflows: last is below a size. */
static bool touches(const struct http_range *a, const struct http_range *b)
{
	return a->first <= b->last + 1 && b->first <= a->last + 1;
}

/* Adds a range to the first that it overlaps or adjoins, and what then touches that one to it. */
static unsigned coalesce(struct http_range *v, unsigned count, struct http_range r)
{
	unsigned at = 0;

	while (at < count && !touches(&v[at], &r))
		at++;
	if (at == count) {
		v[count] = r;
		return count + 1;
	}
	v[at].first = SL_MIN(v[at].first, r.first);
	v[at].last = SL_MAX(v[at].last, r.last);
	/* All before `at` are apart from r, and from v[at] as it was. */
	for (unsigned i = at + 1; i < count;) {
		if (!touches(&v[at], &v[i])) {
			i++;
			continue;
		}
		v[at].first = SL_MIN(v[at].first, v[i].first);
		v[at].last = SL_MAX(v[at].last, v[i].last);
		count--;
		memmove(&v[i], &v[i + 1], (count - i) * sizeof(*v));
	}
	return count;
}

int http_range_parse(struct str value, uint64_t size, struct http_range out[HTTP_RANGES_MAX])
{
	unsigned asked = 0, count = 0;
	bool suffix = false;
	struct str rest, one;

	if (!str_starts_nocase(value, STR("bytes=")))
		return 0;
	rest = str_skip(value, sizeof("bytes=") - 1);
	while (str_next(&rest, ',', &one)) {
		struct asked a;
		struct http_range r;

		if (!one.len)
			continue;
		if (!parse_one(one, &a) || ++asked > HTTP_RANGES_MAX)
			return 0;
		suffix |= !a.has_first && a.last;
		if (size && satisfy(&a, size, &r))
			count = coalesce(out, count, r);
	}
	/* The last bytes of nothing are nothing, and no Content-Range could say so: all of it is sent. */
	if (!asked || (!size && suffix))
		return 0;
	return count ? (int)count : -ERANGE;
}
