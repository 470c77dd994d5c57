// SPDX-License-Identifier: Apache-2.0
#include "observe/trace.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "unit.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

static void test_a_good_one_comes_back(void **state)
{
	struct trace t;
	char text[TRACE_PARENT_BYTES];

	assert_int_equal(trace_parse(STR(GOOD), &t), 0);
	assert_int_equal(t.trace_id[0], 0x4b);
	assert_int_equal(t.trace_id[15], 0x36);
	assert_int_equal(t.span_id[1], 0xf0);
	assert_true(t.sampled);
	trace_write(&t, text);
	assert_memory_equal(text, GOOD, TRACE_PARENT_BYTES);
	/* Only the flag that we know is kept. */
	assert_int_equal(
		trace_parse(STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe"), &t), 0);
	assert_false(t.sampled);
	trace_write(&t, text);
	assert_memory_equal(text + 53, "00", 2);
}

static void test_later_versions_are_read_as_far_as_known(void **state)
{
	struct trace t;

	assert_int_equal(
		trace_parse(STR("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), &t), 0);
	assert_int_equal(
		trace_parse(STR("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what"),
			    &t),
		0);
	assert_true(t.sampled);
	assert_int_equal(
		trace_parse(STR("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01what"), &t),
		-EINVAL);
}

static void test_wrong_ones_are_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"00",
		GOOD "-",
		GOOD "0",
		" " GOOD,
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
		"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01",
		"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b71-01",
	};
	struct trace t, before;

	memset(&t, 0x55, sizeof(t));
	before = t;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(wrong); i++)
		assert_int_equal(trace_parse(str_from(wrong[i]), &t), -EINVAL);
	/* Every beginning of a good one, and every byte of it replaced. */
	for (size_t n = 0; n < TRACE_PARENT_BYTES; n++) {
		char text[] = GOOD;

		assert_int_equal(trace_parse((struct str){text, n}, &t), -EINVAL);
		text[n] = 'G';
		assert_int_equal(trace_parse(str_from(text), &t), -EINVAL);
	}
	assert_memory_equal(&t, &before, sizeof(t));
}

static void test_hops_share_the_trace(void **state)
{
	struct trace_random r = {{1, 2}};
	struct trace first, second, other, back;
	char text[TRACE_PARENT_BYTES];

	trace_begin(&first, &r, true);
	trace_continue(&second, &first, &r);
	trace_begin(&other, &r, false);
	assert_memory_equal(first.trace_id, second.trace_id, 16);
	assert_memory_not_equal(first.span_id, second.span_id, 8);
	assert_memory_not_equal(first.trace_id, other.trace_id, 16);
	assert_true(second.sampled);
	assert_false(other.sampled);
	trace_write(&second, text);
	assert_int_equal(trace_parse((struct str){text, sizeof(text)}, &back), 0);
	assert_memory_equal(&back, &second, sizeof(back));
}

static void test_ids_do_not_repeat(void **state)
{
	struct trace_random r = {{0, 1}};
	static struct trace seen[2000];

	for (unsigned i = 0; i < SL_ARRAY_SIZE(seen); i++) {
		trace_begin(&seen[i], &r, false);
		for (unsigned k = 0; k < i; k++)
			assert_true(memcmp(seen[i].trace_id, seen[k].trace_id, 16) != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_good_one_comes_back),
		cmocka_unit_test(test_later_versions_are_read_as_far_as_known),
		cmocka_unit_test(test_wrong_ones_are_refused),
		cmocka_unit_test(test_hops_share_the_trace),
		cmocka_unit_test(test_ids_do_not_repeat),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
