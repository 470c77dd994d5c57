// SPDX-License-Identifier: Apache-2.0

/* A relay on bad days: an end is told on one side only when the other side ended, and after every byte of it. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "net/dial.h"
#include "net/pipe.h"
#include "net/relay.h"
#include "sim_test.h"

#define PATTERN_BYTES 700000u
#define PAUSE_MS 300
#define RUN_NS (24 * 3600 * CLOCK_NS_PER_S)

static uint8_t pattern[PATTERN_BYTES];

/* One of the two who talk through the relay. */
struct peer {
	struct day *day;
	struct conn *conn; /* NULL before it is there, and after its end */
	struct peer *other;
	struct io_timer send_pause, read_pause;
	size_t total, sent, received;
	enum pull end;      /* what it found at the end of its input; PULL_WAIT: nothing yet */
	bool shut;          /* everything was sent, and FIN asked for */
	bool aborts;        /* breaks off in the middle */
	bool answers;       /* sends only after the other's end: half-close must be kept */
	bool shut_in_order; /* nothing had failed by then */
};

struct day {
	struct sim *world;
	struct io_loop *proxy, *outside;
	struct peer peer[2]; /* by enum relay_side */
	struct relay relay;
	struct relay_options options;
	struct io_fd listener;
	struct counted accept;
	struct conn *dialled;
	int relay_why;
	unsigned open; /* conns of the peers, the relay, the listener */
	bool at_once;  /* the relay does not wait for the connection */
	bool calm;     /* no faults that break anything */
};

static struct {
	unsigned whole, cut, piped, refused;
} all;

static void day_one_less(struct day *d)
{
	if (--d->open == 0)
		sim_stop(d->world);
}

/* The peers. */

static void peer_closed(void *consumer)
{
	day_one_less(((struct peer *)consumer)->day);
}

static void peer_over(struct peer *p, int why)
{
	struct conn *c = p->conn;

	p->conn = NULL;
	io_timer_stop(&p->send_pause);
	io_timer_stop(&p->read_pause);
	conn_close(c, why);
}

/* Both directions are done. */
static void peer_maybe_over(struct peer *p)
{
	if (p->conn && p->shut && p->end == PULL_END)
		peer_over(p, CONN_DONE);
}

static void peer_send(struct peer *p)
{
	struct sim *w = p->day->world;

	if (!p->conn || p->shut || io_timer_armed(&p->send_pause))
		return;
	if (p->answers && p->end != PULL_END)
		return;
	while (p->sent < p->total && !conn_full(p->conn) && !p->conn->error) {
		size_t left = p->total - p->sent, most = sim_random(w, 4) ? 60000 : 300;
		size_t n = 1 + sim_random(w, SL_MIN(left, most));

		if (conn_send(p->conn, seg_mem(pattern + p->sent, n, NULL)) == 0)
			p->sent += n;
		if (sim_random(w, 20) == 0) {
			io_timer_set(p->day->outside, &p->send_pause, sim_random(w, PAUSE_MS));
			return;
		}
	}
	if (p->aborts && p->sent > p->total / 2) {
		peer_over(p, -ECANCELED);
		return;
	}
	if (p->sent < p->total || p->conn->error)
		return;
	p->shut = p->shut_in_order = true;
	conn_shutdown(p->conn);
	peer_maybe_over(p);
}

static void peer_read(struct peer *p)
{
	struct sim *w = p->day->world;
	struct seg s;

	while (p->conn) {
		enum pull r = source_pull(&p->conn->source, 1 + sim_random(w, 70000), SEG_MEM, &s);

		if (r == PULL_WAIT)
			return;
		if (r != PULL_DATA) {
			p->end = r;
			break;
		}
		assert_true(p->received + s.len <= p->other->total);
		assert_memory_equal(s.u.mem, pattern + p->received, s.len);
		p->received += s.len;
		seg_release(&s);
		if (sim_random(w, 30) == 0) {
			io_timer_set(p->day->outside, &p->read_pause, sim_random(w, PAUSE_MS));
			return;
		}
	}
	if (p->end == PULL_FAIL) {
		peer_over(p, -ECONNRESET);
		return;
	}
	peer_send(p);
	peer_maybe_over(p);
}

static void peer_woken(struct source *source, void *consumer)
{
	peer_read(consumer);
}

static void peer_drained(struct conn *c, void *consumer)
{
	struct peer *p = consumer;

	if (c->error)
		peer_over(p, c->error);
	else
		peer_send(p);
}

static void peer_read_on(struct io_timer *t)
{
	peer_read(SL_CONTAINER(t, struct peer, read_pause));
}

static void peer_send_on(struct io_timer *t)
{
	peer_send(SL_CONTAINER(t, struct peer, send_pause));
}

static void peer_start(struct peer *p, int fd)
{
	p->conn = conn_plain_new(p->day->outside, fd);
	assert_non_null(p->conn);
	p->day->open++;
	p->conn->consumer = p->conn->source.consumer = p;
	p->conn->closed = peer_closed;
	p->conn->drained = peer_drained;
	p->conn->source.wake = peer_woken;
	p->send_pause.fire = peer_send_on;
	p->read_pause.fire = peer_read_on;
	peer_send(p);
	if (p->conn)
		peer_read(p);
}

/* The relay, and the listener behind it. */

static void listener_closed(struct io_fd *fd)
{
	day_one_less(SL_CONTAINER(fd, struct day, listener));
}

static void relay_over(struct relay *r, int why)
{
	struct day *d = r->owner;

	d->relay_why = why;
	if (!d->listener.closing)
		io_close(&d->listener, listener_closed);
	day_one_less(d);
}

static void day_dialled(struct conn *c, void *consumer, int result)
{
	struct day *d = consumer;

	if (result)
		all.refused++;
	relay_start(&d->relay);
	if (result)
		relay_abort(&d->relay, result);
}

static void day_accepted(struct counted *a, int result)
{
	struct day *d = SL_CONTAINER(a, struct day, accept);

	if (result >= 0) {
		peer_start(&d->peer[RELAY_SERVER], result);
		if (!d->listener.closing)
			io_close(&d->listener, listener_closed);
	} else if (result != -ECANCELED) {
		counted_submit(d->outside, a, &d->listener, IO_ACCEPT, 0);
	}
}

static void day_open(struct day *d, const struct sim_options *o)
{
	const struct sockaddr_in a = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(0x0a000001),
				      .sin_port = htons(5432)};
	struct net_addr to = {.len = sizeof(a)};
	int fds[2], fd;

	memcpy(&to.u, &a, sizeof(a));
	d->world = sim_test_world(o);
	d->proxy = sim_test_loop(d->world);
	d->outside = sim_test_loop(d->world);
	fd = sim_listen(d->world, &to.u.sa, to.len, 4);
	assert_int_equal(io_fd_init(d->outside, &d->listener, fd), 0);
	d->accept.done = day_accepted;
	counted_submit(d->outside, &d->accept, &d->listener, IO_ACCEPT, 0);
	assert_int_equal(sim_pair(d->world, fds), 0);
	d->open = 2;
	d->relay.conn[RELAY_CLIENT] = conn_plain_new(d->proxy, fds[1]);
	d->relay.conn[RELAY_SERVER] =
		conn_plain_connect(d->proxy, &to, NULL, d->at_once ? NULL : day_dialled);
	assert_true(d->relay.conn[0] && d->relay.conn[1]);
	d->relay.conn[RELAY_SERVER]->consumer = d;
	d->relay.options = &d->options;
	d->relay.done = relay_over;
	d->relay.owner = d;
	if (d->at_once)
		relay_start(&d->relay);
	peer_start(&d->peer[RELAY_CLIENT], fds[0]);
}

static void day_run(struct day *d)
{
	enum sim_end end = sim_run(d->world, RUN_NS);

	if (end != SIM_STOPPED)
		fail_msg("%s with %u open after %zu of %zu and %zu of %zu bytes", sim_end_text(end),
			 d->open, d->peer[1].received, d->peer[0].total, d->peer[0].received,
			 d->peer[1].total);
	io_loop_free(d->proxy);
	io_loop_free(d->outside);
	sim_test_world_free(d->world);
	pipe_pool_close();
}

/* What one side took for the end of the other's bytes was that. */
static void check_peer(const struct day *d, const struct peer *p)
{
	if (p->end == PULL_END) {
		assert_true(p->other->shut_in_order);
		assert_int_equal(p->received, p->other->total);
		all.whole++;
	} else {
		all.cut++;
	}
	if (d->calm)
		assert_int_equal(p->end, PULL_END);
}

static void run_day(uint64_t seed, bool calm)
{
	struct sim_options o = {.seed = seed};
	struct day *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	sim_faults_pick(seed, &o.faults);
	d->calm = calm;
	if (calm)
		o.faults.reset = o.faults.refuse = o.faults.accept_abort = o.faults.no_bufs = 0;
	o.send_bytes = 256u << (seed % 11);
	o.recv_bytes = 256u << (seed / 11 % 11);
	d->at_once = seed % 3 == 0;
	d->options.never_splice = seed % 5 == 0;
	d->options.idle_timeout_ms = 3600 * 1000;
	for (unsigned i = 0; i < 2; i++) {
		struct peer *p = &d->peer[i];

		p->day = d;
		p->other = &d->peer[!i];
		p->end = PULL_WAIT;
		p->total = 1 + seed * (i + 1) * 7919 % SL_MIN(PATTERN_BYTES, 300 * o.send_bytes);
		p->aborts = !calm && seed % 7 == i;
	}
	d->peer[RELAY_SERVER].answers = seed % 2;
	day_open(d, &o);
	day_run(d);
	check_peer(d, &d->peer[0]);
	check_peer(d, &d->peer[1]);
	if (calm)
		assert_int_equal(d->relay_why, 0);
	all.piped += d->relay.way[0].pump.pipe || d->relay.way[1].pump.pipe;
	free(d);
}

static void bad_day(uint64_t seed)
{
	run_day(seed, false);
}

static void calm_day(uint64_t seed)
{
	run_day(seed, true);
}

static bool chosen(void)
{
	return getenv("SLUICE_SIM_SEED") || getenv("SLUICE_SIM_RUNS");
}

static void test_an_end_comes_after_every_byte(void **state)
{
	memset(&all, 0, sizeof(all));
	sim_each_seed(400, bad_day);
	if (chosen())
		return;
	assert_in_range(all.whole, 50, UINT32_MAX);
	assert_in_range(all.cut, 50, UINT32_MAX);
	assert_in_range(all.piped, 20, UINT32_MAX);
	assert_in_range(all.refused, 5, UINT32_MAX);
}

static void test_nothing_is_lost_when_nothing_breaks(void **state)
{
	memset(&all, 0, sizeof(all));
	sim_each_seed(200, calm_day);
	assert_int_equal(all.cut, 0);
	if (!chosen())
		assert_in_range(all.piped, 20, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sim_test(test_an_end_comes_after_every_byte),
		sim_test(test_nothing_is_lost_when_nothing_breaks),
	};

	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 5 + i / 253);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
