// SPDX-License-Identifier: Apache-2.0
#include "http/authority_quick.h"

#include <arpa/inet.h>

#include "base/compiler.h"
#include "http/chars.h"

#define PORT_MAX 65535

static inline bool is_hex(char c)
{
	return (unsigned)(c - '0') < 10 || (unsigned)((c | 0x20) - 'a') < 6;
}

/* What scan_host has not taken already: the rest of unreserved and sub-delims, and escapes. */
static bool is_name_rest(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if ((unsigned)(c - '0') < 10 || (unsigned)((c | 0x20) - 'a') < 26 ||
		    (c && strchr("-._~!$&'()*+,;=", c)))
			continue;
		if (c != '%' || s.len - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))
			return false;
		i += 2;
	}
	return true;
}

/* `s` begins with '['. Sets *len to the length with both brackets. */
static bool is_ip_literal(struct str s, size_t *len)
{
	ptrdiff_t end = str_find_byte(s, ']');
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (end < 1 || (size_t)end > sizeof(text))
		return false;
	memcpy(text, s.p + 1, (size_t)end - 1);
	text[end - 1] = '\0';
	*len = (size_t)end + 1;
	return strlen(text) == (size_t)end - 1 && inet_pton(AF_INET6, text, &addr) == 1;
}

static inline bool is_port(struct str s)
{
	unsigned value = 0;

	if (s.len > HTTP_PORT_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	return value <= PORT_MAX;
}

bool http_authority_split(struct str authority, struct str *host, struct str *port)
{
	const uint8_t *begin = (const uint8_t *)authority.p;
	size_t len = (size_t)(scan_host(begin, begin, begin + authority.len) - begin);

	if (SL_UNLIKELY(len < authority.len && authority.p[len] != ':')) {
		if (authority.p[0] == '[') {
			if (!is_ip_literal(authority, &len))
				return false;
		} else {
			ptrdiff_t colon = str_find_byte(authority, ':');

			len = colon < 0 ? authority.len : (size_t)colon;
			if (!is_name_rest(str_head(authority, len)))
				return false;
		}
	}
	if (len == 0 || len > HTTP_HOST_MAX)
		return false;
	*host = str_head(authority, len);
	*port = STR_NONE;
	if (len == authority.len)
		return true;
	if (authority.p[len] != ':')
		return false;
	*port = str_skip(authority, len + 1);
	return is_port(*port);
}

bool http_authority_valid_any(struct str authority)
{
	struct str host, port;

	return http_authority_split(authority, &host, &port);
}

struct str http_authority_host(struct str authority)
{
	for (size_t i = authority.len; i > 0; i--) {
		char c = authority.p[i - 1];

		if (c == ':')
			return str_head(authority, i - 1);
		if ((unsigned)(c - '0') > 9)
			break;
	}
	return authority;
}
