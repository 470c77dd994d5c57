// SPDX-License-Identifier: Apache-2.0
// sluice status, reload and stop: the running server, by its admin socket or its process number.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/control.h"

struct control {
	struct cli_control way;
	const char *format;
};

static const struct cli_option options[] = {
	CLI_CONTROL_OPTIONS,
	{0, NULL, NULL, NULL},
};

static const struct cli_option status_options[] = {
	CLI_CONTROL_OPTIONS,
	{CLI_KEY_JSON, "json", NULL, "as JSON"},
	{CLI_KEY_PROMETHEUS, "prometheus", NULL, "in the text format of Prometheus"},
	{0, NULL, NULL, NULL},
};

void cli_control_take(struct cli_control *control, int key, const char *arg)
{
	if (key == 'c')
		control->file = arg;
	else if (key == CLI_KEY_ADMIN)
		control->admin = arg;
}

static bool take(void *owner, int key, const char *arg)
{
	struct control *control = owner;

	if (key == CLI_KEY_JSON || key == CLI_KEY_PROMETHEUS)
		control->format = key == CLI_KEY_JSON ? " json" : " prometheus";
	else
		cli_control_take(&control->way, key, arg);
	return true;
}

static int ask(const struct net_addr *admin, const char *words)
{
	char text[NET_ADDR_TEXT];
	struct arena arena;
	struct str answer = STR("");
	int err;

	arena_init(&arena, 0);
	err = app_admin_request(admin, words, &arena, &answer);
	fwrite(answer.p, 1, answer.len, err == 0 ? stdout : stderr);
	arena_free(&arena);
	if (err == 0)
		return CLI_OK;
	net_addr_print(admin, text);
	if (err == -ECONNREFUSED || err == -ENOENT)
		cli_error(
			"nobody listens on %s: is the server running, with this admin { listen }?",
			text);
	else if (err != -EREMOTEIO)
		cli_error("%s: %s", text, strerror(-err));
	return CLI_FAILED;
}

/* Without an admin socket: the signal to the process that the pid file names. */
static int send_signal(const struct app_config *config, int number)
{
	FILE *in = fopen(config->pid_file.p, "re");
	char text[32] = "";
	uint64_t pid = 0;
	struct str line;

	if (!in) {
		cli_error("%s: %s: is the server running?", config->pid_file.p, strerror(errno));
		return CLI_FAILED;
	}
	line = (struct str){text, fread(text, 1, sizeof(text) - 1, in)};
	fclose(in);
	line.len = strcspn(text, "\r\n");
	if (str_to_u64(line, INT32_MAX, &pid) < 0 || pid < 2) {
		cli_error("%s does not hold the number of a process", config->pid_file.p);
		return CLI_FAILED;
	}
	if (kill((pid_t)pid, number) < 0) {
		cli_error("process %llu: %s", (unsigned long long)pid, strerror(errno));
		return CLI_FAILED;
	}
	return CLI_OK;
}

static int by_config(const struct cli_control *control, const char *words, int number)
{
	const char *file = cli_config_file(control->file);
	struct app_config *config = NULL;
	struct app_errors errors;
	int done = CLI_FAILED;

	app_errors_init(&errors);
	if (app_config_load(file, NULL, &config, &errors) < 0)
		done = cli_print_errors(&errors);
	else if (config->admin.len > 0)
		done = ask(&config->admin, words);
	else if (config->pid_file.len > 0 && number != 0)
		done = send_signal(config, number);
	else
		cli_error(
			"%s says nothing of admin { listen = \"unix:...\"; }%s: there is no way to the server",
			file, number ? " or pid" : "");
	app_errors_free(&errors);
	if (config)
		http_config_unref(config->http);
	return done;
}

/* number: the signal that does the same; 0: none does. */
static int ask_by(const struct cli_command *command, const struct cli_control *control,
		  const char *words, int number)
{
	struct net_addr admin;
	char why[192];

	if (!control->admin)
		return by_config(control, words, number);
	if (net_addr_parse(str_from(control->admin), &admin, why, sizeof(why)) < 0)
		return cli_usage(command, "--admin %s: %s", control->admin, why);
	return ask(&admin, words);
}

int cli_control_ask(const struct cli_command *command, const struct cli_control *control,
		    const char *line)
{
	return ask_by(command, control, line, 0);
}

static int control_by(const struct cli_command *command, int argc, char **argv, int number)
{
	struct control control = {.format = NULL};
	char words[64];
	int done = cli_parse(command, argc, argv, take, &control, NULL);

	if (done != CLI_OK)
		return done;
	snprintf(words, sizeof(words), "%s%s", command->name, control.format ? control.format : "");
	return ask_by(command, &control.way, words, number);
}

static int run_status(const struct cli_command *command, int argc, char **argv)
{
	return control_by(command, argc, argv, 0);
}

static int run_reload(const struct cli_command *command, int argc, char **argv)
{
	return control_by(command, argc, argv, SIGHUP);
}

static int run_stop(const struct cli_command *command, int argc, char **argv)
{
	return control_by(command, argc, argv, SIGTERM);
}

const struct cli_command cli_status = {
	.name = "status",
	.args = "[-c FILE] [--json | --prometheus]",
	.summary = "show what the running server knows of itself",
	.options = status_options,
	.run = run_status,
};

const struct cli_command cli_reload = {
	.name = "reload",
	.args = "[-c FILE]",
	.summary = "make the running server take its configuration anew",
	.more = "It is checked first: when it has a mistake, the server goes on with the old one. No connection is\n"
		"dropped. Without an admin socket the process in the pid file is signalled.",
	.options = options,
	.run = run_reload,
};

const struct cli_command cli_stop = {
	.name = "stop",
	.args = "[-c FILE]",
	.summary = "let the running server finish its requests and end",
	.more = "Without an admin socket the process in the pid file is signalled.",
	.options = options,
	.run = run_stop,
};
