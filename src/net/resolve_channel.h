/* internal: a c-ares channel on an I/O loop: its sockets are descriptors of the loop, its timeouts a timer. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_RESOLVE_CHANNEL_H
#define SLUICE_NET_RESOLVE_CHANNEL_H

#include <ares.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "io/io.h"

/* How long a server may take for its first try; a second one follows and takes as long again, for each server. */
#define RESOLVE_TRY_MS 1500
#define RESOLVE_TRIES 2

struct resolve_channel {
	struct io_loop *loop;
	ares_channel ares; /* NULL: closed */
	struct list sockets;
	struct io_timer timer;
	/* After resolve_channel_close, when the last socket is gone; perhaps before that returns. */
	void (*closed)(struct resolve_channel *);
};

/*
 * `servers` as in net/resolve.h. 0 or -errno with a sentence in why. c-ares calls back only from inside its own functions
 * and from the top of the loop.
 */
int resolve_channel_open(struct resolve_channel *, struct io_loop *, const char *servers, char *why,
			 size_t why_len);
/* After each call of c-ares that may have begun a query. */
void resolve_channel_arm(struct resolve_channel *);
/* Queries end with ARES_EDESTRUCTION before this returns. */
void resolve_channel_close(struct resolve_channel *);

#endif
