/* internal: what a complete HTTP/1 head means: target, host, framing, connection (rules 1 to 15). */
#ifndef SLUICE_HTTP_H1_RULES_H
#define SLUICE_HTTP_H1_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "http/h1/parse.h"

/* One bit for each byte that a token may hold (RFC 9110 section 5.6.2). */
extern const uint32_t h1_tokens[8];

static inline bool h1_is_token(uint8_t c)
{
	return h1_tokens[c / 32] >> c % 32 & 1;
}

/* Sets *why and returns -status. */
int h1_refuse(const char **why, int status, const char *reason) __attribute__((cold, noinline));

/*
 * Fills the rest of `head` and all of `out` from the target and the fields. `len` bytes of input may be read.
 * 1, or a refusal as h1_parse_request gives it.
 */
int h1_request_rules(const struct h1_parser *, const struct h1_options *, size_t len,
		     struct arena *, struct http_head *head, struct h1_request *out,
		     const char **why);
/* The same for a response to `asked`. 1, or a refusal as h1_refuse gives it. */
int h1_response_rules(const struct h1_parser *, enum http_method asked, struct http_head *head,
		      struct h1_response *out, const char **why);

#endif
