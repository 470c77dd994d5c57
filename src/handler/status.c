// SPDX-License-Identifier: Apache-2.0
#include "handler/status.h"

#include <errno.h>
#include <inttypes.h>

#include "base/json.h"
#include "base/source.h"
#include "handler/reply.h"

#define STATUS_BYTES_MAX (1024u * 1024)

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

/* The counters by name: one table for text and JSON. */
static const struct {
	const char *name;
	size_t offset;
} rows[] = {
	{"connections", offsetof(struct status_counts, connections)},
	{"connections_active", offsetof(struct status_counts, connections_active)},
	{"connections_idle", offsetof(struct status_counts, connections_idle)},
	{"requests", offsetof(struct status_counts, requests)},
	{"requests_active", offsetof(struct status_counts, requests_active)},
	{"bytes_in", offsetof(struct status_counts, bytes_in)},
	{"bytes_out", offsetof(struct status_counts, bytes_out)},
	{"refused", offsetof(struct status_counts, refused)},
	{"timeouts", offsetof(struct status_counts, timeouts)},
	{"aborted", offsetof(struct status_counts, aborted)},
	{"responses_1xx", offsetof(struct status_counts, status[1])},
	{"responses_2xx", offsetof(struct status_counts, status[2])},
	{"responses_3xx", offsetof(struct status_counts, status[3])},
	{"responses_4xx", offsetof(struct status_counts, status[4])},
	{"responses_5xx", offsetof(struct status_counts, status[5])},
};

static uint64_t row_value(const struct status_counts *counts, unsigned row)
{
	uint64_t value;

	memcpy(&value, (const char *)counts + rows[row].offset, sizeof(value));
	return value;
}

void status_counts_add(struct status_counts *into, const struct status_counts *from)
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
	json_open_array(&json, "workers");
	for (unsigned i = 0; i < snapshot->worker_count; i++) {
		json_open_object(&json, NULL);
		put_counts(&json, &snapshot->workers[i]);
		json_close(&json);
	}
	json_close(&json);
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
}

struct str status_render(const struct status_snapshot *snapshot, bool json, struct arena *arena)
{
	struct status_counts total = {0};
	struct text text;

	for (unsigned i = 0; i < snapshot->worker_count; i++)
		status_counts_add(&total, &snapshot->workers[i]);
	text_init(&text, STATUS_BYTES_MAX);
	if (json)
		render_json(&text, snapshot, &total);
	else
		render_text(&text, snapshot, &total);
	struct str out = text.full ? STR_NONE : arena_dup(arena, text_str(&text));

	text_free(&text);
	return out;
}

static void *status_attach(const void *config, struct http_worker *worker)
{
	return (void *)config;
}

static void status_detach(void *state)
{
}

static int status_open(void *state, struct http_stream *s)
{
	const struct status_config *config = state;
	struct status_snapshot snapshot = {0};
	bool json = reply_wants_json(s);
	int error = config->collect(config->owner, s->arena, &snapshot);

	if (error < 0)
		return error;
	struct str text = status_render(&snapshot, json, s->arena);
	struct source_seg *body = arena_alloc(s->arena, sizeof(*body));
	struct http_head head = {.status = 200, .content_length = (int64_t)text.len};
	struct str type = json ? STR("application/json") : STR("text/plain; charset=utf-8");

	if (!text.p || !body ||
	    http_fields_add(&head.fields, s->arena, HTTP_CONTENT_TYPE, type) < 0 ||
	    http_fields_add(&head.fields, s->arena, HTTP_VARY, STR("Accept")) < 0 ||
	    http_fields_add(&head.fields, s->arena, HTTP_CACHE_CONTROL, STR("no-store")) < 0)
		return -ENOMEM;
	return http_respond(s, &head, source_seg_init(body, seg_mem(text.p, text.len, NULL)));
}

const struct handler_ops status_handler = {
	.name = "status",
	.skips_body = true,
	.attach = status_attach,
	.detach = status_detach,
	.open = status_open,
};
