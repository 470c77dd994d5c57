// SPDX-License-Identifier: Apache-2.0
#include "handler/redirect.h"

#include <errno.h>

#include "handler/reply.h"
#include "http/authority.h"
#include "http/path.h"
#include "http/router.h"

enum placeholder {
	PLACE_NONE,
	PLACE_DOLLAR,
	PLACE_SCHEME,
	PLACE_HOST,
	PLACE_PATH,
	PLACE_REST,
	PLACE_QUERY
};

static const struct {
	struct str name;
	enum placeholder place;
} placeholders[] = {
	{{"$$", 2}, PLACE_DOLLAR},  {{"$scheme", 7}, PLACE_SCHEME}, {{"$host", 5}, PLACE_HOST},
	{{"$path", 5}, PLACE_PATH}, {{"$rest", 5}, PLACE_REST},     {{"$query", 6}, PLACE_QUERY},
};

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Takes the next piece off *target: literal text, or a placeholder. False at the end. */
static bool next_piece(struct str *target, enum placeholder *place, struct str *text)
{
	if (target->len == 0)
		return false;
	size_t n = 1;

	*place = PLACE_NONE;
	if (target->p[0] != '$') {
		ptrdiff_t dollar = str_find_byte(*target, '$');
		n = dollar < 0 ? target->len : (size_t)dollar;
	} else if (target->len > 1 && target->p[1] == '$') {
		n = 2;
	} else {
		while (n < target->len && is_name_byte(target->p[n]))
			n++;
	}
	*text = str_head(*target, n);
	*target = str_skip(*target, n);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(placeholders); i++) {
		if (str_eq(*text, placeholders[i].name))
			*place = placeholders[i].place;
	}
	return true;
}

int redirect_target_check(struct str target, const char **why)
{
	struct str rest = target, text;
	enum placeholder place;

	*why = NULL;
	if (target.len == 0)
		*why = "is empty";
	else if (target.p[0] != '/' && str_find(target, STR("://")) <= 0)
		*why = "begins with neither '/' nor a scheme";
	else if (str_starts(target, STR("//")) || str_starts(target, STR("/$path")))
		/* "//host" is a network path: a client's path would choose the host. */
		*why = "begins with two slashes, or may do so";
	for (size_t i = 0; i < target.len && !*why; i++) {
		if ((unsigned char)target.p[i] <= 0x20 || (unsigned char)target.p[i] >= 0x7f)
			*why = "holds a byte that is not allowed in a URL";
	}
	while (!*why && next_piece(&rest, &place, &text)) {
		if (place == PLACE_NONE && text.p[0] == '$')
			*why = "holds an unknown placeholder";
	}
	return *why ? -EINVAL : 0;
}

static struct str rest_of(const struct http_stream *s)
{
	struct str path = s->request.path;
	size_t own = s->route ? SL_MIN(s->route->path.len, path.len) : 0;

	path = str_skip(path, own);
	while (path.len > 0 && path.p[0] == '/')
		path = str_skip(path, 1);
	return path;
}

static struct str value_of(const struct http_stream *s, enum placeholder place)
{
	struct str query;

	switch (place) {
	case PLACE_NONE:
		break;
	case PLACE_DOLLAR:
		return STR("$");
	case PLACE_SCHEME:
		return s->request.scheme;
	case PLACE_HOST:
		return http_authority_host(s->request.authority);
	case PLACE_PATH:
		return http_path_encode(s->request.path, s->arena);
	case PLACE_REST:
		return http_path_encode(rest_of(s), s->arena);
	case PLACE_QUERY:
		if (!s->request.query.p)
			return STR("");
		query = reply_query_encode(s->request.query, s->arena);
		return query.p ? arena_printf(s->arena, "?%.*s", STR_ARG(query)) : STR_NONE;
	}
	return STR("");
}

static struct str expand(struct http_stream *s, struct str target)
{
	struct str out = STR(""), text;
	enum placeholder place;

	while (next_piece(&target, &place, &text)) {
		struct str value = place == PLACE_NONE ? text : value_of(s, place);

		if (!value.p)
			return STR_NONE;
		out = arena_printf(s->arena, "%.*s%.*s", STR_ARG(out), STR_ARG(value));
		if (!out.p)
			return STR_NONE;
	}
	return out;
}

static int redirect_open(void *state, struct http_stream *s)
{
	const struct redirect_config *config = state;

	return reply_redirect(s, config->status, expand(s, config->target));
}

const struct handler_ops redirect_handler = {
	.name = "redirect",
	.skips_body = true,
	.open = redirect_open,
};
