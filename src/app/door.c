// SPDX-License-Identifier: Apache-2.0
#include "app/door.h"

#include <assert.h>
#include <unistd.h>

static void leaf_set_state(struct app_leaf *leaf, enum app_leaf_state state)
{
	struct app_door *door = leaf->door;

	door->open -= leaf->state == APP_LEAF_OPEN;
	door->closing -= leaf->state == APP_LEAF_CLOSING;
	leaf->state = state;
	door->open += state == APP_LEAF_OPEN;
	door->closing += state == APP_LEAF_CLOSING;
}

static void leaf_accepted(struct net_listener *net, int fd)
{
	struct app_leaf *leaf = net->owner;

	leaf->door->accepted(leaf->door, fd, leaf->number);
}

static bool leaf_starved(struct net_listener *net)
{
	struct app_leaf *leaf = net->owner;

	return leaf->door->starved(leaf->door);
}

static const struct net_listener_events leaf_events = {
	.accepted = leaf_accepted,
	.starved = leaf_starved,
};

int app_door_open(struct app_door *door, int fd, unsigned number)
{
	struct app_leaf *leaf = door->leaves;

	while (leaf->state != APP_LEAF_FREE)
		leaf++;
	assert(leaf < door->leaves + APP_DOOR_MAX);
	leaf->door = door;
	leaf->number = number;
	int err = net_listener_start(&leaf->net, door->loop, fd, &leaf_events, leaf);
	if (err) {
		close(fd);
		return err;
	}
	leaf_set_state(leaf, APP_LEAF_OPEN);
	return 0;
}

static void leaf_stopped(struct net_listener *net)
{
	struct app_leaf *leaf = net->owner;
	struct app_door *door = leaf->door;

	leaf_set_state(leaf, APP_LEAF_FREE);
	if (!door->closing)
		door->closed(door);
}

void app_door_close(struct app_door *door, bool (*keep)(void *, unsigned), void *context)
{
	for (unsigned i = 0; i < APP_DOOR_MAX; i++) {
		struct app_leaf *leaf = &door->leaves[i];
		if (leaf->state != APP_LEAF_OPEN || (keep && keep(context, leaf->number)))
			continue;
		leaf_set_state(leaf, APP_LEAF_CLOSING);
		net_listener_stop(&leaf->net, leaf_stopped);
	}
}
