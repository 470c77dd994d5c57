/* internal: compressing a whole file, once, off the loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_COMPRESS_H
#define SLUICE_HANDLER_FILES_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "handler/files.h"
#include "handler/files/rep.h"

/*
 * Compresses `len` > 0 bytes into memory from malloc. 0; -ENOSPC when the result would not be smaller; -ENOMEM;
 * -EOPNOTSUPP for a coding that the build lacks. level as in struct files_compress. Any thread.
 */
int compress_bytes(enum http_coding, int level, const uint8_t *in, size_t len, uint8_t **out,
		   size_t *out_len);

/*
 * The same for a representation: from memory, or read from its descriptor; blocks, so for helper threads. Touches
 * nothing that changes. -ESTALE when the file changed meanwhile.
 */
int compress_rep(const struct file_rep *, enum http_coding, int level, uint8_t **out,
		 size_t *out_len);

/* The codings (a mask) to offer for a file of that type and size that this build can make. */
unsigned compress_offered(const struct files_config *, struct str type, uint64_t size);

#endif
