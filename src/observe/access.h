/* internal: lines of an access log (common, combined, JSON) from what is known of a request. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_OBSERVE_ACCESS_H
#define SLUICE_OBSERVE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum access_format { ACCESS_COMMON, ACCESS_COMBINED, ACCESS_JSON };

/* The longest line with its newline. */
#define ACCESS_LINE_BYTES 4096

/*
 * The most that a field takes in a line, escaped; a longer one is cut and ends in "...". Together with the
 * rest of the line they stay below ACCESS_LINE_BYTES.
 */
#define ACCESS_TARGET_BYTES 2048
#define ACCESS_HEADER_BYTES 512
#define ACCESS_HOST_BYTES 256
#define ACCESS_WORD_BYTES 64

/* What came from the peer stands here as it came; the line has it escaped. Empty strings are shown as "-". */
struct access_record {
	struct str client; /* address; at most ACCESS_WORD_BYTES, as method and protocol */
	struct str user;   /* of an authentication that succeeded */
	struct str method, target, protocol;
	struct str host;                /* at most ACCESS_HOST_BYTES */
	struct str referer, user_agent; /* at most ACCESS_HEADER_BYTES each */
	uint64_t time_ns;               /* wall clock (CLOCK_REALTIME) when the request was read */
	uint64_t duration_ns; /* until the last byte of the response was sent, or given up */
	uint64_t request_bytes, body_bytes; /* read; and sent of the response's body */
	unsigned status;                    /* 0: nothing was answered */
	bool aborted; /* the response ended before its end: only JSON can say so */
	/* Only JSON has these, and only when servers were asked. */
	struct str upstream; /* who answered, or failed last; at most ACCESS_WORD_BYTES */
	unsigned tries;
	uint64_t first_byte_ns; /* of the server's answer; 0: none came */
};

/* One thread. Zero it and set the format; the rest is the time as text, kept for a second. */
struct access_formatter {
	enum access_format format;
	uint32_t time_len;
	uint64_t time_s;
	char time[32];
};

/*
 * Writes one line with its newline to `line`, which has ACCESS_LINE_BYTES; returns its length. The time is UTC.
 * Whatever the record holds, the line has no control character before its end, quotes only where they belong,
 * and in JSON it is valid UTF-8.
 *
 *   192.0.2.7 - ann [21/Nov/2026:08:00:00 +0000] "GET /a HTTP/1.1" 200 512 "https://x.example/" "curl/8.1"
 *   {"time":"2026-11-21T08:00:00.123Z","client":"192.0.2.7","method":"GET","target":"/a", ...}
 */
size_t access_format_line(struct access_formatter *, const struct access_record *, char *line);

#endif
