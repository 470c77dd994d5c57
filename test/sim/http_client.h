/* internal: an HTTP/1 client for the simulated world: it pipelines, dawdles, breaks off, and believes nothing */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_SIM_HTTP_CLIENT_H
#define SLUICE_TEST_SIM_HTTP_CLIENT_H

#include <sys/socket.h>

#include "sim_test.h"

#define CLIENT_ASKS_MAX 6

enum client_manner {
	CLIENT_PLAIN,  /* in pieces, at once */
	CLIENT_BYTES,  /* byte by byte, a millisecond apart */
	CLIENT_HALF,   /* ends its side after the last request, and reads on */
	CLIENT_SILENT, /* stops for minutes somewhere inside what it sends */
	CLIENT_DEAF,   /* does not read for minutes */
	CLIENT_LEAVES, /* resets or closes somewhere inside what it sends */
	CLIENT_MANNERS,
};

/* One request, and the only body that may come with status 200. */
struct ask {
	const char *text;
	const uint8_t *body; /* NULL with body_len > 0: pattern bytes, see client_pattern */
	size_t body_len;
	size_t text_len; /* 0: it is a string */
	/*
	 * Not 0: every answer that the origin gave says so with X-Id, and has this body; so has each 200. Others have any
	 * body. And any may be cut, so that it shows.
	 */
	unsigned id;
	bool surplus; /* with id: it may get the surplus answer to another (X-Surplus) */
	bool head;    /* no body comes */
	bool last;    /* the connection ends after it */
	bool broken;  /* the body fails on the way: it must never look whole */
};

struct client {
	struct io_fd fd;
	struct counted rd, wr;
	struct io_timer send_pause, read_pause;
	struct sim *world;
	struct io_loop *loop;
	enum client_manner manner;
	struct ask asks[CLIENT_ASKS_MAX];
	unsigned ask_count;
	char *out;
	size_t out_len, sent, turn_at; /* turn_at: where its manner shows */
	struct iovec iov;
	uint8_t *in;
	size_t in_len, in_cap, parsed, checked; /* checked: of the body at `parsed` */
	unsigned answered, informed;            /* whole responses; 1xx before them */
	unsigned status[CLIENT_ASKS_MAX];
	bool deaf, turned, failed, ended, closing;
	bool cut;                      /* ended inside an answer */
	void (*over)(struct client *); /* the client is closed; frees it */
	void *owner;
};

/* Byte `at` of every body that is a pattern. */
uint8_t client_pattern(size_t at);

/* Zeroed, then world, loop, manner, over and owner set, and asks added; connects and begins. */
void client_add(struct client *, const struct ask *);
void client_start(struct client *, const struct sockaddr *, socklen_t);
void client_free(struct client *);

#endif
