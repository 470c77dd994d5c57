/* internal: commands that serve a group of servers without a configuration: proxy, tcp, udp. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_CLI_QUICK_H
#define SLUICE_CLI_QUICK_H

#include "app/quick.h"
#include "cli/cli.h"

#define CLI_SERVERS_MAX 256

/* Zeroed but for what the command sets: the kind, the label and the scheme. */
struct cli_quick {
	struct app_quick quick;
	const char *label;  /* what stands before the servers in the first line */
	const char *scheme; /* of the addresses to open: "http://"; "": none */
	const char *to[CLI_SERVERS_MAX];
	struct cli_serving serving;
};

/* Reads the arguments and serves; the exit code. in_use: what to try when the usual address is taken. */
int cli_quick_run(const struct cli_command *, int argc, char **argv, struct cli_quick *,
		  const char *in_use);

#endif
