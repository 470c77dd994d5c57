// SPDX-License-Identifier: Apache-2.0
#include "app/ucl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/escape.h"

/* How much of a wrong word is shown in a message. */
#define SHOWN_BYTES_MAX 40

struct reader {
	const char *p, *end;
	uint32_t line;
	uint32_t token_line; /* where the last token ended */
	/* The column of a place on this line: long lines are counted once. */
	const char *counted;
	uint32_t column;
	unsigned depth;
	unsigned newlines; /* skipped since the last token */
	struct arena *arena;
	struct ucl_error *error;
	bool failed;
	/* Comments that were read and belong to what comes next. */
	struct ucl_comment *comments, **comments_tail;
};

static struct ucl_pos here(struct reader *r)
{
	for (; r->counted < r->p; r->counted++)
		if (((unsigned char)*r->counted & 0xc0) != 0x80)
			r->column++;
	return (struct ucl_pos){r->line, r->column};
}

static int __attribute__((format(printf, 3, 4)))
fail(struct reader *r, struct ucl_pos at, const char *fmt, ...)
{
	va_list ap;

	if (r->failed)
		return -EINVAL;
	r->failed = true;
	r->error->at = at;
	va_start(ap, fmt);
	vsnprintf(r->error->text, sizeof(r->error->text), fmt, ap);
	va_end(ap);
	return -EINVAL;
}

static int fail_memory(struct reader *r)
{
	return fail(r, (struct ucl_pos){0, 0}, "out of memory");
}

/* The text at the reader, safe to print. */
struct shown {
	char text[SHOWN_BYTES_MAX * ESCAPE_BYTES_MAX + 1];
};

static struct shown show(struct str s)
{
	struct shown out;
	size_t n = escape_put(out.text, sizeof(out.text) - 1, str_head(s, SHOWN_BYTES_MAX),
			      ESCAPE_TEXT, NULL);

	out.text[n] = '\0';
	return out;
}

static bool at_end(const struct reader *r)
{
	return r->p >= r->end;
}

static char peek(const struct reader *r)
{
	return r->p < r->end ? *r->p : '\0';
}

static bool looking_at(const struct reader *r, const char *z)
{
	size_t n = strlen(z);

	return (size_t)(r->end - r->p) >= n && memcmp(r->p, z, n) == 0;
}

static void step_newline(struct reader *r)
{
	r->p++;
	r->line++;
	r->newlines++;
	r->counted = r->p;
	r->column = 1;
}

/* Control characters have no place outside a heredoc; a NUL nowhere. */
static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static int add_comment(struct reader *r, const char *from)
{
	struct ucl_comment *c = arena_zalloc(r->arena, sizeof(*c));

	if (!c)
		return fail_memory(r);
	c->text = (struct str){from, (size_t)(r->p - from)};
	while (c->text.len > 0 && strchr(" \t\r", c->text.p[c->text.len - 1]))
		c->text.len--;
	c->blank = r->newlines > 1;
	*r->comments_tail = c;
	r->comments_tail = &c->next;
	r->newlines = 0;
	return 0;
}

static int skip_block_comment(struct reader *r)
{
	const char *from = r->p;
	struct ucl_pos at = here(r);
	unsigned newlines = r->newlines;
	unsigned open = 0;

	do {
		if (at_end(r))
			return fail(r, at, "this comment is not closed");
		if (looking_at(r, "/*")) {
			open++;
			r->p += 2;
		} else if (looking_at(r, "*/")) {
			open--;
			r->p += 2;
		} else if (*r->p == '\n') {
			step_newline(r);
		} else {
			r->p++;
		}
	} while (open > 0);
	r->newlines = newlines;
	return add_comment(r, from);
}

static int skip_line_comment(struct reader *r)
{
	const char *from = r->p;

	while (!at_end(r) && *r->p != '\n')
		r->p++;
	return add_comment(r, from);
}

/* White space and comments; `also` holds separators to skip with them. lines: over the end of the line, too. */
static int skip(struct reader *r, const char *also, bool lines)
{
	int err = 0;

	while (err == 0 && !at_end(r)) {
		char c = *r->p;

		if (c == '\n' && lines)
			step_newline(r);
		else if (c == ' ' || c == '\t' || c == '\r' || (c != '\0' && strchr(also, c)))
			r->p++;
		else if (c == '#')
			err = skip_line_comment(r);
		else if (looking_at(r, "/*"))
			err = skip_block_comment(r);
		else
			break;
	}
	return err;
}

/* Hands the comments read so far to *to, behind those that are there. */
static void take_comments(struct reader *r, struct ucl_comment **to)
{
	while (*to)
		to = &(*to)->next;
	*to = r->comments;
	r->comments = NULL;
	r->comments_tail = &r->comments;
}

static unsigned put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	to[0] = (char)(0xe0 | c >> 12);
	to[1] = (char)(0x80 | (c >> 6 & 0x3f));
	to[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

/* The four digits of \uXXXX at the reader: a character that is text, or -1. */
static int32_t read_hex4(struct reader *r)
{
	uint32_t c = 0;

	if (r->end - r->p < 4)
		return -1;
	for (unsigned i = 0; i < 4; i++) {
		const char *digits = "0123456789abcdef";
		char d = r->p[i];
		const char *at = d ? strchr(digits, d >= 'A' && d <= 'F' ? d + 32 : d) : NULL;

		if (!at)
			return -1;
		c = c << 4 | (uint32_t)(at - digits);
	}
	if (c == 0 || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	r->p += 4;
	return (int32_t)c;
}

/* One escape, the reader behind the backslash. Returns the bytes written, at most 3, or -EINVAL. */
static int read_escape(struct reader *r, char *to)
{
	static const char from[] = "\"\\/bfnrt";
	static const char into[] = "\"\\/\b\f\n\r\t";
	struct ucl_pos at = here(r);
	char c = peek(r);
	const char *found = c ? strchr(from, c) : NULL;
	int32_t code;

	at.column--;
	if (found) {
		r->p++;
		*to = into[found - from];
		return 1;
	}
	if (c != 'u')
		return fail(r, at,
			    "unknown escape (known: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX)");
	r->p++;
	code = read_hex4(r);
	if (code < 0)
		return fail(r, at, "\\u needs four hexadecimal digits of a character");
	return (int)put_utf8(to, (uint32_t)code);
}

/* "..." or '...', the reader at the quote. */
static int read_quoted(struct reader *r, struct str *value, struct str *raw)
{
	const char *from = r->p;
	struct ucl_pos at = here(r);
	char quote = *r->p++;
	const char *close = r->p;
	char *to;
	size_t n = 0;

	while (close < r->end && *close != quote && *close != '\n')
		close += *close == '\\' && close + 1 < r->end ? 2 : 1;
	if (close >= r->end || *close != quote)
		return fail(r, at, "this string is not closed on its line");
	/* No escape is longer decoded than it is written. */
	to = arena_alloc(r->arena, (size_t)(close - r->p) + 1);
	if (!to)
		return fail_memory(r);
	while (r->p < close) {
		char c = *r->p;
		int got;

		if (is_control(c))
			return fail(r, here(r), "a control character in a string");
		r->p++;
		if (c != '\\' || (quote == '\'' && peek(r) != '\'')) {
			to[n++] = c;
			continue;
		}
		if (quote == '\'') {
			to[n++] = *r->p++;
			continue;
		}
		got = read_escape(r, to + n);
		if (got < 0)
			return got;
		n += (size_t)got;
	}
	r->p = close + 1;
	to[n] = '\0';
	*value = (struct str){to, n};
	*raw = (struct str){from, (size_t)(r->p - from)};
	return 0;
}

/* The lines up to one that is `tag` alone; the reader at the first of them. */
static int read_heredoc_lines(struct reader *r, struct str tag, struct ucl_pos at,
			      struct str *value)
{
	const char *from = r->p;

	while (!at_end(r)) {
		const char *start = r->p;
		const char *eol = memchr(start, '\n', (size_t)(r->end - start));
		struct str line = {start, (size_t)((eol ? eol : r->end) - start)};

		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (str_eq(line, tag)) {
			r->p = start + line.len;
			/* The newline before the end mark is not a part of the text. */
			*value = (struct str){from, (size_t)(start - from)};
			if (value->len > 0)
				value->len--;
			if (value->len > 0 && value->p[value->len - 1] == '\r')
				value->len--;
			return 0;
		}
		if (memchr(start, '\0', line.len))
			return fail(r, here(r), "a NUL in the text");
		if (!eol)
			break;
		r->p = eol;
		step_newline(r);
	}
	return fail(r, at, "the text is not ended by a line \"%.*s\"", STR_ARG(tag));
}

static int read_heredoc(struct reader *r, struct str *value, struct str *raw)
{
	const char *from = r->p;
	struct ucl_pos at = here(r);
	struct str tag = {r->p + 2, 0};
	int err;

	r->p += 2;
	while (peek(r) >= 'A' && peek(r) <= 'Z') {
		r->p++;
		tag.len++;
	}
	if (peek(r) == '\r')
		r->p++;
	if (tag.len == 0 || tag.len > SHOWN_BYTES_MAX || peek(r) != '\n')
		return fail(r, at,
			    "expected << and a mark in capitals at the end of the line, as <<END");
	step_newline(r);
	err = read_heredoc_lines(r, tag, at, value);
	if (err < 0)
		return err;
	r->newlines = 0;
	*raw = (struct str){from, (size_t)(r->p - from)};
	*value = arena_dup(r->arena, *value);
	return value->p ? 0 : fail_memory(r);
}

static bool is_word_byte(char c)
{
	return (unsigned char)c > 0x20 && c != 0x7f && !strchr(";,[]{}\"'#", c);
}

static int read_word(struct reader *r, struct str *value, struct str *raw)
{
	const char *from = r->p;
	struct ucl_pos at = here(r);

	while (!at_end(r) && is_word_byte(*r->p)) {
		if (r->p > from && looking_at(r, "/*"))
			return fail(r, at,
				    "put quotes around this: it holds /*, which begins a comment");
		r->p++;
	}
	*raw = (struct str){from, (size_t)(r->p - from)};
	*value = arena_dup(r->arena, *raw);
	return value->p ? 0 : fail_memory(r);
}

/* A word, a string or a heredoc. */
static int read_scalar(struct reader *r, struct ucl_node *node)
{
	char c = peek(r);

	node->value_at = here(r);
	node->kind = UCL_STRING;
	r->newlines = 0;
	if (c == '"' || c == '\'')
		return read_quoted(r, &node->value, &node->raw);
	if (looking_at(r, "<<"))
		return read_heredoc(r, &node->value, &node->raw);
	node->kind = UCL_WORD;
	return read_word(r, &node->value, &node->raw);
}

static bool at_scalar(const struct reader *r)
{
	return !at_end(r) && (is_word_byte(*r->p) || *r->p == '"' || *r->p == '\'');
}

/* What stands at the reader, for "expected ..., not ...". */
static struct shown show_next(const struct reader *r)
{
	const char *p = r->p;
	struct shown end = {"the end of the file"};

	if (at_end(r))
		return end;
	if (is_word_byte(*p))
		while (p < r->end && p - r->p < SHOWN_BYTES_MAX && is_word_byte(*p))
			p++;
	else
		p++;
	return show((struct str){r->p, (size_t)(p - r->p)});
}

/* An element with what follows it on its line. *comma: one was there. */
static int read_element(struct reader *r, struct ucl_node *node, bool *comma)
{
	int err;

	take_comments(r, &node->before);
	err = read_scalar(r, node);
	if (err == 0)
		err = skip(r, "", false);
	*comma = peek(r) == ',';
	r->p += *comma;
	if (err == 0)
		err = skip(r, "", false);
	take_comments(r, &node->after);
	return err;
}

static int read_list(struct reader *r, struct ucl_node *list)
{
	struct ucl_node **tail = &list->first;
	struct ucl_pos at = here(r);
	bool comma = true;

	list->kind = UCL_LIST;
	list->value_at = at;
	r->p++;
	for (;;) {
		struct ucl_node *node;
		int err = skip(r, comma ? "" : ",", true);

		if (err < 0)
			return err;
		if (peek(r) == ']') {
			r->p++;
			r->newlines = 0;
			take_comments(r, &list->inside);
			return 0;
		}
		if (at_end(r))
			return fail(r, at, "this list is not closed");
		if (!at_scalar(r) || looking_at(r, "<<"))
			return fail(r, here(r), "a list holds words and strings, not %s",
				    show_next(r).text);
		if (!comma && r->line == r->token_line)
			return fail(r, here(r), "expected , or ] before %s", show_next(r).text);
		node = arena_zalloc(r->arena, sizeof(*node));
		if (!node)
			return fail_memory(r);
		*tail = node;
		tail = &node->next;
		err = read_element(r, node, &comma);
		r->token_line = r->line;
		if (err < 0)
			return err;
	}
}

static int read_members(struct reader *r, struct ucl_node *block, bool braces);

static int read_block(struct reader *r, struct ucl_node *node)
{
	int err;

	node->kind = UCL_BLOCK;
	if (!node->value_at.line)
		node->value_at = here(r);
	if (++r->depth > UCL_DEPTH_MAX)
		return fail(r, here(r), "more than %d blocks within one another", UCL_DEPTH_MAX);
	r->p++;
	r->newlines = 0;
	take_comments(r, &node->before);
	err = read_members(r, node, true);
	r->depth--;
	return err;
}

static bool is_key_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

static int read_key(struct reader *r, struct ucl_node *node)
{
	const char *from = r->p;

	node->key_at = here(r);
	r->newlines = 0;
	if (*from == '"' || *from == '\'')
		return read_quoted(r, &node->key, &node->key_raw);
	if (*from == '.')
		return fail(
			r, node->key_at,
			"%s: there are no macros and no inclusion of files (a key that begins with a dot needs quotes)",
			show_next(r).text);
	while (!at_end(r) && is_key_byte(*r->p))
		r->p++;
	if (r->p == from)
		return fail(r, node->key_at, "expected a key, not %s", show_next(r).text);
	node->key_raw = (struct str){from, (size_t)(r->p - from)};
	node->key = arena_dup(r->arena, node->key_raw);
	return node->key.p ? 0 : fail_memory(r);
}

/* Behind "key =" or "key:". */
static int read_value(struct reader *r, struct ucl_node *node)
{
	if (peek(r) == '{')
		return read_block(r, node);
	if (peek(r) == '[')
		return read_list(r, node);
	if (!at_scalar(r))
		return fail(r, here(r), "expected a value for \"%s\", not %s", show(node->key).text,
			    show_next(r).text);
	return read_scalar(r, node);
}

/* Looks over white space and ends of lines for the brace that makes a label of the string before it. */
static bool brace_follows(const struct reader *r)
{
	const char *p = r->p;

	while (p < r->end && *p != '\0' && strchr(" \t\r\n", *p))
		p++;
	return p < r->end && *p == '{';
}

/* Behind "key" without a separator: a block, a list, a scalar, or the label of a block. */
static int read_bare_value(struct reader *r, struct ucl_node *node)
{
	int err;

	if (peek(r) == '{' || peek(r) == '[')
		return read_value(r, node);
	if (r->line != r->token_line || !at_scalar(r))
		return fail(r, node->key_at, "\"%s\" has no value", show(node->key).text);
	err = read_scalar(r, node);
	if (err < 0 || !brace_follows(r))
		return err;
	skip(r, "", true);
	node->label = node->value;
	node->label_raw = node->raw;
	node->value = STR_NONE;
	node->raw = STR_NONE;
	return read_block(r, node);
}

/* What may follow a member on its line: its end. */
static int read_terminator(struct reader *r, struct ucl_node *node)
{
	int err = skip(r, "", false);
	char c = peek(r);

	if (err < 0 || node->kind == UCL_BLOCK || node->kind == UCL_LIST)
		return err;
	if (at_end(r) || c == ';' || c == ',' || c == '\n' || c == '}')
		return 0;
	return fail(
		r, here(r),
		"expected ; or a new line after the value of \"%s\", not %s (quotes keep words together)",
		show(node->key).text, show_next(r).text);
}

/*
 * "=", or a ":" that does not begin a word: "listen :80" is a key and an address, "port:80" and "port : 80" a key and a
 * number. After the quoted key of JSON it always separates.
 */
static bool at_separator(const struct reader *r, const struct ucl_node *node)
{
	const char *key_end = node->key_raw.p + node->key_raw.len;

	if (peek(r) != ':')
		return peek(r) == '=';
	return r->p == key_end || *node->key_raw.p == '"' || r->p + 1 >= r->end ||
	       !is_word_byte(r->p[1]);
}

static int read_member(struct reader *r, struct ucl_node *node)
{
	int err;

	node->blank = r->newlines > 1;
	take_comments(r, &node->before);
	err = read_key(r, node);
	r->token_line = r->line;
	if (err == 0)
		err = skip(r, "", true);
	if (err < 0)
		return err;
	if (at_separator(r, node)) {
		r->p++;
		err = skip(r, "", true);
		take_comments(r, &node->before);
		if (err == 0)
			err = read_value(r, node);
	} else {
		take_comments(r, &node->before);
		err = read_bare_value(r, node);
	}
	if (err == 0)
		err = read_terminator(r, node);
	if (err == 0)
		err = skip(r, ";,", false);
	if (err == 0)
		take_comments(r, &node->after);
	return err;
}

/* Up to the closing brace, or to the end of the file. */
static int read_members(struct reader *r, struct ucl_node *block, bool braces)
{
	struct ucl_node **tail = &block->first;
	struct ucl_pos at = block->value_at;

	for (;;) {
		struct ucl_node *node;
		int err = skip(r, ";,", true);

		if (err < 0)
			return err;
		if (at_end(r) && braces)
			return fail(r, at, "this block is not closed");
		if (at_end(r) || (*r->p == '}' && braces)) {
			take_comments(r, &block->inside);
			r->p += braces;
			r->newlines = 0;
			return 0;
		}
		node = arena_zalloc(r->arena, sizeof(*node));
		if (!node)
			return fail_memory(r);
		err = read_member(r, node);
		if (err < 0)
			return err;
		*tail = node;
		tail = &node->next;
	}
}

static int read_file(struct reader *r, struct ucl_node *root)
{
	int err = skip(r, "", true);

	root->kind = UCL_BLOCK;
	if (err < 0)
		return err;
	if (peek(r) != '{')
		return read_members(r, root, false);
	/* As in JSON, braces around the whole. */
	err = read_block(r, root);
	if (err == 0)
		err = skip(r, ";", true);
	take_comments(r, &root->inside);
	if (err == 0 && !at_end(r))
		err = fail(r, here(r), "expected the end of the file, not %s", show_next(r).text);
	return err;
}

struct ucl_node *ucl_parse(struct str text, struct arena *arena, struct ucl_error *error)
{
	struct reader r = {.arena = arena, .error = error, .line = 1, .column = 1};
	struct ucl_node *root = arena_zalloc(arena, sizeof(*root));

	if (!text.p)
		text = STR("");
	if (str_starts(text, STR("\xef\xbb\xbf")))
		text = str_skip(text, 3);
	r.p = r.counted = text.p;
	r.end = text.p + text.len;
	r.comments_tail = &r.comments;
	if (!root) {
		fail_memory(&r);
		return NULL;
	}
	return read_file(&r, root) < 0 ? NULL : root;
}
