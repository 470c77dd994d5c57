/* internal: a configuration between its text and the running form: groups of servers and who passes requests to them. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_CONFIG_PROXY_H
#define SLUICE_APP_CONFIG_PROXY_H

#include "app/schema.h"
#include "base/list.h"
#include "handler/proxy.h"
#include "upstream/config.h"

/* Items in the order of the file; each begins with a pointer to the next. */
struct spec_list {
	void *first, *last;
	unsigned count;
};
void spec_list_add(struct spec_list *, void *item);

struct spec_server {
	struct spec_server *next;
	struct ucl_pos at;
	struct upstream_server_config config;
};

struct spec_upstream {
	struct spec_upstream *next;
	struct ucl_pos at;
	struct upstream_config config;
	struct spec_list servers; /* struct spec_server */
	struct spec_list uses;    /* struct app_use */
	bool balance_given;
	bool anonymous; /* made of a list of servers where a name could stand */
};
/* Servers of a group without a name. */
#define SPEC_ANONYMOUS_MAX 64
#define SPEC_NAME_BYTES_MAX 64

/* Where a group is named, or its servers are: found when the whole file is read. */
struct spec_target {
	struct ucl_pos at;
	const char *where;    /* for messages; NULL: not given */
	const struct str *to; /* one name, or servers */
	unsigned to_count;
	struct str name; /* of the group, when it is made of servers; empty: the list */
	struct spec_upstream *found;
};

struct spec_proxy {
	struct proxy_config config;
	struct spec_target to;
	struct spec_list set, response_set; /* struct spec_field */
	struct {
		struct spec_target to;
		struct str file;
		bool has_body;
		struct ucl_pos at;
	} fallback;
	struct {
		struct spec_target to;
		struct ucl_pos at;
	} mirror;
};

/* A place that names a group, once for each item of its list. */
void spec_target_note(struct schema_run *, const struct ucl_node *, struct spec_target *);
/* A server of one text; what is wrong with it is reported. NULL without memory. */
struct spec_server *spec_server_new(struct schema_run *, struct str text, struct ucl_pos);
/* Letters, digits, '.', '_' and '-', at most SPEC_NAME_BYTES_MAX. */
bool spec_name_valid(struct str);
/* One of the words, or, for one that ends in ':', that and a *name: its value, or -EINVAL. */
int spec_key_parse(struct str text, const struct schema_word *words, struct str *name);

#endif
