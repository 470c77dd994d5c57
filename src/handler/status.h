/* internal: the handler that shows what the server knows of itself, as JSON or as text. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_STATUS_H
#define SLUICE_HANDLER_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/server.h"
#include "http/stream.h"

/* One worker's numbers at one moment: a plain copy of struct http_counts. */
struct status_counts {
	uint64_t connections, connections_active, connections_idle, requests, requests_active;
	uint64_t bytes_in, bytes_out, refused, timeouts, aborted;
	uint64_t status[6];
};

/* What the program tells. Views live as long as the arena that collect was given. */
struct status_snapshot {
	struct str version, engine, features;
	uint64_t pid, uptime_s;
	int64_t started_unix_s;
	uint64_t config_generation; /* 1 at start, one more with each reload */
	int64_t config_loaded_unix_s;
	struct str config_file; /* empty: none */
	uint64_t log_lines_lost, access_lines_lost;
	uint8_t draining;
	const struct status_counts *workers;
	unsigned worker_count;
};

/* Immutable and outlives every attach. */
struct status_config {
	/* Fills *out, which is zeroed; on any worker's thread, so it reads only atomics. 0 or -errno. */
	int (*collect)(void *owner, struct arena *, struct status_snapshot *out);
	void *owner;
};

/* Reads the atomics of one worker. */
void status_counts_read(struct status_counts *, const struct http_counts *);
/* Adds `from`; for sums over workers. */
void status_counts_add(struct status_counts *into, const struct status_counts *from);
/*
 * The whole document, as JSON with a newline or as "name value" lines: for the handler, and for the admin
 * socket. STR_NONE on exhaustion.
 */
struct str status_render(const struct status_snapshot *, bool json, struct arena *);

/* Its config is a struct status_config. JSON when Accept prefers it or with ?format=json; text otherwise. */
extern const struct handler_ops status_handler;

#endif
