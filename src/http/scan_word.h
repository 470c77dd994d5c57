/* internal: the vector operations of http/scan.h in plain C, eight bytes in a word. */
#ifndef SLUICE_HTTP_SCAN_WORD_H
#define SLUICE_HTTP_SCAN_WORD_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define SCAN_BYTES 8
#define SCAN_BITS 8

/* The first byte is the lowest. A comparison sets the highest bit of a byte and clears the others. */
typedef uint64_t scan_vec;

#define SCAN_ONES 0x0101010101010101u
#define SCAN_LOW 0x7f7f7f7f7f7f7f7fu
#define SCAN_HIGH 0x8080808080808080u

static inline uint64_t scan_little(uint64_t word)
{
	return le64toh(word);
}

static inline uint32_t scan_little32(uint32_t word)
{
	return le32toh(word);
}

static inline scan_vec scan_load(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return scan_little(word);
}

static inline scan_vec scan_from_words(uint64_t low, uint64_t high)
{
	return low;
}

static inline uint64_t scan_bits(scan_vec v)
{
	return v;
}

/* No sum below carries into the next byte: its terms are at most 0x7f and 0x80. */
static inline scan_vec scan_ge(scan_vec v, uint8_t c)
{
	return (((v & SCAN_LOW) + SCAN_ONES * (0x80u - c)) | v) & SCAN_HIGH;
}

static inline scan_vec scan_le(scan_vec v, uint8_t c)
{
	return ~(((v & SCAN_LOW) + SCAN_ONES * (0x7fu - c)) | v) & SCAN_HIGH;
}

static inline scan_vec scan_eq(scan_vec v, uint8_t c)
{
	scan_vec differs = v ^ SCAN_ONES * c;

	return ~(((differs & SCAN_LOW) + SCAN_LOW) | differs) & SCAN_HIGH;
}

static inline scan_vec scan_or(scan_vec a, scan_vec b)
{
	return a | b;
}

static inline scan_vec scan_and(scan_vec a, scan_vec b)
{
	return a & b;
}

static inline scan_vec scan_andnot(scan_vec a, scan_vec b)
{
	return a & ~b;
}

static inline scan_vec scan_not(scan_vec v)
{
	return v ^ SCAN_HIGH;
}

static inline scan_vec scan_fold(scan_vec v)
{
	return v | SCAN_ONES * 0x20;
}

#endif
