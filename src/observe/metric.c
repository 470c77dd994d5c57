// SPDX-License-Identifier: Apache-2.0
#include "observe/metric.h"

#include <inttypes.h>

#define SECONDS(ns) ((double)(ns)*1e-9)

void metric_family(struct text *t, const char *name, enum metric_kind kind, const char *help)
{
	static const char *const kinds[] = {
		[METRIC_COUNTER] = "counter",
		[METRIC_GAUGE] = "gauge",
		[METRIC_HIST] = "histogram",
	};

	text_printf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]);
}

void metric_value(struct text *t, const char *name, const char *labels, uint64_t value)
{
	if (labels)
		text_printf(t, "%s{%s} %" PRIu64 "\n", name, labels, value);
	else
		text_printf(t, "%s %" PRIu64 "\n", name, value);
}

void metric_put_label(struct text *t, struct str value)
{
	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];

		if (c == '\\' || c == '"' || c == '\n') {
			text_put_char(t, '\\');
			c = c == '\n' ? 'n' : c;
		}
		text_put_char(t, c);
	}
}

void metric_times(struct text *t, const char *name, const struct hist *h)
{
	for (unsigned bits = METRIC_TIME_BITS_FROM; bits <= METRIC_TIME_BITS_TO;
	     bits += METRIC_TIME_BITS_STEP) {
		uint64_t bound = (1ull << bits) - 1;

		text_printf(t, "%s_bucket{le=\"%.9g\"} %" PRIu64 "\n", name, SECONDS(bound),
			    hist_count_to(h, bound));
	}
	text_printf(t, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9g\n%s_count %" PRIu64 "\n",
		    name, h->count, name, SECONDS(h->sum), name, h->count);
}
