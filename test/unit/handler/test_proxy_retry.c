// SPDX-License-Identifier: Apache-2.0
/* Which failures may be tried again, which are replayed for free, and what is answered otherwise. */
#include "handler/proxy/retry.h"

#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "http/client.h"
#include "unit.h"

#define ON_NET (UPSTREAM_RETRY_CONNECT | UPSTREAM_RETRY_RESET | UPSTREAM_RETRY_TIMEOUT)

static const struct {
	const char *what;
	struct retry_facts facts;
	uint32_t on;
	enum retry_verdict verdict;
} cases[] = {
	{"refused GET",
	 {-ECONNREFUSED, 0, HTTP_CALL_CONNECT, false, false, true},
	 ON_NET,
	 RETRY_NEXT},
	{"refused POST",
	 {-ECONNREFUSED, 0, HTTP_CALL_CONNECT, false, false, false},
	 ON_NET,
	 RETRY_NEXT},
	{"slow to connect",
	 {-ETIMEDOUT, 0, HTTP_CALL_CONNECT, false, false, false},
	 UPSTREAM_RETRY_CONNECT,
	 RETRY_NEXT},
	{"refused, not asked for",
	 {-ECONNREFUSED, 0, HTTP_CALL_CONNECT, false, false, true},
	 UPSTREAM_RETRY_RESET,
	 RETRY_NO},
	{"reset GET", {-ECONNRESET, 0, HTTP_CALL_WAIT, false, false, true}, ON_NET, RETRY_NEXT},
	{"reset POST", {-ECONNRESET, 0, HTTP_CALL_WAIT, false, false, false}, ON_NET, RETRY_NO},
	{"reset PUT, body begun",
	 {-ECONNRESET, 0, HTTP_CALL_SEND, false, true, true},
	 ON_NET,
	 RETRY_NO},
	{"reset in the head",
	 {-ECONNRESET, 0, HTTP_CALL_HEAD, false, false, true},
	 ON_NET,
	 RETRY_NEXT},
	{"reset, not asked for",
	 {-ECONNRESET, 0, HTTP_CALL_WAIT, false, false, true},
	 UPSTREAM_RETRY_CONNECT,
	 RETRY_NO},
	{"stale link, GET", {-ECONNRESET, 0, HTTP_CALL_WAIT, true, false, true}, 0, RETRY_REPLAY},
	{"stale link while sending",
	 {-EPIPE, 0, HTTP_CALL_SEND, true, false, true},
	 0,
	 RETRY_REPLAY},
	{"stale link, POST",
	 {-ECONNRESET, 0, HTTP_CALL_WAIT, true, false, false},
	 ON_NET,
	 RETRY_NO},
	{"stale link before a byte of a POST left",
	 {-ECONNRESET, 0, HTTP_CALL_CONNECT, true, false, false},
	 0,
	 RETRY_REPLAY},
	{"stale link, body begun",
	 {-ECONNRESET, 0, HTTP_CALL_SEND, true, true, true},
	 ON_NET,
	 RETRY_NO},
	{"kept link, died in the head",
	 {-ECONNRESET, 0, HTTP_CALL_HEAD, true, false, true},
	 ON_NET,
	 RETRY_NEXT},
	{"kept link, too slow",
	 {-ETIMEDOUT, 0, HTTP_CALL_WAIT, true, false, true},
	 ON_NET,
	 RETRY_NEXT},
	{"too slow, not asked for",
	 {-ETIMEDOUT, 0, HTTP_CALL_WAIT, false, false, true},
	 UPSTREAM_RETRY_RESET,
	 RETRY_NO},
	{"too slow, POST", {-ETIMEDOUT, 0, HTTP_CALL_WAIT, false, false, false}, ON_NET, RETRY_NO},
	{"garbage", {-EBADMSG, 0, HTTP_CALL_HEAD, false, false, true}, ON_NET, RETRY_NO},
	{"garbage over a kept link",
	 {-EBADMSG, 0, HTTP_CALL_HEAD, true, false, true},
	 ON_NET,
	 RETRY_NO},
	{"in the body", {-ECONNRESET, 0, HTTP_CALL_BODY, false, false, true}, ON_NET, RETRY_NO},
	{"503", {0, 503, HTTP_CALL_BODY, false, false, true}, UPSTREAM_RETRY_503, RETRY_NEXT},
	{"503 over a kept link",
	 {0, 503, HTTP_CALL_BODY, true, false, true},
	 UPSTREAM_RETRY_503,
	 RETRY_NEXT},
	{"503, not asked for",
	 {0, 503, HTTP_CALL_BODY, false, false, true},
	 UPSTREAM_RETRY_502,
	 RETRY_NO},
	{"503 to a POST",
	 {0, 503, HTTP_CALL_BODY, false, false, false},
	 UPSTREAM_RETRY_503,
	 RETRY_NO},
	{"500", {0, 500, HTTP_CALL_BODY, false, false, true}, UPSTREAM_RETRY_500, RETRY_NEXT},
	{"502", {0, 502, HTTP_CALL_BODY, false, false, true}, UPSTREAM_RETRY_502, RETRY_NEXT},
	{"504", {0, 504, HTTP_CALL_BODY, false, false, true}, UPSTREAM_RETRY_504, RETRY_NEXT},
	{"501 never", {0, 501, HTTP_CALL_BODY, false, false, true}, ~0u, RETRY_NO},
	{"404 never", {0, 404, HTTP_CALL_BODY, false, false, true}, ~0u, RETRY_NO},
};

static void test_verdicts(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(cases); i++) {
		struct upstream_retry retry = {.max = 1, .on = cases[i].on};

		if (retry_decide(&cases[i].facts, &retry) != cases[i].verdict)
			fail_msg("%s: %d", cases[i].what, retry_decide(&cases[i].facts, &retry));
	}
}

static void test_untouched(void **state)
{
	assert_true(retry_untouched(&(struct retry_facts){.stage = HTTP_CALL_IDLE}));
	assert_true(retry_untouched(&(struct retry_facts){.stage = HTTP_CALL_CONNECT}));
	assert_false(retry_untouched(&(struct retry_facts){.stage = HTTP_CALL_SEND}));
	assert_false(
		retry_untouched(&(struct retry_facts){.stage = HTTP_CALL_IDLE, .status = 503}));
}

static void test_delays_double_up_to_their_bound(void **state)
{
	struct upstream_retry retry = {.backoff_ms = 100, .backoff_max_ms = 1000};
	static const uint32_t most[] = {100, 200, 400, 800, 1000, 1000};

	for (unsigned tries = 1; tries <= SL_ARRAY_SIZE(most); tries++) {
		/* Full jitter: all from 0 to the whole delay, and nothing above. */
		assert_int_equal(retry_delay_ms(&retry, tries, most[tries - 1]), most[tries - 1]);
		assert_int_equal(retry_delay_ms(&retry, tries, most[tries - 1] + 1), 0);
		assert_int_equal(retry_delay_ms(&retry, tries, 7), 7);
	}
	retry.backoff_ms = 0;
	assert_int_equal(retry_delay_ms(&retry, 3, 12345), 0);
	retry = (struct upstream_retry){.backoff_ms = UINT32_MAX};
	assert_true(retry_delay_ms(&retry, 1000, UINT64_MAX) < UINT32_MAX);
}

static void test_statuses(void **state)
{
	assert_int_equal(retry_status(HTTP_CALL_IDLE, -ENOENT), 503);
	assert_int_equal(retry_status(HTTP_CALL_IDLE, -ETIMEDOUT), 503);
	assert_int_equal(retry_status(HTTP_CALL_IDLE, -EHOSTDOWN), 503);
	assert_int_equal(retry_status(HTTP_CALL_CONNECT, -EMFILE), 503);
	assert_int_equal(retry_status(HTTP_CALL_CONNECT, -ECONNREFUSED), 502);
	assert_int_equal(retry_status(HTTP_CALL_CONNECT, -ETIMEDOUT), 504);
	assert_int_equal(retry_status(HTTP_CALL_WAIT, -ECONNRESET), 502);
	assert_int_equal(retry_status(HTTP_CALL_WAIT, -ETIMEDOUT), 504);
	assert_int_equal(retry_status(HTTP_CALL_HEAD, -EBADMSG), 502);
}

static void test_names(void **state)
{
	assert_string_equal(retry_stage_name(HTTP_CALL_CONNECT), "connecting");
	assert_string_equal(retry_stage_name(HTTP_CALL_BODY), "reading the body");
	assert_string_equal(retry_status_text(503), "answered 503");
	assert_null(retry_status_text(501));
	assert_null(retry_status_text(200));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_untouched),
		cmocka_unit_test(test_delays_double_up_to_their_bound),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
