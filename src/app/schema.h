/* internal: what a configuration may say: one table for reading it, for its errors, and for its reference. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_SCHEMA_H
#define SLUICE_APP_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/config.h"
#include "app/ucl.h"
#include "base/compiler.h"

enum schema_type {
	SCHEMA_STRING,   /* struct str */
	SCHEMA_PATH,     /* struct str, absolute: relative ones begin at the folder of the file */
	SCHEMA_BOOL,     /* bool */
	SCHEMA_INTEGER,  /* unsigned of any width */
	SCHEMA_DURATION, /* unsigned: milliseconds, or seconds with SCHEMA_SECONDS */
	SCHEMA_SIZE,     /* unsigned: bytes */
	SCHEMA_PERCENT,  /* unsigned: parts of a hundred; of a thousand with SCHEMA_TENTHS */
	SCHEMA_MODE,     /* int: permissions in octal */
	SCHEMA_WORD,     /* unsigned: the value of one of `words` */
	SCHEMA_FLAGS,    /* unsigned: 1 << the value of each of `words` that is given */
	SCHEMA_ADDRESS,  /* struct net_addr */
	SCHEMA_LIST,     /* const struct str *, and unsigned at `count_at` */
	SCHEMA_MAP,      /* any keys: `apply` gets each */
	SCHEMA_BLOCK,    /* `block` */
};

enum schema_flag {
	SCHEMA_REPEAT = 1,  /* may be given more than once */
	SCHEMA_NAMED = 2,   /* its block has a label: site "x" { } */
	SCHEMA_SECONDS = 4, /* a duration in whole seconds */
	SCHEMA_OWN = 8,     /* not lent to the blocks that take this one's keys in `also` */
	SCHEMA_TENTHS = 16, /* a share with a digit behind the point: "0.5%" */
};

struct schema_word {
	const char *name; /* NULL ends the table */
	unsigned value;
};

struct schema_run;
struct schema_block;

/* One key. A row with both `block` and `type` other than BLOCK takes either form. */
struct schema_key {
	const char *name;
	enum schema_type type;
	unsigned flags;
	const char *
		def; /* as it would be written; applied when the key is not given. NULL: nothing is stored */
	const char *doc; /* what it does, in a sentence or two of Markdown without a full stop */
	size_t at, size; /* the member of the target; SCHEMA_AT */
	size_t count_at;
	uint64_t min, max; /* of numbers and counts; max 0: what the member holds */
	const struct schema_word *words;
	const struct schema_block *block;
	/* After or in place of storing (size 0): checks and what no type can do. For MAP and LIST: once for each. */
	void (*apply)(struct schema_run *, const struct ucl_node *, void *target);
};
#define SCHEMA_AT(type, member) .at = offsetof(type, member), .size = sizeof(((type *)0)->member)
/* For LIST: the size only says that it is stored. */
#define SCHEMA_LIST_AT(type, member, count) \
	.at = offsetof(type, member), .size = 1, .count_at = offsetof(type, count)

struct schema_block {
	const char *name; /* "route", for messages */
	const char *doc;
	const struct schema_key *keys;
	unsigned key_count;
	const char *
		brief; /* the key that `name = value` in place of a block stands for; NULL: a block is needed */
	/* Its keys may stand here, too, for the struct at `also_at`; `lent` hears of each. */
	const struct schema_block *also;
	size_t also_at;
	bool lent_out; /* its defaults are stored with those of the block that has its keys */
	void (*lent)(struct schema_run *, const struct ucl_node *, void *target);
	/* Where this block goes: NULL without memory. Not set: it is a part of its parent, at the key's `at`. */
	void *(*begin)(struct schema_run *, const struct ucl_node *, void *parent);
	/* When all of its keys are stored. */
	void (*end)(struct schema_run *, const struct ucl_node *, void *target);
};
#define SCHEMA_KEYS_MAX 32 /* of one block */
#define SCHEMA_MAP_MAX 256 /* entries of one map */

/* One reading of one file. */
struct schema_run {
	struct arena *arena; /* of what is stored */
	struct app_errors *errors;
	const char *file;
	struct str folder; /* of the file, for relative paths */
	bool offline;
	const struct app_overrides *overrides; /* never NULL */
	const char *where; /* ` in route "/api/"`, for messages; "" at the top */
};

/* The table: the block of the whole file. */
extern const struct schema_block schema_top;

/* Stores what `node`, a block, says into `target`, and the defaults of what it does not say. */
void schema_apply(struct schema_run *, const struct schema_block *, const struct ucl_node *node,
		  void *target);
/* The defaults alone. */
void schema_defaults(struct schema_run *, const struct schema_block *, void *target);

/* The first member of that name, or NULL. */
const struct ucl_node *schema_member(const struct ucl_node *block, const char *key);
/* An error of the file at a place. */
void schema_error(struct schema_run *, struct ucl_pos, const char *fmt, ...) SL_PRINTF(3, 4);
/* `"x" for "key" in route "/": expected ...` at the value. */
void schema_wrong(struct schema_run *, const struct ucl_node *, const char *key, const char *fmt,
		  ...) SL_PRINTF(4, 5);
/* Bytes of the file made safe for a message, cut when they are long. */
struct schema_shown {
	char text[368];
};
struct schema_shown schema_show(struct str);
/* The path from the file's folder on; terminated. */
struct str schema_path(struct schema_run *, struct str);

/* 0, or -EINVAL with what is expected in why: "10s", "500ms", "2min", "1h", "1d"; "512", "10kb", "5mb", "2gb". */
int schema_duration(struct str, uint64_t *ms, char *why, size_t why_len);
int schema_size(struct str, uint64_t *bytes, char *why, size_t why_len);
/* "20%", with tenths "0.5%": then in parts of a thousand. As above. */
int schema_percent(struct str, bool tenths, uint64_t *parts, char *why, size_t why_len);
/* The nearest name of those it was shown, NULL when none is near enough to be meant. Zero it to begin. */
struct schema_guess {
	const char *best;
	unsigned distance;
};
void schema_guess(struct schema_guess *, struct str wrong, const char *candidate);

#endif
