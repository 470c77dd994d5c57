/* internal: one handler behind a router and a worker, asked over the loopback wire or over HTTP/1 on a socket pair */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_HANDLER_HARNESS_H
#define SLUICE_TEST_HANDLER_HARNESS_H

#include <stdbool.h>
#include <stddef.h>

#include "http/loopback.h"
#include "unit.h"

enum wire { WIRE_LOOPBACK, WIRE_H1, WIRE_COUNT };
/* The wire that the running group of tests is about. */
extern enum wire harness_wire;

struct harness {
	struct io_loop *loop;
	struct http_config *config;
	struct http_worker worker;
	char dir[64];          /* an empty folder of its own */
	struct http_step step; /* of the route, before the handler; set it before harness_start */
};

/* A folder for the handler's files; before harness_start. */
void harness_folder(struct harness *);
/* One site with one route "/". error_page: what the route answers 404 with; NULL: the standard page. */
void harness_start(struct harness *, const struct handler_ops *, const void *config,
		   const struct http_error_page *error_page);
/* The handler's state in the worker. */
void *harness_state(struct harness *);
void harness_stop(struct harness *);

/* In the folder; asserts success. `name` may hold folders that exist. */
void harness_write(struct harness *, const char *name, const void *bytes, size_t len);
void harness_text(struct harness *, const char *name, const char *text);
void harness_mkdir(struct harness *, const char *name);
void harness_path(struct harness *, const char *name, char out[256]);
/* Bytes that differ from place to place. */
void harness_fill(uint8_t *bytes, size_t len, unsigned seed);

struct reply {
	unsigned status;
	char head[16384]; /* "name: value\n" lines, names in lower case */
	uint8_t *body;    /* terminated */
	size_t len;
	bool cut; /* the body is shorter than promised, or the wire says that it failed */
};

/* fields: "Name: value\r\n" lines, or NULL. Turns the loop until the answer is whole, or fails the test. */
struct reply *harness_ask(struct harness *, const char *method, const char *target,
			  const char *fields);
/*
 * The same, but when `pause_at` bytes of the body came, `then` is called, and reading goes on. The bytes that a
 * socket holds are read from time to time, so `pause_at` is a lower bound there.
 */
struct reply *harness_ask_pausing(struct harness *, const char *target, size_t pause_at,
				  void (*then)(struct harness *));
/* The value, or NULL. Static storage until the next call. */
const char *reply_field(const struct reply *, const char *lower_name);
void reply_free(struct reply *);

/* Asks, asserts the status, and frees the reply. */
void harness_expect(struct harness *, const char *target, unsigned status);
/* The same with GET, 200 and this text as body. */
void harness_expect_text(struct harness *, const char *target, const char *text);

#define RUN_OVER_WIRES(tests) harness_run(#tests, tests, sizeof(tests) / sizeof((tests)[0]))
/* Runs the tests once for each wire; the number that failed. */
int harness_run(const char *name, const struct CMUnitTest *tests, size_t count);

#endif
