/* internal: parses a request head whole, byte by byte and split everywhere, and holds the results together */
#ifndef SLUICE_TEST_UNIT_HTTP_H1_HEADS_H
#define SLUICE_TEST_UNIT_HTTP_H1_HEADS_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/h1/parse.h"
#include "unit.h"

struct parsed {
	struct h1_parser parser;
	struct http_head head;
	struct h1_request request;
	struct arena arena;
	const char *why;
	uint8_t *buffer;
	int result;
};

static const struct h1_options heads_options;

static inline void parsed_free(struct parsed *p)
{
	arena_free(&p->arena);
	free(p->buffer);
	p->buffer = NULL;
}

/* Input grows by `step` bytes a call, the first call sees `first`; each time in another buffer, just as large. */
static inline void parse_in_steps(struct parsed *p, const struct h1_options *options,
				  struct str text, size_t first, size_t step)
{
	memset(p, 0, sizeof(*p));
	arena_init(&p->arena, 0);
	for (size_t len = first;; len = len + step < text.len ? len + step : text.len) {
		uint8_t *next = malloc(len ? len : 1);

		assert_non_null(next);
		memcpy(next, text.p, len);
		free(p->buffer);
		p->buffer = next;
		p->result = h1_parse_request(&p->parser, options, next, len, &p->arena, &p->head,
					     &p->request, &p->why);
		if (p->result || len == text.len)
			return;
	}
}

/* All that a caller may look at, as text. */
static inline char *parsed_text(const struct parsed *p)
{
	const struct http_head *h = &p->head;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fprintf(f, "%d %s\n", p->result, p->why ? p->why : "-");
	if (p->result > 0 || p->result == -405) {
		fprintf(f, "%d '%.*s' '%.*s' %u\n", (int)h->method, STR_ARG(h->method_text),
			STR_ARG(h->target), h->version);
		fprintf(f, "'%.*s' '%.*s' '%.*s' %d'%.*s' %lld\n", STR_ARG(h->scheme),
			STR_ARG(h->authority), STR_ARG(h->path), h->query.p != NULL,
			STR_ARG(h->query), (long long)h->content_length);
		fprintf(f, "%d %d %d %d\n", (int)p->request.body, p->request.keep_alive,
			p->request.expect_continue, p->request.upgrade);
		for (unsigned i = 0; i < h->fields.count; i++)
			fprintf(f, "%u '%.*s' '%.*s'\n", h->fields.v[i].id,
				STR_ARG(h->fields.v[i].name), STR_ARG(h->fields.v[i].value));
	}
	fclose(f);
	return text;
}

/* Parses `text` in every way; *whole is left for the caller to look at and to free. */
static inline void parse_every_way(struct parsed *whole, const struct h1_options *options,
				   struct str text)
{
	char *expected, *got;
	struct parsed split;

	parse_in_steps(whole, options, text, text.len, 1);
	expected = parsed_text(whole);
	for (size_t cut = 0; cut <= text.len; cut++) {
		/* 0 stands for byte by byte. */
		parse_in_steps(&split, options, text, cut, cut ? text.len : 1);
		got = parsed_text(&split);
		assert_string_equal(got, expected);
		free(got);
		parsed_free(&split);
	}
	free(expected);
}

static inline void expect_status_with(const struct h1_options *options, int status, struct str text)
{
	struct parsed p;

	parse_every_way(&p, options, text);
	if (p.result != -status)
		print_error("%.*s: %d (%s)\n", STR_ARG(text), p.result, p.why ? p.why : "-");
	assert_int_equal(p.result, -status);
	assert_non_null(p.why);
	parsed_free(&p);
}

/* The head is refused with this status, and a reason. */
#define expect_refused(status, literal) expect_status_with(&heads_options, status, STR(literal))

/* The head is taken, all of it; parsed_free() is the caller's. */
static inline void expect_taken_with(struct parsed *p, const struct h1_options *options,
				     struct str text)
{
	parse_every_way(p, options, text);
	if (p->result != (int)text.len)
		print_error("%.*s: %d (%s)\n", STR_ARG(text), p->result, p->why ? p->why : "-");
	assert_int_equal(p->result, text.len);
}

#define expect_taken(p, literal) expect_taken_with(p, &heads_options, STR(literal))

/* The head is taken, and that is all there is to see. */
#define expect_fine(literal)                   \
	do {                                   \
		struct parsed fine_;           \
		expect_taken(&fine_, literal); \
		parsed_free(&fine_);           \
	} while (0)

#define assert_str(s, literal)                                                           \
	do {                                                                             \
		struct str got_ = (s);                                                   \
		assert_int_equal(got_.len, sizeof(literal) - 1);                         \
		assert_memory_equal(got_.p ? got_.p : "", literal, sizeof(literal) - 1); \
	} while (0)

#endif
