// SPDX-License-Identifier: Apache-2.0
#include "net/conn_names.h"

#include <errno.h>

#include "base/slab.h"

static _Thread_local struct slab names_slab =
	SLAB_INIT("conn names", sizeof(struct conn_names), 256);

int conn_set_names(struct conn *c, const struct net_addr *peer, const struct net_addr *own)
{
	if (!c->names && !(c->names = slab_alloc(&names_slab)))
		return -ENOMEM;
	c->names->peer = *peer;
	c->names->own = *own;
	return 0;
}

int conn_names_get(const struct conn *c, bool peer, struct net_addr *a)
{
	*a = peer ? c->names->peer : c->names->own;
	return 0;
}

void conn_free_names(struct conn *c)
{
	slab_free(&names_slab, c->names);
	c->names = NULL;
}
