// SPDX-License-Identifier: Apache-2.0
#include "base/arena.h"

#include <pthread.h>

#include "base/slab.h"
#include "base/thread.h"
#include "random.h"
#include "unit.h"

static void test_everything_stands_apart(void **state)
{
	struct random r = random_start("arena");
	static struct {
		uint8_t *p;
		size_t n;
	} got[2000];
	struct arena a;

	arena_init(&a, 0);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(got); i++) {
		got[i].n = random_below(&r, i % 50 ? 200 : 10000);
		got[i].p = arena_alloc(&a, got[i].n);
		assert_non_null(got[i].p);
		assert_int_equal((uintptr_t)got[i].p % 16, 0);
		memset(got[i].p, (int)i, got[i].n);
	}
	for (unsigned i = 0; i < SL_ARRAY_SIZE(got); i++)
		for (size_t k = 0; k < got[i].n; k++)
			assert_int_equal(got[i].p[k], (uint8_t)i);
	arena_free(&a);
	assert_int_equal(a.total, 0);
	/* Empty and usable again. */
	assert_non_null(arena_zalloc(&a, 10));
	arena_free(&a);
	assert_int_equal(base_thread_exit(), 0);
}

static void test_the_limit_holds(void **state)
{
	struct arena a;
	unsigned n = 0;

	arena_init(&a, 3 * ARENA_BLOCK_BYTES);
	assert_null(arena_alloc(&a, 3 * ARENA_BLOCK_BYTES));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_null(arena_alloc(&a, SIZE_MAX - 14));
	assert_int_equal(a.total, 0);
	while (arena_alloc(&a, 16) && n < 10000)
		n++;
	/* Three blocks, each with a head of 16 bytes. */
	if (!SL_ASAN)
		assert_int_equal(n, 3 * (ARENA_BLOCK_BYTES / 16 - 1));
	assert_int_equal(a.total, 3 * ARENA_BLOCK_BYTES);
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_dup(&a, STR("x")).p);
	assert_null(arena_printf(&a, "%d", 1).p);
	arena_free(&a);
	assert_non_null(arena_alloc(&a, 1));
	arena_free(&a);
}

static void test_a_large_request_leaves_the_block_in_use(void **state)
{
	struct arena a;
	uint8_t *first, *second;

	arena_init(&a, 0);
	first = arena_alloc(&a, 16);
	assert_non_null(arena_alloc(&a, 100000));
	second = arena_alloc(&a, 16);
	assert_ptr_equal(second, first + (SL_ASAN ? 32 : 16));
	/* Nothing is no pointer to nothing. */
	assert_non_null(arena_alloc(&a, 0));
	assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
	arena_free(&a);
}

static void test_strings(void **state)
{
	struct arena a;
	struct str s;

	arena_init(&a, 0);
	s = arena_dup(&a, STR("a\0b"));
	assert_true(str_eq(s, STR("a\0b")));
	assert_int_equal(s.p[3], 0);
	s = arena_dup(&a, STR_NONE);
	assert_non_null(s.p);
	assert_int_equal(s.len, 0);
	s = arena_printf(&a, "%s:%d", "host", 80);
	assert_true(str_eq(s, STR("host:80")));
	assert_int_equal(s.p[7], 0);
	arena_free(&a);
}

static void *free_it(void *arg)
{
	arena_free(arg);
	return (void *)(uintptr_t)base_thread_exit();
}

static void test_a_shared_arena_is_freed_elsewhere(void **state)
{
	struct arena a;
	pthread_t thread;
	void *left;

	arena_init_shared(&a);
	for (unsigned i = 0; i < 1000; i++)
		assert_non_null(arena_zalloc(&a, 100));
	/* It takes nothing from the pools of this thread. */
	assert_null(slab_first());
	assert_int_equal(pthread_create(&thread, NULL, free_it, &a), 0);
	assert_int_equal(pthread_join(thread, &left), 0);
	assert_null(left);
	assert_null(a.blocks);
}

static int leave(void **state)
{
	return (int)base_thread_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_everything_stands_apart, leave),
		cmocka_unit_test_teardown(test_the_limit_holds, leave),
		cmocka_unit_test_teardown(test_a_large_request_leaves_the_block_in_use, leave),
		cmocka_unit_test_teardown(test_strings, leave),
		cmocka_unit_test(test_a_shared_arena_is_freed_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
