// SPDX-License-Identifier: Apache-2.0
#include "http/negotiate.h"

#include <errno.h>

#include "base/compiler.h"
#include "http/date.h"

/*
 * Takes the next entity tag off a list, with its W/ and its quotes (RFC 9110 section 8.8.3). False at the end
 * and at the first thing that is no tag.
 */
static bool next_etag(struct str *list, struct str *tag)
{
	size_t at = 0, begin;

	while (at < list->len && (list->p[at] == ' ' || list->p[at] == '\t' || list->p[at] == ','))
		at++;
	begin = at;
	if (list->len - at >= 2 && list->p[at] == 'W' && list->p[at + 1] == '/')
		at += 2;
	if (at >= list->len || list->p[at] != '"')
		return false;

	ptrdiff_t quote = str_find_byte(str_skip(*list, at + 1), '"');

	if (quote < 0)
		return false;
	at += (size_t)quote + 2;
	*tag = (struct str){list->p + begin, at - begin};
	*list = str_skip(*list, at);
	return true;
}

static inline bool is_weak(struct str etag)
{
	return str_starts(etag, STR("W/"));
}

/* RFC 9110 section 8.8.3.2. */
static bool etag_eq(struct str a, struct str b, bool weak)
{
	if (!weak)
		return a.len && !is_weak(a) && str_eq(a, b);
	if (is_weak(a))
		a = str_skip(a, 2);
	if (is_weak(b))
		b = str_skip(b, 2);
	return a.len && str_eq(a, b);
}

bool http_etag_listed(struct str list, struct str etag, bool weak)
{
	struct str tag;

	if (str_eq(str_trim(list), STR("*")))
		return true;
	while (next_etag(&list, &tag))
		if (etag_eq(tag, etag, weak))
			return true;
	return false;
}

static bool etag_in_field(const struct http_fields *f, enum http_name id, struct str etag,
			  bool weak)
{
	struct str list;
	unsigned at = 0;

	while (http_fields_next(f, id, &at, &list))
		if (http_etag_listed(list, etag, weak))
			return true;
	return false;
}

/* The date of a field that came once and is valid; any other is ignored. */
static bool date_of(const struct http_fields *f, enum http_name id, int64_t now_s, int64_t *date)
{
	struct str value, second;
	unsigned at = 0;

	return http_fields_next(f, id, &at, &value) && !http_fields_next(f, id, &at, &second) &&
	       http_date_parse(value, now_s, date) == 0;
}

enum http_precondition http_precondition(const struct http_head *head, struct str etag,
					 int64_t modified_s, int64_t now_s)
{
	const struct http_fields *f = &head->fields;
	bool reads = head->method == HTTP_GET || head->method == HTTP_HEAD;
	int64_t date;

	if (f->first[HTTP_IF_MATCH]) {
		if (!etag_in_field(f, HTTP_IF_MATCH, etag, false))
			return HTTP_PRE_FAILED;
	} else if (modified_s >= 0 && date_of(f, HTTP_IF_UNMODIFIED_SINCE, now_s, &date)) {
		if (modified_s > date)
			return HTTP_PRE_FAILED;
	}
	if (f->first[HTTP_IF_NONE_MATCH]) {
		if (etag_in_field(f, HTTP_IF_NONE_MATCH, etag, true))
			return reads ? HTTP_PRE_NOT_MODIFIED : HTTP_PRE_FAILED;
	} else if (reads && modified_s >= 0 && date_of(f, HTTP_IF_MODIFIED_SINCE, now_s, &date)) {
		if (modified_s <= date)
			return HTTP_PRE_NOT_MODIFIED;
	}
	return HTTP_PRE_SEND;
}

bool http_if_range(const struct http_head *head, struct str etag, int64_t modified_s, int64_t now_s)
{
	const struct http_fields *f = &head->fields;
	struct str value = http_fields_get(f, HTTP_IF_RANGE);
	int64_t date;

	if (!value.p)
		return true;
	if (str_starts(value, STR("\"")) || is_weak(value))
		return etag_eq(value, etag, false);
	/* A file that changed in this very second may change again in it: its date proves nothing. */
	return modified_s >= 0 && modified_s < now_s && date_of(f, HTTP_IF_RANGE, now_s, &date) &&
	       date == modified_s;
}

struct str http_coding_name(enum http_coding coding)
{
	switch (coding) {
	case HTTP_GZIP:
		return STR("gzip");
	case HTTP_BR:
		return STR("br");
	case HTTP_ZSTD:
		return STR("zstd");
	default:
		return STR("identity");
	}
}

/* "1", "0.5", "0.123" in thousandths (RFC 9110 section 12.4.2), or -1. */
static int quality_of(struct str s)
{
	int value = 0, unit = HTTP_QUALITY_MAX;

	if (!s.len || s.len > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.len > 1 && s.p[1] != '.'))
		return -1;
	for (size_t i = 0; i < s.len; i++) {
		if (i == 1)
			continue;
		if ((unsigned)(s.p[i] - '0') > 9)
			return -1;
		value += (s.p[i] - '0') * unit;
		unit /= 10;
	}
	return value <= HTTP_QUALITY_MAX ? value : -1;
}

int http_quality_cut(struct str *element)
{
	struct str parameters = *element, parameter;

	(void)str_next(&parameters, ';', element);
	while (str_next(&parameters, ';', &parameter)) {
		if (str_starts_nocase(parameter, STR("q=")))
			return quality_of(str_skip(parameter, 2));
	}
	return HTTP_QUALITY_MAX;
}

/* Qualities in thousandths; -1: not named. The last slot is that of "*". */
static void read_codings(const struct http_fields *f, int quality[HTTP_CODING_COUNT + 1])
{
	struct str list, one;
	unsigned at = 0;

	for (unsigned i = 0; i <= HTTP_CODING_COUNT; i++)
		quality[i] = -1;
	while (http_fields_next(f, HTTP_ACCEPT_ENCODING, &at, &list)) {
		while (str_next(&list, ',', &one)) {
			int q = http_quality_cut(&one);

			if (q < 0)
				continue;
			if (str_eq(one, STR("*")))
				quality[HTTP_CODING_COUNT] = q;
			if (str_eq_nocase(one, STR("x-gzip")))
				quality[HTTP_GZIP] = q;
			for (unsigned i = 0; i < HTTP_CODING_COUNT; i++)
				if (str_eq_nocase(one, http_coding_name((enum http_coding)i)))
					quality[i] = q;
		}
	}
}

enum http_coding http_coding_choose(const struct http_head *head, unsigned offered)
{
	static const enum http_coding preference[] = {HTTP_ZSTD, HTTP_BR, HTTP_GZIP, HTTP_IDENTITY};
	int quality[HTTP_CODING_COUNT + 1];
	enum http_coding best = HTTP_IDENTITY;
	int best_quality = 0;

	if (!(offered & ~(1u << HTTP_IDENTITY)) || !head->fields.first[HTTP_ACCEPT_ENCODING])
		return HTTP_IDENTITY;
	read_codings(&head->fields, quality);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(preference); i++) {
		enum http_coding c = preference[i];
		int q = quality[c] >= 0 ? quality[c] : quality[HTTP_CODING_COUNT];

		if ((c == HTTP_IDENTITY || offered >> c & 1) && q > best_quality) {
			best = c;
			best_quality = q;
		}
	}
	return best;
}
