// SPDX-License-Identifier: Apache-2.0
// What keys and blocks of tcp and udp do beyond storing.
#include "app/config_spec.h"
#include "app/schema_hooks.h"

struct spec_service *spec_service_new(struct schema_run *run, struct spec *spec, struct str name,
				      bool is_udp, struct ucl_pos at)
{
	struct spec_service *service = arena_zalloc(run->arena, sizeof(*service));

	if (!service) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	service->at = at;
	service->is_udp = is_udp;
	service->tcp.name = service->udp.name = arena_dup(run->arena, name);
	spec_list_add(&spec->services, service);
	return service;
}

static void *begin_service(struct schema_run *run, const struct ucl_node *node, struct spec *spec,
			   bool is_udp)
{
	const char *kind = is_udp ? "udp" : "tcp";

	if (!spec_name_valid(node->label))
		schema_error(run, node->value_at,
			     "%s \"%s\": expected a name of at most %d letters, digits and . _ -",
			     kind, schema_show(node->label).text, SPEC_NAME_BYTES_MAX);
	for (const struct spec_service *s = spec->services.first; s; s = s->next)
		if (str_eq(s->tcp.name, node->label) && s->is_udp == is_udp)
			schema_error(run, node->key_at, "%s \"%s\" is given already (line %u)",
				     kind, schema_show(node->label).text, s->at.line);
	return spec_service_new(run, spec, node->label, is_udp, node->key_at);
}

void *hook_tcp_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	return begin_service(run, node, parent, false);
}

void *hook_udp_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	return begin_service(run, node, parent, true);
}

void hook_service_listen(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_listen_new(run, &((struct spec_service *)target)->listens, node->value,
			node->value_at);
}

void hook_service_proxy(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_target_note(run, node, &((struct spec_service *)target)->to);
}

void hook_service_mirror(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_target_note(run, node, &((struct spec_service *)target)->mirror);
}

void hook_service_limit(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_names_note(run, node, &((struct spec_service *)target)->limit);
}

void hook_service_access(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_names_note(run, node, &((struct spec_service *)target)->access);
}

void hook_service_send_proxy(struct schema_run *run, const struct ucl_node *node, void *target)
{
	((struct spec_service *)target)->send_proxy_at = node->key_at;
}

void hook_service_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_service *service = target;
	const char *kind = service->is_udp ? "udp" : "tcp";
	const char *name = service->tcp.name.p;

	if (service->listens.count == 0 && !schema_member(node, "listen"))
		schema_error(run, service->at, "%s \"%s\" listens nowhere: add listen = \":5432\";",
			     kind, name);
	if (!service->to.where && service->routes.count == 0 && !schema_member(node, "proxy") &&
	    !schema_member(node, "sni"))
		schema_error(run, service->at,
			     "%s \"%s\" goes nowhere: add proxy = \"10.0.0.1:5432\";", kind, name);
}

static struct spec_sni *new_route(struct schema_run *run, struct spec_service *service,
				  struct ucl_pos at)
{
	struct spec_sni *route = arena_zalloc(run->arena, sizeof(*route));

	if (!route) {
		schema_error(run, at, "out of memory");
		return NULL;
	}
	route->at = at;
	spec_list_add(&service->routes, route);
	return route;
}

void *hook_sni_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	return new_route(run, parent, node->key_at);
}

static void check_sni(struct schema_run *run, struct str name, struct ucl_pos at)
{
	struct str host = str_skip(name, str_starts(name, STR("*.")) ? 2 : 0);

	for (size_t i = 0; i < host.len; i++) {
		char c = host.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '.' || c == '-' || c == '_')
			continue;
		host.len = 0;
	}
	if (host.len == 0)
		schema_error(run, at,
			     "\"%s\"%s is not a name of TLS: expected example.com or *.example.com",
			     schema_show(name).text, run->where);
}

void hook_sni_name(struct schema_run *run, const struct ucl_node *node, void *target)
{
	check_sni(run, node->value, node->value_at);
}

void hook_sni_proxy(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_target_note(run, node, &((struct spec_sni *)target)->to);
}

void hook_sni_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_sni *route = target;

	if (!route->to.where)
		schema_error(run, route->at, "route \"%s\" has no \"proxy\": say where it goes",
			     schema_show(node->label).text);
	if (route->name_count == 0 && route->alpn_count == 0)
		schema_error(
			run, route->at,
			"route \"%s\" has neither \"sni\" nor \"alpn\": it would take everything",
			schema_show(node->label).text);
}

void hook_sni_pair(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_sni *route = new_route(run, target, node->key_at);
	struct str *words = arena_zalloc(run->arena, 2 * sizeof(*words));

	check_sni(run, node->key, node->key_at);
	if (!route || !words)
		return;
	words[0] = arena_dup(run->arena, node->key);
	words[1] = arena_dup(run->arena, node->value);
	route->names = words;
	route->name_count = 1;
	route->to.to = words + 1;
	route->to.to_count = 1;
	spec_target_note(run, node, &route->to);
}
