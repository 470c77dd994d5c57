// SPDX-License-Identifier: Apache-2.0

/* Bodies that go no faster than they may, in virtual time: the rate, who shares it, and every way to end. */

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/slab.h"
#include "base/thread.h"
#include "guard/limit.h"
#include "http/fields.h"
#include "sim_test.h"

#define KEY 1

/* What is throttled: gives pieces of every kind, and waits when the test says so. */
struct origin {
	struct source source;
	struct io_loop *loop;
	struct io_timer timer;
	struct http_fields trailers;
	uint64_t left;     /* bytes until its end */
	size_t piece;      /* at most so many at a time */
	unsigned pause_ms; /* between pieces; 0: none */
	int error;         /* in place of an end */
	bool paused;
	unsigned closed;
	int why;
	size_t asked_max;
	unsigned pulls;
};

static void origin_fired(struct io_timer *timer)
{
	source_wake(&SL_CONTAINER(timer, struct origin, timer)->source);
}

static enum pull origin_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	static const enum seg_kind order[] = {SEG_MEM, SEG_FILE, SEG_PIPE};
	struct origin *o = SL_CONTAINER(source, struct origin, source);
	size_t n = SL_MIN(SL_MIN(want, o->piece), o->left);
	enum seg_kind kind = order[o->pulls++ % 3];

	assert_int_equal(o->closed, 0);
	assert_true(want > 0);
	o->asked_max = SL_MAX(o->asked_max, want);
	if (!o->left) {
		source->error = o->error;
		return o->error ? PULL_FAIL : PULL_END;
	}
	if (o->pause_ms && !o->paused) {
		o->paused = true;
		o->timer.fire = origin_fired;
		io_timer_set(o->loop, &o->timer, o->pause_ms);
		return PULL_WAIT;
	}
	o->paused = false;
	o->left -= n;
	*out = (struct seg){.kind = kinds & kind ? kind : SEG_MEM, .len = n};
	return PULL_DATA;
}

static void origin_close(struct source *source, int why)
{
	struct origin *o = SL_CONTAINER(source, struct origin, source);

	o->closed++;
	o->why = why;
	io_timer_stop(&o->timer);
}

static const struct http_fields *origin_trailers(struct source *source)
{
	return &SL_CONTAINER(source, struct origin, source)->trailers;
}

static const struct source_ops origin_ops = {
	.pull = origin_pull, .close = origin_close, .trailers = origin_trailers};

/* Who pulls: as fast as it can, or after a pause of its own. */
struct sink {
	struct origin origin;
	struct source *source;
	struct io_loop *loop;
	struct io_timer timer;
	uint64_t bytes;
	unsigned slow_ms;
	unsigned kinds_seen, wakes;
	bool waits, ended;
	int error;
};

static void sink_pull(struct sink *k)
{
	struct seg s;

	k->waits = false;
	for (;;) {
		switch (source_pull(k->source, 1u << 20, SEG_ALL, &s)) {
		case PULL_DATA:
			k->bytes += s.len;
			k->kinds_seen |= s.kind;
			if (!k->slow_ms)
				continue;
			io_timer_set(k->loop, &k->timer, k->slow_ms);
			return;
		case PULL_WAIT:
			k->waits = true;
			return;
		case PULL_END:
			k->ended = true;
			return;
		case PULL_FAIL:
			k->error = k->source->error;
			return;
		}
	}
}

static void sink_woken(struct source *source, void *consumer)
{
	struct sink *k = consumer;

	assert_ptr_equal(source, k->source);
	/* Once for each wait. */
	assert_true(k->waits);
	k->wakes++;
	sink_pull(k);
}

static void sink_fired(struct io_timer *timer)
{
	sink_pull(SL_CONTAINER(timer, struct sink, timer));
}

static void sink_init(struct sink *k, struct io_loop *loop, struct guard_limiter *limiter,
		      uint64_t per_s)
{
	*k = (struct sink){.loop = loop,
			   .timer = {.fire = sink_fired},
			   .origin = {.source = {.ops = &origin_ops},
				      .loop = loop,
				      .left = UINT64_MAX,
				      .piece = SIZE_MAX}};
	k->source = guard_throttle_new(loop, &k->origin.source, limiter, KEY, per_s);
	assert_non_null(k->source);
	k->source->wake = sink_woken;
	k->source->consumer = k;
}

static void sink_close(struct sink *k)
{
	io_timer_stop(&k->timer);
	source_close(k->source, -ECANCELED);
	assert_int_equal(k->origin.closed, 1);
	assert_int_equal(k->origin.why, -ECANCELED);
}

struct place {
	struct sim *world;
	struct io_loop *loop;
	struct guard_registry *registry;
};

static struct place place_open(void)
{
	struct place p = {.world = sim_test_world(&(struct sim_options){.seed = 1}),
			  .registry = guard_registry_new()};

	p.loop = sim_test_loop(p.world);
	return p;
}

static struct guard_limiter *place_join(struct place *p, uint64_t per_s, uint64_t burst)
{
	const struct guard_limit_config config = {
		.name = STR("slow"), .bytes_per_s = per_s, .bytes_burst = burst, .keys_max = 10};

	return guard_limiter_join(p->registry, &config);
}

static void place_close(struct place *p)
{
	guard_registry_free(p->registry);
	io_loop_free(p->loop);
	sim_test_world_free(p->world);
	/* Every throttle is gone. */
	assert_int_equal(base_thread_exit(), 0);
}

static void check_rate(uint64_t bytes, uint64_t per_s, uint64_t burst, uint64_t seconds)
{
	double wanted = (double)per_s * (double)seconds;

	assert_true((double)bytes >= wanted * 0.98);
	assert_true((double)bytes <= (wanted + (double)burst) * 1.0001 + 1);
}

static void test_rate(void **unused)
{
	static const uint64_t rates[] = {1, 37, 1000, 65536, 999983, 125000000, 5000000000};
	static const uint64_t bursts[] = {0, 1, 1448, 1000000};
	static const size_t pieces[] = {SIZE_MAX, 16384, 100};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(rates) * SL_ARRAY_SIZE(bursts) * 3; i++) {
		uint64_t per_s = rates[i % SL_ARRAY_SIZE(rates)];
		uint64_t burst = bursts[i / SL_ARRAY_SIZE(rates) % SL_ARRAY_SIZE(bursts)];
		size_t piece = pieces[i / SL_ARRAY_SIZE(rates) / SL_ARRAY_SIZE(bursts)];
		uint64_t seconds = per_s < 1000 ? 200 : per_s < 1000000 ? 20 : 3;
		struct place p = place_open();
		struct sink k;

		/* A burst that is gone before the loop comes round cannot keep the rate up. */
		if ((burst && burst < per_s / 500) || per_s / piece > 1000000) {
			place_close(&p);
			continue;
		}
		struct guard_limiter *l = place_join(&p, per_s, burst);
		sink_init(&k, p.loop, l, 0);
		guard_limiter_unref(l);
		k.origin.piece = piece;
		sink_pull(&k);
		assert_int_equal(sim_run(p.world, seconds * CLOCK_NS_PER_S), SIM_TIME);
		check_rate(k.bytes, per_s, burst ? burst : SL_MAX(per_s / 20, 1), seconds);
		if (piece == SIZE_MAX && per_s >= 1000)
			assert_int_equal(k.kinds_seen, SEG_ALL);
		/* The rate, and not the number of turns, decides how often it wakes. */
		assert_true(k.wakes <= seconds * 1001);
		sink_close(&k);
		place_close(&p);
	}
}

/* Its own bucket, and a limiter's that nobody shares, are the same. */
static void test_own_bucket(void **unused)
{
	struct place p = place_open();
	struct sink k, other;

	sink_init(&k, p.loop, NULL, 100000);
	sink_init(&other, p.loop, NULL, 50000);
	sink_pull(&k);
	sink_pull(&other);
	assert_int_equal(sim_run(p.world, 10 * CLOCK_NS_PER_S), SIM_TIME);
	check_rate(k.bytes, 100000, 5000, 10);
	check_rate(other.bytes, 50000, 2500, 10);
	sink_close(&k);
	sink_close(&other);
	place_close(&p);
}

/* All bodies of a key share one rate, and each gets its part. */
static void test_shared(void **unused)
{
	struct place p = place_open();
	struct guard_limiter *l = place_join(&p, 1000000, 0);
	struct sink k[7];
	uint64_t sum = 0;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(k); i++) {
		sink_init(&k[i], p.loop, l, 0);
		/* Whatever size their pieces have. */
		k[i].origin.piece = i % 2 ? 1000 : 100000;
		sink_pull(&k[i]);
	}
	assert_int_equal(sim_run(p.world, 10 * CLOCK_NS_PER_S), SIM_TIME);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(k); i++) {
		sum += k[i].bytes;
		assert_true(k[i].bytes > 9000000 / SL_ARRAY_SIZE(k));
	}
	check_rate(sum, 1000000, 50000, 10);
	/* One that leaves makes room at once. */
	for (unsigned i = 1; i < SL_ARRAY_SIZE(k); i++)
		sink_close(&k[i]);
	uint64_t before = k[0].bytes;
	assert_int_equal(sim_run(p.world, 10 * CLOCK_NS_PER_S), SIM_TIME);
	check_rate(k[0].bytes - before, 1000000, 50000, 10);
	sink_close(&k[0]);
	guard_limiter_unref(l);
	place_close(&p);
}

/* A reader that is slower than the rate is not hurried: nothing is asked of the source in advance. */
static void test_backpressure(void **unused)
{
	struct place p = place_open();
	struct sink k;

	sink_init(&k, p.loop, NULL, 100000000);
	k.slow_ms = 100;
	k.origin.piece = 1000;
	sink_pull(&k);
	assert_int_equal(sim_run(p.world, 10 * CLOCK_NS_PER_S), SIM_TIME);
	assert_in_range(k.bytes, 99 * 1000, 101 * 1000);
	assert_true(UINT64_MAX - k.origin.left == k.bytes);
	assert_in_range(k.origin.asked_max, 1000, 1u << 20);
	sink_close(&k);
	place_close(&p);
}

/* A source that waits itself, and then ends or fails. */
static void test_slow_source(void **unused)
{
	for (int error = 0; error >= -EIO; error -= EIO) {
		struct place p = place_open();
		struct http_field field = {.name = STR("a"), .value = STR("b")};
		struct sink k;

		sink_init(&k, p.loop, NULL, 1000000);
		k.origin.pause_ms = 30;
		k.origin.piece = 1000;
		k.origin.left = 50000;
		k.origin.error = error;
		k.origin.trailers.v = &field;
		k.origin.trailers.count = 1;
		sink_pull(&k);
		uint64_t began_ns = sim_now_ns(p.world);
		assert_int_equal(sim_run(p.world, 100 * CLOCK_NS_PER_S), SIM_DEADLOCK);
		/* What it waited for was the source alone: 50 pauses. */
		assert_in_range((sim_now_ns(p.world) - began_ns) / CLOCK_NS_PER_MS, 0, 50 * 32);
		assert_int_equal(k.bytes, 50000);
		assert_int_equal(k.ended, !error);
		assert_int_equal(k.error, error);
		if (!error)
			assert_ptr_equal(k.source->ops->trailers(k.source), &k.origin.trailers);
		sink_close(&k);
		place_close(&p);
	}
}

/* Closed in each of its states, it closes what it wraps, wakes nobody, and gives back what it had reserved. */
static void test_close(void **unused)
{
	enum { BEFORE, TIMER, DUE, SOURCE, BETWEEN, STATES };

	for (unsigned state = 0; state < STATES; state++) {
		struct place p = place_open();
		struct guard_limiter *l = place_join(&p, 10000, 10000);
		struct sink k, after;

		sink_init(&k, p.loop, l, 0);
		if (state == SOURCE)
			k.origin.pause_ms = 1000;
		if (state == BETWEEN) {
			k.slow_ms = 1000;
			k.origin.piece = 10;
		}
		if (state != BEFORE) {
			sink_pull(&k);
			/* Pulling again while it waits changes nothing. */
			if (state == TIMER)
				sink_pull(&k);
			assert_int_equal(k.waits, state != BETWEEN);
		}
		if (state == TIMER)
			assert_in_range(k.bytes, 10000 - 512, 10000);
		unsigned wakes = k.wakes;
		sink_close(&k);
		sink_init(&after, p.loop, l, 0);
		sink_pull(&after);
		/* All that was not sent is there for the next one. */
		assert_in_range(k.bytes + after.bytes, 10000 - 512, 10000);
		assert_int_equal(sim_run(p.world, 2 * CLOCK_NS_PER_S), SIM_TIME);
		assert_int_equal(k.wakes, wakes);
		check_rate(k.bytes + after.bytes, 10000, 10000, 2);
		sink_close(&after);
		guard_limiter_unref(l);
		place_close(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),        cmocka_unit_test(test_own_bucket),
		cmocka_unit_test(test_shared),      cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_slow_source), cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
