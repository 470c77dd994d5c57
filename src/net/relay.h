/* internal: relays: two conns joined byte for byte, in both directions. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_RELAY_H
#define SLUICE_NET_RELAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "net/conn.h"
#include "net/pump.h"

/* A direction copies until it has moved this much, then it splices where both sides can. */
#define RELAY_SPLICE_AFTER 65536
/* A segment this small says that the flow is a talk and no transfer: then it copies again. */
#define RELAY_SMALL 4096

enum relay_side { RELAY_CLIENT, RELAY_SERVER };

struct relay_options {
	uint32_t idle_timeout_ms; /* nothing moved in either direction; 0: no bound */
	uint32_t half_timeout_ms; /* the same after one side sent FIN; 0: as idle */
	uint32_t lifetime_max_ms; /* 0: no bound */
	bool never_splice;        /* for measurements and tests */
	_Atomic uint64_t *moved
		[2]; /* NULL, or where bytes are counted as they move, by the side that sends */
	/*
	 * Optional: wraps what comes from one side (a limit of bandwidth, a tee): a source that owns `from` as far as
	 * source_close goes, which is never called on a conn's source by the filter. The source itself: nothing to do; NULL:
	 * no memory, and the relay ends.
	 */
	struct source *(*filter)(void *owner, enum relay_side from, struct source *);
};

/*
 * Embedded by its owner, zeroed, then conn[], options, done and owner are set. An end of one side is passed on as
 * FIN when everything before it has left, and the other direction goes on (half-close); an error of one side resets
 * the other. A conn may still be connecting.
 */
struct relay {
	struct conn *conn[2]; /* by enum relay_side; the relay owns both from relay_start on */
	const struct relay_options *options;
	/* The last call, from the top of the loop, when both conns are gone; why is 0 after two orderly ends. */
	void (*done)(struct relay *, int why);
	void *owner;
	uint64_t bytes[2]; /* moved, by the side that sent them */
	struct relay_way {
		struct pump pump;
		struct source *filtered; /* what options->filter made; NULL: none */
		uint32_t run;            /* bytes since the last small segment */
		bool ended;              /* FIN was passed on */
	} way[2];
	struct io_timer timer;
	uint64_t began_ns, active_ns, mark;
	int why;
	uint8_t failed; /* enum relay_side: whose failure `why` is; good when it is neither 0 nor a timeout */
	uint8_t state, closed;
};

void relay_start(struct relay *);
/* Cuts both sides; done follows. */
void relay_abort(struct relay *, int why);

#endif
