/* internal: says whether bytes are one JSON text (RFC 8259) and nothing else */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_JSON_CHECK_H
#define SLUICE_TEST_JSON_CHECK_H

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/escape.h"

static inline const char *json_check_value(const char *p, const char *end);

static inline const char *json_check_blank(const char *p, const char *end)
{
	while (p && p < end && memchr(" \t\r\n", *p, 4))
		p++;
	return p;
}

static inline const char *json_check_string(const char *p, const char *end)
{
	if (p == end || *p++ != '"')
		return NULL;
	while (p < end && *p != '"') {
		unsigned n = utf8_length((struct str){p, (size_t)(end - p)});

		if (n == 0 || (unsigned char)*p < 0x20)
			return NULL;
		if (*p == '\\') {
			if (++p == end || !memchr("\"\\/bfnrtu", *p, 9))
				return NULL;
			if (*p == 'u')
				for (unsigned i = 0; i < 4; i++)
					if (++p == end || !isxdigit((unsigned char)*p))
						return NULL;
		}
		p += n;
	}
	return p == end ? NULL : p + 1;
}

static inline const char *json_check_members(const char *p, const char *end, char close)
{
	p = json_check_blank(p + 1, end);
	if (p < end && *p == close)
		return p + 1;
	while (p && p < end) {
		if (close == '}') {
			p = json_check_blank(json_check_string(p, end), end);
			if (!p || p == end || *p++ != ':')
				return NULL;
		}
		p = json_check_blank(json_check_value(json_check_blank(p, end), end), end);
		if (!p || p == end)
			return NULL;
		if (*p == close)
			return p + 1;
		if (*p != ',')
			return NULL;
		p = json_check_blank(p + 1, end);
	}
	return NULL;
}

static inline const char *json_check_number(const char *p, const char *end)
{
	const char *digits;

	p += p < end && *p == '-';
	for (digits = p; p < end && isdigit((unsigned char)*p); p++)
		;
	if (p == digits || (p - digits > 1 && *digits == '0'))
		return NULL;
	if (p < end && *p == '.') {
		for (digits = ++p; p < end && isdigit((unsigned char)*p); p++)
			;
		if (p == digits)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		for (digits = p; p < end && isdigit((unsigned char)*p); p++)
			;
		if (p == digits)
			return NULL;
	}
	return p;
}

static inline const char *json_check_value(const char *p, const char *end)
{
	static const char *const words[] = {"true", "false", "null"};

	if (!p || p == end)
		return NULL;
	if (*p == '"')
		return json_check_string(p, end);
	if (*p == '{' || *p == '[')
		return json_check_members(p, end, *p == '{' ? '}' : ']');
	for (unsigned i = 0; i < 3; i++)
		if ((size_t)(end - p) >= strlen(words[i]) && !memcmp(p, words[i], strlen(words[i])))
			return p + strlen(words[i]);
	return json_check_number(p, end);
}

static inline bool json_check(struct str s)
{
	const char *end = s.p + s.len;

	return json_check_blank(json_check_value(json_check_blank(s.p, end), end), end) == end;
}

#endif
