// SPDX-License-Identifier: Apache-2.0
// The status of what the workers have together: groups of servers, limits, load and relays. One table for each, for
// all formats.
#include "handler/status_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "observe/metric.h"

/* A column: a number of 4 or 8 bytes. */
struct column {
	const char *name;
	size_t offset, size;
	const char *family; /* of Prometheus, behind that of the table */
	enum metric_kind kind;
	const char *help;
};

#define COLUMN(type, member, family_, kind_, help_)                                               \
	{                                                                                         \
		.name = #member, .offset = offsetof(type, member),                                \
		.size = sizeof(((type *)0)->member), .family = (family_), .kind = METRIC_##kind_, \
		.help = (help_)                                                                   \
	}

#define GROUP(member, family, kind, help) \
	COLUMN(struct upstream_group_status, member, family, kind, help)
static const struct column group_columns[] = {
	GROUP(active, "active", GAUGE, "Requests and connections at servers now."),
	GROUP(queued, "queued", GAUGE, "Requests that wait for a server now."),
	GROUP(requests, "requests_total", COUNTER, "Requests and connections given to servers."),
	GROUP(failures, "failures_total", COUNTER, "Those that failed."),
	GROUP(retries, "retries_total", COUNTER, "Those that were tried again."),
	GROUP(retries_refused, "retries_refused_total", COUNTER,
	      "Retries that the budget did not allow."),
	GROUP(refused, "refused_total", COUNTER, "Refused: no server, no room, or open breaker."),
	GROUP(fallbacks, "fallbacks_total", COUNTER, "Answered by the fallback."),
	GROUP(mirrored, "mirrored_total", COUNTER, "Sent to the mirror, too."),
	GROUP(mirrors_dropped, "mirrors_dropped_total", COUNTER, "Not mirrored for want of room."),
};

#define SERVER(member, family, kind, help) \
	COLUMN(struct upstream_server_status, member, family, kind, help)
static const struct column server_columns[] = {
	SERVER(weight, "weight", GAUGE, "Weight."),
	SERVER(active, "active", GAUGE, "Requests and connections now."),
	SERVER(max_conns, "max_conns", GAUGE, "At most so many; 0: no bound."),
	SERVER(requests, "requests_total", COUNTER, "Requests and connections."),
	SERVER(failures, "failures_total", COUNTER, "Those that failed."),
	SERVER(connects, "connects_total", COUNTER, "Connections opened."),
	SERVER(reused, "reused_total", COUNTER, "Requests on a kept connection."),
	SERVER(checks_failed, "checks_failed_total", COUNTER, "Health checks that failed."),
	SERVER(ejections, "ejections_total", COUNTER, "Times left out for failures."),
	SERVER(bytes_in, "received_bytes_total", COUNTER, "Bytes received from it."),
	SERVER(bytes_out, "sent_bytes_total", COUNTER, "Bytes sent to it."),
};

#define LIMIT(member, family, kind, help) \
	COLUMN(struct guard_limit_status, member, family, kind, help)
static const struct column limit_columns[] = {
	LIMIT(allowed, "allowed_total", COUNTER, "Let through."),
	LIMIT(refused, "refused_total", COUNTER, "Refused."),
	LIMIT(delayed, "delayed_total", COUNTER, "Let through after a wait."),
	LIMIT(would_refuse, "would_refuse_total", COUNTER, "Let through by a dry run."),
	LIMIT(evicted, "evicted_total", COUNTER, "Keys that made room for others."),
	LIMIT(keys, "keys", GAUGE, "Keys that are remembered."),
	LIMIT(keys_max, "keys_max", GAUGE, "At most so many."),
	LIMIT(memory_bytes, "memory_bytes", GAUGE, "Memory of its table."),
};

#define RELAY(member, family, kind, help) COLUMN(struct status_relay, member, family, kind, help)
static const struct column relay_columns[] = {
	RELAY(connections, "connections_total", COUNTER, "Connections, or sessions of UDP."),
	RELAY(active, "active", GAUGE, "Connections or sessions now."),
	RELAY(refused, "refused_total", COUNTER, "Refused: by a list, a limit, or want of room."),
	RELAY(failed, "failed_total", COUNTER, "No server took them, or they were cut."),
	RELAY(bytes_in, "received_bytes_total", COUNTER, "Bytes from clients."),
	RELAY(bytes_out, "sent_bytes_total", COUNTER, "Bytes to clients."),
	RELAY(datagrams_in, "received_datagrams_total", COUNTER, "Datagrams from clients."),
	RELAY(datagrams_out, "sent_datagrams_total", COUNTER, "Datagrams to clients."),
	RELAY(dropped, "dropped_datagrams_total", COUNTER, "Datagrams that were dropped."),
};

#define LOAD(member, family, help) COLUMN(struct guard_load_sample, member, family, GAUGE, help)
static const struct column load_columns[] = {
	LOAD(cpu_percent, "cpu_percent", "Of the CPUs that the workers may use."),
	LOAD(lag_ms, "lag_ms", "How late a worker was, at most, in the last second."),
	LOAD(error_percent, "error_percent", "Answers of 5xx in the last ten seconds."),
	LOAD(queue, "queue", "Requests that wait for a server."),
};

static uint64_t value_of(const struct column *column, const void *row)
{
	uint64_t wide = 0;
	uint32_t narrow = 0;

	if (column->size == sizeof(narrow)) {
		memcpy(&narrow, (const char *)row + column->offset, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, (const char *)row + column->offset, sizeof(wide));
	return wide;
}

void status_relay_read(struct status_relay *to, const struct relay_counts *from)
{
#define READ(name) to->name += atomic_load_explicit(&from->name, memory_order_relaxed)
	READ(connections);
	READ(active);
	READ(refused);
	READ(failed);
	READ(bytes_in);
	READ(bytes_out);
	READ(datagrams_in);
	READ(datagrams_out);
	READ(dropped);
#undef READ
}

void status_relay_add(struct status_relay *to, const struct status_relay *from)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(relay_columns); i++) {
		uint64_t sum = value_of(&relay_columns[i], to) + value_of(&relay_columns[i], from);

		memcpy((char *)to + relay_columns[i].offset, &sum, sizeof(sum));
	}
}

/* Text: a line for each, "kind name key=value ...". */

static void text_columns(struct text *text, const struct column *columns, unsigned count,
			 const void *row)
{
	for (unsigned i = 0; i < count; i++)
		text_printf(text, " %s=%" PRIu64, columns[i].name, value_of(&columns[i], row));
	text_put_char(text, '\n');
}
#define TEXT_COLUMNS(text, columns, row) text_columns(text, columns, SL_ARRAY_SIZE(columns), row)

static void text_group(struct text *text, const struct upstream_group_status *group)
{
	text_put(text, STR("upstream "));
	text_put_escaped(text, group->name, ESCAPE_TEXT);
	text_printf(text, " balance=%s breaker=%s%s", upstream_balance_name(group->balance),
		    breaker_state_name(group->breaker), group->unresolved ? " unresolved=yes" : "");
	TEXT_COLUMNS(text, group_columns, group);
	for (unsigned i = 0; i < group->server_count; i++) {
		const struct upstream_server_status *server = &group->servers[i];

		text_put(text, STR("server "));
		text_put_escaped(text, group->name, ESCAPE_TEXT);
		text_put_char(text, ' ');
		text_put_escaped(text, server->name, ESCAPE_TEXT);
		text_printf(text, " address=%.*s state=%s breaker=%s%s", STR_ARG(server->address),
			    upstream_state_name(server->state), breaker_state_name(server->breaker),
			    server->backup ? " backup=yes" : "");
		if (server->last_error.len) {
			text_put(text, STR(" last_error=\""));
			text_put_escaped(text, server->last_error, ESCAPE_QUOTED);
			text_put_char(text, '"');
		}
		TEXT_COLUMNS(text, server_columns, server);
	}
}

void status_parts_text(struct text *text, const struct status_snapshot *s)
{
	if (s->load_on) {
		text_printf(text, "load %s", guard_level_name(s->load_level));
		TEXT_COLUMNS(text, load_columns, &s->load);
	}
	for (unsigned i = 0; i < s->group_count; i++)
		text_group(text, &s->groups[i]);
	for (unsigned i = 0; i < s->limit_count; i++) {
		text_put(text, STR("limit "));
		text_put_escaped(text, s->limits[i].name, ESCAPE_TEXT);
		TEXT_COLUMNS(text, limit_columns, &s->limits[i]);
	}
	for (unsigned i = 0; i < s->relay_count; i++) {
		text_put(text, s->relays[i].is_udp ? STR("udp ") : STR("tcp "));
		text_put_escaped(text, s->relays[i].name, ESCAPE_TEXT);
		TEXT_COLUMNS(text, relay_columns, &s->relays[i]);
	}
}

/* JSON: an array for each kind. */

static void json_columns(struct json *json, const struct column *columns, unsigned count,
			 const void *row)
{
	for (unsigned i = 0; i < count; i++)
		json_u64(json, columns[i].name, value_of(&columns[i], row));
}
#define JSON_COLUMNS(json, columns, row) json_columns(json, columns, SL_ARRAY_SIZE(columns), row)

static void json_server(struct json *json, const struct upstream_server_status *server)
{
	json_open_object(json, NULL);
	json_str(json, "name", server->name);
	json_str(json, "address", server->address);
	json_text(json, "state", upstream_state_name(server->state));
	json_text(json, "breaker", breaker_state_name(server->breaker));
	json_bool(json, "backup", server->backup);
	json_str(json, "last_error", server->last_error);
	JSON_COLUMNS(json, server_columns, server);
	json_close(json);
}

static void json_group(struct json *json, const struct upstream_group_status *group)
{
	json_open_object(json, NULL);
	json_str(json, "name", group->name);
	json_text(json, "balance", upstream_balance_name(group->balance));
	json_text(json, "breaker", breaker_state_name(group->breaker));
	json_bool(json, "unresolved", group->unresolved);
	JSON_COLUMNS(json, group_columns, group);
	json_open_array(json, "servers");
	for (unsigned i = 0; i < group->server_count; i++)
		json_server(json, &group->servers[i]);
	json_close(json);
	json_close(json);
}

void status_parts_json(struct json *json, const struct status_snapshot *s)
{
	json_open_object(json, "load");
	json_text(json, "level", s->load_on ? guard_level_name(s->load_level) : NULL);
	if (s->load_on)
		JSON_COLUMNS(json, load_columns, &s->load);
	json_close(json);
	json_open_array(json, "upstreams");
	for (unsigned i = 0; i < s->group_count; i++)
		json_group(json, &s->groups[i]);
	json_close(json);
	json_open_array(json, "limits");
	for (unsigned i = 0; i < s->limit_count; i++) {
		json_open_object(json, NULL);
		json_str(json, "name", s->limits[i].name);
		JSON_COLUMNS(json, limit_columns, &s->limits[i]);
		json_close(json);
	}
	json_close(json);
	json_open_array(json, "relays");
	for (unsigned i = 0; i < s->relay_count; i++) {
		json_open_object(json, NULL);
		json_str(json, "name", s->relays[i].name);
		json_text(json, "protocol", s->relays[i].is_udp ? "udp" : "tcp");
		JSON_COLUMNS(json, relay_columns, &s->relays[i]);
		json_close(json);
	}
	json_close(json);
}

/* Prometheus: a family for each column. Names come from the configuration and are escaped. */

static void put_label(struct text *text, const char *name, struct str value)
{
	text_printf(text, "%s=\"", name);
	metric_put_label(text, value);
	text_put_char(text, '"');
}

static void put_family(struct text *text, char family[96], const char *table,
		       const struct column *column)
{
	snprintf(family, 96, "sluice_%s_%s", table, column->family);
	metric_family(text, family, column->kind, column->help);
}

static void put_groups(struct text *text, const struct status_snapshot *s)
{
	char family[96];

	for (unsigned c = 0; c < SL_ARRAY_SIZE(group_columns) && s->group_count > 0; c++) {
		put_family(text, family, "upstream", &group_columns[c]);
		for (unsigned i = 0; i < s->group_count; i++) {
			text_printf(text, "%s{", family);
			put_label(text, "upstream", s->groups[i].name);
			text_printf(text, "} %" PRIu64 "\n",
				    value_of(&group_columns[c], &s->groups[i]));
		}
	}
}

static void put_server(struct text *text, const char *family, const struct str group,
		       const struct upstream_server_status *server, uint64_t value)
{
	text_printf(text, "%s{", family);
	put_label(text, "upstream", group);
	text_put_char(text, ',');
	put_label(text, "server", server->name);
	text_put_char(text, ',');
	put_label(text, "address", server->address);
	text_printf(text, "} %" PRIu64 "\n", value);
}

/* States as numbers, so that they can be drawn and compared: the help says which. */
static const char *const state_help[] = {
	"0 up, 1 starting slowly, 2 down by checks, 3 left out for failures, 4 draining.",
	"Circuit breaker: 0 closed, 1 open, 2 half open.",
};

static void put_server_states(struct text *text, const struct status_snapshot *s, bool breaker)
{
	const char *family = breaker ? "sluice_server_breaker" : "sluice_server_state";

	metric_family(text, family, METRIC_GAUGE, state_help[breaker]);
	for (unsigned i = 0; i < s->group_count; i++)
		for (unsigned k = 0; k < s->groups[i].server_count; k++) {
			const struct upstream_server_status *server = &s->groups[i].servers[k];

			put_server(text, family, s->groups[i].name, server,
				   breaker ? (uint64_t)server->breaker : (uint64_t)server->state);
		}
}

static void put_servers(struct text *text, const struct status_snapshot *s)
{
	char family[96];

	if (!s->group_count)
		return;
	metric_family(text, "sluice_upstream_breaker", METRIC_GAUGE, state_help[1]);
	for (unsigned i = 0; i < s->group_count; i++) {
		text_put(text, STR("sluice_upstream_breaker{"));
		put_label(text, "upstream", s->groups[i].name);
		text_printf(text, "} %u\n", (unsigned)s->groups[i].breaker);
	}
	put_server_states(text, s, false);
	put_server_states(text, s, true);
	for (unsigned c = 0; c < SL_ARRAY_SIZE(server_columns); c++) {
		put_family(text, family, "server", &server_columns[c]);
		for (unsigned i = 0; i < s->group_count; i++)
			for (unsigned k = 0; k < s->groups[i].server_count; k++)
				put_server(text, family, s->groups[i].name,
					   &s->groups[i].servers[k],
					   value_of(&server_columns[c], &s->groups[i].servers[k]));
	}
}

static void put_limits(struct text *text, const struct status_snapshot *s)
{
	char family[96];

	for (unsigned c = 0; c < SL_ARRAY_SIZE(limit_columns) && s->limit_count > 0; c++) {
		put_family(text, family, "limit", &limit_columns[c]);
		for (unsigned i = 0; i < s->limit_count; i++) {
			text_printf(text, "%s{", family);
			put_label(text, "limit", s->limits[i].name);
			text_printf(text, "} %" PRIu64 "\n",
				    value_of(&limit_columns[c], &s->limits[i]));
		}
	}
}

static void put_relays(struct text *text, const struct status_snapshot *s)
{
	char family[96];

	for (unsigned c = 0; c < SL_ARRAY_SIZE(relay_columns) && s->relay_count > 0; c++) {
		put_family(text, family, "relay", &relay_columns[c]);
		for (unsigned i = 0; i < s->relay_count; i++) {
			text_printf(text, "%s{protocol=\"%s\",", family,
				    s->relays[i].is_udp ? "udp" : "tcp");
			put_label(text, "relay", s->relays[i].name);
			text_printf(text, "} %" PRIu64 "\n",
				    value_of(&relay_columns[c], &s->relays[i]));
		}
	}
}

void status_parts_prometheus(struct text *text, const struct status_snapshot *s)
{
	char family[96];

	if (s->load_on) {
		metric_family(text, "sluice_load_level", METRIC_GAUGE,
			      "0 normal, 1 degraded, 2 critical.");
		metric_value(text, "sluice_load_level", NULL, s->load_level);
		for (unsigned c = 0; c < SL_ARRAY_SIZE(load_columns); c++) {
			put_family(text, family, "load", &load_columns[c]);
			metric_value(text, family, NULL, value_of(&load_columns[c], &s->load));
		}
	}
	put_groups(text, s);
	put_servers(text, s);
	put_limits(text, s);
	put_relays(text, s);
}
