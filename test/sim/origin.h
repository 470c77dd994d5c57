/* internal: the servers of a proxy in the simulated world: each good, or bad in a way of its own; a book of what they saw */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_SIM_ORIGIN_H
#define SLUICE_TEST_SIM_ORIGIN_H

#include "base/list.h"
#include "io/io.h"
#include "io/sim.h"
#include "net/listener.h"

/* How a server fails a request. Those from ORIGIN_LATE on take their time about it. */
enum origin_manner {
	ORIGIN_GOOD,
	ORIGIN_REFUSES,      /* nobody listens */
	ORIGIN_FULL,         /* listens, and accepts nobody */
	ORIGIN_CUTS_REQUEST, /* hangs up while it reads one */
	ORIGIN_CUTS_HEAD,    /* its answer ends in its head */
	ORIGIN_CUTS_BODY,
	ORIGIN_LEAVES, /* hangs up between requests, without a word */
	ORIGIN_FLAPS,  /* stops to listen, hangs up, and comes back */
	ORIGIN_TWICE, /* two answers to one request: the second, with X-Surplus, may come too late to be told from a right one */
	ORIGIN_GARBAGE, /* no HTTP */
	ORIGIN_BUSY,    /* 503 */
	ORIGIN_EARLY,   /* 413 before it has read the body, and closes */
	ORIGIN_SILENT,  /* reads, and says nothing */
	ORIGIN_LATE,    /* the first byte comes after all patience */
	ORIGIN_STALLS,  /* so does some later one */
	ORIGIN_MANNERS
};
const char *origin_manner_name(enum origin_manner);

/* How the answer is framed. Each carries "X-Id: ID". */
enum origin_form {
	ORIGIN_LENGTH,
	ORIGIN_CHUNKED, /* with trailers */
	ORIGIN_CLOSE,   /* ends with the connection */
	ORIGIN_INFORM,  /* 103 first */
	ORIGIN_NOTHING, /* 204 */
	ORIGIN_LAST,    /* Connection: close */
	ORIGIN_FORMS
};

/* The target of a request is "/ID/FORM/BYTES/UPLOADED": numbers. ID 0 is a check's, which is not noted. */
#define ORIGIN_ID_MAX 100
#define ORIGIN_BODY_MAX 120000
/* The body of the answer to `id`, and that of its request. ORIGIN_BODY_MAX bytes. */
const uint8_t *origin_answer(unsigned id);
const uint8_t *origin_upload(unsigned id);

/* What the servers saw of one request. */
struct origin_note {
	unsigned wholes; /* how often it came whole, body and all */
	unsigned copies; /* the same, at servers of a mirror */
	bool unsafe;     /* to repeat: then `wholes` must be at most 1 */
};
struct origin_book {
	struct origin_note notes[ORIGIN_ID_MAX + 1];
	unsigned shown[ORIGIN_MANNERS]; /* how often each manner showed */
};

struct origin {
	/* Zeroed, then this part is set. */
	struct sim *world;
	struct io_loop *loop;
	struct origin_book *book;
	enum origin_manner manner;
	unsigned permille;    /* of its requests, in which its manner shows */
	unsigned patience_ms; /* longer than any that others have with it */
	bool mirror;
	bool slow; /* sends in tiny pieces, a millisecond apart */
	bool hard; /* FLAPS and LEAVES: it resets, and cuts what is under way */
	uint16_t port;

	struct net_listener listener;
	struct io_timer flap;
	struct list peers;
	int full_fd;
	bool listening, stopping, stopped;
};
void origin_open(struct origin *);
/* Cuts what is left. On its own loop. */
void origin_stop(struct origin *);

#endif
