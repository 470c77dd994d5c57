/* internal: names of a conn that are not those of its socket: what a PROXY header said. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_CONN_NAMES_H
#define SLUICE_NET_CONN_NAMES_H

#include "net/addr.h"
#include "net/conn.h"

/*
 * From a pool of the thread: a conn without them pays for a pointer. conn_name gives them in place of the names of
 * the socket.
 */
struct conn_names {
	struct net_addr peer, own;
};

/* From now on conn_name says this; copied. 0 or -ENOMEM. */
int conn_set_names(struct conn *, const struct net_addr *peer, const struct net_addr *own);
/* For kinds of conns, when one goes. Harmless without names. */
void conn_free_names(struct conn *);

#endif
