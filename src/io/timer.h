/* internal: the timer wheel; arming, moving and stopping cost O(1) whatever their number. */
#ifndef SLUICE_IO_TIMER_H
#define SLUICE_IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct io_loop;

/*
 * Embedded by its owner; zeroed when idle. Resolution is a millisecond; a timer never fires early. Moving an armed
 * timer to a later time only writes `due_ms`: the wheel looks again when the old time comes.
 */
struct io_timer {
	struct io_timer *next, **at; /* at: NULL when idle */
	uint64_t due_ms;
	void (*fire)(struct io_timer *); /* the timer is idle again: arm it, free it */
};

/* Arms or moves it to `after_ms` from now. `fire` is set by the caller. */
void io_timer_set(struct io_loop *, struct io_timer *, uint64_t after_ms);
/* Harmless when idle. */
void io_timer_stop(struct io_timer *);

static inline bool io_timer_armed(const struct io_timer *t)
{
	return t->at != 0;
}

/* The wheel itself: sans-IO, driven by the loop and by tests. */
#define IO_WHEEL_BITS 8
#define IO_WHEEL_LEVELS 4

struct io_wheel {
	uint64_t now_ms;  /* all that was due by then has fired */
	uint64_t wake_ms; /* no slot needs a look before this */
	struct io_timer *slots[IO_WHEEL_LEVELS][1 << IO_WHEEL_BITS];
	uint64_t used[IO_WHEEL_LEVELS][(1 << IO_WHEEL_BITS) / 64]; /* which slots hold something */
};

void io_wheel_init(struct io_wheel *, uint64_t now_ms);
void io_wheel_set(struct io_wheel *, struct io_timer *, uint64_t due_ms);
/* Fires all that are due at now_ms, in order of their millisecond. Timers armed by `fire` for now wait for the next call. */
unsigned io_wheel_advance(struct io_wheel *, uint64_t now_ms);
/* Milliseconds until the wheel wants to be advanced, never later than the earliest timer; -1 when empty. */
int64_t io_wheel_next_ms(struct io_wheel *);

#endif
