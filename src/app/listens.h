/* internal: the addresses that the server listens on: their numbers, which outlive reloads, and their new sockets. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_LISTENS_H
#define SLUICE_APP_LISTENS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "app/config.h"

/*
 * A connection keeps the number of its address, so a number is never used for another one: a server that was
 * reloaded to this many different addresses has to be restarted for the next.
 */
#define APP_NUMBERS_MAX 1024u

/* The file of a Unix socket as we made it: another program's is not removed. */
struct app_socket_file {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1]; /* empty: none */
	dev_t dev;
	ino_t ino;
};
void app_socket_file_note(struct app_socket_file *, const struct net_addr *);
void app_socket_file_remove(struct app_socket_file *);

struct app_slot {
	unsigned number;
	enum app_listen_kind kind;
	struct net_addr addr; /* as configured: a reload finds it by this */
	struct net_addr bound;
	struct net_options options;
	struct app_socket_file file;
	bool fresh;   /* not in the set before: to be opened */
	int *sockets; /* of a fresh one, for each loop that listens; -1 when it was taken */
	unsigned socket_count;
};

struct app_listens {
	struct app_slot slots[APP_LISTENS_MAX];
	unsigned count;
	unsigned numbers; /* so many were ever given out */
	unsigned loops;   /* that accept connections */
	unsigned workers; /* each has a socket of its own for datagrams */
};

/*
 * What follows `now` when `config` comes: addresses that stay keep their numbers, the others are fresh. Touches
 * nothing else. 0, or -ENOSPC with a sentence in why.
 */
int app_listens_plan(const struct app_listens *now, const struct app_config *config,
		     struct app_listens *then, char *why, size_t why_len);
/* Puts the routers of a configuration that nobody has yet in the order of the numbers. 0 or -ENOMEM. */
int app_listens_number(const struct app_listens *, struct http_config *);
/*
 * Opens the fresh ones, inherited sockets first, one socket for each loop; a Unix socket and an inherited one
 * have a single queue, which the loops share. 0, or -errno with a sentence in why; then app_listens_drop.
 */
int app_listens_open(struct app_listens *, char *why, size_t why_len);
/* Closes the sockets that nobody took, and removes their files when `failed`. */
void app_listens_drop(struct app_listens *, bool failed);
/* The slot of a number, or NULL. */
const struct app_slot *app_listens_find(const struct app_listens *, unsigned number);

#endif
