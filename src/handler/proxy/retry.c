// SPDX-License-Identifier: Apache-2.0
#include "handler/proxy/retry.h"

#include <errno.h>

#include "base/compiler.h"
#include "http/client.h"

/* Doublings after which a delay grows no more; the maximum of the configuration comes long before. */
#define RETRY_DOUBLINGS_MAX 20

bool retry_untouched(const struct retry_facts *f)
{
	return f->stage <= HTTP_CALL_CONNECT && !f->status;
}

/* What the configuration calls this failure; 0: nothing that is ever tried again. */
static uint32_t retry_kind(const struct retry_facts *f)
{
	switch (f->status) {
	case 0:
		break;
	case 500:
		return UPSTREAM_RETRY_500;
	case 502:
		return UPSTREAM_RETRY_502;
	case 503:
		return UPSTREAM_RETRY_503;
	case 504:
		return UPSTREAM_RETRY_504;
	default:
		return 0;
	}
	if (retry_untouched(f))
		return UPSTREAM_RETRY_CONNECT;
	/* Garbage is no accident of the network: the next server would say the same. */
	if (f->stage >= HTTP_CALL_BODY || f->why == -EBADMSG)
		return 0;
	return f->why == -ETIMEDOUT ? UPSTREAM_RETRY_TIMEOUT : UPSTREAM_RETRY_RESET;
}

/* The server closed a kept link while the request was on its way: it did not see it, as far as anybody can know. */
static bool retry_was_stale(const struct retry_facts *f)
{
	return f->reused && !f->status && f->why != -ETIMEDOUT && f->why != -EBADMSG &&
	       f->stage <= HTTP_CALL_WAIT;
}

enum retry_verdict retry_decide(const struct retry_facts *f, const struct upstream_retry *retry)
{
	bool safe = retry_untouched(f) || f->idempotent;

	if (!safe || f->body_begun)
		return RETRY_NO;
	if (retry_was_stale(f))
		return RETRY_REPLAY;
	return retry_kind(f) & retry->on ? RETRY_NEXT : RETRY_NO;
}

uint32_t retry_delay_ms(const struct upstream_retry *retry, unsigned tries, uint64_t random)
{
	unsigned doublings = SL_MIN(tries > 0 ? tries - 1 : 0, RETRY_DOUBLINGS_MAX);
	uint64_t most = (uint64_t)retry->backoff_ms << doublings;

	if (retry->backoff_max_ms)
		most = SL_MIN(most, (uint64_t)retry->backoff_max_ms);
	return (uint32_t)(random % (SL_MIN(most, (uint64_t)UINT32_MAX - 1) + 1));
}

unsigned retry_status(uint8_t stage, int why)
{
	if (stage == HTTP_CALL_IDLE || why == -ENOMEM || why == -EMFILE || why == -ENFILE)
		return 503;
	return why == -ETIMEDOUT ? 504 : 502;
}

const char *retry_stage_name(uint8_t stage)
{
	switch ((enum http_call_stage)stage) {
	case HTTP_CALL_IDLE:
		return "choosing a server";
	case HTTP_CALL_CONNECT:
		return "connecting";
	case HTTP_CALL_SEND:
		return "sending the request";
	case HTTP_CALL_WAIT:
		return "waiting for the first byte";
	case HTTP_CALL_HEAD:
		return "reading the head";
	case HTTP_CALL_BODY:
	case HTTP_CALL_DONE:
		break;
	}
	return "reading the body";
}

const char *retry_status_text(unsigned status)
{
	switch (status) {
	case 500:
		return "answered 500";
	case 502:
		return "answered 502";
	case 503:
		return "answered 503";
	case 504:
		return "answered 504";
	default:
		return NULL;
	}
}
