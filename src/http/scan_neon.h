/* internal: the vector operations of http/scan.h for arm64 (little endian). */
#ifndef SLUICE_HTTP_SCAN_NEON_H
#define SLUICE_HTTP_SCAN_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_BYTES 16
#define SCAN_BITS 4

typedef uint8x16_t scan_vec;

static inline scan_vec scan_load(const uint8_t *p)
{
	return vld1q_u8(p);
}

static inline scan_vec scan_from_words(uint64_t low, uint64_t high)
{
	return vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)));
}

/* NEON has no movemask: narrowing by four bits leaves half of each byte. */
static inline uint64_t scan_bits(scan_vec v)
{
	return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(v), 4)), 0);
}

static inline scan_vec scan_eq(scan_vec v, uint8_t c)
{
	return vceqq_u8(v, vdupq_n_u8(c));
}

static inline scan_vec scan_le(scan_vec v, uint8_t c)
{
	return vcleq_u8(v, vdupq_n_u8(c));
}

static inline scan_vec scan_ge(scan_vec v, uint8_t c)
{
	return vcgeq_u8(v, vdupq_n_u8(c));
}

static inline scan_vec scan_or(scan_vec a, scan_vec b)
{
	return vorrq_u8(a, b);
}

static inline scan_vec scan_and(scan_vec a, scan_vec b)
{
	return vandq_u8(a, b);
}

static inline scan_vec scan_andnot(scan_vec a, scan_vec b)
{
	return vbicq_u8(a, b);
}

static inline scan_vec scan_not(scan_vec v)
{
	return vmvnq_u8(v);
}

static inline scan_vec scan_fold(scan_vec v)
{
	return vorrq_u8(v, vdupq_n_u8(0x20));
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
