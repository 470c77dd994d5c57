/* internal: what the main thread looks at from time to time: the load, and files of access lists. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_SAMPLER_H
#define SLUICE_APP_SAMPLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "guard/load.h"
#include "io/io.h"

struct app_server;

/* The load is taken every second; within it workers are asked so often how late they are. */
#define APP_PINGS 4
#define APP_PING_MS (1000 / APP_PINGS)
/* Errors are a share of the answers of so many seconds. */
#define APP_ERROR_SECONDS 10
/* Fewer answers than this say nothing of errors. */
#define APP_ERROR_REQUESTS_MIN 20

/* Zeroed. Main thread, but for what is atomic. */
struct app_sampler {
	struct io_timer ping, look;
	unsigned pings; /* since the last sample */
	uint64_t wall_ns, cpu_ns;
	uint64_t lag_ns; /* the longest since the last sample */
	struct {
		uint64_t responses, errors;
	} seconds[APP_ERROR_SECONDS + 1];
	unsigned second;
	_Atomic bool on;
	_Atomic uint32_t cpu_percent, lag_ms, error_percent, queue; /* the last sample */
};

/* After each change of the configuration: begins and ends what it asks for. */
void app_sampler_configure(struct app_server *);
void app_sampler_stop(struct app_server *);
/* Any thread. */
void app_load_read(const struct app_sampler *, struct guard_load_sample *);

#endif
