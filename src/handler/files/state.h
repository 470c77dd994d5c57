/* internal: what the parts of the files handler share: a worker's state for one route, and requests that take time. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_STATE_H
#define SLUICE_HANDLER_FILES_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "handler/files.h"
#include "handler/files/body.h"
#include "handler/files/cache.h"
#include "handler/files/residency.h"
#include "http/stream.h"

/* Codings being made at once for one route in one worker; above it clients get what there is. */
#define FILES_COMPRESSIONS_MAX 8
/* Folders being read at once for one route in one worker; above it 503. */
#define FILES_LISTINGS_MAX 8
/* How often a file may change under a request before it is given up with 503. */
#define FILES_RESTARTS_MAX 3

/* One route in one worker. */
struct files {
	const struct files_config *config;
	struct io_loop *loop;
	uint32_t refs; /* one of attach, one of each thing in flight */
	bool direct;   /* the first thing tried is the path itself */
	bool detached; /* the configuration may be gone: what is in flight only cleans up */
	bool root_gone;
	int root_fd; /* O_PATH; keeps its number when the root is replaced */
	uint64_t root_dev, root_ino;
	uint64_t root_checked_ns, root_check_ns;
	uint64_t revalidate_ns;
	struct file_cache cache;
	struct warm warm;
	unsigned compressions, listings;
	struct log_rate log;
};

void files_unref(struct files *);

struct files_req;

/* One request, in the stream's arena. */
struct files_stream {
	struct file_rep *rep;  /* held until on_close: its block and its bytes are in use */
	struct files_req *req; /* not NULL: it takes time */
	struct file_body body;
};

enum req_state {
	REQ_ROOT,     /* the root is opened, to see whether it is still the same folder */
	REQ_FILE,     /* something that may be the file is opened */
	REQ_SIDE,     /* a compressed file beside it is opened */
	REQ_LOAD,     /* a small file is read into memory */
	REQ_COMPRESS, /* among the waiters of its entry */
	REQ_LIST,     /* a listing is being made */
};

/* A request that found no fresh entry. From a pool, since operations may outlive the stream. */
struct files_req {
	struct files *files;
	struct http_stream *stream; /* NULL: the client is gone */
	struct io_op op;
	struct io_openat open;
	enum req_state state;
	bool in_flight; /* op is the loop's */
	bool shed;      /* descriptors were freed for it once */
	uint8_t restarts;
	uint8_t sides;    /* mask of codings still to be looked for */
	uint8_t coding;   /* looked for, or awaited */
	uint8_t index_at; /* in a folder: the index to try next */
	uint8_t try_at;
	struct file_entry *entry; /* a reference */
	struct file_rep *loading; /* a reference */
	uint8_t *bytes;           /* being filled for it */
	uint64_t loaded;
	struct list waiter; /* in entry->waiters */
	struct listing *listing;
	size_t path_len;
	char path[PATH_MAX]; /* below the root, terminated */
};

/* resolve.c: from a path to an entry. Starts a request that takes time; 0 or -ENOMEM. */
int files_req_start(struct files *, struct http_stream *);
/* Goes on after a listing failed because there is no such folder. */
void files_req_next(struct files_req *);
/* Looks for the file anew. */
void files_req_restart(struct files_req *);
/* The stream is gone. */
void files_req_abandon(struct files_req *);
/* Ends it and leaves the stream to the caller, who answers. */
struct http_stream *files_req_end(struct files_req *);
void files_req_fail(struct files_req *, unsigned status);
/* Without a stream, nothing in flight. */
void files_req_free(struct files_req *);

/* answer.c: from an entry to a response. */
/* True when it answered (*result as http_respond); false when something must be done first: a request. */
bool files_answer_now(struct files *, struct http_stream *, struct file_entry *, int *result);
/* Does what must be done first, then answers. */
void files_answer(struct files_req *, struct file_entry *);

/* load.c: reading and compressing; each goes on with files_answer. */
void files_load(struct files_req *, struct file_rep *);
/* False: not now; the client gets what there is. */
bool files_compress(struct files_req *, enum http_coding);

/* What a failed open means for somebody who asked for that path. 0: as if it were not there. */
unsigned files_open_status(int error);
/* "cannot <what> PATH", at most one line a second. */
void files_log_error(struct files *, const char *what, struct str path, int error);

/* The path of a request below `strip`, without the slash in front. False: not below it. */
bool files_request_path(const struct files_config *, const struct http_stream *, struct str *path);

#endif
