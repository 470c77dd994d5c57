// SPDX-License-Identifier: Apache-2.0
// A response head must parse to the same whether it comes whole or in pieces, wherever the buffer lies. The first
// byte of the input chooses what was asked, the second how the rest is cut.
#include <errno.h>

#include "fuzz.h"
#include "http/h1/parse.h"

struct parsed {
	struct h1_parser parser;
	struct http_head head;
	struct h1_response response;
	struct arena arena;
	const char *why;
	uint8_t *buffer;
	int result;
};

/* Pieces of up to `most` bytes. */
static void parse(struct parsed *p, enum http_method asked, const uint8_t *data, size_t size,
		  uint32_t cut, size_t most)
{
	size_t len = 0;

	memset(p, 0, sizeof(*p));
	arena_init(&p->arena, 0);
	do {
		uint8_t *next;

		cut = cut * 1664525 + 1013904223;
		len += (cut >> 8) % most + 1;
		len = len < size && most < size ? len : size;
		next = malloc(len ? len : 1);
		CHECK(next);
		memcpy(next, data, len);
		free(p->buffer);
		p->buffer = next;
		p->result = h1_parse_response(&p->parser, next, len, &p->arena, asked, &p->head,
					      &p->response, &p->why);
	} while (!p->result && len < size);
}

static void parsed_free(struct parsed *p)
{
	arena_free(&p->arena);
	free(p->buffer);
}

static void compare_heads(const struct parsed *a, const struct parsed *b)
{
	const struct http_head *h = &a->head, *g = &b->head;

	CHECK(h->status == g->status && h->version == g->version &&
	      h->content_length == g->content_length);
	CHECK(h->fields.count == g->fields.count);
	for (unsigned i = 0; i < h->fields.count; i++)
		CHECK(h->fields.v[i].id == g->fields.v[i].id &&
		      str_eq(h->fields.v[i].name, g->fields.v[i].name) &&
		      str_eq(h->fields.v[i].value, g->fields.v[i].value));
	CHECK(a->response.body == b->response.body &&
	      a->response.keep_alive == b->response.keep_alive &&
	      a->response.upgrade == b->response.upgrade);
}

/* What every head that was taken promises to those behind. */
static void check_head(const struct parsed *p, enum http_method asked, size_t size)
{
	const struct http_head *h = &p->head;
	bool bodiless =
		h->status < 200 || h->status == 204 || h->status == 304 || asked == HTTP_HEAD;

	CHECK((size_t)p->result <= size && (size_t)p->result <= H1_HEAD_BYTES_MAX + 4);
	CHECK(h->fields.count <= HTTP_FIELDS_MAX);
	CHECK(h->version == 10 || h->version == 11);
	CHECK(h->status >= 100 && h->status <= 599);
	CHECK(!bodiless || p->response.body == H1_BODY_NONE);
	CHECK(p->response.body != H1_BODY_LENGTH || h->content_length > 0);
	CHECK(p->response.body < H1_BODY_CHUNKED || h->content_length == -1);
	CHECK(p->response.body != H1_BODY_UNTIL_CLOSE || !p->response.keep_alive);
	CHECK(p->response.body != H1_BODY_CHUNKED || h->version == 11);
	for (unsigned i = 0; i < h->fields.count; i++) {
		struct str value = h->fields.v[i].value;

		CHECK(h->fields.v[i].name.len);
		CHECK(h1_scan_value_portable((const uint8_t *)value.p, value.len) == value.len);
		CHECK(str_trim(value).len == value.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum http_method methods[] = {HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_CONNECT};
	struct parsed whole, split;
	enum http_method asked;
	uint32_t cut;

	if (size < 2)
		return 0;
	asked = methods[data[0] & 3];
	cut = data[1];
	data += 2;
	size -= 2;
	parse(&whole, asked, data, size, 0, size + 1);
	parse(&split, asked, data, size, cut, 40);
	CHECK(whole.result == split.result);
	CHECK(!whole.why == !split.why && (!whole.why || strcmp(whole.why, split.why) == 0));
	CHECK(whole.result >= 0 || (whole.why && whole.result == -EBADMSG));
	if (whole.result > 0) {
		check_head(&whole, asked, size);
		compare_heads(&whole, &split);
	}
	parsed_free(&whole);
	parsed_free(&split);
	return 0;
}
