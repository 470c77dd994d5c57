// SPDX-License-Identifier: Apache-2.0
#include "http_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define READ_BYTES 20000
#define SILENCE_MS 150000
#define BYTE_MS 1

uint8_t client_pattern(size_t at)
{
	return (uint8_t)(at * 3 + at / 251);
}

void client_add(struct client *c, const struct ask *ask)
{
	size_t len = ask->text_len ? ask->text_len : strlen(ask->text);

	assert_true(c->ask_count < CLIENT_ASKS_MAX);
	c->out = realloc(c->out, c->out_len + len);
	assert_non_null(c->out);
	memcpy(c->out + c->out_len, ask->text, len);
	c->out_len += len;
	c->asks[c->ask_count++] = *ask;
}

void client_free(struct client *c)
{
	free(c->in);
	free(c->out);
	free(c);
}

static void client_closed(struct io_fd *fd)
{
	struct client *c = SL_CONTAINER(fd, struct client, fd);

	c->over(c);
}

static void client_close(struct client *c, bool reset)
{
	if (c->closing)
		return;
	c->closing = true;
	io_timer_stop(&c->send_pause);
	io_timer_stop(&c->read_pause);
	if (reset)
		io_set_reset(&c->fd);
	io_close(&c->fd, client_closed);
}

/* Responses, read from all that came so far. */

struct response {
	unsigned status;
	size_t head_len, length; /* length: SIZE_MAX: none was given */
	bool chunked, close;
	bool mine; /* its body is the one that was asked for */
};

static const char *find(const char *in, size_t len, const char *what)
{
	return memmem(in, len, what, strlen(what));
}

/* The value of a field in a head that ends in an empty line, or NULL. Field names as the server prints them. */
static const char *field(const char *head, size_t len, const char *name)
{
	const char *at = find(head, len, name);

	return at ? at + strlen(name) : NULL;
}

/* Whose answer it is. */
static void response_owner(const struct ask *ask, const char *head, struct response *r)
{
	const char *id = field(head, r->head_len, "\r\nX-Id: ");

	r->mine = r->status == 200;
	if (!ask->id || r->status < 200)
		return;
	if (field(head, r->head_len, "\r\nX-Surplus: ")) {
		if (!ask->surplus)
			fail_msg("request %u got what nobody asked for", ask->id);
		r->mine = false;
		return;
	}
	if (r->mine && !id)
		fail_msg("request %u got an answer of nobody", ask->id);
	r->mine = id;
	if (id && strtoul(id, NULL, 10) != ask->id)
		fail_msg("request %u got the answer of %lu", ask->id, strtoul(id, NULL, 10));
}

static bool response_head(const struct client *c, const struct ask *ask, struct response *r)
{
	const char *head = (const char *)c->in + c->parsed;
	const char *end = find(head, c->in_len - c->parsed, "\r\n\r\n");
	const char *length;

	if (!end)
		return false;
	*r = (struct response){.head_len = (size_t)(end + 4 - head), .length = SIZE_MAX};
	assert_true(r->head_len > 17);
	assert_memory_equal(head, "HTTP/1.1 ", 9);
	r->status = (unsigned)strtoul(head + 9, NULL, 10);
	length = field(head, r->head_len, "\r\nContent-Length: ");
	if (length)
		r->length = strtoul(length, NULL, 10);
	r->chunked = field(head, r->head_len, "\r\nTransfer-Encoding: chunked\r\n");
	r->close = field(head, r->head_len, "\r\nConnection: close\r\n");
	response_owner(ask, head, r);
	return true;
}

static void body_check(const struct ask *ask, size_t at, const uint8_t *got, size_t len)
{
	assert_true(at + len <= ask->body_len);
	for (size_t i = 0; i < len; i++) {
		uint8_t want = ask->body ? ask->body[at + i] : client_pattern(at + i);

		if (got[i] != want)
			fail_msg("byte %zu of the body is wrong", at + i);
	}
}

/* The bytes that the chunked body at `p` takes, or 0 when it is not all there. What is there is checked. */
static size_t chunks_check(const struct ask *ask, bool mine, const uint8_t *p, size_t len)
{
	size_t at = 0, body = 0;
	const char *end;

	for (;;) {
		const char *line = (const char *)p + at;
		const char *eol = find(line, len - at, "\r\n");
		size_t chunk, data;

		if (!eol)
			return 0;
		chunk = strtoul(line, NULL, 16);
		data = at + (size_t)(eol + 2 - line);
		if (!chunk)
			break;
		if (mine)
			body_check(ask, body, p + data, SL_MIN(chunk, len - data));
		body += chunk;
		at = data + chunk + 2;
		if (at > len)
			return 0;
		assert_memory_equal(p + at - 2, "\r\n", 2);
	}
	/* The last one, perhaps with trailers. */
	end = find((const char *)p + at, len - at, "\r\n\r\n");
	if (end && mine)
		assert_int_equal(body, ask->body_len);
	return end ? (size_t)(end + 4 - (const char *)p) : 0;
}

/* The bytes that the body takes, or SIZE_MAX when it is not all there. */
static size_t response_body(struct client *c, const struct response *r, const struct ask *ask)
{
	const uint8_t *p = c->in + c->parsed + r->head_len;
	size_t have = c->in_len - c->parsed - r->head_len, n;
	bool mine = r->mine;

	if (r->status == 304 || r->status == 204 || (ask->head && r->status != 408))
		return 0;
	/* 408: the server may have known that the request was a HEAD, or not. */
	if (ask->head)
		return c->ended ? SL_MIN(have, r->length) : SIZE_MAX;
	if (r->chunked) {
		n = chunks_check(ask, mine, p, have);
		return n ? n : SIZE_MAX;
	}
	if (mine && r->length != SIZE_MAX)
		assert_int_equal(r->length, ask->body_len);
	if (mine)
		body_check(ask, c->checked, p + c->checked, SL_MIN(have, r->length) - c->checked);
	c->checked = SL_MIN(have, r->length);
	if (r->length == SIZE_MAX)
		/* Until the end, which only a clean end of the stream can be. */
		return c->ended && !c->failed ? have : SIZE_MAX;
	return have < r->length ? SIZE_MAX : r->length;
}

/* Takes the whole responses that came. */
static void client_parse(struct client *c)
{
	struct response r;

	while (c->parsed < c->in_len) {
		const struct ask *ask = &c->asks[SL_MIN(c->answered, c->ask_count - 1)];
		size_t body;

		if (!response_head(c, ask, &r))
			return;
		assert_true(c->answered < c->ask_count);
		if (r.status < 200) {
			c->informed++;
			c->parsed += r.head_len;
			continue;
		}
		body = response_body(c, &r, ask);
		if (body == SIZE_MAX)
			return;
		if (ask->broken && r.status == 200)
			fail_msg("a body that failed looks whole: %s", ask->text);
		if (r.mine && !ask->head && r.status != 204)
			assert_int_equal(r.chunked || r.length != SIZE_MAX ? ask->body_len : body,
					 ask->body_len);
		c->status[c->answered++] = r.status;
		c->parsed += r.head_len + body;
		c->checked = 0;
		if (r.close)
			assert_int_equal(c->parsed, c->in_len);
	}
}

/* Reading. */

static void client_read(struct client *c)
{
	if (c->closing || c->deaf || c->rd.op.state != IO_IDLE)
		return;
	if (c->in_cap - c->in_len < READ_BYTES) {
		c->in_cap = 2 * c->in_cap + READ_BYTES;
		c->in = realloc(c->in, c->in_cap);
		assert_non_null(c->in);
	}
	c->rd.op.u.recv.mem = c->in + c->in_len;
	c->rd.op.u.recv.cap = READ_BYTES;
	counted_submit(c->loop, &c->rd, &c->fd, IO_RECV, 0);
}

static void client_hears_again(struct io_timer *t)
{
	struct client *c = SL_CONTAINER(t, struct client, read_pause);

	c->deaf = false;
	client_read(c);
}

static void client_received(struct counted *op, int result)
{
	struct client *c = SL_CONTAINER(op, struct client, rd);

	if (c->closing)
		return;
	if (result < 0) {
		c->failed = true;
		client_close(c, true);
		return;
	}
	c->in_len += (size_t)result;
	c->ended = result == 0;
	client_parse(c);
	if (c->ended) {
		/*
		 * After a failed send the end proves nothing: the error was told there. A body that failed may end short of
		 * what its framing says.
		 */
		const struct ask *ask = &c->asks[SL_MIN(c->answered, c->ask_count - 1)];
		c->cut = c->parsed != c->in_len;
		if (!c->failed && !ask->broken && !ask->id)
			assert_false(c->cut);
		client_close(c, false);
	} else if (c->answered == c->ask_count && !c->asks[c->answered - 1].last) {
		client_close(c, sim_random(c->world, 2));
	} else {
		client_read(c);
	}
}

/* Writing. */

static void client_write(struct client *c);

static void client_sends_again(struct io_timer *t)
{
	client_write(SL_CONTAINER(t, struct client, send_pause));
}

static void client_pause(struct client *c, uint64_t ms)
{
	c->send_pause.fire = client_sends_again;
	io_timer_set(c->loop, &c->send_pause, ms);
}

/* True when its manner shows now, and it does not go on. */
static bool client_turns(struct client *c)
{
	if (c->turned || c->sent < c->turn_at)
		return false;
	c->turned = true;
	if (c->manner == CLIENT_SILENT)
		client_pause(c, SILENCE_MS);
	else if (c->manner == CLIENT_LEAVES)
		client_close(c, sim_random(c->world, 2));
	return c->manner == CLIENT_SILENT || c->manner == CLIENT_LEAVES;
}

static void client_write(struct client *c)
{
	while (!c->closing && c->sent < c->out_len && c->wr.op.state == IO_IDLE) {
		size_t left = c->out_len - c->sent;
		ssize_t n;

		if (client_turns(c))
			return;
		c->iov.iov_base = c->out + c->sent;
		c->iov.iov_len = c->manner == CLIENT_BYTES ? 1 : 1 + sim_random(c->world, left);
		n = io_try_send(&c->fd, &c->iov, 1, IO_SEND_NOW);
		if (n == -EAGAIN) {
			counted_submit(c->loop, &c->wr, &c->fd, IO_WAIT_OUT, 0);
			return;
		}
		/* The server may have answered and closed before it had read all. Its answer may be there. */
		if (n < 0) {
			c->failed = true;
			return;
		}
		c->sent += (size_t)n;
		if (c->manner == CLIENT_BYTES && c->sent < c->out_len) {
			client_pause(c, BYTE_MS);
			return;
		}
	}
	if (c->manner == CLIENT_HALF && !c->closing && c->sent == c->out_len && !c->turned) {
		c->turned = true;
		if (io_shutdown(&c->fd) < 0)
			c->failed = true;
	}
}

static void client_written(struct counted *op, int result)
{
	struct client *c = SL_CONTAINER(op, struct client, wr);

	if (c->closing)
		return;
	if (result < 0) {
		c->failed = true;
		client_close(c, true);
		return;
	}
	if (op->op.code == IO_CONNECT) {
		if (c->manner == CLIENT_DEAF) {
			c->deaf = true;
			c->read_pause.fire = client_hears_again;
			io_timer_set(c->loop, &c->read_pause, SILENCE_MS);
		}
		client_read(c);
	}
	client_write(c);
}

void client_start(struct client *c, const struct sockaddr *addr, socklen_t len)
{
	c->turn_at = sim_random(c->world, c->out_len);
	c->rd.done = client_received;
	c->wr.done = client_written;
	assert_int_equal(
		io_fd_init(c->loop, &c->fd, io_socket(c->loop, addr->sa_family, SOCK_STREAM)), 0);
	c->wr.op.u.connect.addr = addr;
	c->wr.op.u.connect.len = len;
	counted_submit(c->loop, &c->wr, &c->fd, IO_CONNECT, 0);
}
