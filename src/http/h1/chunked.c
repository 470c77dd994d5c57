// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "base/compiler.h"
#include "http/h1/parse.h"
#include "http/h1/rules.h"

enum chunk_state {
	CHUNK_SIZE,    /* in the digits of a size, or before them */
	CHUNK_EXT,     /* in the extensions, which begin with ';' */
	CHUNK_SIZE_LF, /* after the carriage return of a size */
	CHUNK_DATA,    /* `left` bytes of body come */
	CHUNK_DATA_CR, /* after them */
	CHUNK_DATA_LF, /* after their carriage return */
	CHUNK_LINE,    /* before a trailer, or before the empty line */
	CHUNK_NAME,    /* in the name of a trailer */
	CHUNK_VALUE,   /* after its colon */
	CHUNK_LINE_LF, /* after its carriage return */
	CHUNK_END_LF,  /* after the carriage return of the empty line */
	CHUNK_DONE,    /* nothing more is taken */
	CHUNK_FAILED,  /* refused */
};

#define NAME(symbol) ((uint64_t)1 << HTTP_##symbol)

/*
 * Rule 10, and RFC 9110 section 6.5.1: names that would change how the message is framed, routed, authenticated,
 * understood or answered after that has been decided.
 */
#define FRAMING_NAMES                                                                \
	(NAME(TRANSFER_ENCODING) | NAME(CONTENT_LENGTH) | NAME(TRAILER) | NAME(TE) | \
	 NAME(CONNECTION) | NAME(KEEP_ALIVE) | NAME(PROXY_CONNECTION) | NAME(UPGRADE))
#define ROUTING_NAMES                                                                    \
	(NAME(HOST) | NAME(FORWARDED) | NAME(X_FORWARDED_FOR) | NAME(X_FORWARDED_HOST) | \
	 NAME(X_FORWARDED_PROTO) | NAME(VIA))
#define AUTHENTICATION_NAMES                                                                       \
	(NAME(AUTHORIZATION) | NAME(PROXY_AUTHORIZATION) | NAME(WWW_AUTHENTICATE) | NAME(COOKIE) | \
	 NAME(SET_COOKIE))
#define CONTROL_NAMES                                                                       \
	(NAME(CACHE_CONTROL) | NAME(PRAGMA) | NAME(EXPECT) | NAME(RANGE) | NAME(IF_MATCH) | \
	 NAME(IF_NONE_MATCH) | NAME(IF_MODIFIED_SINCE) | NAME(IF_UNMODIFIED_SINCE) |        \
	 NAME(IF_RANGE) | NAME(CONTENT_ENCODING) | NAME(CONTENT_TYPE) | NAME(CONTENT_RANGE))

static const uint64_t names_dropped =
	FRAMING_NAMES | ROUTING_NAMES | AUTHENTICATION_NAMES | CONTROL_NAMES;

static void set_state(struct h1_chunked *c, enum chunk_state state)
{
	c->state = (uint8_t)state;
}

static SL_COLD bool refuse(struct h1_chunked *c, const char *why)
{
	set_state(c, CHUNK_FAILED);
	c->why = why;
	return false;
}

static inline int hex_digit(uint8_t b)
{
	if ((unsigned)(b - '0') < 10)
		return b - '0';
	if ((unsigned)((b | 0x20) - 'a') < 6)
		return (b | 0x20) - 'a' + 10;
	return -1;
}

/* One byte of extensions, the ';' among them. */
static bool count_ext(struct h1_chunked *c)
{
	if (++c->ext > H1_CHUNK_EXT_MAX || ++c->ext_sum > H1_CHUNK_EXT_SUM_MAX)
		return refuse(c, "too many bytes of chunk extensions");
	return true;
}

static bool take_size(struct h1_chunked *c, uint8_t b)
{
	int digit = hex_digit(b);

	if (digit >= 0) {
		if (++c->digits > H1_CHUNK_DIGITS_MAX)
			return refuse(c, "a chunk size of too many digits");
		c->left = c->left << 4 | (unsigned)digit;
		return true;
	}
	if (!c->digits)
		return refuse(c, "not a chunk size");
	c->digits = 0;
	if (b == '\r') {
		set_state(c, CHUNK_SIZE_LF);
		return true;
	}
	if (b != ';')
		return refuse(c, "a chunk size that goes on");
	c->ext = 0;
	set_state(c, CHUNK_EXT);
	return count_ext(c);
}

static bool take_ext(struct h1_chunked *c, uint8_t b)
{
	if (b == '\r') {
		set_state(c, CHUNK_SIZE_LF);
		return true;
	}
	if ((b < 0x20 && b != '\t') || b == 0x7f)
		return refuse(c, "a control character in a chunk extension");
	return count_ext(c);
}

/* Counts a byte of the trailers, and keeps it if anybody wants them. */
static bool keep(struct h1_chunked *c, uint8_t b)
{
	if (c->trailer_bytes >= H1_TRAILERS_MAX)
		return refuse(c, "the trailers are too large");
	if (c->arena && !c->line) {
		c->line = arena_alloc(c->arena, H1_TRAILERS_MAX);
		c->trailers = arena_zalloc(c->arena, sizeof(*c->trailers));
		if (!c->line || !c->trailers)
			return refuse(c, "out of memory for trailers");
	}
	if (c->line)
		c->line[c->trailer_bytes] = b;
	c->trailer_bytes++;
	c->line_len++;
	return true;
}

static bool is_dropped(struct str name)
{
	enum http_name id = http_name_find(name);

	if (id != HTTP_OTHER)
		return names_dropped >> id & 1;
	return str_starts_nocase(name, STR("x-forwarded-")) ||
	       str_eq_nocase(name, STR("max-forwards")) ||
	       str_eq_nocase(name, STR("proxy-authenticate")) || str_find_byte(name, '_') >= 0;
}

/* The line is complete, with its line end, and well formed. */
static bool end_line(struct h1_chunked *c)
{
	uint32_t len = c->line_len;

	set_state(c, CHUNK_LINE);
	c->line_len = 0;
	if (!c->line)
		return true;

	struct str line = {(const char *)c->line + c->trailer_bytes - len, len - 2};
	size_t colon = (size_t)str_find_byte(line, ':');
	struct str name = str_head(line, colon);

	if (is_dropped(name))
		return true;
	switch (http_fields_add_named(c->trailers, c->arena, name,
				      str_trim(str_skip(line, colon + 1)))) {
	case 0:
		return true;
	case -E2BIG:
		return refuse(c, "too many trailers");
	default:
		return refuse(c, "out of memory for trailers");
	}
}

static bool take_line(struct h1_chunked *c, uint8_t b)
{
	if (b == '\r') {
		set_state(c, CHUNK_END_LF);
		return true;
	}
	if (!h1_is_token(b))
		return refuse(c, "not a trailer");
	set_state(c, CHUNK_NAME);
	return keep(c, b);
}

static bool take_name(struct h1_chunked *c, uint8_t b)
{
	if (b == ':')
		set_state(c, CHUNK_VALUE);
	else if (!h1_is_token(b))
		return refuse(c, "a byte that no trailer name has");
	return keep(c, b);
}

static bool take_value(struct h1_chunked *c, uint8_t b)
{
	if (b == '\r')
		set_state(c, CHUNK_LINE_LF);
	else if ((b < 0x20 && b != '\t') || b == 0x7f)
		return refuse(c, "a control character in a trailer");
	return keep(c, b);
}

static bool take_line_feed(struct h1_chunked *c, uint8_t b)
{
	if (b != '\n')
		return refuse(c, "a carriage return without a line feed");
	switch ((enum chunk_state)c->state) {
	case CHUNK_SIZE_LF:
		set_state(c, c->left ? CHUNK_DATA : CHUNK_LINE);
		return true;
	case CHUNK_DATA_LF:
		set_state(c, CHUNK_SIZE);
		return true;
	case CHUNK_LINE_LF:
		return keep(c, b) && end_line(c);
	default:
		set_state(c, CHUNK_DONE);
		return true;
	}
}

/* One byte that is not body. */
static bool take(struct h1_chunked *c, uint8_t b)
{
	switch ((enum chunk_state)c->state) {
	case CHUNK_SIZE:
		return take_size(c, b);
	case CHUNK_EXT:
		return take_ext(c, b);
	case CHUNK_DATA_CR:
		if (b != '\r')
			return refuse(c, "a chunk longer than its size");
		set_state(c, CHUNK_DATA_LF);
		return true;
	case CHUNK_LINE:
		return take_line(c, b);
	case CHUNK_NAME:
		return take_name(c, b);
	case CHUNK_VALUE:
		return take_value(c, b);
	default:
		return take_line_feed(c, b);
	}
}

enum h1_chunk h1_chunked_next(struct h1_chunked *c, const uint8_t *in, size_t *len,
			      const uint8_t **data, size_t *data_len)
{
	size_t at = 0, n = *len;

	while (c->state < CHUNK_DONE && at < n) {
		if (c->state == CHUNK_DATA) {
			*data = in + at;
			*data_len = SL_MIN(c->left, n - at);
			*len = at + *data_len;
			c->left -= *data_len;
			if (!c->left)
				set_state(c, CHUNK_DATA_CR);
			return H1_CHUNK_DATA;
		}
		if (!take(c, in[at++]))
			break;
	}
	*len = at;
	if (c->state == CHUNK_FAILED)
		return H1_CHUNK_BAD;
	return c->state == CHUNK_DONE ? H1_CHUNK_END : H1_CHUNK_MORE;
}
