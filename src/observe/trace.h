/* internal: the trace context that travels with a request (W3C Trace Context, traceparent). */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_OBSERVE_TRACE_H
#define SLUICE_OBSERVE_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 */
#define TRACE_PARENT_BYTES 55

/* Neither id is all zeros. */
struct trace {
	uint8_t trace_id[16]; /* of the whole trace */
	uint8_t span_id[8];   /* of this hop; called parent-id in the field */
	bool sampled;         /* the caller may have recorded it */
};

/*
 * Random numbers for ids, of one thread: cheap, well spread, and of no use as secrets. Start it with two random
 * numbers that are not both zero.
 */
struct trace_random {
	uint64_t state[2];
};

/*
 * The value of a traceparent field (W3C Trace Context section 3.2). 0, or -EINVAL: then the caller
 * starts a trace of its own and drops tracestate. A version above 00 is read as far as 00 goes. More than one such
 * field in a request is invalid too; the caller sees to that.
 */
int trace_parse(struct str value, struct trace *);

/* A new trace that begins here. */
void trace_begin(struct trace *, struct trace_random *, bool sampled);
/* The next hop of `parent`: the same trace, a new span. */
void trace_continue(struct trace *, const struct trace *parent, struct trace_random *);

/* The field's value in version 00: TRACE_PARENT_BYTES, no terminator. */
void trace_write(const struct trace *, char *to);

#endif
