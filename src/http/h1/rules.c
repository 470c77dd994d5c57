// SPDX-License-Identifier: Apache-2.0
#include "http/h1/rules.h"

#include <errno.h>

#include "base/compiler.h"
#include "http/authority_quick.h"
#include "http/names_find.h"
#include "http/path.h"

/* "!#$%&'*+-.^_`|~", digits and letters. */
const uint32_t h1_tokens[8] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};

/* What the Connection fields name. */
enum h1_connection {
	H1_CLOSE = 1,
	H1_KEEP_ALIVE = 2,
	H1_UPGRADE = 4,
};

/* "http://" or "https://" in any case: its length, or 0. */
static size_t scheme_of(struct str target, struct str *scheme)
{
	if (str_starts_nocase(target, STR("http://"))) {
		*scheme = STR("http");
		return 7;
	}
	if (str_starts_nocase(target, STR("https://"))) {
		*scheme = STR("https");
		return 8;
	}
	return 0;
}

/* The path of `target` up to path_len, and its query. An empty path is "/", for OPTIONS the asterisk. */
static SL_COLD int set_odd_path(struct http_head *head, struct str target, size_t path_len,
				struct arena *arena, const char **why)
{
	struct str raw = str_head(target, path_len);
	int r;

	if (path_len < target.len)
		head->query = str_skip(target, path_len + 1);
	if (!raw.len)
		raw = head->method == HTTP_OPTIONS && !head->query.p ? STR("*") : STR("/");
	if (raw.p[0] == '*') {
		head->path = raw;
		return 0;
	}
	r = http_path_normalise(raw, arena, &head->path);
	if (!r)
		return 0;
	if (r == -ENOMEM) {
		*why = "out of memory for the path";
		return r;
	}
	return h1_refuse(why, 400,
			 "a bad escape or control character in the path, or it leaves the root");
}

/* RFC 9112 section 3.2.2. */
static SL_COLD int set_absolute(struct http_head *head, size_t path_len, struct arena *arena,
				const char **why)
{
	size_t at = scheme_of(head->target, &head->scheme);
	struct str rest, host, port;
	ptrdiff_t slash;
	size_t authority_len;

	if (!at)
		return h1_refuse(why, 400, "a target of no known form");
	rest = str_skip(head->target, at);
	path_len -= at;
	slash = str_find_byte(str_head(rest, path_len), '/');
	authority_len = slash < 0 ? path_len : (size_t)slash;
	head->authority = str_head(rest, authority_len);
	if (!http_authority_split(head->authority, &host, &port))
		return h1_refuse(why, 400, "not an authority in the target");
	return set_odd_path(head, str_skip(rest, authority_len), path_len - authority_len, arena,
			    why);
}

/* A target that is not a plain path. */
static SL_COLD int set_odd_target(struct http_head *head, size_t path_len, struct arena *arena,
				  const char **why)
{
	struct str host, port;

	if (head->method == HTTP_CONNECT) {
		head->authority = head->target;
		if (!http_authority_split(head->target, &host, &port) || !port.len)
			return h1_refuse(why, 400, "CONNECT to something else than host:port");
		return 0;
	}
	if (head->target.p[0] == '*' && (head->target.len != 1 || head->method != HTTP_OPTIONS))
		return h1_refuse(why, 400, "an asterisk without OPTIONS");
	if (head->target.p[0] == '/' || head->target.p[0] == '*')
		return set_odd_path(head, head->target, path_len, arena, why);
	return set_absolute(head, path_len, arena, why);
}

/* The forms of a target (RFC 9112 section 3.2), but for the authority of Host. */
static inline int set_target(const struct h1_parser *p, struct http_head *head, struct arena *arena,
			     const char **why)
{
	head->scheme = STR("http");
	if (SL_UNLIKELY(head->target.p[0] != '/' || !p->path_plain || head->method == HTTP_CONNECT))
		return set_odd_target(head, p->path_len, arena, why);
	head->path = str_head(head->target, p->path_len);
	if (p->path_len < head->target.len)
		head->query = str_skip(head->target, p->path_len + 1);
	return 0;
}

/* Rule 11. The authority of the target, if it has one, is set and wins. */
static inline int set_host(const struct h1_parser *p, size_t len, struct http_head *head,
			   const char **why)
{
	struct str value = http_fields_get(&head->fields, HTTP_HOST);

	if (SL_UNLIKELY(!value.p))
		return head->version >= 11 ? h1_refuse(why, 400, "no Host") : 0;
	if (SL_UNLIKELY(p->repeated >> HTTP_HOST & 1))
		return h1_refuse(why, 400, "more than one Host");
	if (SL_UNLIKELY(!http_authority_valid(value,
					      (size_t)(p->base + len - (const uint8_t *)value.p))))
		return h1_refuse(why, 400, "not an authority in Host");
	if (SL_LIKELY(!head->authority.p))
		head->authority = value;
	return 0;
}

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!h1_is_token((uint8_t)s.p[i]))
			return false;
	return s.len > 0;
}

/* Rules 2 and 3, over all lines of the field. */
static SL_COLD int check_codings(const struct http_head *head, const char **why)
{
	bool chunked = false, other = false;
	struct str list, coding;
	unsigned at = 0;

	if (head->version < 11)
		return h1_refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
	while (http_fields_next(&head->fields, HTTP_TRANSFER_ENCODING, &at, &list)) {
		/* str_next gives no element for nothing, nor for what follows the last comma. */
		if (!list.len || list.p[list.len - 1] == ',')
			return h1_refuse(why, 400, "an empty transfer coding");
		while (str_next(&list, ',', &coding)) {
			if (!is_token(coding))
				return h1_refuse(why, 400, "a malformed transfer coding");
			if (chunked)
				return h1_refuse(why, 400, "chunked repeated, or not last");
			if (str_eq_nocase(coding, STR("chunked")))
				chunked = true;
			else
				other = true;
		}
	}
	return other ? h1_refuse(why, 501, "a transfer coding other than chunked") : 0;
}

/* Rule 4. */
static __attribute__((noinline)) int set_length(const struct h1_parser *p, struct http_head *head,
						enum h1_body *body, const char **why)
{
	uint64_t value;

	if (p->repeated >> HTTP_CONTENT_LENGTH & 1)
		return h1_refuse(why, 400, "more than one Content-Length");
	if (str_to_u64(http_fields_get(&head->fields, HTTP_CONTENT_LENGTH), INT64_MAX, &value))
		return h1_refuse(why, 400, "not a Content-Length");
	*body = value ? H1_BODY_LENGTH : H1_BODY_NONE;
	head->content_length = (int64_t)value;
	return 0;
}

/* RFC 9112 section 6: rules 1 to 4. Without either field *body and the length stay as they are. */
static inline int set_framing(const struct h1_parser *p, struct http_head *head, enum h1_body *body,
			      const char **why)
{
	if (SL_LIKELY(!head->fields.first[HTTP_TRANSFER_ENCODING]))
		return head->fields.first[HTTP_CONTENT_LENGTH] ? set_length(p, head, body, why) : 0;
	if (head->fields.first[HTTP_CONTENT_LENGTH])
		return h1_refuse(why, 400, "Transfer-Encoding with Content-Length");
	*body = H1_BODY_CHUNKED;
	head->content_length = -1;
	return check_codings(head, why);
}

/* Rule 13: one option of Connection, as a bit of enum h1_connection or 0; or a refusal. */
static inline int option_of(struct str option, const char **why)
{
	if (str_eq_nocase(option, STR("keep-alive")))
		return H1_KEEP_ALIVE;
	if (str_eq_nocase(option, STR("close")))
		return H1_CLOSE;
	if (str_eq_nocase(option, STR("upgrade")))
		return H1_UPGRADE;
	if (str_eq_nocase(option, STR("host")) || str_eq_nocase(option, STR("content-length")) ||
	    str_starts_nocase(option, STR("x-forwarded-")))
		return h1_refuse(why, 400, "Connection names a field that is not its own");
	return 0;
}

/* Bits of enum h1_connection, or a refusal. */
static SL_COLD int parse_options(const struct http_fields *fields, const char **why)
{
	struct str list, option;
	unsigned at = 0;
	int bits = 0, r;

	while (http_fields_next(fields, HTTP_CONNECTION, &at, &list)) {
		while (str_next(&list, ',', &option)) {
			r = option_of(option, why);
			if (r < 0)
				return r;
			bits |= r;
		}
	}
	return bits;
}

/* The same. What browsers say needs no list. */
static inline int parse_connection(const struct h1_parser *p, const struct http_fields *fields,
				   const char **why)
{
	struct str value = http_fields_get(fields, HTTP_CONNECTION);

	if (!value.p)
		return 0;
	if (SL_LIKELY(value.len == 10 && http_names_eq(value.p, "keep-alive", 10) &&
		      !(p->repeated >> HTTP_CONNECTION & 1)))
		return H1_KEEP_ALIVE;
	return parse_options(fields, why);
}

/* Fields that mean nothing in HTTP/1.0 are ignored there (RFC 9110 sections 7.8 and 10.1.1). */
static inline void set_expectations(const struct http_head *head, int connection,
				    struct h1_request *out)
{
	struct str expect = http_fields_get(&head->fields, HTTP_EXPECT);
	bool persistent = head->version >= 11;

	out->keep_alive = !(connection & H1_CLOSE) && (persistent || connection & H1_KEEP_ALIVE);
	out->upgrade = persistent && connection & H1_UPGRADE && head->fields.first[HTTP_UPGRADE];
	out->expect_continue = persistent && expect.p && out->body != H1_BODY_NONE &&
			       str_eq_nocase(expect, STR("100-continue"));
}

int h1_request_rules(const struct h1_parser *p, const struct h1_options *options, size_t len,
		     struct arena *arena, struct http_head *head, struct h1_request *out,
		     const char **why)
{
	int connection = 0;
	int r = set_target(p, head, arena, why);

	if (SL_LIKELY(!r))
		r = set_host(p, len, head, why);
	out->body = H1_BODY_NONE;
	head->content_length = 0;
	if (SL_LIKELY(!r))
		r = set_framing(p, head, &out->body, why);
	if (SL_LIKELY(!r))
		r = connection = parse_connection(p, &head->fields, why);
	if (SL_UNLIKELY(r < 0))
		return r;
	set_expectations(head, connection, out);
	if (SL_UNLIKELY((head->method == HTTP_CONNECT && !options->allow_connect) ||
			(head->method == HTTP_TRACE && !options->allow_trace)))
		return h1_refuse(why, 405, "the method is not enabled");
	return 1;
}

/* RFC 9112 section 6.3, 1 and 2: what has no body whatever its fields say, and the tunnel after CONNECT. */
static inline void set_bodiless(enum http_method asked, struct http_head *head, enum h1_body *body)
{
	if (SL_UNLIKELY(head->status < 200 || head->status == 204)) {
		*body = H1_BODY_NONE;
		head->content_length = 0;
	} else if (SL_UNLIKELY(asked == HTTP_HEAD || head->status == 304)) {
		*body = H1_BODY_NONE;
	} else if (SL_UNLIKELY(asked == HTTP_CONNECT && head->status < 300)) {
		*body = H1_BODY_UNTIL_CLOSE;
		head->content_length = -1;
	}
}

int h1_response_rules(const struct h1_parser *p, enum http_method asked, struct http_head *head,
		      struct h1_response *out, const char **why)
{
	bool persistent = head->version >= 11;
	int r, connection;

	out->body = H1_BODY_UNTIL_CLOSE;
	head->content_length = -1;
	r = set_framing(p, head, &out->body, why);
	if (SL_UNLIKELY(r))
		return r;
	connection = parse_connection(p, &head->fields, why);
	if (SL_UNLIKELY(connection < 0))
		return connection;
	set_bodiless(asked, head, &out->body);
	out->keep_alive = !(connection & H1_CLOSE) && (persistent || connection & H1_KEEP_ALIVE) &&
			  out->body != H1_BODY_UNTIL_CLOSE;
	out->upgrade = persistent && connection & H1_UPGRADE && head->fields.first[HTTP_UPGRADE];
	return 1;
}
