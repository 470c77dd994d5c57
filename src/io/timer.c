// SPDX-License-Identifier: Apache-2.0
#include "io/timer.h"

#include <assert.h>
#include <stddef.h>

#define WHEEL_SLOTS (1u << IO_WHEEL_BITS)
#define WHEEL_WORDS (WHEEL_SLOTS / 64)
#define WHEEL_SPAN_MS ((1ull << (IO_WHEEL_BITS * IO_WHEEL_LEVELS)) - 1)

static void timer_unlink(struct io_timer *t)
{
	*t->at = t->next;
	if (t->next)
		t->next->at = t->at;
	t->next = NULL;
	t->at = NULL;
}

static void timer_push(struct io_timer **head, struct io_timer *t)
{
	t->next = *head;
	if (t->next)
		t->next->at = &t->next;
	t->at = head;
	*head = t;
}

static void wheel_link(struct io_wheel *w, struct io_timer *t)
{
	uint64_t due = t->due_ms > w->now_ms ? t->due_ms : w->now_ms;
	uint64_t delta = due - w->now_ms;
	unsigned level, shift, index;
	uint64_t look;

	/* What lies beyond the wheel waits in its last slot, and is placed again from there. */
	if (delta > WHEEL_SPAN_MS) {
		delta = WHEEL_SPAN_MS;
		due = w->now_ms + delta;
	}
	level = delta ? (63u - (unsigned)__builtin_clzll(delta)) / IO_WHEEL_BITS : 0;
	shift = level * IO_WHEEL_BITS;
	index = (unsigned)(due >> shift) & (WHEEL_SLOTS - 1);
	timer_push(&w->slots[level][index], t);
	w->used[level][index / 64] |= 1ull << (index % 64);
	look = due >> shift << shift;
	if (look < w->wake_ms)
		w->wake_ms = look;
}

/* Slots from `from` to the first that holds something, going round; -1 when there is none. */
static int wheel_distance(struct io_wheel *w, unsigned level, unsigned from)
{
	for (unsigned i = 0; i <= WHEEL_WORDS; i++) {
		unsigned word = (from / 64 + i) % WHEEL_WORDS;
		uint64_t bits = w->used[level][word];

		if (i == 0)
			bits &= ~0ull << (from % 64);
		else if (i == WHEEL_WORDS)
			bits &= ~(~0ull << (from % 64));
		while (bits) {
			unsigned index = word * 64 + (unsigned)__builtin_ctzll(bits);

			if (w->slots[level][index])
				return (int)((index - from) & (WHEEL_SLOTS - 1));
			/* Stopping a timer does not know its slot: the bit is cleared here. */
			w->used[level][word] &= ~(bits & -bits);
			bits &= bits - 1;
		}
	}
	return -1;
}

/* The first time at which a slot wants a look; UINT64_MAX when all are empty. */
static uint64_t wheel_scan(struct io_wheel *w)
{
	uint64_t wake = UINT64_MAX;

	for (unsigned level = 0; level < IO_WHEEL_LEVELS; level++) {
		unsigned shift = level * IO_WHEEL_BITS;
		uint64_t tick = w->now_ms >> shift;
		/* Above level 0 the slot of this tick was emptied when the tick began: it means the next round. */
		unsigned ahead = level ? 1 : 0;
		int distance =
			wheel_distance(w, level, (unsigned)(tick + ahead) & (WHEEL_SLOTS - 1));
		uint64_t look;

		if (distance < 0)
			continue;
		look = (tick + ahead + (unsigned)distance) << shift;
		if (look < wake)
			wake = look;
	}
	return wake;
}

/* Empties a slot: what is due goes to the end of the list `due`, the rest is placed anew. */
static void wheel_empty_slot(struct io_wheel *w, unsigned level, struct io_timer ***due)
{
	unsigned index = (unsigned)(w->now_ms >> (level * IO_WHEEL_BITS)) & (WHEEL_SLOTS - 1);
	struct io_timer *t = w->slots[level][index], *next;

	w->slots[level][index] = NULL;
	w->used[level][index / 64] &= ~(1ull << (index % 64));
	for (; t; t = next) {
		next = t->next;
		if (t->due_ms > w->now_ms) {
			wheel_link(w, t);
			continue;
		}
		t->next = NULL;
		t->at = *due;
		**due = t;
		*due = &t->next;
	}
}

void io_wheel_init(struct io_wheel *w, uint64_t now_ms)
{
	*w = (struct io_wheel){.now_ms = now_ms, .wake_ms = UINT64_MAX};
}

void io_wheel_set(struct io_wheel *w, struct io_timer *t, uint64_t due_ms)
{
	assert(t->fire);
	if (t->at) {
		if (due_ms >= t->due_ms) {
			t->due_ms = due_ms;
			return;
		}
		timer_unlink(t);
	}
	t->due_ms = due_ms;
	wheel_link(w, t);
}

void io_timer_stop(struct io_timer *t)
{
	if (t->at)
		timer_unlink(t);
}

unsigned io_wheel_advance(struct io_wheel *w, uint64_t now_ms)
{
	struct io_timer *due = NULL, **tail = &due, *t;
	unsigned fired = 0;

	assert(now_ms >= w->now_ms);
	while (w->wake_ms <= now_ms) {
		w->now_ms = w->wake_ms;
		for (unsigned level = IO_WHEEL_LEVELS - 1; level > 0; level--) {
			if (!(w->now_ms & ((1ull << (level * IO_WHEEL_BITS)) - 1)))
				wheel_empty_slot(w, level, &tail);
		}
		wheel_empty_slot(w, 0, &tail);
		w->wake_ms = wheel_scan(w);
	}
	w->now_ms = now_ms;
	/* All have left the wheel before the first fires, so what `fire` arms waits for the next call. */
	while ((t = due)) {
		timer_unlink(t);
		if (t->due_ms > now_ms) {
			wheel_link(w, t);
			continue;
		}
		fired++;
		t->fire(t);
	}
	return fired;
}

int64_t io_wheel_next_ms(struct io_wheel *w)
{
	w->wake_ms = wheel_scan(w);
	return w->wake_ms == UINT64_MAX ? -1 : (int64_t)(w->wake_ms - w->now_ms);
}
