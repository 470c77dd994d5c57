// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <assert.h>
#include <math.h>

void json_init(struct json *j, struct text *out)
{
	*j = (struct json){.out = out};
}

static void put_quoted(struct json *j, struct str s)
{
	text_put_char(j->out, '"');
	text_put_escaped(j->out, s, ESCAPE_JSON);
	text_put_char(j->out, '"');
}

/* What stands before a value: the comma, and the key inside an object. */
static void begin(struct json *j, const char *key)
{
	uint32_t bit = 1u << j->depth;

	assert(!key == !(j->objects & bit));
	if (j->filled & bit)
		text_put_char(j->out, ',');
	j->filled |= bit;
	if (key) {
		put_quoted(j, str_from(key));
		text_put_char(j->out, ':');
	}
}

static void open(struct json *j, const char *key, bool object)
{
	begin(j, key);
	assert(j->depth + 1 < JSON_DEPTH_MAX);
	j->depth++;
	j->filled &= ~(1u << j->depth);
	j->objects &= ~(1u << j->depth);
	j->objects |= (uint32_t)object << j->depth;
	text_put_char(j->out, object ? '{' : '[');
}

void json_open_object(struct json *j, const char *key)
{
	open(j, key, true);
}

void json_open_array(struct json *j, const char *key)
{
	open(j, key, false);
}

void json_close(struct json *j)
{
	assert(j->depth > 0);
	text_put_char(j->out, j->objects & (1u << j->depth) ? '}' : ']');
	j->depth--;
}

void json_str(struct json *j, const char *key, struct str s)
{
	begin(j, key);
	put_quoted(j, s);
}

void json_text(struct json *j, const char *key, const char *z)
{
	if (z)
		json_str(j, key, str_from(z));
	else
		json_null(j, key);
}

void json_u64(struct json *j, const char *key, uint64_t v)
{
	begin(j, key);
	text_put_u64(j->out, v);
}

void json_i64(struct json *j, const char *key, int64_t v)
{
	begin(j, key);
	if (v < 0)
		text_put_char(j->out, '-');
	text_put_u64(j->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void json_bool(struct json *j, const char *key, bool v)
{
	begin(j, key);
	text_put(j->out, v ? STR("true") : STR("false"));
}

void json_null(struct json *j, const char *key)
{
	begin(j, key);
	text_put(j->out, STR("null"));
}
