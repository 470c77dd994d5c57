// SPDX-License-Identifier: Apache-2.0
#include "http/h1/parse.h"

#include <errno.h>

#include "base/compiler.h"
#include "http/h1/rules.h"
#include "http/scan.h"

enum h1_state {
	H1_REQUEST_LINE, /* in the request line, or before it */
	H1_FIELDS,       /* after it, up to the empty line */
};

/* The arguments of one call. */
struct h1_input {
	struct h1_parser *parser;
	const struct h1_options *options;
	const uint8_t *base, *end;
	struct arena *arena;
	struct http_head *head;
	const char **why;
};

static void set_state(struct h1_parser *p, enum h1_state state)
{
	p->state = (uint8_t)state;
}

int h1_refuse(const char **why, int status, const char *reason)
{
	*why = reason;
	return -status;
}

static inline uint32_t limit_of(uint32_t option, uint32_t max)
{
	return option && option < max ? option : max;
}

static void rebase_str(struct str *s, uintptr_t from, const uint8_t *to)
{
	if (s->p)
		s->p = (const char *)to + ((uintptr_t)s->p - from);
}

/* The buffer has moved: so have the views made so far. The old address is only a number by now. */
static SL_COLD void rebase(struct h1_parser *p, struct http_head *head, const uint8_t *base)
{
	uintptr_t from = (uintptr_t)p->base;

	if (from) {
		rebase_str(&head->method_text, from, base);
		rebase_str(&head->target, from, base);
		for (unsigned i = 0; i < head->fields.count; i++) {
			rebase_str(&head->fields.v[i].name, from, base);
			rebase_str(&head->fields.v[i].value, from, base);
		}
	}
	p->base = base;
}

/*
 * `stop` is the first control character from the line's start on, or the end of input. 1: it is the line end, and
 * the next line begins two bytes later; 0: more is needed; or a refusal.
 */
static inline int line_end(struct h1_input *in, const uint8_t *stop)
{
	if (SL_LIKELY(in->end - stop >= 2 && stop[0] == '\r' && stop[1] == '\n')) {
		in->parser->line = in->parser->scan = (uint32_t)(stop + 2 - in->base);
		return 1;
	}
	in->parser->scan = (uint32_t)(stop - in->base);
	if (stop == in->end || (*stop == '\r' && in->end - stop < 2))
		return 0;
	if (*stop == '\n')
		return h1_refuse(in->why, 400, "a line feed without a carriage return");
	if (*stop == '\r')
		return h1_refuse(in->why, 400, "a carriage return without a line feed");
	return h1_refuse(in->why, 400, "a control character");
}

/* RFC 9112 section 2.3. 10 or 11 (a later minor version is treated as 1.1), or a refusal. */
static int parse_version(const char **why, const uint8_t *p, const uint8_t *end)
{
	if (end - p == 8) {
		if (memcmp(p, "HTTP/1.1", 8) == 0)
			return 11;
		if (memcmp(p, "HTTP/1.0", 8) == 0)
			return 10;
		if (memcmp(p, "HTTP/", 5) == 0 && (unsigned)(p[5] - '0') < 10 && p[6] == '.' &&
		    (unsigned)(p[7] - '0') < 10) {
			if (p[5] == '1')
				return 11;
			return h1_refuse(why, 505, "a major version of HTTP other than 1");
		}
	}
	return h1_refuse(why, 400, "not a request line: no HTTP version");
}

/* The method; returns the byte after it and its space, or NULL. */
static inline const uint8_t *parse_method(struct http_head *head, const uint8_t *line,
					  const uint8_t *end)
{
	const uint8_t *p = line;

	if (SL_LIKELY(end - line >= 4 && memcmp(line, "GET ", 4) == 0)) {
		head->method = HTTP_GET;
		p += 3;
	} else {
		while (p < end && h1_is_token(*p))
			p++;
		if (p == line || p == end || *p != ' ')
			return NULL;
		head->method =
			http_method_find((struct str){(const char *)line, (size_t)(p - line)});
	}
	head->method_text = (struct str){(const char *)line, (size_t)(p - line)};
	return p + 1;
}

/* RFC 9112 section 3, from the line's first byte to its carriage return. */
static int parse_request_line(struct h1_input *in, const uint8_t *line, const uint8_t *end)
{
	struct http_head *head = in->head;
	const uint8_t *target = parse_method(head, line, end);

	if (SL_UNLIKELY(!target))
		return h1_refuse(in->why, 400, "not a request line: no method");

	/* The line ends in a control character: no scan runs over it. */
	const uint8_t *stop = scan_path(target, in->end);

	in->parser->path_len = (uint32_t)(stop - target);
	if (stop < in->end && *stop == '?')
		stop = scan_query(stop, in->end);
	if (SL_UNLIKELY(stop == target || stop >= end || *stop != ' '))
		return h1_refuse(in->why, 400,
				 stop == end ? "not a request line: no HTTP version"
					     : "not a request line: a byte that no target has");
	head->target = (struct str){(const char *)target, (size_t)(stop - target)};

	int version = parse_version(in->why, stop + 1, end);

	if (version < 0)
		return version;
	head->version = (uint16_t)version;
	return 1;
}

static int read_request_line(struct h1_input *in)
{
	struct h1_parser *p = in->parser;
	uint32_t max = limit_of(in->options->request_line_max, H1_REQUEST_LINE_MAX);

	for (;;) {
		const uint8_t *line = in->base + p->line;
		const uint8_t *stop = scan_ctl(in->base + p->scan, in->end);
		int r;

		if (SL_UNLIKELY((size_t)(stop - line) > max))
			return h1_refuse(in->why, 414, "the request line is too long");
		r = line_end(in, stop);
		if (r <= 0)
			return r;
		if (SL_LIKELY(stop != line)) {
			p->fields_at = p->line;
			set_state(p, H1_FIELDS);
			return parse_request_line(in, line, stop);
		}
		if (++p->empty_lines > H1_EMPTY_LINES_MAX)
			return h1_refuse(in->why, 400, "empty lines before the request line");
	}
}

static SL_COLD int refuse_name(struct h1_input *in, const uint8_t *line, const uint8_t *stop)
{
	if (*line == ' ' || *line == '\t')
		return h1_refuse(in->why, 400,
				 in->head->fields.count + in->parser->dropped
					 ? "a folded field line"
					 : "white space before the first field");
	if (*stop == ' ' || *stop == '\t')
		return h1_refuse(in->why, 400, "white space in a field name, or before its colon");
	if (*stop == ':')
		return h1_refuse(in->why, 400, "a field without a name");
	return h1_refuse(in->why, 400,
			 *stop == '\r' ? "a field line without a colon"
				       : "a byte that no field name has");
}

/* One field line, from its first byte to its carriage return. 0 or a refusal. */
static inline int parse_field(struct h1_input *in, const uint8_t *line, const uint8_t *end)
{
	struct h1_parser *p = in->parser;
	struct http_fields *fields = &in->head->fields;
	/* The carriage return ends the scan: it may run by whole vectors. */
	const uint8_t *colon = scan_word(line, in->end);
	bool underscore = false;

	while (SL_UNLIKELY(h1_is_token(*colon)))
		underscore |= *colon++ == '_';
	if (SL_UNLIKELY(*colon != ':' || colon == line))
		return refuse_name(in, line, colon);
	if (SL_UNLIKELY(fields->count + p->dropped >=
			limit_of(in->options->fields_max, HTTP_FIELDS_MAX)))
		return h1_refuse(in->why, 431, "too many fields");
	if (SL_UNLIKELY(underscore && !in->options->keep_underscores)) {
		p->dropped++;
		return 0;
	}

	const uint8_t *value = colon + 1;

	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;

	int r = http_fields_add_named(fields, in->arena,
				      (struct str){(const char *)line, (size_t)(colon - line)},
				      (struct str){(const char *)value, (size_t)(end - value)});
	if (SL_UNLIKELY(r)) {
		*in->why = "out of memory for fields";
		return r;
	}
	unsigned id = fields->v[fields->count - 1].id;

	if (fields->first[id] != fields->count)
		p->repeated |= (uint64_t)1 << id;
	return 0;
}

_Static_assert(HTTP_NAME_COUNT <= 64, "h1_parser.repeated is a mask of names");

static int read_fields(struct h1_input *in)
{
	struct h1_parser *p = in->parser;
	uint32_t max = limit_of(in->options->fields_bytes_max, H1_FIELDS_BYTES_MAX);
	const uint8_t *fields = in->base + p->fields_at;

	for (;;) {
		const uint8_t *line = in->base + p->line;
		const uint8_t *stop = scan_ctl(in->base + p->scan, in->end);
		int r;

		/* With its line end; the empty line is no field. */
		if (SL_UNLIKELY((size_t)(stop + 2 - fields) > max && stop != line))
			return h1_refuse(in->why, 431, "the fields are too large");
		r = line_end(in, stop);
		if (r <= 0)
			return r;
		if (stop == line)
			return 1;
		r = parse_field(in, line, stop);
		if (SL_UNLIKELY(r))
			return r;
	}
}

int h1_parse_request(struct h1_parser *p, const struct h1_options *options, const uint8_t *base,
		     size_t len, struct arena *arena, struct http_head *head,
		     struct h1_request *out, const char **why)
{
	struct h1_input in = {p, options, base, base + len, arena, head, why};
	int r = 1;

	if (p->base != base)
		rebase(p, head, base);
	if (p->state == H1_REQUEST_LINE)
		r = read_request_line(&in);
	if (r > 0)
		r = read_fields(&in);
	if (r > 0)
		r = h1_request_rules(p, options, arena, head, out, why);
	return r > 0 ? (int)p->line : r;
}
