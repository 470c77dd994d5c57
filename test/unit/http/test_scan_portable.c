// SPDX-License-Identifier: Apache-2.0
// The same tests over the scans in plain C, which only machines without SSE2 and NEON use otherwise.
#define SCAN_PORTABLE
#include "test_scan.c"
