// SPDX-License-Identifier: Apache-2.0
#include "http/names.h"

#include "http/names_find.h"

const struct str http_names_lower[HTTP_NAME_COUNT] = {[HTTP_OTHER] = {"", 0},
#define X(symbol, lower, h1) [HTTP_##symbol] = {lower, sizeof(lower) - 1},
						      HTTP_NAMES(X)
#undef X
};

static const struct str names_h1[HTTP_NAME_COUNT] = {[HTTP_OTHER] = {"", 0},
#define X(symbol, lower, h1) [HTTP_##symbol] = {h1, sizeof(h1) - 1},
						     HTTP_NAMES(X)
#undef X
};

/* A perfect hash over HTTP_NAMES, found by tools/http-names. */
const uint8_t http_names_slots[HTTP_NAMES_SLOTS] = {
	[0] = HTTP_REFERER,
	[3] = HTTP_ACCEPT,
	[8] = HTTP_RETRY_AFTER,
	[9] = HTTP_CONTENT_LOCATION,
	[15] = HTTP_CONTENT_DISPOSITION,
	[18] = HTTP_RANGE,
	[19] = HTTP_WWW_AUTHENTICATE,
	[41] = HTTP_ORIGIN,
	[42] = HTTP_X_FORWARDED_FOR,
	[43] = HTTP_ACCEPT_ENCODING,
	[45] = HTTP_SERVER,
	[52] = HTTP_VARY,
	[55] = HTTP_ALLOW,
	[72] = HTTP_HOST,
	[74] = HTTP_X_CONTENT_TYPE_OPTIONS,
	[75] = HTTP_SET_COOKIE,
	[80] = HTTP_X_FORWARDED_HOST,
	[83] = HTTP_COOKIE,
	[94] = HTTP_TRAILER,
	[95] = HTTP_CONTENT_TYPE,
	[97] = HTTP_CONTENT_RANGE,
	[98] = HTTP_LINK,
	[103] = HTTP_CONTENT_LANGUAGE,
	[106] = HTTP_TE,
	[108] = HTTP_PROXY_CONNECTION,
	[110] = HTTP_PRAGMA,
	[113] = HTTP_IF_RANGE,
	[114] = HTTP_PROXY_AUTHORIZATION,
	[126] = HTTP_DATE,
	[130] = HTTP_VIA,
	[131] = HTTP_IF_MODIFIED_SINCE,
	[135] = HTTP_IF_UNMODIFIED_SINCE,
	[139] = HTTP_CONTENT_ENCODING,
	[153] = HTTP_CONTENT_LENGTH,
	[160] = HTTP_LOCATION,
	[163] = HTTP_UPGRADE,
	[165] = HTTP_AUTHORIZATION,
	[167] = HTTP_IF_MATCH,
	[172] = HTTP_TRANSFER_ENCODING,
	[175] = HTTP_EXPIRES,
	[177] = HTTP_IF_NONE_MATCH,
	[183] = HTTP_USER_AGENT,
	[191] = HTTP_EXPECT,
	[209] = HTTP_ETAG,
	[211] = HTTP_KEEP_ALIVE,
	[212] = HTTP_FORWARDED,
	[223] = HTTP_CACHE_CONTROL,
	[239] = HTTP_AGE,
	[246] = HTTP_LAST_MODIFIED,
	[248] = HTTP_X_FORWARDED_PROTO,
	[253] = HTTP_CONNECTION,
	[255] = HTTP_ACCEPT_RANGES,
};

_Static_assert(HTTP_NAME_COUNT <= UINT8_MAX, "a slot is one byte");

enum http_name http_name_find(struct str name)
{
	return http_name_lookup(name);
}

struct str http_name_lower(enum http_name id)
{
	return http_names_lower[id];
}

struct str http_name_h1(enum http_name id)
{
	return names_h1[id];
}
