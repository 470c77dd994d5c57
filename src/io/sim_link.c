// SPDX-License-Identifier: Apache-2.0

/* Connections of the simulated world: what travels on them, how it is read and written, and how they break. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "io/sim_net.h"

/* The pieces in which `split` lets bytes arrive that were sent at once. */
#define SIM_PIECES_MAX 4
#define LINK_EVENTS 4

static void arrive_fire(struct sim *w, struct sim_event *e);
static void cut_fire(struct sim *w, struct sim_event *e);

static struct sim_dir *dir_out(const struct sim_socket *s)
{
	return &s->link->dir[s->index];
}

static struct sim_dir *dir_in(const struct sim_socket *s)
{
	return &s->link->dir[!s->index];
}

size_t sim_unread(const struct sim_socket *s)
{
	return s->link ? dir_in(s)->delivered - dir_in(s)->read : 0;
}

static int trace_name(const struct sim_socket *s)
{
	return s ? s->fd : -1;
}

static void link_free(struct sim *w, struct sim_link *link)
{
	for (unsigned i = 0; i < 2; i++) {
		sim_event_stop(w, &link->dir[i].arrive);
		sim_event_stop(w, &link->dir[i].cut);
		free(link->dir[i].ring);
	}
	list_del(&link->in_world);
	w->link_count--;
	sim_events_reserve(w, -LINK_EVENTS);
	free(link);
}

struct sim_link *sim_link_new(struct sim *w, struct sim_socket *a, struct sim_socket *b)
{
	struct sim_link *link = calloc(1, sizeof(*link));

	if (!link || sim_events_reserve(w, LINK_EVENTS) < 0) {
		free(link);
		return NULL;
	}
	list_init(&link->in_world);
	list_add(&w->links, &link->in_world);
	w->link_count++;
	for (uint8_t i = 0; i < 2; i++) {
		struct sim_dir *d = &link->dir[i];

		d->link = link;
		d->from = i;
		d->cut_at = UINT64_MAX;
		d->arrive.fire = arrive_fire;
		d->cut.fire = cut_fire;
		d->ring = malloc(w->o.send_bytes + w->o.recv_bytes);
		if (!d->ring) {
			link_free(w, link);
			return NULL;
		}
	}
	link->end[0] = a;
	link->end[1] = b;
	a->link = b->link = link;
	b->index = 1;
	return link;
}

/* This end learns of a reset. What had arrived may still be read; what was on its way is lost. */
static void end_break(struct sim_socket *s)
{
	struct sim_dir *in = dir_in(s);

	if (s->state == SIM_BROKEN)
		return;
	sim_trace(s->world, "broken", trace_name(s), (int64_t)in->delivered);
	s->state = SIM_BROKEN;
	s->error = in->fin_arrived ? EPIPE : ECONNRESET;
	in->count = 0;
	sim_event_stop(s->world, &in->arrive);
	sim_wake(s, SIM_RD);
	sim_wake(s, SIM_WR);
}

static void link_break(struct sim_link *link)
{
	for (unsigned i = 0; i < 2; i++)
		if (link->end[i])
			end_break(link->end[i]);
}

/* A reset travels in this direction; it may overtake bytes, which are then lost. */
static void dir_cut(struct sim *w, struct sim_dir *d)
{
	uint64_t due_ns = w->now_ns + sim_latency(w);

	if (d->cut.at)
		return;
	if (sim_random(w, 2))
		due_ns = SL_MAX(due_ns, d->last_due_ns);
	sim_event_at(w, &d->cut, due_ns);
}

static void cut_fire(struct sim *w, struct sim_event *e)
{
	struct sim_dir *d = SL_CONTAINER(e, struct sim_dir, cut);
	struct sim_socket *to = d->link->end[!d->from];

	(void)w;
	if (to)
		end_break(to);
}

static void dir_schedule(struct sim *w, struct sim_dir *d)
{
	if (d->arrive.at || d->blocked)
		return;
	if (d->count)
		sim_event_at(w, &d->arrive, d->segments[d->first].due_ns);
	else if (d->fin && !d->fin_arrived)
		sim_event_at(w, &d->arrive, d->last_due_ns);
}

static void dir_unblock(struct sim *w, struct sim_dir *d)
{
	if (!d->blocked)
		return;
	d->blocked = false;
	sim_event_at(w, &d->arrive, w->now_ns + sim_latency(w));
}

static void dir_push(struct sim *w, struct sim_dir *d, uint64_t upto)
{
	unsigned at = (d->first + d->count) % SIM_SEGMENTS_MAX;

	d->last_due_ns = SL_MAX(d->last_due_ns, w->now_ns + sim_latency(w));
	if (d->count < SIM_SEGMENTS_MAX)
		d->count++;
	else
		at = (at + SIM_SEGMENTS_MAX - 1) % SIM_SEGMENTS_MAX;
	d->segments[at].upto = upto;
	d->segments[at].due_ns = d->last_due_ns;
}

/* Bytes for an end that is closed: it answers with a reset. */
static void arrive_at_nobody(struct sim *w, struct sim_dir *d)
{
	if (d->count)
		dir_cut(w, &d->link->dir[!d->from]);
	d->count = 0;
}

/* Moves what is due into the receiver's buffer, as far as it has room. False when the connection broke. */
static bool arrive_bytes(struct sim *w, struct sim_dir *d)
{
	uint64_t room_end = d->read + w->o.recv_bytes;

	while (d->count && !d->blocked && d->segments[d->first].due_ns <= w->now_ns) {
		uint64_t upto = d->segments[d->first].upto;

		d->delivered = SL_MIN(upto, room_end);
		if (d->delivered >= d->cut_at) {
			d->delivered = d->cut_at;
			link_break(d->link);
			return false;
		}
		if (d->delivered < upto) {
			d->blocked = true;
			break;
		}
		d->first = (d->first + 1) % SIM_SEGMENTS_MAX;
		d->count--;
	}
	return true;
}

static void arrive_fire(struct sim *w, struct sim_event *e)
{
	struct sim_dir *d = SL_CONTAINER(e, struct sim_dir, arrive);
	struct sim_socket *from = d->link->end[d->from], *to = d->link->end[!d->from];
	uint64_t before = d->delivered;

	if (w->now_ns >= d->link->stall_from_ns && w->now_ns < d->link->stall_to_ns) {
		sim_event_at(w, e, d->link->stall_to_ns);
		return;
	}
	if (!to) {
		arrive_at_nobody(w, d);
		return;
	}
	if (to->state == SIM_BROKEN)
		return;
	if (!arrive_bytes(w, d))
		return;
	if (!d->count && d->fin && !d->fin_arrived && w->now_ns >= d->last_due_ns) {
		d->fin_arrived = true;
		sim_trace(w, "end", trace_name(to), (int64_t)d->delivered);
		sim_wake(to, SIM_RD);
	}
	if (d->delivered > before) {
		sim_trace(w, "bytes", trace_name(to), (int64_t)(d->delivered - before));
		sim_wake(to, SIM_RD);
		if (from)
			sim_wake(from, SIM_WR);
	}
	dir_schedule(w, d);
}

/* The end is gone for its link, with a reset or in order. */
/* Moving bytes. */

static int tell_error(struct sim_socket *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

bool sim_can_take(const struct sim_socket *s)
{
	switch ((enum sim_socket_state)s->state) {
	case SIM_CONNECTING:
		return false;
	case SIM_LISTENING:
		return s->queued > 0;
	case SIM_OPENED:
		return sim_unread(s) || dir_in(s)->fin_arrived;
	default:
		return true;
	}
}

static int take_check(struct sim_socket *s)
{
	int error;

	if (s->state == SIM_CONNECTING)
		return -EAGAIN;
	if (s->state == SIM_FRESH || s->state == SIM_LISTENING)
		return -ENOTCONN;
	if (sim_unread(s))
		return sim_rule_hits(s->world, SIM_RECV, &error) ? -error : 1;
	if (dir_in(s)->fin_arrived)
		return 0;
	if (s->error)
		return tell_error(s);
	return s->state == SIM_BROKEN ? 0 : -EAGAIN;
}

ssize_t sim_take(struct sim_socket *s, void *to, size_t cap)
{
	struct sim *w = s->world;
	int rc = take_check(s);
	struct sim_dir *d;
	size_t size = w->o.send_bytes + w->o.recv_bytes, n, at, first;

	if (rc <= 0)
		return rc;
	d = dir_in(s);
	n = SL_MIN(cap, sim_unread(s));
	if (sim_chance(w, w->o.faults.short_read))
		n = 1 + sim_random(w, n);
	at = d->read % size;
	first = SL_MIN(n, size - at);
	memcpy(to, d->ring + at, first);
	memcpy((uint8_t *)to + first, d->ring, n - first);
	d->read += n;
	if (s->state == SIM_OPENED)
		dir_unblock(w, d);
	return (ssize_t)n;
}

static size_t put_space(const struct sim_socket *s)
{
	const struct sim_dir *d = dir_out(s);

	return s->world->o.send_bytes - (d->written - d->delivered);
}

bool sim_can_put(const struct sim_socket *s)
{
	switch ((enum sim_socket_state)s->state) {
	case SIM_CONNECTING:
		return false;
	case SIM_OPENED:
		return dir_out(s)->fin || put_space(s) > 0;
	default:
		return true;
	}
}

ssize_t sim_put_room(struct sim_socket *s, size_t max, struct iovec room[2])
{
	struct sim *w = s->world;
	struct sim_dir *d;
	size_t size = w->o.send_bytes + w->o.recv_bytes, n, at, first;
	int error;

	if (s->error)
		return tell_error(s);
	if (s->state == SIM_CONNECTING)
		return -EAGAIN;
	if (s->state != SIM_OPENED || dir_out(s)->fin)
		return -EPIPE;
	d = dir_out(s);
	n = SL_MIN(max, put_space(s));
	if (!n)
		return max ? -EAGAIN : 0;
	if (sim_rule_hits(w, SIM_SEND, &error))
		return -error;
	if (sim_chance(w, w->o.faults.short_write))
		n = 1 + sim_random(w, n);
	at = d->written % size;
	first = SL_MIN(n, size - at);
	room[0] = (struct iovec){d->ring + at, first};
	room[1] = (struct iovec){d->ring, n - first};
	return (ssize_t)n;
}

void sim_put_commit(struct sim_socket *s, size_t n)
{
	struct sim *w = s->world;
	struct sim_dir *d = dir_out(s);
	unsigned pieces = sim_chance(w, w->o.faults.split) ? SIM_PIECES_MAX : 1;

	sim_trace(w, "put", s->fd, (int64_t)n);
	for (; n > 0; pieces--) {
		size_t piece = pieces > 1 ? 1 + sim_random(w, n) : n;

		d->written += piece;
		n -= piece;
		dir_push(w, d, d->written);
	}
	dir_schedule(w, d);
	if (sim_chance(w, w->o.faults.reset)) {
		dir_cut(w, &s->link->dir[0]);
		dir_cut(w, &s->link->dir[1]);
	}
}

static void send_fin(struct sim *w, struct sim_dir *d)
{
	d->fin = true;
	d->last_due_ns = SL_MAX(d->last_due_ns, w->now_ns + sim_latency(w));
	dir_schedule(w, d);
}

int sim_send_end(struct sim_socket *s)
{
	if (s->state != SIM_OPENED)
		return -ENOTCONN;
	sim_trace(s->world, "shutdown", s->fd, 0);
	if (!dir_out(s)->fin)
		send_fin(s->world, dir_out(s));
	return 0;
}

/* The end. */

void sim_link_leave(struct sim_socket *s, bool reset)
{
	struct sim_link *link = s->link;
	struct sim_dir *out = dir_out(s), *in = dir_in(s);

	link->end[s->index] = NULL;
	s->link = NULL;
	if (!link->end[0] && !link->end[1]) {
		link_free(s->world, link);
		return;
	}
	if (s->state == SIM_BROKEN)
		return;
	if (reset)
		dir_cut(s->world, out);
	else if (!out->fin)
		send_fin(s->world, out);
	/* What waits for room finds nobody. */
	dir_unblock(s->world, in);
}

/* Scripts. */

int sim_reset_after(struct sim *w, int fd, uint64_t bytes)
{
	struct sim_socket *s = sim_socket_of(w, fd);

	if (!s || !s->link)
		return s ? -ENOTCONN : -EBADF;
	if (dir_out(s)->delivered >= bytes)
		link_break(s->link);
	else
		dir_out(s)->cut_at = bytes;
	return 0;
}

int sim_stall(struct sim *w, int fd, uint64_t after_ns, uint64_t for_ns)
{
	struct sim_socket *s = sim_socket_of(w, fd);

	if (!s || !s->link)
		return s ? -ENOTCONN : -EBADF;
	s->link->stall_from_ns = w->now_ns + after_ns;
	s->link->stall_to_ns = s->link->stall_from_ns + for_ns;
	return 0;
}
