/* internal: the request fields that choose what is sent: ranges, entity tags, accepted codings. */
#ifndef SLUICE_HTTP_NEGOTIATE_H
#define SLUICE_HTTP_NEGOTIATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/fields.h"

/* More ranges than this in one request: the field is ignored and everything is sent (RFC 9110 section 14.2). */
#define HTTP_RANGES_MAX 16

struct http_range {
	uint64_t first, last; /* inclusive, within the size */
};

/*
 * "bytes=0-99,200-" against a body of `size`. > 0: the count of satisfiable ranges in the order asked, overlapping
 * and adjacent ones coalesced when there are several; 0: ignore the field (another unit, bad syntax, too
 * many); -ERANGE: 416.
 */
int http_range_parse(struct str value, uint64_t size, struct http_range out[HTTP_RANGES_MAX]);

/* True when a list of If-Match / If-None-Match holds `etag` ("*" holds all). weak: W/ prefixes do not matter. */
bool http_etag_listed(struct str list, struct str etag, bool weak);

enum http_precondition { HTTP_PRE_SEND, HTTP_PRE_NOT_MODIFIED, HTTP_PRE_FAILED };
/*
 * All conditional fields but If-Range, in the order of RFC 9110 section 13.2.2. etag may be STR_NONE; modified_s
 * -1: unknown.
 */
enum http_precondition http_precondition(const struct http_head *, struct str etag,
					 int64_t modified_s, int64_t now_s);
/* True when Range may be honoured: no If-Range, or one that matches strongly (section 13.1.5). */
bool http_if_range(const struct http_head *, struct str etag, int64_t modified_s, int64_t now_s);

/*
 * One element of an Accept field ("text/html;level=1;q=0.5"): cuts its parameters off, and gives its quality in
 * thousandths (RFC 9110 section 12.4.2), or -1 when that is malformed.
 */
#define HTTP_QUALITY_MAX 1000
int http_quality_cut(struct str *element);

enum http_coding { HTTP_IDENTITY, HTTP_GZIP, HTTP_BR, HTTP_ZSTD, HTTP_CODING_COUNT };
struct str http_coding_name(enum http_coding);
/*
 * The coding to send: highest quality in Accept-Encoding among `offered` (a mask of 1 << coding), ties by server preference
 * zstd, br, gzip, identity. Identity when nothing is acceptable.
 */
enum http_coding http_coding_choose(const struct http_head *, unsigned offered);

#endif
