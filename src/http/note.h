/* internal: what is known of a request beside its messages, for the access log. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_NOTE_H
#define SLUICE_HTTP_NOTE_H

#include <stdint.h>

#include "base/str.h"

/*
 * What a handler that asks servers says of them: http_stream.upstream points to it. Lives until on_close, and may
 * grow until then.
 */
struct http_upstream_note {
	struct str server; /* that answered, or failed last; empty: none was found */
	uint64_t
		first_byte_ns; /* of its answer, since the first byte of the request; 0: none came */
	unsigned tries;
};

#endif
