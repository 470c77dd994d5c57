/* internal: upgraded connections: what goes on after 101, joined by a relay and counted as a session. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_PROXY_UPGRADE_H
#define SLUICE_HANDLER_PROXY_UPGRADE_H

#include "handler/proxy/state.h"

/* Nothing moved in either direction; and after one side ended. */
#define PROXY_TUNNEL_IDLE_MS (60 * 60 * 1000u)
#define PROXY_TUNNEL_HALF_MS (60 * 1000u)

/* When the request asks for an upgrade that may be: makes p->tunnel and takes p->turn from it. 0 or -ENOMEM. */
int proxy_tunnel_prepare(struct proxy_request *);
/*
 * The server said 101: answers the same and joins both. From then on it counts as a connection of the worker,
 * which a drain leaves alone and an abort cuts. -errno: nothing was answered, and the call is over.
 */
int proxy_tunnel_open(struct proxy_request *);
/* Before the request ends: what was not opened goes. Harmless without one. The turn has been given back. */
void proxy_tunnel_discard(struct proxy_request *);

#endif
