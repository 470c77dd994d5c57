// SPDX-License-Identifier: Apache-2.0
// Limiters by name: they outlive the configurations that name them.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "guard/limiter.h"

struct guard_registry *guard_registry_new(void)
{
	struct guard_registry *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (pthread_mutex_init(&r->lock, NULL)) {
		free(r);
		return NULL;
	}
	list_init(&r->cores);
	r->refs = 1;
	return r;
}

/* Under its lock, which is gone with the last reference. */
static void registry_unref_locked(struct guard_registry *r)
{
	bool last = --r->refs == 0;

	pthread_mutex_unlock(&r->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

void guard_registry_free(struct guard_registry *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->lock);
	registry_unref_locked(r);
}

/* Keys of which there can be one only need no table for many. */
static uint32_t core_keys_max(const struct guard_limit_config *config)
{
	return config->key == GUARD_KEY_CONSTANT ? 1 : SL_MAX(config->keys_max, 1);
}

static void core_destroy(struct guard_core *core)
{
	guard_table_destroy(&core->table);
	guard_table_destroy(&core->bytes_table);
	guard_holds_destroy(&core->holds);
	free(core);
}

static int core_init(struct guard_core *core)
{
	const struct guard_limit_config *config = &core->config;
	uint32_t keys_max = core_keys_max(config);
	int err = 0;

	if (config->count) {
		guard_rate_init(&core->rate, config);
		err = guard_table_init(&core->table, keys_max);
	}
	if (config->bytes_per_s && !err) {
		guard_rate_init_bytes(&core->bytes_rate, config->bytes_per_s, config->bytes_burst);
		err = guard_table_init(&core->bytes_table, keys_max);
	}
	if (config->conns && !err)
		err = guard_holds_init(&core->holds, keys_max);
	return err;
}

static struct guard_core *core_new(const struct guard_limit_config *config)
{
	size_t names = config->name.len + config->key_name.len;
	struct guard_core *core = aligned_alloc(_Alignof(struct guard_core),
						(sizeof(*core) + names + 63) & ~(size_t)63);

	if (!core)
		return NULL;
	memset(core, 0, sizeof(*core));
	core->config = *config;
	if (config->name.len)
		memcpy(core->names, config->name.p, config->name.len);
	if (config->key_name.len)
		memcpy(core->names + config->name.len, config->key_name.p, config->key_name.len);
	core->config.name.p = core->names;
	core->config.key_name.p = core->names + config->name.len;
	if (core_init(core)) {
		core_destroy(core);
		return NULL;
	}
	return core;
}

/* Everything but dry_run. */
static bool config_is_same(const struct guard_limit_config *a, const struct guard_limit_config *b)
{
	return str_eq(a->name, b->name) && a->key == b->key && str_eq(a->key_name, b->key_name) &&
	       a->prefix_v4 == b->prefix_v4 && a->prefix_v6 == b->prefix_v6 &&
	       a->algorithm == b->algorithm && a->count == b->count &&
	       a->period_ns == b->period_ns && a->burst == b->burst && a->conns == b->conns &&
	       a->bytes_per_s == b->bytes_per_s && a->bytes_burst == b->bytes_burst &&
	       a->keys_max == b->keys_max;
}

/* Under the registry's lock. The newest of this name, of this configuration unless it is NULL; or NULL. */
static struct guard_core *registry_find(struct guard_registry *r, struct str name,
					const struct guard_limit_config *config)
{
	for (struct list *at = r->cores.prev; at != &r->cores; at = at->prev) {
		struct guard_core *core = SL_CONTAINER(at, struct guard_core, link);
		if (str_eq(core->config.name, name) &&
		    (!config || config_is_same(&core->config, config)))
			return core;
	}
	return NULL;
}

/*
 * Under the registry's lock: the core with one more use, the newest of its name from now on; or NULL without memory. While
 * a configuration is in use it can be gone back to: a reload that fails in its middle costs nobody his place.
 */
static struct guard_core *registry_core(struct guard_registry *r,
					const struct guard_limit_config *config)
{
	struct guard_core *core = registry_find(r, config->name, config);

	if (core) {
		list_del(&core->link);
	} else {
		core = core_new(config);
		if (!core)
			return NULL;
		core->registry = r;
		r->refs++;
	}
	list_add(&r->cores, &core->link);
	core->uses++;
	return core;
}

struct guard_limiter *guard_limiter_join(struct guard_registry *r,
					 const struct guard_limit_config *config)
{
	struct guard_limiter *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_lock(&r->lock);
	l->core = registry_core(r, config);
	pthread_mutex_unlock(&r->lock);
	if (!l->core) {
		free(l);
		return NULL;
	}
	atomic_init(&l->refs, 1);
	l->config = l->core->config;
	l->config.dry_run = config->dry_run;
	return l;
}

struct guard_limiter *guard_limiter_ref(struct guard_limiter *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

static void core_leave(struct guard_core *core)
{
	struct guard_registry *r = core->registry;

	pthread_mutex_lock(&r->lock);
	if (--core->uses) {
		pthread_mutex_unlock(&r->lock);
		return;
	}
	list_del(&core->link);
	core_destroy(core);
	registry_unref_locked(r);
}

void guard_limiter_unref(struct guard_limiter *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	core_leave(l->core);
	free(l);
}

const struct guard_limit_config *guard_limiter_config(const struct guard_limiter *l)
{
	return &l->config;
}

static uint64_t sum_of(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void core_status(const struct guard_core *core, struct guard_limit_status *s)
{
	uint64_t keys = 0;

	for (unsigned i = 0; i < GUARD_STRIPES; i++) {
		const struct guard_counts *c = &core->counts[i];
		s->allowed += sum_of(&c->allowed);
		s->refused += sum_of(&c->refused);
		s->delayed += sum_of(&c->delayed);
		s->would_refuse += sum_of(&c->would_refuse);
		s->evicted += sum_of(&c->evicted);
		keys += sum_of(&c->keys);
	}
	s->keys = (uint32_t)keys;
	s->keys_max = core_keys_max(&core->config);
	s->memory_bytes = sizeof(*core) + guard_table_bytes(&core->table) +
			  guard_table_bytes(&core->bytes_table) + guard_holds_bytes(&core->holds);
}

static bool core_is_newest(struct guard_registry *r, const struct guard_core *core)
{
	return registry_find(r, core->config.name, NULL) == core;
}

int guard_limit_status(struct guard_registry *r, struct arena *arena,
		       const struct guard_limit_status **status, unsigned *count)
{
	struct guard_limit_status *v;
	unsigned n = 0;
	int err;

	*status = NULL;
	*count = 0;
	pthread_mutex_lock(&r->lock);
	for (struct list *at = r->cores.next; at != &r->cores; at = at->next)
		n++;
	v = arena_zalloc(arena, (n + 1) * sizeof(*v));
	err = v ? 0 : -ENOMEM;
	n = 0;
	for (struct list *at = r->cores.next; at != &r->cores && !err; at = at->next) {
		const struct guard_core *core = SL_CONTAINER(at, struct guard_core, link);
		if (!core_is_newest(r, core))
			continue;
		v[n].name = arena_dup(arena, core->config.name);
		if (core->config.name.len && !v[n].name.p)
			err = -ENOMEM;
		core_status(core, &v[n++]);
	}
	pthread_mutex_unlock(&r->lock);
	if (err)
		return err;
	*status = v;
	*count = n;
	return 0;
}
