// SPDX-License-Identifier: Apache-2.0
// sluice proxy: passes requests to servers, without any configuration.
#include "cli/quick.h"

static const struct cli_option options[] = {
	{CLI_KEY_TO, "to", "SERVERS",
	 "where requests go: :3000,:3001 of this machine, 10.0.0.1:80, app.example.com:80; repeat for more"},
	{CLI_KEY_BALANCE, "balance", "HOW",
	 "round_robin, weighted, random, p2c, least_conn, ip_hash or consistent"},
	{CLI_KEY_HEALTH, "health", "PATH",
	 "ask every server for this path, and leave out who fails"},
	{CLI_KEY_HOST, "host", "HOST",
	 "sent as Host in place of the client's; $server: the server's own"},
	{CLI_KEY_ADMIN, "admin", "ADDR",
	 "a socket for sluice status and sluice server, as unix:/run/sluice.sock"},
	{0, NULL, NULL, NULL},
};

static int run_proxy(const struct cli_command *command, int argc, char **argv)
{
	struct cli_quick quick = {
		.quick = {.kind = APP_QUICK_PROXY, .balance = -1},
		.label = "proxying",
		.scheme = "http://",
	};

	return cli_quick_run(command, argc, argv, &quick, "sluice proxy --to :3000 --listen :8081");
}

const struct cli_command cli_proxy = {
	.name = "proxy",
	.args = "--to SERVERS",
	.summary = "pass requests to servers",
	.more = "Listens on :8080. A server that fails is left out for a while, and a request that it did not take goes\n"
		"to another. Prints the addresses to open.",
	.options = options,
	.serves = true,
	.run = run_proxy,
};
