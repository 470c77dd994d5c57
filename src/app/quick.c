// SPDX-License-Identifier: Apache-2.0
#include "app/quick.h"

#include <errno.h>

#include "app/config_spec.h"
#include "app/schema_hooks.h"

#define QUICK_LISTEN ":8080"

static const struct ucl_pos nowhere = {0, 0};

/* All servers, as they were given, between commas. */
static struct str quick_name(struct schema_run *run, const struct app_quick *quick)
{
	struct str name = STR("");

	for (unsigned i = 0; i < quick->to_count; i++)
		name = arena_printf(run->arena, "%.*s%s%s", STR_ARG(name), i ? "," : "",
				    quick->to[i]);
	return name;
}

/* The group with what the options say of it: made now, and found again by its name. */
static int quick_group(struct schema_run *run, struct spec *spec, const struct app_quick *quick,
		       struct spec_target *target)
{
	struct str *name = arena_zalloc(run->arena, sizeof(*name));
	struct spec_upstream *group;
	struct upstream_config *config;

	if (!name)
		return -ENOMEM;
	*name = quick_name(run, quick);
	*target = (struct spec_target){.where = "", .to = name, .to_count = 1, .name = *name};
	group = spec_upstream_new(run, spec, *name, nowhere);
	if (!group)
		return -ENOMEM;
	config = &group->config;
	group->anonymous = true;
	for (unsigned i = 0; i < quick->to_count; i++) {
		struct spec_server *server = spec_server_new(run, str_from(quick->to[i]), nowhere);

		if (server)
			spec_list_add(&group->servers, server);
	}
	if (quick->balance >= 0)
		config->balance = (enum upstream_balance)quick->balance;
	if (quick->health) {
		config->health.on = true;
		config->health.http = *quick->health == '/';
		config->health.path = arena_dup(run->arena, str_from(quick->health));
	}
	return 0;
}

static int quick_proxy(struct schema_run *run, struct spec *spec, const struct app_quick *quick)
{
	struct spec_site *site = spec_site_new(run, spec, STR("*"), nowhere);
	struct spec_route *route = NULL;

	if (site) {
		spec_listen_new(run, &site->listens, STR(QUICK_LISTEN), nowhere);
		route = spec_route_new(run, site, STR("/"), nowhere);
	}
	if (!route)
		return -ENOMEM;
	route->has_proxy = true;
	route->proxy.config.total_timeout_ms = UINT32_MAX;
	/* The servers say how much they take. */
	route->route.body_max = INT64_MAX;
	if (quick->host)
		route->proxy.config.host = arena_dup(run->arena, str_from(quick->host));
	return quick_group(run, spec, quick, &route->proxy.to);
}

static int quick_service(struct schema_run *run, struct spec *spec, const struct app_quick *quick)
{
	bool is_udp = quick->kind == APP_QUICK_UDP;
	struct spec_service *service =
		spec_service_new(run, spec, is_udp ? STR("udp") : STR("tcp"), is_udp, nowhere);

	if (!service)
		return -ENOMEM;
	schema_defaults(run, is_udp ? &block_udp : &block_tcp, service);
	service->send_proxy = (uint8_t)quick->send_proxy;
	return quick_group(run, spec, quick, &service->to);
}

int app_config_quick(const struct app_quick *quick, const struct app_overrides *overrides,
		     struct app_config **made, struct app_errors *errors)
{
	struct schema_run run;
	struct spec spec;
	char why[192];
	int err;

	config_begin(&run, &spec, "sluice", overrides, errors);
	schema_defaults(&run, &schema_top, &spec);
	if (quick->admin &&
	    net_addr_parse(str_from(quick->admin), &spec.app.admin, why, sizeof(why)) < 0)
		schema_error(&run, nowhere, "--admin %s: %s", quick->admin, why);
	err = quick->kind == APP_QUICK_PROXY ? quick_proxy(&run, &spec, quick)
					     : quick_service(&run, &spec, quick);
	if (err < 0) {
		arena_free(&spec.app.arena);
		return err;
	}
	return config_finish(&run, &spec, made);
}
