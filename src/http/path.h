/* internal: one normalised path for router and handler (rules 35 and 36), and percent-coding. */
#ifndef SLUICE_HTTP_PATH_H
#define SLUICE_HTTP_PATH_H

#include "base/arena.h"
#include "base/str.h"

/*
 * The path of a target ("/a/./b/../c%20d"), decoded once and with dot segments and empty segments removed; "%2F"
 * stays as it is ("%2F", never a separator), so does "%25" when "2F" follows it. 0, or -EINVAL: not
 * starting with '/', a bad escape, %00 or another control character, ".." above the root; -ENOMEM. When
 * nothing changes, *out is a view of `raw`: no copy.
 */
int http_path_normalise(struct str raw, struct arena *, struct str *out);

/*
 * For links in listings and for Location: all but unreserved characters and "/" become %XX; "%2F" stays, so that a
 * normalised path comes back as it is. STR_NONE on exhaustion.
 */
struct str http_path_encode(struct str path, struct arena *);
/* & < > " ' become entities. STR_NONE on exhaustion. */
struct str http_html_escape(struct str text, struct arena *);

#endif
