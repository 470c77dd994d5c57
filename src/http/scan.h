/* internal: looking for the first byte of a kind, a vector at a time (SSE2, NEON, or words). */
#ifndef SLUICE_HTTP_SCAN_H
#define SLUICE_HTTP_SCAN_H

#include <assert.h>
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
	assert(n < SCAN_BYTES);
	return ((uint64_t)1 << n * SCAN_BITS) - 1;
}

/* The bits of the bytes from `from` up to `to`, both at most SCAN_BYTES. */
static inline uint64_t scan_between(size_t from, size_t to)
{
	uint64_t upto = to < SCAN_BYTES ? scan_first(to) : ~(uint64_t)0;

	return from < SCAN_BYTES ? upto & ~scan_first(from) : 0;
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

#endif
