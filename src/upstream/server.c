// SPDX-License-Identifier: Apache-2.0
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "upstream/keeper.h"

/* Nothing secret: it keeps the cookie from saying the address in clear. */
#define STICKY_KEY 0x736c756963653031ull

static struct str put(char **at, struct str s)
{
	struct str copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.p, s.len);
	(*at)[s.len] = '\0';
	*at += s.len + 1;
	return copy;
}

static struct str put_sticky(char *at, struct str group, struct str name)
{
	uint64_t hash = hash_bytes_fixed(name.p, name.len,
					 hash_bytes_fixed(group.p, group.len, STICKY_KEY));

	snprintf(at, UPSTREAM_STICKY_CHARS + 1, "%016llx", (unsigned long long)hash);
	return (struct str){at, UPSTREAM_STICKY_CHARS};
}

struct upstream_server *upstream_server_new(uint32_t id, struct str group, struct str name,
					    struct str origin, const struct net_addr *addr)
{
	size_t text = group.len + name.len + origin.len + 3 + UPSTREAM_STICKY_CHARS + 1;
	struct upstream_server *s = calloc(1, sizeof(*s) + text);
	char *at;

	if (!s)
		return NULL;
	at = (char *)(s + 1);
	s->refs = 1;
	s->id = id;
	s->addr = *addr;
	s->group = put(&at, group);
	s->name = put(&at, name);
	s->origin = put(&at, origin);
	s->sticky = put_sticky(at, group, name);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

struct upstream_server *upstream_server_ref(struct upstream_server *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void upstream_server_unref(struct upstream_server *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

enum upstream_state upstream_server_state(const struct upstream_server *s, uint32_t slow_start_ms,
					  uint64_t now_ns)
{
	uint32_t flags = atomic_load_explicit(&s->flags, memory_order_relaxed);
	uint64_t since_ns = atomic_load_explicit(&s->starting_since_ns, memory_order_relaxed);

	if (flags & UPSTREAM_FLAG_DOWN)
		return UPSTREAM_DOWN;
	if (atomic_load_explicit(&s->ejected_until_ns, memory_order_relaxed) > now_ns)
		return UPSTREAM_EJECTED;
	if (flags & UPSTREAM_FLAG_DRAINING)
		return UPSTREAM_DRAINING;
	if (since_ns && now_ns < since_ns + slow_start_ms * CLOCK_NS_PER_MS)
		return UPSTREAM_STARTING;
	return UPSTREAM_UP;
}

void upstream_server_error(struct upstream_server *s, const char *why)
{
	pthread_mutex_lock(&s->lock);
	snprintf(s->last_error, sizeof(s->last_error), "%s", why);
	pthread_mutex_unlock(&s->lock);
}

void upstream_server_log(const struct upstream_server *s, enum log_level level, const char *what,
			 ...)
{
	char text[LOG_LINE_BYTES];
	va_list args;

	if (!log_wants(level))
		return;
	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	log_write(level, "upstream \"%.*s\": server %.*s %s", STR_ARG(s->group), STR_ARG(s->name),
		  text);
}

const char *upstream_state_name(enum upstream_state state)
{
	static const char *const names[] = {
		[UPSTREAM_UP] = "up",
		[UPSTREAM_STARTING] = "starting",
		[UPSTREAM_DOWN] = "down",
		[UPSTREAM_EJECTED] = "ejected",
		[UPSTREAM_DRAINING] = "draining",
	};

	return names[state];
}

const char *breaker_state_name(enum breaker_state state)
{
	static const char *const names[] = {
		[BREAKER_CLOSED] = "closed",
		[BREAKER_OPEN] = "open",
		[BREAKER_HALF_OPEN] = "half-open",
	};

	return names[state];
}
