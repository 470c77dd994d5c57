// SPDX-License-Identifier: Apache-2.0
// What keys and blocks of the proxy handler do beyond storing.
#include "app/config_spec.h"
#include "app/schema_hooks.h"

void spec_target_note(struct schema_run *run, const struct ucl_node *node,
		      struct spec_target *target)
{
	if (target->where)
		return;
	target->where = run->where;
	target->at = node->value_at;
}

void *hook_proxy_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_route *route = parent;

	route->has_proxy = true;
	route->proxy.config.total_timeout_ms = UINT32_MAX;
	return &route->proxy;
}

void hook_proxy_to(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_target_note(run, node, &((struct spec_proxy *)target)->to);
}

void hook_proxy_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_proxy *proxy = target;

	if (!proxy->to.where)
		schema_error(run, node->key_at,
			     "\"proxy\" has no \"to\": name an upstream, or its servers");
}

void hook_proxy_host(struct schema_run *run, const struct ucl_node *node, void *target)
{
	hook_text(run, node, target);
	if (memchr(node->value.p, ' ', node->value.len) ||
	    (memchr(node->value.p, '$', node->value.len) && !str_eq(node->value, STR("$server"))))
		schema_wrong(run, node, "host", "expected a host, or $server");
}

void hook_proxy_path(struct schema_run *run, const struct ucl_node *node, void *target)
{
	hook_text(run, node, target);
	if (!str_starts(node->value, STR("/")) || memchr(node->value.p, ' ', node->value.len) ||
	    memchr(node->value.p, '?', node->value.len))
		schema_wrong(run, node, schema_show(node->key).text,
			     "expected a path that begins with \"/\"");
}

/* Fields that the connection to the server has for itself, and those that have a key of their own. */
static bool is_of_the_hop(enum http_name id)
{
	static const enum http_name theirs[] = {
		HTTP_CONNECTION, HTTP_CONTENT_LENGTH,    HTTP_EXPECT,  HTTP_HOST, HTTP_KEEP_ALIVE,
		HTTP_TRAILER,    HTTP_TRANSFER_ENCODING, HTTP_UPGRADE,
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(theirs); i++)
		if (theirs[i] == id)
			return true;
	return false;
}

static bool check_name(struct schema_run *run, struct str name, struct ucl_pos at, const char *key)
{
	enum http_name id = http_name_find(name);

	if (!http_field_name_valid(name)) {
		schema_error(run, at, "\"%s\"%s is not the name of a field", schema_show(name).text,
			     run->where);
		return false;
	}
	if (!is_of_the_hop(id))
		return true;
	schema_error(run, at, "\"%s\" in %s: %s", schema_show(name).text, key,
		     id == HTTP_HOST ? "say it with host" : "the server writes this field itself");
	return false;
}

static void check_variables(struct schema_run *run, const struct ucl_node *node)
{
	static const struct str known[] = {STR("$client"), STR("$host"), STR("$scheme"),
					   STR("$path"), STR("$server")};

	for (struct str rest = node->value; rest.len > 0; rest = str_skip(rest, 1)) {
		bool found = rest.p[0] != '$';

		for (unsigned i = 0; i < SL_ARRAY_SIZE(known) && !found; i++)
			found = str_starts(rest, known[i]);
		if (found)
			continue;
		schema_wrong(run, node, schema_show(node->key).text,
			     "expected $client, $host, $scheme, $path or $server behind a $");
		return;
	}
}

static void add_field(struct schema_run *run, struct spec_list *list, const struct ucl_node *node,
		      const char *key)
{
	struct spec_field *field;

	hook_text(run, node, NULL);
	check_variables(run, node);
	if (!check_name(run, node->key, node->key_at, key))
		return;
	if (list->count == PROXY_FIELDS_MAX) {
		schema_error(run, node->key_at, "more than %d fields in %s", PROXY_FIELDS_MAX, key);
		return;
	}
	field = arena_zalloc(run->arena, sizeof(*field));
	if (!field)
		return;
	field->field.id = http_name_find(node->key);
	field->field.name = arena_dup(run->arena, node->key);
	field->field.value = arena_dup(run->arena, str_trim(node->value));
	spec_list_add(list, field);
}

void hook_proxy_set(struct schema_run *run, const struct ucl_node *node, void *target)
{
	add_field(run, &((struct spec_proxy *)target)->set, node, "set_headers");
}

void hook_proxy_response_set(struct schema_run *run, const struct ucl_node *node, void *target)
{
	add_field(run, &((struct spec_proxy *)target)->response_set, node, "response_set_headers");
}

void hook_proxy_remove(struct schema_run *run, const struct ucl_node *node, void *target)
{
	check_name(run, node->value, node->value_at, "the list");
}

void *hook_fallback_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_proxy *proxy = parent;

	proxy->fallback.at = node->key_at;
	return proxy;
}

void hook_fallback_to(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_target_note(run, node, &((struct spec_proxy *)target)->fallback.to);
}

void hook_fallback_status(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_proxy *proxy = target;

	if (proxy->config.fallback_respond.status != 0 &&
	    proxy->config.fallback_respond.status < 200)
		schema_wrong(run, node, "status", "expected 200 to 599, or 0");
}

void hook_fallback_body(struct schema_run *run, const struct ucl_node *node, void *target)
{
	((struct spec_proxy *)target)->fallback.has_body = true;
}

/* What a file holds, and its type where none is given. */
static void read_fallback(struct schema_run *run, struct spec_proxy *proxy)
{
	struct respond_config *respond = &proxy->config.fallback_respond;

	respond->body = config_read_page(run, proxy->fallback.at, proxy->fallback.file);
	if (respond->type.len == 0)
		respond->type = spec_type_of(run, proxy->fallback.file);
}

void hook_fallback_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_proxy *proxy = target;
	unsigned kinds = (unsigned)(proxy->fallback.to.where != NULL) +
			 (proxy->fallback.file.len > 0) + proxy->fallback.has_body;

	if (kinds != 1)
		schema_error(run, proxy->fallback.at,
			     "\"fallback\" takes one of to, file and body, not %u", kinds);
	else if (proxy->fallback.to.where)
		proxy->config.fallback = PROXY_FALLBACK_GROUP;
	else
		proxy->config.fallback =
			proxy->fallback.has_body ? PROXY_FALLBACK_RESPOND : PROXY_FALLBACK_FILE;
	if (proxy->config.fallback == PROXY_FALLBACK_FILE)
		read_fallback(run, proxy);
}

void *hook_mirror_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_proxy *proxy = parent;

	proxy->mirror.at = node->key_at;
	return proxy;
}

void hook_mirror_to(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_target_note(run, node, &((struct spec_proxy *)target)->mirror.to);
}

void hook_mirror_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_proxy *proxy = target;

	if (!proxy->mirror.to.where)
		schema_error(run, proxy->mirror.at,
			     "\"mirror\" has no \"to\": name an upstream, or its servers");
}
