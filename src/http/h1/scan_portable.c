// SPDX-License-Identifier: Apache-2.0
/* The same scan in plain C on every machine, so that a test can hold the two against each other. */
#define SCAN_PORTABLE
#include "http/chars.h"

#include "http/h1/parse.h"

size_t h1_scan_value_portable(const uint8_t *p, size_t n)
{
	return (size_t)(scan_ctl(p, p, p + n) - p);
}
