/* internal: what is in a folder, as a page or as JSON, made off the loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_LISTING_H
#define SLUICE_HANDLER_FILES_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/text.h"

struct files_req;
struct listing;

/* Reads the folder req->path and answers, or goes on with files_req_next when there is none. */
void listing_start(struct files_req *);
/* The request is gone. */
void listing_stop(struct listing *);

enum listing_sort { LISTING_NAME, LISTING_SIZE, LISTING_TIME };

struct listing_item {
	struct str name;
	uint64_t size;
	int64_t modified_s;
	bool folder;
};

struct listing_view {
	struct str path; /* as asked for, decoded, ends with '/' */
	size_t top; /* length of the part of it that is the top folder: no link leads above it */
	struct listing_item *items;
	unsigned count, folders;
	bool more; /* there are more than FILES_LISTING_MAX */
	enum listing_sort sort;
	bool descending;
};

/* "size", "-time": what a click on a column asks for; anything else sorts by name. */
void listing_sort_parse(struct str value, struct listing_view *);
/* Folders first, then by view->sort, then by name. */
void listing_sort_items(struct listing_view *);

/* Names are hostile: everything is escaped. The arena is for the time of the call. */
void listing_html(struct text *, const struct listing_view *, struct arena *);
void listing_json(struct text *, const struct listing_view *);

#endif
