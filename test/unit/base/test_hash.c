// SPDX-License-Identifier: Apache-2.0
#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "random.h"
#include "unit.h"

/* Hashes of the bytes 00, 00 01, ... under the key 0, as Python 3.11 computes them (PYTHONHASHSEED=0). */
static void test_the_hash_is_siphash_1_3(void **state)
{
	static const uint64_t expected[] = {
		0x68a914128e01e473, 0x010bac45c41e3669, 0x4d4c9a4a8ef6e0ad, 0x7cc43f98813e4dbd,
		0x5abe2169dff36275, 0xe3c25f87624f1cdb, 0x2f098ab0c751325a, 0xead411e67ebe2eea,
		0x75927f9d95124362, 0xaf9f77a65ab51a1d, 0xfe64ce8b6617fcff, 0xa6baf4fb0f9fe1c2,
		0xa0cf3211850f8e0d, 0x7f86049379fbfe67, 0xf30eb725bb91c9ea, 0x8972188433a5c5b7,
		0x4883c49a2c009c1d, 0xadc2c0b63044067d, 0x091f4a3329f87d19,
	};
	uint8_t bytes[SL_ARRAY_SIZE(expected) + 1];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(expected); i++)
		assert_true(hash_bytes_fixed(bytes, i + 1, 0) == expected[i]);
	assert_true(hash_bytes_fixed(bytes, 4, 1) != hash_bytes_fixed(bytes, 4, 0));
	/* The process has a key of its own. */
	assert_true(hash_bytes(bytes, 19) != expected[18]);
	assert_true(hash_bytes(bytes, 19) == hash_bytes(bytes, 19));
}

#define KEYS 2000

static char names[KEYS][8];

static struct str name_of(unsigned i)
{
	return (struct str){names[i], (size_t)snprintf(names[i], sizeof(names[i]), "k%u", i)};
}

/* Every call against an array that says which keys are in. */
static void test_random_use_against_an_array(void **state)
{
	struct random r = random_start("hash");
	static bool in[KEYS];
	struct hash h;
	uint32_t count = 0;

	hash_init(&h, 0);
	for (unsigned step = 0; step < 100000; step++) {
		unsigned i = (unsigned)random_below(&r, step % 20000 < 10000 ? KEYS : 50);
		struct str key = name_of(i);

		switch (random_below(&r, 3)) {
		case 0:
			assert_int_equal(hash_put(&h, key, &in[i]), in[i] ? -EEXIST : 0);
			count += !in[i];
			in[i] = true;
			break;
		case 1:
			assert_ptr_equal(hash_del(&h, key), in[i] ? &in[i] : NULL);
			count -= in[i];
			in[i] = false;
			break;
		default:
			assert_ptr_equal(hash_get(&h, key), in[i] ? &in[i] : NULL);
			assert_ptr_equal(hash_get_hashed(&h, key, hash_bytes(key.p, key.len)),
					 in[i] ? &in[i] : NULL);
		}
		assert_int_equal(h.count, count);
	}

	hash_destroy(&h);
}

static void test_the_limit_holds(void **state)
{
	struct hash h;
	int value;

	hash_init(&h, 100);
	assert_null(hash_get(&h, STR("a")));
	assert_null(hash_del(&h, STR("a")));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(hash_put(&h, name_of(i), &value), 0);
	assert_int_equal(hash_put(&h, name_of(100), &value), -ENOSPC);
	/* Present is said before full. */
	assert_int_equal(hash_put(&h, name_of(99), &value), -EEXIST);
	assert_ptr_equal(hash_del(&h, name_of(50)), &value);
	assert_int_equal(hash_put(&h, name_of(100), &value), 0);
	assert_int_equal(h.mask, 255);
	hash_destroy(&h);
	/* Empty, usable, with the limit it had. */
	assert_int_equal(hash_put(&h, STR(""), &value), 0);
	assert_ptr_equal(hash_get(&h, STR_NONE), &value);
	assert_int_equal(h.count_max, 100);
	hash_destroy(&h);
}

static void test_never_more_than_three_quarters_full(void **state)
{
	struct hash h;
	int value;

	hash_init(&h, 0);
	for (unsigned i = 0; i < KEYS; i++) {
		assert_int_equal(hash_put(&h, name_of(i), &value), 0);
		assert_true(h.count * 4 <= (h.mask + 1) * 3);
	}
	assert_int_equal(h.mask, 4095);
	hash_destroy(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_hash_is_siphash_1_3),
		cmocka_unit_test(test_random_use_against_an_array),
		cmocka_unit_test(test_the_limit_holds),
		cmocka_unit_test(test_never_more_than_three_quarters_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
