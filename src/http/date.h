/* internal: HTTP dates (RFC 9110 section 5.6.7). */
#ifndef SLUICE_HTTP_DATE_H
#define SLUICE_HTTP_DATE_H

#include <stdint.h>

#include "base/str.h"

/* What every server sends, and the only form that is printed. */
#define HTTP_DATE_BYTES 29

/* "Sun, 06 Nov 1994 08:49:37 GMT", not terminated. */
void http_date_print(int64_t unix_s, char out[HTTP_DATE_BYTES]);

/*
 * All three forms of RFC 9110; two-digit years by the 50-year rule against now_s (which
 * RFC 850 dates alone need). 0, or -EINVAL with *unix_s untouched.
 */
int http_date_parse(struct str text, int64_t now_s, int64_t *unix_s);

#endif
