/* internal: a representation, the bytes of one file (or its compressed form) with the fields that describe them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_REP_H
#define SLUICE_HANDLER_FILES_REP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/seg.h"
#include "http/fields.h"
#include "http/negotiate.h"

struct files_config;

/* What tells one state of a file from another. */
struct file_id {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
};

void file_id_from_stat(struct file_id *, const struct stat *);
/* True when both are the same state of the same file. */
bool file_id_same(const struct file_id *, const struct file_id *);

/*
 * Counted by `owner`, which segments of its bytes refer to. Immutable once made, but for file_rep_adopt. Either
 * `content` holds all bytes, or `fd` is open; an empty file has content.
 */
struct file_rep {
	struct seg_owner owner;
	int fd;         /* -1: none */
	uint8_t coding; /* enum http_coding */
	bool in_memory; /* to be sent from memory: file_rep_adopt comes before the first byte leaves */
	uint16_t reads; /* into memory, in flight: they need the descriptor */
	bool generated; /* compressed here, not found beside the file */
	bool racy;      /* changed so recently that a further change might not show in its times */
	bool resident_unknown; /* the system cannot tell which pages are in memory */
	bool resident_always;  /* it lives in memory (tmpfs) */
	struct file_id id;     /* of the file it was made from */
	uint64_t size;         /* of these bytes */
	const uint8_t *content;
	uint64_t
		resident_until; /* [0, resident_until) was in memory at resident_ns (residency.h) */
	uint64_t resident_ns;
	uint64_t looked_ns; /* loop time at which the file was last seen to be still as in id */
	int64_t modified_s; /* -1: not told, for a time that is still to come */
	struct str etag;    /* with its quotes; STR_NONE: none */
	struct str type;
	struct str path;        /* as in file_rep_make, for the log */
	struct http_block full; /* for 200, and 206 with one range */
	struct http_block meta; /* the part of it that goes with 304 and with several ranges */
	struct http_field fields[];
};

/* How a representation comes to be. */
struct file_rep_make {
	const struct files_config *config;
	struct str
		path; /* below the root, of the file that was asked for: gives type and Cache-Control */
	struct file_id id;
	uint64_t size;
	enum http_coding coding;
	bool generated;  /* compressed here, not found beside the file */
	bool negotiated; /* other codings exist or may come: Vary */
	int64_t now_ns;  /* CLOCK_REALTIME */
};

/* One reference, without descriptor and content. NULL without memory. */
struct file_rep *file_rep_new(const struct file_rep_make *);
/* Takes over `size` bytes from malloc; the descriptor goes when no read needs it. */
void file_rep_adopt(struct file_rep *, uint8_t *content);
/* Around each read into memory. */
void file_rep_read_begin(struct file_rep *);
void file_rep_read_end(struct file_rep *);

static inline struct file_rep *file_rep_ref(struct file_rep *rep)
{
	rep->owner.refs++;
	return rep;
}

/* NULL is allowed. */
static inline void file_rep_unref(struct file_rep *rep)
{
	if (rep)
		seg_owner_unref(&rep->owner);
}

#endif
