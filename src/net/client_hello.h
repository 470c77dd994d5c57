/* internal: the first message of a TLS client, read without decrypting: what name and which protocols it asks for. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_CLIENT_HELLO_H
#define SLUICE_NET_CLIENT_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/seg.h"
#include "base/str.h"

/* Of the connection's bytes, record headers included, so that a buffer holds them; a longer hello is refused. */
#define CLIENT_HELLO_MAX BUF_CAPACITY

/*
 * Sans-IO, RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3, RFC 7301. Zero it to begin. Views are good until
 * client_hello_free.
 */
struct client_hello {
	struct str server_name; /* as the client wrote it, without a dot at the end; empty: none */
	struct str alpn;        /* the list of protocols as it was sent; empty: none */

	struct buf *message; /* the handshake message, without the headers of its records */
	uint32_t fed, record_left;
	uint8_t header[5], header_len;
	bool whole;
};

/*
 * The next bytes of the connection, in pieces of any length: 0 when the hello is whole (what follows it is not looked
 * at; do not feed more), -EAGAIN: more is needed; -EBADMSG, with a phrase in *why: no ClientHello, or a broken one;
 * -ENOMEM.
 */
int client_hello_feed(struct client_hello *, const uint8_t *, size_t, const char **why);
void client_hello_free(struct client_hello *);

/* Whether the protocol is in its list. */
bool client_hello_offers(const struct client_hello *, struct str protocol);
/* "example.com", or "*.example.com" for every name below it; case does not matter. */
bool client_hello_asks_for(const struct client_hello *, struct str pattern);

#endif
