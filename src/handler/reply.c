// SPDX-License-Identifier: Apache-2.0
#include "handler/reply.h"

#include <errno.h>

#include "http/negotiate.h"

int reply_error_with(struct http_stream *s, unsigned status, enum http_name name, struct str value)
{
	struct http_field field = {.value = value, .id = name};

	return value.p ? http_respond_error_with(s, status, &field, 1) : -ENOMEM;
}

int reply_redirect(struct http_stream *s, unsigned status, struct str location)
{
	struct http_head head = {.status = (uint16_t)status};

	if (!location.p || http_fields_add(&head.fields, s->arena, HTTP_LOCATION, location) < 0)
		return -ENOMEM;
	return http_respond(s, &head, NULL);
}

static bool query_byte(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !strchr("\"<>\\^`{|}#", c);
}

struct str reply_query_encode(struct str query, struct arena *arena)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = arena_alloc(arena, 3 * query.len + 1), *at = out;

	if (!out)
		return STR_NONE;
	for (size_t i = 0; i < query.len; i++) {
		unsigned char c = (unsigned char)query.p[i];

		if (query_byte(c)) {
			*at++ = (char)c;
			continue;
		}
		*at++ = '%';
		*at++ = hex[c >> 4];
		*at++ = hex[c & 15];
	}
	*at = '\0';
	return (struct str){out, (size_t)(at - out)};
}

struct str reply_query_value(struct str query, struct str name)
{
	struct str pair;

	while (str_next(&query, '&', &pair)) {
		ptrdiff_t equals = str_find_byte(pair, '=');

		if (equals >= 0 && str_eq(str_head(pair, (size_t)equals), name))
			return str_skip(pair, (size_t)equals + 1);
	}
	return STR_NONE;
}

bool reply_wants_json(const struct http_stream *s)
{
	struct str format = reply_query_value(s->request.query, STR("format"));
	int json = 0, text = 0;
	unsigned at = 0;
	struct str value, element;

	if (format.p)
		return str_eq(format, STR("json"));
	while (http_fields_next(&s->request.fields, HTTP_ACCEPT, &at, &value)) {
		while (str_next(&value, ',', &element)) {
			int quality = http_quality_cut(&element);

			if (str_eq_nocase(element, STR("application/json")))
				json = SL_MAX(json, quality);
			else if (str_starts_nocase(element, STR("text/")))
				text = SL_MAX(text, quality);
		}
	}
	return json > text;
}
