// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard/access.h"
#include "guard/access_table.h"

#define ENTRIES_BEGIN 64
/* Of a wrong prefix, in a message. */
#define PREFIX_SHOWN 64

void access_entries_free(struct access_entries *e)
{
	free(e->v);
	*e = (struct access_entries){0};
}

static int entries_push(struct access_entries *e, struct access_entry entry, char *why,
			size_t why_len)
{
	if (e->count == GUARD_ACCESS_ENTRIES_MAX) {
		snprintf(why, why_len, "more than %u prefixes (join neighbours into shorter ones)",
			 GUARD_ACCESS_ENTRIES_MAX);
		return -E2BIG;
	}
	if (e->count == e->cap) {
		size_t cap = e->cap ? 2 * e->cap : ENTRIES_BEGIN;
		struct access_entry *v = realloc(e->v, cap * sizeof(*v));

		if (!v) {
			snprintf(why, why_len, "out of memory");
			return -ENOMEM;
		}
		e->v = v;
		e->cap = cap;
	}
	e->v[e->count++] = entry;
	return 0;
}

static int prefix_refuse(struct str prefix, const char *reason, char *why, size_t why_len)
{
	snprintf(why, why_len, "\"%.*s\" %s", STR_ARG(str_head(prefix, PREFIX_SHOWN)), reason);
	return -EINVAL;
}

/* The address alone. False: it is none. */
static bool prefix_address(struct str text, struct access_entry *entry)
{
	char z[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;

	if (!text.len || text.len >= sizeof(z) || memchr(text.p, 0, text.len))
		return false;
	memcpy(z, text.p, text.len);
	z[text.len] = 0;
	if (inet_pton(AF_INET, z, &v4) == 1) {
		entry->key = ntohl(v4.s_addr);
		return true;
	}
	if (inet_pton(AF_INET6, z, &v6) != 1)
		return false;
	entry->v6 = true;
	entry->key = 0;
	for (unsigned i = 0; i < 16; i++)
		entry->key = entry->key << 8 | v6.s6_addr[i];
	return true;
}

static int prefix_refuse_bits(struct str prefix, const struct access_entry *e, char *why,
			      size_t why_len)
{
	char ip[INET6_ADDRSTRLEN];
	unsigned width = e->v6 ? 128 : 32, below = width - e->bits;
	access_key key = e->key >> (below - 1) >> 1 << 1 << (below - 1);
	struct in6_addr v6;
	struct in_addr v4 = {htonl((uint32_t)key)};

	for (unsigned i = 0; i < 16; i++)
		v6.s6_addr[i] = (uint8_t)(key >> (120 - 8 * i));
	inet_ntop(e->v6 ? AF_INET6 : AF_INET, e->v6 ? (void *)&v6 : (void *)&v4, ip, sizeof(ip));
	snprintf(why, why_len, "\"%.*s\" has bits set beyond its length (write \"%s/%u\")",
		 STR_ARG(str_head(prefix, PREFIX_SHOWN)), ip, e->bits);
	return -EINVAL;
}

int access_entries_add(struct access_entries *e, struct str prefix, bool allow, uint32_t line,
		       uint16_t source, char *why, size_t why_len)
{
	struct access_entry entry = {.allow = allow, .line = line, .source = source};
	ptrdiff_t slash = str_find_byte(prefix, '/');
	struct str address = slash < 0 ? prefix : str_head(prefix, (size_t)slash);

	if (str_eq(prefix, STR("all"))) {
		int err = entries_push(e, entry, why, why_len);
		entry.v6 = true;
		return err ? err : entries_push(e, entry, why, why_len);
	}
	if (!prefix_address(address, &entry))
		return prefix_refuse(prefix,
				     "is not a prefix (write \"10.0.0.0/8\", \"2001:db8::/32\", "
				     "\"192.0.2.1\" or \"all\")",
				     why, why_len);
	uint64_t bits = entry.v6 ? 128 : 32;
	if (slash >= 0 && str_to_u64(str_skip(prefix, (size_t)slash + 1), bits, &bits))
		return prefix_refuse(prefix,
				     entry.v6 ? "has a length that is not a number up to 128"
					      : "has a length that is not a number up to 32",
				     why, why_len);
	entry.bits = (uint8_t)bits;
	unsigned below = (entry.v6 ? 128 : 32) - entry.bits;
	if (below && entry.key << (128 - below))
		return prefix_refuse_bits(prefix, &entry, why, why_len);
	if (entry.v6 && entry.bits >= 96 && entry.key >> 32 == 0xffff) {
		entry.v6 = false;
		entry.bits -= 96;
		entry.key = (uint32_t)entry.key;
	}
	return entries_push(e, entry, why, why_len);
}
