/* internal: writes numbers in the text format of Prometheus. Who counts keeps the numbers; see http/server.h. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_OBSERVE_METRIC_H
#define SLUICE_OBSERVE_METRIC_H

#include <stdint.h>

#include "base/hist.h"
#include "base/text.h"

/* Version 0.0.4 of the format, as its Content-Type. */
#define METRIC_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metric_kind {
	METRIC_COUNTER, /* only rises; its name ends in _total */
	METRIC_GAUGE,   /* rises and falls */
	METRIC_HIST,
};

/*
 * Begins a family: its values follow, and no other family's between them. Names, labels and help are the caller's own
 * words, never a peer's: nothing is escaped. Units come last in names, before _total.
 */
void metric_family(struct text *, const char *name, enum metric_kind, const char *help);
/* labels: NULL, or as they stand between the braces: engine="epoll",kind="read". */
void metric_value(struct text *, const char *name, const char *labels, uint64_t value);

/* A value of a label that somebody else has named, between its quotes: '\\', '"' and newlines are escaped, as the format asks. */
void metric_put_label(struct text *, struct str value);

/* A histogram of nanoseconds in seconds: the bounds are powers of two from about a microsecond to 17 s. */
#define METRIC_TIME_BITS_FROM 10
#define METRIC_TIME_BITS_TO 34
#define METRIC_TIME_BITS_STEP 2
void metric_times(struct text *, const char *name, const struct hist *);

#endif
