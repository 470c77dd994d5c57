// SPDX-License-Identifier: Apache-2.0
// A request head must parse to the same whether it comes whole or in pieces, wherever the buffer lies. The first
// byte of the input chooses options, the second how the rest is cut.
#include "fuzz.h"
#include "http/h1/parse.h"

struct parsed {
	struct h1_parser parser;
	struct http_head head;
	struct h1_request request;
	struct arena arena;
	const char *why;
	uint8_t *buffer;
	int result;
};

static void parse(struct parsed *p, const struct h1_options *options, const uint8_t *data,
		  size_t size, uint32_t cut)
{
	size_t len = 0;

	memset(p, 0, sizeof(*p));
	arena_init(&p->arena, 0);
	do {
		uint8_t *next;

		cut = cut * 1664525 + 1013904223;
		len += (cut >> 24) % 40 + 1;
		len = len < size ? len : size;
		next = malloc(len ? len : 1);
		CHECK(next);
		memcpy(next, data, len);
		free(p->buffer);
		p->buffer = next;
		p->result = h1_parse_request(&p->parser, options, next, len, &p->arena, &p->head,
					     &p->request, &p->why);
	} while (!p->result && len < size);
}

static void parse_whole(struct parsed *p, const struct h1_options *options, const uint8_t *data,
			size_t size)
{
	memset(p, 0, sizeof(*p));
	arena_init(&p->arena, 0);
	p->buffer = malloc(size ? size : 1);
	CHECK(p->buffer);
	memcpy(p->buffer, data, size);
	p->result = h1_parse_request(&p->parser, options, p->buffer, size, &p->arena, &p->head,
				     &p->request, &p->why);
}

static void parsed_free(struct parsed *p)
{
	arena_free(&p->arena);
	free(p->buffer);
}

static void compare_heads(const struct parsed *a, const struct parsed *b)
{
	const struct http_head *h = &a->head, *g = &b->head;

	CHECK(h->method == g->method && h->version == g->version &&
	      h->content_length == g->content_length);
	CHECK(str_eq(h->method_text, g->method_text) && str_eq(h->target, g->target));
	CHECK(str_eq(h->scheme, g->scheme) && str_eq(h->authority, g->authority));
	CHECK(str_eq(h->path, g->path) && str_eq(h->query, g->query) && !h->query.p == !g->query.p);
	CHECK(h->fields.count == g->fields.count);
	for (unsigned i = 0; i < h->fields.count; i++)
		CHECK(h->fields.v[i].id == g->fields.v[i].id &&
		      str_eq(h->fields.v[i].name, g->fields.v[i].name) &&
		      str_eq(h->fields.v[i].value, g->fields.v[i].value));
	CHECK(a->request.body == b->request.body &&
	      a->request.keep_alive == b->request.keep_alive &&
	      a->request.expect_continue == b->request.expect_continue &&
	      a->request.upgrade == b->request.upgrade);
}

/* What every head that was taken promises to those behind. */
static void check_head(const struct parsed *p, size_t size)
{
	const struct http_head *h = &p->head;

	CHECK((size_t)p->result <= size && (size_t)p->result <= H1_HEAD_BYTES_MAX + 4);
	CHECK(h->fields.count <= HTTP_FIELDS_MAX);
	CHECK(h->version == 10 || h->version == 11);
	CHECK(h->version == 10 || h->authority.len);
	CHECK(h->method == HTTP_CONNECT || h->path.p[0] == '/' ||
	      (h->method == HTTP_OPTIONS && str_eq(h->path, STR("*"))));
	CHECK((p->request.body == H1_BODY_CHUNKED) == (h->content_length < 0));
	CHECK((p->request.body == H1_BODY_LENGTH) == (h->content_length > 0));
	for (unsigned i = 0; i < h->fields.count; i++) {
		struct str value = h->fields.v[i].value;

		CHECK(h->fields.v[i].name.len);
		CHECK(h1_scan_value_portable((const uint8_t *)value.p, value.len) == value.len);
		CHECK(str_trim(value).len == value.len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct h1_options options = {.keep_underscores = false};
	struct parsed whole, split;
	uint32_t cut;

	if (size < 2)
		return 0;
	options.keep_underscores = data[0] & 1;
	options.allow_connect = data[0] & 2;
	options.allow_trace = data[0] & 4;
	if (data[0] & 8) {
		options.request_line_max = 64;
		options.fields_bytes_max = 128;
		options.fields_max = 4;
	}
	cut = data[1];
	data += 2;
	size -= 2;
	parse_whole(&whole, &options, data, size);
	parse(&split, &options, data, size, cut);
	CHECK(whole.result == split.result);
	CHECK(!whole.why == !split.why && (!whole.why || strcmp(whole.why, split.why) == 0));
	CHECK(whole.result >= 0 || whole.why);
	if (whole.result > 0)
		check_head(&whole, size);
	if (whole.result > 0 || whole.result == -405)
		compare_heads(&whole, &split);
	parsed_free(&whole);
	parsed_free(&split);
	return 0;
}
