/* internal: HTTP fields and heads, the same for every wire. */
#ifndef SLUICE_HTTP_FIELDS_H
#define SLUICE_HTTP_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* Names that somebody in this program asks for; X(SYMBOL, "lower-case name", "Name as HTTP/1 sends it"). */
#define HTTP_NAMES(X)                                                     \
	X(ACCEPT, "accept", "Accept")                                      \
	X(ACCEPT_ENCODING, "accept-encoding", "Accept-Encoding")           \
	X(ACCEPT_RANGES, "accept-ranges", "Accept-Ranges")                 \
	X(AGE, "age", "Age")                                               \
	X(ALLOW, "allow", "Allow")                                         \
	X(AUTHORIZATION, "authorization", "Authorization")                 \
	X(CACHE_CONTROL, "cache-control", "Cache-Control")                 \
	X(CONNECTION, "connection", "Connection")                          \
	X(CONTENT_DISPOSITION, "content-disposition", "Content-Disposition") \
	X(CONTENT_ENCODING, "content-encoding", "Content-Encoding")        \
	X(CONTENT_LANGUAGE, "content-language", "Content-Language")        \
	X(CONTENT_LENGTH, "content-length", "Content-Length")              \
	X(CONTENT_LOCATION, "content-location", "Content-Location")        \
	X(CONTENT_RANGE, "content-range", "Content-Range")                 \
	X(CONTENT_TYPE, "content-type", "Content-Type")                    \
	X(COOKIE, "cookie", "Cookie")                                      \
	X(DATE, "date", "Date")                                            \
	X(ETAG, "etag", "ETag")                                            \
	X(EXPECT, "expect", "Expect")                                      \
	X(EXPIRES, "expires", "Expires")                                   \
	X(FORWARDED, "forwarded", "Forwarded")                             \
	X(HOST, "host", "Host")                                            \
	X(IF_MATCH, "if-match", "If-Match")                                \
	X(IF_MODIFIED_SINCE, "if-modified-since", "If-Modified-Since")     \
	X(IF_NONE_MATCH, "if-none-match", "If-None-Match")                 \
	X(IF_RANGE, "if-range", "If-Range")                                \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since", "If-Unmodified-Since") \
	X(KEEP_ALIVE, "keep-alive", "Keep-Alive")                          \
	X(LAST_MODIFIED, "last-modified", "Last-Modified")                 \
	X(LINK, "link", "Link")                                            \
	X(LOCATION, "location", "Location")                                \
	X(ORIGIN, "origin", "Origin")                                      \
	X(PRAGMA, "pragma", "Pragma")                                      \
	X(PROXY_AUTHORIZATION, "proxy-authorization", "Proxy-Authorization") \
	X(PROXY_CONNECTION, "proxy-connection", "Proxy-Connection")        \
	X(RANGE, "range", "Range")                                         \
	X(REFERER, "referer", "Referer")                                   \
	X(RETRY_AFTER, "retry-after", "Retry-After")                       \
	X(SERVER, "server", "Server")                                      \
	X(SET_COOKIE, "set-cookie", "Set-Cookie")                          \
	X(TE, "te", "TE")                                                  \
	X(TRAILER, "trailer", "Trailer")                                   \
	X(TRANSFER_ENCODING, "transfer-encoding", "Transfer-Encoding")     \
	X(UPGRADE, "upgrade", "Upgrade")                                   \
	X(USER_AGENT, "user-agent", "User-Agent")                          \
	X(VARY, "vary", "Vary")                                            \
	X(VIA, "via", "Via")                                               \
	X(WWW_AUTHENTICATE, "www-authenticate", "WWW-Authenticate")        \
	X(X_CONTENT_TYPE_OPTIONS, "x-content-type-options", "X-Content-Type-Options") \
	X(X_FORWARDED_FOR, "x-forwarded-for", "X-Forwarded-For")           \
	X(X_FORWARDED_HOST, "x-forwarded-host", "X-Forwarded-Host")        \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", "X-Forwarded-Proto")

enum http_name {
	HTTP_OTHER, /* any other name */
#define X(symbol, lower, h1) HTTP_##symbol,
	HTTP_NAMES(X)
#undef X
	HTTP_NAME_COUNT
};

/* The symbol of a field name of any case; a perfect hash, a few nanoseconds. */
enum http_name http_name_find(struct str name);
struct str http_name_lower(enum http_name);
struct str http_name_h1(enum http_name);

struct http_field {
	struct str name; /* as it came, or from http_name_h1 */
	struct str value; /* trimmed */
	uint16_t id; /* enum http_name */
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
