// SPDX-License-Identifier: Apache-2.0
#include "sluice/version.h"

#include "build_config.h"
#include "unit.h"

static void test_version_is_the_one_of_the_build(void **state)
{
	assert_string_equal(sl_version(), SLUICE_VERSION);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_version_is_the_one_of_the_build),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
