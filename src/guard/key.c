// SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <string.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "guard/limit.h"
#include "net/addr.h"

static uint64_t key_of(uint64_t hash)
{
	return hash ? hash : 1;
}

uint64_t guard_key_bytes(struct str bytes)
{
	return key_of(hash_bytes(bytes.p, bytes.len));
}

/* The family, then the bits that count. */
static uint64_t key_prefix(uint8_t family, const uint8_t *addr, unsigned len, unsigned bits)
{
	uint8_t v[17] = {family};

	bits = SL_MIN(bits, len * 8);
	memcpy(v + 1, addr, bits / 8);
	if (bits % 8)
		v[1 + bits / 8] = (uint8_t)(addr[bits / 8] & 0xff00u >> bits % 8);
	return key_of(hash_bytes(v, 1 + len));
}

uint64_t guard_key_address(const struct net_addr *a, uint8_t prefix_v4, uint8_t prefix_v6)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->u.storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->u.storage;
	const uint8_t *bytes = in6->sin6_addr.s6_addr;

	switch (a->u.sa.sa_family) {
	case AF_INET:
		return key_prefix(4, (const uint8_t *)&in->sin_addr, 4, prefix_v4);
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			return key_prefix(4, bytes + 12, 4, prefix_v4);
		return key_prefix(6, bytes, 16, prefix_v6);
	default:
		/* Whoever comes by a Unix socket is one peer. */
		return key_prefix(0, bytes, 0, 0);
	}
}
