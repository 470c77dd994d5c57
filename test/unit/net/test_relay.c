// SPDX-License-Identifier: Apache-2.0
/* Relays over TCP: what goes in on one side comes out on the other, once, whole, or visibly cut. */
#include "net/relay.h"

#include <dirent.h>
#include <signal.h>

#include "net/pair.h"
#include "net/pipe.h"

#define LARGE_BYTES (12u * 1024 * 1024)

static uint8_t large[LARGE_BYTES];

static struct {
	struct io_loop *loop;
	struct relay relay;
	struct relay_options options;
	int end[2]; /* the test's, by enum relay_side */
	struct pair_in in[2];
	size_t sent[2];
	bool done;
	int why;
	unsigned fds;
} t;

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void on_done(struct relay *r, int why)
{
	assert_ptr_equal(r->owner, &t);
	assert_false(t.done);
	t.done = true;
	t.why = why;
}

static int start(void **state)
{
	memset(&t, 0, sizeof(t));
	t.loop = pair_loop();
	t.fds = open_fds();
	for (unsigned i = 0; i < 2; i++) {
		int fds[2];

		pair_make(fds);
		t.end[i] = fds[0];
		t.relay.conn[i] = conn_plain_new(t.loop, fds[1]);
		assert_non_null(t.relay.conn[i]);
	}
	t.relay.options = &t.options;
	t.relay.done = on_done;
	t.relay.owner = &t;
	return 0;
}

static int stop(void **state)
{
	if (!t.done)
		relay_abort(&t.relay, -ECANCELED);
	PAIR_UNTIL(t.loop, t.done);
	for (unsigned i = 0; i < 2; i++) {
		if (t.end[i] >= 0)
			close(t.end[i]);
		free(t.in[i].text);
	}
	pipe_pool_close();
	/* The pipes of this flow, too, dropped or not. */
	assert_int_equal(open_fds(), t.fds);
	pair_loop_free(t.loop);
	return 0;
}

/* Sends as much of large[0..upto) as the socket takes. */
static bool feed(enum relay_side side, size_t upto)
{
	while (t.sent[side] < upto) {
		ssize_t n = send(t.end[side], large + t.sent[side], upto - t.sent[side],
				 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			break;
		t.sent[side] += (size_t)n;
	}
	return t.sent[side] == upto;
}

static void read_end(enum relay_side side)
{
	pair_read(t.end[side], &t.in[side]);
}

static void check_text(enum relay_side side, const char *text)
{
	PAIR_UNTIL(t.loop, (read_end(side), t.in[side].len >= strlen(text)));
	assert_string_equal(t.in[side].text, text);
}

static void test_both_ways_and_two_ends(void **state)
{
	relay_start(&t.relay);
	pair_say(t.end[0], "question");
	check_text(RELAY_SERVER, "question");
	pair_say(t.end[1], "answer");
	check_text(RELAY_CLIENT, "answer");
	shutdown(t.end[1], SHUT_WR);
	pair_read_to_end(t.loop, t.end[0], &t.in[0]);
	assert_true(t.in[0].ended);
	assert_false(t.done);
	close(t.end[0]);
	t.end[0] = -1;
	pair_read_to_end(t.loop, t.end[1], &t.in[1]);
	assert_true(t.in[1].ended);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, 0);
	assert_int_equal(t.relay.bytes[RELAY_CLIENT], 8);
	assert_int_equal(t.relay.bytes[RELAY_SERVER], 6);
}

static void test_half_close_keeps_the_other_way(void **state)
{
	relay_start(&t.relay);
	pair_say(t.end[0], "all");
	shutdown(t.end[0], SHUT_WR);
	pair_read_to_end(t.loop, t.end[1], &t.in[1]);
	assert_string_equal(t.in[1].text, "all");
	PAIR_UNTIL(t.loop, (read_end(0), feed(RELAY_SERVER, LARGE_BYTES)));
	shutdown(t.end[1], SHUT_WR);
	pair_read_to_end(t.loop, t.end[0], &t.in[0]);
	assert_true(t.in[0].ended);
	assert_int_equal(t.in[0].len, LARGE_BYTES);
	assert_memory_equal(t.in[0].text, large, LARGE_BYTES);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, 0);
	assert_true(t.relay.way[RELAY_SERVER].pump.pipe);
	assert_false(t.relay.way[RELAY_CLIENT].pump.pipe);
}

static void test_large_both_ways_at_once(void **state)
{
	relay_start(&t.relay);
	PAIR_UNTIL(t.loop, ({
			   bool fed = feed(0, LARGE_BYTES) & feed(1, LARGE_BYTES);
			   read_end(0);
			   read_end(1);
			   fed &&t.in[0].len == LARGE_BYTES &&t.in[1].len == LARGE_BYTES;
		   }));
	assert_memory_equal(t.in[0].text, large, LARGE_BYTES);
	assert_memory_equal(t.in[1].text, large, LARGE_BYTES);
	assert_true(t.relay.way[0].pump.pipe && t.relay.way[1].pump.pipe);
}

static void test_never_splices_when_told(void **state)
{
	t.options.never_splice = true;
	relay_start(&t.relay);
	PAIR_UNTIL(t.loop, (feed(0, LARGE_BYTES), read_end(1), t.in[1].len == LARGE_BYTES));
	assert_memory_equal(t.in[1].text, large, LARGE_BYTES);
	assert_false(t.relay.way[0].pump.pipe);
}

/* A transfer, then talk, then a transfer: order and bytes stay. */
static void test_large_and_small_in_turns(void **state)
{
	size_t upto = 0;

	relay_start(&t.relay);
	for (unsigned i = 0; i < 12; i++) {
		upto += i % 3 ? 100 + i : 700000;
		PAIR_UNTIL(t.loop, (feed(0, upto), read_end(1), t.in[1].len == upto));
		pair_turns(t.loop, 2);
	}
	assert_memory_equal(t.in[1].text, large, upto);
	assert_true(t.relay.way[0].pump.pipe);
	assert_int_equal(t.relay.bytes[0], upto);
}

static void test_a_reader_that_stops_stops_the_writer(void **state)
{
	uint64_t before;

	relay_start(&t.relay);
	for (unsigned i = 0; i < 100; i++) {
		feed(0, LARGE_BYTES);
		pair_turns(t.loop, 1);
	}
	before = t.relay.bytes[0];
	assert_true(before < LARGE_BYTES);
	assert_true(t.relay.conn[1]->queued <= CONN_SEND_HIGH + PIPE_BYTES);
	PAIR_UNTIL(t.loop, (feed(0, LARGE_BYTES), read_end(1), t.in[1].len == LARGE_BYTES));
	assert_memory_equal(t.in[1].text, large, LARGE_BYTES);
}

/* Bytes sit in pipes when the connection goes: pipes that hold some are not used again. */
static void test_a_cut_flow_leaves_nothing_for_the_next(void **state)
{
	struct pipe_lease *lease[4];
	char c;

	relay_start(&t.relay);
	for (unsigned i = 0; i < 100; i++) {
		feed(0, LARGE_BYTES);
		pair_turns(t.loop, 1);
	}
	assert_true(t.relay.way[0].pump.pipe);
	relay_abort(&t.relay, -ECANCELED);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, -ECANCELED);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(lease); i++) {
		lease[i] = pipe_lease_take();
		assert_non_null(lease[i]);
		assert_int_equal(read(lease[i]->read_fd, &c, 1), -1);
		assert_int_equal(errno, EAGAIN);
	}
	for (unsigned i = 0; i < SL_ARRAY_SIZE(lease); i++)
		seg_owner_unref(&lease[i]->owner);
	pair_read_to_end(t.loop, t.end[1], &t.in[1]);
	assert_int_equal(t.in[1].error, ECONNRESET);
}

static void check_reset_passes(enum relay_side from)
{
	relay_start(&t.relay);
	pair_say(t.end[from], "word");
	check_text(!from, "word");
	pair_reset(t.end[from]);
	t.end[from] = -1;
	pair_read_to_end(t.loop, t.end[!from], &t.in[!from]);
	assert_int_equal(t.in[!from].error, ECONNRESET);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, -ECONNRESET);
	assert_int_equal(t.relay.failed, from);
}

static void test_a_reset_of_the_client_resets_the_server(void **state)
{
	check_reset_passes(RELAY_CLIENT);
}

static void test_a_reset_of_the_server_resets_the_client(void **state)
{
	check_reset_passes(RELAY_SERVER);
}

/* Its FIN came, and then it went without reading: what was sent to it is lost, and the other side must see it. */
static void test_a_side_that_does_not_read_is_a_failure(void **state)
{
	relay_start(&t.relay);
	shutdown(t.end[0], SHUT_WR);
	pair_read_to_end(t.loop, t.end[1], &t.in[1]);
	close(t.end[0]);
	t.end[0] = -1;
	PAIR_UNTIL(t.loop, (feed(1, LARGE_BYTES), t.done));
	assert_true(t.why < 0);
	assert_int_equal(t.relay.failed, RELAY_CLIENT);
}

static void test_idle_is_cut(void **state)
{
	t.options.idle_timeout_ms = 50;
	relay_start(&t.relay);
	pair_say(t.end[0], "word");
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, -ETIMEDOUT);
	read_end(1);
	assert_int_equal(t.in[1].error, ECONNRESET);
}

static void test_half_open_is_cut_sooner(void **state)
{
	t.options.idle_timeout_ms = 3600 * 1000;
	t.options.half_timeout_ms = 20;
	relay_start(&t.relay);
	shutdown(t.end[0], SHUT_WR);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, -ETIMEDOUT);
}

static void test_lifetime_ends_it(void **state)
{
	size_t upto = 0;

	t.options.idle_timeout_ms = 3600 * 1000;
	t.options.lifetime_max_ms = 50;
	relay_start(&t.relay);
	PAIR_UNTIL(t.loop, (feed(0, SL_MIN(upto += 100, LARGE_BYTES)), read_end(1), t.done));
	assert_int_equal(t.why, -ETIMEDOUT);
}

/* A filter that looks at what passes. */
struct looker {
	struct source source;
	struct source *from;
	size_t seen;
	unsigned closed;
};
static struct looker lookers[2];

static void looker_woken(struct source *from, void *consumer)
{
	source_wake(&((struct looker *)consumer)->source);
}

static enum pull looker_pull(struct source *s, size_t want, unsigned kinds, struct seg *out)
{
	struct looker *l = SL_CONTAINER(s, struct looker, source);
	l->from->wake = looker_woken;
	l->from->consumer = l;
	enum pull r = source_pull(l->from, want, kinds, out);

	if (r == PULL_DATA)
		l->seen += out->len;
	s->error = l->from->error;
	return r;
}

static void looker_close(struct source *s, int why)
{
	SL_CONTAINER(s, struct looker, source)->closed++;
}

static struct source *look(void *owner, enum relay_side from, struct source *source)
{
	static const struct source_ops ops = {.pull = looker_pull, .close = looker_close};

	assert_ptr_equal(owner, &t);
	lookers[from] = (struct looker){.source.ops = &ops, .from = source};
	return &lookers[from].source;
}

static void test_filters_see_every_byte(void **state)
{
	t.options.filter = look;
	relay_start(&t.relay);
	PAIR_UNTIL(t.loop, (feed(0, LARGE_BYTES), read_end(1), t.in[1].len == LARGE_BYTES));
	pair_say(t.end[1], "thanks");
	check_text(RELAY_CLIENT, "thanks");
	shutdown(t.end[0], SHUT_WR);
	shutdown(t.end[1], SHUT_WR);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, 0);
	assert_memory_equal(t.in[1].text, large, LARGE_BYTES);
	assert_int_equal(lookers[0].seen, LARGE_BYTES);
	assert_int_equal(lookers[1].seen, 6);
	assert_int_equal(lookers[0].closed, 1);
	assert_int_equal(lookers[1].closed, 1);
}

static struct source *no_memory(void *owner, enum relay_side from, struct source *source)
{
	return from == RELAY_SERVER ? NULL : source;
}

static void test_no_filter_no_relay(void **state)
{
	t.options.filter = no_memory;
	relay_start(&t.relay);
	PAIR_UNTIL(t.loop, t.done);
	assert_int_equal(t.why, -ENOMEM);
}

static void not_pumped(struct source *source, void *consumer)
{
}

/* A conn gives back what is in a pipe, and then memory is asked for. */
static void test_a_pipe_given_back_is_read(void **state)
{
	struct conn *c = t.relay.conn[0];
	struct seg s;
	size_t got = 0;

	relay_start(&t.relay);
	pump_stop(&t.relay.way[0].pump);
	feed(0, 200000);
	c->source.wake = not_pumped;
	for (enum pull r = PULL_WAIT; r != PULL_DATA || s.kind != SEG_PIPE;) {
		pair_turns(t.loop, 1);
		r = source_pull(&c->source, 1 << 20, SEG_ALL, &s);
		if (r == PULL_DATA && s.kind == SEG_MEM) {
			got += s.len;
			seg_release(&s);
		}
	}
	conn_unpull(c, s);
	PAIR_UNTIL(t.loop, ({
			   while (source_pull(&c->source, 5000, SEG_MEM, &s) == PULL_DATA) {
				   assert_int_equal(s.kind, SEG_MEM);
				   assert_memory_equal(s.u.mem, large + got, s.len);
				   got += s.len;
				   seg_release(&s);
			   }
			   got == 200000;
		   }));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways_and_two_ends),
		TEST(test_half_close_keeps_the_other_way),
		TEST(test_large_both_ways_at_once),
		TEST(test_never_splices_when_told),
		TEST(test_large_and_small_in_turns),
		TEST(test_a_reader_that_stops_stops_the_writer),
		TEST(test_a_cut_flow_leaves_nothing_for_the_next),
		TEST(test_a_reset_of_the_client_resets_the_server),
		TEST(test_a_reset_of_the_server_resets_the_client),
		TEST(test_a_side_that_does_not_read_is_a_failure),
		TEST(test_idle_is_cut),
		TEST(test_half_open_is_cut_sooner),
		TEST(test_lifetime_ends_it),
		TEST(test_filters_see_every_byte),
		TEST(test_no_filter_no_relay),
		TEST(test_a_pipe_given_back_is_read),
	};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (uint8_t)(i * 7 + i / 251 + i / 65521);
	return RUN_OVER_ALL_ENGINES(tests);
}
