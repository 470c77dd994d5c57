/* internal: the resumable sans-IO HTTP/1 parsers: heads, chunked coding, trailers. */
#ifndef SLUICE_HTTP_H1_PARSE_H
#define SLUICE_HTTP_H1_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/fields.h"

#define H1_REQUEST_LINE_MAX 8192  /* rule 17 */
#define H1_FIELDS_BYTES_MAX 32768 /* rule 18 */
#define H1_HEAD_BYTES_MAX (H1_REQUEST_LINE_MAX + H1_FIELDS_BYTES_MAX)
#define H1_CHUNK_DIGITS_MAX 13
#define H1_CHUNK_EXT_MAX 256
#define H1_CHUNK_EXT_SUM_MAX 16384
#define H1_TRAILERS_MAX 8192
/* Empty lines that are skipped before a request line (RFC 9112 section 2.2). */
#define H1_EMPTY_LINES_MAX 1

/* Only a response has a body that ends with its connection. */
enum h1_body { H1_BODY_NONE, H1_BODY_LENGTH, H1_BODY_CHUNKED, H1_BODY_UNTIL_CLOSE };

/* What the framing rules (1 to 15) make of a complete head. */
struct h1_request {
	enum h1_body body;
	bool keep_alive; /* by version and Connection */
	bool expect_continue;
	bool upgrade; /* Connection: upgrade, and an Upgrade field */
};

struct h1_options {
	bool keep_underscores;           /* rule 15: names with '_' are kept */
	bool allow_connect, allow_trace; /* rule 12 */
	uint32_t request_line_max, fields_bytes_max,
		fields_max; /* at most the constants above; 0: those */
};

/*
 * Zero it for each request. `base` to `base + len` is everything received of this request so far, from its first
 * byte; the buffer may have moved or grown since the last call. Each byte is looked at once however the
 * head is split.
 */
struct h1_parser {
	const uint8_t *base;
	uint64_t repeated; /* mask of 1 << enum http_name: came more than once */
	uint32_t line;     /* start of the line being read */
	uint32_t scan;     /* bytes before it are known to be clean */
	uint32_t fields_at;
	uint32_t path_len; /* of the target: up to its '?' */
	bool path_plain;   /* normalised as it is */
	uint16_t dropped;  /* fields by rule 15; they count for rule 18 */
	uint8_t state, empty_lines;
};

/*
 * > 0: the head is complete and this long; `head` (zeroed before the first call) has views into base, `out` is
 * filled, head->path is normalised into the arena. 0: more is needed. < 0: minus the status to answer before
 * closing (400, 405, 414, 431, 501, 505), or -ENOMEM. On a refusal *why gets a short static reason for the log.
 * 405 (rule 12) alone leaves the head complete.
 */
int h1_parse_request(struct h1_parser *, const struct h1_options *, const uint8_t *base, size_t len,
		     struct arena *, struct http_head *head, struct h1_request *out,
		     const char **why);

/* What the framing rules (1 to 10 and 13; RFC 9112 section 6.3) make of the complete head of a response. */
struct h1_response {
	enum h1_body body;
	bool keep_alive; /* by version, Connection and the framing */
	bool upgrade;    /* Connection: upgrade, and an Upgrade field */
};

/*
 * As h1_parse_request, for the head of an answer to `asked`; the limits are the same, names with '_' are kept, and no
 * empty line may come before the status line. head->content_length is -1 where none is stated and the
 * body, if there is one, is chunked or ends with the connection. < 0: -EBADMSG with *why, or -ENOMEM.
 */
int h1_parse_response(struct h1_parser *, const uint8_t *base, size_t len, struct arena *,
		      enum http_method asked, struct http_head *head, struct h1_response *out,
		      const char **why);

/*
 * Chunked decoder (RFC 9112 section 7.1). Zero it to begin. Reads in[0..*len): returns what to do next and sets *len
 * to the bytes consumed.
 */
enum h1_chunk {
	H1_CHUNK_MORE, /* all consumed; feed more */
	H1_CHUNK_DATA, /* *data, *data_len: body bytes inside `in`, not copied; consumed */
	H1_CHUNK_END, /* the last chunk and the trailers are read; what follows is the next message's */
	H1_CHUNK_BAD, /* refused: 400; *why says so */
};
struct h1_chunked {
	uint64_t left;         /* of the current chunk */
	uint32_t ext, ext_sum; /* bytes of extensions: of this chunk, of all */
	uint8_t state, digits;
	const char *why;
	/* Trailers, allocated in the arena when the first comes (rule 10: framing, routing, authentication names dropped). */
	struct arena *arena; /* set by the caller; NULL: trailers are checked and dropped */
	struct http_fields *trailers;
	uint8_t *line; /* trailer bytes gathered so far */
	uint32_t line_len, trailer_bytes;
};
enum h1_chunk h1_chunked_next(struct h1_chunked *, const uint8_t *in, size_t *len,
			      const uint8_t **data, size_t *data_len);

/*
 * The head of a response or of a 1xx as HTTP/1.1 bytes into out[cap]: status line, block, fields. The caller has put
 * framing fields in. Returns the length, or -ENOBUFS. No empty line at the end: the wire appends its own fields.
 */
int h1_print_head(const struct http_head *, uint8_t *out, size_t cap);

/* Exposed for tests of the vector and the portable form: index of the first CTL but TAB, or DEL, in p[0..n), or n. */
size_t h1_scan_value(const uint8_t *p, size_t n);
size_t h1_scan_value_portable(const uint8_t *p, size_t n);

#endif
