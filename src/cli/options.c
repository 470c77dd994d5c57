// SPDX-License-Identifier: Apache-2.0
// Reading the arguments of a command by its table of options.
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/schema.h"
#include "base/text.h"
#include "cli/cli.h"

#define OPTIONS_MAX 24
#define KEY_UNKNOWN '?'
#define KEY_HELP 'h'

const struct cli_option cli_serving_options[] = {
	{CLI_KEY_LISTEN, "listen", "ADDR",
	 "listen here: :8080, 127.0.0.1:80, [::1]:80, unix:PATH; repeat for more"},
	{CLI_KEY_WORKERS, "workers", "N", "threads that serve; 0: one for each CPU"},
	{CLI_KEY_ENGINE, "engine", "E", "auto, io_uring, epoll, poll or select"},
	{CLI_KEY_LOG, "log", "FORMAT",
	 "access log to standard output: common, combined, json or off"},
	{CLI_KEY_LOG_LEVEL, "log-level", "LEVEL", "debug, info, warn, error or off"},
	{0, NULL, NULL, NULL},
};

void cli_error(const char *fmt, ...)
{
	const struct cli_colours *c = cli_colours(stderr);
	va_list ap;

	fprintf(stderr, "%ssluice:%s ", c->red, c->off);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int cli_usage(const struct cli_command *command, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cli_error("%s", text);
	fprintf(stderr, "try: sluice help%s%s\n", command ? " " : "", command ? command->name : "");
	return CLI_USAGE;
}

const struct cli_colours *cli_colours(FILE *stream)
{
	static const struct cli_colours plain = {"", "", "", "", ""};
	static const struct cli_colours colours = {"\033[1m", "\033[2m", "\033[31m", "\033[32m",
						   "\033[0m"};
	const char *none = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if ((none && *none) || !isatty(fileno(stream)) || (term && strcmp(term, "dumb") == 0))
		return &plain;
	return &colours;
}

/* The command's options as getopt_long wants them. */
struct table {
	const struct cli_option *known[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 2];
	char shorts[OPTIONS_MAX * 2 + 4];
	unsigned count;
};

static void table_add(struct table *t, const struct cli_option *options)
{
	size_t at = strlen(t->shorts);

	for (const struct cli_option *o = options; o && o->name && t->count < OPTIONS_MAX; o++) {
		t->longs[t->count] = (struct option){
			o->name, o->arg ? required_argument : no_argument, NULL, o->key};
		t->known[t->count++] = o;
		if (o->key >= 256)
			continue;
		t->shorts[at++] = (char)o->key;
		if (o->arg)
			t->shorts[at++] = ':';
	}
	t->shorts[at] = '\0';
}

static void table_make(struct table *t, const struct cli_command *command)
{
	memset(t, 0, sizeof(*t));
	/* Colon: a missing argument is told apart from an unknown option. */
	strcpy(t->shorts, ":h");
	table_add(t, command->options);
	if (command->serves)
		table_add(t, cli_serving_options);
	t->longs[t->count] = (struct option){"help", no_argument, NULL, KEY_HELP};
}

static int unknown_option(const struct cli_command *command, const struct table *t, char **argv)
{
	const char *wrong = argv[optind - 1];
	struct schema_guess guess = {NULL, 0};
	struct str name = str_from(wrong);
	const char *equals;

	/* A letter among others: getopt has not gone on to the next word yet. */
	if (optopt && !str_starts(name, STR("--")))
		return cli_usage(command, "%s: unknown option -%c", command->name, optopt);
	/* A known one with a value that it does not take. */
	if (optopt)
		return cli_usage(command, "%s: %s takes no value", command->name, wrong);
	equals = strchr(wrong, '=');
	name = str_skip((struct str){wrong, equals ? (size_t)(equals - wrong) : strlen(wrong)}, 2);
	for (unsigned i = 0; i <= t->count; i++)
		schema_guess(&guess, name, t->longs[i].name);
	if (guess.best)
		return cli_usage(command, "%s: unknown option --%.*s (did you mean --%s?)",
				 command->name, STR_ARG(name), guess.best);
	return cli_usage(command, "%s: unknown option --%.*s", command->name, STR_ARG(name));
}

static int missing_argument(const struct cli_command *command, const struct table *t)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->known[i]->key == optopt)
			return cli_usage(command, "%s: --%s needs a value: --%s %s", command->name,
					 t->known[i]->name, t->known[i]->name, t->known[i]->arg);
	return cli_usage(command, "%s: a value is missing", command->name);
}

int cli_parse(const struct cli_command *command, int argc, char **argv,
	      bool (*take)(void *owner, int key, const char *arg), void *owner, const char **args)
{
	struct table t;
	unsigned count = 0;
	int key;

	table_make(&t, command);
	optind = 0;
	opterr = 0;
	while ((key = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1) {
		if (key == KEY_HELP) {
			cli_print_command(stdout, command);
			return CLI_DONE;
		}
		if (key == ':')
			return missing_argument(command, &t);
		if (key == KEY_UNKNOWN)
			return unknown_option(command, &t, argv);
		if (!take(owner, key, optarg))
			return CLI_USAGE;
	}
	for (; optind < argc; optind++) {
		if (count == command->args_max)
			return cli_usage(command, "%s: \"%s\" is too much", command->name,
					 argv[optind]);
		args[count++] = argv[optind];
	}
	return CLI_OK;
}

void cli_serving_init(struct cli_serving *serving)
{
	memset(serving, 0, sizeof(*serving));
	serving->overrides = APP_OVERRIDES_NONE;
	serving->overrides.listens = serving->listens;
}

static bool take_listen(struct cli_serving *serving, const char *arg)
{
	struct net_addr addr;
	char why[192];

	if (serving->overrides.listen_count == APP_LISTENS_MAX) {
		cli_error("--listen: more than %d addresses", APP_LISTENS_MAX);
		return false;
	}
	if (net_addr_parse(str_from(arg), &addr, why, sizeof(why)) < 0) {
		cli_error("--listen %s: %s", arg, why);
		return false;
	}
	serving->listens[serving->overrides.listen_count++] = arg;
	return true;
}

static bool take_workers(struct cli_serving *serving, const char *arg)
{
	uint64_t n;

	if (str_to_u64(str_from(arg), APP_WORKERS_MAX, &n) < 0) {
		cli_error("--workers %s: expected a number from 0 to %d", arg, APP_WORKERS_MAX);
		return false;
	}
	serving->overrides.workers = (int)n;
	return true;
}

int cli_take_word(const char *option, const char *arg, const char *const *words)
{
	struct schema_guess guess = {NULL, 0};
	char buffer[128];
	struct text list;

	text_init_fixed(&list, buffer, sizeof(buffer));
	for (int i = 0; words[i]; i++) {
		if (strcmp(arg, words[i]) == 0)
			return i;
		schema_guess(&guess, str_from(arg), words[i]);
		text_printf(&list, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
	}
	if (guess.best)
		cli_error("--%s %s: expected %.*s (did you mean %s?)", option, arg, (int)list.len,
			  buffer, guess.best);
	else
		cli_error("--%s %s: expected %.*s", option, arg, (int)list.len, buffer);
	return -1;
}

bool cli_serving_take(struct cli_serving *serving, int key, const char *arg, bool *known)
{
	/* In the order of their enums. */
	static const char *const engines[] = {"auto", "io_uring", "epoll", "poll", "select", NULL};
	static const char *const formats[] = {"off", "common", "combined", "json", NULL};
	static const char *const levels[] = {"debug", "info", "warn", "error", "off", NULL};
	struct app_overrides *o = &serving->overrides;

	*known = true;
	switch (key) {
	case CLI_KEY_LISTEN:
		return take_listen(serving, arg);
	case CLI_KEY_WORKERS:
		return take_workers(serving, arg);
	case CLI_KEY_ENGINE:
		o->engine = cli_take_word("engine", arg, engines);
		return o->engine >= 0;
	case CLI_KEY_LOG:
		o->access_format = cli_take_word("log", arg, formats);
		return o->access_format >= 0;
	case CLI_KEY_LOG_LEVEL:
		o->log_level = cli_take_word("log-level", arg, levels);
		return o->log_level >= 0;
	default:
		*known = false;
		return false;
	}
}
