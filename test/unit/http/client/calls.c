// SPDX-License-Identifier: Apache-2.0
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/compiler.h"

/* Turns without an event, in a row, that mean that nothing will come. */
#define QUIET_TURNS 3
#define TURNS_MAX 20000
#define HEARD_MAX (1u << 20)

static enum io_engine rig_engine;

static struct rig *rig_of(struct http_call *call)
{
	return call->owner;
}

static void rig_inform(struct http_call *call, const struct http_head *head)
{
	struct rig *r = rig_of(call);
	struct str value = http_fields_get(&head->fields, HTTP_LINK);

	assert_int_equal(r->responds + r->dones, 0);
	r->informs++;
	r->inform_status = head->status;
	snprintf(r->link_value, sizeof(r->link_value), "%.*s", STR_ARG(value));
	if (r->on_respond == RIG_CANCEL)
		http_call_cancel(call);
}

static void rig_body_woken(struct source *source, void *consumer)
{
	(void)source;
	struct rig *r = consumer;

	r->wakes++;
	if (r->on_respond == RIG_PULL)
		rig_pull(r);
}

void rig_pull(struct rig *r)
{
	struct source *body = r->call.body;
	struct seg s;

	body->wake = rig_body_woken;
	body->consumer = r;
	for (;;) {
		r->end = source_pull(body, 64 * 1024, r->kinds, &s);
		if (r->end != PULL_DATA)
			return;
		if (s.kind == SEG_MEM && r->body_len + s.len <= RIG_BODY_MAX)
			memcpy(r->body + r->body_len, s.u.mem, s.len);
		r->body_len += s.len;
		seg_release(&s);
	}
}

static void rig_respond(struct http_call *call)
{
	struct rig *r = rig_of(call);

	assert_int_equal(r->dones, 0);
	assert_int_equal(r->responds++, 0);
	assert_true(call->responded);
	switch (r->on_respond) {
	case RIG_PULL:
		if (call->body)
			rig_pull(r);
		break;
	case RIG_HOLD:
		break;
	case RIG_CANCEL:
		http_call_cancel(call);
		break;
	case RIG_CLOSE_LINK:
		http_link_close(call->link);
		break;
	case RIG_CLOSE_BODY:
		source_close(call->body, -EPIPE);
		break;
	case RIG_TAKE:
		r->taken = http_call_take_conn(call);
		break;
	}
}

static void rig_done(struct http_call *call, int why)
{
	struct rig *r = rig_of(call);

	assert_int_equal(r->dones++, 0);
	assert_int_equal(r->closed, 0);
	assert_null(call->link);
	assert_true(why || call->stage == HTTP_CALL_DONE);
	r->why = why;
}

static const struct http_call_ops rig_call_ops = {
	.inform = rig_inform,
	.respond = rig_respond,
	.done = rig_done,
};

static void rig_idle(struct http_link *link)
{
	struct rig *r = link->owner;

	assert_true(link->usable);
	r->idles++;
	if (r->on_idle)
		r->on_idle(r);
}

static void rig_closed(struct http_link *link)
{
	struct rig *r = link->owner;

	assert_false(link->usable);
	assert_ptr_equal(link, r->link);
	r->closed++;
	r->link = NULL;
}

static const struct http_link_ops rig_link_ops = {.idle = rig_idle, .closed = rig_closed};

void rig_request(struct rig *r, enum http_method method, const char *name)
{
	arena_free(&r->arena);
	r->request = (struct http_head){
		.method = method,
		.method_text = str_from(name),
		.target = STR("/a?b"),
		.authority = STR("a.example"),
	};
	r->call = (struct http_call){
		.ops = &rig_call_ops,
		.owner = r,
		.arena = &r->arena,
		.request = &r->request,
	};
	r->informs = r->responds = r->idles = r->dones = r->wakes = 0;
	r->why = 1;
	r->body_len = 0;
	r->end = PULL_WAIT;
}

void rig_field(struct rig *r, const char *name, const char *value)
{
	assert_int_equal(http_fields_add_named(&r->request.fields, &r->arena, str_from(name),
					       str_from(value)),
			 0);
}

void rig_open(struct rig *r)
{
	struct io_options options = {.engine = rig_engine};
	char why[128] = "";
	int fds[2];

	*r = (struct rig){.kinds = SEG_MEM};
	if (io_loop_new(&options, &r->loop, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	r->server = fds[1];
	struct conn *conn = conn_plain_new(r->loop, fds[0]);
	assert_non_null(conn);
	r->link = http_link_new(conn, false, &rig_link_ops, r);
	assert_non_null(r->link);
	assert_true(r->link->usable);
	r->body = malloc(RIG_BODY_MAX);
	assert_non_null(r->body);
	arena_init(&r->arena, 0);
	rig_request(r, HTTP_GET, "GET");
}

void rig_turn(struct rig *r)
{
	struct io_stats before, after;
	unsigned quiet = 0;

	for (unsigned i = 0; quiet < QUIET_TURNS; i++) {
		assert_true(i < TURNS_MAX);
		io_loop_stats(r->loop, &before);
		assert_int_equal(io_loop_turn(r->loop, 0), 0);
		io_loop_stats(r->loop, &after);
		quiet = after.ops == before.ops && after.tasks == before.tasks &&
					after.events == before.events
			      ? quiet + 1
			      : 0;
	}
}

void rig_start(struct rig *r)
{
	unsigned told = r->responds + r->dones + r->informs + r->idles;

	http_call_start(r->link, &r->call);
	/* Nothing is called back inline. */
	assert_int_equal(r->responds + r->dones + r->informs + r->idles, told);
	assert_false(r->link->usable);
	rig_turn(r);
}

/* The request's body. */

static enum pull give_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct rig *r = SL_CONTAINER(source, struct rig, source);

	(void)kinds;
	r->pulls++;
	if (source->error)
		return PULL_FAIL;
	if (!r->give.len) {
		r->source_waits = !r->gave_all;
		return r->gave_all ? PULL_END : PULL_WAIT;
	}
	*out = seg_mem(r->give.p, SL_MIN(want, r->give.len), NULL);
	r->give = str_skip(r->give, out->len);
	return PULL_DATA;
}

static void give_close(struct source *source, int why)
{
	(void)source;
	(void)why;
	fail_msg("a link never closes the request's body");
}

static const struct http_fields *give_trailers(struct source *source)
{
	return SL_CONTAINER(source, struct rig, source)->trailers;
}

void rig_upload(struct rig *r, int64_t length)
{
	static const struct source_ops ops = {give_pull, give_close, give_trailers};

	r->source = (struct source){.ops = &ops};
	r->give = STR_NONE;
	r->gave_all = r->source_waits = false;
	r->pulls = 0;
	r->request.content_length = length;
	r->call.request_body = &r->source;
}

void rig_give(struct rig *r, const char *text, bool last)
{
	r->give = str_from(text);
	r->gave_all = last;
	if (r->source_waits) {
		r->source_waits = false;
		source_wake(&r->source);
	}
	rig_turn(r);
}

/* The server. */

void rig_say(struct rig *r, struct str text)
{
	while (text.len) {
		ssize_t n = send(r->server, text.p, text.len, MSG_NOSIGNAL);

		if (n > 0)
			text = str_skip(text, (size_t)n);
		else
			assert_int_equal(errno, EAGAIN);
		rig_turn(r);
	}
}

void rig_hang_up(struct rig *r)
{
	close(r->server);
	r->server = -1;
	rig_turn(r);
}

const char *rig_heard(struct rig *r)
{
	static char text[HEARD_MAX];
	size_t len = 0;
	ssize_t n;

	do {
		rig_turn(r);
		n = recv(r->server, text + len, sizeof(text) - 1 - len, 0);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	text[len] = '\0';
	return text;
}

void rig_round(struct rig *r)
{
	unsigned idles = r->idles;

	rig_start(r);
	rig_heard(r);
	rig_says(r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	assert_int_equal(r->dones, 1);
	assert_int_equal(r->why, 0);
	assert_int_equal(r->idles, idles + 1);
	assert_int_equal(r->body_len, 2);
	source_close(r->call.body, 0);
	assert_true(r->link->usable);
}

void rig_close(struct rig *r)
{
	if (r->link)
		http_link_close(r->link);
	rig_turn(r);
	assert_int_equal(r->closed, 1);
	assert_null(r->link);
	if (r->server >= 0)
		close(r->server);
	assert_false(io_loop_busy(r->loop));
	io_loop_free(r->loop);
	arena_free(&r->arena);
	free(r->body);
}

int rig_run(const struct CMUnitTest *tests, size_t count)
{
	static const enum io_engine engines[] = {IO_ENGINE_EPOLL, IO_ENGINE_POLL, IO_ENGINE_URING};
	int failed = 0;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(engines); i++) {
		struct io_options options = {.engine = engines[i]};
		struct io_loop *loop;
		char why[128];

		if (io_loop_new(&options, &loop, why, sizeof(why))) {
			print_message("not here: %s\n", why);
			continue;
		}
		print_message("engine %s\n", io_engine_name(loop));
		io_loop_free(loop);
		rig_engine = engines[i];
		failed += _cmocka_run_group_tests("calls", tests, count, NULL, NULL);
	}
	return failed;
}
