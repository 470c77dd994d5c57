/* internal: looking for the first byte of a kind, a vector at a time (SSE2, NEON, or words). */
#ifndef SLUICE_HTTP_SCAN_H
#define SLUICE_HTTP_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

#if defined(__SSE2__) && !defined(SCAN_PORTABLE)
#include "http/scan_sse2.h"
#elif defined(__aarch64__) && defined(__ARM_NEON) && !defined(SCAN_PORTABLE)
#include "http/scan_neon.h"
#else
#include "http/scan_word.h"
#endif

/*
 * Each of the three defines scan_vec, SCAN_BYTES (bytes in it), SCAN_BITS (bits a byte has in what
 * scan_bits returns, the first byte lowest) and the operations scan_load, scan_from_words, scan_eq, scan_le,
 * scan_ge, scan_or, scan_and, scan_andnot (a and not b), scan_fold (every byte | 0x20). Comparisons are of
 * unsigned bytes with a constant of 1 to 0x7f and give a byte that scan_bits sees or not. None reads
 * outside of what it is given.
 */

static inline unsigned scan_index(uint64_t bits)
{
	return (unsigned)__builtin_ctzll(bits) / SCAN_BITS;
}

/* The bits of the first n bytes; n < SCAN_BYTES. */
static inline uint64_t scan_first(size_t n)
{
	return ((uint64_t)1 << n * SCAN_BITS) - 1;
}

/* The bits of the bytes from `from` up to `to`, at most SCAN_BYTES; from < SCAN_BYTES. */
static inline uint64_t scan_between(size_t from, size_t to)
{
	uint64_t upto = to < SCAN_BYTES ? scan_first(to) : ~(uint64_t)0;

	return upto & ~scan_first(from);
}

/* At least one and at most eight bytes as a word, the first lowest; the rest is zero. */
static inline uint64_t scan_load_word(const uint8_t *p, size_t n)
{
	uint64_t word;
	uint32_t low, high;

	if (n == 8) {
		memcpy(&word, p, 8);
		return scan_little(word);
	}
	if (n >= 4) {
		memcpy(&low, p, 4);
		memcpy(&high, p + n - 4, 4);
		low = scan_little32(low);
		high = scan_little32(high);
		return low | (uint64_t)high << (n - 4) * 8;
	}
	return p[0] | (uint64_t)p[n / 2] << n / 2 * 8 | (uint64_t)p[n - 1] << (n - 1) * 8;
}

/* At least one byte and less than SCAN_BYTES; the rest is zero. */
static inline scan_vec scan_load_part(const uint8_t *p, size_t n)
{
	if (n <= 8)
		return scan_from_words(scan_load_word(p, n), 0);
	return scan_from_words(scan_load_word(p, 8), scan_load_word(p + n - 8, 8) >> (16 - n) * 8);
}

/*
 * The first byte of p..end for which `match` is set, or end. What lies between `base` and p may be read too: the
 * last vector overlaps it, which is cheaper than to put a part together.
 */
static inline __attribute__((always_inline)) const uint8_t *scan_until(const uint8_t *base,
								       const uint8_t *p,
								       const uint8_t *end,
								       scan_vec (*match)(scan_vec))
{
	uint64_t bits;

	for (; (size_t)(end - p) >= SCAN_BYTES; p += SCAN_BYTES) {
		bits = scan_bits(match(scan_load(p)));
		if (bits)
			return p + scan_index(bits);
	}
	if (p == end)
		return end;

	size_t left = (size_t)(end - p);

	if (SL_LIKELY(end - base >= SCAN_BYTES))
		bits = scan_bits(match(scan_load(end - SCAN_BYTES))) >>
		       (SCAN_BYTES - left) * SCAN_BITS;
	else
		bits = scan_bits(match(scan_load_part(p, left))) & scan_first(left);
	return bits ? p + scan_index(bits) : end;
}

static inline scan_vec scan_match_ctl(scan_vec v)
{
	return scan_or(scan_andnot(scan_le(v, 0x1f), scan_eq(v, '\t')), scan_eq(v, 0x7f));
}

static inline scan_vec scan_match_not_word(scan_vec v)
{
	scan_vec folded = scan_fold(v);
	scan_vec letter = scan_and(scan_ge(folded, 'a'), scan_le(folded, 'z'));
	scan_vec digit = scan_and(scan_ge(v, '0'), scan_le(v, '9'));

	return scan_not(scan_or(scan_or(letter, digit), scan_eq(v, '-')));
}

static inline scan_vec scan_match_not_host(scan_vec v)
{
	return scan_andnot(scan_match_not_word(v), scan_eq(v, '.'));
}

static inline scan_vec scan_match_not_query(scan_vec v)
{
	return scan_or(scan_or(scan_le(v, 0x20), scan_ge(v, 0x7f)), scan_eq(v, '#'));
}

static inline scan_vec scan_match_not_path(scan_vec v)
{
	return scan_or(scan_match_not_query(v), scan_eq(v, '?'));
}

/*
 * The bytes of a path that make it worth a second look: '%', and '/' or '.' after '/'. *slash says whether the byte
 * before was '/'; begin with 0, and it is kept for the next vector.
 */
static inline uint64_t scan_odd_path(scan_vec v, uint64_t *slash)
{
	scan_vec slashes = scan_eq(v, '/');
	uint64_t bits = scan_bits(slashes);
	uint64_t after = bits << SCAN_BITS | *slash;

	*slash = bits >> (SCAN_BYTES - 1) * SCAN_BITS;
	return scan_bits(scan_eq(v, '%')) | (after & scan_bits(scan_or(slashes, scan_eq(v, '.'))));
}

/* A control character other than TAB, or DEL: where a line ends, or is wrong. */
static inline const uint8_t *scan_ctl(const uint8_t *base, const uint8_t *p, const uint8_t *end)
{
	return scan_until(base, p, end, scan_match_ctl);
}

/* Not a letter, a digit or '-': what nearly all field names consist of. */
static inline const uint8_t *scan_word(const uint8_t *base, const uint8_t *p, const uint8_t *end)
{
	return scan_until(base, p, end, scan_match_not_word);
}

/* Not a letter, a digit, '-' or '.'. */
static inline const uint8_t *scan_host(const uint8_t *base, const uint8_t *p, const uint8_t *end)
{
	return scan_until(base, p, end, scan_match_not_host);
}

/* White space, a control character, '#' or a byte that is not ASCII: no part of a request target. */
static inline const uint8_t *scan_query(const uint8_t *base, const uint8_t *p, const uint8_t *end)
{
	return scan_until(base, p, end, scan_match_not_query);
}

#endif
