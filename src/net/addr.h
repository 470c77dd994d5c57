/* internal: socket addresses: parsing "host:port" and "unix:/path", printing. */
#ifndef SLUICE_NET_ADDR_H
#define SLUICE_NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"

struct net_addr {
	socklen_t len;
	union {
		struct sockaddr sa;
		struct sockaddr_storage storage;
		struct sockaddr_un un;
	} u;
};

/* The longest text: "unix:" and a full sun_path; IPv6 with zone and port is shorter. */
#define NET_ADDR_TEXT 128

/*
 * ":8080" (every address, IPv6 and IPv4), "127.0.0.1:80", "[::1]:80", "*:80", "8080", "unix:/path",
 * "unix:@abstract". Numeric only: names are the resolver's. 0 or -EINVAL with a sentence in why.
 */
int net_addr_parse(struct str text, struct net_addr *, char *why, size_t why_len);
/* "127.0.0.1:80", "[::1]:80", "unix:/path"; a v4-mapped IPv6 address prints as IPv4. Returns the length. */
size_t net_addr_print(const struct net_addr *, char text[NET_ADDR_TEXT]);
/* The address without its port ("unix:" for Unix sockets), as access logs want it. */
size_t net_addr_print_host(const struct net_addr *, char text[NET_ADDR_TEXT]);
bool net_addr_eq(const struct net_addr *, const struct net_addr *);
/* 0 for Unix sockets. */
unsigned net_addr_port(const struct net_addr *);

#endif
