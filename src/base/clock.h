/* internal: clocks. Loops cache the time once a turn; protocols are given it and never read it. */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_NS_PER_US 1000ull
#define CLOCK_NS_PER_MS 1000000ull
#define CLOCK_NS_PER_S 1000000000ull

/*
 * Each of these is a call into the kernel's vDSO, about 25 ns. Code that runs inside a loop asks the loop for
 * its cached time instead, and a parser is handed `now` by whoever calls it.
 */

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds. */
uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);
/* CPU time of the calling thread in nanoseconds. */
uint64_t clock_thread_cpu_ns(void);

#endif
