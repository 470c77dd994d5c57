// SPDX-License-Identifier: Apache-2.0
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int addr_refuse(struct str text, const char *reason, char *why, size_t why_len)
{
	snprintf(
		why, why_len,
		"\"%.*s\" is not an address: %s (write \":8080\", \"127.0.0.1:8080\", \"[::1]:8080\" or "
		"\"unix:/path\")",
		STR_ARG(text), reason);
	return -EINVAL;
}

static int addr_parse_unix(struct str text, struct net_addr *a, char *why, size_t why_len)
{
	struct str path = str_skip(text, 5);
	struct sockaddr_un *un = &a->u.un;

	if (!path.len)
		return addr_refuse(text, "the path is missing", why, why_len);
	if (path.len >= sizeof(un->sun_path))
		return addr_refuse(text, "the path is longer than 107 bytes", why, why_len);
	if (memchr(path.p, 0, path.len))
		return addr_refuse(text, "the path holds a NUL", why, why_len);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path.p, path.len);
	un->sun_path[path.len] = 0;
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.len + 1);
	if (path.p[0] == '@') {
		/* An abstract name begins with NUL and is not terminated: unix(7). */
		un->sun_path[0] = 0;
		a->len--;
	}
	return 0;
}

static void addr_set_v4(struct net_addr *a, struct in_addr ip, unsigned port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->u.storage;

	*in = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = ip};
	a->len = sizeof(*in);
}

static void addr_set_v6(struct net_addr *a, const struct in6_addr *ip, unsigned port)
{
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)&a->u.storage;

	*in = (struct sockaddr_in6){
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = *ip};
	a->len = sizeof(*in);
}

/* text without its port; empty and "*" stand for every address. */
static int addr_set_host(struct str host, unsigned port, struct net_addr *a)
{
	char z[INET6_ADDRSTRLEN + 2];
	struct in_addr v4;
	struct in6_addr v6;

	if (!host.len || str_eq(host, STR("*"))) {
		addr_set_v6(a, &in6addr_any, port);
		return 0;
	}
	if (host.len >= sizeof(z) || memchr(host.p, 0, host.len))
		return -EINVAL;
	memcpy(z, host.p, host.len);
	z[host.len] = 0;
	if (z[0] == '[' && z[host.len - 1] == ']') {
		z[host.len - 1] = 0;
		if (inet_pton(AF_INET6, z + 1, &v6) != 1)
			return -EINVAL;
		addr_set_v6(a, &v6, port);
		return 0;
	}
	if (inet_pton(AF_INET, z, &v4) != 1)
		return -EINVAL;
	addr_set_v4(a, v4, port);
	return 0;
}

int net_addr_parse(struct str text, struct net_addr *a, char *why, size_t why_len)
{
	struct str host = STR_NONE, port_text = text;
	uint64_t port;

	*a = (struct net_addr){0};
	if (str_starts(text, STR("unix:")))
		return addr_parse_unix(text, a, why, why_len);
	for (size_t i = text.len; i > 0; i--) {
		if (text.p[i - 1] == ']')
			break;
		if (text.p[i - 1] == ':') {
			host = str_head(text, i - 1);
			port_text = str_skip(text, i);
			break;
		}
	}
	if (str_to_u64(port_text, 65535, &port))
		return addr_refuse(text, "the port is not a number up to 65535", why, why_len);
	if (addr_set_host(host, (unsigned)port, a))
		return addr_refuse(text, "the host is not an IP address", why, why_len);
	return 0;
}

/* By hand: proxies and access logs print one for each request. */
static size_t addr_print_v4(const uint8_t *ip, bool with_port, unsigned port, char *text)
{
	char *to = text;

	for (unsigned i = 0; i < 4; i++) {
		if (i)
			*to++ = '.';
		to += str_put_u64(to, ip[i]);
	}
	if (with_port) {
		*to++ = ':';
		to += str_put_u64(to, port);
	}
	*to = '\0';
	return (size_t)(to - text);
}

static size_t addr_print(const struct net_addr *a, bool with_port, char text[NET_ADDR_TEXT])
{
	char ip[INET6_ADDRSTRLEN];
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->u.storage;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->u.storage;
	int n;

	if (a->u.sa.sa_family == AF_UNIX) {
		size_t path = a->len > offsetof(struct sockaddr_un, sun_path)
				    ? a->len - offsetof(struct sockaddr_un, sun_path)
				    : 0;
		const char *p = a->u.un.sun_path;
		if (!with_port || !path)
			n = snprintf(text, NET_ADDR_TEXT, "unix:");
		else if (!p[0])
			n = snprintf(text, NET_ADDR_TEXT, "unix:@%.*s", (int)(path - 1), p + 1);
		else
			n = snprintf(text, NET_ADDR_TEXT, "unix:%.*s", (int)path, p);
		return (size_t)n;
	}
	bool mapped = a->u.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
	if (a->u.sa.sa_family == AF_INET6 && !mapped) {
		inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof(ip));
		n = with_port ? snprintf(text, NET_ADDR_TEXT, "[%s]:%u", ip, ntohs(v6->sin6_port))
			      : snprintf(text, NET_ADDR_TEXT, "%s", ip);
		return (size_t)n;
	}
	if (a->u.sa.sa_family != AF_INET && !mapped)
		return (size_t)snprintf(text, NET_ADDR_TEXT, "unknown");
	return addr_print_v4(mapped ? &v6->sin6_addr.s6_addr[12] : (const uint8_t *)&v4->sin_addr,
			     with_port, net_addr_port(a), text);
}

size_t net_addr_print(const struct net_addr *a, char text[NET_ADDR_TEXT])
{
	return addr_print(a, true, text);
}

size_t net_addr_print_host(const struct net_addr *a, char text[NET_ADDR_TEXT])
{
	return addr_print(a, false, text);
}

bool net_addr_eq(const struct net_addr *a, const struct net_addr *b)
{
	if (a->len != b->len || a->u.sa.sa_family != b->u.sa.sa_family)
		return false;
	if (a->u.sa.sa_family == AF_INET6) {
		const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)&a->u.storage;
		const struct sockaddr_in6 *y = (const struct sockaddr_in6 *)&b->u.storage;
		return x->sin6_port == y->sin6_port && x->sin6_scope_id == y->sin6_scope_id &&
		       memcmp(&x->sin6_addr, &y->sin6_addr, 16) == 0;
	}
	if (a->u.sa.sa_family == AF_INET) {
		const struct sockaddr_in *x = (const struct sockaddr_in *)&a->u.storage;
		const struct sockaddr_in *y = (const struct sockaddr_in *)&b->u.storage;
		return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
	}
	return memcmp(&a->u.un, &b->u.un, a->len) == 0;
}

unsigned net_addr_port(const struct net_addr *a)
{
	if (a->u.sa.sa_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->u.storage)->sin_port);
	if (a->u.sa.sa_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&a->u.storage)->sin6_port);
	return 0;
}
