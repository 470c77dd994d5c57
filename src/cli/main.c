// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "app/schema.h"
#include "cli/cli.h"

static const struct {
	const char *flag;
	const struct cli_command *command;
} aliases[] = {
	{"-h", &cli_help},
	{"--help", &cli_help},
	{"-V", &cli_version},
	{"--version", &cli_version},
};

static int unknown_command(const char *name)
{
	struct schema_guess guess = {NULL, 0};

	for (unsigned i = 0; cli_commands[i]; i++)
		schema_guess(&guess, str_from(name), cli_commands[i]->name);
	if (guess.best)
		return cli_usage(NULL, "unknown command \"%s\" (did you mean \"%s\"?)", name,
				 guess.best);
	return cli_usage(NULL, "unknown command \"%s\"", name);
}

int main(int argc, char **argv)
{
	const struct cli_command *command;
	int code;

	if (argc < 2)
		return cli_usage(NULL, "no command: `sluice files` serves the current folder");
	command = cli_find(argv[1]);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(aliases); i++)
		if (strcmp(argv[1], aliases[i].flag) == 0)
			command = aliases[i].command;
	if (!command)
		return unknown_command(argv[1]);
	code = command->run(command, argc - 1, argv + 1);
	if (code == CLI_DONE)
		code = CLI_OK;
	/* What was said must have arrived: a full disk behind standard output is a failure. */
	if (fflush(stdout) != 0 && code == CLI_OK) {
		cli_error("standard output could not be written");
		code = CLI_FAILED;
	}
	return code;
}
