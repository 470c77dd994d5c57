/* internal: the handler that shows what the server knows of itself, as text, JSON or for Prometheus. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_STATUS_H
#define SLUICE_HANDLER_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "guard/limit.h"
#include "guard/load.h"
#include "handler/relays.h"
#include "http/server.h"
#include "http/stream.h"
#include "upstream/upstream.h"

/* One worker's numbers at one moment: a plain copy of struct http_counts. */
struct status_counts {
	uint64_t connections, connections_active, connections_idle, requests, requests_active;
	uint64_t bytes_in, bytes_out, refused, timeouts, aborted;
	uint64_t status[6];
};

/* One tcp or udp block, of all workers: its counts are those of struct relay_counts. */
struct status_relay {
	struct str name;
	bool is_udp;
	uint64_t connections, active, refused, failed, bytes_in, bytes_out;
	uint64_t datagrams_in, datagrams_out, dropped;
};
/* Adds the atomics, or another's numbers. */
void status_relay_read(struct status_relay *, const struct relay_counts *);
void status_relay_add(struct status_relay *, const struct status_relay *);

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
	const struct hist
		*request_ns; /* http_worker.request_ns, of all workers; NULL: nothing served */
	const struct upstream_group_status *groups;
	const struct guard_limit_status *limits;
	const struct status_relay *relays;
	unsigned group_count, limit_count, relay_count;
	bool load_on; /* load is measured */
	enum guard_level load_level;
	struct guard_load_sample load;
};

enum status_format {
	STATUS_TEXT, /* "name value" lines */
	STATUS_JSON, /* one object and a newline */
	STATUS_PROMETHEUS,
};
/* "text", "json" or "prometheus": the format, or -EINVAL. */
int status_format_parse(struct str);

/* Immutable and outlives every attach. */
struct status_config {
	/* Fills *out, which is zeroed; on any worker's thread, so it reads only atomics. 0 or -errno. */
	int (*collect)(void *owner, struct arena *, struct status_snapshot *out);
	void *owner;
};

/* Reads the atomics of one worker. */
void status_counts_read(struct status_counts *, const struct http_counts *);
/* The whole document: for the handler, and for the admin socket. STR_NONE on exhaustion. */
struct str status_render(const struct status_snapshot *, enum status_format, struct arena *);

/*
 * Its config is a struct status_config. The format is that of ?format=, else what Accept prefers (Prometheus names
 * its own), else text.
 */
extern const struct handler_ops status_handler;

#endif
