// SPDX-License-Identifier: Apache-2.0
// A chunked body must decode to the same whether it comes whole or in pieces. The first byte of the input chooses
// how the rest is cut, and whether trailers are kept.
#include "fuzz.h"
#include "http/h1/parse.h"

struct decoded {
	struct h1_chunked chunked;
	struct arena arena;
	enum h1_chunk result;
	uint8_t *body;
	size_t body_len, taken;
};

/* Feeds one piece from memory of its own length. False when the decoder is done with it all. */
static bool feed(struct decoded *d, const uint8_t *piece, size_t n)
{
	uint8_t *copy = malloc(n ? n : 1);
	size_t at = 0;

	CHECK(copy);
	memcpy(copy, piece, n);
	do {
		const uint8_t *data = NULL;
		size_t len = n - at, data_len = 0;

		d->result = h1_chunked_next(&d->chunked, copy + at, &len, &data, &data_len);
		CHECK(len <= n - at);
		if (d->result == H1_CHUNK_DATA) {
			CHECK(data_len && data >= copy + at && data + data_len == copy + at + len);
			memcpy(d->body + d->body_len, data, data_len);
			d->body_len += data_len;
		}
		at += len;
	} while (d->result == H1_CHUNK_DATA);
	CHECK(d->result != H1_CHUNK_MORE || at == n);
	d->taken += at;
	free(copy);
	return d->result == H1_CHUNK_MORE;
}

static void decode(struct decoded *d, const uint8_t *data, size_t size, uint32_t cut, bool trailers)
{
	size_t at = 0, n;

	memset(d, 0, sizeof(*d));
	arena_init(&d->arena, 0);
	d->chunked.arena = trailers ? &d->arena : NULL;
	d->body = malloc(size ? size : 1);
	CHECK(d->body);
	do {
		n = size - at;
		if (cut) {
			cut = cut * 1664525 + 1013904223;
			n = (cut >> 24) % 16 < n ? (cut >> 24) % 16 : n;
		}
		if (!feed(d, data + at, n))
			break;
		at += n;
	} while (at < size);
}

static void compare_trailers(const struct http_fields *a, const struct http_fields *b)
{
	CHECK(!a == !b);
	CHECK(!a || a->count == b->count);
	for (unsigned i = 0; a && i < a->count; i++) {
		CHECK(str_eq(a->v[i].name, b->v[i].name) && str_eq(a->v[i].value, b->v[i].value));
		CHECK(a->v[i].id != HTTP_CONTENT_LENGTH && a->v[i].id != HTTP_TRANSFER_ENCODING &&
		      a->v[i].id != HTTP_HOST && a->v[i].id != HTTP_AUTHORIZATION);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct decoded whole, split;
	bool trailers;

	if (size < 1)
		return 0;
	trailers = data[0] & 1;
	decode(&whole, data + 1, size - 1, 0, trailers);
	decode(&split, data + 1, size - 1, data[0] | 1, trailers);
	CHECK(whole.result == split.result && whole.taken == split.taken);
	CHECK(whole.body_len == split.body_len &&
	      memcmp(whole.body, split.body, whole.body_len) == 0);
	CHECK((whole.result == H1_CHUNK_BAD) == (whole.chunked.why != NULL));
	CHECK(!whole.chunked.why || strcmp(whole.chunked.why, split.chunked.why) == 0);
	CHECK(whole.chunked.trailer_bytes <= H1_TRAILERS_MAX);
	compare_trailers(whole.chunked.trailers, split.chunked.trailers);
	arena_free(&whole.arena);
	arena_free(&split.arena);
	free(whole.body);
	free(split.body);
	return 0;
}
