// SPDX-License-Identifier: Apache-2.0
// sluice help: the commands, one of them, or the reference of the configuration.
#include <string.h>

#include "app/schema.h"
#include "cli/cli.h"

const struct cli_command *const cli_commands[] = {
	&cli_files,  &cli_proxy,   &cli_tcp,    &cli_udp,    &cli_run,  &cli_check,
	&cli_fmt,    &cli_explain, &cli_status, &cli_reload, &cli_stop, &cli_drain,
	&cli_server, &cli_version, &cli_help,   NULL,
};

static const struct cli_option options[] = {
	{CLI_KEY_MARKDOWN, "markdown", NULL, "the reference as Markdown"},
	{0, NULL, NULL, NULL},
};

const struct cli_command *cli_find(const char *name)
{
	for (unsigned i = 0; cli_commands[i]; i++)
		if (strcmp(name, cli_commands[i]->name) == 0)
			return cli_commands[i];
	return NULL;
}

static void print_options(FILE *to, const struct cli_option *options_of)
{
	for (const struct cli_option *o = options_of; o && o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%.1s%s--%s%s%s", o->key < 256 ? "-" : "",
			 o->key < 256 ? (const char[]){(char)o->key, 0} : "",
			 o->key < 256 ? ", " : "    ", o->name, o->arg ? " " : "",
			 o->arg ? o->arg : "");
		fprintf(to, "  %-24s %s\n", left, o->doc);
	}
}

void cli_print_command(FILE *to, const struct cli_command *command)
{
	const struct cli_colours *c = cli_colours(to);

	fprintf(to, "%ssluice %s%s%s%s%s\n\n%s\n", c->bold, command->name,
		*command->args ? " " : "", command->args, command->serves ? " [OPTIONS]" : "",
		c->off, command->summary);
	if (command->more)
		fprintf(to, "\n%s\n", command->more);
	fputc('\n', to);
	print_options(to, command->options);
	if (command->serves)
		print_options(to, cli_serving_options);
	fprintf(to, "  %-24s %s\n", "-h, --help", "this");
}

static void print_all(FILE *to)
{
	const struct cli_colours *c = cli_colours(to);

	fprintf(to, "%ssluice%s serves files and passes requests on: a zero-copy edge server\n\n",
		c->bold, c->off);
	for (unsigned i = 0; cli_commands[i]; i++) {
		const struct cli_command *command = cli_commands[i];
		char left[64];

		snprintf(left, sizeof(left), "%s %s", command->name, command->args);
		fprintf(to, "  %-44s %s\n", left, command->summary);
	}
	fprintf(to,
		"\n`sluice help COMMAND` says more of one, `sluice help config` lists every key of a\n"
		"configuration.\n");
}

static bool take(void *owner, int key, const char *arg)
{
	*(bool *)owner = true;
	return true;
}

static int unknown_topic(const struct cli_command *command, const char *topic)
{
	struct schema_guess guess = {NULL, 0};

	schema_guess(&guess, str_from(topic), "config");
	for (unsigned i = 0; cli_commands[i]; i++)
		schema_guess(&guess, str_from(topic), cli_commands[i]->name);
	if (guess.best)
		return cli_usage(NULL, "no help on \"%s\" (did you mean \"%s\"?)", topic,
				 guess.best);
	return cli_usage(NULL, "no help on \"%s\"", topic);
}

static int run_help(const struct cli_command *command, int argc, char **argv)
{
	const char *args[2] = {NULL, NULL};
	bool markdown = false;
	int done = cli_parse(command, argc, argv, take, &markdown, args);

	if (done != CLI_OK)
		return done;
	if (args[0] && strcmp(args[0], "config") == 0) {
		if (markdown)
			cli_print_markdown(stdout);
		else if (!cli_print_reference(stdout, args[1]))
			return cli_usage(NULL, "no block \"%s\" in a configuration", args[1]);
		return CLI_OK;
	}
	if (markdown || args[1])
		return cli_usage(command, "only the reference of the configuration has parts");
	if (!args[0])
		print_all(stdout);
	else if (cli_find(args[0]))
		cli_print_command(stdout, cli_find(args[0]));
	else
		return unknown_topic(command, args[0]);
	return CLI_OK;
}

const struct cli_command cli_help = {
	.name = "help",
	.args = "[COMMAND | config [BLOCK]]",
	.summary = "show help",
	.options = options,
	.args_max = 2,
	.run = run_help,
};
