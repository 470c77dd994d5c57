// SPDX-License-Identifier: Apache-2.0
// What the bytes of a relay pass on their way: a limit of bandwidth, a mirror.
#include "base/slab.h"
#include "guard/limit.h"
#include "handler/tcp/tcp.h"

/* Stands between a conn's source, which nobody may close, and filters that own what is below them. */
struct tcp_tap {
	struct source source;
	struct source *from;
};

static _Thread_local struct slab tap_slab = SLAB_INIT("tcp tap", sizeof(struct tcp_tap), 64);

static void tap_woken(struct source *from, void *consumer)
{
	struct tcp_tap *tap = consumer;

	(void)from;
	if (tap->source.wake)
		source_wake(&tap->source);
}

static enum pull tap_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct tcp_tap *tap = SL_CONTAINER(source, struct tcp_tap, source);
	enum pull r = source_pull(tap->from, want, kinds, out);

	source->error = tap->from->error;
	return r;
}

static void tap_close(struct source *source, int why)
{
	struct tcp_tap *tap = SL_CONTAINER(source, struct tcp_tap, source);

	(void)why;
	tap->from->wake = NULL;
	slab_free(&tap_slab, tap);
}

static struct source *tap_new(struct source *from)
{
	static const struct source_ops ops = {.pull = tap_pull, .close = tap_close};
	struct tcp_tap *tap = slab_zalloc(&tap_slab);

	if (!tap)
		return NULL;
	tap->source.ops = &ops;
	tap->from = from;
	from->wake = tap_woken;
	from->consumer = tap;
	return &tap->source;
}

static bool limits_bytes(const struct guard_limiter *limiter)
{
	return limiter && guard_limiter_config(limiter)->bytes_per_s;
}

bool tcp_filter_wanted(const struct tcp_config *config)
{
	return config->bytes_per_s || config->mirror_group || limits_bytes(config->limiter);
}

/* Owns `from` in any case. */
static struct source *throttle(struct tcp_flow *f, struct source *from,
			       struct guard_limiter *limiter, uint64_t bytes_per_s)
{
	struct source *throttled =
		guard_throttle_new(f->service->loop, from, limiter, f->limit_key, bytes_per_s);

	if (!throttled)
		source_close(from, 0);
	return throttled;
}

struct source *tcp_filter(void *flow, enum relay_side from, struct source *source)
{
	struct tcp_flow *f = flow;
	const struct tcp_config *config = f->service->config;
	bool of_limiter = from == RELAY_SERVER && limits_bytes(config->limiter);
	bool mirrored = from == RELAY_CLIENT && f->service->mirror;

	if (!config->bytes_per_s && !of_limiter && !mirrored)
		return source;
	source = tap_new(source);
	if (source && config->bytes_per_s)
		source = throttle(f, source, NULL, config->bytes_per_s);
	if (source && of_limiter)
		source = throttle(f, source, config->limiter, 0);
	return source && mirrored ? tcp_mirror_new(f, source) : source;
}
