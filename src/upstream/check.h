/* internal: active checks of servers: whether they accept, or answer a request as they should. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_CHECK_H
#define SLUICE_UPSTREAM_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/list.h"
#include "http/client.h"
#include "io/io.h"
#include "net/addr.h"
#include "upstream/chance.h"
#include "upstream/config.h"

/* Of the process, at a time; others wait for their turn. */
#define UPSTREAM_CHECKS_MAX 64
/* Of the answer, to look for `body` in. */
#define UPSTREAM_CHECK_BODY_BYTES 65536
#define UPSTREAM_CHECK_WHY_BYTES 96

struct upstream_server;
struct conn;

struct upstream_checks {
	struct io_loop *loop;
	struct list queue;
	unsigned running;
	bool starting; /* the queue is being worked on */
	struct chance chance;
};

enum check_state {
	CHECK_OFF,
	CHECK_RESTING, /* the timer runs until the next one */
	CHECK_QUEUED,  /* too many run now */
	CHECK_RUNNING, /* the timer runs until it takes too long */
};

/* The checks of one server. Zeroed at the beginning; the first part is set before check_begin. */
struct upstream_check {
	struct upstream_checks *checks;
	struct upstream_group *group;
	struct upstream_server *server;
	const struct upstream_config *config; /* NULL before the first check_begin */
	enum check_state state;
	unsigned passed, failed; /* in a row */
	struct io_timer timer;
	struct list link; /* in the queue */

	/* Of the one that runs. */
	struct conn *conn;      /* over TCP alone */
	struct http_link *http; /* or over HTTP */
	struct http_call call;
	struct http_head request;
	struct arena arena;
	struct io_task verdict;
	bool passes;
	char why[UPSTREAM_CHECK_WHY_BYTES];
	uint8_t *body; /* UPSTREAM_CHECK_BODY_BYTES, when it is looked at */
	uint32_t body_len;
};

/*
 * Checks at once, and then again and again; under another configuration anew, and under the same one as if nothing had
 * happened. The configuration lives until check_stop, or until check_begin with the next has returned. A server is up until
 * as many checks as `fall` have failed. With checks turned off: as check_stop, and a server that was down is up.
 */
void check_begin(struct upstream_check *, const struct upstream_config *);
/* Harmless when it is off. What it left with the loop goes by itself. */
void check_stop(struct upstream_check *);

/* check_http.c: one request. It ends with check_verdict. 0 or -errno: it has not begun. */
int check_http_start(struct upstream_check *, const struct net_addr *);
/* Gives up; harmless when there is none. */
void check_http_stop(struct upstream_check *);
/* The end of the check that runs comes from the top of the loop; the first verdict counts. why NULL: it went well. */
void check_verdict(struct upstream_check *, const char *why, ...) SL_PRINTF(2, 3);

#endif
