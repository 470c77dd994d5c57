/* internal: counters, gauges and histograms: one plain addition to write, merged over the threads to read. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_OBSERVE_METRIC_H
#define SLUICE_OBSERVE_METRIC_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/hist.h"
#include "base/json.h"
#include "base/text.h"

/* Slot 0 and histogram 0 belong to metrics that are not registered: they are written and never shown. */
#define METRIC_SLOTS_MAX 512
#define METRIC_HISTS_MAX 32

enum metric_kind {
	METRIC_COUNTER, /* only rises; survives the thread that counted */
	METRIC_GAUGE,   /* rises and falls; the sum over the living threads */
	METRIC_HIST,
};

/*
 * A family is one name and help; its members differ by their labels. Static storage, or it lives until the
 * process ends. Names and labels are the caller's own words, never a peer's.
 */
struct metric {
	const char *name; /* sluice_http_requests_total; counters end in _total, units come last */
	const char *labels; /* NULL, or as Prometheus has them: engine="epoll",kind="read" */
	const char *help;
	enum metric_kind kind;
	uint16_t index; /* set by metric_register */
	/* Histograms only: the exposition shows the bounds 2^from - 1 to 2^to - 1, times scale (1e-9: ns as seconds). */
	uint8_t from_bits, to_bits;
	double scale;
	/* Counters and gauges kept elsewhere: asked on reading, from any thread; calls nothing of this header. */
	uint64_t (*read)(void);
	struct metric *next;
};

/*
 * Any thread, once for each metric: 0; -EEXIST when the name with these labels is taken (or taken by another kind);
 * -ENOSPC when all slots are. A metric that could not be registered may be used, and shows nothing.
 */
int metric_register(struct metric *);

/*
 * A thread that counts calls these at its start and end. What a thread counted without them is not shown.
 * On leaving, its counters and histograms go to the sum of the past, its gauges are gone.
 */
void metric_thread_enter(void);
void metric_thread_leave(void);

/* The sum over all threads, now and past. */
uint64_t metric_read(const struct metric *);
/* Merges into *into, which the caller has zeroed. */
void metric_read_hist(const struct metric *, struct hist *into);

/* Everything that is registered, by name: the text format 0.0.4 of Prometheus. */
void metric_write_prometheus(struct text *);
/* The members of an object that is open: "name{labels}": number, or an object with count, sum and quantiles. */
void metric_write_json(struct json *);

/* The calling thread's numbers. Only metric.c and the functions below touch them. */
extern _Thread_local uint64_t metric_slots[METRIC_SLOTS_MAX];
struct hist *metric_hist_slow(const struct metric *);
extern _Thread_local struct hist *metric_hists[METRIC_HISTS_MAX];

/* Relaxed stores: a reader on another thread sees the old or the new number, and it costs a plain addition. */
static inline void metric_add(const struct metric *m, uint64_t n)
{
	uint64_t *slot = &metric_slots[m->index];

	__atomic_store_n(slot, *slot + n, __ATOMIC_RELAXED);
}

/* Gauges only. */
static inline void metric_sub(const struct metric *m, uint64_t n)
{
	metric_add(m, 0 - n);
}

static inline void metric_observe(const struct metric *m, uint64_t value)
{
	struct hist *h = metric_hists[m->index];

	if (SL_UNLIKELY(!h))
		h = metric_hist_slow(m);
	if (h)
		hist_add(h, value);
}

#endif
