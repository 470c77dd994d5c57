// SPDX-License-Identifier: Apache-2.0
// What keys and blocks of groups of servers do beyond storing.
#include <errno.h>

#include "app/config_spec.h"
#include "app/schema_hooks.h"

bool spec_name_valid(struct str name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '.' || c == '_' || c == '-'))
			return false;
	}
	return name.len > 0 && name.len <= SPEC_NAME_BYTES_MAX;
}

int spec_key_parse(struct str text, const struct schema_word *words, struct str *name)
{
	*name = STR("");
	for (const struct schema_word *w = words; w->name; w++) {
		struct str word = str_from(w->name);

		if (!str_ends(word, STR(":"))) {
			if (str_eq(text, word))
				return (int)w->value;
			continue;
		}
		if (!str_starts(text, word))
			continue;
		*name = str_skip(text, word.len);
		return http_field_name_valid(*name) ? (int)w->value : -EINVAL;
	}
	return -EINVAL;
}

void *hook_upstream_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec *spec = parent;

	if (!spec_name_valid(node->label))
		schema_error(
			run, node->value_at,
			"upstream \"%s\": expected a name of at most %d letters, digits and . _ -",
			schema_show(node->label).text, SPEC_NAME_BYTES_MAX);
	for (const struct spec_upstream *u = spec->upstreams.first; u; u = u->next)
		if (str_eq(u->config.name, node->label))
			schema_error(run, node->key_at,
				     "upstream \"%s\" is given already (line %u)",
				     schema_show(node->label).text, u->at.line);
	return spec_upstream_new(run, spec, node->label, node->key_at);
}

static void add_server(struct schema_run *run, struct spec_upstream *upstream, struct str text,
		       struct ucl_pos at, struct spec_server **made)
{
	struct spec_server *server = spec_server_new(run, text, at);

	*made = server;
	if (!server)
		return;
	for (const struct spec_server *s = upstream->servers.first; s; s = s->next)
		if (str_eq(s->config.text, text)) {
			schema_error(run, at, "server \"%s\"%s is given already (line %u)",
				     schema_show(text).text, run->where, s->at.line);
			return;
		}
	if (upstream->servers.count == UPSTREAM_SERVERS_MAX)
		schema_error(run, at, "more than %d servers%s", UPSTREAM_SERVERS_MAX, run->where);
	else
		spec_list_add(&upstream->servers, server);
}

void hook_servers(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_server *made;

	add_server(run, target, node->value, node->value_at, &made);
}

void *hook_server_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec_server *made;

	add_server(run, parent, node->label, node->value_at, &made);
	return made;
}

void hook_upstream_balance(struct schema_run *run, const struct ucl_node *node, void *target)
{
	((struct spec_upstream *)target)->balance_given = true;
}

void hook_upstream_key(struct schema_run *run, const struct ucl_node *node, void *target)
{
	static const struct schema_word words[] = {
		{"client_ip", UPSTREAM_KEY_ADDRESS},
		{"uri", UPSTREAM_KEY_URI},
		{"header:", UPSTREAM_KEY_HEADER},
		{"cookie:", UPSTREAM_KEY_COOKIE},
		{NULL, 0},
	};
	struct upstream_config *config = &((struct spec_upstream *)target)->config;
	struct str name;
	int key = spec_key_parse(node->value, words, &name);

	if (key < 0) {
		schema_wrong(run, node, "key",
			     "expected client_ip, uri, header:NAME or cookie:NAME");
		return;
	}
	config->key = (enum upstream_key)key;
	config->key_name = arena_dup(run->arena, name);
}

void hook_upstream_sticky(struct schema_run *run, const struct ucl_node *node, void *target)
{
	if (!http_field_name_valid(node->value))
		schema_wrong(run, node, "sticky", "expected the name of a cookie");
}

void hook_upstream_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_upstream *upstream = target;
	struct upstream_config *config = &upstream->config;
	bool weighted = false, primary = false;

	for (const struct spec_server *s = upstream->servers.first; s; s = s->next) {
		weighted = weighted || s->config.weight != 1;
		primary = primary || !s->config.backup;
	}
	if (weighted && !upstream->balance_given)
		config->balance = UPSTREAM_WEIGHTED;
	if (upstream->servers.count == 0 && !schema_member(node, "servers") &&
	    !schema_member(node, "server"))
		schema_error(run, upstream->at,
			     "upstream \"%s\" has no server: add servers = [\":3000\"];",
			     schema_show(config->name).text);
	else if (upstream->servers.count > 0 && !primary)
		schema_error(run, upstream->at,
			     "upstream \"%s\" has only backup servers: one must not be",
			     schema_show(config->name).text);
}

void hook_health_path(struct schema_run *run, const struct ucl_node *node, void *target)
{
	hook_text(run, node, target);
	if (node->value.len > 0 && !str_starts(node->value, STR("/")))
		schema_wrong(run, node, "path", "expected a path that begins with \"/\"");
}

void hook_health_status(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct upstream_health *health = &((struct spec_upstream *)target)->config.health;
	ptrdiff_t dash = str_find_byte(node->value, '-');
	struct str first = dash < 0 ? node->value : str_head(node->value, (size_t)dash);
	struct str last = dash < 0 ? node->value : str_skip(node->value, (size_t)dash + 1);
	uint64_t min, max;

	if (str_to_u64(first, 599, &min) < 0 || str_to_u64(last, 599, &max) < 0 || min < 100 ||
	    max < min) {
		schema_wrong(run, node, "status", "expected a status as 200, or two as 200-399");
		return;
	}
	health->status_min = (uint16_t)min;
	health->status_max = (uint16_t)max;
}

void hook_health_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct upstream_health *health = &((struct spec_upstream *)target)->config.health;

	health->on = true;
	health->http = health->path.len > 0;
}

void hook_breaker_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct upstream_breaker_config *breaker = target;

	if (breaker->error_percent == 0 && breaker->consecutive == 0 && breaker->slow_ms == 0)
		breaker->error_percent = 50;
}
