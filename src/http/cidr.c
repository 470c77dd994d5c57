// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/compiler.h"
#include "http/router.h"

/* The address of a socket, an IPv4 one inside IPv6 taken out of it. 4, 16, or 0 for a Unix socket. */
static unsigned bytes_of(const struct net_addr *a, const uint8_t **bytes)
{
	if (a->u.sa.sa_family == AF_INET) {
		*bytes = (const uint8_t *)&((const struct sockaddr_in *)&a->u.storage)->sin_addr;
		return 4;
	}
	if (a->u.sa.sa_family == AF_INET6) {
		const struct in6_addr *v6 =
			&((const struct sockaddr_in6 *)&a->u.storage)->sin6_addr;
		bool mapped = IN6_IS_ADDR_V4MAPPED(v6);

		*bytes = v6->s6_addr + (mapped ? 12 : 0);
		return mapped ? 4 : 16;
	}
	return 0;
}

bool http_cidr_parse(struct str text, struct http_cidr *cidr)
{
	struct http_cidr c = {.family_bytes = 0};
	ptrdiff_t slash = str_find_byte(text, '/');
	struct str address = slash < 0 ? text : str_head(text, (size_t)slash);
	char zero[INET6_ADDRSTRLEN];
	uint64_t bits;

	if (!address.len || address.len >= sizeof(zero) || str_find_byte(address, '\0') >= 0)
		return false;
	memcpy(zero, address.p, address.len);
	zero[address.len] = '\0';
	if (inet_pton(AF_INET, zero, c.addr) == 1)
		c.family_bytes = 4;
	else if (inet_pton(AF_INET6, zero, c.addr) == 1)
		c.family_bytes = 16;
	else
		return false;
	bits = c.family_bytes * 8u;
	if (slash >= 0 && str_to_u64(str_skip(text, (size_t)slash + 1), bits, &bits))
		return false;
	c.bits = (uint8_t)bits;
	for (unsigned i = 0; i < c.family_bytes; i++) {
		unsigned kept = SL_MIN(8u, c.bits > i * 8 ? c.bits - i * 8 : 0);

		c.addr[i] &= (uint8_t)(0xff00 >> kept);
	}
	*cidr = c;
	return true;
}

bool http_cidr_match(const struct http_cidr *v, unsigned count, const struct net_addr *a)
{
	const uint8_t *bytes = NULL;
	unsigned n = bytes_of(a, &bytes);

	if (!n)
		return false;
	for (unsigned i = 0; i < count; i++) {
		unsigned whole = v[i].bits / 8;
		uint8_t mask = (uint8_t)(0xff00 >> v[i].bits % 8);

		if (v[i].family_bytes == n && memcmp(v[i].addr, bytes, whole) == 0 &&
		    (!mask || ((v[i].addr[whole] ^ bytes[whole]) & mask) == 0))
			return true;
	}
	return false;
}
