// SPDX-License-Identifier: Apache-2.0

/* The HTTP/1 wire between a peer that does as it likes and handlers that take their time. */

#include <stdio.h>

#include "http/h1/conn.h"
#include "http/server.h"
#include "net/pair.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET_10(path) "GET " path " HTTP/1.0\r\n\r\n"

struct place {
	struct io_loop *loop;
	struct http_config *config;
	struct http_worker worker;
	int peer;
	struct pair_in in;
	/* what the handlers saw */
	struct http_stream *later; /* waits for its answer */
	struct conn *upgraded;
	unsigned opened, gone, closed;
	int why; /* of the last on_close */
	bool drained;
};
static struct place place;

static void *attach_config(const void *config, struct http_worker *worker)
{
	(void)worker;
	return (void *)(uintptr_t)config;
}

static void count_close(struct http_stream *s, int why)
{
	(void)s;
	place.closed++;
	place.why = why;
}

#define HANDLER(word, ...)                                               \
	static const struct handler_ops word = {.name = #word,           \
						.attach = attach_config, \
						.open = word##_open,     \
						.on_close = count_close __VA_ARGS__}

/* Answers "hello". */

static int hello_open(void *state, struct http_stream *s)
{
	place.opened++;
	return http_respond_text(s, 200, STR("text/plain"), STR("hello"));
}

HANDLER(hello);

/* Leaves the answer to the test. */

static int later_open(void *state, struct http_stream *s)
{
	place.opened++;
	place.later = s;
	return 0;
}

static void later_gone(struct http_stream *s)
{
	assert_ptr_equal(s, place.later);
	place.gone++;
}

HANDLER(later, , .gone = later_gone);

/* Answers with what the request's body is, while it comes; `gone` is not told, the body is. */

struct echo {
	struct source source;
	struct http_stream *stream;
};

static void echo_woken(struct source *body, void *consumer)
{
	struct echo *echo = consumer;

	(void)body;
	source_wake(&echo->source);
}

static enum pull echo_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct source *body = SL_CONTAINER(source, struct echo, source)->stream->request_body;
	enum pull r = source_pull(body, want, kinds, out);

	source->error = body->error;
	return r;
}

static void echo_end(struct source *source, int why)
{
	source_close(SL_CONTAINER(source, struct echo, source)->stream->request_body, why);
}

static int echo_open(void *state, struct http_stream *s)
{
	static const struct source_ops ops = {.pull = echo_pull, .close = echo_end};
	struct echo *echo = arena_zalloc(s->arena, sizeof(*echo));
	struct http_head head = {.status = 200, .content_length = -1};

	place.opened++;
	echo->source.ops = &ops;
	echo->stream = s;
	s->request_body->wake = echo_woken;
	s->request_body->consumer = echo;
	return http_respond(s, &head, &echo->source);
}

HANDLER(echo);

/* Reads the body, then answers "read"; a body that breaks is a reset. */

static void sink_read(struct http_stream *s)
{
	struct seg seg;

	for (;;) {
		switch (source_pull(s->request_body, SIZE_MAX, SEG_MEM, &seg)) {
		case PULL_DATA:
			seg_release(&seg);
			continue;
		case PULL_WAIT:
			return;
		case PULL_END:
			http_respond_text(s, 200, STR("text/plain"), STR("read"));
			return;
		case PULL_FAIL:
			http_reset(s, HTTP_ERROR_CANCEL);
			return;
		}
	}
}

static void sink_woken(struct source *body, void *consumer)
{
	(void)body;
	sink_read(consumer);
}

static int sink_open(void *state, struct http_stream *s)
{
	place.opened++;
	s->request_body->wake = sink_woken;
	s->request_body->consumer = s;
	sink_read(s);
	return 0;
}

HANDLER(sink);

/* A body that waits for the test after 4 bytes, and then ends as the test says. */

static struct {
	struct source source;
	bool given, goes_on;
	int error;
} slow_body;

static enum pull slow_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	(void)kinds;
	assert_true(want >= 4);
	if (!slow_body.given) {
		slow_body.given = true;
		*out = seg_mem("slow", 4, NULL);
		return PULL_DATA;
	}
	if (!slow_body.goes_on)
		return PULL_WAIT;
	source->error = slow_body.error;
	return slow_body.error ? PULL_FAIL : PULL_END;
}

static void slow_close(struct source *source, int why)
{
	(void)source;
	(void)why;
}

static int slow_open(void *state, struct http_stream *s)
{
	static const struct source_ops ops = {.pull = slow_pull, .close = slow_close};
	struct http_head head = {.status = 200, .content_length = *(const int *)state};

	place.opened++;
	memset(&slow_body, 0, sizeof(slow_body));
	slow_body.source.ops = &ops;
	return http_respond(s, &head, &slow_body.source);
}

HANDLER(slow);

static void slow_end(int error)
{
	slow_body.goes_on = true;
	slow_body.error = error;
	source_wake(&slow_body.source);
}

/* Fails before it answers. */

static int refuse_open(void *state, struct http_stream *s)
{
	(void)s;
	place.opened++;
	return *(const int *)state;
}

HANDLER(refuse);

/* A large body from memory. */

static uint8_t large_bytes[8 * 1024 * 1024];

static int large_open(void *state, struct http_stream *s)
{
	struct source_seg *body = arena_alloc(s->arena, sizeof(*body));
	struct http_head head = {.status = 200, .content_length = sizeof(large_bytes)};

	place.opened++;
	return http_respond(s, &head,
			    source_seg_init(body, seg_mem(large_bytes, sizeof(large_bytes), NULL)));
}

HANDLER(large);

/* Takes the connection over. */

static void upgraded(struct http_stream *s, struct conn *conn)
{
	(void)s;
	place.upgraded = conn;
}

static int upgrade_open(void *state, struct http_stream *s)
{
	struct http_head head = {.status = 101};

	place.opened++;
	assert_int_equal(http_fields_add(&head.fields, s->arena, HTTP_UPGRADE, STR("test")), 0);
	return http_upgrade(s, &head, upgraded);
}

HANDLER(upgrade);

/* The place. */

static void add(struct http_site *site, const char *path, const struct handler_ops *handler,
		const void *config)
{
	struct http_route *made;
	const struct http_route route = {
		.path = str_from(path), .handler = handler, .config = config, .body_max = 1 << 20};

	assert_int_equal(http_router_route(place.config, site, &route, &made), 0);
}

static int connect_peer(void)
{
	int fds[2];

	pair_make(fds);
	struct conn *conn = conn_plain_new(place.loop, fds[1]);
	assert_non_null(conn);
	http_worker_serve(&place.worker, conn, 0);
	return fds[0];
}

static int start(void **state)
{
	static const int known = 100, chunked = -1, no_memory = -ENOMEM, broken = -EINVAL;
	struct http_site *site = NULL;

	memset(&place, 0, sizeof(place));
	memset(large_bytes, 'x', sizeof(large_bytes));
	place.loop = pair_loop();
	place.config = http_config_new(1);
	assert_non_null(place.config);
	place.config->limits = http_limits_default;
	assert_int_equal(http_router_site(place.config, 0, STR("*"), &site), 0);
	add(site, "/hello", &hello, &known);
	add(site, "/later", &later, &known);
	add(site, "/echo", &echo, &known);
	add(site, "/sink", &sink, &known);
	add(site, "/known", &slow, &known);
	add(site, "/chunked", &slow, &chunked);
	add(site, "/no-memory", &refuse, &no_memory);
	add(site, "/broken", &refuse, &broken);
	add(site, "/large", &large, &known);
	add(site, "/upgrade", &upgrade, &known);
	assert_int_equal(http_worker_init(&place.worker, place.loop, place.config), 0);
	place.peer = connect_peer();
	return 0;
}

/* Every stream that was opened was closed, and no connection is left. */
static int stop(void **state)
{
	if (place.peer >= 0)
		close(place.peer);
	PAIR_UNTIL(place.loop, !place.worker.connections);
	assert_int_equal(place.closed, place.opened);
	http_worker_free(&place.worker);
	http_config_unref(place.config);
	free(place.in.text);
	pair_loop_free(place.loop);
	return 0;
}

static void say(const char *text)
{
	pair_say(place.peer, text);
}

static unsigned count(const char *what)
{
	pair_read(place.peer, &place.in);
	return pair_count(&place.in, what);
}

static uint64_t counted(_Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct h1_conn *the_conn(void)
{
	struct list *list =
		list_empty(&place.worker.busy) ? &place.worker.idle : &place.worker.busy;

	return SL_CONTAINER(SL_CONTAINER(list->next, struct http_session, link), struct h1_conn,
			    session);
}

/* Pipelining. */

static void test_many_at_once(void **state)
{
	enum { MANY = 5 * H1_FLUSHING_MAX + 1 };
	char text[MANY * (sizeof(GET("/hello")) - 1) + 1] = "";

	for (unsigned i = 0; i < MANY; i++)
		strcat(text, GET("/hello"));
	say(text);
	PAIR_UNTIL(place.loop, count("\r\n\r\nhello") == MANY);
	assert_int_equal(place.opened, MANY);
	/* The connection is in order and goes on. */
	say(GET("/hello"));
	PAIR_UNTIL(place.loop, count("\r\n\r\nhello") == MANY + 1);
}

static void test_bound_of_pipelining(void **state)
{
	say(GET("/large"));
	for (unsigned i = 0; i < 2 * H1_FLUSHING_MAX; i++)
		say(GET("/hello"));
	pair_turns(place.loop, 20);
	/* Nothing was read by the peer: what waits for it is bounded. */
	assert_true(place.opened <= 1 + H1_FLUSHING_MAX);
	PAIR_UNTIL(place.loop, count("\r\n\r\nhello") == 2 * H1_FLUSHING_MAX);
}

static void test_byte_by_byte(void **state)
{
	static const char text[] = GET("/hello") GET("/hello");

	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		pair_send(place.peer, text + i, 1);
		pair_turns(place.loop, 1);
	}
	PAIR_UNTIL(place.loop, count("\r\n\r\nhello") == 2);
}

static void test_half_closed_peer_is_answered(void **state)
{
	say(GET("/hello") GET("/later"));
	shutdown(place.peer, SHUT_WR);
	PAIR_UNTIL(place.loop, place.later != NULL);
	pair_turns(place.loop, 5);
	assert_int_equal(http_respond_text(place.later, 200, STR("text/plain"), STR("late")), 0);
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_int_equal(count("\r\n\r\nhello"), 1);
	assert_int_equal(count("\r\n\r\nlate"), 1);
	assert_true(place.in.ended);
}

static void test_head_has_a_time_of_its_own(void **state)
{
	say("GET /hello HT");
	PAIR_UNTIL(place.loop, the_conn()->state == H1_HEAD);
	uint64_t due_ms = the_conn()->timer.due_ms, now_ns = io_now_ns(place.loop);

	PAIR_UNTIL(place.loop, io_now_ns(place.loop) > now_ns + 3 * CLOCK_NS_PER_MS);
	/* More of the same head gives no more time. */
	say("TP/1.1\r\n");
	pair_turns(place.loop, 5);
	assert_int_equal(the_conn()->timer.due_ms, due_ms);
	/* The next one has begun when this one ends. */
	say("Host: a\r\n\r\nGET /he");
	PAIR_UNTIL(place.loop, count("hello") == 1);
	assert_int_equal(the_conn()->state, H1_HEAD);
	assert_true(the_conn()->timer.due_ms > due_ms);
}

/* Peers that leave. */

static void test_peer_resets_while_handler_thinks(void **state)
{
	say(GET("/later"));
	PAIR_UNTIL(place.loop, place.later != NULL);
	pair_reset(place.peer);
	place.peer = -1;
	PAIR_UNTIL(place.loop, place.gone == 1);
	assert_int_equal(place.closed, 0);
	assert_int_equal(http_respond_text(place.later, 200, STR("text/plain"), STR("late")),
			 -EPIPE);
	PAIR_UNTIL(place.loop, place.closed == 1);
	assert_true(place.why < 0);
	assert_int_equal(place.gone, 1);
	assert_int_equal(counted(&place.worker.counts.aborted), 1);
}

static void test_peer_resets_inside_its_body(void **state)
{
	static const char *const paths[] = {"/sink", "/echo"};
	char text[100];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(text, sizeof(text),
			 "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
			 paths[i]);
		say(text);
		PAIR_UNTIL(place.loop, place.opened == i + 1);
		pair_turns(place.loop, 3);
		pair_reset(place.peer);
		PAIR_UNTIL(place.loop, place.closed == i + 1);
		assert_true(place.why < 0);
		place.peer = connect_peer();
	}
}

static void test_worker_cuts_who_waits_for_a_body(void **state)
{
	say("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
	PAIR_UNTIL(place.loop, place.opened == 1);
	http_worker_abort(&place.worker);
	/* The handler has no `gone`: the end of its body is all that it is told. */
	PAIR_UNTIL(place.loop, place.closed == 1);
}

static void test_peer_resets_inside_a_large_answer(void **state)
{
	say(GET("/hello") GET("/large") GET("/hello"));
	PAIR_UNTIL(place.loop, place.opened == 2);
	pair_reset(place.peer);
	place.peer = -1;
	PAIR_UNTIL(place.loop, place.closed == 2);
	assert_int_equal(place.why, -ECONNRESET);
}

/* Bodies. */

static void test_echo_of_chunks(void **state)
{
	say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
	PAIR_UNTIL(place.loop, count("3\r\nabc\r\n") == 1);
	say("2\r\nde\r\n0\r\nT: x\r\n\r\n" GET("/hello"));
	PAIR_UNTIL(place.loop, count("\r\n\r\nhello") == 1);
	assert_int_equal(count("2\r\nde\r\n0\r\n"), 1);
}

static void test_no_continue_inside_an_answer(void **state)
{
	say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	PAIR_UNTIL(place.loop, count("HTTP/1.1 200 ") == 1);
	say("abc");
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_int_equal(count("100 Continue"), 0);
	assert_int_equal(count("3\r\nabc\r\n0\r\n\r\n"), 1);
	/* Whether the body would come was not known when the head was written. */
	assert_int_equal(count("Connection: close"), 1);
}

static void test_continue_is_sent_to_who_asks(void **state)
{
	say("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	PAIR_UNTIL(place.loop, count("HTTP/1.1 100 Continue\r\n\r\n") == 1);
	say("abc");
	PAIR_UNTIL(place.loop, count("\r\n\r\nread") == 1);
	assert_int_equal(count("Connection: close"), 0);
}

static void test_too_long_trailers(void **state)
{
	char trailer[H1_TRAILERS_MAX + 100];

	memset(trailer, 'x', sizeof(trailer));
	memcpy(trailer, "T: ", 3);
	say("POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	pair_send(place.peer, trailer, sizeof(trailer));
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_int_equal(place.closed, 1);
	assert_int_equal(count("200"), 0);
}

/* The bytes that came are too few; `end` is how the connection ended. */
static void expect_cut(const char *request, int error, unsigned before)
{
	say(request);
	PAIR_UNTIL(place.loop, place.opened == before + 1);
	slow_end(error);
	pair_read_to_end(place.loop, place.peer, &place.in);
	PAIR_UNTIL(place.loop, place.closed == before + 1);
	assert_int_equal(place.why, error ? error : -ENODATA);
	assert_int_equal(counted(&place.worker.counts.aborted), 1);
}

static void test_broken_body_leaves_earlier_answers_whole(void **state)
{
	expect_cut(GET("/hello") GET("/hello") GET("/chunked") GET("/hello"), -EIO, 2);
	assert_true(place.in.ended);
	assert_int_equal(count("\r\n\r\nhello"), 2);
	assert_int_equal(count("4\r\nslow\r\n"), 1);
	assert_int_equal(count("\r\n0\r\n"), 0);
}

static void test_short_body_is_cut(void **state)
{
	expect_cut(GET("/known"), 0, 0);
	assert_int_equal(count("Content-Length: 100\r\n"), 1);
	assert_int_equal(count("\r\n\r\nslow"), 1);
}

static void test_broken_body_without_framing_is_a_reset(void **state)
{
	expect_cut(GET_10("/chunked"), -EIO, 0);
	assert_int_equal(place.in.error, ECONNRESET);
}

static void test_body_to_the_end_of_the_connection(void **state)
{
	say(GET_10("/chunked"));
	PAIR_UNTIL(place.loop, place.opened == 1);
	slow_end(0);
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_true(place.in.ended);
	assert_int_equal(count("\r\n\r\nslow"), 1);
}

static void test_failing_handlers(void **state)
{
	say(GET("/no-memory") GET("/broken"));
	PAIR_UNTIL(place.loop, count("</html>") == 2);
	assert_int_equal(count("HTTP/1.1 503 "), 1);
	assert_int_equal(count("HTTP/1.1 500 "), 1);
}

/* Upgrade. */

static void upgraded_closed(void *consumer)
{
	*(bool *)consumer = true;
}

static void test_upgrade_hands_over_what_came_early(void **state)
{
	bool closed = false;
	struct seg s;

	say(GET("/hello") "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
			  "Upgrade: test\r\n\r\nearly");
	PAIR_UNTIL(place.loop, place.upgraded != NULL);
	assert_int_equal(place.worker.connections, 0);
	assert_int_equal(source_pull(&place.upgraded->source, 100, SEG_MEM, &s), PULL_DATA);
	assert_int_equal(s.len, 5);
	assert_memory_equal(s.u.mem, "early", 5);
	seg_release(&s);
	assert_int_equal(conn_send(place.upgraded, seg_mem("new words", 9, NULL)), 0);
	PAIR_UNTIL(place.loop, count("new words") == 1);
	assert_int_equal(count("HTTP/1.1 101 "), 1);
	place.upgraded->closed = upgraded_closed;
	place.upgraded->consumer = &closed;
	conn_close(place.upgraded, CONN_DONE);
	PAIR_UNTIL(place.loop, closed);
}

static void test_upgrade_of_a_body_is_refused(void **state)
{
	say("GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: test\r\n"
	    "Content-Length: 5\r\n\r\n12345");
	PAIR_UNTIL(place.loop, count("</html>") == 1);
	assert_int_equal(count("HTTP/1.1 500 "), 1);
	assert_null(place.upgraded);
}

/* Timers. */

static uint64_t timers(void)
{
	struct io_stats stats;

	io_loop_stats(place.loop, &stats);
	return stats.timers;
}

static void test_slow_source_is_not_the_peers_fault(void **state)
{
	place.config->limits.stall_timeout_ms = 1;
	say(GET("/chunked"));
	PAIR_UNTIL(place.loop, place.opened == 1);
	uint64_t fired = timers();
	PAIR_UNTIL(place.loop, timers() >= fired + 5);
	assert_int_equal(counted(&place.worker.counts.timeouts), 0);
	slow_end(0);
	PAIR_UNTIL(place.loop, count("0\r\n\r\n") == 1);
}

static void test_deaf_peer_is_cut(void **state)
{
	place.config->limits.stall_timeout_ms = 5;
	say(GET("/large"));
	PAIR_UNTIL(place.loop, place.closed == 1);
	assert_int_equal(place.why, -ETIMEDOUT);
	assert_int_equal(counted(&place.worker.counts.timeouts), 1);
}

static void test_deaf_peer_that_talks_is_cut(void **state)
{
	static char noise[65536];

	place.config->limits.stall_timeout_ms = 5;
	say("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
	PAIR_UNTIL(place.loop, place.opened == 1);
	/* It may say what it likes, as long as it likes. */
	PAIR_UNTIL(place.loop, (send(place.peer, noise, sizeof(noise), MSG_NOSIGNAL | MSG_DONTWAIT),
				place.closed == 1));
	assert_int_equal(place.why, -ETIMEDOUT);
}

static void test_half_a_head_times_out(void **state)
{
	place.config->limits.head_timeout_ms = 1;
	say("GET /hello HTTP/1.1\r\nHos");
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_int_equal(count("HTTP/1.1 408 "), 1);
	assert_int_equal(count("Connection: close"), 1);
}

/* Limits and the end. */

static void test_full_worker_closes_the_idle_then_refuses(void **state)
{
	struct pair_in in = {0};

	place.worker.connections_max = 1;
	say(GET("/hello"));
	PAIR_UNTIL(place.loop, count("hello") == 1 && !list_empty(&place.worker.idle));
	int busy = connect_peer();
	/* The descriptor of the idle one is free, though its peer has not closed. */
	PAIR_UNTIL(place.loop, place.worker.connections == 1);
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_true(place.in.ended);
	pair_say(busy, GET("/later"));
	PAIR_UNTIL(place.loop, place.later != NULL);
	int refused = connect_peer();
	pair_read_to_end(place.loop, refused, &in);
	assert_int_equal(in.len, 0);
	assert_int_equal(counted(&place.worker.counts.refused), 1);
	assert_int_equal(http_respond_text(place.later, 200, STR("text/plain"), STR("late")), 0);
	pair_turns(place.loop, 3);
	free(in.text);
	close(busy);
	close(refused);
}

static void drained(struct http_worker *w)
{
	(void)w;
	place.drained = true;
}

static void drain(void)
{
	place.worker.drained = drained;
	http_worker_drain(&place.worker);
}

static void test_drain_between_requests(void **state)
{
	say(GET("/hello"));
	PAIR_UNTIL(place.loop, count("hello") == 1);
	drain();
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_true(place.in.ended);
	close(place.peer);
	place.peer = -1;
	PAIR_UNTIL(place.loop, place.drained);
}

static void test_drain_inside_a_head(void **state)
{
	say("GET /hello HTTP/1.1\r\nHo");
	PAIR_UNTIL(place.loop, the_conn()->state == H1_HEAD);
	drain();
	pair_turns(place.loop, 3);
	assert_false(place.drained);
	say("st: a\r\n\r\n");
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_int_equal(count("\r\n\r\nhello"), 1);
	assert_int_equal(count("Connection: close"), 1);
	close(place.peer);
	place.peer = -1;
	PAIR_UNTIL(place.loop, place.drained);
}

static void test_drain_while_a_handler_thinks(void **state)
{
	say(GET("/later") GET("/hello"));
	PAIR_UNTIL(place.loop, place.later != NULL);
	drain();
	pair_turns(place.loop, 3);
	assert_int_equal(http_respond_text(place.later, 200, STR("text/plain"), STR("late")), 0);
	pair_read_to_end(place.loop, place.peer, &place.in);
	/* The one in hand is answered, and says that no other will be. */
	assert_int_equal(count("\r\n\r\nlate"), 1);
	assert_int_equal(count("Connection: close"), 1);
	assert_int_equal(count("hello"), 0);
	close(place.peer);
	place.peer = -1;
	PAIR_UNTIL(place.loop, place.drained);
}

static void test_abort_inside_an_answer(void **state)
{
	say(GET("/chunked"));
	PAIR_UNTIL(place.loop, count("slow") == 1);
	drain();
	assert_false(place.drained);
	http_worker_abort(&place.worker);
	PAIR_UNTIL(place.loop, place.drained);
	pair_read_to_end(place.loop, place.peer, &place.in);
	assert_int_equal(place.in.error, ECONNRESET);
	assert_int_equal(place.why, -ECANCELED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many_at_once),
		TEST(test_bound_of_pipelining),
		TEST(test_byte_by_byte),
		TEST(test_half_closed_peer_is_answered),
		TEST(test_head_has_a_time_of_its_own),
		TEST(test_peer_resets_while_handler_thinks),
		TEST(test_peer_resets_inside_its_body),
		TEST(test_worker_cuts_who_waits_for_a_body),
		TEST(test_peer_resets_inside_a_large_answer),
		TEST(test_echo_of_chunks),
		TEST(test_no_continue_inside_an_answer),
		TEST(test_continue_is_sent_to_who_asks),
		TEST(test_too_long_trailers),
		TEST(test_broken_body_leaves_earlier_answers_whole),
		TEST(test_short_body_is_cut),
		TEST(test_broken_body_without_framing_is_a_reset),
		TEST(test_body_to_the_end_of_the_connection),
		TEST(test_failing_handlers),
		TEST(test_upgrade_hands_over_what_came_early),
		TEST(test_upgrade_of_a_body_is_refused),
		TEST(test_slow_source_is_not_the_peers_fault),
		TEST(test_deaf_peer_is_cut),
		TEST(test_deaf_peer_that_talks_is_cut),
		TEST(test_half_a_head_times_out),
		TEST(test_full_worker_closes_the_idle_then_refuses),
		TEST(test_drain_between_requests),
		TEST(test_drain_inside_a_head),
		TEST(test_drain_while_a_handler_thinks),
		TEST(test_abort_inside_an_answer),
	};

	return RUN_OVER_ENGINES(tests);
}
