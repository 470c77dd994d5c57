/* internal: a server in the simulated world that answers each request as its target says */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_SIM_SERVER_SCRIPT_H
#define SLUICE_TEST_SIM_SERVER_SCRIPT_H

#include "base/seg.h"
#include "io/io.h"
#include "io/sim.h"
#include "net/listener.h"

/* The target is "/SCRIPT/BYTES/UPLOADED": numbers; the body of the answer and of the request are that long. */
enum script {
	SCRIPT_LENGTH,
	SCRIPT_CHUNKED, /* with trailers */
	SCRIPT_CLOSE,   /* ends with the connection */
	SCRIPT_INFORM,  /* 103 first */
	SCRIPT_NOTHING, /* 204 */
	SCRIPT_LAST,    /* Connection: close */
	SCRIPT_EARLY,   /* answers the head, and reads no body */
	SCRIPT_TWICE,   /* two whole answers */
	SCRIPT_CUT_HEAD,
	SCRIPT_CUT_LENGTH,
	SCRIPT_CUT_CHUNKED,
	SCRIPT_RESET, /* as SCRIPT_CLOSE, but the end is a reset */
	SCRIPT_SILENT,
	SCRIPT_GARBAGE,
	SCRIPTS
};
const char *script_name(enum script);
/* It never comes to its end. */
bool script_is_cut(enum script);
bool script_has_body(enum script);
unsigned script_status(enum script);

/* Bytes of the pattern that every body is: at most `n` from `at` on. */
struct seg script_bytes(uint64_t at, size_t n);
void script_check(uint64_t at, struct seg);

struct scripted {
	struct sim *world;
	struct io_loop *loop;
	struct net_addr addr;
	struct net_listener listener;
	unsigned peers;
	struct io_msg stop;
	bool stopped;
};

/* With a loop of its own. */
void scripted_open(struct scripted *, struct sim *);
/* From another loop: nobody asks any more. Stops the world when the last connection is gone. */
void scripted_stop(struct scripted *);
void scripted_free(struct scripted *);

#endif
