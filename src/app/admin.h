/* internal: the admin socket: one command in, text out. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_ADMIN_H
#define SLUICE_APP_ADMIN_H

#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"
#include "net/addr.h"

/*
 * A connection to the Unix socket carries one command: a line of words that ends in '\n', at most
 * APP_ADMIN_LINE_BYTES with it. The answer is "ok\n" or "error\n" and then text until the end of the connection,
 * which is empty or ends in '\n'. Commands:
 *
 *   status        text; with another word (json, prometheus) in that format: handler/status.h
 *   reload        the answer comes when every worker has the new configuration; error: the lines of
 *                 struct app_errors, and the old one stays
 *   server WHAT SERVER WEIGHT [GROUP]
 *                 WHAT is add, remove, drain, undrain or weight, WEIGHT a number (0 where none is meant); without a
 *                 group: in every one that has the server, or for add in the only one. A line for each
 *   stop          drains and ends; the answer comes at once
 */
#define APP_ADMIN_LINE_BYTES 4096
/* An answer is not read beyond this. */
#define APP_ADMIN_ANSWER_BYTES (16u << 20)
#define APP_ADMIN_TIMEOUT_MS 40000

/*
 * The client: blocking, for the command line. 0: the server did it; -EREMOTEIO: it answered "error"; then and
 * with 0 *answer is its text. -errno otherwise (-ECONNREFUSED, -ENOENT: nobody listens; -ETIMEDOUT; -EPROTO: no
 * known answer), with *answer empty.
 */
int app_admin_request(const struct net_addr *, const char *command, struct arena *,
		      struct str *answer);

#endif
