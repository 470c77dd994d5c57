// SPDX-License-Identifier: Apache-2.0
#include "origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "http/h1/parse.h"
#include "net/conn.h"
#include "sim_test.h"

#define HEAD_MAX 4096
#define THINK_MS 200
#define PIECE_MAX 4000
/* A slow answer is over after about so many milliseconds. */
#define SLOW_MS 1500
#define LEAVE_MS 40
#define FLAP_MS 2000
#define BACKLOG 16
/* After it, bytes of the pattern come again. */
#define PATTERN_PERIOD (251u * 256)
/* Odd, so that the bodies of 256 numbers differ. */
#define ID_STRIDE 1009u

enum peer_end { END_KEEP, END_CLOSE, END_RESET };

struct peer {
	struct list link;
	struct origin *origin;
	struct conn *conn; /* NULL after conn_close */
	struct io_timer timer, leave;
	struct arena arena;
	/* the request that is being read */
	char head[HEAD_MAX];
	size_t head_len;
	bool in_body, is_chunked, head_only;
	struct h1_chunked chunked;
	uint64_t got, upload, length, cut_at; /* cut_at: of its body; UINT64_MAX: not */
	unsigned id;
	enum origin_form form;
	enum origin_manner now; /* for this request */
	bool asked;             /* it is whole; its answer has not left */
	bool poisoned;
	/* its answer */
	char *out;
	size_t out_len, out_head, sent, stall_at; /* stall_at: SIZE_MAX: nowhere */
	enum peer_end end;
};

static uint8_t pattern[PATTERN_PERIOD + ORIGIN_BODY_MAX];

const char *origin_manner_name(enum origin_manner manner)
{
	static const char *const names[ORIGIN_MANNERS] = {
		"good",      "refuses", "full",   "cuts request", "cuts head",
		"cuts body", "leaves",  "flaps",  "twice",        "garbage",
		"busy",      "early",   "silent", "late",         "stalls",
	};

	return names[manner];
}

const uint8_t *origin_answer(unsigned id)
{
	if (!pattern[1])
		for (unsigned i = 0; i < sizeof(pattern); i++)
			pattern[i] = (uint8_t)(i * 3 + i / 251);
	return pattern + id * ID_STRIDE % PATTERN_PERIOD;
}

const uint8_t *origin_upload(unsigned id)
{
	return origin_answer(id + ORIGIN_ID_MAX + 1);
}

static bool peer_shows(const struct peer *p, enum origin_manner manner)
{
	return p->now == manner;
}

static void hang_up(struct peer *p, int how)
{
	struct conn *conn = p->conn;

	if (!conn)
		return;
	p->conn = NULL;
	io_timer_stop(&p->timer);
	io_timer_stop(&p->leave);
	conn_close(conn, how);
}

/* Answers. */

static void print_chunks(struct peer *p, FILE *f, const uint8_t *body)
{
	for (uint64_t at = 0; at < p->length;) {
		size_t n = 1 + sim_random(p->origin->world, SL_MIN(p->length - at, PIECE_MAX));

		fprintf(f, "%zx;e=1\r\n", n);
		fwrite(body + at, 1, n, f);
		fputs("\r\n", f);
		at += n;
	}
	fputs("0\r\nX-Sum: y\r\n\r\n", f);
}

static void print_answer(struct peer *p, FILE *f, unsigned status)
{
	const uint8_t *body = origin_answer(p->id);
	bool close = p->form == ORIGIN_LAST || p->form == ORIGIN_CLOSE;

	if (p->form == ORIGIN_INFORM)
		fputs("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", f);
	if (p->form == ORIGIN_NOTHING && status == 200)
		status = 204;
	fprintf(f, "HTTP/1.1 %u x\r\nX-Id: %u\r\n%s", status, p->id,
		close ? "Connection: close\r\n" : "");
	if (p->form == ORIGIN_CHUNKED)
		fputs("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n", f);
	else if (p->form != ORIGIN_CLOSE && status != 204)
		fprintf(f, "Content-Length: %llu\r\n", (unsigned long long)p->length);
	fputs("\r\n", f);
	fflush(f);
	p->out_head = p->out_len;
	if (p->head_only || p->form == ORIGIN_NOTHING)
		return;
	if (p->form == ORIGIN_CHUNKED)
		print_chunks(p, f, body);
	else
		fwrite(body, 1, p->length, f);
}

static void print_garbage(struct peer *p, FILE *f)
{
	static const char *const garbage[] = {
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/1.1 20O OK\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: y\r\n\r\n",
		"\r\n\r\n\r\n",
	};

	uint64_t at = sim_random(p->origin->world, SL_ARRAY_SIZE(garbage) + 1);

	if (at < SL_ARRAY_SIZE(garbage))
		fputs(garbage[at], f);
	else
		fprintf(f, "HTTP/1.1 200 x\r\nX-Id: %u\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
			p->id);
}

/* What its manner makes of the whole answer. */
static void spoil_answer(struct peer *p)
{
	struct sim *w = p->origin->world;
	size_t rest = p->out_len - p->out_head;

	if (peer_shows(p, ORIGIN_CUTS_BODY) && rest)
		p->out_len = p->out_head + sim_random(w, rest);
	else if (peer_shows(p, ORIGIN_CUTS_BODY) || peer_shows(p, ORIGIN_CUTS_HEAD))
		p->out_len = 1 + sim_random(w, p->out_head - 1);
	else if (peer_shows(p, ORIGIN_STALLS))
		p->stall_at = sim_random(w, p->out_len);
	else
		return;
	if (!peer_shows(p, ORIGIN_STALLS))
		/* An orderly end would make the body whole that ends with the connection. */
		p->end = p->form == ORIGIN_CLOSE || sim_random(w, 2) ? END_RESET : END_CLOSE;
}

static void make_answer(struct peer *p, unsigned status)
{
	FILE *f = open_memstream(&p->out, &p->out_len);

	assert_non_null(f);
	p->stall_at = SIZE_MAX;
	p->end = p->form == ORIGIN_LAST || p->form == ORIGIN_CLOSE ? END_CLOSE : END_KEEP;
	if (peer_shows(p, ORIGIN_GARBAGE)) {
		print_garbage(p, f);
		p->end = sim_random(p->origin->world, 2) ? END_KEEP : END_CLOSE;
	} else {
		print_answer(p, f, status);
	}
	if (peer_shows(p, ORIGIN_TWICE) && p->end == END_KEEP) {
		fprintf(f,
			"HTTP/1.1 200 x\r\nX-Id: %u\r\nX-Surplus: 1\r\nContent-Length: 4\r\n\r\nmore",
			p->id);
		p->poisoned = true;
	}
	fclose(f);
	spoil_answer(p);
}

static void peer_read(struct peer *);

static void answer_left(struct peer *p)
{
	free(p->out);
	p->out = NULL;
	p->asked = p->in_body = false;
	p->head_len = 0;
	if (p->end != END_KEEP) {
		hang_up(p, p->end == END_RESET ? -ECONNRESET : CONN_LINGER);
		return;
	}
	if (peer_shows(p, ORIGIN_LEAVES))
		io_timer_set(p->origin->loop, &p->leave, sim_random(p->origin->world, LEAVE_MS));
	peer_read(p);
}

static void send_answer(struct peer *p)
{
	struct origin *o = p->origin;

	while (p->sent < p->out_len) {
		size_t left = p->out_len - p->sent, n = SL_MIN(left, PIECE_MAX);
		uint8_t *to;

		n = o->slow ? SL_MIN(left, 1 + p->out_len / SLOW_MS) : 1 + sim_random(o->world, n);
		if (p->sent == p->stall_at) {
			p->stall_at = SIZE_MAX;
			io_timer_set(o->loop, &p->timer, o->patience_ms);
			return;
		}
		if (p->stall_at > p->sent)
			n = SL_MIN(n, p->stall_at - p->sent);
		to = conn_reserve(p->conn, n);
		if (!to) {
			hang_up(p, -ECONNRESET);
			return;
		}
		memcpy(to, p->out + p->sent, n);
		conn_commit(p->conn, n);
		p->sent += n;
		if (o->slow && p->sent < p->out_len) {
			io_timer_set(o->loop, &p->timer, 1);
			return;
		}
	}
	answer_left(p);
}

static void peer_goes_on(struct io_timer *t)
{
	struct peer *p = SL_CONTAINER(t, struct peer, timer);

	if (!p->out) {
		p->sent = 0;
		make_answer(p, peer_shows(p, ORIGIN_BUSY) ? 503 : 200);
	}
	send_answer(p);
}

static void peer_leaves(struct io_timer *t)
{
	struct peer *p = SL_CONTAINER(t, struct peer, leave);

	if (!p->asked && !p->head_len)
		hang_up(p, p->origin->hard ? -ECONNRESET : CONN_LINGER);
}

/* Requests. */

/* Each request that is not safe to repeat is seen whole but once. */
static void note_whole(struct peer *p)
{
	struct origin_note *note = &p->origin->book->notes[p->id];
	unsigned *count = p->origin->mirror ? &note->copies : &note->wholes;

	assert_int_equal(p->got, p->upload);
	if (!p->id)
		return;
	(*count)++;
	if (*count > 1 && note->unsafe)
		fail_msg("request %u, which must not be repeated, came twice", p->id);
	/* And each copy, which nobody waits for, but once. */
	if (*count > 1 && p->origin->mirror)
		fail_msg("request %u was mirrored twice", p->id);
}

static void peer_thinks(struct peer *p)
{
	struct origin *o = p->origin;

	p->in_body = false;
	p->asked = true;
	note_whole(p);
	if (peer_shows(p, ORIGIN_SILENT))
		return;
	io_timer_set(o->loop, &p->timer,
		     peer_shows(p, ORIGIN_LATE) ? o->patience_ms : sim_random(o->world, THINK_MS));
}

static uint64_t target_number(struct str *rest, uint64_t max)
{
	struct str part;
	uint64_t number;

	assert_true(str_next(rest, '/', &part));
	assert_int_equal(str_to_u64(part, max, &number), 0);
	return number;
}

static void choose_manner(struct peer *p)
{
	struct origin *o = p->origin;

	p->now = sim_random(o->world, 1000) < o->permille ? o->manner : ORIGIN_GOOD;
	o->book->shown[p->now]++;
	p->cut_at = UINT64_MAX;
	if (peer_shows(p, ORIGIN_CUTS_REQUEST))
		p->cut_at = sim_random(o->world, p->upload + 1);
}

static void peer_asked(struct peer *p, const struct http_head *head, const struct h1_request *req)
{
	struct str rest = str_skip(head->target, 1);

	p->id = (unsigned)target_number(&rest, ORIGIN_ID_MAX);
	p->form = (enum origin_form)target_number(&rest, ORIGIN_FORMS - 1);
	p->length = target_number(&rest, ORIGIN_BODY_MAX);
	if (p->form == ORIGIN_NOTHING)
		p->length = 0;
	p->upload = target_number(&rest, ORIGIN_BODY_MAX);
	p->head_only = head->method == HTTP_HEAD;
	p->is_chunked = req->body == H1_BODY_CHUNKED;
	p->chunked = (struct h1_chunked){0};
	p->got = 0;
	p->in_body = p->is_chunked || p->upload;
	assert_true(p->is_chunked || head->content_length == (int64_t)p->upload ||
		    (!p->upload && head->content_length <= 0));
	choose_manner(p);
	if (p->poisoned) {
		hang_up(p, -ECONNRESET);
		return;
	}
	if (peer_shows(p, ORIGIN_EARLY) && p->in_body) {
		p->form = ORIGIN_LAST;
		p->sent = 0;
		make_answer(p, 413);
		send_answer(p);
		return;
	}
	/* Who is not told waits a while, and then sends. */
	if (req->expect_continue && sim_random(p->origin->world, 2))
		conn_send(p->conn, seg_mem("HTTP/1.1 100 Continue\r\n\r\n", 25, NULL));
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
		assert_true(p->got + n <= p->upload);
		assert_memory_equal(data, origin_upload(p->id) + p->got, n);
		p->got += n;
	}
	if (p->got >= p->cut_at)
		hang_up(p, sim_random(p->origin->world, 2) ? CONN_LINGER : -ECONNRESET);
	else if (r == H1_CHUNK_END || (!p->is_chunked && p->got == p->upload))
		peer_thinks(p);
	return len;
}

/* One more byte of a head. */
static void peer_head(struct peer *p, uint8_t byte)
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
		return;
	arena_free(&p->arena);
	n = h1_parse_request(&parser, &options, (uint8_t *)p->head, p->head_len, &p->arena, &head,
			     &request, &why);
	if (n < 0)
		fail_msg("a request is refused: %s", why);
	if (n == 0)
		return;
	peer_asked(p, &head, &request);
	if (!p->conn || p->in_body)
		return;
	if (p->cut_at == 0)
		hang_up(p, sim_random(p->origin->world, 2) ? CONN_LINGER : -ECONNRESET);
	else
		peer_thinks(p);
}

static void peer_takes(struct peer *p, struct seg s)
{
	const uint8_t *mem = s.u.mem;

	while (s.len && p->conn) {
		size_t n = 1;

		/* Nothing comes after a request before it is answered. */
		assert_false(p->asked);
		if (p->in_body)
			n = peer_body(p, mem, s.len);
		else
			peer_head(p, *mem);
		mem += n;
		s.len -= n;
	}
}

static void peer_read(struct peer *p)
{
	struct seg s;

	while (p->conn && !p->asked) {
		switch (source_pull(&p->conn->source, 4096, SEG_MEM, &s)) {
		case PULL_DATA:
			peer_takes(p, s);
			seg_release(&s);
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
	}
}

static void peer_woken(struct source *source, void *consumer)
{
	(void)source;
	peer_read(consumer);
}

static void peer_closed(void *consumer)
{
	struct peer *p = consumer;

	list_del(&p->link);
	arena_free(&p->arena);
	free(p->out);
	free(p);
}

/* Listening. */

static void origin_accepted(struct net_listener *l, int fd)
{
	struct origin *o = l->owner;
	struct peer *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->origin = o;
	p->conn = conn_plain_new(o->loop, fd);
	assert_non_null(p->conn);
	p->conn->consumer = p->conn->source.consumer = p;
	p->conn->closed = peer_closed;
	p->conn->source.wake = peer_woken;
	p->timer.fire = peer_goes_on;
	p->leave.fire = peer_leaves;
	arena_init(&p->arena, 0);
	list_init(&p->link);
	list_add(&o->peers, &p->link);
	peer_read(p);
}

static bool origin_starved(struct net_listener *l)
{
	(void)l;
	return false;
}

static void origin_stopped(struct net_listener *l)
{
	struct origin *o = l->owner;

	o->listening = false;
}

static void origin_listen(struct origin *o)
{
	static const struct net_listener_events events = {.accepted = origin_accepted,
							  .starved = origin_starved};
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(o->port)};
	unsigned backlog =
		o->manner == ORIGIN_FULL ? 1 + (unsigned)sim_random(o->world, 2) : BACKLOG;
	int fd = sim_listen(o->world, (struct sockaddr *)&addr, sizeof(addr), backlog);

	assert_true(fd >= 0);
	if (o->manner == ORIGIN_FULL) {
		o->full_fd = fd;
		return;
	}
	assert_int_equal(net_listener_start(&o->listener, o->loop, fd, &events, o), 0);
	o->listening = true;
}

/* Who is in the middle of a request is let go on, if not `hard`. */
static void origin_hang_up(struct origin *o, bool hard)
{
	struct list *next;

	for (struct list *l = o->peers.next; l != &o->peers; l = next) {
		struct peer *p = SL_CONTAINER(l, struct peer, link);

		next = l->next;
		if (hard || (!p->asked && !p->head_len))
			hang_up(p, hard ? -ECONNRESET : CONN_LINGER);
	}
}

static void origin_flaps(struct io_timer *t)
{
	struct origin *o = SL_CONTAINER(t, struct origin, flap);

	if (o->listening && !o->listener.fd.closing) {
		net_listener_stop(&o->listener, origin_stopped);
		origin_hang_up(o, o->hard);
		o->book->shown[ORIGIN_FLAPS]++;
	} else if (!o->listening) {
		origin_listen(o);
	}
	io_timer_set(o->loop, t, 1 + sim_random(o->world, FLAP_MS));
}

void origin_open(struct origin *o)
{
	list_init(&o->peers);
	o->full_fd = -1;
	if (o->manner == ORIGIN_REFUSES)
		return;
	origin_listen(o);
	o->flap.fire = origin_flaps;
	if (o->manner == ORIGIN_FLAPS)
		io_timer_set(o->loop, &o->flap, 1 + sim_random(o->world, FLAP_MS));
}

void origin_stop(struct origin *o)
{
	io_timer_stop(&o->flap);
	if (o->full_fd >= 0)
		sim_close(o->world, o->full_fd);
	if (o->listening && !o->listener.fd.closing)
		net_listener_stop(&o->listener, origin_stopped);
	origin_hang_up(o, true);
}
