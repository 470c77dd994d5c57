// SPDX-License-Identifier: Apache-2.0
// What keys and blocks of the top and of sites do beyond storing. Those of routes are in schema_route.c.
#include "app/schema_hooks.h"

#include "app/config_spec.h"

void hook_text(struct schema_run *run, const struct ucl_node *node, void *target)
{
	for (size_t i = 0; i < node->value.len; i++) {
		unsigned char c = (unsigned char)node->value.p[i];

		if ((c >= 0x20 && c != 0x7f) || c == '\t')
			continue;
		schema_wrong(run, node, schema_show(node->key).text,
			     "it would break a field of a response");
		return;
	}
}

void hook_log_file(struct schema_run *run, const struct ucl_node *node, void *target)
{
	config_check_place(run, node->value_at, ((struct app_log *)target)->file);
}

void hook_access_file(struct schema_run *run, const struct ucl_node *node, void *target)
{
	config_check_place(run, node->value_at, ((struct app_access_log *)target)->file);
}

void hook_access_log_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	if (!schema_member(node, "format"))
		((struct app_access_log *)target)->format = APP_ACCESS_COMBINED;
}

void *hook_admin_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	return &((struct spec *)parent)->app;
}

void hook_admin_listen(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct app_config *app = target;
	char text[NET_ADDR_TEXT];

	if (app->admin.len == 0)
		return;
	net_addr_print(&app->admin, text);
	/* Anybody on the machine can open an abstract socket, and nobody but a user of this one a path. */
	if (!str_starts(str_from(text), STR("unix:/"))) {
		schema_wrong(
			run, node, "listen",
			"expected a Unix socket with an absolute path, as unix:/run/sluice.sock");
		return;
	}
	config_check_place(run, node->value_at, str_skip(str_from(text), 5));
}

void hook_user(struct schema_run *run, const struct ucl_node *node, void *target)
{
	config_check_user(run, node->value_at, ((struct spec *)target)->app.user);
}

void hook_group(struct schema_run *run, const struct ucl_node *node, void *target)
{
	config_check_group(run, node->value_at, ((struct spec *)target)->app.group);
}

void hook_pid(struct schema_run *run, const struct ucl_node *node, void *target)
{
	config_check_place(run, node->value_at, ((struct spec *)target)->app.pid_file);
}

void hook_cidr(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct http_cidr cidr;

	if (!http_cidr_parse(node->value, &cidr))
		schema_wrong(run, node, "trusted_proxies",
			     "expected an address or a network, as 10.0.0.0/8 or fd00::/8");
}

void hook_resolver(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec *spec = target;
	struct str text = node->value;
	struct http_cidr bare;
	struct net_addr addr;
	char why[192];
	struct str with_port = arena_printf(run->arena, "%.*s:53", STR_ARG(text));

	if (http_cidr_parse(text, &bare))
		text = with_port;
	if (!str_starts(text, STR("unix:")) && !str_starts(text, STR(":")) &&
	    !str_starts(text, STR("*")) && net_addr_parse(text, &addr, why, sizeof(why)) == 0 &&
	    net_addr_port(&addr) != 0)
		spec->app.resolver =
			arena_printf(run->arena, "%.*s%s%.*s", STR_ARG(spec->app.resolver),
				     spec->app.resolver.len ? "," : "", STR_ARG(text));
	else
		schema_wrong(run, node, "resolver",
			     "expected an address as 127.0.0.1:53 or [::1]:53");
}

void hook_top_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec *spec = target;

	if (spec->sites.count == 0 && spec->services.count == 0 && run->errors->count == 0)
		schema_error(
			run, (struct ucl_pos){0, 0},
			"no site: add site \"*\" { listen = \":8080\"; route \"/\" { files = \".\"; } }");
}

void *hook_site_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	return spec_site_new(run, parent, node->label, node->key_at);
}

void hook_site_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_site *site = target;

	if (site->listens.count == 0 && run->overrides->listen_count == 0 &&
	    !schema_member(node, "listen"))
		schema_error(run, site->at, "site \"%s\" listens nowhere: add listen = \":80\";",
			     schema_show(site->name).text);
	if (site->routes.count == 0 && !schema_member(node, "route"))
		schema_error(run, site->at,
			     "site \"%s\" has no route: add route \"/\" { files = \"...\"; }",
			     schema_show(site->name).text);
}

void hook_listen(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_site *site = target;

	spec_listen_new(run, &site->listens, node->value, node->value_at);
}

void *hook_listen_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	/* A site, a tcp or a udp block: all of them begin with the same. */
	struct spec_listener *owner = parent;
	struct spec_listen *listen =
		spec_listen_new(run, &owner->listens, node->label, node->value_at);

	if (listen)
		listen->detailed = true;
	return listen;
}

void hook_listen_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_listen *listen = target;
	const struct ucl_node *mode = schema_member(node, "mode");

	if (listen->trusted_count > 0 && listen->proxy_protocol == PROXY_NONE)
		schema_error(run, schema_member(node, "trusted")->key_at,
			     "\"trusted\"%s is for proxy_protocol, which is off", run->where);
	if (mode && listen->addr.len > 0 && listen->addr.u.sa.sa_family != AF_UNIX)
		schema_error(run, mode->key_at, "\"mode\"%s is for Unix sockets only", run->where);
}

void hook_listen_proxy(struct schema_run *run, const struct ucl_node *node, void *target)
{
	((struct spec_listen *)target)->proxy_at = node->key_at;
}

void hook_listen_trusted(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct http_cidr cidr;

	if (!http_cidr_parse(node->value, &cidr))
		schema_wrong(run, node, "trusted",
			     "expected an address or a network, as 10.0.0.0/8 or fd00::/8");
}
