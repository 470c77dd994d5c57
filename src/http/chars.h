/* internal: the classes of bytes that HTTP/1 is made of, for http/scan.h. */
#ifndef SLUICE_HTTP_CHARS_H
#define SLUICE_HTTP_CHARS_H

#include "http/scan.h"

/* TAB among them: to leave it out in every vector would cost more than to go on after the few there are. */
static inline scan_vec scan_match_ctl(scan_vec v)
{
	return scan_or(scan_le(v, 0x1f), scan_eq(v, 0x7f));
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

static __attribute__((noinline, unused)) const uint8_t *scan_ctl_past_tab(const uint8_t *base,
									  const uint8_t *p,
									  const uint8_t *end)
{
	while (p < end && *p == '\t')
		p = scan_until(base, p + 1, end, scan_match_ctl);
	return p;
}

/* A control character other than TAB, or DEL: where a line ends, or is wrong. */
static inline __attribute__((always_inline)) const uint8_t *scan_ctl(const uint8_t *base,
								     const uint8_t *p,
								     const uint8_t *end)
{
	p = scan_until(base, p, end, scan_match_ctl);
	return SL_UNLIKELY(p < end && *p == '\t') ? scan_ctl_past_tab(base, p, end) : p;
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
