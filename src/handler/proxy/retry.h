/* internal: whether a failed try may be made again, and when; what a failure is answered with. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_PROXY_RETRY_H
#define SLUICE_HANDLER_PROXY_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/config.h"

/* What is known of a try that failed. */
struct retry_facts {
	int why;         /* -errno; 0: by its status */
	unsigned status; /* of its answer, or 0 */
	uint8_t stage;   /* enum http_call_stage */
	bool reused;     /* of the link */
	bool body_begun; /* a byte of the request's body is gone */
	bool idempotent;
};

enum retry_verdict {
	RETRY_NO,
	RETRY_REPLAY, /* a kept link was dead: the same server again over a fresh one, for free */
	RETRY_NEXT,   /* safe and asked for: if number and budget allow, and it counts */
};
enum retry_verdict retry_decide(const struct retry_facts *, const struct upstream_retry *);
/* Nothing that the request asks for can have been done. */
bool retry_untouched(const struct retry_facts *);

/* Before try number `tries` + 1: exponential, full jitter (0 to the whole delay). `random` is any number. */
uint32_t retry_delay_ms(const struct upstream_retry *, unsigned tries, uint64_t random);

/* 502, 503 or 504. */
unsigned retry_status(uint8_t stage, int why);
/* For the log: "connecting", "waiting for the first byte". */
const char *retry_stage_name(uint8_t stage);
/* "answered 503": a status that speaks against the server that gave it; NULL: none of those. */
const char *retry_status_text(unsigned status);

#endif
