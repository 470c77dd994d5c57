// SPDX-License-Identifier: Apache-2.0
#include "app/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "http/note.h"

int app_access_open(struct app_access *a, const struct app_config *config,
		    const struct app_access *now, char *why, size_t why_len)
{
	const struct app_access_log *want = &config->access_log;
	const char *path = want->file.len ? want->file.p : "-";

	*a = (struct app_access){.format = want->format};
	if (want->format == APP_ACCESS_OFF)
		return 0;
	a->path = strdup(path);
	if (!a->path)
		return -ENOMEM;
	if (now->log && strcmp(now->path, path) == 0) {
		a->log = now->log;
		return 0;
	}
	int err = access_log_open(&a->log, path, ACCESS_RING_BYTES);
	if (err) {
		snprintf(
			why, why_len,
			"access log %s: %s; let the user of the server write there, or choose another "
			"file",
			path, err_text(err));
		free(a->path);
		*a = (struct app_access){0};
	}
	return err;
}

void app_access_close(struct app_access *a, const struct app_access *other)
{
	if (a->log != other->log)
		access_log_close(a->log);
	free(a->path);
	*a = (struct app_access){0};
}

int app_access_prepare(struct app_access_worker *w, const struct app_access *a)
{
	if (!a->log || a->log == w->log)
		return 0;
	w->prepared = access_ring_open(a->log);
	return w->prepared ? 0 : -ENOMEM;
}

void app_access_discard(struct app_access_worker *w)
{
	if (w->prepared)
		access_ring_close(w->prepared);
	w->prepared = NULL;
}

void app_access_adopt(struct app_access_worker *w, const struct app_access *a)
{
	static const enum access_format formats[] = {
		[APP_ACCESS_OFF] = ACCESS_COMMON,
		[APP_ACCESS_COMMON] = ACCESS_COMMON,
		[APP_ACCESS_COMBINED] = ACCESS_COMBINED,
		[APP_ACCESS_JSON] = ACCESS_JSON,
	};

	if (a->log != w->log) {
		if (w->ring)
			access_ring_close(w->ring);
		w->ring = w->prepared;
		w->prepared = NULL;
		w->log = a->log;
	}
	w->formatter = (struct access_formatter){.format = formats[a->format]};
}

void app_access_leave(struct app_access_worker *w)
{
	app_access_discard(w);
	if (w->ring)
		access_ring_close(w->ring);
	w->ring = NULL;
	w->log = NULL;
}

/* The loop's clock as time of day. The two drift apart when somebody sets the clock: seen within a second. */
static uint64_t access_wall_ns(struct app_access_worker *w, uint64_t now_ns, uint64_t at_ns)
{
	if (now_ns >= w->wall_until_ns) {
		w->wall_offset_ns = clock_realtime_ns() - now_ns;
		w->wall_until_ns = now_ns + CLOCK_NS_PER_S;
	}
	return at_ns + w->wall_offset_ns;
}

static struct str access_client(struct http_stream *s, char text[NET_ADDR_TEXT])
{
	struct net_addr addr;

	if (http_client(s, &addr))
		return STR_NONE;
	return (struct str){text, net_addr_print_host(&addr, text)};
}

static struct str access_protocol(unsigned version)
{
	switch (version) {
	case 10:
		return STR("HTTP/1.0");
	case 11:
		return STR("HTTP/1.1");
	case 20:
		return STR("HTTP/2.0");
	case 30:
		return STR("HTTP/3.0");
	default:
		return STR_NONE;
	}
}

void app_access_put(struct app_access_worker *w, const struct http_stream *s, int why)
{
	char client[NET_ADDR_TEXT], line[ACCESS_LINE_BYTES];
	uint64_t now_ns = io_now_ns(s->worker->loop);
	const struct http_head *r = &s->request;
	const struct http_upstream_note *note = s->upstream;

	if (!w->ring || (s->route && !s->route->log))
		return;
	const struct access_record record = {
		.client = access_client((struct http_stream *)s, client),
		.method = r->method_text,
		.target = r->target,
		.protocol = access_protocol(r->version),
		.host = r->authority,
		.referer = http_fields_get(&r->fields, HTTP_REFERER),
		.user_agent = http_fields_get(&r->fields, HTTP_USER_AGENT),
		.time_ns = access_wall_ns(w, now_ns, s->began_ns),
		.duration_ns = now_ns > s->began_ns ? now_ns - s->began_ns : 0,
		.request_bytes = s->body_bytes_in,
		.body_bytes = s->body_bytes_out,
		.status = s->status,
		.aborted = why != 0,
		.upstream = note ? note->server : STR_NONE,
		.tries = note ? note->tries : 0,
		.first_byte_ns = note ? note->first_byte_ns : 0,
	};
	size_t n = access_format_line(&w->formatter, &record, line);
	if (!access_ring_put(w->ring, line, n))
		HTTP_COUNT(w->lost, 1);
}
