/* internal: connections that we open. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_DIAL_H
#define SLUICE_NET_DIAL_H

#include "net/conn.h"

struct conn_dial {
	const struct net_addr *from; /* to be bound to before; NULL: the system chooses */
	int keepalive_s;             /* as in net/listener.h; 0: off */
	int user_timeout_ms;
};
/*
 * The other way round: a conn that connects. Everything may be called at once: what is sent leaves when it is
 * connected, a pull waits. `connected`: once, from the top of the loop, with 0 or -errno (then conn->error and the source's
 * are set, too, and `drained` follows); not after conn_close, which gives the attempt up. The time that it may
 * take is the caller's to bound. NULL without memory, descriptors or such a family; errno says which.
 */
struct conn *conn_plain_connect(struct io_loop *, const struct net_addr *to,
				const struct conn_dial *,
				void (*connected)(struct conn *, void *consumer, int result));

#endif
