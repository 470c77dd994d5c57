/* internal: making the running form of a configuration: what its files share. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_CONFIG_BUILD_H
#define SLUICE_APP_CONFIG_BUILD_H

#include "app/config_spec.h"

/* One build. */
struct build {
	struct schema_run *run;
	struct spec *spec;
	struct http_config *http;
	struct ucl_pos listens_at[APP_LISTENS_MAX];
	bool detailed[APP_LISTENS_MAX];
	struct app_origin *origins;
	unsigned routes;
	unsigned load_slots;       /* routes that are guarded by load */
	struct spec_list warnings; /* struct build_warning */
};
#define BUILD_WARNINGS_MAX 100

struct build_warning {
	struct build_warning *next;
	struct str text;
};

/* All of these: 0 or -ENOMEM; what is wrong with the file is reported, and found at the end. */

void build_warn(struct build *, struct ucl_pos, const char *fmt, ...) SL_PRINTF(3, 4);
/* The warnings as the configuration has them. */
int build_warnings(struct build *);

/*
 * The group that is meant, made when it is a list of servers; `place` gets its group when it is joined. NULL: reported,
 * or without memory.
 */
struct spec_upstream *build_target(struct build *, struct spec_target *,
				   struct upstream_group **place);
/* The groups that are used; after everything that may name one. */
int build_groups(struct build *);
/* The handler of a route with `proxy`. */
int build_proxy(struct build *, struct spec_route *);

/* The steps of a route: access, load, limits, of its own or of its site. */
int build_steps(struct build *, const struct spec_site *, struct spec_route *);
/* The one limit and the one list of a service: the places get them, now or when they are joined. */
int build_service_guards(struct build *, const struct spec_names *limits,
			 struct guard_limiter **limiter, const struct spec_names *lists,
			 struct guard_access **access);
/* After everything that may name one. */
void build_guards(struct build *);
int build_services(struct build *);

#endif
