/* internal: the command line: its commands, their options, and what they share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "app/config.h"
#include "app/server.h"

/* Exit codes, as in the manual page. */
enum cli_exit { CLI_OK, CLI_FAILED, CLI_USAGE };

/* An option of a command. Tables end with a NULL name. */
struct cli_option {
	int key;          /* the letter of its short form, or an enum cli_key */
	const char *name; /* without the dashes */
	const char *arg;  /* "ADDR"; NULL: takes none */
	const char *doc;
};

/* Options without a letter. */
enum cli_key {
	CLI_KEY_LISTEN = 256,
	CLI_KEY_WORKERS,
	CLI_KEY_ENGINE,
	CLI_KEY_LOG,
	CLI_KEY_LOG_LEVEL,
	CLI_KEY_ADMIN,
	CLI_KEY_JSON,
	CLI_KEY_PROMETHEUS,
	CLI_KEY_WRITE,
	CLI_KEY_MARKDOWN,
	CLI_KEY_TO,
	CLI_KEY_BALANCE,
	CLI_KEY_HEALTH,
	CLI_KEY_HOST,
	CLI_KEY_GROUP,
	CLI_KEY_UNDRAIN,
	CLI_KEY_SEND_PROXY,
};

struct cli_command {
	const char *name;
	const char *args;                 /* "[DIR]" */
	const char *summary;              /* one line */
	const char *more;                 /* paragraphs of its help; NULL: none */
	const struct cli_option *options; /* its own; NULL: none */
	bool serves;                      /* takes cli_serving_options, too */
	unsigned args_max;                /* words that are no options */
	int (*run)(struct cli_command const *, int argc, char **argv);
};

extern const struct cli_command cli_check, cli_drain, cli_explain, cli_files, cli_fmt, cli_help,
	cli_proxy, cli_reload, cli_run, cli_server, cli_status, cli_stop, cli_tcp, cli_udp,
	cli_version;
/* All of them, in the order of the help; the last is NULL. */
extern const struct cli_command *const cli_commands[];
extern const struct cli_option cli_serving_options[];

/*
 * Reads the arguments of a command; argv[0] is its name. `take` gets each option, NULL when the command has
 * none but the serving ones, and answers false after telling what is wrong. Words that are no options are left in
 * args[0..args_max), the rest of it NULL. CLI_OK, or an exit code to end with (0 - 1 after --help was answered).
 */
#define CLI_DONE (-1)
int cli_parse(const struct cli_command *, int argc, char **argv,
	      bool (*take)(void *owner, int key, const char *arg), void *owner, const char **args);

/* What the serving options said. */
struct cli_serving {
	const char *listens[APP_LISTENS_MAX];
	struct app_overrides overrides;
};
void cli_serving_init(struct cli_serving *);
/* For cli_parse: true for the serving option `key`. *known: whether it is one. */
bool cli_serving_take(struct cli_serving *, int key, const char *arg, bool *known);

/* The place of the word in the list that NULL ends, or -1 after saying what is expected of the option. */
int cli_take_word(const char *option, const char *arg, const char *const *words);
/* "open http://..." lines for what is bound, to standard output; scheme "": addresses without one. */
void cli_print_addresses(const char *scheme, const struct net_addr *bound, unsigned count);

/* "sluice: ..." to standard error. */
void cli_error(const char *fmt, ...) SL_PRINTF(1, 2);
/* The same with a hint where help is, and CLI_USAGE. */
int cli_usage(const struct cli_command *, const char *fmt, ...) SL_PRINTF(2, 3);
/* The lines, and CLI_FAILED. */
int cli_print_errors(const struct app_errors *);
/* `given`, or sluice.conf here, or /etc/sluice/sluice.conf. */
const char *cli_config_file(const char *given);
/* Serves it; the exit code. Takes over the reference. in_use: what to try when an address is taken, or NULL. */
int cli_serve(struct app_config *, const struct app_reload *, const char *in_use);
/* The command of that name, or NULL. */
const struct cli_command *cli_find(const char *name);
void cli_print_command(FILE *, const struct cli_command *);

/* Colours of a terminal; all are "" when the stream is none, or NO_COLOR is set. */
struct cli_colours {
	const char *bold, *dim, *red, *green, *off;
};
const struct cli_colours *cli_colours(FILE *);

/* The reference of the configuration: all of it, or one block. False: no block has that name. */
bool cli_print_reference(FILE *, const char *block);
void cli_print_markdown(FILE *);

#endif
