// SPDX-License-Identifier: Apache-2.0
#include "http/hop.h"

#include <errno.h>

#include "base/compiler.h"

#define NAME(symbol) ((uint64_t)1 << HTTP_##symbol)

/* Of the hop whatever Connection says. */
static const uint64_t hop_names = NAME(CONNECTION) | NAME(KEEP_ALIVE) | NAME(PROXY_CONNECTION) |
				  NAME(TRANSFER_ENCODING) | NAME(UPGRADE) |
				  NAME(PROXY_AUTHORIZATION) | NAME(CONTENT_LENGTH);

_Static_assert(HTTP_NAME_COUNT <= 64, "names are kept as bits");

/* What goes: by their ids, and names without one. */
struct hop {
	uint64_t ids;
	struct str named[HTTP_HOP_NAMED_MAX];
	unsigned count;
	bool upgrade;
};

void http_fields_remove_if(struct http_fields *f,
			   bool (*gone)(const struct http_field *, const void *), const void *data)
{
	unsigned kept = 0;

	while (kept < f->count && !gone(&f->v[kept], data))
		kept++;
	if (kept == f->count)
		return;
	for (unsigned i = kept + 1; i < f->count; i++)
		if (!gone(&f->v[i], data))
			f->v[kept++] = f->v[i];
	f->count = (uint16_t)kept;
	memset(f->first, 0, sizeof(f->first));
	while (kept-- > 0)
		f->first[f->v[kept].id] = (uint8_t)(kept + 1);
}

/* Rule 13: one option of Connection. */
static int hop_option(struct hop *hop, struct str option)
{
	enum http_name id = option.len ? http_name_find(option) : HTTP_CONNECTION;

	if (id == HTTP_HOST || id == HTTP_CONTENT_LENGTH ||
	    str_starts_nocase(option, STR("x-forwarded-")))
		return -EBADMSG;
	hop->upgrade |= id == HTTP_UPGRADE;
	if (id != HTTP_OTHER) {
		/* TE is kept for what it says of trailers, which is the next hop's, too. */
		hop->ids |= id == HTTP_TE ? 0 : (uint64_t)1 << id;
		return 0;
	}
	if (str_eq_nocase(option, STR("close")))
		return 0;
	if (hop->count == HTTP_HOP_NAMED_MAX)
		return -EBADMSG;
	hop->named[hop->count++] = option;
	return 0;
}

static int hop_read(struct hop *hop, const struct http_fields *f)
{
	struct str list, option;
	unsigned at = 0;

	while (http_fields_next(f, HTTP_CONNECTION, &at, &list)) {
		while (str_next(&list, ',', &option)) {
			int r = hop_option(hop, option);
			if (r)
				return r;
		}
	}
	return 0;
}

static bool hop_gone(const struct http_field *field, const void *data)
{
	const struct hop *hop = data;

	if (field->id != HTTP_OTHER)
		return hop->ids >> field->id & 1;
	for (unsigned i = 0; i < hop->count; i++)
		if (str_eq_nocase(field->name, hop->named[i]))
			return true;
	return str_eq_nocase(field->name, STR("proxy-authenticate"));
}

/* "gzip, trailers;q=1" becomes "trailers"; what has no such member goes. */
static void hop_cut_te(struct hop *hop, struct http_fields *f)
{
	struct str list, member, name;
	unsigned at = 0;

	while (http_fields_next(f, HTTP_TE, &at, &list)) {
		while (str_next(&list, ',', &member)) {
			if (!str_next(&member, ';', &name) || !str_eq_nocase(name, STR("trailers")))
				continue;
			struct http_field kept = f->v[at - 1];
			http_fields_remove(f, HTTP_TE);
			kept.value = STR("trailers");
			f->v[f->count] = kept;
			f->first[HTTP_TE] = (uint8_t)++f->count;
			return;
		}
	}
	hop->ids |= NAME(TE);
}

int http_hop_remove(struct http_fields *f, struct str *upgrade)
{
	struct hop hop;
	int r;

	hop.ids = hop_names;
	hop.count = 0;
	hop.upgrade = false;
	if (upgrade)
		*upgrade = STR_NONE;
	r = hop_read(&hop, f);
	if (r)
		return r;
	if (upgrade && hop.upgrade)
		*upgrade = http_fields_get(f, HTTP_UPGRADE);
	if (SL_UNLIKELY(f->first[HTTP_TE]))
		hop_cut_te(&hop, f);
	http_fields_remove_if(f, hop_gone, &hop);
	return 0;
}

static bool has_id(const struct http_field *field, const void *data)
{
	return field->id == *(const enum http_name *)data;
}

static bool has_name(const struct http_field *field, const void *data)
{
	return field->id == HTTP_OTHER && str_eq_nocase(field->name, *(const struct str *)data);
}

void http_fields_remove(struct http_fields *f, enum http_name id)
{
	if (f->first[id])
		http_fields_remove_if(f, has_id, &id);
}

void http_fields_remove_named(struct http_fields *f, struct str name)
{
	enum http_name id = name.len ? http_name_find(name) : HTTP_OTHER;

	if (id != HTTP_OTHER)
		http_fields_remove(f, id);
	else
		http_fields_remove_if(f, has_name, &name);
}

int http_fields_set(struct http_fields *f, struct arena *arena, enum http_name id, struct str value)
{
	http_fields_remove(f, id);
	return http_fields_add(f, arena, id, value);
}

int http_fields_set_named(struct http_fields *f, struct arena *arena, struct str name,
			  struct str value)
{
	http_fields_remove_named(f, name);
	return http_fields_add_named(f, arena, name, value);
}

struct str http_cookie(const struct http_fields *f, struct str name)
{
	struct str list, pair;
	unsigned at = 0;

	while (http_fields_next(f, HTTP_COOKIE, &at, &list))
		while (str_next(&list, ';', &pair))
			if (pair.len > name.len && pair.p[name.len] == '=' &&
			    str_starts(pair, name))
				return str_skip(pair, name.len + 1);
	return STR_NONE;
}
