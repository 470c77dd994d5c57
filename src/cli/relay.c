// SPDX-License-Identifier: Apache-2.0
// sluice tcp and udp: relays to servers, without any configuration.
#include "cli/quick.h"

static const struct cli_option tcp_options[] = {
	{CLI_KEY_TO, "to", "SERVERS",
	 "where connections go: 10.0.1.1:5432,10.0.1.2:5432; repeat for more"},
	{CLI_KEY_BALANCE, "balance", "HOW",
	 "round_robin, weighted, random, p2c, least_conn, ip_hash or consistent"},
	{CLI_KEY_HEALTH, "health", NULL, "try to connect to every server, and leave out who fails"},
	{CLI_KEY_SEND_PROXY, "send-proxy", "VERSION",
	 "tell servers who the client is: v1 or v2 of the PROXY protocol"},
	{CLI_KEY_ADMIN, "admin", "ADDR",
	 "a socket for sluice status and sluice server, as unix:/run/sluice.sock"},
	{0, NULL, NULL, NULL},
};

static const struct cli_option udp_options[] = {
	{CLI_KEY_TO, "to", "SERVERS",
	 "where datagrams go, each client's to one of them: 10.0.0.53:53; repeat for more"},
	{CLI_KEY_BALANCE, "balance", "HOW",
	 "round_robin, weighted, random, p2c, least_conn, ip_hash or consistent"},
	{CLI_KEY_ADMIN, "admin", "ADDR",
	 "a socket for sluice status and sluice server, as unix:/run/sluice.sock"},
	{0, NULL, NULL, NULL},
};

static int run_tcp(const struct cli_command *command, int argc, char **argv)
{
	struct cli_quick quick = {
		.quick = {.kind = APP_QUICK_TCP, .balance = -1},
		.label = "relaying",
		.scheme = "",
	};

	return cli_quick_run(command, argc, argv, &quick, NULL);
}

static int run_udp(const struct cli_command *command, int argc, char **argv)
{
	struct cli_quick quick = {
		.quick = {.kind = APP_QUICK_UDP, .balance = -1},
		.label = "relaying",
		.scheme = "",
	};

	return cli_quick_run(command, argc, argv, &quick, NULL);
}

const struct cli_command cli_tcp = {
	.name = "tcp",
	.args = "--listen ADDR --to SERVERS",
	.summary = "relay TCP connections to servers",
	.more = "A server that cannot be reached is left out for a while, and its connections go to another.",
	.options = tcp_options,
	.serves = true,
	.run = run_tcp,
};

const struct cli_command cli_udp = {
	.name = "udp",
	.args = "--listen ADDR --to SERVERS",
	.summary = "relay datagrams to servers",
	.options = udp_options,
	.serves = true,
	.run = run_udp,
};
