// SPDX-License-Identifier: Apache-2.0
#include "http/names.h"

#include <stdbool.h>

#define NAMES_SLOTS 256

static const struct str names_lower[HTTP_NAME_COUNT] = {[HTTP_OTHER] = {"", 0},
#define X(symbol, lower, h1) [HTTP_##symbol] = {lower, sizeof(lower) - 1},
							HTTP_NAMES(X)
#undef X
};

static const struct str names_h1[HTTP_NAME_COUNT] = {[HTTP_OTHER] = {"", 0},
#define X(symbol, lower, h1) [HTTP_##symbol] = {h1, sizeof(h1) - 1},
						     HTTP_NAMES(X)
#undef X
};

/* A perfect hash over HTTP_NAMES, found by tools/http-names. */
static const uint8_t names_slots[NAMES_SLOTS] = {
	[0] = HTTP_REFERER,
	[3] = HTTP_ACCEPT,
	[8] = HTTP_RETRY_AFTER,
	[9] = HTTP_CONTENT_LOCATION,
	[15] = HTTP_CONTENT_DISPOSITION,
	[18] = HTTP_RANGE,
	[19] = HTTP_WWW_AUTHENTICATE,
	[41] = HTTP_ORIGIN,
	[42] = HTTP_X_FORWARDED_FOR,
	[43] = HTTP_ACCEPT_ENCODING,
	[45] = HTTP_SERVER,
	[52] = HTTP_VARY,
	[55] = HTTP_ALLOW,
	[72] = HTTP_HOST,
	[74] = HTTP_X_CONTENT_TYPE_OPTIONS,
	[75] = HTTP_SET_COOKIE,
	[80] = HTTP_X_FORWARDED_HOST,
	[83] = HTTP_COOKIE,
	[94] = HTTP_TRAILER,
	[95] = HTTP_CONTENT_TYPE,
	[97] = HTTP_CONTENT_RANGE,
	[98] = HTTP_LINK,
	[103] = HTTP_CONTENT_LANGUAGE,
	[106] = HTTP_TE,
	[108] = HTTP_PROXY_CONNECTION,
	[110] = HTTP_PRAGMA,
	[113] = HTTP_IF_RANGE,
	[114] = HTTP_PROXY_AUTHORIZATION,
	[126] = HTTP_DATE,
	[130] = HTTP_VIA,
	[131] = HTTP_IF_MODIFIED_SINCE,
	[135] = HTTP_IF_UNMODIFIED_SINCE,
	[139] = HTTP_CONTENT_ENCODING,
	[153] = HTTP_CONTENT_LENGTH,
	[160] = HTTP_LOCATION,
	[163] = HTTP_UPGRADE,
	[165] = HTTP_AUTHORIZATION,
	[167] = HTTP_IF_MATCH,
	[172] = HTTP_TRANSFER_ENCODING,
	[175] = HTTP_EXPIRES,
	[177] = HTTP_IF_NONE_MATCH,
	[183] = HTTP_USER_AGENT,
	[191] = HTTP_EXPECT,
	[209] = HTTP_ETAG,
	[211] = HTTP_KEEP_ALIVE,
	[212] = HTTP_FORWARDED,
	[223] = HTTP_CACHE_CONTROL,
	[239] = HTTP_AGE,
	[246] = HTTP_LAST_MODIFIED,
	[248] = HTTP_X_FORWARDED_PROTO,
	[253] = HTTP_CONNECTION,
	[255] = HTTP_ACCEPT_RANGES,
};

_Static_assert(HTTP_NAME_COUNT <= UINT8_MAX, "a slot is one byte");

static inline unsigned names_hash(struct str name)
{
	unsigned len = (unsigned)name.len;
	unsigned first = (unsigned char)name.p[0] | 0x20;
	unsigned last = (unsigned char)name.p[name.len - 1] | 0x20;

	return (len * 2 + first * 47 + last * 18) % NAMES_SLOTS;
}

/*
 * The words of `lower` hold lower-case letters and '-' alone. Only bytes that are letters there have bit 6,
 * and they alone may differ by case, which is bit 5.
 */
static inline bool eq_word(uint64_t word, uint64_t lower)
{
	return (word | (lower >> 1 & 0x2020202020202020)) == lower;
}

static inline uint64_t load(const char *p, size_t n)
{
	uint64_t word = 0;

	memcpy(&word, p, n);
	return word;
}

/* Both are `len` bytes long. Words overlap where the length is not a multiple of theirs. */
static inline bool eq_fold(const char *p, const char *lower, size_t len)
{
	if (len >= 8) {
		for (size_t at = 0; at + 8 < len; at += 8)
			if (!eq_word(load(p + at, 8), load(lower + at, 8)))
				return false;
		return eq_word(load(p + len - 8, 8), load(lower + len - 8, 8));
	}
	if (len >= 4)
		return eq_word(load(p, 4), load(lower, 4)) &&
		       eq_word(load(p + len - 4, 4), load(lower + len - 4, 4));
	return eq_word(load(p, 2), load(lower, 2)) &&
	       eq_word(load(p + len - 2, 2), load(lower + len - 2, 2));
}

enum http_name http_name_find(struct str name)
{
	if (name.len < 2)
		return HTTP_OTHER;

	enum http_name id = names_slots[names_hash(name)];

	if (name.len == names_lower[id].len && eq_fold(name.p, names_lower[id].p, name.len))
		return id;
	return HTTP_OTHER;
}

struct str http_name_lower(enum http_name id)
{
	return names_lower[id];
}

struct str http_name_h1(enum http_name id)
{
	return names_h1[id];
}
