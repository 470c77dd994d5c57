// SPDX-License-Identifier: Apache-2.0
// Every scan against a loop over bytes, on random data, at every length and alignment.
#include <stdlib.h>

#include "http/chars.h"
#include "http/h1/parse.h"
#include "unit.h"

#define ROUNDS 20000
#define LENGTH_MAX 80

static bool is_ctl(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool is_not_word(uint8_t c)
{
	return !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		 c == '-');
}

static bool is_not_host(uint8_t c)
{
	return is_not_word(c) && c != '.';
}

static bool is_not_query(uint8_t c)
{
	return c <= 0x20 || c >= 0x7f || c == '#';
}

static const struct {
	const uint8_t *(*scan)(const uint8_t *base, const uint8_t *p, const uint8_t *end);
	bool (*stops)(uint8_t c);
} scans[] = {
	{scan_ctl, is_ctl},
	{scan_word, is_not_word},
	{scan_host, is_not_host},
	{scan_query, is_not_query},
};

/* A generator of our own: the same data wherever the test runs. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Bytes that mostly let a scan go on, so that stops are found everywhere. */
static void fill(uint8_t *p, size_t n, uint32_t *state)
{
	static const char common[] = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-";
	bool wild = next_random(state) % 4 == 0;

	for (size_t i = 0; i < n; i++) {
		bool any = wild || next_random(state) % 32 == 0;

		p[i] = any ? (uint8_t)next_random(state)
			   : (uint8_t)common[next_random(state) % (sizeof(common) - 1)];
	}
}

static void test_scans_find_what_a_loop_finds(void **state)
{
	uint32_t seed = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t before = next_random(&seed) % 20, n = next_random(&seed) % LENGTH_MAX;
		/* Just as large as what may be read. */
		uint8_t *base = malloc(before + n ? before + n : 1);
		uint8_t *p = base + before, *end = p + n;

		assert_non_null(base);
		fill(base, before + n, &seed);
		for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
			const uint8_t *expected = p;

			while (expected < end && !scans[i].stops(*expected))
				expected++;
			assert_ptr_equal(scans[i].scan(base, p, end), expected);
			assert_ptr_equal(scans[i].scan(p, p, end), expected);
		}
		free(base);
	}
}

static void test_every_byte_in_every_place(void **state)
{
	uint8_t text[2 * SCAN_BYTES + 1];

	for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
		for (unsigned c = 0; c < 256; c++) {
			for (size_t at = 0; at < sizeof(text); at++) {
				const uint8_t *end = text + sizeof(text);

				memset(text, 'a', sizeof(text));
				text[at] = (uint8_t)c;
				assert_ptr_equal(scans[i].scan(text, text, end),
						 scans[i].stops((uint8_t)c) ? text + at : end);
			}
		}
	}
}

static void test_the_vector_form_agrees_with_the_portable_one(void **state)
{
	uint32_t seed = 2;
	uint8_t *p = malloc(LENGTH_MAX);

	assert_non_null(p);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t n = next_random(&seed) % LENGTH_MAX;

		fill(p, n, &seed);
		assert_int_equal(h1_scan_value(p, n), h1_scan_value_portable(p, n));
	}
	free(p);
}

static void test_a_part_of_a_vector_is_loaded_as_it_is(void **state)
{
	uint8_t text[SCAN_BYTES];

	for (size_t n = 1; n < SCAN_BYTES; n++) {
		for (size_t i = 0; i < SCAN_BYTES; i++)
			text[i] = (uint8_t)(i + 1);
		for (size_t i = 0; i < n; i++) {
			uint8_t *copy = malloc(n);
			uint64_t bits;

			assert_non_null(copy);
			memcpy(copy, text, n);
			bits = scan_bits(scan_eq(scan_load_part(copy, n), (uint8_t)(i + 1)));
			assert_int_equal(scan_index(bits & scan_first(n)), i);
			/* The rest is zero. */
			bits = scan_bits(scan_ge(scan_load_part(copy, n), 1));
			assert_int_equal(bits & ~scan_first(n), 0);
			free(copy);
		}
	}
}

static void test_odd_paths(void **state)
{
	uint32_t seed = 3;
	char path[4 * SCAN_BYTES];

	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t slash = 0;
		bool before = false;

		for (size_t i = 0; i < sizeof(path); i++)
			path[i] = "aaaaaa//.%"[next_random(&seed) % (round % 2 ? 10 : 8)];
		for (size_t at = 0; at < sizeof(path); at += SCAN_BYTES) {
			uint64_t bits = scan_odd_path(scan_load((uint8_t *)path + at), &slash);

			for (size_t i = 0; i < SCAN_BYTES; i++) {
				char c = path[at + i];
				bool odd = c == '%' || (before && (c == '/' || c == '.'));

				assert_int_equal((bits & scan_between(i, i + 1)) != 0, odd);
				before = c == '/';
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scans_find_what_a_loop_finds),
		cmocka_unit_test(test_every_byte_in_every_place),
		cmocka_unit_test(test_the_vector_form_agrees_with_the_portable_one),
		cmocka_unit_test(test_a_part_of_a_vector_is_loaded_as_it_is),
		cmocka_unit_test(test_odd_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
