// SPDX-License-Identifier: Apache-2.0
// What keys and blocks of routes do beyond storing.
#include "app/config_spec.h"
#include "app/schema_hooks.h"
#include "base/text.h"
#include "handler/files/mime.h"
#include "http/path.h"

void *hook_route_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct str path = STR_NONE;

	if (!str_starts(node->label, STR("/")))
		schema_error(run, node->value_at, "route \"%s\": a path begins with \"/\"",
			     schema_show(node->label).text);
	else if (http_path_normalise(node->label, run->arena, &path) < 0)
		schema_error(run, node->value_at,
			     "route \"%s\" is not a path that a request can have",
			     schema_show(node->label).text);
	else if (!str_eq(path, node->label))
		schema_error(run, node->value_at,
			     "route \"%s\" is never asked for: its normal form is \"%s\"",
			     schema_show(node->label).text, schema_show(path).text);
	return spec_route_new(run, parent, node->label, node->key_at);
}

void hook_route_lent(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_route *route = target;

	if (route->lent_key.p)
		return;
	route->lent_key = node->key;
	route->lent_at = node->key_at;
}

static void check_lent(struct schema_run *run, const struct spec_route *route)
{
	if (!route->lent_key.p)
		return;
	if (!route->has_files && route->has_proxy && str_eq(route->lent_key, STR("strip")))
		schema_error(run, route->lent_at, "\"strip\"%s belongs into its proxy { }",
			     run->where);
	else if (!route->has_files)
		schema_error(run, route->lent_at,
			     "\"%s\"%s is a key of files, which it does not have",
			     schema_show(route->lent_key).text, run->where);
	else if (route->files_block)
		schema_error(run, route->lent_at, "\"%s\"%s belongs into its files { }",
			     schema_show(route->lent_key).text, run->where);
}

/* The handlers that it has, as a list of words; how many they are. */
static unsigned list_handlers(const struct spec_route *route, struct text *list)
{
	const struct {
		bool has;
		const char *name;
	} handlers[] = {
		{route->has_files, "files"},     {route->has_proxy, "proxy"},
		{route->has_respond, "respond"}, {route->has_redirect, "redirect"},
		{route->has_status, "status"},
	};
	unsigned count = 0;

	for (unsigned i = 0; i < SL_ARRAY_SIZE(handlers); i++)
		if (handlers[i].has)
			text_printf(list, "%s%s", count++ ? ", " : "", handlers[i].name);
	return count;
}

void hook_route_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_route *route = target;
	char buffer[64];
	struct text list;
	unsigned handlers;

	text_init_fixed(&list, buffer, sizeof(buffer));
	handlers = list_handlers(route, &list);
	/* An empty list says something, too: that those of the site do not count here. */
	if (schema_member(node, "limit") && !route->guards.limits.where)
		route->guards.limits.where = "";
	if (schema_member(node, "access") && !route->guards.lists.where)
		route->guards.lists.where = "";
	check_lent(run, route);
	if (handlers == 0)
		schema_error(
			run, route->at,
			"route \"%s\" has no handler: give it files, proxy, respond, redirect or status",
			schema_show(route->route.path).text);
	if (handlers > 1)
		schema_error(run, route->at,
			     "route \"%s\" has %u handlers (%.*s): keep one of them",
			     schema_show(route->route.path).text, handlers, (int)list.len, buffer);
}

/* `key = value` in place of a block: both stand at one place. */
static bool is_brief(const struct ucl_node *block)
{
	const struct ucl_node *first = block->first;

	return first && first->value_at.line == block->value_at.line &&
	       first->value_at.column == block->value_at.column;
}

void *hook_files_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_route *route = parent;

	route->has_files = true;
	route->files_block = !is_brief(node);
	return &route->files;
}

void hook_files_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_files *files = target;

	if (files->config.root.len == 0 && !is_brief(node))
		schema_error(run, node->key_at,
			     "\"files\" has no \"root\": name the folder to serve");
}

void hook_files_root(struct schema_run *run, const struct ucl_node *node, void *target)
{
	config_check_folder(run, node->value_at, ((struct spec_files *)target)->config.root);
}

void hook_files_strip(struct schema_run *run, const struct ucl_node *node, void *target)
{
	if (!str_starts(node->value, STR("/")))
		schema_wrong(run, node, "strip", "expected a path that begins with \"/\"");
}

void hook_files_index(struct schema_run *run, const struct ucl_node *node, void *target)
{
	if (node->value.len == 0 || memchr(node->value.p, '/', node->value.len))
		schema_wrong(run, node, "index", "expected the name of a file");
}

void hook_files_try(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const char *why = "";

	if (files_try_check(node->value, &why) < 0)
		schema_wrong(run, node, "try", "%s", why);
	else if (str_starts(node->value, STR("=")) && node->next)
		schema_wrong(run, node, "try",
			     "a status ends the list, what follows is never tried");
}

static void add_pair(struct schema_run *run, struct spec_list *list, const struct ucl_node *node)
{
	struct spec_pair *pair = arena_zalloc(run->arena, sizeof(*pair));

	if (!pair)
		return;
	pair->key = arena_dup(run->arena, node->key);
	pair->value = arena_dup(run->arena, node->value);
	spec_list_add(list, pair);
}

void hook_files_type(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_files *files = target;
	bool upper = false;

	for (size_t i = 0; i < node->key.len; i++)
		upper = upper || (node->key.p[i] >= 'A' && node->key.p[i] <= 'Z');
	if (node->key.len == 0 || upper || node->key.p[0] == '.')
		schema_error(
			run, node->key_at,
			"\"%s\" in types: expected an extension in lower case, without its dot",
			schema_show(node->key).text);
	else if (!memchr(node->value.p, '/', node->value.len))
		schema_wrong(run, node, "types", "expected a content type, as text/html");
	hook_text(run, node, target);
	add_pair(run, &files->types, node);
}

void hook_files_cache_control(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_files *files = target;

	hook_text(run, node, target);
	add_pair(run, &files->cache_control, node);
}

void *hook_respond_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_route *route = parent;

	route->has_respond = true;
	return &route->respond;
}

void *hook_redirect_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_route *route = parent;

	route->has_redirect = true;
	return &route->redirect;
}

void hook_redirect_to(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const char *why = "";

	if (redirect_target_check(node->value, &why) < 0)
		schema_wrong(run, node, "to", "it %s", why);
}

void hook_redirect_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct redirect_config *redirect = target;

	if (redirect->target.len == 0 && !is_brief(node))
		schema_error(run, node->key_at,
			     "\"redirect\" has no \"to\": say where to send clients");
}

/* Fields that say how a message is framed or what its body is: a fixed text would lie. */
static bool is_ours(enum http_name id)
{
	static const enum http_name ours[] = {
		HTTP_CONNECTION,    HTTP_CONTENT_ENCODING, HTTP_CONTENT_LENGTH,
		HTTP_CONTENT_RANGE, HTTP_CONTENT_TYPE,     HTTP_DATE,
		HTTP_KEEP_ALIVE,    HTTP_TRAILER,          HTTP_TRANSFER_ENCODING,
		HTTP_UPGRADE,
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(ours); i++)
		if (ours[i] == id)
			return true;
	return false;
}

void hook_header(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_route *route = target;
	enum http_name id = http_name_find(node->key);
	struct spec_field *field;

	hook_text(run, node, target);
	if (!http_field_name_valid(node->key)) {
		schema_error(run, node->key_at, "\"%s\" is not the name of a field",
			     schema_show(node->key).text);
		return;
	}
	if (is_ours(id)) {
		schema_error(run, node->key_at,
			     "\"%s\" in headers: the server writes this field itself",
			     schema_show(node->key).text);
		return;
	}
	field = arena_zalloc(run->arena, sizeof(*field));
	if (!field)
		return;
	field->field.id = id;
	field->field.name = arena_dup(run->arena, node->key);
	field->field.value = arena_dup(run->arena, str_trim(node->value));
	spec_list_add(&route->headers, field);
}

struct str spec_type_of(struct schema_run *run, struct str file)
{
	struct files_config plain;
	struct mime mime;

	files_config_init(&plain);
	mime = mime_find(&plain, file);
	return mime.text ? arena_printf(run->arena, "%.*s; charset=utf-8", STR_ARG(mime.type))
			 : mime.type;
}

void hook_error_page(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_route *route = target;
	struct str file = schema_path(run, node->value);
	struct spec_page *page;
	uint64_t status;

	if (str_to_u64(node->key, 599, &status) < 0 || status < 400) {
		schema_error(run, node->key_at,
			     "\"%s\" in error_pages: expected a status from 400 to 599",
			     schema_show(node->key).text);
		return;
	}
	page = arena_zalloc(run->arena, sizeof(*page));
	if (!page || !file.p)
		return;
	page->page.status = (uint16_t)status;
	page->page.type = spec_type_of(run, file);
	page->page.body = config_read_page(run, node->value_at, file);
	spec_list_add(&route->pages, page);
}
