// SPDX-License-Identifier: Apache-2.0
// The reference of the configuration, printed from the table of keys.
#include <string.h>

#include "app/schema.h"
#include "cli/cli.h"

/* Where the table is walked: blocks in the order in which they are met. */
#define BLOCKS_MAX 64

struct walk {
	const struct schema_block *blocks[BLOCKS_MAX];
	const char *paths[BLOCKS_MAX]; /* "site", "route": how it is written */
	bool named[BLOCKS_MAX];
	unsigned count;
};

static void walk_block(struct walk *w, const struct schema_block *block, const char *name,
		       bool named)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->blocks[i] == block)
			return;
	if (w->count == BLOCKS_MAX)
		return;
	w->blocks[w->count] = block;
	w->paths[w->count] = name;
	w->named[w->count++] = named;
	for (unsigned i = 0; i < block->key_count; i++) {
		const struct schema_key *key = &block->keys[i];

		if (key->block)
			walk_block(w, key->block, key->name, key->flags & SCHEMA_NAMED);
	}
}

static const char *type_of(const struct schema_key *key)
{
	static const char *const names[] = {
		[SCHEMA_STRING] = "string",         [SCHEMA_PATH] = "path",
		[SCHEMA_BOOL] = "true or false",    [SCHEMA_INTEGER] = "number",
		[SCHEMA_DURATION] = "duration",     [SCHEMA_SIZE] = "size",
		[SCHEMA_PERCENT] = "share",         [SCHEMA_MODE] = "octal",
		[SCHEMA_WORD] = "one of",           [SCHEMA_FLAGS] = "list of",
		[SCHEMA_ADDRESS] = "address",       [SCHEMA_LIST] = "string or list",
		[SCHEMA_MAP] = "block of any keys", [SCHEMA_BLOCK] = "block",
	};

	if (key->type == SCHEMA_LIST && key->block)
		return "address, list, or named block";
	if (key->type == SCHEMA_BLOCK && (key->flags & SCHEMA_NAMED))
		return "named block";
	if (key->type == SCHEMA_BLOCK && key->block->brief)
		return "block, or short";
	return names[key->type];
}

static void put_type(FILE *to, const struct schema_key *key)
{
	fputs(type_of(key), to);
	for (const struct schema_word *w = key->words; w && w->name; w++)
		fprintf(to, "%s%s", w == key->words ? " " : ", ", w->name);
	if (key->flags & SCHEMA_REPEAT)
		fputs(", repeated", to);
}

static void put_default(char *to, size_t size, const struct schema_key *key)
{
	bool quoted = key->def && (key->type == SCHEMA_STRING || key->type == SCHEMA_LIST);

	snprintf(to, size, "%s%s%s", quoted ? "\"" : "", key->def ? key->def : "",
		 quoted ? "\"" : "");
}

/* Words of Markdown for a terminal: without the marks. */
static void put_plain(FILE *to, const char *text, const char *indent)
{
	unsigned column = (unsigned)strlen(indent);
	struct str rest = str_from(text), word;

	fputs(indent, to);
	while (str_next(&rest, ' ', &word)) {
		unsigned len = 0;

		for (size_t i = 0; i < word.len; i++)
			len += word.p[i] != '`';
		if (column > strlen(indent) && column + 1 + len > 96) {
			fprintf(to, "\n%s", indent);
			column = (unsigned)strlen(indent);
		} else if (column > strlen(indent)) {
			fputc(' ', to);
			column++;
		}
		for (size_t i = 0; i < word.len; i++)
			if (word.p[i] != '`')
				fputc(word.p[i], to);
		column += len;
	}
	fputc('\n', to);
}

static void print_block(FILE *to, const struct walk *w, unsigned at)
{
	const struct cli_colours *c = cli_colours(to);
	const struct schema_block *block = w->blocks[at];

	if (at == 0)
		fprintf(to, "%stop of the file%s\n", c->bold, c->off);
	else
		fprintf(to, "%s%s%s { }%s\n", c->bold, w->paths[at], w->named[at] ? " \"...\"" : "",
			c->off);
	put_plain(to, block->doc, "  ");
	for (unsigned i = 0; i < block->key_count; i++) {
		const struct schema_key *key = &block->keys[i];
		char def[64];

		put_default(def, sizeof(def), key);
		fprintf(to, "\n  %s%s%s%s%s  %s(", c->bold, key->name, c->off, *def ? " = " : "",
			def, c->dim);
		put_type(to, key);
		fprintf(to, ")%s\n", c->off);
		put_plain(to, key->doc, "      ");
	}
	fputc('\n', to);
}

bool cli_print_reference(FILE *to, const char *block)
{
	struct walk w = {.count = 0};
	bool found = false;

	walk_block(&w, &schema_top, "", false);
	for (unsigned i = 0; i < w.count; i++) {
		if (block && strcmp(block, w.paths[i]) != 0)
			continue;
		print_block(to, &w, i);
		found = true;
	}
	return found;
}

static const char intro[] =
	"# Configuration\n"
	"\n"
	"<!-- Printed by `sluice help config --markdown`; a test compares. Change src/app/schema_keys.c. -->\n"
	"\n"
	"`sluice run -c FILE` serves what a file says, `sluice check -c FILE` tells every mistake in it with its line and\n"
	"column, `sluice fmt -c FILE` prints it in its usual form, and `sluice explain URL -c FILE` says what would answer.\n"
	"\n"
	"```\n"
	"workers = 2;\n"
	"access_log = combined;\n"
	"\n"
	"site \"example.com\" {\n"
	"\tlisten = \":80\";\n"
	"\troute \"/\" {\n"
	"\t\tfiles = \"/srv/www\";\n"
	"\t\tprecompressed = [br, gzip];\n"
	"\t}\n"
	"\troute \"/old/\" {\n"
	"\t\tredirect = \"https://example.com/new/$rest\";\n"
	"\t}\n"
	"}\n"
	"```\n"
	"\n"
	"[examples/sluice.conf](../examples/sluice.conf) is a longer one, [examples/proxy.conf](../examples/proxy.conf) passes\n"
	"requests on.\n"
	"\n"
	"## How it is written\n"
	"\n"
	"The language is UCL, the one of nginx made regular; JSON is a part of it.\n"
	"\n"
	"- `key = value;` sets a key. `key: value`, `key value` and the end of the line in place of `;` mean the same.\n"
	"- `key { ... }` is a block, `key \"name\" { ... }` a block with a name.\n"
	"- `[a, b]` is a list. Where a list may stand, a single value may, too.\n"
	"- Words need no quotes unless they hold spaces or one of `; , [ ] { } \" ' #`. `\"...\"` knows the escapes of JSON,\n"
	"  `'...'` none but `\\'`. Several lines stand between `<<END` and a line `END`.\n"
	"- `#` begins a comment to the end of the line; `/* ... */` encloses one and may be nested.\n"
	"- Durations have a unit: `500ms`, `30s`, `10min`, `2h`, `1d`. Sizes are bytes, or `16kb`, `10mb`, `1gb` of 1,024. A\n"
	"  bare `10m` could mean either and is refused. Shares have their sign: `20%`.\n"
	"- Relative paths begin at the folder of the file.\n"
	"- A key that is given twice is an error, unless it says *repeated* here. An unknown one is an error, too.\n"
	"- Nothing is included from other files, and no variables are expanded.\n"
	"\n"
	"The order of sites and routes never matters: the most specific host and the longest path win.\n";

/* A cell of a table: a bar would end it. */
static void put_cell(FILE *to, const char *text)
{
	for (; *text; text++)
		fprintf(to, "%s%c", *text == '|' ? "\\" : "", *text);
}

static void print_markdown_block(FILE *to, const struct walk *w, unsigned at)
{
	const struct schema_block *block = w->blocks[at];

	if (at == 0)
		fprintf(to, "\n## Top of the file\n\n");
	else
		fprintf(to, "\n## %s%s\n\n%s\n\n", w->paths[at], w->named[at] ? " \"...\"" : "",
			block->doc);
	fputs("| key | takes | default | |\n| --- | --- | --- | --- |\n", to);
	for (unsigned i = 0; i < block->key_count; i++) {
		const struct schema_key *key = &block->keys[i];
		char def[64];

		put_default(def, sizeof(def), key);
		fprintf(to, "| `%s` | ", key->name);
		put_type(to, key);
		fprintf(to, " | %s%s%s | ", *def ? "`" : "", def, *def ? "`" : "");
		put_cell(to, key->doc);
		fputs(" |\n", to);
	}
}

void cli_print_markdown(FILE *to)
{
	struct walk w = {.count = 0};

	fputs(intro, to);
	walk_block(&w, &schema_top, "", false);
	for (unsigned i = 0; i < w.count; i++)
		print_markdown_block(to, &w, i);
}
