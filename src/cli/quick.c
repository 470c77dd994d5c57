// SPDX-License-Identifier: Apache-2.0
// What the commands share that serve a group of servers without a configuration.
#include <string.h>

#include "cli/cli.h"
#include "cli/quick.h"

/* Cuts "a,b" into its parts, in place of the argument: it lives as long as the process. */
static bool take_servers(struct cli_quick *quick, char *arg)
{
	for (char *part = arg; part; arg = part) {
		part = strchr(arg, ',');
		if (part)
			*part++ = '\0';
		if (quick->quick.to_count == SL_ARRAY_SIZE(quick->to)) {
			cli_error("--to: more than %zu servers", SL_ARRAY_SIZE(quick->to));
			return false;
		}
		quick->to[quick->quick.to_count++] = arg;
	}
	return true;
}

static bool take_balance(struct cli_quick *quick, const char *arg)
{
	const char *words[UPSTREAM_CONSISTENT + 2] = {NULL};

	for (unsigned i = 0; i <= UPSTREAM_CONSISTENT; i++)
		words[i] = upstream_balance_name((enum upstream_balance)i);
	quick->quick.balance = cli_take_word("balance", arg, words);
	return quick->quick.balance >= 0;
}

static bool take_send_proxy(struct cli_quick *quick, const char *arg)
{
	/* In the order of enum proxy_version. */
	static const char *const words[] = {"off", "v1", "v2", NULL};

	quick->quick.send_proxy = cli_take_word("send-proxy", arg, words);
	return quick->quick.send_proxy >= 0;
}

static bool take(void *owner, int key, const char *arg)
{
	struct cli_quick *quick = owner;
	bool known;

	switch (key) {
	case CLI_KEY_TO:
		return take_servers(quick, (char *)arg);
	case CLI_KEY_BALANCE:
		return take_balance(quick, arg);
	case CLI_KEY_HEALTH:
		quick->quick.health = arg ? arg : "";
		return true;
	case CLI_KEY_SEND_PROXY:
		return take_send_proxy(quick, arg);
	case CLI_KEY_HOST:
		quick->quick.host = arg;
		return true;
	case CLI_KEY_ADMIN:
		quick->quick.admin = arg;
		return true;
	default:
		return cli_serving_take(&quick->serving, key, arg, &known);
	}
}

static int load(void *owner, struct app_config **made, struct app_errors *errors)
{
	struct cli_quick *quick = owner;

	return app_config_quick(&quick->quick, &quick->serving.overrides, made, errors);
}

static void ready(void *owner, const struct app_config *config, const struct net_addr *bound,
		  unsigned count)
{
	const struct cli_colours *c = cli_colours(stdout);
	const struct cli_quick *quick = owner;

	printf("%s%-8s%s ", c->dim, quick->label, c->off);
	for (unsigned i = 0; i < quick->quick.to_count; i++)
		printf("%s%s", i ? ", " : "", quick->to[i]);
	fputc('\n', stdout);
	cli_print_addresses(quick->scheme, bound, count);
}

int cli_quick_run(const struct cli_command *command, int argc, char **argv, struct cli_quick *quick,
		  const char *in_use)
{
	struct app_reload reload = {.load = load, .owner = quick, .ready = ready};
	struct app_config *config = NULL;
	struct app_errors errors;
	int done;

	cli_serving_init(&quick->serving);
	quick->quick.to = quick->to;
	done = cli_parse(command, argc, argv, take, quick, NULL);
	if (done != CLI_OK)
		return done;
	if (quick->quick.to_count == 0)
		return cli_usage(command, "%s: where to? --to :3000", command->name);
	if (quick->quick.kind != APP_QUICK_PROXY && quick->serving.overrides.listen_count == 0)
		return cli_usage(command, "%s: where to listen? --listen :5432", command->name);
	app_errors_init(&errors);
	done = load(quick, &config, &errors) < 0 ? cli_print_errors(&errors) : CLI_OK;
	app_errors_free(&errors);
	if (done != CLI_OK)
		return done;
	return cli_serve(config, &reload, quick->serving.overrides.listen_count ? NULL : in_use);
}
