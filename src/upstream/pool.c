// SPDX-License-Identifier: Apache-2.0
// Links and connections to the servers of turns, and the links that are kept for later turns.
#include <assert.h>
#include <errno.h>

#include "base/compiler.h"
#include "base/slab.h"
#include "net/dial.h"
#include "net/proxy_header.h"
#include "upstream/view.h"

_Static_assert(PROXY_HEADER_V2_MAX <= CONN_RESERVE_MAX, "a PROXY header is reserved in one piece");

/* A link and where it belongs. */
struct kept {
	struct http_link *http;
	struct upstream_slot *slot;
	struct list link;      /* in the slot's idle ones */
	struct io_timer timer; /* stays armed while the link works, and then finds it so */
	bool idle;
};

static _Thread_local struct slab kept_slab = SLAB_INIT("upstream link", sizeof(struct kept), 64);

static void rest(struct kept *kept)
{
	struct upstream_slot *slot = kept->slot;

	kept->idle = true;
	slot->idle_count++;
	/* The last used is the first taken: those that are too many grow old. */
	list_add(slot->idle.next, &kept->link);
}

static void wake(struct kept *kept)
{
	kept->idle = false;
	kept->slot->idle_count--;
	list_del(&kept->link);
}

static void idle_too_long(struct io_timer *timer)
{
	struct kept *kept = SL_CONTAINER(timer, struct kept, timer);

	if (!kept->idle)
		return;
	wake(kept);
	http_link_close(kept->http);
}

static bool worth_keeping(const struct kept *kept)
{
	const struct upstream_slot *slot = kept->slot;
	const struct upstream_config *config = slot->view->now.set->config;
	const struct upstream_keepalive *keep = &config->keepalive;
	uint32_t flags = atomic_load_explicit(&slot->server->flags, memory_order_relaxed);

	/* After a PROXY header a link speaks for one client. */
	return slot->member && slot->idle_count < keep->idle_max && !config->send_proxy &&
	       !(flags & (UPSTREAM_FLAG_DOWN | UPSTREAM_FLAG_GONE)) &&
	       (!keep->requests_max || kept->http->calls < keep->requests_max);
}

static void link_idle(struct http_link *http)
{
	struct kept *kept = http->owner;

	if (!worth_keeping(kept)) {
		http_link_close(http);
		return;
	}
	rest(kept);
	io_timer_set(http->loop, &kept->timer,
		     kept->slot->view->now.set->config->keepalive.idle_timeout_ms);
}

static void link_closed(struct http_link *http)
{
	struct kept *kept = http->owner;
	struct upstream_slot *slot = kept->slot;

	if (kept->idle)
		wake(kept);
	io_timer_stop(&kept->timer);
	slab_free(&kept_slab, kept);
	slot->links--;
	upstream_slot_settle(slot);
}

static const struct http_link_ops link_ops = {.idle = link_idle, .closed = link_closed};

void upstream_pool_clear(struct upstream_slot *slot)
{
	while (!list_empty(&slot->idle)) {
		struct kept *kept = SL_CONTAINER(slot->idle.next, struct kept, link);

		wake(kept);
		http_link_close(kept->http);
	}
}

/* The newest that still lives. */
static struct http_link *take_kept(struct upstream_slot *slot, bool safe)
{
	while (!list_empty(&slot->idle)) {
		struct kept *kept = SL_CONTAINER(slot->idle.next, struct kept, link);

		wake(kept);
		/* The server has closed it, and `closed` is on its way. */
		if (!kept->http->usable)
			continue;
		if (!safe || http_link_alive(kept->http))
			return kept->http;
		http_link_close(kept->http);
	}
	return NULL;
}

/* A connection that begins with its PROXY header, where the group sends one. NULL: errno. */
static struct conn *dial(struct upstream_turn *turn, const struct net_addr *client,
			 void (*connected)(struct conn *, void *consumer, int result))
{
	struct upstream_slot *slot = turn->slot;
	enum proxy_version version = (enum proxy_version)slot->view->now.set->config->send_proxy;
	struct conn *conn =
		conn_plain_connect(slot->view->loop, &slot->server->addr, NULL, connected);
	uint8_t *header;

	if (!conn)
		return NULL;
	slot->tally.connects++;
	upstream_slot_dirty(slot);
	if (version == PROXY_NONE)
		return conn;
	header = conn_reserve(conn, PROXY_HEADER_V2_MAX);
	if (!header) {
		conn_close(conn, -ENOMEM);
		errno = ENOMEM;
		return NULL;
	}
	conn_commit(conn, proxy_header_print(version, client, turn->local, header));
	return conn;
}

static struct http_link *new_link(struct upstream_turn *turn, const struct net_addr *client)
{
	struct kept *kept = slab_zalloc(&kept_slab);
	struct conn *conn;

	if (!kept) {
		errno = ENOMEM;
		return NULL;
	}
	conn = dial(turn, client, http_link_connected);
	if (conn)
		kept->http = http_link_new(conn, true, &link_ops, kept);
	if (!kept->http) {
		if (conn)
			errno = ENOMEM;
		slab_free(&kept_slab, kept);
		return NULL;
	}
	kept->slot = turn->slot;
	kept->timer.fire = idle_too_long;
	list_init(&kept->link);
	kept->slot->links++;
	return kept->http;
}

struct http_link *upstream_link(struct upstream_turn *turn, bool fresh, bool safe,
				const struct net_addr *client)
{
	struct http_link *http;

	assert(turn->state == UPSTREAM_TURN_TAKEN);
	http = fresh ? NULL : take_kept(turn->slot, safe);
	if (!http)
		return new_link(turn, client);
	turn->slot->tally.reused++;
	upstream_slot_dirty(turn->slot);
	return http;
}

struct conn *upstream_connect(struct upstream_turn *turn, const struct net_addr *client,
			      void (*connected)(struct conn *, void *consumer, int result))
{
	assert(turn->state == UPSTREAM_TURN_TAKEN);
	return dial(turn, client, connected);
}
