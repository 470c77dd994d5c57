// SPDX-License-Identifier: Apache-2.0
#include "net/proxy_header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_BYTES 12
#define V2_FIXED_BYTES 16
#define V2_UNIX_PATH 108

#define V2_LOCAL 0x20
#define V2_PROXY 0x21
#define V2_TCP4 0x11
#define V2_TCP6 0x21
#define V2_UNIX 0x31
#define V2_TLV_CRC32C 0x03

static int header_refuse(const char **why, const char *reason)
{
	*why = reason;
	return -EBADMSG;
}

/* Version 1. */

static bool v1_port(struct str text, uint16_t *port)
{
	uint64_t v;

	if (str_to_u64(text, 65535, &v) || (text.len > 1 && text.p[0] == '0'))
		return false;
	*port = htons((uint16_t)v);
	return true;
}

static bool v1_addr(int family, struct str host, struct str port, struct net_addr *a)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->u.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->u.storage;
	char z[INET6_ADDRSTRLEN];
	void *ip = family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr;

	*a = (struct net_addr){.len = family == AF_INET ? sizeof(*v4) : sizeof(*v6)};
	if (host.len >= sizeof(z) || memchr(host.p, 0, host.len))
		return false;
	memcpy(z, host.p, host.len);
	z[host.len] = 0;
	a->u.sa.sa_family = (sa_family_t)family;
	return inet_pton(family, z, ip) == 1 &&
	       v1_port(port, family == AF_INET ? &v4->sin_port : &v6->sin6_port);
}

/* The line without its end. */
static int v1_line(struct str line, struct proxy_header *h, const char **why)
{
	struct str part[5];
	unsigned n = 0;

	line = str_skip(line, 6);
	if (str_eq(line, STR("UNKNOWN")) || str_starts(line, STR("UNKNOWN "))) {
		h->local = true;
		return 0;
	}
	for (;;) {
		ptrdiff_t space = str_find_byte(line, ' ');

		if ((n == 4) != (space < 0))
			return header_refuse(why, "not five words after PROXY");
		part[n++] = space < 0 ? line : str_head(line, (size_t)space);
		if (space < 0)
			break;
		line = str_skip(line, (size_t)space + 1);
	}
	int family = str_eq(part[0], STR("TCP4")) ? AF_INET
		   : str_eq(part[0], STR("TCP6")) ? AF_INET6
						  : AF_UNSPEC;
	if (family == AF_UNSPEC)
		return header_refuse(why, "neither TCP4, TCP6 nor UNKNOWN");
	if (!v1_addr(family, part[1], part[3], &h->src) ||
	    !v1_addr(family, part[2], part[4], &h->dst))
		return header_refuse(why, "not an address or a port");
	return 0;
}

static int v1_parse(const uint8_t *p, size_t len, struct proxy_header *h, const char **why)
{
	static const char begin[] = "PROXY ";
	size_t head = len < 6 ? len : 6;
	size_t seen = len < PROXY_HEADER_V1_MAX ? len : PROXY_HEADER_V1_MAX;

	if (memcmp(p, begin, head) != 0)
		return header_refuse(why, "does not begin with PROXY");
	for (size_t i = head; i < seen; i++) {
		if (p[i] == '\n')
			return header_refuse(why, "a line feed without a carriage return");
		if (p[i] != '\r')
			continue;
		if (i + 1 == PROXY_HEADER_V1_MAX)
			break;
		if (i + 1 == len)
			return 0;
		if (p[i + 1] != '\n')
			return header_refuse(why, "a carriage return without a line feed");
		int err = v1_line((struct str){(const char *)p, i}, h, why);
		return err ? err : (int)i + 2;
	}
	if (seen == PROXY_HEADER_V1_MAX)
		return header_refuse(why, "longer than 107 bytes");
	return 0;
}

/* Version 2. */

/* CRC-32C (RFC 3720, appendix B.4) of at most a kilobyte, and rarely: a table is not worth its cache. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return crc;
}

/* Section 2.2.3: over the whole header, the four bytes of the sum itself taken as zero. */
static bool v2_sum_holds(const uint8_t *p, size_t len, size_t at)
{
	static const uint8_t zero[4];
	uint32_t crc = crc32c(~0u, p, at);

	crc = ~crc32c(crc32c(crc, zero, 4), p + at + 4, len - at - 4);
	return crc == ((uint32_t)p[at] << 24 | (uint32_t)p[at + 1] << 16 |
		       (uint32_t)p[at + 2] << 8 | p[at + 3]);
}

static int v2_tlvs(const uint8_t *p, size_t at, size_t len, const char **why)
{
	while (at < len) {
		if (len - at < 3)
			return header_refuse(why, "a TLV is cut short");
		size_t n = (size_t)p[at + 1] << 8 | p[at + 2];
		if (len - at - 3 < n)
			return header_refuse(why, "a TLV is longer than the header");
		if (p[at] == V2_TLV_CRC32C && (n != 4 || !v2_sum_holds(p, len, at + 3)))
			return header_refuse(why, "the checksum is wrong");
		at += 3 + n;
	}
	return 0;
}

static void v2_unix(const uint8_t *path, struct net_addr *a)
{
	/* An abstract name begins with NUL; where it ends is not told, so trailing NULs are not its own. */
	size_t n = path[0] ? strnlen((const char *)path, V2_UNIX_PATH) : V2_UNIX_PATH;

	while (n && !path[n - 1])
		n--;
	a->u.un.sun_family = AF_UNIX;
	memcpy(a->u.un.sun_path, path, n);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
}

static void v2_inet(const uint8_t *ip, const uint8_t *port, bool v6, struct net_addr *a)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&a->u.storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->u.storage;

	if (v6) {
		in6->sin6_family = AF_INET6;
		memcpy(&in6->sin6_addr, ip, 16);
		memcpy(&in6->sin6_port, port, 2);
		a->len = sizeof(*in6);
		return;
	}
	in->sin_family = AF_INET;
	memcpy(&in->sin_addr, ip, 4);
	memcpy(&in->sin_port, port, 2);
	a->len = sizeof(*in);
}

/* What the family says comes before the TLVs. SIZE_MAX: there is no such family. */
static size_t v2_addr_bytes(uint8_t family)
{
	switch (family) {
	case V2_TCP4:
		return 12;
	case V2_TCP6:
		return 36;
	case V2_UNIX:
		return 2 * V2_UNIX_PATH;
	case 0x00: /* UNSPEC */
	case 0x12: /* datagrams: not what this connection carries, so they are taken as UNSPEC */
	case 0x22:
	case 0x32:
		return 0;
	default:
		return SIZE_MAX;
	}
}

static int v2_whole(const uint8_t *p, size_t len, struct proxy_header *h, const char **why)
{
	const uint8_t *at = p + V2_FIXED_BYTES;
	uint8_t family = p[13];
	size_t addr = v2_addr_bytes(family);

	if (p[12] == V2_LOCAL || addr == 0) {
		h->local = true;
		return (int)len;
	}
	if (addr > len - V2_FIXED_BYTES)
		return header_refuse(why, "too short for its addresses");
	int err = v2_tlvs(p, V2_FIXED_BYTES + addr, len, why);
	if (err)
		return err;
	h->src = h->dst = (struct net_addr){0};
	if (family == V2_UNIX) {
		v2_unix(at, &h->src);
		v2_unix(at + V2_UNIX_PATH, &h->dst);
		return (int)len;
	}
	size_t ip = family == V2_TCP6 ? 16 : 4;
	v2_inet(at, at + 2 * ip, family == V2_TCP6, &h->src);
	v2_inet(at + ip, at + 2 * ip + 2, family == V2_TCP6, &h->dst);
	return (int)len;
}

static int v2_parse(const uint8_t *p, size_t len, struct proxy_header *h, const char **why)
{
	if (memcmp(p, V2_SIGNATURE, len < V2_SIGNATURE_BYTES ? len : V2_SIGNATURE_BYTES) != 0)
		return header_refuse(why, "does not begin with the signature");
	if (len > 12 && p[12] != V2_LOCAL && p[12] != V2_PROXY)
		return header_refuse(why, "neither LOCAL nor PROXY of version 2");
	if (len > 13 && p[12] == V2_PROXY && v2_addr_bytes(p[13]) == SIZE_MAX)
		return header_refuse(why, "an unknown family of addresses");
	if (len < V2_FIXED_BYTES)
		return 0;
	size_t whole = V2_FIXED_BYTES + ((size_t)p[14] << 8 | p[15]);
	if (whole > PROXY_HEADER_V2_MAX)
		return header_refuse(why, "longer than 1024 bytes");
	if (len < whole)
		return 0;
	return v2_whole(p, whole, h, why);
}

int proxy_header_parse(const uint8_t *p, size_t len, enum proxy_version accept,
		       struct proxy_header *h, const char **why)
{
	*h = (struct proxy_header){0};
	if (!len)
		return 0;
	if (p[0] == 'P' && (accept == PROXY_V1 || accept == PROXY_ANY))
		return v1_parse(p, len, h, why);
	if (p[0] == '\r' && (accept == PROXY_V2 || accept == PROXY_ANY))
		return v2_parse(p, len, h, why);
	return header_refuse(why, "not a PROXY header of a version that is accepted");
}

/* Printing. */

struct endpoint {
	uint8_t ip[16]; /* an IPv4 address is mapped into it */
	uint16_t port;  /* in network order */
	bool v4;
};

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool endpoint_of(const struct net_addr *a, struct endpoint *e)
{
	*e = (struct endpoint){0};
	if (a && a->u.sa.sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&a->u.storage;
		memcpy(e->ip, mapped_prefix, 12);
		memcpy(e->ip + 12, &in->sin_addr, 4);
		e->port = in->sin_port;
		e->v4 = true;
		return true;
	}
	if (a && a->u.sa.sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&a->u.storage;
		memcpy(e->ip, &in->sin6_addr, 16);
		e->port = in->sin6_port;
		e->v4 = memcmp(e->ip, mapped_prefix, 12) == 0;
		return true;
	}
	return false;
}

static size_t v1_print(bool known, const struct endpoint *src, const struct endpoint *dst, bool v4,
		       uint8_t *out)
{
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
	int family = v4 ? AF_INET : AF_INET6;
	unsigned skip = v4 ? 12 : 0;

	if (!known) {
		memcpy(out, "PROXY UNKNOWN\r\n", 15);
		return 15;
	}
	inet_ntop(family, src->ip + skip, a, sizeof(a));
	inet_ntop(family, dst->ip + skip, b, sizeof(b));
	return (size_t)snprintf((char *)out, PROXY_HEADER_V2_MAX, "PROXY TCP%c %s %s %u %u\r\n",
				v4 ? '4' : '6', a, b, ntohs(src->port), ntohs(dst->port));
}

static size_t v2_print(bool known, const struct endpoint *src, const struct endpoint *dst, bool v4,
		       uint8_t *out)
{
	unsigned skip = v4 ? 12 : 0, n = 16 - skip;
	uint8_t *at = out + V2_FIXED_BYTES;

	memset(out, 0, V2_FIXED_BYTES);
	memcpy(out, V2_SIGNATURE, V2_SIGNATURE_BYTES);
	out[12] = known ? V2_PROXY : V2_LOCAL;
	if (!known)
		return V2_FIXED_BYTES;
	out[13] = v4 ? V2_TCP4 : V2_TCP6;
	out[15] = (uint8_t)(2 * n + 4);
	memcpy(at, src->ip + skip, n);
	memcpy(at + n, dst->ip + skip, n);
	memcpy(at + 2 * n, &src->port, 2);
	memcpy(at + 2 * n + 2, &dst->port, 2);
	return V2_FIXED_BYTES + 2 * n + 4;
}

size_t proxy_header_print(enum proxy_version version, const struct net_addr *src,
			  const struct net_addr *dst, uint8_t *out)
{
	struct endpoint from, to;
	bool known = endpoint_of(src, &from);

	if (!endpoint_of(dst, &to)) {
		/* Of the client's family, and no address. */
		if (from.v4)
			memcpy(to.ip, mapped_prefix, 12);
		to.v4 = from.v4;
	}
	if (version == PROXY_NONE)
		return 0;
	return version == PROXY_V1 ? v1_print(known, &from, &to, from.v4 && to.v4, out)
				   : v2_print(known, &from, &to, from.v4 && to.v4, out);
}
