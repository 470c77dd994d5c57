/* internal: the HTTP/1 wire: http_streams over a conn. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H1_WIRE_H
#define SLUICE_HTTP_H1_WIRE_H

struct conn;
struct http_worker;

/*
 * RFC 9112, server side. Requests are handled one after another; responses of pipelined ones leave together. A
 * connection holds at most H1_FLUSHING_MAX responses that have not left, and reads no further request while it does or
 * while the conn is full.
 */
#define H1_FLUSHING_MAX 32
/* The rest of a request's body that is read away to keep the connection; more closes it. */
#define H1_REST_MAX (256 * 1024)

/* Serves until the peer, an error, a limit or a drain ends it. Owns conn. */
void h1_serve(struct http_worker *, struct conn *, unsigned listener);

#endif
