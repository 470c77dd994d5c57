/* internal: writes JSON (RFC 8259) into a text, without a tree in between. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_JSON_H
#define SLUICE_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/text.h"

#define JSON_DEPTH_MAX 32

/*
 * The caller opens and closes in order (asserted). `key` is NULL inside an array and at the top. Strings and keys
 * may hold any bytes: they are escaped, and the result is valid UTF-8. When the text is full, the document
 * is cut: look at text.full before using it.
 */
struct json {
	struct text *out;
	uint32_t filled;  /* bit d: something stands at depth d already */
	uint32_t objects; /* bit d: depth d is an object */
	unsigned depth;
};

void json_init(struct json *, struct text *out);
void json_open_object(struct json *, const char *key);
void json_open_array(struct json *, const char *key);
/* Closes the innermost object or array. */
void json_close(struct json *);
void json_str(struct json *, const char *key, struct str);
void json_text(struct json *, const char *key, const char *z); /* NULL is null */
void json_u64(struct json *, const char *key, uint64_t);
void json_i64(struct json *, const char *key, int64_t);
/* Up to 9 significant digits; what JSON cannot say (infinity, not a number) is null. */
void json_bool(struct json *, const char *key, bool);
void json_null(struct json *, const char *key);

#endif
