/* internal: a worker's access log: from a stream that is done to a line in the ring of the log's writer. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_ACCESS_H
#define SLUICE_APP_ACCESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "app/config.h"
#include "http/server.h"
#include "observe/access.h"
#include "observe/access_ring.h"

/* What the server keeps: one writer, and what it was made for. Zeroed: none. */
struct app_access {
	struct access_log *log; /* NULL: off */
	enum app_access_format format;
	char *path; /* "-": standard output */
};

/*
 * What `config` asks for; the log of `now` when that is the same file. 0, or -errno with a sentence in why.
 */
int app_access_open(struct app_access *, const struct app_config *config,
		    const struct app_access *now, char *why, size_t why_len);
/*
 * Closes the log unless `other` goes on with it. No worker has a ring of it any more. May wait ACCESS_CLOSE_MS
 * for a file that takes nothing.
 */
void app_access_close(struct app_access *, const struct app_access *other);

/* In a worker, on its thread; zeroed. */
struct app_access_worker {
	struct access_log *log;
	struct access_ring *ring;     /* NULL: off */
	struct access_ring *prepared; /* of the log that comes */
	struct access_formatter formatter;
	uint64_t wall_until_ns, wall_offset_ns; /* wall clock minus the loop's clock */
	_Atomic uint64_t lost;                  /* lines, read by any thread */
};

/* The two steps of a reload, as of http_worker. prepare: 0 or -ENOMEM. */
int app_access_prepare(struct app_access_worker *, const struct app_access *);
void app_access_adopt(struct app_access_worker *, const struct app_access *);
void app_access_discard(struct app_access_worker *);
/* The worker ends. */
void app_access_leave(struct app_access_worker *);
/* One line. Never waits; a line that finds no room is counted. */
void app_access_put(struct app_access_worker *, const struct http_stream *, int why);

#endif
