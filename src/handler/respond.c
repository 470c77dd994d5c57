// SPDX-License-Identifier: Apache-2.0
#include "handler/respond.h"

#include <errno.h>

#include "base/source.h"

static bool has_content(unsigned status)
{
	return status != 204 && status != 205 && status != 304;
}

static int respond_open(void *state, struct http_stream *s)
{
	const struct respond_config *config = state;
	struct http_head head = {.status = config->status};
	struct str type = config->type.len ? config->type : STR("text/plain; charset=utf-8");
	bool content = has_content(config->status);

	if (content && http_fields_add(&head.fields, s->arena, HTTP_CONTENT_TYPE, type) < 0)
		return -ENOMEM;
	head.content_length = content ? (int64_t)config->body.len : config->status == 205 ? 0 : -1;
	if (!content || config->body.len == 0)
		return http_respond(s, &head, NULL);
	struct source_seg *body = arena_alloc(s->arena, sizeof(*body));

	if (!body)
		return -ENOMEM;
	/* The configuration outlives the stream. */
	struct seg seg = seg_mem(config->body.p, config->body.len, NULL);

	return http_respond(s, &head, source_seg_init(body, seg));
}

const struct handler_ops respond_handler = {
	.name = "respond",
	.skips_body = true,
	.open = respond_open,
};
