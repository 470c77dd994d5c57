// SPDX-License-Identifier: Apache-2.0
/* The tries of a request: a server's turn, a call, and what follows when it failed. */
#include <assert.h>
#include <errno.h>

#include "base/err.h"
#include "handler/proxy/request.h"
#include "handler/proxy/retry.h"
#include "handler/proxy/state.h"
#include "handler/proxy/upgrade.h"
#include "http/server.h"

static const struct http_call_ops proxy_call_ops = {
	.inform = proxy_inform,
	.respond = proxy_respond,
	.done = proxy_call_done,
};

static struct io_loop *proxy_loop(const struct proxy_request *p)
{
	return p->proxy->worker->loop;
}

void proxy_fail_at(struct proxy_request *p, uint8_t stage, int why, const char *refused)
{
	p->failure = (struct proxy_failure){.why = why, .stage = stage, .refused = refused};
	/* A copy: the server may be gone before the log has it. */
	if (p->taken)
		p->failure.server =
			arena_dup(p->stream->arena, upstream_server_name(p->turn->server));
}

static void proxy_fill_call(struct proxy_request *p)
{
	const struct upstream_timeouts *t = &upstream_view_config(p->view)->timeouts;

	p->call = (struct http_call){
		.ops = &proxy_call_ops,
		.owner = p,
		.arena = p->stream->arena,
		.request = &p->out,
		.request_body = p->body,
		.expect_continue = p->expects,
		.connect_timeout_ms = t->connect_ms,
		.first_byte_timeout_ms = t->first_byte_ms,
		.between_timeout_ms = t->between_ms,
		.expect_timeout_ms = p->expects ? PROXY_EXPECT_TIMEOUT_MS : 0,
	};
	if (p->tunnel)
		p->call.upgrade = p->upgrade;
}

/* Who comes from where, for a PROXY header; where the client came to is told with the turn. NULL: nobody is told. */
static const struct net_addr *proxy_names(struct proxy_request *p)
{
	struct net_addr *client;

	if (SL_LIKELY(!upstream_view_config(p->view)->send_proxy))
		return NULL;
	client = arena_alloc(p->stream->arena, 2 * sizeof(*client));
	if (!client || http_client(p->stream, &client[0]))
		return NULL;
	if (!p->stream->wire->peer(p->stream, false, &client[1]))
		p->turn->local = &client[1];
	return client;
}

/* The server is taken. fresh: a kept link was dead. */
static void proxy_start(struct proxy_request *p, bool fresh)
{
	int err = proxy_request_address(p);

	if (SL_UNLIKELY(err)) {
		proxy_fail_at(p, HTTP_CALL_IDLE, err, NULL);
		proxy_give(p, UPSTREAM_ABANDONED);
		proxy_answer(p);
		return;
	}
	proxy_fill_call(p);
	struct http_link *link = upstream_link(p->turn, fresh, !p->idempotent, proxy_names(p));
	p->turn->local = NULL;
	if (SL_UNLIKELY(!link)) {
		proxy_fail_at(p, HTTP_CALL_CONNECT, -errno, NULL);
		proxy_failed(p);
		return;
	}
	p->calling = true;
	p->discarded = false;
	proxy_set_state(p, PROXY_CALLING);
	http_call_start(link, &p->call);
}

static void proxy_took(struct proxy_request *p, int result)
{
	if (SL_LIKELY(!result)) {
		p->taken = true;
		p->tries++;
		p->note.tries++;
		proxy_start(p, false);
		return;
	}
	/* After a failed try it is that failure which is answered: nobody else could take over. */
	if (!p->tries)
		proxy_fail_at(p, HTTP_CALL_IDLE, result, NULL);
	proxy_set_state(p, PROXY_OVER);
	proxy_give_up(p);
}

static void proxy_turn_ready(struct upstream_turn *turn, int result)
{
	proxy_took(turn->owner, result);
}

static void proxy_take(struct proxy_request *p)
{
	int r = upstream_take(p->view, p->turn);

	if (SL_UNLIKELY(r == -EINPROGRESS))
		proxy_set_state(p, PROXY_QUEUED);
	else
		proxy_took(p, r);
}

void proxy_begin(struct proxy_request *p)
{
	p->turn->ready = proxy_turn_ready;
	p->turn->owner = p;
	proxy_turn_key(p->turn, upstream_view_config(p->view), p->stream);
	proxy_take(p);
}

/* One more try, in another group. */
static bool proxy_fall_back(struct proxy_request *p)
{
	if (p->fallen || !p->proxy->fallback || p->spent)
		return false;
	if (p->proxy->config->fallback != PROXY_FALLBACK_GROUP)
		return false;
	upstream_count(p->view, UPSTREAM_EVENT_FALLBACK);
	p->fallen = true;
	p->view = p->proxy->fallback;
	p->tries = 0;
	*p->turn = (struct upstream_turn){0};
	proxy_begin(p);
	return true;
}

void proxy_give_up(struct proxy_request *p)
{
	if (!proxy_fall_back(p))
		proxy_answer(p);
}

/* Trying again. */

/* splitmix64 (Steele, Lea, Flood, 2014): spread is all that jitter needs. */
static uint64_t proxy_random(struct proxy *proxy)
{
	uint64_t x = proxy->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void proxy_paused(struct io_timer *timer)
{
	struct proxy_request *p = SL_CONTAINER(timer, struct proxy_request, pause);

	proxy_set_state(p, PROXY_OVER);
	proxy_take(p);
}

static void proxy_pause(struct proxy_request *p)
{
	const struct upstream_retry *retry = &upstream_view_config(p->view)->retry;
	uint32_t ms = retry_delay_ms(retry, p->tries, proxy_random(p->proxy));

	proxy_set_state(p, PROXY_OVER);
	if (!ms) {
		proxy_take(p);
		return;
	}
	proxy_set_state(p, PROXY_PAUSING);
	p->pause.fire = proxy_paused;
	io_timer_set(proxy_loop(p), &p->pause, ms);
}

static struct retry_facts proxy_facts(const struct proxy_request *p)
{
	return (struct retry_facts){
		.why = p->failure.why,
		.status = p->failure.status,
		.stage = p->failure.stage,
		.reused = p->call.reused,
		.body_begun = p->call.body_begun,
		.idempotent = p->idempotent,
	};
}

/* Number and budget; counts it. */
static bool proxy_may_retry(struct proxy_request *p)
{
	const struct upstream_retry *retry = &upstream_view_config(p->view)->retry;

	return !p->fallen && p->tries <= retry->max && upstream_retry_allowed(p->view);
}

const char *proxy_failure_text(const struct proxy_failure *f)
{
	if (f->refused)
		return f->refused;
	if (f->status)
		return retry_status_text(f->status);
	if (f->why == -ETIMEDOUT)
		return "too slow";
	if (f->why == -ENODATA || f->why == -EPIPE)
		return "closed the connection";
	return err_text(f->why);
}

/* Our own lack of memory or descriptors says nothing about the server. */
static enum upstream_outcome proxy_blames(int why)
{
	return why == -ENOMEM || why == -EMFILE || why == -ENFILE || why == -ENOBUFS
		     ? UPSTREAM_ABANDONED
		     : UPSTREAM_FAILED;
}

void proxy_failed(struct proxy_request *p)
{
	const struct retry_facts facts = proxy_facts(p);
	enum retry_verdict verdict = retry_decide(&facts, &upstream_view_config(p->view)->retry);

	if (verdict == RETRY_REPLAY) {
		proxy_start(p, true);
		return;
	}
	upstream_blame(p->turn, proxy_failure_text(&p->failure));
	proxy_give(p, proxy_blames(p->failure.why));
	if (facts.body_begun || (!retry_untouched(&facts) && !p->idempotent))
		p->spent = true;
	if (verdict == RETRY_NEXT && proxy_may_retry(p)) {
		proxy_pause(p);
		return;
	}
	proxy_set_state(p, PROXY_OVER);
	proxy_give_up(p);
}

/* Ends of calls. */

/* The client's own body was wrong, too large, or did not come: no server's fault. */
static bool proxy_body_failed(const struct proxy_request *p)
{
	return p->stream->request_body && p->stream->request_body->error;
}

static void proxy_refuse_body(struct proxy_request *p)
{
	int err = p->stream->request_body->error;

	proxy_give(p, UPSTREAM_ABANDONED);
	proxy_set_state(p, PROXY_OVER);
	if (!p->stream->responded)
		(void)http_respond_error(p->stream, err == -EMSGSIZE ? 413
						    : err == -ENOMEM ? 503
								     : 400);
}

static void proxy_call_failed(struct proxy_request *p, int why)
{
	if (p->body)
		p->body->wake = NULL;
	if (proxy_body_failed(p)) {
		proxy_refuse_body(p);
		return;
	}
	proxy_fail_at(p, p->call.stage, why, p->call.refused);
	proxy_failed(p);
}

/* After the head. The wire closes what the client does not want any more: that is no failure of the server. */
static void proxy_answered(struct proxy_request *p, int why)
{
	proxy_set_state(p, PROXY_OVER);
	io_timer_stop(&p->total);
	if (!why) {
		const char *bad = retry_status_text(p->call.response.status);

		if (bad)
			upstream_blame(p->turn, bad);
		proxy_give(p, bad ? UPSTREAM_FAILED : UPSTREAM_OK);
		return;
	}
	if (why == -ECANCELED || proxy_body_failed(p)) {
		proxy_give(p, UPSTREAM_ABANDONED);
		return;
	}
	proxy_fail_at(p, HTTP_CALL_BODY, why, p->call.refused);
	upstream_blame(p->turn, proxy_failure_text(&p->failure));
	proxy_log(p, 0);
	proxy_give(p, UPSTREAM_FAILED);
}

/* Reading the answer of a failed try away. */

static void proxy_discard_over(struct proxy_request *p)
{
	if (p->calling || !p->discarded)
		return;
	upstream_blame(p->turn, retry_status_text(p->failure.status));
	proxy_give(p, UPSTREAM_FAILED);
	proxy_pause(p);
}

static void proxy_discard(struct proxy_request *p)
{
	struct source *body = p->call.body;
	struct seg seg;

	for (;;) {
		switch (source_pull(body, PROXY_DISCARD_BYTES_MAX, SEG_MEM, &seg)) {
		case PULL_DATA:
			seg_release(&seg);
			continue;
		case PULL_WAIT:
			return;
		case PULL_END:
		case PULL_FAIL:
			break;
		}
		p->call.body = NULL;
		source_close(body, 0);
		p->discarded = true;
		proxy_discard_over(p);
		return;
	}
}

static void proxy_discard_woken(struct source *body, void *consumer)
{
	(void)body;
	proxy_discard(consumer);
}

static bool proxy_discard_short(const struct proxy_request *p)
{
	return p->call.response.content_length >= 0 &&
	       p->call.response.content_length <= PROXY_DISCARD_BYTES_MAX;
}

bool proxy_retry_status(struct proxy_request *p)
{
	const struct upstream_retry *retry = &upstream_view_config(p->view)->retry;
	const struct retry_facts facts = {.status = p->call.response.status,
					  .stage = p->call.stage,
					  .body_begun = p->call.body_begun,
					  .idempotent = p->idempotent};

	if (facts.status < 500 || retry_decide(&facts, retry) != RETRY_NEXT || !proxy_may_retry(p))
		return false;
	proxy_fail_at(p, p->call.stage, 0, NULL);
	p->failure.status = p->call.response.status;
	proxy_set_state(p, PROXY_DISCARDING);
	if (!p->call.body) {
		p->discarded = true;
	} else if (proxy_discard_short(p)) {
		p->call.body->wake = proxy_discard_woken;
		p->call.body->consumer = p;
		proxy_discard(p);
	} else {
		proxy_cancel_call(p);
		p->discarded = true;
		proxy_discard_over(p);
	}
	return true;
}

void proxy_call_done(struct http_call *call, int why)
{
	struct proxy_request *p = call->owner;

	p->calling = false;
	switch ((enum proxy_state)p->state) {
	case PROXY_ANSWERING:
		proxy_answered(p, why);
		return;
	case PROXY_DISCARDING:
		proxy_discard_over(p);
		return;
	case PROXY_CALLING:
		assert(why);
		proxy_call_failed(p, why);
		return;
	case PROXY_QUEUED:
	case PROXY_PAUSING:
	case PROXY_OVER:
		break;
	}
}
