// SPDX-License-Identifier: Apache-2.0
// sluice files: serves a folder without any configuration.
#include "handler/files.h"
#include "cli/cli.h"

struct files {
	const char *dir;
	struct cli_serving serving;
};

static bool take(void *owner, int key, const char *arg)
{
	struct files *files = owner;
	bool known;

	return cli_serving_take(&files->serving, key, arg, &known);
}

static int load(void *owner, struct app_config **made, struct app_errors *errors)
{
	struct files *files = owner;

	return app_config_files(files->dir, &files->serving.overrides, made, errors);
}

static void ready(void *owner, const struct app_config *config, const struct net_addr *bound,
		  unsigned count)
{
	const struct cli_colours *c = cli_colours(stdout);
	const struct files_config *files = config->http->routes[0]->config;

	printf("%sserving%s  %s\n", c->dim, c->off, files->root.p);
	cli_print_addresses("http://", bound, count);
}

static int run_files(const struct cli_command *command, int argc, char **argv)
{
	struct files files = {.dir = NULL};
	struct app_reload reload = {.load = load, .owner = &files, .ready = ready};
	struct app_config *config = NULL;
	struct app_errors errors;
	int done;

	cli_serving_init(&files.serving);
	done = cli_parse(command, argc, argv, take, &files, &files.dir);
	if (done != CLI_OK)
		return done;
	if (!files.dir)
		files.dir = ".";
	app_errors_init(&errors);
	done = load(&files, &config, &errors) < 0 ? cli_print_errors(&errors) : CLI_OK;
	app_errors_free(&errors);
	if (done != CLI_OK)
		return done;
	return cli_serve(config, &reload,
			 files.serving.overrides.listen_count ? NULL
							      : "sluice files --listen :8081");
}

const struct cli_command cli_files = {
	.name = "files",
	.args = "[DIR]",
	.summary = "serve a folder, or this one",
	.more = "Listens on :8080, shows what is in folders without an index.html, and refuses files whose names\n"
		"begin with a dot. Prints the addresses to open.",
	.serves = true,
	.args_max = 1,
	.run = run_files,
};
