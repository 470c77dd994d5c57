/* internal: chunked coding on its way out. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H1_SEND_H
#define SLUICE_HTTP_H1_SEND_H

#include "base/str.h"
#include "net/pump.h"

/*
 * RFC 9112 section 7.1, for responses and for requests. What is sent joins what is queued, so a small chunk with its
 * line and its end is one piece.
 */

/* A copy of at most CONN_RESERVE_MAX bytes. 0, -ENOMEM, or what the conn failed with. */
int h1_send_text(struct conn *, struct str);

/* For pump.frame: one chunk for each segment. */
int h1_send_chunk(struct pump *, struct seg);

/* The last chunk with the trailers that the source has now, after its end. Each is a line of at most CONN_RESERVE_MAX. */
int h1_send_last_chunk(struct conn *, struct source *);

#endif
