// SPDX-License-Identifier: Apache-2.0

/* The simulated world: chance, virtual time, the queue of events, and the loops that live in it. */

#include "io/sim.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/sim_world.h"

/* Not zero, so that nobody takes a time for "never". */
#define SIM_START_NS (1000 * CLOCK_NS_PER_S)

/* How often each fault may come on a bad day; errors that end something stay rare enough for the rest. */
static const struct {
	uint16_t offset, max;
} fault_kinds[] = {
#define FAULT(field, max)                               \
	{                                               \
		offsetof(struct sim_faults, field), max \
	}
	FAULT(short_read, 800),   FAULT(short_write, 800), FAULT(split, 800),
	FAULT(delay, 200),        FAULT(again, 400),       FAULT(reset, 10),
	FAULT(refuse, 200),       FAULT(no_bufs, 20),      FAULT(accept_emfile, 100),
	FAULT(accept_abort, 50),  FAULT(open_enoent, 100), FAULT(open_eacces, 100),
	FAULT(read_eio, 50),      FAULT(read_short, 500),  FAULT(read_end, 50),
	FAULT(write_eio, 50),     FAULT(write_full, 50),   FAULT(write_short, 500),
	FAULT(sync_eio, 100),     FAULT(slow_file, 200),   FAULT(cold, 1000),
	FAULT(cancel_race, 1000), FAULT(reorder, 500),
#undef FAULT
};
static_assert(SL_ARRAY_SIZE(fault_kinds) * sizeof(uint16_t) == sizeof(struct sim_faults),
	      "every fault has its place in the table");

static uint16_t *fault_at(struct sim_faults *f, size_t i)
{
	return (uint16_t *)(void *)((char *)f + fault_kinds[i].offset);
}

/* splitmix64. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void sim_faults_pick(uint64_t seed, struct sim_faults *f)
{
	uint64_t state = seed ^ 0x6661756c7473u;

	for (size_t i = 0; i < SL_ARRAY_SIZE(fault_kinds); i++) {
		uint64_t r = random_next(&state);
		unsigned max = fault_kinds[i].max;

		if (r & 1)
			*fault_at(f, i) = 0;
		else if (r & 2)
			*fault_at(f, i) = (uint16_t)(1 + (r >> 8) % (max / 10));
		else
			*fault_at(f, i) = (uint16_t)(1 + (r >> 8) % max);
	}
}

uint64_t sim_random(struct sim *w, uint64_t n)
{
	assert(n > 0);
	return random_next(&w->random) % n;
}

bool sim_chance(struct sim *w, uint16_t per_mille)
{
	return per_mille && sim_random(w, 1000) < per_mille;
}

uint64_t sim_between(struct sim *w, uint64_t min, uint64_t max)
{
	return min + (max > min ? sim_random(w, max - min + 1) : 0);
}

uint64_t sim_latency(struct sim *w)
{
	uint64_t ns = sim_between(w, w->o.latency_min_ns, w->o.latency_max_ns);

	if (sim_chance(w, w->o.faults.delay))
		ns += sim_between(w, 1, w->o.delay_max_ns);
	return ns;
}

void sim_trace(struct sim *w, const char *what, int64_t a, int64_t b)
{
	uint64_t h = w->trace_hash;

	for (const char *c = what; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3u;
	h ^= w->now_ns;
	h = random_next(&h) ^ (uint64_t)a;
	h = random_next(&h) ^ (uint64_t)b;
	w->trace_hash = random_next(&h);
	if (w->o.trace)
		fprintf(w->o.trace, "%" PRIu64 ".%06" PRIu64 "ms %s %" PRId64 " %" PRId64 "\n",
			(uint64_t)((w->now_ns - SIM_START_NS) / CLOCK_NS_PER_MS),
			(uint64_t)(w->now_ns % CLOCK_NS_PER_MS), what, a, b);
}

uint64_t sim_trace_hash(const struct sim *w)
{
	return w->trace_hash;
}

/* The queue of events: a binary heap. */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void event_place(struct sim *w, uint32_t i, struct sim_event *e)
{
	w->events[i] = e;
	e->at = i + 1;
}

static void event_sift(struct sim *w, uint32_t i, struct sim_event *e)
{
	while (i > 0 && event_before(e, w->events[(i - 1) / 2])) {
		event_place(w, i, w->events[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child + 1 < w->event_count &&
		    event_before(w->events[child + 1], w->events[child]))
			child++;
		if (child >= w->event_count || event_before(e, w->events[child]))
			break;
		event_place(w, i, w->events[child]);
		i = child;
	}
	event_place(w, i, e);
}

int sim_events_reserve(struct sim *w, int n)
{
	uint32_t reserved = w->event_reserved + (uint32_t)n;

	if (reserved > w->event_room) {
		uint32_t room = SL_MAX(reserved, 2 * w->event_room);
		struct sim_event **events = realloc(w->events, room * sizeof(struct sim_event *));

		if (!events)
			return -ENOMEM;
		w->events = events;
		w->event_room = room;
	}
	w->event_reserved = reserved;
	return 0;
}

void sim_event_stop(struct sim *w, struct sim_event *e)
{
	uint32_t i = e->at - 1;

	if (!e->at)
		return;
	e->at = 0;
	if (i != --w->event_count)
		event_sift(w, i, w->events[w->event_count]);
}

void sim_event_at(struct sim *w, struct sim_event *e, uint64_t due_ns)
{
	sim_event_stop(w, e);
	assert(w->event_count < w->event_reserved);
	e->due_ns = SL_MAX(due_ns, w->now_ns);
	e->seq = ++w->event_seq;
	w->event_count++;
	event_sift(w, w->event_count - 1, e);
}

static void fire_due(struct sim *w)
{
	while (w->event_count && w->events[0]->due_ns <= w->now_ns) {
		struct sim_event *e = w->events[0];

		sim_event_stop(w, e);
		e->fire(w, e);
	}
}

/* Scripts. */

int sim_fail(struct sim *w, enum sim_call call, unsigned skip, unsigned count, int error)
{
	if (!count || error < 0 || (!error && call != SIM_READ && call != SIM_WRITE))
		return -EINVAL;
	for (unsigned i = 0; i < SIM_RULES_MAX; i++) {
		if (w->rules[i].count)
			continue;
		w->rules[i] = (struct sim_rule){skip, count, error, call};
		return 0;
	}
	return -ENOSPC;
}

bool sim_rule_hits(struct sim *w, enum sim_call call, int *error)
{
	for (unsigned i = 0; i < SIM_RULES_MAX; i++) {
		struct sim_rule *r = &w->rules[i];

		if (!r->count || r->call != call)
			continue;
		if (r->skip) {
			r->skip--;
			continue;
		}
		r->count--;
		*error = r->error;
		sim_trace(w, "rule", call, r->error);
		return true;
	}
	return false;
}

void sim_disk_room(struct sim *w, uint64_t bytes)
{
	w->disk_room = bytes;
}

/* The world. */

static int options_complete(struct sim_options *o)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(fault_kinds); i++)
		if (*fault_at(&o->faults, i) > 1000)
			return -EINVAL;
	if (!o->latency_max_ns) {
		o->latency_min_ns = SIM_LATENCY_MIN_NS;
		o->latency_max_ns = SIM_LATENCY_MAX_NS;
	}
	o->delay_max_ns = o->delay_max_ns ? o->delay_max_ns : SIM_DELAY_MAX_NS;
	o->slow_max_ns = o->slow_max_ns ? o->slow_max_ns : SIM_DELAY_MAX_NS;
	o->send_bytes = o->send_bytes ? o->send_bytes : SIM_SOCKBUF_BYTES;
	o->recv_bytes = o->recv_bytes ? o->recv_bytes : SIM_SOCKBUF_BYTES;
	o->fds_max = o->fds_max ? o->fds_max : SIM_FDS_MAX;
	return 0;
}

int sim_new(const struct sim_options *o, struct sim **out)
{
	struct sim *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return -ENOMEM;
	w->o = *o;
	rc = options_complete(&w->o);
	if (!rc) {
		w->fds = calloc(w->o.fds_max, sizeof(struct sim_socket *));
		rc = w->fds ? 0 : -ENOMEM;
	}
	if (rc) {
		free(w);
		return rc;
	}
	w->now_ns = SIM_START_NS;
	w->random = o->seed;
	w->disk_room = UINT64_MAX;
	list_init(&w->loops);
	list_init(&w->links);
	list_init(&w->jobs);
	*out = w;
	return 0;
}

void sim_free(struct sim *w)
{
	assert(list_empty(&w->loops));
	sim_jobs_drop(w);
	sim_drop_all(w);
	assert(!w->event_count && !w->event_reserved);
	free(w->events);
	free(w->fds);
	free(w);
}

void sim_set_faults(struct sim *w, const struct sim_faults *f)
{
	w->o.faults = *f;
}

uint64_t sim_now_ns(const struct sim *w)
{
	return w->now_ns;
}

struct sim_live sim_live(const struct sim *w)
{
	return (struct sim_live){w->fd_count, w->link_count, w->job_count};
}

/* Loops. */

static struct sim_loop *loop_of(struct list *l)
{
	return SL_CONTAINER(l, struct sim_loop, in_world);
}

int sim_loop_init(struct io_loop *loop, const struct io_options *o, char *why, size_t why_len)
{
	struct sim_loop *l;

	if (!o->sim) {
		snprintf(why, why_len, "the simulator engine is for tests: it needs a world");
		return -EINVAL;
	}
	l = calloc(1, sizeof(*l));
	if (!l) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	l->world = o->sim;
	l->loop = loop;
	list_init(&l->in_world);
	list_init(&l->ready);
	list_add(&l->world->loops, &l->in_world);
	l->world->loop_count++;
	loop->state = l;
	return 0;
}

void sim_loop_fini(struct io_loop *loop)
{
	struct sim_loop *l = loop->state;

	assert(list_empty(&l->ready));
	list_del(&l->in_world);
	l->world->loop_count--;
	free(l);
	loop->state = NULL;
}

uint64_t sim_loop_now_ns(struct io_loop *loop)
{
	const struct sim_loop *l = loop->state;

	return l->world->now_ns;
}

static bool loop_has_work(struct sim_loop *l)
{
	return l->progress || l->loop->done || l->loop->tasks || l->loop->drained ||
	       atomic_load(&l->loop->posts);
}

static uint64_t loop_timer_ns(const struct sim_loop *l)
{
	struct io_wheel *wheel = &l->loop->wheel;
	int64_t ms = io_wheel_next_ms(wheel);

	return ms < 0 ? UINT64_MAX : (wheel->now_ms + (uint64_t)ms) * CLOCK_NS_PER_MS;
}

/*
 * Under sim_run time stands still during a turn. A loop that is run alone makes time pass while it sleeps, and
 * sleep without end, when nothing is on its way, is told as an error instead of slept.
 */
int sim_loop_wait(struct io_loop *loop, int64_t timeout_ns)
{
	struct sim_loop *l = loop->state;
	struct sim *w = l->world;
	uint64_t deadline = timeout_ns < 0 ? UINT64_MAX : w->now_ns + (uint64_t)timeout_ns;

	l->progress = false;
	for (;;) {
		fire_due(w);
		io_loop_woke(loop);
		sim_drain(l);
		if (w->driving || loop_has_work(l))
			return 0;
		if (!list_empty(&l->ready))
			continue;
		if (!w->event_count || w->events[0]->due_ns > deadline)
			break;
		w->now_ns = w->events[0]->due_ns;
	}
	if (deadline == UINT64_MAX)
		return -EDEADLK;
	w->now_ns = deadline;
	io_loop_woke(loop);
	return 0;
}

static bool loop_can_run(struct sim_loop *l)
{
	l->progress = false;
	return loop_has_work(l) || !list_empty(&l->ready) || loop_timer_ns(l) <= l->world->now_ns;
}

/* A turn for each loop that can use one. False when there was none. */
static bool turn_loops(struct sim *w)
{
	struct list *at = w->loops.next;
	bool turned = false;

	if (w->loop_count > 1)
		for (uint64_t skip = sim_random(w, w->loop_count); skip; skip--)
			at = at->next;
	for (unsigned n = 0; n < w->loop_count; n++) {
		struct list *next;

		if (at == &w->loops)
			at = at->next;
		next = at->next;
		if (loop_can_run(loop_of(at))) {
			int rc = io_loop_turn(loop_of(at)->loop, 0);

			assert(rc == 0);
			(void)rc;
			turned = true;
		}
		at = next;
	}
	return turned;
}

static uint64_t next_time(struct sim *w)
{
	uint64_t next = w->event_count ? w->events[0]->due_ns : UINT64_MAX;

	for (struct list *at = w->loops.next; at != &w->loops; at = at->next) {
		uint64_t timer = loop_timer_ns(loop_of(at));

		next = SL_MIN(next, timer);
	}
	return next;
}

static enum sim_end drive(struct sim *w, uint64_t until)
{
	for (unsigned turns = 0;;) {
		uint64_t next;

		fire_due(w);
		if (w->stopped)
			return SIM_STOPPED;
		if (turns > SIM_TURNS_MAX)
			return SIM_LIVELOCK;
		if (turn_loops(w)) {
			turns++;
			continue;
		}
		next = next_time(w);
		if (next == UINT64_MAX)
			return SIM_DEADLOCK;
		if (next > until) {
			w->now_ns = until;
			return SIM_TIME;
		}
		w->now_ns = next;
		turns = 0;
	}
}

enum sim_end sim_run(struct sim *w, uint64_t for_ns)
{
	enum sim_end end;

	w->stopped = false;
	w->driving = true;
	end = drive(w, w->now_ns + SL_MIN(for_ns, UINT64_MAX - 1 - w->now_ns));
	w->driving = false;
	sim_trace(w, sim_end_text(end), 0, 0);
	return end;
}

void sim_stop(struct sim *w)
{
	w->stopped = true;
}

const char *sim_end_text(enum sim_end end)
{
	switch (end) {
	case SIM_STOPPED:
		return "stopped";
	case SIM_TIME:
		return "time is up";
	case SIM_DEADLOCK:
		return "deadlock";
	case SIM_LIVELOCK:
		return "livelock";
	}
	return "?";
}
