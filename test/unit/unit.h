/* internal: cmocka with the headers that it needs before it, for every unit test */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_UNIT_H
#define SLUICE_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * Leaves the running test as skipped, and says why. Only for what the machine lacks (a kernel feature, a
 * privilege, a package), after probing for it.
 */
#define unit_skip(...)                                  \
	do {                                            \
		print_message("skipped: " __VA_ARGS__); \
		print_message("\n");                    \
		skip();                                 \
	} while (0)

#endif
