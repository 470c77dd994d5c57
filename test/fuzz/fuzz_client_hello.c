// SPDX-License-Identifier: Apache-2.0
// However the bytes are cut, the same is found, and what is found lies inside the message.
#include <errno.h>

#include "fuzz.h"
#include "net/client_hello.h"

static void check_view(const struct client_hello *h, struct str s)
{
	const char *begin = (const char *)h->message->data;

	CHECK(!s.len || (s.p >= begin && s.p + s.len <= begin + h->message->end));
}

/* In pieces of n bytes, each in memory of its own. */
static int feed(struct client_hello *h, const uint8_t *data, size_t size, size_t n,
		const char **why)
{
	int result = -EAGAIN;

	for (size_t at = 0; at < size && result == -EAGAIN; at += n) {
		size_t part = size - at < n ? size - at : n;
		uint8_t *piece = malloc(part);

		CHECK(piece);
		memcpy(piece, data + at, part);
		result = client_hello_feed(h, piece, part, why);
		free(piece);
	}
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client_hello whole = {0}, cut = {0};
	const char *why = NULL, *cut_why = NULL;

	if (!size)
		return 0;
	int result = feed(&whole, data, size, size, &why);
	CHECK(result == 0 || result == -EAGAIN || result == -EBADMSG);
	CHECK((result == -EBADMSG) == (why != NULL));
	CHECK(whole.fed <= CLIENT_HELLO_MAX);
	CHECK(feed(&cut, data, size, 1 + size % 7, &cut_why) == result);
	CHECK(why == cut_why);
	if (!result) {
		check_view(&whole, whole.server_name);
		check_view(&whole, whole.alpn);
		CHECK(str_eq(whole.server_name, cut.server_name));
		CHECK(str_eq(whole.alpn, cut.alpn));
		if (whole.server_name.len)
			CHECK(client_hello_asks_for(&whole, whole.server_name) ||
			      str_starts(whole.server_name, STR("*.")));
		if (whole.alpn.len)
			CHECK(client_hello_offers(&whole,
						  str_head(str_skip(whole.alpn, 1),
							   (unsigned char)whole.alpn.p[0])));
	}
	client_hello_free(&whole);
	client_hello_free(&cut);
	return 0;
}
