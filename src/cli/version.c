// SPDX-License-Identifier: Apache-2.0
// sluice version: what this program is, what it was built with, and which engine it would use here.
#include "sluice/version.h"
#include "build_config.h"
#include "cli/cli.h"

/* The engine that `auto` takes, and why not the best one. */
static void print_engine(void)
{
	struct io_options o = {.engine = IO_ENGINE_AUTO};
	struct io_options best = {.engine = IO_ENGINE_URING};
	struct io_loop *loop;
	char why[256] = "";

	/* The choice is printed here; the line of the log would say it twice. */
	log_setup(2, LOG_OFF, LOG_TEXT);
	if (io_loop_new(&o, &loop, why, sizeof(why)) < 0) {
		printf("engine    none: %s\n", why);
		return;
	}
	printf("engine    %s\n", io_engine_name(loop));
	if (*io_loop_features(loop))
		printf("features  %s\n", io_loop_features(loop));
	io_loop_free(loop);
	if (io_loop_new(&best, &loop, why, sizeof(why)) < 0)
		printf("          (not io_uring: %s)\n", why);
	else
		io_loop_free(loop);
}

static int run_version(const struct cli_command *command, int argc, char **argv)
{
	int done = cli_parse(command, argc, argv, NULL, NULL, NULL);

	if (done != CLI_OK)
		return done;
	printf("sluice %s\n", sl_version());
	print_engine();
	printf("built     %s%s%s%s%s%s\n", SLUICE_HAVE_IO_URING ? "io_uring " : "",
	       SLUICE_HAVE_ZLIB ? "gzip " : "", SLUICE_HAVE_BROTLI ? "br " : "",
	       SLUICE_HAVE_ZSTD ? "zstd " : "", SLUICE_HAVE_CARES ? "c-ares " : "",
#ifdef __clang__
	       "clang " __clang_version__
#else
	       "gcc " __VERSION__
#endif
	);
	return CLI_OK;
}

const struct cli_command cli_version = {
	.name = "version",
	.args = "",
	.summary = "show the version, its features and its engine",
	.run = run_version,
};
