// SPDX-License-Identifier: Apache-2.0
// Changes of groups of servers that the admin socket asks for.
#include <errno.h>
#include <stdio.h>

#include "app/run.h"
#include "app/schema.h"
#include "base/err.h"
#include "base/log.h"

static const struct {
	struct str word;
	enum upstream_change change;
	const char *done; /* "drained" */
} changes[] = {
	{STR("add"), UPSTREAM_ADD, "added"},
	{STR("remove"), UPSTREAM_REMOVE, "removed"},
	{STR("drain"), UPSTREAM_DRAIN, "drained"},
	{STR("undrain"), UPSTREAM_UNDRAIN, "undrained"},
	{STR("weight"), UPSTREAM_WEIGHT, "weighted"},
};

/* One command. */
struct wish {
	unsigned which; /* of `changes` */
	struct str server, group;
	uint32_t weight;
	struct app_server *s;
	struct text *answer;
	unsigned done, failed;
};

static int wish_parse(struct wish *w, struct str line)
{
	struct str word, weight;
	uint64_t n;

	if (!str_next(&line, ' ', &word))
		return -EINVAL;
	for (w->which = 0; w->which < SL_ARRAY_SIZE(changes); w->which++)
		if (str_eq(word, changes[w->which].word))
			break;
	if (w->which == SL_ARRAY_SIZE(changes) || !str_next(&line, ' ', &w->server) ||
	    !str_next(&line, ' ', &weight) || w->server.len == 0 ||
	    str_to_u64(weight, UPSTREAM_WEIGHT_MAX, &n) < 0)
		return -EINVAL;
	w->weight = (uint32_t)n;
	w->group = str_trim(line);
	return 0;
}

/* everywhere: a group without the server is passed over. */
static void wish_do(struct wish *w, struct str group, bool everywhere)
{
	char why[256] = "";
	int err = upstream_change(w->s->shared.groups, group, w->server, changes[w->which].change,
				  w->weight, why, sizeof(why));

	if (everywhere && err == -ENOENT)
		return;
	if (err) {
		text_printf(w->answer, "%.*s in %.*s: %s\n", STR_ARG(w->server), STR_ARG(group),
			    why[0] ? why : err_text(err));
		w->failed++;
		return;
	}
	w->done++;
	text_printf(w->answer, "%s %.*s in %.*s\n", changes[w->which].done, STR_ARG(w->server),
		    STR_ARG(group));
}

/* No group was named: every one that has the server, or the only one there is. */
static void wish_everywhere(struct wish *w, const struct upstream_group_status *groups,
			    unsigned count)
{
	struct schema_guess guess = {NULL, 0};

	if (changes[w->which].change == UPSTREAM_ADD) {
		if (count == 1)
			wish_do(w, groups[0].name, false);
		else
			text_printf(w->answer, "there are %u groups: name one of them\n", count);
		return;
	}
	for (unsigned i = 0; i < count; i++)
		wish_do(w, groups[i].name, true);
	if (w->done || w->failed)
		return;
	text_printf(w->answer, "no group has a server %.*s", STR_ARG(w->server));
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < groups[i].server_count; k++)
			schema_guess(&guess, w->server, groups[i].servers[k].name.p);
	if (guess.best)
		text_printf(w->answer, " (did you mean %s?)", guess.best);
	text_put_char(w->answer, '\n');
}

static bool group_is_there(const struct upstream_group_status *groups, unsigned count,
			   struct str name)
{
	for (unsigned i = 0; i < count; i++)
		if (str_eq(groups[i].name, name))
			return true;
	return false;
}

bool app_admin_change(struct app_server *s, struct str line, struct text *answer)
{
	struct wish w = {.s = s, .answer = answer};
	const struct upstream_group_status *groups = NULL;
	unsigned count = 0;
	struct arena arena;

	if (wish_parse(&w, line) < 0) {
		text_printf(answer, "expected server add, remove, drain, undrain or weight, the "
				    "server, a weight, and a group or nothing\n");
		return false;
	}
	arena_init(&arena, 0);
	if (upstream_status(s->shared.groups, &arena, &groups, &count) < 0)
		text_printf(answer, "out of memory\n");
	else if (w.group.len == 0)
		wish_everywhere(&w, groups, count);
	else if (group_is_there(groups, count, w.group))
		wish_do(&w, w.group, false);
	else
		text_printf(answer, "no group \"%.*s\"\n", STR_ARG(w.group));
	arena_free(&arena);
	return w.done > 0 && w.failed == 0;
}
