/* internal: the running server: workers, signals, reload and the end. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_SERVER_H
#define SLUICE_APP_SERVER_H

#include "app/config.h"

/*
 * How the server gets its configuration anew, at SIGHUP or when the admin socket asks. load: as
 * app_config_load; called on the main thread, never two at a time. What it refuses is logged and answered, and the
 * old configuration stays. NULL in place of the whole: a reload is refused, there is no file.
 */
struct app_reload {
	int (*load)(void *owner, struct app_config **made, struct app_errors *);
	void *owner;
	/*
	 * Called once on the main thread when every listener is open and before a connection is accepted, with the
	 * addresses as they are bound (a port 0 has its number), by listener number. NULL allowed.
	 */
	void (*ready)(void *owner, const struct app_config *, const struct net_addr *bound,
		      unsigned count);
};

/*
 * Serves until SIGTERM, SIGINT or the admin socket's `stop`, and drains then. The calling thread is the main
 * thread and blocks here. Takes over the one reference of the configuration, whatever happens.
 *
 * SIGHUP reloads, SIGTERM and SIGINT drain and a second one cuts, SIGUSR1 opens the logs again. They stay blocked when
 * this returns: one that comes late must not kill an orderly end.
 *
 * Returns 0 after an orderly end; -errno when it could not start (an address is taken, the engine is
 * impossible, a user cannot be become), with a sentence that says the cure in why.
 */
int app_serve(struct app_config *, const struct app_reload *, char *why, size_t why_len);

#endif
