// SPDX-License-Identifier: Apache-2.0
/* Heads of responses: 1xx, the final one, and a switch of protocols. */
#include <errno.h>

#include "http/h1/link.h"

/* As h1_parse_response, over the input, in place while it is whole. */
static int head_parse(struct h1_link *l, struct h1_exchange *x)
{
	struct http_call *call = l->call;
	enum http_method asked = call->request->method;
	int n;

	if (!x->gather.len) {
		n = h1_parse_response(&x->parser, l->in.mem, l->in.len, call->arena, asked,
				      &call->response, &x->framing, &call->refused);
		if (n > 0) {
			x->head_owner = seg_owner_ref(l->in.owner);
			h1_input_advance(&l->in, (size_t)n);
		}
		if (n)
			return n;
	}
	int taken = h1_gather_add(&x->gather, call->arena, &l->in);
	if (taken < 0)
		return taken;
	n = h1_parse_response(&x->parser, x->gather.copy, x->gather.len, call->arena, asked,
			      &call->response, &x->framing, &call->refused);
	/* What came after the head in the last piece is the next reader's. */
	if (n > 0)
		taken -= (int)x->gather.len - n;
	h1_input_advance(&l->in, (size_t)taken);
	if (n == 0 && x->gather.len == H1_GATHER_MAX) {
		call->refused = "the head is too large";
		return -EBADMSG;
	}
	return n;
}

static void head_refuse(struct h1_link *l, const char *why)
{
	l->call->refused = why;
	h1_link_fail(l, -EBADMSG);
}

/* The same call is still on the link, and nothing ended it. */
static bool head_goes_on(const struct h1_link *l, uint32_t turn, enum link_state state)
{
	return l->link.calls == turn && l->state == state && l->call;
}

/* The next head is read into the same memory. */
static void head_again(struct h1_exchange *x, struct http_head *head)
{
	struct http_field *v = head->fields.v;
	uint16_t cap = head->fields.cap;

	*head = (struct http_head){.fields = {.v = v, .cap = cap}};
	x->parser = (struct h1_parser){0};
	x->gather.len = 0;
}

/* A 1xx. True to go on. */
static bool head_inform(struct h1_link *l)
{
	struct http_call *call = l->call;
	struct h1_exchange *x = call->exchange;
	uint32_t turn = l->link.calls;

	if (++x->informs > HTTP_CALL_INFORMS_MAX) {
		head_refuse(l, "too many informational responses");
		return false;
	}
	if (call->response.status == 100) {
		if (x->expecting)
			h1_link_send_body(l);
	} else if (call->ops->inform) {
		/* The call may be gone after it, and the exchange with its arena. */
		struct seg_owner *owner = seg_owner_ref(x->head_owner);
		call->ops->inform(call, &call->response);
		seg_owner_unref(owner);
	}
	if (!head_goes_on(l, turn, LINK_HEAD))
		return false;
	seg_owner_unref(x->head_owner);
	x->head_owner = NULL;
	head_again(x, &call->response);
	h1_link_touch(l);
	return true;
}

static void head_respond(struct h1_link *l)
{
	struct http_call *call = l->call;
	struct h1_exchange *x = call->exchange;
	uint32_t turn = l->link.calls;
	bool switched = call->response.status == 101;

	if (switched && (!call->upgrade.p || !x->framing.upgrade || !x->sent)) {
		head_refuse(l, "101 without having been asked for it");
		return;
	}
	h1_link_set_state(l, switched ? LINK_SWITCHED : LINK_BODY);
	call->stage = HTTP_CALL_BODY;
	call->responded = true;
	h1_link_count_out(l);
	bool bodiless = x->framing.body == H1_BODY_NONE;
	if (!bodiless)
		h1_exchange_body(x);
	/* Who takes the conn of a switch still has to read what the head says. */
	struct seg_owner *head = switched ? seg_owner_ref(x->head_owner) : NULL;
	call->ops->respond(call);
	seg_owner_unref(head);
	if (bodiless && head_goes_on(l, turn, LINK_BODY))
		h1_link_finish(l);
}

/* True to go on. */
static bool head_read(struct h1_link *l)
{
	struct http_call *call = l->call;
	int n;

	switch (h1_input_fill(&l->in, l->conn)) {
	case PULL_DATA:
		break;
	case PULL_WAIT:
		return false;
	case PULL_END:
		n = call->first_byte_ns ? -ENODATA : -ECONNRESET;
		h1_link_fail(l, l->conn->error ? l->conn->error : n);
		return false;
	case PULL_FAIL:
		h1_link_fail(l, l->conn->source.error);
		return false;
	}
	if (!call->first_byte_ns)
		call->first_byte_ns = io_now_ns(l->link.loop);
	call->stage = HTTP_CALL_HEAD;
	n = head_parse(l, call->exchange);
	if (n < 0) {
		h1_link_fail(l, n);
		return false;
	}
	if (n == 0) {
		h1_link_touch(l);
		return true;
	}
	if (call->response.status < 200 && call->response.status != 101)
		return head_inform(l);
	head_respond(l);
	return false;
}

void h1_link_read_heads(struct h1_link *l)
{
	while (head_read(l))
		;
}
