/* internal: the proxy between a client on a socket pair and scripted servers on loopback sockets */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_HANDLER_PROXY_RIG_H
#define SLUICE_TEST_HANDLER_PROXY_RIG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "handler/proxy.h"
#include "http/server.h"
#include "unit.h"
#include "upstream/upstream.h"

#define FAKE_CONNS_MAX 64
#define FAKE_REQUEST_BYTES 262144

/* A server: a thread for each connection runs `serve`, which talks to the socket and returns to close it. */
struct fake {
	void (*serve)(struct fake *, int fd, unsigned number);
	int listener;
	unsigned port;
	char address[32];
	pthread_t acceptor;
	pthread_t threads[FAKE_CONNS_MAX];
	int fds[FAKE_CONNS_MAX];
	_Atomic unsigned conns, requests, ended; /* ended: connections that were hung up */
	pthread_mutex_t lock;
	char request[FAKE_REQUEST_BYTES]; /* the last one: fake_request copies it */
};

void fake_start(struct fake *, void (*serve)(struct fake *, int fd, unsigned number));
void fake_stop(struct fake *);
/* A port on which nobody listens. */
void fake_none(struct fake *);

/* For `serve`. False at the end of the connection. Reads head and body (by length, or to the last chunk). */
bool fake_read(struct fake *, int fd);
bool fake_read_head(struct fake *, int fd);
void fake_send(int fd, const char *text);
void fake_reset(int fd);
/* A copy, which stays until the next call. */
const char *fake_request(struct fake *);
/* The ready-made ones: "200 OK" with the number of the request as body, for ever; and 503. */
void fake_serve_ok(struct fake *, int fd, unsigned number);
void fake_serve_503(struct fake *, int fd, unsigned number);

struct rig {
	struct io_loop *loop, *main;
	struct upstream_registry *registry;
	struct http_config *http;
	struct http_worker worker;
	struct upstream_config groups[3];
	struct upstream_server_config servers[3][4];
	struct proxy_config config;
	struct http_step step; /* before the proxy; zero: none */
	uint64_t body_max;
};

/* Zeroes; then change config and groups, and rig_run. */
void rig_init(struct rig *);
void rig_server(struct rig *, unsigned group, const struct fake *);
/* Starts groups 0 to groups - 1: the group, the fallback (1), the mirror (2), where the config names them. */
void rig_run(struct rig *);
void rig_stop(struct rig *);

/* The client's end of a new connection; what is sent is read in rig_turn. */
int rig_connect(struct rig *);
void rig_turn(struct rig *);
/* Turns until `over` says so; fails the test when that takes too long. */
void rig_until(struct rig *, bool (*over)(void *), void *arg);

struct answer {
	unsigned status;
	size_t len;
	bool cut;                      /* the connection ended before the body did */
	char text[FAKE_REQUEST_BYTES]; /* all that came, terminated */
	const char *body;
};
/* Sends what stands there, reads one whole answer (1xx before it are in its text). The connection stays. */
void rig_ask_on(struct rig *, int fd, const char *request, struct answer *);
/* The same over a connection of its own. */
void rig_ask(struct rig *, const char *request, struct answer *);
/* GET /, and asserts the status. */
void rig_expect(struct rig *, unsigned status, struct answer *);
bool answer_has(const struct answer *, const char *line);

/* Runs the tests over each engine that the machine has; the number that failed. */
#define RUN_OVER_ENGINES(tests) rig_run_tests(#tests, tests, sizeof(tests) / sizeof((tests)[0]))
int rig_run_tests(const char *name, const struct CMUnitTest *tests, size_t count);

#endif
