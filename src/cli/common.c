// SPDX-License-Identifier: Apache-2.0
// What commands that read a configuration or serve share.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define WHY_BYTES 512

const char *cli_config_file(const char *given)
{
	if (given)
		return given;
	return access("sluice.conf", F_OK) == 0 ? "sluice.conf" : "/etc/sluice/sluice.conf";
}

/* The place of "file:line:column: message" stands out. */
static void print_error(const struct cli_colours *c, struct str line, const uint32_t at[2])
{
	size_t place = 0;
	unsigned colons = at[0] ? 3 : 1;

	while (place < line.len && colons > 0)
		colons -= line.p[place++] == ':';
	fprintf(stderr, "%s%.*s%s%.*s\n", c->bold, (int)place, line.p, c->off,
		(int)(line.len - place), line.p + place);
}

int cli_print_errors(const struct app_errors *errors)
{
	const struct cli_colours *c = cli_colours(stderr);

	for (unsigned i = 0; i < errors->count; i++)
		print_error(c, errors->lines[i], errors->at[i]);
	if (errors->more > 0)
		fprintf(stderr, "and more: these are the first %u\n", errors->count);
	if (errors->count == 0)
		cli_error("out of memory");
	return CLI_FAILED;
}

int cli_serve(struct app_config *config, const struct app_reload *reload, const char *in_use)
{
	char why[WHY_BYTES] = "";
	int err = app_serve(config, reload, why, sizeof(why));

	if (err == 0)
		return CLI_OK;
	cli_error("%s", *why ? why : strerror(-err));
	if (err == -EADDRINUSE && in_use)
		fprintf(stderr, "try: %s\n", in_use);
	return CLI_FAILED;
}
