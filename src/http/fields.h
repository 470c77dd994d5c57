/* internal: HTTP fields and heads, the same for every wire. */
#ifndef SLUICE_HTTP_FIELDS_H
#define SLUICE_HTTP_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/names.h"

struct http_field {
	struct str name;  /* as it came, or from http_name_h1 */
	struct str value; /* trimmed */
	uint16_t id;      /* enum http_name */
};

/*
 * Fields in order. first[id] is 1 + the index of the first field of that name, 0 when there is none. Zero
 * to begin. Views: the bytes live in the stream's arena, its held input, or static memory.
 */
#define HTTP_FIELDS_MAX 100

struct http_fields {
	struct http_field *v;
	uint16_t count, cap;
	uint8_t first[HTTP_NAME_COUNT];
};

/* Appends; grows in the arena. 0, -ENOMEM, -E2BIG over HTTP_FIELDS_MAX. The value is trusted to hold no CR, LF or NUL. */
int http_fields_add(struct http_fields *, struct arena *, enum http_name, struct str value);
int http_fields_add_named(struct http_fields *, struct arena *, struct str name, struct str value);
/* The two halves of it: room for one more (0 or an error as above), and the append, which needs that room. */
int http_fields_reserve(struct http_fields *, struct arena *);
static inline void http_fields_put(struct http_fields *f, enum http_name id, struct str name,
				   struct str value)
{
	struct http_field *field = &f->v[f->count++];

	field->name = name;
	field->value = value;
	field->id = (uint16_t)id;
	if (!f->first[id])
		f->first[id] = (uint8_t)f->count;
}
/* The value of the first, or STR_NONE (.p NULL). */
static inline struct str http_fields_get(const struct http_fields *f, enum http_name id)
{
	return f->first[id] ? f->v[f->first[id] - 1].value : STR_NONE;
}
/* The next field of that name after index *at (start at 0); false when there is none. For lists over several lines. */
bool http_fields_next(const struct http_fields *, enum http_name, unsigned *at, struct str *value);

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_GET,
	HTTP_HEAD,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_PATCH,
	HTTP_CONNECT,
	HTTP_TRACE,
	HTTP_METHOD_COUNT
};
enum http_method http_method_find(struct str);

/* A token (RFC 9110 section 5.6.2), and a value without controls but TAB: what may be printed into a head. */
bool http_field_name_valid(struct str);
bool http_field_value_valid(struct str);

/*
 * A block of response fields that is made once and sent often: a wire that can, sends `h1` as it is (each field as
 * "Name: value\r\n"); others use v. Immutable; lives longer than every response that names it.
 */
struct http_block {
	struct http_field *v;
	unsigned count;
	struct str h1;
};

/* One head, request or response. */
struct http_head {
	/* request */
	enum http_method method;
	struct str method_text;
	struct str scheme;    /* "http" or "https" */
	struct str authority; /* host[:port], of the target or of Host, validated (rule 11) */
	struct str target;    /* as it came */
	struct str path;      /* normalised and decoded once (http/path.h); "*" for OPTIONS * */
	struct str query;     /* without '?', raw; .p NULL when there is none */
	uint16_t version;     /* 10, 11, 20, 30 */
	/* response */
	uint16_t status;
	const struct http_block *block; /* sent before fields; NULL: none */
	/* both */
	int64_t content_length; /* -1: not known (chunked, or until the end) */
	struct http_fields fields;
};

/* "Not Found" for 404; "" for an unknown code. */
struct str http_status_text(unsigned status);

#endif
