// SPDX-License-Identifier: Apache-2.0
// From the specification to listeners, routers and handlers.
#include <errno.h>

#include "app/config_build.h"

bool app_options_eq(const struct net_options *a, const struct net_options *b)
{
	return a->backlog == b->backlog && a->recv_bytes == b->recv_bytes &&
	       a->send_bytes == b->send_bytes && a->keepalive_s == b->keepalive_s &&
	       a->user_timeout_ms == b->user_timeout_ms && a->notsent_lowat == b->notsent_lowat &&
	       a->fastopen == b->fastopen && a->defer_accept_s == b->defer_accept_s &&
	       a->unix_mode == b->unix_mode && a->v6only == b->v6only;
}

/* Datagrams have addresses of their own. */
static int find_listen(const struct app_config *app, const struct net_addr *addr, bool is_udp)
{
	for (unsigned i = 0; i < app->listen_count; i++)
		if (net_addr_eq(&app->listens[i].addr, addr) &&
		    (app->listens[i].kind == APP_LISTEN_UDP) == is_udp)
			return (int)i;
	return -1;
}

static void check_proxy_protocol(struct build *b, const struct spec_listen *listen, bool is_udp)
{
	if (listen->proxy_protocol == PROXY_NONE)
		return;
	if (is_udp)
		schema_error(
			b->run, listen->proxy_at,
			"listen \"%s\": the PROXY protocol is for connections, not for datagrams",
			listen->text.p);
	else if (listen->trusted_count == 0 && b->spec->trusted_count == 0 &&
		 listen->addr.u.sa.sa_family != AF_UNIX)
		schema_error(
			b->run, listen->proxy_at,
			"listen \"%s\": anybody could write a PROXY header: say whom to believe, trusted = [\"10.0.0.0/8\"]",
			listen->text.p);
}

static struct http_cidr *parse_cidrs(struct build *b, const struct str *v, unsigned count)
{
	struct http_cidr *cidrs = arena_zalloc(b->run->arena, (count + 1) * sizeof(*cidrs));

	for (unsigned i = 0; cidrs && i < count; i++)
		http_cidr_parse(v[i], &cidrs[i]);
	return cidrs;
}

/* What the options of a socket say. */
static void set_listen(struct build *b, struct app_listen *to, const struct spec_listen *listen)
{
	bool own = listen->trusted_count > 0;

	to->options = listen->options;
	to->proxy_protocol = listen->proxy_protocol;
	to->trusted_count = own ? listen->trusted_count : b->spec->trusted_count;
	to->trusted = parse_cidrs(b, own ? listen->trusted : b->spec->trusted, to->trusted_count);
	if (!to->trusted)
		to->trusted_count = 0;
}

static void add_listen(struct build *b, const struct spec_listen *listen, enum app_listen_kind kind,
		       unsigned service)
{
	struct app_config *app = &b->spec->app;
	int found = find_listen(app, &listen->addr, kind == APP_LISTEN_UDP);
	unsigned at = found < 0 ? app->listen_count : (unsigned)found;
	struct app_listen *to = &app->listens[at];

	if (at == APP_LISTENS_MAX) {
		schema_error(b->run, listen->at, "more than %d addresses to listen on",
			     APP_LISTENS_MAX);
		return;
	}
	check_proxy_protocol(b, listen, kind == APP_LISTEN_UDP);
	if (kind == APP_LISTEN_UDP && listen->addr.len > 0 &&
	    listen->addr.u.sa.sa_family == AF_UNIX)
		schema_error(b->run, listen->at, "listen \"%s\": datagrams take an IP address",
			     schema_show(listen->text).text);
	if (found < 0) {
		*to = (struct app_listen){.addr = listen->addr,
					  .text = listen->text,
					  .kind = kind,
					  .service = service};
		set_listen(b, to, listen);
		b->listens_at[at] = listen->at;
		b->detailed[at] = listen->detailed;
		app->listen_count++;
		return;
	}
	if (to->kind != kind || to->service != service)
		schema_error(b->run, listen->at,
			     "listen \"%s\" is for something else already (line %u)",
			     schema_show(listen->text).text, b->listens_at[at].line);
	if (!listen->detailed)
		return;
	if (b->detailed[at] && (!app_options_eq(&to->options, &listen->options) ||
				to->proxy_protocol != listen->proxy_protocol))
		schema_error(b->run, listen->at,
			     "listen \"%s\" has other options elsewhere (line %u): give them once",
			     schema_show(listen->text).text, b->listens_at[at].line);
	set_listen(b, to, listen);
	b->listens_at[at] = listen->at;
	b->detailed[at] = true;
}

static int build_listens(struct build *b)
{
	struct app_config *app = &b->spec->app;
	unsigned service = 0;

	app->listens = arena_zalloc(&app->arena, APP_LISTENS_MAX * sizeof(*app->listens));
	if (!app->listens)
		return -ENOMEM;
	for (const struct spec_site *s = b->spec->sites.first; s; s = s->next)
		for (const struct spec_listen *l = s->listens.first; l; l = l->next)
			add_listen(b, l, APP_LISTEN_HTTP, 0);
	for (const struct spec_service *s = b->spec->services.first; s; s = s->next) {
		for (const struct spec_listen *l = s->listens.first; l; l = l->next)
			add_listen(b, l, s->is_udp ? APP_LISTEN_UDP : APP_LISTEN_TCP, service);
		service++;
	}
	return b->run->errors->count > 0 ? -EINVAL : 0;
}

static int build_http(struct build *b)
{
	struct http_config *http = http_config_new(b->spec->app.listen_count);
	struct http_cidr *trusted;

	b->http = http;
	if (!http)
		return -ENOMEM;
	http->limits = b->spec->limits;
	for (unsigned i = 0; i < http->router_count; i++)
		http->routers[i]->strict_hosts = b->spec->strict_hosts;
	trusted = parse_cidrs(b, b->spec->trusted, b->spec->trusted_count);
	if (!trusted)
		return -ENOMEM;
	http->trusted = trusted;
	http->trusted_count = b->spec->trusted_count;
	return 0;
}

static struct str host_of(const struct spec_site *site, unsigned i)
{
	return i == 0 ? site->name : site->names[i - 1];
}

/* The line of the site that has this host on this address. */
static unsigned find_rival(const struct build *b, struct str host, const struct net_addr *addr)
{
	for (const struct spec_site *s = b->spec->sites.first; s; s = s->next)
		for (unsigned i = 0; i <= s->name_count; i++)
			for (const struct spec_listen *l = s->listens.first; l; l = l->next)
				if (str_eq_nocase(host_of(s, i), host) &&
				    net_addr_eq(&l->addr, addr))
					return s->at.line;
	return 0;
}

static int build_host(struct build *b, const struct spec_site *site, struct str host,
		      const struct spec_listen *listen, struct http_site **made)
{
	int listener = find_listen(&b->spec->app, &listen->addr, false);
	int err = http_router_site(b->http, (unsigned)listener, host, made);

	if (err == -EINVAL)
		schema_error(b->run, site->at,
			     "\"%s\" is not a host: expected example.com, *.example.com or *",
			     schema_show(host).text);
	else if (err == -EEXIST)
		schema_error(b->run, site->at,
			     "host \"%s\" is on %s twice (line %u has it first): merge the sites",
			     schema_show(host).text, listen->text.p,
			     find_rival(b, host, &listen->addr));
	return err == -ENOMEM ? err : 0;
}

/* The whole block of fields as HTTP/1 sends it. */
static const struct http_block *build_headers(struct arena *arena, const struct spec_list *list)
{
	struct http_block *block = arena_zalloc(arena, sizeof(*block));
	struct http_field *v = arena_zalloc(arena, (list->count + 1) * sizeof(*v));
	size_t len = 0, at = 0;
	char *h1;

	for (const struct spec_field *f = list->first; f; f = f->next)
		len += f->field.name.len + f->field.value.len + 4;
	h1 = arena_alloc(arena, len + 1);
	if (!block || !v || !h1)
		return NULL;
	for (const struct spec_field *f = list->first; f; f = f->next) {
		v[block->count++] = f->field;
		memcpy(h1 + at, f->field.name.p, f->field.name.len);
		at += f->field.name.len;
		memcpy(h1 + at, ": ", 2);
		at += 2;
		memcpy(h1 + at, f->field.value.p, f->field.value.len);
		at += f->field.value.len;
		memcpy(h1 + at, "\r\n", 2);
		at += 2;
	}
	block->v = v;
	block->h1 = (struct str){h1, at};
	return block;
}

static int build_pages(struct arena *arena, const struct spec_list *list, struct http_route *route)
{
	struct http_error_page *pages = arena_zalloc(arena, (list->count + 1) * sizeof(*pages));

	if (!pages)
		return -ENOMEM;
	route->error_pages = pages;
	for (const struct spec_page *p = list->first; p; p = p->next)
		pages[route->error_page_count++] = p->page;
	return 0;
}

static int build_files(struct arena *arena, struct spec_files *files)
{
	struct files_type *types = arena_zalloc(arena, (files->types.count + 1) * sizeof(*types));
	struct files_pattern *patterns =
		arena_zalloc(arena, (files->cache_control.count + 1) * sizeof(*patterns));

	if (!types || !patterns)
		return -ENOMEM;
	files->config.types = types;
	files->config.cache_control = patterns;
	for (const struct spec_pair *p = files->types.first; p; p = p->next)
		types[files->config.type_count++] = (struct files_type){p->key, p->value};
	for (const struct spec_pair *p = files->cache_control.first; p; p = p->next)
		patterns[files->config.cache_control_count++] =
			(struct files_pattern){p->key, p->value};
	return 0;
}

static int build_handler(struct build *b, struct spec_route *spec)
{
	struct app_config *app = &b->spec->app;

	if (spec->has_files) {
		spec->route.handler = &files_handler;
		spec->route.config = &spec->files.config;
		return build_files(&app->arena, &spec->files);
	}
	if (spec->has_proxy)
		return build_proxy(b, spec);
	if (spec->has_respond) {
		spec->route.handler = &respond_handler;
		spec->route.config = &spec->respond;
		return 0;
	}
	if (spec->has_redirect) {
		spec->route.handler = &redirect_handler;
		spec->route.config = &spec->redirect;
		return 0;
	}
	if (!app->status)
		app->status = arena_zalloc(&app->arena, sizeof(*app->status));
	spec->route.handler = &status_handler;
	spec->route.config = app->status;
	return app->status ? 0 : -ENOMEM;
}

/* The line of the route that this one repeats. */
static unsigned find_twin(const struct spec_site *site, const struct spec_route *route)
{
	for (const struct spec_route *r = site->routes.first; r != route; r = r->next)
		if (str_eq(r->route.path, route->route.path) &&
		    r->route.exact == route->route.exact)
			return r->at.line;
	return route->at.line;
}

static int build_route(struct build *b, struct spec_site *site, struct http_site *made,
		       struct spec_route *spec)
{
	struct arena *arena = &b->spec->app.arena;
	struct http_route *out;
	int err = build_handler(b, spec);

	if (err == 0)
		err = build_steps(b, site, spec);
	if (++b->routes > APP_ROUTES_MAX) {
		schema_error(b->run, spec->at, "more than %d routes", APP_ROUTES_MAX);
		return -EINVAL;
	}
	if (err == 0 && spec->pages.count > 0)
		err = build_pages(arena, &spec->pages, &spec->route);
	if (err < 0)
		return err;
	if (spec->headers.count > 0) {
		spec->route.headers = build_headers(arena, &spec->headers);
		if (!spec->route.headers)
			return -ENOMEM;
	}
	if (spec->route.body_max == SPEC_BODY_MAX_INHERITED)
		spec->route.body_max = b->spec->limits.body_max;
	if (spec->route.step_count > HTTP_STEPS_MAX)
		return 0;
	err = http_router_route(b->http, made, &spec->route, &out);
	if (err == -EEXIST)
		schema_error(
			b->run, spec->at,
			"route \"%s\" can never be reached: line %u answers for the same path and methods",
			schema_show(spec->route.path).text, find_twin(site, spec));
	else if (err == -EINVAL)
		schema_error(b->run, spec->at, "route \"%s\" is not a path that a request can have",
			     schema_show(spec->route.path).text);
	else if (err == 0)
		b->origins[out->index] = (struct app_origin){site->name, spec->at.line};
	return err == -ENOMEM ? err : 0;
}

static int build_origins(struct build *b)
{
	struct app_config *app = &b->spec->app;
	size_t count = 1;

	for (const struct spec_site *s = b->spec->sites.first; s; s = s->next)
		count += s->routes.count;
	b->origins = arena_zalloc(&app->arena, count * sizeof(*b->origins));
	app->origins = b->origins;
	return b->origins ? 0 : -ENOMEM;
}

static int build_site(struct build *b, struct spec_site *site)
{
	struct http_site *made = NULL;
	int err = 0;

	for (unsigned i = 0; i <= site->name_count && err == 0; i++)
		for (const struct spec_listen *l = site->listens.first; l && err == 0; l = l->next)
			err = build_host(b, site, host_of(site, i), l, &made);
	for (struct spec_route *r = site->routes.first; r && made && err == 0; r = r->next)
		err = build_route(b, site, made, r);
	return err;
}

static void config_freed(struct http_config *http)
{
	struct app_config *app = http->owner;
	struct arena arena = app->arena;

	app_parts_leave(&app->parts);
	http->owner = NULL;
	arena_free(&arena);
}

int config_build(struct schema_run *run, struct spec *spec, struct app_config **made)
{
	struct build b = {.run = run, .spec = spec};
	struct app_config *app;
	int err = run->errors->count > 0 ? -EINVAL : build_listens(&b);

	if (err == 0)
		err = build_origins(&b);
	if (err == 0)
		err = build_http(&b);
	for (struct spec_site *s = spec->sites.first; s && err == 0; s = s->next)
		if (run->errors->more == 0)
			err = build_site(&b, s);
	if (err == 0)
		err = build_services(&b);
	if (err == 0)
		err = build_groups(&b);
	build_guards(&b);
	if (err == 0)
		err = build_warnings(&b);
	if (err == 0 && run->errors->count > 0)
		err = -EINVAL;
	app = err == 0 ? arena_zalloc(&spec->app.arena, sizeof(*app)) : NULL;
	if (!app) {
		app_parts_leave(&spec->app.parts);
		if (b.http)
			http_config_unref(b.http);
		return err < 0 ? err : -ENOMEM;
	}
	*app = spec->app;
	app->http = b.http;
	app->http->owner = app;
	app->http->freed = config_freed;
	*made = app;
	return 0;
}
