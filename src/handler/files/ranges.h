/* internal: several ranges of one representation as multipart/byteranges (RFC 9110 section 14.6). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_RANGES_H
#define SLUICE_HANDLER_FILES_RANGES_H

#include <stdint.h>

#include "base/arena.h"
#include "handler/files/body.h"
#include "handler/files/rep.h"
#include "http/negotiate.h"

struct ranges_multipart {
	struct file_piece *pieces;
	unsigned count;
	uint64_t length; /* of all pieces */
	struct str type; /* the Content-Type with its boundary */
};

/* `count` >= 2 ranges; everything comes from the arena. 0 or -ENOMEM. */
int ranges_multipart(struct arena *, const struct file_rep *, const struct http_range *,
		     unsigned count, struct ranges_multipart *);

/* "bytes 0-99/1234", or "bytes * /1234" without the space for range NULL. STR_NONE on exhaustion. */
struct str ranges_content_range(struct arena *, const struct http_range *, uint64_t size);

#endif
