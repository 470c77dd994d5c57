/* internal: the source of a response: texts and byte ranges of one representation, in order. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_BODY_H
#define SLUICE_HANDLER_FILES_BODY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/source.h"
#include "handler/files/rep.h"
#include "handler/files/residency.h"

/* One segment of a file is at most this long; in each turn of the loop the first is preceded by a look at the file. */
#define BODY_CHUNK_BYTES (1024u * 1024)
/* The last bytes of a piece are read into memory, and then the file is looked at. */
#define BODY_TAIL_BYTES BUF_CAPACITY

struct file_piece {
	const char *text; /* NULL: bytes of the representation from off on */
	uint64_t off, len;
};

/*
 * Lives in the stream's arena, and its pieces too; the stream holds the representation until on_close.
 *
 * A file that is not in memory is compared with what the head promised (size and modification time) again and again,
 * and last when the pump has sent all but a piece's last bytes and these are read: when it changed, pull fails with
 * -ESTALE and the transfer is cut, so that what is complete is of one file. (What sendfile gave to the kernel are
 * pages of the file: writing over them afterwards changes what has not left yet, and nobody can see that.)
 */
struct file_body {
	struct source source;
	struct warm *warm;
	struct file_rep *rep;
	const struct file_piece *pieces;
	unsigned count, at;
	uint64_t done;       /* bytes given of the piece at `at` */
	uint64_t warm_until; /* file offset up to which pages were just read */
	uint64_t looked_ns;  /* loop time of the last comparison with the file */
	bool waiting;
	struct warm_wait wait;
	struct file_piece one; /* room for the usual case */
};

/* The file was compared with rep->id at looked_ns (0: it was not). Pieces are not empty. */
struct source *file_body_init(struct file_body *, struct warm *, struct file_rep *,
			      const struct file_piece *, unsigned count, uint64_t looked_ns);
/* All of it. */
struct source *file_body_init_range(struct file_body *, struct warm *, struct file_rep *,
				    uint64_t off, uint64_t len, uint64_t looked_ns);

/* 0, or -ESTALE when the open file is not what rep was made from, or -errno. */
int file_rep_look(const struct file_rep *);

#endif
