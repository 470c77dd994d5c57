// SPDX-License-Identifier: Apache-2.0
// Printing a tree in the one canonical form.
#include "app/ucl.h"

#include "base/compiler.h"

/* A list that ends before this column stands on one line. */
#define LINE_COLUMNS 100
#define TAB_COLUMNS 8

/* Bytes are counted first, then written: one allocation of the right size. */
struct printer {
	char *to; /* NULL: counting */
	size_t n;
};

static void put(struct printer *p, struct str s)
{
	if (p->to && s.len > 0)
		memcpy(p->to + p->n, s.p, s.len);
	p->n += s.len;
}

static void put_indent(struct printer *p, unsigned depth)
{
	while (depth-- > 0)
		put(p, STR("\t"));
}

static void put_comments(struct printer *p, const struct ucl_comment *c, unsigned depth, bool first)
{
	for (; c; c = c->next, first = false) {
		if (c->blank && !first)
			put(p, STR("\n"));
		put_indent(p, depth);
		put(p, c->text);
		put(p, STR("\n"));
	}
}

/* Comments of the line end; a comment to the end of its line can only be the last. */
static void put_after(struct printer *p, const struct ucl_node *node)
{
	for (const struct ucl_comment *c = node->after; c; c = c->next) {
		put(p, STR(" "));
		put(p, c->text);
	}
	put(p, STR("\n"));
}

static size_t columns_of(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool fits_line(const struct ucl_node *list, unsigned depth)
{
	size_t columns = depth * TAB_COLUMNS + columns_of(list->key_raw) + sizeof(" = [];") - 1;

	if (list->inside)
		return false;
	for (const struct ucl_node *n = list->first; n; n = n->next) {
		if (n->before || n->after)
			return false;
		columns += columns_of(n->raw) + (n->next ? 2 : 0);
	}
	return columns <= LINE_COLUMNS;
}

static void put_list(struct printer *p, const struct ucl_node *list, unsigned depth)
{
	bool one_line = fits_line(list, depth);

	put(p, STR("["));
	if (!one_line)
		put(p, STR("\n"));
	for (const struct ucl_node *n = list->first; n; n = n->next) {
		if (one_line) {
			put(p, n->raw);
			put(p, n->next ? STR(", ") : STR(""));
			continue;
		}
		put_comments(p, n->before, depth + 1, n == list->first);
		put_indent(p, depth + 1);
		put(p, n->raw);
		put(p, STR(","));
		put_after(p, n);
	}
	if (!one_line) {
		put_comments(p, list->inside, depth + 1, !list->first);
		put_indent(p, depth);
	}
	put(p, STR("]"));
}

static void put_members(struct printer *p, const struct ucl_node *block, unsigned depth);

static void put_node(struct printer *p, const struct ucl_node *node, unsigned depth)
{
	put_indent(p, depth);
	put(p, node->key_raw);
	if (node->label.p) {
		put(p, STR(" "));
		put(p, node->label_raw);
	}
	if (node->kind == UCL_BLOCK) {
		put(p, STR(" {\n"));
		put_members(p, node, depth + 1);
		put_indent(p, depth);
		put(p, STR("}"));
	} else {
		put(p, STR(" = "));
		if (node->kind == UCL_LIST)
			put_list(p, node, depth);
		else
			put(p, node->raw);
		/* The mark that ends a heredoc must be alone on its line. */
		if (!str_starts(node->raw, STR("<<")))
			put(p, STR(";"));
	}
	put_after(p, node);
}

static void put_members(struct printer *p, const struct ucl_node *block, unsigned depth)
{
	bool first = true;

	for (const struct ucl_node *n = block->first; n; n = n->next) {
		put_comments(p, n->before, depth, first);
		if (n->blank && !(first && !n->before))
			put(p, STR("\n"));
		put_node(p, n, depth);
		first = false;
	}
	put_comments(p, block->inside, depth, first);
}

static void put_file(struct printer *p, const struct ucl_node *root)
{
	put_comments(p, root->before, 0, true);
	put_members(p, root, 0);
}

struct str ucl_format(const struct ucl_node *root, struct arena *arena)
{
	struct printer p = {NULL, 0};
	struct str out;

	put_file(&p, root);
	out.len = p.n;
	p.to = arena_alloc(arena, p.n + 1);
	if (!p.to)
		return STR_NONE;
	p.n = 0;
	put_file(&p, root);
	p.to[p.n] = '\0';
	return (struct str){p.to, out.len};
}
