// SPDX-License-Identifier: Apache-2.0
#include <assert.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/slab.h"
#include "guard/limiter.h"

/* What is reserved at a time: as much as flows in so many milliseconds, within these bounds. */
#define THROTTLE_QUANTUM_MS 10
#define THROTTLE_QUANTUM_MIN 512u
#define THROTTLE_QUANTUM_MAX (1024u * 1024)

struct guard_throttle {
	struct source source;
	struct source *from;
	struct io_loop *loop;
	struct io_timer timer;         /* armed: `granted` is not due yet */
	struct guard_limiter *limiter; /* NULL: `own` */
	const struct guard_rate *rate;
	struct guard_rate own;
	guard_u128 state; /* of `own` */
	uint64_t key, quantum;
	uint64_t granted; /* reserved and not pulled yet */
};

static _Thread_local struct slab throttle_slab =
	SLAB_INIT("throttle", sizeof(struct guard_throttle), 64);

static uint64_t throttle_reserve(struct guard_throttle *t, uint64_t bytes)
{
	uint64_t now_ns = io_now_ns(t->loop);
	struct guard_place place;

	t->granted = bytes;
	if (!t->limiter)
		return guard_rate_reserve(t->rate, &t->state, now_ns, bytes);
	struct guard_core *core = t->limiter->core;
	guard_table_lock(&core->bytes_table, t->key, &place);
	uint64_t wait_ns = guard_rate_reserve(t->rate, place.state, now_ns, bytes);
	enum guard_stored how = guard_table_store(&place, t->rate, now_ns);
	/* A key that has a rate too is counted there. */
	if (!core->table.buckets)
		guard_core_count_stored(core, how);
	return wait_ns;
}

static void throttle_refund(struct guard_throttle *t)
{
	struct guard_place place;
	uint64_t bytes = t->granted;

	t->granted = 0;
	if (!bytes)
		return;
	if (!t->limiter) {
		guard_rate_refund(t->rate, &t->state, bytes);
		return;
	}
	guard_table_lock(&t->limiter->core->bytes_table, t->key, &place);
	/* Of a key that was evicted, the debt lives on in a floor that is not its own. */
	if (place.way < 0) {
		guard_table_unlock(&place);
		return;
	}
	guard_rate_refund(t->rate, place.state, bytes);
	(void)guard_table_store(&place, t->rate, 0);
}

static void throttle_wake(struct guard_throttle *t)
{
	if (t->source.wake)
		source_wake(&t->source);
}

static void throttle_fired(struct io_timer *timer)
{
	throttle_wake(SL_CONTAINER(timer, struct guard_throttle, timer));
}

static void throttle_woken(struct source *from, void *consumer)
{
	(void)from;
	throttle_wake(consumer);
}

static enum pull throttle_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct guard_throttle *t = SL_CONTAINER(source, struct guard_throttle, source);

	assert(want > 0);
	if (io_timer_armed(&t->timer))
		return PULL_WAIT;
	if (!t->granted) {
		uint64_t wait_ns = throttle_reserve(t, SL_MIN(want, t->quantum));
		if (wait_ns) {
			io_timer_set(t->loop, &t->timer,
				     wait_ns / CLOCK_NS_PER_MS + (wait_ns % CLOCK_NS_PER_MS != 0));
			return PULL_WAIT;
		}
	}
	enum pull r = source_pull(t->from, SL_MIN(want, t->granted), kinds, out);
	if (r == PULL_DATA) {
		assert(out->len <= t->granted);
		t->granted -= out->len;
		return r;
	}
	if (r == PULL_FAIL)
		source->error = t->from->error;
	/* What is not needed now is for others of the same key. */
	throttle_refund(t);
	return r;
}

static void throttle_close(struct source *source, int why)
{
	struct guard_throttle *t = SL_CONTAINER(source, struct guard_throttle, source);
	struct source *from = t->from;

	io_timer_stop(&t->timer);
	throttle_refund(t);
	guard_limiter_unref(t->limiter);
	slab_free(&throttle_slab, t);
	source_close(from, why);
}

static const struct http_fields *throttle_trailers(struct source *source)
{
	struct source *from = SL_CONTAINER(source, struct guard_throttle, source)->from;

	return from->ops->trailers ? from->ops->trailers(from) : NULL;
}

static const struct source_ops throttle_ops = {
	.pull = throttle_pull,
	.close = throttle_close,
	.trailers = throttle_trailers,
};

static uint64_t throttle_quantum(const struct guard_rate *rate)
{
	uint64_t n = rate->count / (1000 / THROTTLE_QUANTUM_MS);

	n = SL_MIN(SL_MAX(n, THROTTLE_QUANTUM_MIN), THROTTLE_QUANTUM_MAX);
	return SL_MAX(SL_MIN(n, rate->capacity), 1);
}

struct source *guard_throttle_new(struct io_loop *loop, struct source *from,
				  struct guard_limiter *limiter, uint64_t key, uint64_t bytes_per_s)
{
	struct guard_throttle *t = slab_zalloc(&throttle_slab);

	if (!t)
		return NULL;
	if (limiter) {
		assert(limiter->config.bytes_per_s);
		t->limiter = guard_limiter_ref(limiter);
		t->rate = &limiter->core->bytes_rate;
	} else {
		guard_rate_init_bytes(&t->own, bytes_per_s, 0);
		t->rate = &t->own;
	}
	t->source.ops = &throttle_ops;
	t->from = from;
	t->loop = loop;
	t->key = key;
	t->quantum = throttle_quantum(t->rate);
	t->timer.fire = throttle_fired;
	from->wake = throttle_woken;
	from->consumer = t;
	return &t->source;
}
