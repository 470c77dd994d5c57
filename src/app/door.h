/* internal: the listening sockets of one loop, by number: opened, and closed without losing who waits there. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_DOOR_H
#define SLUICE_APP_DOOR_H

#include <stdbool.h>

#include "app/config.h"
#include "io/io.h"
#include "net/listener.h"

/* While a reload runs, those that come and those that go are here together. */
#define APP_DOOR_MAX (2 * APP_LISTENS_MAX)

struct app_door;

enum app_leaf_state {
	APP_LEAF_FREE,
	APP_LEAF_OPEN,    /* accepts */
	APP_LEAF_CLOSING, /* until the loop has let go of it */
};

struct app_leaf {
	struct net_listener net;
	struct app_door *door;
	unsigned number;
	enum app_leaf_state state;
};

/* Everything on the loop's thread. Zeroed, then loop, owner, accepted, starved and closed are set. */
struct app_door {
	struct io_loop *loop;
	void *owner;
	void (*accepted)(struct app_door *, int fd, unsigned number); /* the callee owns fd */
	bool (*starved)(struct app_door *);                           /* as in net/listener.h */
	void (*closed)(struct app_door *); /* the last that was told to close has closed */
	unsigned open, closing;
	struct app_leaf leaves[APP_DOOR_MAX];
};

/* Takes over `fd`, which listens. 0 or -errno, then it is closed. */
int app_door_open(struct app_door *, int fd, unsigned number);
/* Closes what `keep` does not want (NULL: all). Who waits in the backlog is accepted first. */
void app_door_close(struct app_door *, bool (*keep)(void *context, unsigned number), void *context);

#endif
