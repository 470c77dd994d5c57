// SPDX-License-Identifier: Apache-2.0
// sluice run: serves what a file says.
#include "cli/cli.h"

struct run {
	const char *file;
	struct cli_serving serving;
};

static const struct cli_option options[] = {
	{'c', "config", "FILE",
	 "the configuration; ./sluice.conf or /etc/sluice/sluice.conf when not given"},
	{0, NULL, NULL, NULL},
};

static bool take(void *owner, int key, const char *arg)
{
	struct run *run = owner;
	bool known;

	if (key == 'c') {
		run->file = arg;
		return true;
	}
	return cli_serving_take(&run->serving, key, arg, &known);
}

static int load(void *owner, struct app_config **made, struct app_errors *errors)
{
	struct run *run = owner;

	return app_config_load(run->file, &run->serving.overrides, made, errors);
}

static int run_run(const struct cli_command *command, int argc, char **argv)
{
	struct run run = {.file = NULL};
	struct app_reload reload = {.load = load, .owner = &run};
	struct app_config *config = NULL;
	struct app_errors errors;
	int done;

	cli_serving_init(&run.serving);
	done = cli_parse(command, argc, argv, take, &run, NULL);
	if (done != CLI_OK)
		return done;
	run.file = cli_config_file(run.file);
	app_errors_init(&errors);
	done = load(&run, &config, &errors) < 0 ? cli_print_errors(&errors) : CLI_OK;
	app_errors_free(&errors);
	return done == CLI_OK ? cli_serve(config, &reload, NULL) : done;
}

const struct cli_command cli_run = {
	.name = "run",
	.args = "-c FILE",
	.summary = "serve what a configuration says",
	.more = "SIGHUP or `sluice reload` reads the file anew, after checking it; SIGTERM or `sluice stop` lets\n"
		"requests finish and ends. What is given here wins over the file, at a reload too.",
	.options = options,
	.serves = true,
	.run = run_run,
};
