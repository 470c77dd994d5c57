// SPDX-License-Identifier: Apache-2.0
/* The request on its way out: its head, and the body that its owner's source gives. */
#include <errno.h>

#include "http/h1/link.h"
#include "http/h1/put.h"
#include "http/h1/send.h"

/* Prints into the conn's own buffers; a head of ordinary size takes one. */
struct printer {
	struct conn *conn;
	uint8_t *begin, *at, *end;
	int error;
};

static bool print_room(struct printer *p)
{
	if (p->at > p->begin)
		conn_commit(p->conn, (size_t)(p->at - p->begin));
	p->begin = p->at = conn_reserve(p->conn, CONN_RESERVE_MAX);
	p->end = p->at ? p->at + CONN_RESERVE_MAX : NULL;
	if (!p->at)
		p->error = p->conn->error ? p->conn->error : -ENOMEM;
	return p->at;
}

/* More than there is room for, in pieces. */
static SL_COLD void print_split(struct printer *p, struct str s)
{
	while (s.len && !p->error) {
		size_t n = SL_MIN(s.len, (size_t)(p->end - p->at));

		memcpy(p->at, s.p, n);
		p->at += n;
		s = str_skip(s, n);
		if (s.len && !print_room(p))
			return;
	}
}

static inline void print(struct printer *p, struct str s)
{
	if (SL_LIKELY(s.len <= (size_t)(p->end - p->at)))
		p->at = h1_put(p->at, s);
	else
		print_split(p, s);
}
#define PRINT(p, literal) print(p, STR(literal))

static void print_field(struct printer *p, struct str name, struct str value)
{
	print(p, name);
	PRINT(p, ": ");
	print(p, value);
	PRINT(p, "\r\n");
}

static void print_line(struct printer *p, const struct http_head *request)
{
	print(p, request->method_text);
	PRINT(p, " ");
	print(p, request->target);
	PRINT(p, " HTTP/1.1\r\n");
	/* First, as RFC 9110 section 7.2 asks; empty when there is none. */
	print_field(p, STR("Host"), request->authority);
}

static void print_fields(struct printer *p, const struct http_fields *fields)
{
	for (unsigned i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->v[i];

		if (f->id != HTTP_HOST && f->id != HTTP_EXPECT)
			print_field(p, f->name, f->value);
	}
}

/* Methods that say what a body means are sent with a length even when there is none (RFC 9110 section 8.6). */
static bool print_needs_length(enum http_method method)
{
	return method == HTTP_POST || method == HTTP_PUT || method == HTTP_PATCH;
}

static void print_framing(struct printer *p, const struct http_call *call)
{
	char digits[20];

	if (!call->request_body) {
		if (print_needs_length(call->request->method))
			PRINT(p, "Content-Length: 0\r\n");
		return;
	}
	if (call->request->content_length < 0)
		PRINT(p, "Transfer-Encoding: chunked\r\n");
	else
		print_field(
			p, STR("Content-Length"),
			(struct str){digits,
				     str_put_u64(digits, (uint64_t)call->request->content_length)});
	if (call->expect_continue)
		PRINT(p, "Expect: 100-continue\r\n");
}

/* RFC 9110 sections 7.8 and 10.1.4: what is for this hop alone is named. */
static void print_connection(struct printer *p, const struct http_call *call)
{
	bool te = call->request->fields.first[HTTP_TE];

	if (call->upgrade.p) {
		if (te)
			PRINT(p, "Connection: TE, Upgrade\r\n");
		else
			PRINT(p, "Connection: Upgrade\r\n");
		print_field(p, STR("Upgrade"), call->upgrade);
	} else if (te) {
		PRINT(p, "Connection: TE\r\n");
	}
}

int h1_link_send_head(struct h1_link *l)
{
	struct printer p = {.conn = l->conn};

	if (!print_room(&p))
		return p.error;
	print_line(&p, l->call->request);
	print_fields(&p, &l->call->request->fields);
	print_framing(&p, l->call);
	print_connection(&p, l->call);
	PRINT(&p, "\r\n");
	if (p.error)
		return p.error;
	conn_commit(l->conn, (size_t)(p.at - p.begin));
	return l->conn->error;
}

/* The source is not the link's to close: it may still have to wake who waited for it. */
static void send_nothing(struct source *source, void *consumer)
{
	(void)source;
	(void)consumer;
}

static void send_done(struct pump *pump, int result)
{
	struct h1_exchange *x = pump->owner;
	struct h1_link *l = x->link;

	x->pumping = false;
	pump->source->wake = send_nothing;
	if (!result && pump->frame)
		result = h1_send_last_chunk(l->conn, pump->source);
	if (!result) {
		x->sent = true;
		conn_want_drained(l->conn);
	} else if (!l->conn->error) {
		h1_link_fail(l, result);
	}
}

void h1_link_send_body(struct h1_link *l)
{
	struct http_call *call = l->call;
	struct h1_exchange *x = call->exchange;
	int64_t length = call->request->content_length;

	x->expecting = false;
	x->pumping = true;
	x->pump = (struct pump){
		.source = call->request_body,
		.conn = l->conn,
		.bytes_max = length >= 0 ? (uint64_t)length : PUMP_TO_END,
		.frame = length >= 0 ? NULL : h1_send_chunk,
		.done = send_done,
		.owner = x,
	};
	pump_start(&x->pump);
	if (l->state == LINK_HEAD)
		h1_link_touch(l);
}

void h1_link_stop_body(struct h1_exchange *x)
{
	if (!x->pumping)
		return;
	x->pumping = false;
	pump_stop(&x->pump);
	x->pump.source->wake = send_nothing;
}
