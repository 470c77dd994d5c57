/* internal: hostile bytes made safe for a log line or a JSON string. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_ESCAPE_H
#define SLUICE_BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum escape {
	/*
	 * One line for people: control characters (of ASCII, and U+0080 to U+009F) become \n, \r, \t or \xNN, and so
	 * do bytes that are not UTF-8. Everything else stays.
	 */
	ESCAPE_TEXT,
	/* Inside "..." of an access log: as TEXT, and also quotes, backslashes and all that is not ASCII. */
	ESCAPE_QUOTED,
	/*
	 * Inside "..." of JSON (RFC 8259 section 7): the result is always valid UTF-8. A byte that is not UTF-8
	 * becomes the four characters \xNN (written \\xNN), so that it can still be recognised.
	 */
	ESCAPE_JSON,
};

/* The longest replacement of one byte. */
#define ESCAPE_BYTES_MAX 6

/*
 * Writes `in` escaped to `out`, at most `cap` bytes, no terminator, and never a part of a character or of an
 * escape. Returns the bytes written; *taken (may be NULL) is what went in: less than in.len when `out` is full.
 */
size_t escape_put(char *out, size_t cap, struct str in, enum escape, size_t *taken);

/*
 * The length of the UTF-8 character at the start of `in`, 1 to 4; 0 when it is none (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF) or when `in` is empty.
 */
unsigned utf8_length(struct str in);

#endif
