// SPDX-License-Identifier: Apache-2.0
#include "app/listens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

void app_socket_file_note(struct app_socket_file *file, const struct net_addr *addr)
{
	struct stat st;

	file->path[0] = '\0';
	/* An abstract name has no file. */
	if (addr->u.sa.sa_family != AF_UNIX || !addr->u.un.sun_path[0] ||
	    stat(addr->u.un.sun_path, &st))
		return;
	snprintf(file->path, sizeof(file->path), "%.*s", (int)sizeof(addr->u.un.sun_path),
		 addr->u.un.sun_path);
	file->dev = st.st_dev;
	file->ino = st.st_ino;
}

void app_socket_file_remove(struct app_socket_file *file)
{
	struct stat st;

	if (file->path[0] && !stat(file->path, &st) && st.st_dev == file->dev &&
	    st.st_ino == file->ino)
		unlink(file->path);
	file->path[0] = '\0';
}

/* An address that speaks HTTP and then TCP has the same socket; datagrams have their own. */
static const struct app_slot *listens_by_addr(const struct app_listens *l,
					      const struct app_listen *want)
{
	bool is_udp = want->kind == APP_LISTEN_UDP;

	for (unsigned i = 0; i < l->count; i++)
		if (net_addr_eq(&l->slots[i].addr, &want->addr) &&
		    (l->slots[i].kind == APP_LISTEN_UDP) == is_udp)
			return &l->slots[i];
	return NULL;
}

const struct app_slot *app_listens_find(const struct app_listens *l, unsigned number)
{
	for (unsigned i = 0; i < l->count; i++)
		if (l->slots[i].number == number)
			return &l->slots[i];
	return NULL;
}

int app_listens_plan(const struct app_listens *now, const struct app_config *config,
		     struct app_listens *then, char *why, size_t why_len)
{
	*then = (struct app_listens){
		.numbers = now->numbers, .loops = now->loops, .workers = now->workers};
	for (unsigned i = 0; i < config->listen_count; i++) {
		const struct app_listen *want = &config->listens[i];
		const struct app_slot *have = listens_by_addr(now, want);
		struct app_slot *slot = &then->slots[then->count++];
		if (have) {
			*slot = *have;
			slot->kind = want->kind;
			slot->fresh = false;
			slot->sockets = NULL;
			continue;
		}
		if (then->numbers == APP_NUMBERS_MAX) {
			snprintf(
				why, why_len,
				"the addresses were changed too often (%u since the start): restart "
				"the server",
				APP_NUMBERS_MAX);
			return -ENOSPC;
		}
		*slot = (struct app_slot){.number = then->numbers++,
					  .kind = want->kind,
					  .addr = want->addr,
					  .bound = want->addr,
					  .options = want->options,
					  .fresh = true};
	}
	return 0;
}

int app_listens_number(const struct app_listens *l, struct http_config *http)
{
	struct http_router **routers =
		arena_zalloc(&http->arena, (l->numbers + 1) * sizeof(struct http_router *));

	if (!routers)
		return -ENOMEM;
	for (unsigned i = 0; i < l->count; i++)
		if (l->slots[i].kind == APP_LISTEN_HTTP)
			routers[l->slots[i].number] = http->routers[i];
	http->routers = routers;
	http->router_count = l->numbers;
	return 0;
}

/*
 * SO_REUSEPORT lets a second server of the same user join in silence. So the address is bound without it first:
 * that fails when anybody listens there.
 */
static int listens_probe(const struct app_slot *slot, char *why, size_t why_len)
{
	struct net_options options = slot->options;

	options.reuseport = false;
	int fd = slot->kind == APP_LISTEN_UDP
		       ? net_bind_datagram(&slot->addr, &options, why, why_len)
		       : net_listen(&slot->addr, &options, why, why_len);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int listens_open_first(struct app_slot *slot, unsigned loops, bool *shared, char *why,
			      size_t why_len)
{
	struct net_options options = slot->options;
	int fd = net_inherited(&slot->addr);

	*shared = fd >= 0 || slot->addr.u.sa.sa_family == AF_UNIX;
	if (fd >= 0)
		return fd;
	options.reuseport = !*shared && loops > 1;
	if (options.reuseport && net_addr_port(&slot->addr)) {
		int err = listens_probe(slot, why, why_len);
		if (err)
			return err;
	}
	fd = net_listen(&slot->addr, &options, why, why_len);
	if (fd >= 0)
		app_socket_file_note(&slot->file, &slot->addr);
	return fd;
}

/* Each worker's own, so that the kernel gives one client's datagrams to the same one. */
static int listens_open_datagram(struct app_slot *slot, char *why, size_t why_len)
{
	struct net_options options = slot->options;

	options.reuseport = slot->socket_count > 1;
	if (options.reuseport && net_addr_port(&slot->addr)) {
		int err = listens_probe(slot, why, why_len);
		if (err)
			return err;
	}
	return net_bind_datagram(&slot->addr, &options, why, why_len);
}

static int listens_open_slot(struct app_slot *slot, const struct app_listens *l, char *why,
			     size_t why_len)
{
	struct net_options options = slot->options;
	bool is_udp = slot->kind == APP_LISTEN_UDP, shared = false;

	slot->socket_count = is_udp ? l->workers : l->loops;
	slot->sockets = malloc(slot->socket_count * sizeof(*slot->sockets));
	if (!slot->sockets)
		return -ENOMEM;
	memset(slot->sockets, 0xff, slot->socket_count * sizeof(*slot->sockets));
	slot->sockets[0] = is_udp ? listens_open_datagram(slot, why, why_len)
				  : listens_open_first(slot, l->loops, &shared, why, why_len);
	if (slot->sockets[0] < 0)
		return slot->sockets[0];
	slot->bound.len = sizeof(slot->bound.u.storage);
	if (getsockname(slot->sockets[0], &slot->bound.u.sa, &slot->bound.len))
		return -errno;
	options.reuseport = true;
	for (unsigned i = 1; i < slot->socket_count; i++) {
		/* With port 0 the first socket decides, the others join it. */
		int fd = shared ? fcntl(slot->sockets[0], F_DUPFD_CLOEXEC, 0)
		       : is_udp ? net_bind_datagram(&slot->bound, &options, why, why_len)
				: net_listen(&slot->bound, &options, why, why_len);
		if (fd < 0)
			return shared ? -errno : fd;
		slot->sockets[i] = fd;
	}
	return 0;
}

int app_listens_open(struct app_listens *l, char *why, size_t why_len)
{
	for (unsigned i = 0; i < l->count; i++) {
		int err = l->slots[i].fresh ? listens_open_slot(&l->slots[i], l, why, why_len) : 0;
		if (err)
			return err;
	}
	return 0;
}

void app_listens_drop(struct app_listens *l, bool failed)
{
	for (unsigned i = 0; i < l->count; i++) {
		struct app_slot *slot = &l->slots[i];
		for (unsigned n = 0; slot->sockets && n < slot->socket_count; n++)
			if (slot->sockets[n] >= 0)
				close(slot->sockets[n]);
		free(slot->sockets);
		slot->sockets = NULL;
		if (failed && slot->fresh)
			app_socket_file_remove(&slot->file);
		slot->fresh = false;
	}
}
