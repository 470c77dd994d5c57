// SPDX-License-Identifier: Apache-2.0
// sluice check: validates a configuration, whole, as `run` would before it serves.
#include "cli/cli.h"

static const struct cli_option options[] = {
	{'c', "config", "FILE",
	 "the configuration; ./sluice.conf or /etc/sluice/sluice.conf when not given"},
	{0, NULL, NULL, NULL},
};

static bool take(void *owner, int key, const char *arg)
{
	*(const char **)owner = arg;
	return true;
}

/* An engine that is named must be possible here. */
static int check_engine(const struct app_config *config, const char *file)
{
	struct io_options o = {.engine = config->engine};
	struct io_loop *loop;
	char why[256] = "";

	if (config->engine == IO_ENGINE_AUTO)
		return CLI_OK;
	if (io_loop_new(&o, &loop, why, sizeof(why)) < 0) {
		cli_error("%s: %s", file, why);
		return CLI_FAILED;
	}
	io_loop_free(loop);
	return CLI_OK;
}

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

static int run_check(const struct cli_command *command, int argc, char **argv)
{
	const struct cli_colours *c = cli_colours(stdout);
	const char *file = NULL;
	struct app_config *config = NULL;
	struct app_errors errors;
	int done = cli_parse(command, argc, argv, take, &file, NULL);

	if (done != CLI_OK)
		return done;
	file = cli_config_file(file);
	app_errors_init(&errors);
	if (app_config_load(file, NULL, &config, &errors) < 0)
		done = cli_print_errors(&errors);
	app_errors_free(&errors);
	if (!config)
		return done;
	for (unsigned i = 0; i < config->warning_count; i++)
		fprintf(stderr, "%s (warning)\n", config->warnings[i].p);
	done = check_engine(config, file);
	if (done == CLI_OK)
		printf("%s: %sgood%s (%u route%s, %u address%s)\n", file, c->green, c->off,
		       config->http->route_count, plural(config->http->route_count),
		       config->listen_count, config->listen_count == 1 ? "" : "es");
	http_config_unref(config->http);
	return done;
}

const struct cli_command cli_check = {
	.name = "check",
	.args = "[-c FILE]",
	.summary = "validate a configuration",
	.more = "Every mistake is printed as file:line:column, what is wrong, and the nearest known key. Folders,\n"
		"files and users must be there.",
	.options = options,
	.run = run_check,
};
