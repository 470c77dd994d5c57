/* internal: the names of HTTP fields that somebody in this program asks for. */
#ifndef SLUICE_HTTP_NAMES_H
#define SLUICE_HTTP_NAMES_H

#include "base/str.h"

/* X(SYMBOL, "lower-case name", "Name as HTTP/1 sends it"). */
#define HTTP_NAMES(X)                                                                 \
	X(ACCEPT, "accept", "Accept")                                                 \
	X(ACCEPT_ENCODING, "accept-encoding", "Accept-Encoding")                      \
	X(ACCEPT_RANGES, "accept-ranges", "Accept-Ranges")                            \
	X(AGE, "age", "Age")                                                          \
	X(ALLOW, "allow", "Allow")                                                    \
	X(AUTHORIZATION, "authorization", "Authorization")                            \
	X(CACHE_CONTROL, "cache-control", "Cache-Control")                            \
	X(CONNECTION, "connection", "Connection")                                     \
	X(CONTENT_DISPOSITION, "content-disposition", "Content-Disposition")          \
	X(CONTENT_ENCODING, "content-encoding", "Content-Encoding")                   \
	X(CONTENT_LANGUAGE, "content-language", "Content-Language")                   \
	X(CONTENT_LENGTH, "content-length", "Content-Length")                         \
	X(CONTENT_LOCATION, "content-location", "Content-Location")                   \
	X(CONTENT_RANGE, "content-range", "Content-Range")                            \
	X(CONTENT_TYPE, "content-type", "Content-Type")                               \
	X(COOKIE, "cookie", "Cookie")                                                 \
	X(DATE, "date", "Date")                                                       \
	X(ETAG, "etag", "ETag")                                                       \
	X(EXPECT, "expect", "Expect")                                                 \
	X(EXPIRES, "expires", "Expires")                                              \
	X(FORWARDED, "forwarded", "Forwarded")                                        \
	X(HOST, "host", "Host")                                                       \
	X(IF_MATCH, "if-match", "If-Match")                                           \
	X(IF_MODIFIED_SINCE, "if-modified-since", "If-Modified-Since")                \
	X(IF_NONE_MATCH, "if-none-match", "If-None-Match")                            \
	X(IF_RANGE, "if-range", "If-Range")                                           \
	X(IF_UNMODIFIED_SINCE, "if-unmodified-since", "If-Unmodified-Since")          \
	X(KEEP_ALIVE, "keep-alive", "Keep-Alive")                                     \
	X(LAST_MODIFIED, "last-modified", "Last-Modified")                            \
	X(LINK, "link", "Link")                                                       \
	X(LOCATION, "location", "Location")                                           \
	X(ORIGIN, "origin", "Origin")                                                 \
	X(PRAGMA, "pragma", "Pragma")                                                 \
	X(PROXY_AUTHORIZATION, "proxy-authorization", "Proxy-Authorization")          \
	X(PROXY_CONNECTION, "proxy-connection", "Proxy-Connection")                   \
	X(RANGE, "range", "Range")                                                    \
	X(REFERER, "referer", "Referer")                                              \
	X(RETRY_AFTER, "retry-after", "Retry-After")                                  \
	X(SERVER, "server", "Server")                                                 \
	X(SET_COOKIE, "set-cookie", "Set-Cookie")                                     \
	X(TE, "te", "TE")                                                             \
	X(TRAILER, "trailer", "Trailer")                                              \
	X(TRANSFER_ENCODING, "transfer-encoding", "Transfer-Encoding")                \
	X(UPGRADE, "upgrade", "Upgrade")                                              \
	X(USER_AGENT, "user-agent", "User-Agent")                                     \
	X(VARY, "vary", "Vary")                                                       \
	X(VIA, "via", "Via")                                                          \
	X(WWW_AUTHENTICATE, "www-authenticate", "WWW-Authenticate")                   \
	X(X_CONTENT_TYPE_OPTIONS, "x-content-type-options", "X-Content-Type-Options") \
	X(X_FORWARDED_FOR, "x-forwarded-for", "X-Forwarded-For")                      \
	X(X_FORWARDED_HOST, "x-forwarded-host", "X-Forwarded-Host")                   \
	X(X_FORWARDED_PROTO, "x-forwarded-proto", "X-Forwarded-Proto")

enum http_name {
	HTTP_OTHER, /* any other name */
#define X(symbol, lower, h1) HTTP_##symbol,
	HTTP_NAMES(X) HTTP_NAME_COUNT
#undef X
};

/* The symbol of a field name of any case; a perfect hash, a few nanoseconds. */
enum http_name http_name_find(struct str name);
struct str http_name_lower(enum http_name);
struct str http_name_h1(enum http_name);

#endif
