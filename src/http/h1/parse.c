// SPDX-License-Identifier: Apache-2.0
#include "http/h1/parse.h"

#include <endian.h>
#include <errno.h>

#include "base/compiler.h"
#include "http/chars.h"
#include "http/h1/rules.h"
#include "http/names_find.h"

/* In requests and in responses: not to be called for having two users. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum h1_parser_state {
	H1_FIRST_LINE, /* in the request or status line, or before it */
	H1_FIELDS,     /* after it, up to the empty line */
};

/* One call: its arguments, and where it stands. */
struct h1_cursor {
	const uint8_t *base, *end;
	const uint8_t *line; /* start of the line being read */
	const uint8_t *stop; /* no control character before it */
	const char **why;
};

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
static SL_COLD void rebase(uintptr_t from, struct http_head *head, const uint8_t *base)
{
	rebase_str(&head->method_text, from, base);
	rebase_str(&head->target, from, base);
	for (unsigned i = 0; i < head->fields.count; i++) {
		rebase_str(&head->fields.v[i].name, from, base);
		rebase_str(&head->fields.v[i].value, from, base);
	}
}

/* What stands where a line should end. 0: that may still come. */
static SL_COLD int refuse_line_end(const uint8_t *stop, const uint8_t *end, const char **why)
{
	if (stop == end || (*stop == '\r' && end - stop < 2))
		return 0;
	if (*stop == '\n')
		return h1_refuse(why, 400, "a line feed without a carriage return");
	if (*stop == '\r')
		return h1_refuse(why, 400, "a carriage return without a line feed");
	return h1_refuse(why, 400, "a control character");
}

/* After the scan: 1 when `stop` is at the line end; 0: more is needed; or a refusal. */
static inline int line_end(const struct h1_cursor *in)
{
	uint16_t crlf;

	if (SL_UNLIKELY(in->end - in->stop < 2))
		return refuse_line_end(in->stop, in->end, in->why);
	memcpy(&crlf, in->stop, sizeof(crlf));
	if (SL_UNLIKELY(crlf != htole16('\r' | '\n' << 8)))
		return refuse_line_end(in->stop, in->end, in->why);
	return 1;
}

/* RFC 9112 section 2.3. 10 or 11 (a later minor version is treated as 1.1), or a refusal. */
static inline int parse_version(const uint8_t *p, const uint8_t *end, const char **why)
{
	if (end - p == 8) {
		if (SL_LIKELY(memcmp(p, "HTTP/1.1", 8) == 0))
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
	return h1_refuse(why, 400, "no HTTP version");
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

/*
 * The end of a target that begins at p, or `end`. Notes where its path ends and whether that is plain: what
 * http_path_normalise would give back as it is.
 */
static inline const uint8_t *scan_target(struct h1_parser *parser, const uint8_t *base,
					 const uint8_t *p, const uint8_t *end)
{
	const uint8_t *begin = p;
	uint64_t stops, odd, any = 0, slash = 0;

	for (;; p += SCAN_BYTES) {
		size_t left = (size_t)(end - p);
		scan_vec v;

		if (SL_LIKELY(left >= SCAN_BYTES))
			v = scan_load(p);
		else if (left)
			v = scan_load_part(p, left);
		else
			return end;
		stops = scan_bits(scan_match_not_path(v));
		odd = scan_odd_path(v, &slash);
		if (SL_LIKELY(stops))
			break;
		any |= odd;
	}
	p += scan_index(stops);
	/* What is below the lowest bit. */
	any |= odd & (stops - 1) & ~stops;
	parser->path_plain = any == 0;
	parser->path_len = (uint32_t)(p - begin);
	/* The rest of a part is zero, and a stop. */
	if (SL_UNLIKELY(p < end && *p == '?'))
		return scan_query(base, p, end);
	return p;
}

/* RFC 9112 section 3, from the line's first byte to its carriage return. */
static inline int parse_request_line(struct h1_parser *p, const struct h1_cursor *in,
				     struct http_head *head)
{
	const uint8_t *target = parse_method(head, in->line, in->stop);
	const uint8_t *stop;
	int version;

	if (SL_UNLIKELY(!target))
		return h1_refuse(in->why, 400, "not a request line: no method");
	/* The line ends in a control character: no scan runs over it. */
	stop = scan_target(p, in->base, target, in->end);
	if (SL_UNLIKELY(stop == target || *stop != ' '))
		return h1_refuse(in->why, 400,
				 stop == in->stop
					 ? "no HTTP version"
					 : "not a request line: a byte that no target has");
	head->target = (struct str){(const char *)target, (size_t)(stop - target)};
	version = parse_version(stop + 1, in->stop, in->why);
	if (SL_UNLIKELY(version < 0))
		return version;
	head->version = (uint16_t)version;
	return 1;
}

/* The line has been read; it ended at in->stop. */
static inline void next_line(struct h1_cursor *in)
{
	in->line = in->stop += 2;
}

/* The same of the first line. */
static inline void begin_fields(struct h1_parser *p, struct h1_cursor *in)
{
	next_line(in);
	p->fields_at = (uint32_t)(in->line - in->base);
	p->state = H1_FIELDS;
}

/*
 * "GET target HTTP/1.1", all of it here and looked at for the first time: that takes no search for the line's end. False
 * with nothing changed that matters when it is anything else.
 */
static inline bool parse_usual_line(struct h1_parser *p, struct h1_cursor *in,
				    struct http_head *head, uint32_t max)
{
	static const char version[] = " HTTP/1.1\r\n";
	const uint8_t *target = in->line + 4;
	const uint8_t *stop;

	if (SL_UNLIKELY(in->stop != in->line || in->end - in->line < 4 ||
			memcmp(in->line, "GET ", 4) != 0))
		return false;
	stop = scan_target(p, in->base, target, in->end);
	if (SL_UNLIKELY(stop == target || in->end - stop < (ptrdiff_t)sizeof(version) - 1 ||
			memcmp(stop, version, sizeof(version) - 1) != 0 ||
			(size_t)(stop + sizeof(version) - 3 - in->line) > max))
		return false;
	head->method = HTTP_GET;
	head->method_text = (struct str){(const char *)in->line, 3};
	head->target = (struct str){(const char *)target, (size_t)(stop - target)};
	head->version = 11;
	in->stop = stop + sizeof(version) - 3;
	return true;
}

/* Up to the end of the request line; 1, 0 or a refusal. */
static inline int read_odd_line(struct h1_parser *p, struct h1_cursor *in, struct http_head *head,
				uint32_t max)
{
	int r;

	for (;;) {
		in->stop = scan_ctl(in->base, in->stop, in->end);
		if (SL_UNLIKELY((size_t)(in->stop - in->line) > max))
			return h1_refuse(in->why, 414, "the request line is too long");
		r = line_end(in);
		if (r <= 0)
			return r;
		if (SL_LIKELY(in->stop != in->line))
			return parse_request_line(p, in, head);
		if (++p->empty_lines > H1_EMPTY_LINES_MAX)
			return h1_refuse(in->why, 400, "empty lines before the request line");
		next_line(in);
	}
}

static inline int read_request_line(struct h1_parser *p, const struct h1_options *options,
				    struct h1_cursor *in, struct http_head *head)
{
	uint32_t max = limit_of(options->request_line_max, H1_REQUEST_LINE_MAX);
	int r = 1;

	if (SL_UNLIKELY(!parse_usual_line(p, in, head, max)))
		r = read_odd_line(p, in, head, max);
	if (SL_UNLIKELY(r <= 0))
		return r;
	begin_fields(p, in);
	return 1;
}

/* RFC 9112 section 4: the version, a space, three digits, a space; then a reason, which may be empty. */
static inline int parse_status_line(const struct h1_cursor *in, struct http_head *head)
{
	const uint8_t *p = in->line + 8;
	int version;

	if (SL_UNLIKELY(in->stop - in->line < 13))
		return h1_refuse(in->why, 400, "not a status line");
	version = parse_version(in->line, p, in->why);
	if (SL_UNLIKELY(version < 0))
		return version;
	/* 100 to 599 (RFC 9110 section 15). */
	if (SL_UNLIKELY(p[0] != ' ' || (unsigned)(p[1] - '1') > 4 || (unsigned)(p[2] - '0') > 9 ||
			(unsigned)(p[3] - '0') > 9 || p[4] != ' '))
		return h1_refuse(in->why, 400, "not a status code");
	head->version = (uint16_t)version;
	head->status = (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
	return 1;
}

static inline int read_status_line(struct h1_parser *p, struct h1_cursor *in,
				   struct http_head *head)
{
	int r;

	in->stop = scan_ctl(in->base, in->stop, in->end);
	if (SL_UNLIKELY((size_t)(in->stop - in->line) > H1_REQUEST_LINE_MAX))
		return h1_refuse(in->why, 400, "the status line is too long");
	r = line_end(in);
	if (SL_UNLIKELY(r <= 0))
		return r;
	r = parse_status_line(in, head);
	if (SL_UNLIKELY(r <= 0))
		return r;
	begin_fields(p, in);
	return 1;
}

static SL_COLD int refuse_name(const uint8_t *line, const uint8_t *stop, bool first,
			       const char **why)
{
	if (*line == ' ' || *line == '\t')
		return h1_refuse(why, 400,
				 first ? "white space before the first field"
				       : "a folded field line");
	if (*stop == ' ' || *stop == '\t')
		return h1_refuse(why, 400, "white space in a field name, or before its colon");
	if (*stop == ':')
		return h1_refuse(why, 400, "a field without a name");
	return h1_refuse(why, 400,
			 *stop == '\r' ? "a field line without a colon"
				       : "a byte that no field name has");
}

/* Without white space at both ends; the byte at `end` is a carriage return. */
static inline struct str trim(const uint8_t *p, const uint8_t *end)
{
	/* Space and TAB are all that is left up to ' ', but for what stands at the end. */
	while (p < end && *p <= ' ')
		p++;
	while (p < end && end[-1] <= ' ')
		end--;
	return (struct str){(const char *)p, (size_t)(end - p)};
}

/* One field line; `colon` is NULL when it has not been found yet. 0 or a refusal. */
ALWAYS_INLINE int parse_field(struct h1_parser *p, const struct h1_options *options,
			      const struct h1_cursor *in, const uint8_t *colon, struct arena *arena,
			      struct http_fields *fields)
{
	bool underscore = false;
	int r;

	if (SL_UNLIKELY(!colon))
		for (colon = in->line; h1_is_token(*colon); colon++)
			underscore |= *colon == '_';
	if (SL_UNLIKELY(*colon != ':' || colon == in->line))
		return refuse_name(in->line, colon, fields->count + p->dropped == 0, in->why);
	if (SL_UNLIKELY(fields->count + p->dropped >=
			limit_of(options->fields_max, HTTP_FIELDS_MAX)))
		return h1_refuse(in->why, 431, "too many fields");
	if (SL_UNLIKELY(underscore && !options->keep_underscores)) {
		p->dropped++;
		return 0;
	}
	if (SL_UNLIKELY(fields->count == fields->cap)) {
		r = http_fields_reserve(fields, arena);
		if (r) {
			*in->why = "out of memory for fields";
			return r;
		}
	}
	struct str name = {(const char *)in->line, (size_t)(colon - in->line)};
	enum http_name id = http_name_lookup(name);

	if (SL_UNLIKELY(fields->first[id]))
		p->repeated |= (uint64_t)1 << id;
	http_fields_put(fields, id, name, trim(colon + 1, in->stop));
	return 0;
}

_Static_assert(HTTP_NAME_COUNT <= 64, "h1_parser.repeated is a mask of names");

/*
 * At the first look at a line: the colon after a name of letters, digits and '-', or NULL. What is before it has no
 * control character.
 */
static inline const uint8_t *find_colon(struct h1_cursor *in)
{
	const uint8_t *colon;

	if (SL_UNLIKELY(in->stop != in->line))
		return NULL;
	colon = scan_word(in->base, in->line, in->end);
	if (SL_UNLIKELY(colon == in->end || *colon != ':'))
		return NULL;
	in->stop = colon;
	return colon;
}

ALWAYS_INLINE int read_fields(struct h1_parser *p, const struct h1_options *options,
			      struct h1_cursor *in, struct arena *arena, struct http_head *head)
{
	const uint8_t *fields = in->base + p->fields_at;
	uint32_t max = limit_of(options->fields_bytes_max, H1_FIELDS_BYTES_MAX);
	const uint8_t *colon;
	int r;

	for (;;) {
		if (in->end - in->line >= 2 && memcmp(in->line, "\r\n", 2) == 0) {
			in->stop = in->line;
			next_line(in);
			return 1;
		}
		colon = find_colon(in);
		in->stop = scan_ctl(in->base, in->stop, in->end);
		/* With its line end; the empty line is no field. */
		if (SL_UNLIKELY((size_t)(in->stop + 2 - fields) > max && in->stop != in->line))
			return h1_refuse(in->why, 431, "the fields are too large");
		r = line_end(in);
		if (r <= 0)
			return r;
		r = parse_field(p, options, in, colon, arena, &head->fields);
		next_line(in);
		if (SL_UNLIKELY(r))
			return r;
	}
}

/* A call begins; what was found before may have moved. */
static inline void begin_call(struct h1_parser *p, struct http_head *head, const uint8_t *base)
{
	if (SL_UNLIKELY(p->base != base && p->base))
		rebase((uintptr_t)p->base, head, base);
	p->base = base;
}

/* The next one goes on from here. */
static inline void end_call(struct h1_parser *p, const struct h1_cursor *in)
{
	p->line = (uint32_t)(in->line - in->base);
	p->scan = (uint32_t)(in->stop - in->base);
}

int h1_parse_request(struct h1_parser *p, const struct h1_options *options, const uint8_t *base,
		     size_t len, struct arena *arena, struct http_head *head,
		     struct h1_request *out, const char **why)
{
	struct h1_cursor in = {base, base + len, base + p->line, base + p->scan, why};
	int r = 1;

	begin_call(p, head, base);
	if (SL_LIKELY(p->state == H1_FIRST_LINE))
		r = read_request_line(p, options, &in, head);
	if (SL_LIKELY(r > 0))
		r = read_fields(p, options, &in, arena, head);
	end_call(p, &in);
	if (SL_LIKELY(r > 0))
		r = h1_request_rules(p, options, len, arena, head, out, why);
	return r > 0 ? (int)p->line : r;
}

int h1_parse_response(struct h1_parser *p, const uint8_t *base, size_t len, struct arena *arena,
		      enum http_method asked, struct http_head *head, struct h1_response *out,
		      const char **why)
{
	static const struct h1_options options = {.keep_underscores = true};
	struct h1_cursor in = {base, base + len, base + p->line, base + p->scan, why};
	int r = 1;

	begin_call(p, head, base);
	if (SL_LIKELY(p->state == H1_FIRST_LINE))
		r = read_status_line(p, &in, head);
	if (SL_LIKELY(r > 0))
		r = read_fields(p, &options, &in, arena, head);
	end_call(p, &in);
	if (SL_LIKELY(r > 0))
		r = h1_response_rules(p, asked, head, out, why);
	if (SL_UNLIKELY(r < 0))
		return r == -ENOMEM ? r : -EBADMSG;
	return r ? (int)p->line : 0;
}
