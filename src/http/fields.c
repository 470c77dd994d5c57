// SPDX-License-Identifier: Apache-2.0
#include "http/fields.h"

#include <errno.h>

#include "base/compiler.h"
#include "http/h1/parse.h"
#include "http/h1/rules.h"
#include "http/status.h"

/* Most requests of browsers fit; the next step is the limit. */
#define FIELDS_FIRST 24

_Static_assert(HTTP_FIELDS_MAX <= UINT8_MAX, "first[] counts in bytes");

int http_fields_reserve(struct http_fields *f, struct arena *arena)
{
	unsigned cap = f->cap ? HTTP_FIELDS_MAX : FIELDS_FIRST;
	struct http_field *v;

	if (SL_LIKELY(f->count < f->cap))
		return 0;
	if (SL_UNLIKELY(f->count >= HTTP_FIELDS_MAX))
		return -E2BIG;
	v = arena_alloc(arena, cap * sizeof(*v));
	if (SL_UNLIKELY(!v))
		return -ENOMEM;
	if (f->count)
		memcpy(v, f->v, f->count * sizeof(*v));
	f->v = v;
	f->cap = (uint16_t)cap;
	return 0;
}

static inline int fields_append(struct http_fields *f, struct arena *arena, enum http_name id,
				struct str name, struct str value)
{
	int r = http_fields_reserve(f, arena);

	if (SL_LIKELY(!r))
		http_fields_put(f, id, name, value);
	return r;
}

int http_fields_add(struct http_fields *f, struct arena *arena, enum http_name id, struct str value)
{
	return fields_append(f, arena, id, http_name_h1(id), value);
}

int http_fields_add_named(struct http_fields *f, struct arena *arena, struct str name,
			  struct str value)
{
	return fields_append(f, arena, http_name_find(name), name, value);
}

bool http_fields_next(const struct http_fields *f, enum http_name id, unsigned *at,
		      struct str *value)
{
	unsigned i = *at;

	if (!f->first[id])
		return false;
	if (i < f->first[id] - 1u)
		i = f->first[id] - 1u;
	while (i < f->count && f->v[i].id != id)
		i++;
	if (i >= f->count)
		return false;
	*value = f->v[i].value;
	*at = i + 1;
	return true;
}

enum http_method http_method_find(struct str s)
{
	switch (s.len) {
	case 3:
		return str_eq(s, STR("GET")) ? HTTP_GET
		     : str_eq(s, STR("PUT")) ? HTTP_PUT
					     : HTTP_METHOD_OTHER;
	case 4:
		return str_eq(s, STR("HEAD")) ? HTTP_HEAD
		     : str_eq(s, STR("POST")) ? HTTP_POST
					      : HTTP_METHOD_OTHER;
	case 5:
		return str_eq(s, STR("PATCH")) ? HTTP_PATCH
		     : str_eq(s, STR("TRACE")) ? HTTP_TRACE
					       : HTTP_METHOD_OTHER;
	case 6:
		return str_eq(s, STR("DELETE")) ? HTTP_DELETE : HTTP_METHOD_OTHER;
	case 7:
		return str_eq(s, STR("OPTIONS")) ? HTTP_OPTIONS
		     : str_eq(s, STR("CONNECT")) ? HTTP_CONNECT
						 : HTTP_METHOD_OTHER;
	default:
		return HTTP_METHOD_OTHER;
	}
}

struct str http_status_text(unsigned status)
{
	switch (status) {
#define X(code, text) \
	case code:    \
		return STR(text);
		HTTP_STATUSES(X)
#undef X
	default:
		return STR("");
	}
}

bool http_field_name_valid(struct str name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!h1_is_token((uint8_t)name.p[i]))
			return false;
	return name.len > 0;
}

bool http_field_value_valid(struct str value)
{
	return h1_scan_value((const uint8_t *)value.p, value.len) == value.len;
}
