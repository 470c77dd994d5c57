/* internal: one link over a socket pair, with a call on it and the server's end in the test's hands */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_UNIT_HTTP_CLIENT_CALLS_H
#define SLUICE_TEST_UNIT_HTTP_CLIENT_CALLS_H

#include <stdlib.h>

#include "http/client.h"
#include "net/conn.h"
#include "unit.h"

#define RIG_BODY_MAX (1u << 20)

/* What the test wants done inside `respond`. */
enum rig_respond {
	RIG_PULL, /* pulls the body as it comes */
	RIG_HOLD, /* leaves the body alone */
	RIG_CANCEL,
	RIG_CLOSE_LINK,
	RIG_CLOSE_BODY,
	RIG_TAKE,
};

struct rig {
	struct io_loop *loop;
	struct http_link *link;
	int server; /* -1: closed */
	struct http_call call;
	struct http_head request;
	struct arena arena;
	/* the request's body: `give` is what comes next; gave_all: then it ends */
	struct source source;
	struct str give;
	bool gave_all, source_waits;
	unsigned pulls;
	struct http_fields *trailers;
	/* what was told */
	enum rig_respond on_respond;
	void (*on_idle)(struct rig *);
	unsigned informs, responds, idles, dones, closed;
	int why;
	uint16_t inform_status;
	char link_value[64]; /* of the last inform */
	/* the response's body */
	char *body;
	size_t body_len;
	unsigned kinds, wakes;
	enum pull end; /* PULL_WAIT while it goes on */
	struct conn *taken;
};

/* A loop of the engine that the suite runs on, a link, and a GET that was not started. */
void rig_open(struct rig *);
/* As in rig_open, for the next call. */
void rig_request(struct rig *, enum http_method, const char *method);
void rig_field(struct rig *, const char *name, const char *value);
void rig_start(struct rig *);
/* A body of this length (-1: chunked), which rig_give and rig_give_end feed. */
void rig_upload(struct rig *, int64_t length);
void rig_give(struct rig *, const char *text, bool last);
/* Lets the loop run until nothing happens any more. */
void rig_turn(struct rig *);
/* Pulls what there is, into `body`. */
void rig_pull(struct rig *);

/* The server's side. */
void rig_say(struct rig *, struct str);
#define rig_says(rig, literal) rig_say(rig, STR(literal))
void rig_hang_up(struct rig *);
/* What was sent since, all of it. Static storage. */
const char *rig_heard(struct rig *);

/* A whole call: sent, answered, finished well; the link is idle again. */
void rig_round(struct rig *);
/* Ends everything and checks that nothing is left: `closed` came once, `done` not after it. */
void rig_close(struct rig *);

/* Runs the tests for each engine that this machine has. */
int rig_run(const struct CMUnitTest *tests, size_t count);

#endif
