// SPDX-License-Identifier: Apache-2.0
// Groups of servers: from names and lists to groups, and where each is used.
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "app/config_build.h"

struct spec_upstream *spec_upstream_new(struct schema_run *run, struct spec *spec, struct str name,
					struct ucl_pos at)
{
	struct spec_upstream *upstream = arena_zalloc(run->arena, sizeof(*upstream));

	if (!upstream) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	if (spec->upstreams.count == APP_GROUPS_MAX)
		schema_error(run, at, "more than %d groups of servers", APP_GROUPS_MAX);
	upstream->at = at;
	upstream_config_init(&upstream->config);
	upstream->config.name = arena_dup(run->arena, name);
	spec_list_add(&spec->upstreams, upstream);
	return upstream;
}

struct spec_server *spec_server_new(struct schema_run *run, struct str text, struct ucl_pos at)
{
	struct spec_server *server = arena_zalloc(run->arena, sizeof(*server));
	char why[256];

	if (!server) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	server->at = at;
	if (upstream_server_parse(arena_dup(run->arena, text), &server->config, why, sizeof(why)) <
	    0)
		schema_error(run, at, "%sserver \"%s\"%s: %s",
			     at.line ? "" : "--to: ", schema_show(text).text, run->where, why);
	return server;
}

void build_warn(struct build *b, struct ucl_pos at, const char *fmt, ...)
{
	struct build_warning *warning = arena_zalloc(b->run->arena, sizeof(*warning));
	char text[512];
	va_list ap;

	if (!warning || b->warnings.count == BUILD_WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	warning->text =
		arena_printf(b->run->arena, "%s:%u:%u: %s", b->run->file, at.line, at.column, text);
	spec_list_add(&b->warnings, warning);
}

int build_warnings(struct build *b)
{
	struct app_config *app = &b->spec->app;
	struct str *v = arena_zalloc(&app->arena, (b->warnings.count + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	app->warnings = v;
	for (const struct build_warning *w = b->warnings.first; w; w = w->next)
		v[app->warning_count++] = w->text;
	return 0;
}

static struct spec_upstream *find_named(struct build *b, struct str name)
{
	for (struct spec_upstream *u = b->spec->upstreams.first; u; u = u->next)
		if (str_eq(u->config.name, name))
			return u;
	return NULL;
}

/* One word without a port can only be meant as a name. */
static bool is_name(const struct spec_target *target)
{
	struct str only = target->to_count == 1 ? target->to[0] : STR("");
	uint64_t port;

	return only.len > 0 && str_find_byte(only, ':') < 0 &&
	       str_to_u64(only, UINT64_MAX, &port) < 0;
}

static void refuse_name(struct build *b, const struct spec_target *target)
{
	struct schema_guess guess = {NULL, 0};

	for (const struct spec_upstream *u = b->spec->upstreams.first; u; u = u->next)
		if (!u->anonymous)
			schema_guess(&guess, target->to[0], u->config.name.p);
	if (guess.best)
		schema_error(b->run, target->at, "no upstream \"%s\"%s (did you mean \"%s\"?)",
			     schema_show(target->to[0]).text, target->where, guess.best);
	else
		schema_error(
			b->run, target->at,
			"no upstream \"%s\"%s: add upstream \"%s\" { servers = [...]; }, or write servers "
			"with their ports",
			schema_show(target->to[0]).text, target->where,
			schema_show(target->to[0]).text);
}

/* The list itself is the name: no name that is given holds a colon, and the same list is the same group. */
static struct str anonymous_name(struct build *b, const struct spec_target *target)
{
	struct str name = STR("");

	for (unsigned i = 0; i < target->to_count; i++)
		name = arena_printf(b->run->arena, "%.*s%s%.*s", STR_ARG(name), i ? "," : "",
				    STR_ARG(target->to[i]));
	return name;
}

static struct spec_upstream *make_anonymous(struct build *b, const struct spec_target *target)
{
	struct str name = target->name.len ? target->name : anonymous_name(b, target);
	struct spec_upstream *upstream = find_named(b, name);
	const char *where = b->run->where;

	if (upstream)
		return upstream;
	upstream = spec_upstream_new(b->run, b->spec, name, target->at);
	if (!upstream)
		return NULL;
	upstream->anonymous = true;
	b->run->where = target->where;
	for (unsigned i = 0; i < target->to_count; i++) {
		struct spec_server *server = spec_server_new(b->run, target->to[i], target->at);

		for (const struct spec_server *s = upstream->servers.first; s && server;
		     s = s->next)
			if (str_eq(s->config.text, server->config.text))
				schema_error(b->run, target->at, "server \"%s\"%s is given twice",
					     schema_show(s->config.text).text, target->where);
		if (server)
			spec_list_add(&upstream->servers, server);
	}
	b->run->where = where;
	return upstream;
}

struct spec_upstream *build_target(struct build *b, struct spec_target *target,
				   struct upstream_group **place)
{
	struct spec_upstream *found = NULL;
	struct app_use *use;

	if (target->to_count == 0)
		schema_error(b->run, target->at, "no server%s: name an upstream, or its servers",
			     target->where);
	else if (!is_name(target))
		found = make_anonymous(b, target);
	else if (!(found = find_named(b, target->to[0])))
		refuse_name(b, target);
	use = found ? arena_zalloc(b->run->arena, sizeof(*use)) : NULL;
	if (!use)
		return NULL;
	use->place = place;
	spec_list_add(&found->uses, use);
	target->found = found;
	return found;
}

static int build_group(struct build *b, struct spec_upstream *upstream)
{
	struct app_parts *parts = &b->spec->app.parts;
	struct upstream_server_config *servers =
		arena_zalloc(b->run->arena, (upstream->servers.count + 1) * sizeof(*servers));
	struct app_group *group = arena_zalloc(b->run->arena, sizeof(*group));
	unsigned count = 0;

	if (!servers || !group)
		return -ENOMEM;
	for (const struct spec_server *s = upstream->servers.first; s; s = s->next)
		servers[count++] = s->config;
	upstream->config.servers = servers;
	upstream->config.server_count = count;
	*group = (struct app_group){
		.next = parts->groups,
		.config = &upstream->config,
		.uses = upstream->uses.first,
	};
	parts->groups = group;
	return 0;
}

int build_groups(struct build *b)
{
	int err = 0;

	for (struct spec_upstream *u = b->spec->upstreams.first; u && err == 0; u = u->next) {
		if (u->uses.count > 0)
			err = build_group(b, u);
		else
			build_warn(b, u->at, "upstream \"%s\" is not used: nothing is sent to it",
				   schema_show(u->config.name).text);
	}
	return err;
}

static int build_fields(struct arena *arena, const struct spec_list *list,
			struct proxy_fields *fields)
{
	struct http_field *v = arena_zalloc(arena, (list->count + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	fields->set = v;
	for (const struct spec_field *f = list->first; f; f = f->next)
		v[fields->set_count++] = f->field;
	return 0;
}

/* Another group than that of the proxy itself. */
static const struct upstream_config *build_other(struct build *b, const struct spec_proxy *proxy,
						 struct spec_target *target, const char *key,
						 struct upstream_group **place)
{
	struct spec_upstream *found = build_target(b, target, place);

	if (found && found == proxy->to.found)
		schema_error(b->run, target->at,
			     "\"%s\"%s is the group itself: it takes another one", key,
			     target->where);
	return found ? &found->config : NULL;
}

int build_proxy(struct build *b, struct spec_route *route)
{
	struct spec_proxy *proxy = &route->proxy;
	struct proxy_config *config = &proxy->config;
	struct spec_upstream *found = build_target(b, &proxy->to, &config->group);
	int err = build_fields(b->run->arena, &proxy->set, &config->request);

	if (err == 0)
		err = build_fields(b->run->arena, &proxy->response_set, &config->response);
	config->upstream = found ? &found->config : NULL;
	if (proxy->fallback.to.where)
		config->fallback_upstream = build_other(b, proxy, &proxy->fallback.to, "fallback",
							&config->fallback_group);
	if (proxy->mirror.to.where)
		config->mirror =
			build_other(b, proxy, &proxy->mirror.to, "mirror", &config->mirror_group);
	route->route.handler = &proxy_handler;
	route->route.config = config;
	return err;
}
