/* internal: commands that ask a running server. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_CLI_CONTROL_H
#define SLUICE_CLI_CONTROL_H

#include "app/admin.h"
#include "cli/cli.h"

/* How the server is found. Zeroed. */
struct cli_control {
	const char *file, *admin;
};

/* Rows of a table of options. */
#define CLI_CONTROL_OPTIONS                                                                           \
	{'c', "config", "FILE",                                                                       \
	 "the configuration of the server; ./sluice.conf or /etc/sluice/sluice.conf when not given"}, \
	{                                                                                             \
		CLI_KEY_ADMIN, "admin", "ADDR",                                                       \
			"its admin socket, as unix:/run/sluice.sock, in place of a configuration"     \
	}
void cli_control_take(struct cli_control *, int key, const char *arg);
/* One command by the admin socket; prints what it answers. The exit code. */
int cli_control_ask(const struct cli_command *, const struct cli_control *, const char *line);

#endif
