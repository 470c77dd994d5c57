/* internal: a configuration between its text and the running form: who may come in, how often, and relays. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_CONFIG_GUARD_H
#define SLUICE_APP_CONFIG_GUARD_H

#include "app/config_proxy.h"
#include "handler/guards.h"
#include "handler/relays.h"

struct spec_limit {
	struct spec_limit *next;
	struct ucl_pos at;
	struct guard_limit_config config;
	bool no_headers;
	struct app_limiter *made; /* NULL until it is used */
};

struct spec_access {
	struct spec_access *next;
	struct ucl_pos at;
	struct guard_access_config config;
	struct app_list *made; /* NULL until it is used */
};

struct spec_load {
	struct guard_load_config config;
	uint8_t refuse_below[3]; /* by enum guard_level */
};

/* Names of limits or access lists, found when the whole file is read. */
struct spec_names {
	struct ucl_pos at;
	const char *where; /* for messages; NULL: not given */
	const struct str *v;
	unsigned count;
};
void spec_names_note(struct schema_run *, const struct ucl_node *, struct spec_names *);

/* What guards a site or a route. */
struct spec_guards {
	struct spec_names limits, lists;
	struct guards_load load; /* of routes */
	struct ucl_pos load_at;  /* line 0: nothing is said of it */
};

struct spec_sni {
	struct spec_sni *next;
	struct ucl_pos at;
	const struct str *names, *alpns;
	unsigned name_count, alpn_count;
	struct spec_target to;
};

/* A tcp or udp block. */
struct spec_service {
	struct spec_service *next;
	struct spec_list listens; /* struct spec_listen; here as in struct spec_listener */
	struct ucl_pos at;
	bool is_udp;
	struct spec_list routes; /* struct spec_sni */
	struct spec_target to, mirror;
	struct spec_names limit, access;
	struct tcp_config tcp;
	struct udp_config udp;
	uint8_t send_proxy;
	struct ucl_pos send_proxy_at;
};

#endif
