// SPDX-License-Identifier: Apache-2.0
// Relays: from tcp and udp blocks to what workers make services of.
#include <errno.h>
#include <stdio.h>

#include "app/config_build.h"

/* Anonymous groups of a service are named by it, as what they send is its own: no name that is given holds a slash. */
static const struct upstream_config *service_target(struct build *b,
						    const struct spec_service *service,
						    struct spec_target *target, const char *what,
						    struct upstream_group **place)
{
	struct spec_upstream *found;

	if (!target->name.len)
		target->name =
			arena_printf(b->run->arena, "%s/%s%s%s", service->is_udp ? "udp" : "tcp",
				     service->tcp.name.p, *what ? "/" : "", what);
	found = build_target(b, target, place);
	if (found && target == &service->to && service->send_proxy_at.line > 0 && !found->anonymous)
		schema_error(b->run, service->send_proxy_at,
			     "\"send_proxy\" belongs into upstream \"%s\"", found->config.name.p);
	else if (found && found->anonymous)
		found->config.send_proxy = service->send_proxy;
	return found ? &found->config : NULL;
}

static unsigned routes_of(const struct spec_sni *spec)
{
	return SL_MAX(spec->name_count, 1) * SL_MAX(spec->alpn_count, 1);
}

/* One route for each name and protocol. */
static int add_routes(struct build *b, const struct spec_service *service, struct spec_sni *spec,
		      struct tcp_route *routes, unsigned *count)
{
	unsigned alpns = spec->alpn_count ? spec->alpn_count : 1;

	for (unsigned i = 0; i < routes_of(spec); i++) {
		struct tcp_route *route = &routes[*count];
		char what[16];

		if (*count == TCP_ROUTES_MAX) {
			schema_error(b->run, spec->at, "more than %d names and protocols in \"%s\"",
				     TCP_ROUTES_MAX, service->tcp.name.p);
			return -EINVAL;
		}
		/* Not the line: several may stand on one, and each has servers of its own. */
		snprintf(what, sizeof(what), "%u", *count + 1);
		if (spec->name_count)
			route->sni = spec->names[i / alpns];
		if (spec->alpn_count)
			route->alpn = spec->alpns[i % alpns];
		route->upstream = service_target(b, service, &spec->to, what, &route->group);
		(*count)++;
	}
	return 0;
}

static int build_tcp(struct build *b, struct spec_service *service)
{
	struct tcp_config *tcp = &service->tcp;
	struct tcp_route *routes;
	unsigned count = 0;

	for (const struct spec_sni *s = service->routes.first; s; s = s->next)
		count += routes_of(s);
	routes = arena_zalloc(b->run->arena, (SL_MIN(count, TCP_ROUTES_MAX) + 1) * sizeof(*routes));
	if (!routes)
		return -ENOMEM;
	count = 0;
	for (struct spec_sni *s = service->routes.first; s; s = s->next)
		if (add_routes(b, service, s, routes, &count) < 0)
			break;
	tcp->routes = routes;
	tcp->route_count = count;
	if (service->to.where)
		tcp->upstream = service_target(b, service, &service->to, "", &tcp->group);
	if (service->mirror.where)
		tcp->mirror =
			service_target(b, service, &service->mirror, "mirror", &tcp->mirror_group);
	return build_service_guards(b, &service->limit, &tcp->limiter, &service->access,
				    &tcp->access);
}

static int build_udp(struct build *b, struct spec_service *service)
{
	struct udp_config *udp = &service->udp;

	udp->upstream = service_target(b, service, &service->to, "", &udp->group);
	return build_service_guards(b, &service->limit, &udp->limiter, &service->access,
				    &udp->access);
}

int build_services(struct build *b)
{
	struct app_parts *parts = &b->spec->app.parts;
	int err = 0;

	parts->services = arena_zalloc(b->run->arena,
				       (b->spec->services.count + 1) * sizeof(*parts->services));
	if (!parts->services)
		return -ENOMEM;
	for (struct spec_service *s = b->spec->services.first; s && err == 0; s = s->next) {
		err = s->is_udp ? build_udp(b, s) : build_tcp(b, s);
		parts->services[parts->service_count++] = (struct app_service_config){
			.name = s->tcp.name,
			.tcp = s->is_udp ? NULL : &s->tcp,
			.udp = s->is_udp ? &s->udp : NULL,
		};
	}
	return err;
}
