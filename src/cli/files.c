// SPDX-License-Identifier: Apache-2.0
// sluice files: serves a folder without any configuration.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "handler/files.h"

/* Addresses of the machine that are printed for one that listens everywhere. */
#define LAN_MAX 4

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

static void print_url(bool *first, const char *host, unsigned port)
{
	const struct cli_colours *c = cli_colours(stdout);
	char digits[16] = "";

	if (port != 80)
		snprintf(digits, sizeof(digits), ":%u", port);
	printf("%s%-8s%s http://%s%s/\n", c->dim, *first ? "open" : "", c->off, host, digits);
	*first = false;
}

/* Other machines reach this one here. */
static void print_lan(bool *first, unsigned port)
{
	struct ifaddrs *all;
	unsigned count = 0;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i && count < LAN_MAX; i = i->ifa_next) {
		char text[INET_ADDRSTRLEN];
		const struct sockaddr_in *in =
			(const struct sockaddr_in *)(const void *)i->ifa_addr;

		if (!in || in->sin_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
		    (i->ifa_flags & IFF_LOOPBACK))
			continue;
		if (!inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)))
			continue;
		print_url(first, text, port);
		count++;
	}
	freeifaddrs(all);
}

static bool is_any(const struct net_addr *a)
{
	if (a->u.sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(
			&((const struct sockaddr_in6 *)(const void *)&a->u.storage)->sin6_addr);
	return ((const struct sockaddr_in *)(const void *)&a->u.storage)->sin_addr.s_addr ==
	       htonl(INADDR_ANY);
}

static void print_address(bool *first, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT];

	if (a->u.sa.sa_family == AF_UNIX) {
		net_addr_print(a, text);
		printf("%-8s %s\n", *first ? "open" : "", text);
		*first = false;
		return;
	}
	if (is_any(a)) {
		print_url(first, "localhost", net_addr_port(a));
		print_lan(first, net_addr_port(a));
		return;
	}
	net_addr_print_host(a, text);
	if (strchr(text, ':') && text[0] != '[') {
		char brackets[NET_ADDR_TEXT + 2];

		snprintf(brackets, sizeof(brackets), "[%s]", text);
		print_url(first, brackets, net_addr_port(a));
		return;
	}
	print_url(first, text, net_addr_port(a));
}

static void ready(void *owner, const struct app_config *config, const struct net_addr *bound,
		  unsigned count)
{
	const struct cli_colours *c = cli_colours(stdout);
	const struct files_config *files = config->http->routes[0]->config;
	bool first = true;

	printf("%sserving%s  %s\n", c->dim, c->off, files->root.p);
	for (unsigned i = 0; i < count; i++)
		print_address(&first, &bound[i]);
	fflush(stdout);
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
