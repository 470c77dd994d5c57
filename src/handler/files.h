/* internal: the handler that serves files from a folder. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_H
#define SLUICE_HANDLER_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/fields.h"
#include "http/negotiate.h"
#include "http/stream.h"

/*
 * A glob of fnmatch(3): without a slash it is for the file's name ("*.js"), with one for the path below the
 * root ("/assets/?*"), and '*' crosses slashes.
 */
struct files_pattern {
	struct str glob, value;
};

struct files_type {
	struct str
		extension; /* without the dot, lower case; or a whole lower-case name without a dot */
	struct str type;   /* sent as it is: no charset is added */
};

struct files_compress {
	unsigned
		codings; /* mask of 1 << enum http_coding; 0: off. What the build lacks is ignored */
	const struct str
		*types;      /* "text/html", or "text/" for all below it; parameters do not count */
	unsigned type_count; /* 0: files_compress_types */
	uint64_t size_min, size_max;
	int level; /* 0: gzip 6, br 5, zstd 3; else 1 to 19, cut to what the coding knows */
};

/* For one route in one worker. */
struct files_cache {
	uint32_t entries_max;    /* 0: nothing is kept between requests */
	uint64_t bytes_max;      /* contents in memory; 0: none */
	uint64_t file_bytes_max; /* a larger file is sent from its descriptor */
	uint32_t
		revalidate_ms; /* how long an entry is trusted before the folder is asked again; 0: every time */
};

/*
 * Immutable once a worker has it, and outlives every attach. Every str is terminated (arena_dup). Begin with
 * files_config_init.
 */
struct files_config {
	struct str root;  /* followed anew when it is moved or replaced */
	struct str strip; /* taken off the front of the request's path: "/static"; empty: nothing */
	const struct str *index; /* names tried in a folder, in order */
	unsigned index_count;
	/*
	 * What is tried for a path, in order: "$path" (a folder: its index, its listing), "$path.html",
	 * "/index.html" (below root), "=404" (a status, ends the list). count 0: "$path" alone. See files_try_check.
	 */
	const struct str *tries;
	unsigned try_count;
	bool listing;     /* of folders without an index */
	bool hidden;      /* serve names that begin with a dot; /.well-known/ is always served */
	bool no_symlinks; /* refuse all; otherwise those that stay within root are followed */
	bool no_etag;
	unsigned
		precompressed; /* mask of 1 << enum http_coding: FILE.gz, FILE.br, FILE.zst beside FILE, unless older */
	struct files_compress compress;
	struct files_cache cache;
	const struct files_type *types; /* before the built-in table */
	unsigned type_count;
	struct str default_type;                   /* of unknown extensions */
	struct str charset;                        /* of the built-in text types; empty: none */
	const struct files_pattern *cache_control; /* the first that matches */
	unsigned cache_control_count;
};

#define FILES_TRIES_MAX 16
#define FILES_INDEX_MAX 16
#define FILES_LISTING_MAX 10000 /* entries shown of one folder */

/*
 * The defaults: index.html, nothing listed, hidden files refused, no coding, 1,024 entries, 32 MiB, 1 s,
 * application/octet-stream, utf-8.
 */
void files_config_init(struct files_config *);
/* 0, or -EINVAL with a phrase in *why: for one element of `tries`. */
int files_try_check(struct str element, const char **why);
/* What is compressed unless `types` says otherwise. */
extern const struct str files_compress_types[];
extern const unsigned files_compress_type_count;
/* The mask of codings that this build can compress. */
unsigned files_compress_codings(void);

/* Its config is a struct files_config. */
extern const struct handler_ops files_handler;

#endif
