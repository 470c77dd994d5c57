// SPDX-License-Identifier: Apache-2.0
// A header that is taken is taken at no shorter length and whatever follows; what is printed of it says the same.
#include <errno.h>

#include "fuzz.h"
#include "net/proxy_header.h"

static bool unix_addr(const struct net_addr *a)
{
	return a->u.sa.sa_family == AF_UNIX;
}

static void check_print(enum proxy_version version, const struct proxy_header *h)
{
	uint8_t out[PROXY_HEADER_V2_MAX];
	struct proxy_header again;
	const char *why = NULL;
	size_t n = proxy_header_print(version, h->local ? NULL : &h->src, &h->dst, out);
	char a[NET_ADDR_TEXT], b[NET_ADDR_TEXT];

	CHECK(n <= (version == PROXY_V1 ? PROXY_HEADER_V1_MAX : 52));
	CHECK(proxy_header_parse(out, n, version, &again, &why) == (int)n);
	CHECK(again.local == (h->local || unix_addr(&h->src)));
	if (again.local)
		return;
	/* As text: an IPv4 address may have come mapped into IPv6. */
	net_addr_print(&h->src, a);
	net_addr_print(&again.src, b);
	CHECK(strcmp(a, b) == 0);
	net_addr_print(&h->dst, a);
	net_addr_print(&again.dst, b);
	CHECK(strcmp(a, b) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header h, part;
	const char *why = NULL;

	if (!size)
		return 0;
	enum proxy_version accept = data[0] % 4;
	size--;
	uint8_t *bytes = malloc(size ? size : 1);
	CHECK(bytes);
	memcpy(bytes, data + 1, size);
	int n = proxy_header_parse(bytes, size, accept, &h, &why);
	CHECK(n == -EBADMSG ? why != NULL : n >= 0 && (size_t)n <= size);
	for (int i = 0; i < n; i++)
		CHECK(proxy_header_parse(bytes, (size_t)i, accept, &part, &why) == 0);
	if (n > 0) {
		CHECK(proxy_header_parse(bytes, (size_t)n, accept, &part, &why) == n);
		CHECK(part.local == h.local && net_addr_eq(&part.src, &h.src));
		check_print(PROXY_V1, &h);
		check_print(PROXY_V2, &h);
	}
	free(bytes);
	return 0;
}
