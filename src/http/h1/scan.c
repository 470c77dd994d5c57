// SPDX-License-Identifier: Apache-2.0
#include "http/chars.h"

#include "http/h1/parse.h"

size_t h1_scan_value(const uint8_t *p, size_t n)
{
	return (size_t)(scan_ctl(p, p, p + n) - p);
}
