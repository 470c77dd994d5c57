// SPDX-License-Identifier: Apache-2.0
#include "handler/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/source.h"
#include "handler/reply.h"
#include "handler/status_parts.h"
#include "observe/metric.h"

/* Some hundred bytes for each server, in each family of Prometheus. */
#define STATUS_BYTES_MAX (16u << 20)

_Static_assert(sizeof(struct status_counts) == sizeof(struct http_counts),
	       "every counter is shown");

void status_counts_read(struct status_counts *to, const struct http_counts *from)
{
#define READ(name) to->name = atomic_load_explicit(&from->name, memory_order_relaxed)
	READ(connections);
	READ(connections_active);
	READ(connections_idle);
	READ(requests);
	READ(requests_active);
	READ(bytes_in);
	READ(bytes_out);
	READ(refused);
	READ(timeouts);
	READ(aborted);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(to->status); i++)
		READ(status[i]);
#undef READ
}

/* The counters by name: one table for all formats. A row without a family belongs to the one before it. */
static const struct {
	const char *name;
	size_t offset;
	const char *family, *labels;
	enum metric_kind kind;
	const char *help;
} rows[] = {
#define ROW(member) #member, offsetof(struct status_counts, member)
#define STATUS_ROW(n) "responses_" #n "xx", offsetof(struct status_counts, status[n])
	{ROW(connections), "sluice_http_connections_total", NULL, METRIC_COUNTER,
	 "Connections taken."},
	{ROW(connections_active), "sluice_http_connections_active", NULL, METRIC_GAUGE,
	 "Connections now."},
	{ROW(connections_idle), "sluice_http_connections_idle", NULL, METRIC_GAUGE,
	 "Connections between requests now."},
	{ROW(requests), "sluice_http_requests_total", NULL, METRIC_COUNTER, "Requests routed."},
	{ROW(requests_active), "sluice_http_requests_active", NULL, METRIC_GAUGE, "Requests now."},
	{ROW(bytes_in), "sluice_http_request_body_bytes_total", NULL, METRIC_COUNTER,
	 "Bytes of request bodies."},
	{ROW(bytes_out), "sluice_http_response_body_bytes_total", NULL, METRIC_COUNTER,
	 "Bytes of response bodies."},
	{ROW(refused), "sluice_http_refused_total", NULL, METRIC_COUNTER,
	 "Connections refused for want of room."},
	{ROW(timeouts), "sluice_http_timeouts_total", NULL, METRIC_COUNTER,
	 "Connections ended by a timeout."},
	{ROW(aborted), "sluice_http_aborted_total", NULL, METRIC_COUNTER,
	 "Responses that did not leave whole."},
	{STATUS_ROW(1), "sluice_http_responses_total", "class=\"1xx\"", METRIC_COUNTER,
	 "Responses by class of status."},
	{STATUS_ROW(2), NULL, "class=\"2xx\"", METRIC_COUNTER, NULL},
	{STATUS_ROW(3), NULL, "class=\"3xx\"", METRIC_COUNTER, NULL},
	{STATUS_ROW(4), NULL, "class=\"4xx\"", METRIC_COUNTER, NULL},
	{STATUS_ROW(5), NULL, "class=\"5xx\"", METRIC_COUNTER, NULL},
#undef ROW
#undef STATUS_ROW
};

static uint64_t row_value(const struct status_counts *counts, unsigned row)
{
	uint64_t value;

	memcpy(&value, (const char *)counts + rows[row].offset, sizeof(value));
	return value;
}

static void status_counts_add(struct status_counts *into, const struct status_counts *from)
{
	into->status[0] += from->status[0];
	for (unsigned i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		uint64_t sum = row_value(into, i) + row_value(from, i);

		memcpy((char *)into + rows[i].offset, &sum, sizeof(sum));
	}
}

static void put_counts(struct json *json, const struct status_counts *counts)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(rows); i++)
		json_u64(json, rows[i].name, row_value(counts, i));
}

/* Parts of a thousand, so that the names are whole numbers. */
static const unsigned quantiles[] = {500, 900, 990};

static const struct hist *requests_of(const struct status_snapshot *snapshot)
{
	static const struct hist none;

	return snapshot->request_ns ? snapshot->request_ns : &none;
}

static uint64_t request_us(const struct status_snapshot *snapshot, unsigned per_mille)
{
	return hist_quantile(requests_of(snapshot), per_mille / 1000.0) / CLOCK_NS_PER_US;
}

static void render_json(struct text *text, const struct status_snapshot *snapshot,
			const struct status_counts *total)
{
	struct json json;

	json_init(&json, text);
	json_open_object(&json, NULL);
	json_str(&json, "version", snapshot->version);
	json_str(&json, "engine", snapshot->engine);
	json_str(&json, "features", snapshot->features);
	json_u64(&json, "pid", snapshot->pid);
	json_i64(&json, "started", snapshot->started_unix_s);
	json_u64(&json, "uptime_s", snapshot->uptime_s);
	json_bool(&json, "draining", snapshot->draining);
	json_u64(&json, "log_lines_lost", snapshot->log_lines_lost);
	json_u64(&json, "access_lines_lost", snapshot->access_lines_lost);
	json_open_object(&json, "config");
	json_str(&json, "file", snapshot->config_file);
	json_u64(&json, "generation", snapshot->config_generation);
	json_i64(&json, "loaded", snapshot->config_loaded_unix_s);
	json_close(&json);
	json_open_object(&json, "total");
	put_counts(&json, total);
	json_close(&json);
	json_open_object(&json, "request_us");
	for (unsigned i = 0; i < SL_ARRAY_SIZE(quantiles); i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", quantiles[i] / 10);
		json_u64(&json, name, request_us(snapshot, quantiles[i]));
	}
	json_u64(&json, "max", requests_of(snapshot)->max / CLOCK_NS_PER_US);
	json_close(&json);
	json_open_array(&json, "workers");
	for (unsigned i = 0; i < snapshot->worker_count; i++) {
		json_open_object(&json, NULL);
		put_counts(&json, &snapshot->workers[i]);
		json_close(&json);
	}
	json_close(&json);
	status_parts_json(&json, snapshot);
	json_close(&json);
	text_put_char(text, '\n');
}

static void put_line(struct text *text, const char *name, struct str value)
{
	text_put(text, str_from(name));
	text_put_char(text, ' ');
	text_put_escaped(text, value, ESCAPE_TEXT);
	text_put_char(text, '\n');
}

static void render_text(struct text *text, const struct status_snapshot *snapshot,
			const struct status_counts *total)
{
	put_line(text, "version", snapshot->version);
	put_line(text, "engine", snapshot->engine);
	put_line(text, "features", snapshot->features);
	put_line(text, "config_file", snapshot->config_file);
	text_printf(text,
		    "config_generation %" PRIu64 "\nconfig_loaded %" PRId64 "\npid %" PRIu64
		    "\nstarted %" PRId64 "\nuptime_s %" PRIu64 "\ndraining %s\nworkers %u\n"
		    "log_lines_lost %" PRIu64 "\naccess_lines_lost %" PRIu64 "\n",
		    snapshot->config_generation, snapshot->config_loaded_unix_s, snapshot->pid,
		    snapshot->started_unix_s, snapshot->uptime_s, snapshot->draining ? "yes" : "no",
		    snapshot->worker_count, snapshot->log_lines_lost, snapshot->access_lines_lost);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(rows); i++)
		text_printf(text, "%s %" PRIu64 "\n", rows[i].name, row_value(total, i));
	for (unsigned i = 0; i < SL_ARRAY_SIZE(quantiles); i++)
		text_printf(text, "request_us_p%u %" PRIu64 "\n", quantiles[i] / 10,
			    request_us(snapshot, quantiles[i]));
	text_printf(text, "request_us_max %" PRIu64 "\n",
		    (uint64_t)(requests_of(snapshot)->max / CLOCK_NS_PER_US));
	status_parts_text(text, snapshot);
}

static void put_metric(struct text *text, const char *name, enum metric_kind kind, const char *help,
		       uint64_t value)
{
	metric_family(text, name, kind, help);
	metric_value(text, name, NULL, value);
}

static void render_prometheus(struct text *text, const struct status_snapshot *snapshot,
			      const struct status_counts *total)
{
	const char *family = NULL;

	metric_family(text, "sluice_info", METRIC_GAUGE, "What runs; always 1.");
	text_printf(text, "sluice_info{version=\"%.*s\",engine=\"%.*s\"} 1\n",
		    STR_ARG(snapshot->version), STR_ARG(snapshot->engine));
	put_metric(text, "sluice_start_time_seconds", METRIC_GAUGE, "When it started.",
		   (uint64_t)snapshot->started_unix_s);
	put_metric(text, "sluice_workers", METRIC_GAUGE, "Workers.", snapshot->worker_count);
	put_metric(text, "sluice_draining", METRIC_GAUGE, "1 while it ends.", snapshot->draining);
	put_metric(text, "sluice_config_generation", METRIC_GAUGE,
		   "1 at start, one more with each reload.", snapshot->config_generation);
	put_metric(text, "sluice_config_load_time_seconds", METRIC_GAUGE,
		   "When the configuration was taken.", (uint64_t)snapshot->config_loaded_unix_s);
	put_metric(text, "sluice_log_lines_lost_total", METRIC_COUNTER,
		   "Lines that the log could not take.", snapshot->log_lines_lost);
	put_metric(text, "sluice_access_log_lines_lost_total", METRIC_COUNTER,
		   "Lines that the access log could not take.", snapshot->access_lines_lost);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(rows); i++) {
		if (rows[i].family)
			metric_family(text, rows[i].family, rows[i].kind, rows[i].help);
		family = rows[i].family ? rows[i].family : family;
		metric_value(text, family, rows[i].labels, row_value(total, i));
	}
	metric_family(text, "sluice_http_request_seconds", METRIC_HIST,
		      "From the first byte of a request until its answer has left.");
	metric_times(text, "sluice_http_request_seconds", requests_of(snapshot));
	status_parts_prometheus(text, snapshot);
}

static const struct {
	struct str name, type;
	void (*render)(struct text *, const struct status_snapshot *, const struct status_counts *);
} formats[] = {
	[STATUS_TEXT] = {STR("text"), STR("text/plain; charset=utf-8"), render_text},
	[STATUS_JSON] = {STR("json"), STR("application/json"), render_json},
	[STATUS_PROMETHEUS] = {STR("prometheus"), STR(METRIC_TYPE), render_prometheus},
};

int status_format_parse(struct str name)
{
	for (unsigned i = 0; i < SL_ARRAY_SIZE(formats); i++)
		if (str_eq(name, formats[i].name))
			return (int)i;
	return -EINVAL;
}

struct str status_render(const struct status_snapshot *snapshot, enum status_format format,
			 struct arena *arena)
{
	struct status_counts total = {0};
	struct text text;

	for (unsigned i = 0; i < snapshot->worker_count; i++)
		status_counts_add(&total, &snapshot->workers[i]);
	text_init(&text, STATUS_BYTES_MAX);
	formats[format].render(&text, snapshot, &total);
	struct str out = text.full ? STR_NONE : arena_dup(arena, text_str(&text));

	text_free(&text);
	return out;
}

/* Prometheus asks for text/plain as well; the version of its format tells it from a browser. */
static bool asks_as_prometheus(const struct http_stream *s)
{
	struct str value;
	unsigned at = 0;

	while (http_fields_next(&s->request.fields, HTTP_ACCEPT, &at, &value))
		if (str_find(value, STR("version=0.0.4")) >= 0 ||
		    str_find(value, STR("application/openmetrics-text")) >= 0)
			return true;
	return false;
}

static enum status_format status_format_of(const struct http_stream *s)
{
	int named = status_format_parse(reply_query_value(s->request.query, STR("format")));

	if (named >= 0)
		return (enum status_format)named;
	if (asks_as_prometheus(s))
		return STATUS_PROMETHEUS;
	return reply_wants_json(s) ? STATUS_JSON : STATUS_TEXT;
}

static int status_open(void *state, struct http_stream *s)
{
	const struct status_config *config = state;
	struct status_snapshot snapshot = {0};
	enum status_format format = status_format_of(s);
	int error = config->collect(config->owner, s->arena, &snapshot);

	if (error < 0)
		return error;
	struct str text = status_render(&snapshot, format, s->arena);
	struct source_seg *body = arena_alloc(s->arena, sizeof(*body));
	struct http_head head = {.status = 200, .content_length = (int64_t)text.len};

	if (!text.p || !body ||
	    http_fields_add(&head.fields, s->arena, HTTP_CONTENT_TYPE, formats[format].type) < 0 ||
	    http_fields_add(&head.fields, s->arena, HTTP_VARY, STR("Accept")) < 0 ||
	    http_fields_add(&head.fields, s->arena, HTTP_CACHE_CONTROL, STR("no-store")) < 0)
		return -ENOMEM;
	return http_respond(s, &head, source_seg_init(body, seg_mem(text.p, text.len, NULL)));
}

const struct handler_ops status_handler = {
	.name = "status",
	.skips_body = true,
	.open = status_open,
};
