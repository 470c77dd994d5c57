// SPDX-License-Identifier: Apache-2.0
#include "base/slab.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/compiler.h"
#include "base/thread.h"
#include "random.h"
#include "unit.h"

#define PEAK 3000

static void test_objects_are_aligned_and_apart(void **state)
{
	static const uint32_t sizes[] = {
		1, 16, 24, 64, 400, 4096, 5000, 16384, SLAB_OBJECT_BYTES_MAX};
	static uint8_t *objects[300];

	for (unsigned k = 0; k < SL_ARRAY_SIZE(sizes); k++) {
		uint32_t size = sizes[k], align = size % 4096 == 0 ? 4096
						: size % 64 == 0   ? 64
						: size % 16 == 0   ? 16
								   : 8;
		struct slab s = SLAB_INIT("test", size, 8);

		for (unsigned i = 0; i < SL_ARRAY_SIZE(objects); i++) {
			objects[i] = slab_alloc(&s);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % align, 0);
			memset(objects[i], (int)i, size);
		}
		assert_int_equal(s.used, SL_ARRAY_SIZE(objects));
		for (unsigned i = 0; i < SL_ARRAY_SIZE(objects); i++) {
			assert_int_equal(objects[i][0], (uint8_t)i);
			assert_int_equal(objects[i][size - 1], (uint8_t)i);
			slab_free(&s, objects[i]);
		}
		assert_int_equal(s.used, 0);
		slab_destroy(&s);
		assert_int_equal(s.pages, 0);
	}
}

static void test_zeroed_even_when_reused(void **state)
{
	struct slab s = SLAB_INIT("test", 100, 8);
	static const uint8_t zeros[100];

	for (unsigned i = 0; i < 3; i++) {
		void *p = slab_zalloc(&s);

		assert_memory_equal(p, zeros, 100);
		memset(p, 0xaa, 100);
		slab_free(&s, p);
	}
	slab_free(&s, NULL);
	slab_destroy(&s);
}

static void need_pages(void)
{
	if (SL_ASAN)
		unit_skip("under AddressSanitizer every object is a block of malloc");
}

static void test_the_last_freed_is_the_first_given(void **state)
{
	struct slab s = SLAB_INIT("test", 64, 64);
	void *p[SLAB_HOT_MAX];

	need_pages();
	for (unsigned i = 0; i < SLAB_HOT_MAX; i++)
		p[i] = slab_alloc(&s);
	for (unsigned i = 0; i < SLAB_HOT_MAX; i++)
		slab_free(&s, p[i]);
	for (unsigned i = SLAB_HOT_MAX; i-- > 0;)
		assert_ptr_equal(slab_alloc(&s), p[i]);
	for (unsigned i = 0; i < SLAB_HOT_MAX; i++)
		slab_free(&s, p[i]);
	slab_destroy(&s);
}

/* The counters tell the truth, and after a peak in any order the memory goes back. */
static void test_pages_go_back_after_a_peak(void **state)
{
	struct slab s = SLAB_INIT("test", 400, 64);
	struct random r = random_start("pages");
	static void *objects[PEAK];

	need_pages();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < PEAK; i++)
			objects[i] = slab_alloc(&s);
		assert_int_equal(s.used, PEAK);
		/* 163 objects of 400 bytes fit into 64 KiB. */
		assert_int_equal(s.pages, (PEAK + 162) / 163);
		assert_int_equal(s.capacity, s.pages * 163);
		for (unsigned i = PEAK; i > 1; i--) {
			unsigned k = (unsigned)random_below(&r, i);
			void *t = objects[k];

			objects[k] = objects[i - 1];
			objects[i - 1] = t;
		}
		for (unsigned i = 0; i < PEAK; i++)
			slab_free(&s, objects[i]);
		assert_int_equal(s.used, 0);
		assert_true(s.capacity >= 64);
		/* Each waiting object may hold a page back, and one page is kept besides. */
		assert_true(s.pages <= SLAB_HOT_MAX + 1);
	}
	slab_destroy(&s);
	assert_int_equal(s.capacity, 0);
}

static void test_random_use_against_marks(void **state)
{
	struct slab s = SLAB_INIT("test", 48, 4);
	struct random r = random_start("marks");
	static uint64_t *objects[PEAK];
	unsigned n = 0;

	for (unsigned step = 0; step < 60000; step++) {
		/* Long rises and long falls, so that pages come and go. */
		bool rise = random_below(&r, 100) < (step / 6000 % 2 ? 30u : 70u);

		if (rise && n < PEAK) {
			objects[n] = slab_alloc(&s);
			for (unsigned k = 0; k < 6; k++)
				objects[n][k] = (uintptr_t)objects[n] + k;
			n++;
		} else if (!rise && n) {
			unsigned k = (unsigned)random_below(&r, n);

			for (unsigned j = 0; j < 6; j++)
				assert_true(objects[k][j] == (uintptr_t)objects[k] + j);
			slab_free(&s, objects[k]);
			objects[k] = objects[--n];
		}
		assert_int_equal(s.used, n);
		assert_true(SL_ASAN || s.capacity >= n);
	}
	while (n)
		slab_free(&s, objects[--n]);
	slab_destroy(&s);
}

static void test_no_memory_is_an_answer(void **state)
{
	struct slab s = SLAB_INIT("test", 16384, 0);
	struct rlimit old, tight;
	void *objects[64];
	unsigned n = 0;

	need_pages();
	assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
	tight = old;
	tight.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
	while (n < SL_ARRAY_SIZE(objects) && (objects[n] = slab_alloc(&s)))
		n++;
	assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
	assert_int_equal(n, 0);
	assert_int_equal(s.used, 0);
	assert_non_null(objects[0] = slab_alloc(&s));
	slab_free(&s, objects[0]);
	slab_destroy(&s);
}

/* Idle memory is what was given out: 15,000 objects do not touch the rest of their pages. */
static void test_untouched_memory_stays_untouched(void **state)
{
	struct slab s = SLAB_INIT("test", 16384, 0);
	unsigned char resident[64] = {0};
	unsigned touched = 0;
	uint8_t *object;

	need_pages();
	object = slab_alloc(&s);
	assert_int_equal(
		mincore((void *)((uintptr_t)object & ~(uintptr_t)262143), 262144, resident), 0);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(resident); i++)
		touched += resident[i] & 1;
	assert_int_equal(touched, 1);
	slab_free(&s, object);
	slab_destroy(&s);
}

static void test_a_thread_exit_empties_what_is_unused(void **state)
{
	static struct slab idle = SLAB_INIT("idle", 32, 64), busy = SLAB_INIT("busy", 32, 64);
	void *p = slab_alloc(&busy);
	unsigned listed = 0;

	slab_free(&idle, slab_alloc(&idle));
	for (struct slab *s = slab_first(); s; s = s->next)
		listed += s == &idle || s == &busy;
	assert_int_equal(listed, 2);
	assert_int_equal(base_thread_exit(), 1);
	assert_ptr_equal(slab_first(), &busy);
	assert_null(busy.next);
	assert_int_equal(idle.pages, 0);
	/* The pools can go on. */
	slab_free(&idle, slab_alloc(&idle));
	slab_free(&busy, p);
	assert_int_equal(base_thread_exit(), 0);
	assert_null(slab_first());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects_are_aligned_and_apart),
		cmocka_unit_test(test_zeroed_even_when_reused),
		cmocka_unit_test(test_the_last_freed_is_the_first_given),
		cmocka_unit_test(test_pages_go_back_after_a_peak),
		cmocka_unit_test(test_random_use_against_marks),
		cmocka_unit_test(test_no_memory_is_an_answer),
		cmocka_unit_test(test_untouched_memory_stays_untouched),
		cmocka_unit_test(test_a_thread_exit_empties_what_is_unused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
