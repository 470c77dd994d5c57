// SPDX-License-Identifier: Apache-2.0
#include "server_script.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "http/h1/parse.h"
#include "net/conn.h"
#include "net/pipe.h"
#include "sim_test.h"

/* A period that no buffer's size divides. */
#define PATTERN_PERIOD 251u
#define PATTERN_BYTES (PATTERN_PERIOD * 200)
#define PIECE_MAX 5000
#define THINK_MS 300
#define HEAD_MAX 2048

static uint8_t pattern[PATTERN_BYTES];

struct peer {
	struct scripted *server;
	struct conn *conn; /* NULL after conn_close */
	struct io_timer think;
	struct arena arena;
	/* the request that is being read */
	char head[HEAD_MAX];
	size_t head_len;
	bool in_body;
	struct h1_chunked chunked;
	bool is_chunked;
	uint64_t got, upload, bytes;
	enum script script;
};

static const struct {
	const char *name;
	unsigned status;
	bool body, cut;
} scripts[SCRIPTS] = {
	[SCRIPT_LENGTH] = {"length", 200, true, false},
	[SCRIPT_CHUNKED] = {"chunked", 200, true, false},
	[SCRIPT_CLOSE] = {"close", 200, true, false},
	[SCRIPT_INFORM] = {"inform", 200, true, false},
	[SCRIPT_NOTHING] = {"nothing", 204, false, false},
	[SCRIPT_LAST] = {"last", 404, true, false},
	[SCRIPT_EARLY] = {"early", 413, true, false},
	[SCRIPT_TWICE] = {"twice", 200, true, false},
	[SCRIPT_CUT_HEAD] = {"cut head", 0, false, true},
	[SCRIPT_CUT_LENGTH] = {"cut length", 200, true, true},
	[SCRIPT_CUT_CHUNKED] = {"cut chunked", 200, true, true},
	[SCRIPT_RESET] = {"reset", 200, true, true},
	[SCRIPT_SILENT] = {"silent", 0, false, true},
	[SCRIPT_GARBAGE] = {"garbage", 0, false, true},
};

const char *script_name(enum script script)
{
	return scripts[script].name;
}

bool script_is_cut(enum script script)
{
	return scripts[script].cut;
}

bool script_has_body(enum script script)
{
	return scripts[script].body;
}

unsigned script_status(enum script script)
{
	return scripts[script].status;
}

struct seg script_bytes(uint64_t at, size_t n)
{
	size_t from = at % PATTERN_PERIOD;

	return seg_mem(pattern + from, SL_MIN(n, sizeof(pattern) - from), NULL);
}

void script_check(uint64_t at, struct seg s)
{
	static uint8_t piped[PIPE_BYTES];
	const uint8_t *p = s.u.mem;

	if (s.kind == SEG_PIPE) {
		assert_true(s.len <= sizeof(piped));
		assert_int_equal(read(s.u.pipe->read_fd, piped, s.len), s.len);
		s.u.pipe->held -= (uint32_t)s.len;
		p = piped;
	}
	for (size_t left = s.len; left;) {
		struct seg expected = script_bytes(at, left);

		assert_memory_equal(p, expected.u.mem, expected.len);
		p += expected.len;
		at += expected.len;
		left -= expected.len;
	}
}

/* Answers. */

static void say(struct peer *p, const char *text)
{
	if (p->conn)
		conn_send(p->conn, seg_mem(text, strlen(text), NULL));
}

static void say_body(struct peer *p, uint64_t bytes, bool chunked)
{
	struct sim *w = p->server->world;

	for (uint64_t at = 0; at < bytes;) {
		struct seg s = script_bytes(at, 1 + sim_random(w, SL_MIN(bytes - at, PIECE_MAX)));
		char line[32];

		if (chunked) {
			int n = snprintf(line, sizeof(line), "%zX;e=1\r\n", s.len);
			uint8_t *to = conn_reserve(p->conn, (size_t)n);

			if (!to)
				return;
			memcpy(to, line, (size_t)n);
			conn_commit(p->conn, (size_t)n);
		}
		at += s.len;
		conn_send(p->conn, s);
		if (chunked)
			say(p, "\r\n");
	}
}

static void say_head(struct peer *p, const char *more)
{
	char *text = (char *)conn_reserve(p->conn, 256);

	if (!text)
		return;
	conn_commit(p->conn,
		    (size_t)snprintf(text, 256, "HTTP/1.1 %u x\r\nContent-Length: %llu\r\n%s\r\n",
				     script_status(p->script), (unsigned long long)p->bytes, more));
}

static void hang_up(struct peer *p, int how)
{
	struct conn *conn = p->conn;

	p->conn = NULL;
	io_timer_stop(&p->think);
	conn_close(conn, how);
}

static void peer_answer(struct peer *p)
{
	struct sim *w = p->server->world;

	switch (p->script) {
	case SCRIPT_INFORM:
		say(p, "HTTP/1.1 103 x\r\nLink: y\r\n\r\n");
		/* fall through */
	case SCRIPT_LENGTH:
	case SCRIPT_TWICE:
		for (unsigned i = 0; i < (p->script == SCRIPT_TWICE ? 2 : 1); i++) {
			say_head(p, "");
			say_body(p, p->bytes, false);
		}
		break;
	case SCRIPT_CHUNKED:
	case SCRIPT_CUT_CHUNKED:
		say(p, "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n");
		say_body(p, p->bytes, true);
		if (p->script == SCRIPT_CHUNKED)
			say(p, "0\r\nX: y\r\n\r\n");
		else if (sim_random(w, 2))
			say(p, "0\r\nX: y\r\n");
		break;
	case SCRIPT_CLOSE:
	case SCRIPT_RESET:
		say(p, "HTTP/1.1 200 x\r\n\r\n");
		say_body(p, p->bytes, false);
		break;
	case SCRIPT_NOTHING:
		say(p, "HTTP/1.1 204 x\r\n\r\n");
		break;
	case SCRIPT_LAST:
	case SCRIPT_EARLY:
		say_head(p, "Connection: close\r\n");
		say_body(p, p->bytes, false);
		break;
	case SCRIPT_CUT_HEAD:
		say(p, "HTTP/1.1 200 x\r\nContent-Le");
		break;
	case SCRIPT_CUT_LENGTH:
		say_head(p, "");
		say_body(p, sim_random(w, p->bytes), false);
		break;
	case SCRIPT_GARBAGE:
		say(p, "HTTP/1.1 20O x\r\n\r\n");
		break;
	case SCRIPT_SILENT:
	case SCRIPTS:
		break;
	}
	if (p->script == SCRIPT_RESET)
		hang_up(p, -ECONNRESET);
	else if (scripts[p->script].cut || p->script == SCRIPT_CLOSE || p->script == SCRIPT_LAST ||
		 p->script == SCRIPT_EARLY)
		hang_up(p, CONN_LINGER);
}

/* Requests. */

static void peer_read(struct peer *);

static void peer_answers(struct peer *p)
{
	p->in_body = false;
	p->head_len = 0;
	peer_answer(p);
	if (p->conn)
		peer_read(p);
}

static void peer_thought(struct io_timer *t)
{
	peer_answers(SL_CONTAINER(t, struct peer, think));
}

/* The request is complete. */
static void peer_thinks(struct peer *p)
{
	assert_int_equal(p->got, p->upload);
	io_timer_set(p->server->loop, &p->think, sim_random(p->server->world, THINK_MS));
}

/* "/SCRIPT/BYTES/UPLOADED" */
static void peer_asked(struct peer *p, const struct http_head *head, const struct h1_request *req)
{
	struct str rest = str_skip(head->target, 1), part;
	uint64_t number;

	assert_true(str_next(&rest, '/', &part));
	assert_int_equal(str_to_u64(part, SCRIPTS - 1, &number), 0);
	p->script = (enum script)number;
	assert_true(str_next(&rest, '/', &part));
	assert_int_equal(str_to_u64(part, UINT64_MAX, &p->bytes), 0);
	assert_true(str_next(&rest, '/', &part));
	assert_int_equal(str_to_u64(part, UINT64_MAX, &p->upload), 0);
	p->is_chunked = req->body == H1_BODY_CHUNKED;
	p->chunked = (struct h1_chunked){0};
	p->got = 0;
	p->in_body = p->is_chunked || p->upload;
	assert_true(p->is_chunked || head->content_length == (int64_t)p->upload);
	/* Who is not told waits a while, and then sends. */
	if (req->expect_continue && p->script != SCRIPT_EARLY && sim_random(p->server->world, 2))
		say(p, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* Bytes of the body: those taken. */
static size_t peer_body(struct peer *p, const uint8_t *mem, size_t len)
{
	const uint8_t *data = mem;
	size_t n = len;
	enum h1_chunk r = H1_CHUNK_DATA;

	if (p->is_chunked)
		r = h1_chunked_next(&p->chunked, mem, &len, &data, &n);
	else
		len = n = SL_MIN(len, p->upload - p->got);
	assert_int_not_equal(r, H1_CHUNK_BAD);
	if (r == H1_CHUNK_DATA) {
		script_check(p->got, seg_mem(data, n, NULL));
		p->got += n;
		assert_true(p->got <= p->upload);
	}
	if (r == H1_CHUNK_END || (!p->is_chunked && p->got == p->upload)) {
		p->in_body = false;
		peer_thinks(p);
	}
	return len;
}

/* One more byte of a head. True when it is complete. */
static bool peer_head(struct peer *p, uint8_t byte)
{
	static const struct h1_options options;
	struct h1_parser parser = {0};
	struct http_head head = {0};
	struct h1_request request;
	const char *why = NULL;
	int n;

	assert_true(p->head_len < sizeof(p->head));
	p->head[p->head_len++] = (char)byte;
	if (byte != '\n')
		return false;
	arena_free(&p->arena);
	n = h1_parse_request(&parser, &options, (uint8_t *)p->head, p->head_len, &p->arena, &head,
			     &request, &why);
	if (n < 0)
		fail_msg("a request is refused: %s", why);
	if (n == 0)
		return false;
	peer_asked(p, &head, &request);
	if (!p->in_body && p->script != SCRIPT_EARLY)
		peer_thinks(p);
	return true;
}

/* True to read on. */
static bool peer_takes(struct peer *p, struct seg s)
{
	const uint8_t *mem = s.u.mem;

	while (s.len) {
		/* Nothing comes after a request before it is answered. */
		assert_false(io_timer_armed(&p->think));
		size_t n = 1;
		if (p->in_body)
			n = peer_body(p, mem, s.len);
		else if (peer_head(p, *mem) && p->script == SCRIPT_EARLY)
			return false;
		mem += n;
		s.len -= n;
	}
	return !io_timer_armed(&p->think);
}

static void peer_read(struct peer *p)
{
	struct seg s;

	while (p->conn) {
		switch (source_pull(&p->conn->source, 4096, SEG_MEM, &s)) {
		case PULL_DATA:
			break;
		case PULL_WAIT:
			return;
		case PULL_END:
			hang_up(p, CONN_DONE);
			return;
		case PULL_FAIL:
			hang_up(p, -ECONNRESET);
			return;
		}
		bool on = peer_takes(p, s);
		seg_release(&s);
		if (!on && p->script == SCRIPT_EARLY && !io_timer_armed(&p->think))
			peer_answers(p);
		if (!on)
			return;
	}
}

static void peer_woken(struct source *source, void *consumer)
{
	(void)source;
	peer_read(consumer);
}

static void scripted_over(struct scripted *s)
{
	if (s->stopped && !s->peers)
		sim_stop(s->world);
}

static void peer_closed(void *consumer)
{
	struct peer *p = consumer;
	struct scripted *s = p->server;

	io_timer_stop(&p->think);
	arena_free(&p->arena);
	free(p);
	s->peers--;
	scripted_over(s);
}

static void scripted_accepted(struct net_listener *l, int fd)
{
	struct scripted *s = l->owner;
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->server = s;
	p->conn = conn_plain_new(s->loop, fd);
	assert_non_null(p->conn);
	p->conn->consumer = p->conn->source.consumer = p;
	p->conn->closed = peer_closed;
	p->conn->source.wake = peer_woken;
	p->think.fire = peer_thought;
	arena_init(&p->arena, 0);
	s->peers++;
	peer_read(p);
}

static bool scripted_starved(struct net_listener *l)
{
	(void)l;
	return false;
}

static void scripted_stopped(struct net_listener *l)
{
	struct scripted *s = l->owner;

	s->stopped = true;
	scripted_over(s);
}

static void scripted_stop_run(struct io_loop *loop, struct io_msg *msg)
{
	(void)loop;
	net_listener_stop(&SL_CONTAINER(msg, struct scripted, stop)->listener, scripted_stopped);
}

void scripted_open(struct scripted *s, struct sim *world)
{
	static const struct net_listener_events events = {.accepted = scripted_accepted,
							  .starved = scripted_starved};
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(80)};

	for (unsigned i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i % PATTERN_PERIOD);
	*s = (struct scripted){.world = world, .loop = sim_test_loop(world)};
	s->addr.len = sizeof(addr);
	memcpy(&s->addr.u.storage, &addr, sizeof(addr));
	int fd = sim_listen(world, (struct sockaddr *)&addr, sizeof(addr), 16);
	assert_int_equal(net_listener_start(&s->listener, s->loop, fd, &events, s), 0);
}

void scripted_stop(struct scripted *s)
{
	s->stop.run = scripted_stop_run;
	io_post(s->loop, &s->stop);
}

void scripted_free(struct scripted *s)
{
	io_loop_free(s->loop);
}
