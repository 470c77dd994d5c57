/* internal: reads the text of a configuration into a tree that knows every place, and prints it in one form. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_UCL_H
#define SLUICE_APP_UCL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/*
 * A strict part of UCL, the universal configuration language; JSON is a part of it, too.
 *
 *   key = value;            also "key: value" and "key value"; a newline or "," ends it as well
 *   key { ... }             a block; key "label" { ... }: a named block
 *   key = [a, "b", c];      a list of words and strings; a newline separates them, too
 *   word                    no spaces, none of ; , [ ] { } " ' #
 *   "text \n \u00e9"        escapes of JSON; 'text' without escapes, but \'
 *   <<END ... END           several lines as they are; END is upper case and ends them alone on a line
 *   # to the end of the line, and comments of C, which nest
 *
 * What UCL also has and this does not: macros and inclusion (".include"), expansion of ${variables}, values of
 * several words without quotes, blocks in lists. They are errors here or, as variables, plain text. A repeated
 * key is two nodes: the schema decides what that means.
 */
#define UCL_DEPTH_MAX 16
#define UCL_MESSAGE_BYTES 192

/* Both count from 1; columns are characters of UTF-8. 0: nowhere. */
struct ucl_pos {
	uint32_t line, column;
};

struct ucl_comment {
	struct ucl_comment *next;
	struct str text; /* with its mark */
	bool blank;      /* an empty line stands before it */
};

enum ucl_kind {
	UCL_WORD,   /* bare */
	UCL_STRING, /* quoted, or a heredoc */
	UCL_LIST,
	UCL_BLOCK,
};

struct ucl_node {
	struct ucl_node *next; /* in its block or list */
	enum ucl_kind kind;
	struct str key;                  /* decoded; empty in a list */
	struct str label;                /* of a named block; .p NULL: none */
	struct str value;                /* WORD, STRING: decoded; terminated */
	struct ucl_node *first;          /* LIST, BLOCK */
	struct ucl_pos key_at, value_at; /* value_at of a named block is that of its label */
	/* For printing: as they were written, and what was said about them. */
	struct str key_raw, label_raw, raw;
	struct ucl_comment *before, *after, *inside; /* inside: before the closing bracket */
	bool blank;
};

struct ucl_error {
	struct ucl_pos at;
	char text[UCL_MESSAGE_BYTES];
};

/*
 * The tree of the whole text: a block without a key. It lives in the arena and views `text`, which must live as
 * long. NULL with the first error: what stands behind a slip of syntax is guesswork and is not reported.
 */
struct ucl_node *ucl_parse(struct str text, struct arena *, struct ucl_error *);

/*
 * The canonical form: tabs, one key per line, "key = value;", comments kept, at most one empty line in a row.
 * Printing what was parsed from it gives the same bytes. STR_NONE without memory.
 */
struct str ucl_format(const struct ucl_node *root, struct arena *);

#endif
