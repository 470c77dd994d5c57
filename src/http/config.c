// SPDX-License-Identifier: Apache-2.0
#include "base/compiler.h"
#include "http/router.h"

const struct http_limits http_limits_default = {
	.request_line_max = 8192,
	.fields_bytes_max = 32768,
	.fields_max = HTTP_FIELDS_MAX,
	.body_max = 10 * 1024 * 1024,
	.head_timeout_ms = 10000,
	.stall_timeout_ms = 30000,
	.idle_timeout_ms = 60000,
	.rate_min = 128,
	.requests_max = 10000,
	.connections_max = 0,
	.server_name = true,
};

/* The configuration lives in its own arena, and so takes one allocation to begin with. */
struct http_config *http_config_new(unsigned listeners)
{
	struct arena arena;
	struct http_config *c;

	arena_init_shared(&arena);
	c = arena_zalloc(&arena, sizeof(*c));
	if (!c)
		return NULL;
	c->arena = arena;
	atomic_init(&c->refs, 1);
	c->limits = http_limits_default;
	c->routers =
		arena_zalloc(&c->arena, (listeners ? listeners : 1) * sizeof(struct http_router *));
	if (!c->routers)
		goto fail;
	for (unsigned i = 0; i < listeners; i++) {
		struct http_router *r = arena_zalloc(&c->arena, sizeof(*r));

		if (!r)
			goto fail;
		r->arena = &c->arena;
		hash_init(&r->exact, 0);
		hash_init(&r->suffix, 0);
		c->routers[c->router_count++] = r;
	}
	return c;
fail:
	http_config_unref(c);
	return NULL;
}

struct http_config *http_config_ref(struct http_config *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void http_config_unref(struct http_config *c)
{
	struct arena arena;

	/* Whoever drops the last reference sees everything that was done under the others. */
	if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (c->freed)
		c->freed(c);
	for (unsigned i = 0; i < c->router_count; i++) {
		if (!c->routers[i])
			continue;
		hash_destroy(&c->routers[i]->exact);
		hash_destroy(&c->routers[i]->suffix);
	}
	arena = c->arena;
	arena_free(&arena);
}
