// SPDX-License-Identifier: Apache-2.0
// Limits, access lists and load: from their names to the steps of routes.
#include <errno.h>
#include <stdio.h>

#include "app/config_build.h"

static void refuse_name(struct build *b, const struct spec_names *names, struct str name,
			const char *kind, const struct schema_guess *guess)
{
	if (guess->best)
		schema_error(b->run, names->at, "no %s \"%s\"%s (did you mean \"%s\"?)", kind,
			     schema_show(name).text, names->where, guess->best);
	else
		schema_error(b->run, names->at, "no %s \"%s\"%s: add %s \"%s\" { } at the top",
			     kind, schema_show(name).text, names->where, kind,
			     schema_show(name).text);
}

static struct spec_limit *find_limit(struct build *b, const struct spec_names *names,
				     struct str name)
{
	struct schema_guess guess = {NULL, 0};

	for (struct spec_limit *l = b->spec->guards.first; l; l = l->next) {
		if (str_eq(l->config.name, name))
			return l;
		schema_guess(&guess, name, l->config.name.p);
	}
	refuse_name(b, names, name, "limit", &guess);
	return NULL;
}

static struct app_limiter *make_limiter(struct build *b, struct spec_limit *limit)
{
	struct app_parts *parts = &b->spec->app.parts;

	if (limit->made)
		return limit->made;
	limit->made = arena_zalloc(b->run->arena, sizeof(*limit->made));
	if (!limit->made)
		return NULL;
	limit->made->step = (struct guards_limit){
		.config = &limit->config,
		.no_fields = limit->no_headers,
	};
	limit->made->next = parts->limiters;
	parts->limiters = limit->made;
	return limit->made;
}

static struct spec_access *find_access(struct build *b, const struct spec_names *names,
				       struct str name)
{
	struct schema_guess guess = {NULL, 0};

	for (struct spec_access *a = b->spec->lists.first; a; a = a->next) {
		if (str_eq(a->config.name, name))
			return a;
		schema_guess(&guess, name, a->config.name.p);
	}
	refuse_name(b, names, name, "access", &guess);
	return NULL;
}

/* The list is read here, so that what is wrong with its files is an error of the configuration. */
static struct app_list *make_list(struct build *b, struct spec_access *access)
{
	struct app_parts *parts = &b->spec->app.parts;
	char why[512] = "";
	int err;

	if (access->made)
		return access->made;
	access->made = arena_zalloc(b->run->arena, sizeof(*access->made));
	if (!access->made)
		return NULL;
	if (b->run->offline)
		access->config.allow_file_count = access->config.deny_file_count = 0;
	access->made->files = access->config.allow_file_count + access->config.deny_file_count > 0;
	access->made->next = parts->lists;
	parts->lists = access->made;
	err = guard_access_new(&access->config, &access->made->step.access, why, sizeof(why));
	if (err < 0)
		schema_error(b->run, access->at, "access \"%s\": %s", access->config.name.p,
			     why[0] ? why : "out of memory");
	return access->made;
}

static int add_use(struct build *b, struct app_use **uses, void *place)
{
	struct app_use *use = arena_zalloc(b->run->arena, sizeof(*use));

	if (!use)
		return -ENOMEM;
	*use = (struct app_use){*uses, place};
	*uses = use;
	return 0;
}

int build_service_guards(struct build *b, const struct spec_names *limits,
			 struct guard_limiter **limiter, const struct spec_names *lists,
			 struct guard_access **access)
{
	struct spec_limit *limit = limits->count ? find_limit(b, limits, limits->v[0]) : NULL;
	struct spec_access *list = lists->count ? find_access(b, lists, lists->v[0]) : NULL;

	if (limit && limit->config.key != GUARD_KEY_ADDRESS)
		schema_error(b->run, limits->at, "limit \"%s\"%s is not by client_ip",
			     limit->config.name.p, limits->where);
	if (limit && (!make_limiter(b, limit) || add_use(b, &limit->made->uses, limiter) < 0))
		return -ENOMEM;
	if (list && !make_list(b, list))
		return -ENOMEM;
	if (list)
		*access = list->made->step.access;
	return 0;
}

static void add_step(struct build *b, struct spec_route *route,
		     int (*run)(const void *, struct http_stream *), const void *config)
{
	if (route->route.step_count < HTTP_STEPS_MAX)
		route->route.steps[route->route.step_count] = (struct http_step){run, config};
	/* Told once, where the first is too many. */
	if (route->route.step_count++ == HTTP_STEPS_MAX)
		schema_error(
			b->run, route->at,
			"route \"%s\" has more than %d steps before its handler (access, limit, load)",
			schema_show(route->route.path).text, HTTP_STEPS_MAX);
}

static bool load_matters(const struct spec_load *load, const struct guards_load *step)
{
	return step->adaptive_max > 0 || step->priority_header.len > 0 ||
	       step->at[GUARD_DEGRADED] != GUARDS_FULL || step->at[GUARD_CRITICAL] != GUARDS_FULL ||
	       step->priority < load->refuse_below[GUARD_DEGRADED] ||
	       step->priority < load->refuse_below[GUARD_CRITICAL];
}

static bool falls_back(const struct guards_load *step)
{
	return step->at[GUARD_DEGRADED] == GUARDS_FALLBACK ||
	       step->at[GUARD_CRITICAL] == GUARDS_FALLBACK;
}

static int build_load(struct build *b, struct spec_route *route)
{
	const struct spec_load *load = &b->spec->load;
	struct guards_load *step = &route->guards.load;
	const struct proxy_config *proxy = route->has_proxy ? &route->proxy.config : NULL;
	struct app_parts *parts = &b->spec->app.parts;
	struct app_load *made;

	if (!load->config.on && route->guards.load_at.line > 0)
		schema_error(
			b->run, route->guards.load_at,
			"route \"%s\" says what it does under load, but nothing measures it: add load { } at the top",
			schema_show(route->route.path).text);
	if (load->config.on)
		memcpy(step->priority_min, load->refuse_below, sizeof(step->priority_min));
	if (!load_matters(load, step) || (!load->config.on && step->adaptive_max == 0))
		return 0;
	if (falls_back(step) && (!proxy || proxy->fallback == PROXY_FALLBACK_NONE))
		schema_error(b->run, route->guards.load_at,
			     "route \"%s\" has no fallback: give its proxy one, or say refuse",
			     schema_show(route->route.path).text);
	made = arena_zalloc(b->run->arena, sizeof(*made));
	if (!made)
		return -ENOMEM;
	*made = (struct app_load){parts->loads, step};
	parts->loads = made;
	add_step(b, route, guards_load_run, step);
	return 0;
}

int build_steps(struct build *b, const struct spec_site *site, struct spec_route *route)
{
	const struct spec_names *lists =
		route->guards.lists.where ? &route->guards.lists : &site->guards.lists;
	const struct spec_names *limits =
		route->guards.limits.where ? &route->guards.limits : &site->guards.limits;
	int err;

	for (unsigned i = 0; i < lists->count; i++) {
		struct spec_access *access = find_access(b, lists, lists->v[i]);

		if (access && !make_list(b, access))
			return -ENOMEM;
		if (access)
			add_step(b, route, guards_access_run, &access->made->step);
	}
	err = build_load(b, route);
	for (unsigned i = 0; i < limits->count && err == 0; i++) {
		struct spec_limit *limit = find_limit(b, limits, limits->v[i]);

		if (!limit)
			continue;
		if (!make_limiter(b, limit) ||
		    add_use(b, &limit->made->uses, &limit->made->step.limiter) < 0)
			return -ENOMEM;
		add_step(b, route, guards_limit_run, &limit->made->step);
	}
	return err;
}

void build_guards(struct build *b)
{
	b->spec->app.parts.load = b->spec->load.config;
	for (const struct spec_limit *l = b->spec->guards.first; l; l = l->next)
		if (!l->made)
			build_warn(b, l->at, "limit \"%s\" is not used: nothing is limited by it",
				   schema_show(l->config.name).text);
	for (const struct spec_access *a = b->spec->lists.first; a; a = a->next)
		if (!a->made)
			build_warn(b, a->at, "access \"%s\" is not used: nobody is kept out by it",
				   schema_show(a->config.name).text);
}
