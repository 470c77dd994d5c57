/* internal: a configuration between its text and the running form: what the table of keys stores into. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_CONFIG_SPEC_H
#define SLUICE_APP_CONFIG_SPEC_H

#include "app/config.h"
#include "app/config_guard.h"
#include "app/config_proxy.h"
#include "app/schema.h"
#include "handler/files.h"
#include "handler/redirect.h"
#include "handler/respond.h"
#include "handler/status.h"

/* All of this lives in the arena of the configuration; what handlers are given are parts of it. */

struct spec_listen {
	struct spec_listen *next;
	struct ucl_pos at;
	struct str text;
	struct net_addr addr;
	struct net_options options;
	uint8_t proxy_protocol; /* enum proxy_version */
	const struct str *trusted;
	unsigned trusted_count;
	struct ucl_pos proxy_at;
	bool detailed; /* options were given: no other place may give others for this address */
};

struct spec_field {
	struct spec_field *next;
	struct http_field field;
};

struct spec_page {
	struct spec_page *next;
	struct http_error_page page;
};

struct spec_pair {
	struct spec_pair *next;
	struct str key, value;
};

struct spec_files {
	struct files_config config;
	struct spec_list types, cache_control; /* struct spec_pair */
};

struct spec_route {
	struct spec_route *next;
	struct ucl_pos at;
	struct http_route route;
	struct spec_list headers; /* struct spec_field */
	struct spec_list pages;   /* struct spec_page */
	/* The handlers that were given; a route has exactly one. */
	bool has_files, has_respond, has_redirect, has_status, has_proxy;
	bool files_block;    /* files { }: then its keys belong in there */
	struct str lent_key; /* the first key of files that stands beside it */
	struct ucl_pos lent_at;
	struct spec_files files;
	struct respond_config respond;
	struct redirect_config redirect;
	struct spec_proxy proxy;
	struct spec_guards guards;
};
/* body_max of a route that says none. */
#define SPEC_BODY_MAX_INHERITED UINT64_MAX

/* How sites and services begin. */
struct spec_listener {
	void *next;
	struct spec_list listens; /* struct spec_listen */
};

struct spec_site {
	struct spec_site *next;
	struct spec_list listens; /* struct spec_listen */
	struct ucl_pos at;
	struct str name;
	const struct str *names; /* more of them */
	unsigned name_count;
	struct spec_list routes; /* struct spec_route */
	struct spec_guards guards;
};

struct spec {
	struct app_config app; /* with the arena of everything */
	struct http_limits limits;
	bool strict_hosts;
	const struct str *trusted;
	unsigned trusted_count;
	struct spec_list sites;     /* struct spec_site */
	struct spec_list upstreams; /* struct spec_upstream */
	struct spec_list guards;    /* struct spec_limit */
	struct spec_list lists;     /* struct spec_access */
	struct spec_list services;  /* struct spec_service */
	struct spec_load load;
};

/* As they are before anything is said about them; NULL without memory. */
struct spec_site *spec_site_new(struct schema_run *, struct spec *, struct str name,
				struct ucl_pos);
struct spec_route *spec_route_new(struct schema_run *, struct spec_site *, struct str path,
				  struct ucl_pos);
struct spec_upstream *spec_upstream_new(struct schema_run *, struct spec *, struct str name,
					struct ucl_pos);
struct spec_service *spec_service_new(struct schema_run *, struct spec *, struct str name,
				      bool is_udp, struct ucl_pos);
/* Adds the address; what is wrong with it is reported. */
struct spec_listen *spec_listen_new(struct schema_run *, struct spec_list *, struct str text,
				    struct ucl_pos);

/* An empty specification with an arena. */
void config_begin(struct schema_run *, struct spec *, const char *file,
		  const struct app_overrides *, struct app_errors *);
/* config_override and config_build; frees the arena when they fail. */
int config_finish(struct schema_run *, struct spec *, struct app_config **made);
/* What the command line says, in place of what the file said. */
void config_override(struct schema_run *, struct spec *, const struct app_overrides *);
/*
 * Makes the running form, which then owns the arena of the specification. -EINVAL: something does not fit
 * together, or an error was reported before; -ENOMEM. On failure the arena is still the caller's.
 */
int config_build(struct schema_run *, struct spec *, struct app_config **made);

/* The content type of a file, by its name. */
struct str spec_type_of(struct schema_run *, struct str file);
/* What the machine must have; each reports what it misses, with the cure, and does nothing offline. */
void config_check_folder(struct schema_run *, struct ucl_pos, struct str folder);
/* The folder that will hold a file that is written. */
void config_check_place(struct schema_run *, struct ucl_pos, struct str file);
void config_check_user(struct schema_run *, struct ucl_pos, struct str user);
void config_check_group(struct schema_run *, struct ucl_pos, struct str group);
/* The content of an error page, at most CONFIG_PAGE_BYTES_MAX; empty when it failed. */
#define CONFIG_PAGE_BYTES_MAX (256u << 10)
struct str config_read_page(struct schema_run *, struct ucl_pos, struct str file);

#endif
