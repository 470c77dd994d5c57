/* internal: the vector operations of http/scan.h for x86-64. */
#ifndef SLUICE_HTTP_SCAN_SSE2_H
#define SLUICE_HTTP_SCAN_SSE2_H

#include <emmintrin.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_BYTES 16
#define SCAN_BITS 1

typedef __m128i scan_vec;

static inline scan_vec scan_load(const uint8_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline scan_vec scan_from_words(uint64_t low, uint64_t high)
{
	return _mm_set_epi64x((long long)high, (long long)low);
}

static inline uint64_t scan_bits(scan_vec v)
{
	return (uint32_t)_mm_movemask_epi8(v);
}

static inline scan_vec scan_eq(scan_vec v, uint8_t c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8((char)c));
}

static inline scan_vec scan_le(scan_vec v, uint8_t c)
{
	return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8((char)c)), v);
}

static inline scan_vec scan_ge(scan_vec v, uint8_t c)
{
	return _mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8((char)c)), v);
}

static inline scan_vec scan_or(scan_vec a, scan_vec b)
{
	return _mm_or_si128(a, b);
}

static inline scan_vec scan_and(scan_vec a, scan_vec b)
{
	return _mm_and_si128(a, b);
}

static inline scan_vec scan_andnot(scan_vec a, scan_vec b)
{
	return _mm_andnot_si128(b, a);
}

static inline scan_vec scan_not(scan_vec v)
{
	return _mm_cmpeq_epi8(v, _mm_setzero_si128());
}

static inline scan_vec scan_fold(scan_vec v)
{
	return _mm_or_si128(v, _mm_set1_epi8(0x20));
}

static inline uint64_t scan_little(uint64_t word)
{
	return word;
}

static inline uint32_t scan_little32(uint32_t word)
{
	return word;
}

#endif
