/* internal: the PROXY protocol, versions 1 and 2: who the client is, told ahead of a connection's bytes. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_PROXY_HEADER_H
#define SLUICE_NET_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/addr.h"
#include "net/conn.h"

/* The PROXY protocol, sections 2.1 and 2.2. */
#define PROXY_HEADER_V1_MAX 107
#define PROXY_HEADER_V2_MAX 1024 /* a longer one is refused; what is ours is far shorter */

enum proxy_version { PROXY_NONE, PROXY_V1, PROXY_V2, PROXY_ANY };

struct proxy_header {
	bool local; /* LOCAL or UNKNOWN: the peer speaks for itself, src and dst are not set */
	struct net_addr src, dst;
};

/* > 0: whole, and this long; 0: more is needed; -EBADMSG, with a phrase in *why. `accept` says which versions. */
int proxy_header_parse(const uint8_t *, size_t len, enum proxy_version accept,
		       struct proxy_header *, const char **why);
/* The length written; out holds PROXY_HEADER_V2_MAX. src NULL, or a Unix socket: UNKNOWN or LOCAL. */
size_t proxy_header_print(enum proxy_version, const struct net_addr *src,
			  const struct net_addr *dst, uint8_t *out);

/*
 * Reads the header off a conn that was just accepted. done: once, from the top of the loop: 0, the conn then gives
 * what follows the header and conn_name says what the header said; or -errno (-ETIMEDOUT, -EBADMSG, -ENODATA when
 * the peer ended before it was whole, the conn's), and the conn is closed: NULL is passed. Embedded by its
 * owner, who sets done and owner.
 */
struct proxy_reader {
	struct conn *conn;
	struct io_timer timer;
	struct io_task task;
	enum proxy_version accept;
	void (*done)(struct proxy_reader *, struct conn *, int result);
	void *owner;
	uint32_t len;
	uint8_t bytes[PROXY_HEADER_V2_MAX];
};
#define PROXY_READ_TIMEOUT_MS 5000
void proxy_reader_start(struct proxy_reader *, struct conn *, enum proxy_version accept);
/* Gives up: the conn is closed, no `done`. Harmless after it. */
void proxy_reader_cancel(struct proxy_reader *);

#endif
