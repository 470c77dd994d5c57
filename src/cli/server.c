// SPDX-License-Identifier: Apache-2.0
// sluice drain and server: changes the groups of a running server, until its next reload.
#include <string.h>

#include "cli/cli.h"
#include "cli/control.h"
#include "upstream/config.h"

struct server {
	struct cli_control control;
	const char *group;
	bool undrain;
};

static const struct cli_option drain_options[] = {
	{CLI_KEY_GROUP, "group", "NAME", "in this group alone; in all that have it when not given"},
	{CLI_KEY_UNDRAIN, "undrain", NULL, "give it requests again"},
	CLI_CONTROL_OPTIONS,
	{0, NULL, NULL, NULL},
};

static const struct cli_option server_options[] = {
	{CLI_KEY_GROUP, "group", "NAME",
	 "in this group; for add needed when there are several, else in all that have it"},
	CLI_CONTROL_OPTIONS,
	{0, NULL, NULL, NULL},
};

static bool take(void *owner, int key, const char *arg)
{
	struct server *server = owner;

	if (key == CLI_KEY_GROUP)
		server->group = arg;
	else if (key == CLI_KEY_UNDRAIN)
		server->undrain = true;
	else
		cli_control_take(&server->control, key, arg);
	return true;
}

static bool is_server(const struct cli_command *command, const char *text)
{
	struct upstream_server_config config;
	char why[256];

	if (upstream_server_parse(str_from(text), &config, why, sizeof(why)) == 0 &&
	    !strchr(text, ' '))
		return true;
	cli_usage(command, "%s: %s: %s", command->name, text,
		  strchr(text, ' ') ? "a server without spaces is expected" : why);
	return false;
}

static int ask(const struct cli_command *command, const struct server *server, const char *what,
	       const char *name, const char *weight)
{
	char line[APP_ADMIN_LINE_BYTES];
	int n = snprintf(line, sizeof(line), "server %s %s %s %s", what, name, weight,
			 server->group ? server->group : "");

	/* A newline would end the command. */
	if (n >= (int)sizeof(line) - 1 || strpbrk(line, "\r\n"))
		return cli_usage(command, "%s: not a name of a group", command->name);
	return cli_control_ask(command, &server->control, line);
}

static int run_drain(const struct cli_command *command, int argc, char **argv)
{
	struct server server = {.group = NULL};
	const char *name = NULL;
	int done = cli_parse(command, argc, argv, take, &server, &name);

	if (done != CLI_OK)
		return done;
	if (!name)
		return cli_usage(command, "drain: which server? sluice drain 10.0.0.1:80");
	if (!is_server(command, name))
		return CLI_USAGE;
	return ask(command, &server, server.undrain ? "undrain" : "drain", name, "0");
}

static int run_server(const struct cli_command *command, int argc, char **argv)
{
	static const char *const words[] = {"add", "remove", "weight", NULL};
	struct server server = {.group = NULL};
	const char *args[3] = {NULL, NULL, NULL};
	int done = cli_parse(command, argc, argv, take, &server, args);
	uint64_t weight = 1;

	if (done != CLI_OK)
		return done;
	if (!args[0] || !args[1])
		return cli_usage(command, "server: what, and which? sluice server add 10.0.0.1:80");
	if (cli_take_word("server", args[0], words) < 0)
		return CLI_USAGE;
	if (!is_server(command, args[1]))
		return CLI_USAGE;
	if ((args[2] != NULL) != (strcmp(args[0], "weight") == 0) && strcmp(args[0], "add") != 0)
		return cli_usage(command, "server: a weight belongs to add and weight");
	if (args[2] && (str_to_u64(str_from(args[2]), UPSTREAM_WEIGHT_MAX, &weight) < 0 || !weight))
		return cli_usage(command, "server: %s: expected a weight from 1 to %d", args[2],
				 UPSTREAM_WEIGHT_MAX);
	return ask(command, &server, args[0], args[1], args[2] ? args[2] : "1");
}

const struct cli_command cli_drain = {
	.name = "drain",
	.args = "SERVER [--undrain]",
	.summary = "give a server no new requests",
	.more = "What it has in hand is finished, and clients with its sticky cookie stay with it. `sluice status` tells\n"
		"when it has nothing left.",
	.options = drain_options,
	.args_max = 1,
	.run = run_drain,
};

const struct cli_command cli_server = {
	.name = "server",
	.args = "add | remove | weight SERVER [WEIGHT]",
	.summary = "change the servers of a group",
	.more = "Until the next reload, which brings the group back to what the configuration says.",
	.options = server_options,
	.args_max = 3,
	.run = run_server,
};
