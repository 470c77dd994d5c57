// SPDX-License-Identifier: Apache-2.0
// What keys and blocks of limits, access lists and load do beyond storing.
#include <stdio.h>

#include "app/config_spec.h"
#include "app/schema_hooks.h"
#include "base/clock.h"

void spec_names_note(struct schema_run *run, const struct ucl_node *node, struct spec_names *names)
{
	if (names->where)
		return;
	names->where = run->where;
	names->at = node->value_at;
}

void *hook_limit_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec *spec = parent;
	struct spec_limit *limit = arena_zalloc(run->arena, sizeof(*limit));

	if (!limit) {
		schema_error(run, node->key_at, "out of memory");
		return NULL;
	}
	if (!spec_name_valid(node->label))
		schema_error(
			run, node->value_at,
			"limit \"%s\": expected a name of at most %d letters, digits and . _ -",
			schema_show(node->label).text, SPEC_NAME_BYTES_MAX);
	for (const struct spec_limit *l = spec->guards.first; l; l = l->next)
		if (str_eq(l->config.name, node->label))
			schema_error(run, node->key_at, "limit \"%s\" is given already (line %u)",
				     schema_show(node->label).text, l->at.line);
	limit->at = node->key_at;
	limit->config.name = arena_dup(run->arena, node->label);
	limit->config.key = GUARD_KEY_ADDRESS;
	spec_list_add(&spec->guards, limit);
	return limit;
}

void hook_limit_key(struct schema_run *run, const struct ucl_node *node, void *target)
{
	static const struct schema_word words[] = {
		{"client_ip", GUARD_KEY_ADDRESS}, {"all", GUARD_KEY_CONSTANT},
		{"route", GUARD_KEY_ROUTE},       {"header:", GUARD_KEY_HEADER},
		{"cookie:", GUARD_KEY_COOKIE},    {NULL, 0},
	};
	struct guard_limit_config *config = &((struct spec_limit *)target)->config;
	struct str name;
	int key = spec_key_parse(node->value, words, &name);

	if (key < 0) {
		schema_wrong(run, node, "key",
			     "expected client_ip, header:NAME, cookie:NAME, route or all");
		return;
	}
	config->key = (enum guard_key)key;
	config->key_name = arena_dup(run->arena, name);
}

/* "50/s", "100/min", "10/10s". */
void hook_limit_rate(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct guard_limit_config *config = &((struct spec_limit *)target)->config;
	ptrdiff_t slash = str_find_byte(node->value, '/');
	struct str period = slash < 0 ? STR("") : str_skip(node->value, (size_t)slash + 1);
	uint64_t count, ms = 0;
	char text[32], why[160];
	int n = snprintf(text, sizeof(text), "%s%.*s",
			 period.len > 0 && period.p[0] >= '0' && period.p[0] <= '9' ? "" : "1",
			 STR_ARG(period));

	if (slash < 0 || n >= (int)sizeof(text) ||
	    str_to_u64(str_head(node->value, (size_t)slash), UINT32_MAX, &count) < 0 ||
	    count == 0 || schema_duration(str_from(text), &ms, why, sizeof(why)) < 0 || ms == 0 ||
	    ms > UINT32_MAX) {
		schema_wrong(run, node, "rate", "expected a rate as 50/s, 100/min or 10/10s");
		return;
	}
	config->count = (uint32_t)count;
	config->period_ns = ms * CLOCK_NS_PER_MS;
}

void hook_limit_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct spec_limit *limit = target;
	const struct guard_limit_config *config = &limit->config;

	if (config->count == 0 && config->conns == 0 && config->bytes_per_s == 0 &&
	    !schema_member(node, "rate"))
		schema_error(run, limit->at,
			     "limit \"%s\" limits nothing: give it rate, conns or bandwidth",
			     schema_show(config->name).text);
}

void *hook_access_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	struct spec *spec = parent;
	struct spec_access *access = arena_zalloc(run->arena, sizeof(*access));

	if (!access) {
		schema_error(run, node->key_at, "out of memory");
		return NULL;
	}
	if (!spec_name_valid(node->label))
		schema_error(
			run, node->value_at,
			"access \"%s\": expected a name of at most %d letters, digits and . _ -",
			schema_show(node->label).text, SPEC_NAME_BYTES_MAX);
	for (const struct spec_access *a = spec->lists.first; a; a = a->next)
		if (str_eq(a->config.name, node->label))
			schema_error(run, node->key_at, "access \"%s\" is given already (line %u)",
				     schema_show(node->label).text, a->at.line);
	access->at = node->key_at;
	access->config.name = arena_dup(run->arena, node->label);
	spec_list_add(&spec->lists, access);
	return access;
}

void hook_access_prefix(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct http_cidr cidr;

	if (!str_eq(node->value, STR("all")) && !http_cidr_parse(node->value, &cidr))
		schema_wrong(run, node, "access",
			     "expected an address or a network, as 10.0.0.0/8 or fd00::/8, or all");
}

/* Paths from the folder of the file on. */
static const struct str *find_files(struct schema_run *run, const struct str *files, unsigned count)
{
	struct str *v = arena_zalloc(run->arena, (count + 1) * sizeof(*v));

	for (unsigned i = 0; v && i < count; i++)
		v[i] = schema_path(run, files[i]);
	return v;
}

void hook_access_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct spec_access *access = target;
	struct guard_access_config *config = &access->config;
	bool allows = config->allow_count > 0 || config->allow_file_count > 0;

	if (!allows && config->deny_count == 0 && config->deny_file_count == 0 &&
	    !schema_member(node, "others") && !schema_member(node, "allow"))
		schema_error(run, access->at, "access \"%s\" says nothing: give it allow or deny",
			     schema_show(config->name).text);
	if (!schema_member(node, "others"))
		config->deny_others = allows;
	config->allow_files = find_files(run, config->allow_files, config->allow_file_count);
	config->deny_files = find_files(run, config->deny_files, config->deny_file_count);
}

/* Where a level ends: well below where it begins, so that it does not come and go. */
static uint32_t leave_of(uint32_t enter, uint32_t points)
{
	return points > 0 && enter > 2 * points ? enter - points : enter / 2;
}

static void check_order(struct schema_run *run, const struct ucl_node *node, const char *key,
			struct guard_threshold threshold[2], uint32_t points)
{
	const struct ucl_node *at = schema_member(node, key);

	threshold[0].leave = leave_of(threshold[0].enter, points);
	threshold[1].leave = leave_of(threshold[1].enter, points);
	if (at && threshold[1].enter > 0 && threshold[1].enter < threshold[0].enter)
		schema_error(run, at->key_at, "\"%s\"%s: critical is below degraded", key,
			     run->where);
}

void hook_load_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	struct guard_load_config *config = &((struct spec_load *)target)->config;

	config->on = true;
	check_order(run, node, "cpu", config->cpu_percent, 10);
	check_order(run, node, "lag", config->lag_ms, 0);
	check_order(run, node, "errors", config->error_percent, 0);
	check_order(run, node, "queue", config->queue, 0);
}

void hook_site_limit(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_names_note(run, node, &((struct spec_site *)target)->guards.limits);
}

void hook_site_access(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_names_note(run, node, &((struct spec_site *)target)->guards.lists);
}

void hook_route_limit(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_names_note(run, node, &((struct spec_route *)target)->guards.limits);
}

void hook_route_access(struct schema_run *run, const struct ucl_node *node, void *target)
{
	spec_names_note(run, node, &((struct spec_route *)target)->guards.lists);
}

void hook_route_load(struct schema_run *run, const struct ucl_node *node, void *target)
{
	((struct spec_route *)target)->guards.load_at = node->key_at;
}

void *hook_adaptive_begin(struct schema_run *run, const struct ucl_node *node, void *parent)
{
	return &((struct spec_route *)parent)->guards;
}

void hook_adaptive_end(struct schema_run *run, const struct ucl_node *node, void *target)
{
	const struct guards_load *load = &((struct spec_guards *)target)->load;

	if (load->adaptive_min > load->adaptive_max)
		schema_error(run, node->key_at, "\"adaptive\": min is above max");
}
