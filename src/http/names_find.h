/* internal: the lookup behind http_name_find, where a call for each field is too much: in parsers. */
#ifndef SLUICE_HTTP_NAMES_FIND_H
#define SLUICE_HTTP_NAMES_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "http/names.h"

#define HTTP_NAMES_SLOTS 256

extern const struct str http_names_lower[HTTP_NAME_COUNT];
/* A perfect hash over HTTP_NAMES, found by tools/http-names. */
extern const uint8_t http_names_slots[HTTP_NAMES_SLOTS];

static inline unsigned http_names_hash(struct str name)
{
	unsigned len = (unsigned)name.len;
	unsigned first = (unsigned char)name.p[0] | 0x20;
	unsigned last = (unsigned char)name.p[name.len - 1] | 0x20;

	return (len * 2 + first * 47 + last * 18) % HTTP_NAMES_SLOTS;
}

/*
 * The words of `lower` hold lower-case letters and '-' alone. Only bytes that are letters there have bit 6,
 * and they alone may differ by case, which is bit 5.
 */
static inline bool http_names_eq_word(uint64_t word, uint64_t lower)
{
	return (word | (lower >> 1 & 0x2020202020202020)) == lower;
}

static inline uint64_t http_names_load(const char *p, size_t n)
{
	uint64_t word = 0;

	memcpy(&word, p, n);
	return word;
}

/* Both are `len` bytes long. Words overlap where the length is not a multiple of theirs. */
static inline __attribute__((always_inline)) bool http_names_eq(const char *p, const char *lower,
								size_t len)
{
	if (len >= 8) {
		for (size_t at = 0; at + 8 < len; at += 8)
			if (!http_names_eq_word(http_names_load(p + at, 8),
						http_names_load(lower + at, 8)))
				return false;
		return http_names_eq_word(http_names_load(p + (len - 8), 8),
					  http_names_load(lower + (len - 8), 8));
	}
	if (len >= 4)
		return http_names_eq_word(http_names_load(p, 4), http_names_load(lower, 4)) &&
		       http_names_eq_word(http_names_load(p + (len - 4), 4),
					  http_names_load(lower + (len - 4), 4));
	return http_names_eq_word(http_names_load(p, 2), http_names_load(lower, 2)) &&
	       http_names_eq_word(http_names_load(p + (len - 2), 2),
				  http_names_load(lower + (len - 2), 2));
}

/* Always: in a parser of two kinds of heads the compiler would make it a call. */
static inline __attribute__((always_inline)) enum http_name http_name_lookup(struct str name)
{
	if (name.len < 2)
		return HTTP_OTHER;

	enum http_name id = http_names_slots[http_names_hash(name)];

	if (name.len == http_names_lower[id].len &&
	    http_names_eq(name.p, http_names_lower[id].p, name.len))
		return id;
	return HTTP_OTHER;
}

#endif
