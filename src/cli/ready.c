// SPDX-License-Identifier: Apache-2.0
// Where a server that has just begun can be reached.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

#include "cli/cli.h"

/* Addresses of the machine that are printed for one that listens everywhere. */
#define LAN_MAX 4

/* One list of addresses. */
struct list {
	const char *scheme; /* "http://"; empty: no URLs */
	bool begun;
};

static void print_place(struct list *list, const char *text)
{
	const struct cli_colours *c = cli_colours(stdout);

	printf("%s%-8s%s %s\n", c->dim, list->begun ? "" : "open", c->off, text);
	list->begun = true;
}

static void print_url(struct list *list, const char *host, unsigned port)
{
	bool http = *list->scheme != '\0';
	char text[NET_ADDR_TEXT + 32];

	if (http && port == 80)
		snprintf(text, sizeof(text), "%s%s/", list->scheme, host);
	else
		snprintf(text, sizeof(text), "%s%s:%u%s", list->scheme, host, port,
			 http ? "/" : "");
	print_place(list, text);
}

/* Other machines reach this one here. */
static void print_lan(struct list *list, unsigned port)
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
		print_url(list, text, port);
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

static void print_address(struct list *list, const struct net_addr *a)
{
	char text[NET_ADDR_TEXT];

	if (a->u.sa.sa_family == AF_UNIX) {
		net_addr_print(a, text);
		print_place(list, text);
		return;
	}
	if (is_any(a)) {
		print_url(list, "localhost", net_addr_port(a));
		print_lan(list, net_addr_port(a));
		return;
	}
	net_addr_print_host(a, text);
	if (strchr(text, ':') && text[0] != '[') {
		char brackets[NET_ADDR_TEXT + 2];

		snprintf(brackets, sizeof(brackets), "[%s]", text);
		print_url(list, brackets, net_addr_port(a));
		return;
	}
	print_url(list, text, net_addr_port(a));
}

void cli_print_addresses(const char *scheme, const struct net_addr *bound, unsigned count)
{
	struct list list = {.scheme = scheme};

	for (unsigned i = 0; i < count; i++)
		print_address(&list, &bound[i]);
	fflush(stdout);
}
