/* internal: what the parts of the proxy share: a route in one worker, and the life of one request. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_PROXY_STATE_H
#define SLUICE_HANDLER_PROXY_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "handler/proxy.h"
#include "http/client.h"
#include "http/note.h"
#include "observe/trace.h"
#include "upstream/worker.h"

/* How long a body that waits for 100 is held back when the server says nothing (RFC 9110 section 10.1.1). */
#define PROXY_EXPECT_TIMEOUT_MS 1000
/* The answer of a failed try is read away up to here, to keep its link; a longer one is cut. */
#define PROXY_DISCARD_BYTES_MAX 16384

struct proxy_tunnel;
struct proxy_tee;

/* One route in one worker. */
struct proxy {
	const struct proxy_config *config; /* good until detach */
	struct http_worker *worker;
	struct upstream_view *view, *fallback, *mirror; /* the last two: NULL without */
	uint32_t refs;                                  /* one of attach, one of each tunnel */
	uint32_t mirror_credit;
	uint64_t random;
	struct list mirrors;
	struct log_rate log;
	struct trace_random trace;
};

enum proxy_state {
	PROXY_QUEUED,     /* waits for a server that has room */
	PROXY_CALLING,    /* a call is under way, its final head has not come */
	PROXY_DISCARDING, /* the answer of a failed try is read away */
	PROXY_PAUSING,    /* waits before the next try */
	PROXY_ANSWERING,  /* the head was passed on, the body follows */
	PROXY_OVER,       /* nothing of ours is under way */
};

/* Why the last try brought no answer. */
struct proxy_failure {
	int why;         /* -errno */
	uint8_t stage;   /* enum http_call_stage; IDLE: there was no server to try */
	uint16_t status; /* or what the server answered */
	const char *refused;
	struct str server;
};

/* One request, in the stream's arena. */
struct proxy_request {
	struct proxy *proxy;
	struct http_stream *stream;
	struct upstream_view *view;  /* of the group whose turn it is */
	struct upstream_turn *turn;  /* own_turn, or that of the tunnel */
	struct proxy_tunnel *tunnel; /* not NULL: an upgrade is asked for */
	struct proxy_tee *tee;       /* not NULL: its body is copied for a mirror */
	struct source *body;         /* what calls pull: the stream's or the tee; NULL: none */
	struct str upgrade;
	struct http_head out; /* the request as it is sent */
	struct http_upstream_note note;
	struct proxy_failure failure;
	struct io_timer total, pause;
	uint32_t tries; /* counted ones, of this group */
	uint8_t state;  /* enum proxy_state */
	bool taken;     /* upstream_give is owed */
	bool calling;   /* `done` is owed */
	bool idempotent, expects;
	bool fallen;    /* the fallback group has it */
	bool spent;     /* a server may have acted on it: no other may get it */
	bool discarded; /* the body of a failed try was read to its end */
	struct upstream_turn own_turn;
	struct http_call call;
};

void proxy_set_state(struct proxy_request *, enum proxy_state);
struct proxy *proxy_ref(struct proxy *);
void proxy_unref(struct proxy *);
/* Ends the call here and now; harmless without one. `body` of the call is closed unless the wire has it. */
void proxy_cancel_call(struct proxy_request *);
/* The server is given back; harmless when none was taken. */
void proxy_give(struct proxy_request *, enum upstream_outcome);
/* try.c: the try failed as p->failure says, and no call is under way: tries again, falls back, or answers. */
void proxy_failed(struct proxy_request *);

/* try.c */
/* Begins with the first try in p->view. */
void proxy_begin(struct proxy_request *);
/* No try is left in this group: falls back, or answers. */
void proxy_give_up(struct proxy_request *);
void proxy_fail_at(struct proxy_request *, uint8_t stage, int why, const char *refused);
const char *proxy_failure_text(const struct proxy_failure *);
void proxy_call_done(struct http_call *, int why);
/* True when the status was taken for a failure: another try follows. */
bool proxy_retry_status(struct proxy_request *);

/* response.c */
void proxy_inform(struct http_call *, const struct http_head *);
void proxy_respond(struct http_call *);
/* Our own answer for p->failure, or the fallback's, and the line in the log. */
void proxy_answer(struct proxy_request *);
/* One line, but not too often, about p->failure; status 0: the answer was cut. */
void proxy_log(struct proxy_request *, unsigned status);

#endif
