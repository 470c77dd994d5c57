// SPDX-License-Identifier: Apache-2.0
// The step that limits: keys, 429, fields, requests that wait, and what is given back at the end.
#include <errno.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "handler/guards.h"
#include "http/filter.h"
#include "http/hop.h"
#include "http/server.h"

/* What is said to who has too many requests in flight: nobody knows when one of them will end. */
#define LIMIT_CONNS_RETRY_NS CLOCK_NS_PER_S
/* The longest name of a limiter that a field carries. */
#define LIMIT_NAME_MAX 64

/* One limiter of one request: its filter, and its place among those that wait. */
struct limit_hold {
	struct http_filter filter;
	struct io_timer timer;
	struct http_stream *stream;
	const struct guards_limit *limit;
	uint64_t key;
	struct guard_verdict verdict;
	bool owed;    /* guard_limit_leave */
	bool refused; /* by this one: what it says is short, and gone soon */
};

/* Keys. False: the request has none, and is not limited. */

static bool key_of_address(struct http_stream *s, const struct guard_limit_config *config,
			   uint64_t *key)
{
	struct net_addr client;

	/* Whoever has no address is one client. */
	if (http_client(s, &client))
		*key = guard_key_bytes(STR_NONE);
	else
		*key = guard_key_address(&client, config->prefix_v4, config->prefix_v6);
	return true;
}

static bool key_of_header(const struct http_fields *fields, struct str name, uint64_t *key)
{
	enum http_name id = http_name_find(name);

	for (unsigned i = 0; i < fields->count; i++) {
		const struct http_field *f = &fields->v[i];
		if (f->id != id || (id == HTTP_OTHER && !str_eq_nocase(f->name, name)))
			continue;
		*key = guard_key_bytes(f->value);
		return true;
	}
	return false;
}

static bool key_of_cookie(const struct http_fields *fields, struct str name, uint64_t *key)
{
	struct str value = http_cookie(fields, name);

	if (!value.p)
		return false;
	*key = guard_key_bytes(value);
	return true;
}

/* Not the address of the route: it is the same for all workers, and after a reload that left the routes as they were. */
static bool key_of_route(const struct http_stream *s, uint64_t *key)
{
	const uint64_t parts[] = {s->route->index, guard_key_bytes(s->route->path)};

	*key = guard_key_bytes((struct str){(const char *)parts, sizeof(parts)});
	return true;
}

static bool limit_key(struct http_stream *s, const struct guard_limit_config *config, uint64_t *key)
{
	switch (config->key) {
	case GUARD_KEY_ADDRESS:
		return key_of_address(s, config, key);
	case GUARD_KEY_HEADER:
		return key_of_header(&s->request.fields, config->key_name, key);
	case GUARD_KEY_COOKIE:
		return key_of_cookie(&s->request.fields, config->key_name, key);
	case GUARD_KEY_ROUTE:
		return key_of_route(s, key);
	case GUARD_KEY_CONSTANT:
		break;
	}
	*key = guard_key_bytes(STR_NONE);
	return true;
}

/* Fields. */

static uint64_t seconds_up(uint64_t ns)
{
	return ns / CLOCK_NS_PER_S + (ns % CLOCK_NS_PER_S != 0);
}

/* A string of RFC 8941: what it cannot hold is shown as "_". */
static char *put_name(char *p, struct str name)
{
	name = str_head(name, LIMIT_NAME_MAX);
	*p++ = '"';
	for (size_t i = 0; i < name.len; i++) {
		char c = name.p[i];
		*p++ = c < ' ' || c > '~' || c == '"' || c == '\\' ? '_' : c;
	}
	*p++ = '"';
	return p;
}

static char *put_parameter(char *p, char name, uint64_t value)
{
	*p++ = ';';
	*p++ = name;
	*p++ = '=';
	return p + str_put_u64(p, value);
}

/* `"name";a=1;b=2` */
static int limit_add_field(struct http_stream *s, struct http_head *head,
			   const struct guards_limit *limit, struct str name, const char letters[2],
			   const uint64_t values[2])
{
	char *text = arena_alloc(s->arena, LIMIT_NAME_MAX + 2 + 2 * (3 + 20));

	if (!text)
		return -ENOMEM;
	char *p = put_name(text, limit->config->name);
	p = put_parameter(p, letters[0], values[0]);
	p = put_parameter(p, letters[1], values[1]);
	return http_fields_add_named(&head->fields, s->arena, name,
				     (struct str){text, (size_t)(p - text)});
}

/* How long it takes to be given all of the quota: the window of the policy. */
static uint64_t limit_window_ns(const struct guard_limit_config *config, uint32_t quota)
{
	bool windows = config->algorithm == GUARD_FIXED_WINDOW ||
		       config->algorithm == GUARD_SLIDING_WINDOW;

	if (windows)
		return config->period_ns;
	return (uint64_t)((double)config->period_ns * quota / config->count);
}

static int limit_add_fields(struct http_stream *s, struct http_head *head,
			    const struct limit_hold *hold)
{
	const struct guard_limit_config *config = hold->limit->config;
	const struct guard_verdict *v = &hold->verdict;
	uint64_t window = seconds_up(limit_window_ns(config, v->limit));
	const uint64_t policy[] = {v->limit, window ? window : 1};
	const uint64_t state[] = {v->remaining, seconds_up(v->reset_ns)};
	int err = limit_add_field(s, head, hold->limit, STR("RateLimit-Policy"), "qw", policy);

	return err ? err : limit_add_field(s, head, hold->limit, STR("RateLimit"), "rt", state);
}

static int limit_respond(struct http_filter *filter, struct http_stream *s, struct http_head *head,
			 struct source **body)
{
	struct limit_hold *hold = SL_CONTAINER(filter, struct limit_hold, filter);
	const struct guard_limit_config *config = hold->limit->config;

	if (config->dry_run)
		return 0;
	if (config->bytes_per_s && *body && !hold->refused) {
		struct source *slow = guard_throttle_new(s->worker->loop, *body,
							 hold->limit->limiter, hold->key, 0);
		if (!slow)
			return -ENOMEM;
		*body = slow;
	}
	/* A response that cannot carry them is still an answer. */
	if (config->count && !hold->limit->no_fields)
		(void)limit_add_fields(s, head, hold);
	return 0;
}

static void limit_leave(struct limit_hold *hold)
{
	if (hold->owed)
		guard_limit_leave(hold->limit->limiter, hold->key);
	hold->owed = false;
}

static void limit_finish(struct http_filter *filter, struct http_stream *s, int why)
{
	(void)s;
	(void)why;
	limit_leave(SL_CONTAINER(filter, struct limit_hold, filter));
}

static const struct http_filter_ops limit_filter_ops = {
	.respond = limit_respond,
	.finish = limit_finish,
};

/* Requests that wait. */

static void limit_waited(struct io_timer *timer)
{
	struct limit_hold *hold = SL_CONTAINER(timer, struct limit_hold, timer);

	hold->stream->data = NULL;
	http_stream_resume(hold->stream, 0);
}

static void limit_wait_gone(struct http_stream *s)
{
	struct limit_hold *hold = s->data;

	io_timer_stop(&hold->timer);
	http_reset(s, HTTP_ERROR_CANCEL);
}

static void limit_wait_close(struct http_stream *s, int why)
{
	struct limit_hold *hold = s->data;

	(void)why;
	io_timer_stop(&hold->timer);
}

/* Stands in for the handler of who waits. */
static const struct handler_ops limit_waiter = {
	.name = "limit",
	.gone = limit_wait_gone,
	.on_close = limit_wait_close,
};

static int limit_wait(struct limit_hold *hold, uint64_t delay_ns)
{
	struct http_stream *s = hold->stream;

	s->handler = &limit_waiter;
	s->data = hold;
	hold->timer.fire = limit_waited;
	io_timer_set(s->worker->loop, &hold->timer,
		     delay_ns / CLOCK_NS_PER_MS + (delay_ns % CLOCK_NS_PER_MS != 0));
	return HTTP_STEP_WAIT;
}

/* The step. */

static int limit_refuse(struct limit_hold *hold, uint64_t retry_ns)
{
	struct http_stream *s = hold->stream;
	char *text = arena_alloc(s->arena, 20);
	uint64_t seconds = seconds_up(retry_ns);

	hold->refused = true;
	limit_leave(hold);
	if (!text)
		return -ENOMEM;
	unsigned n = str_put_u64(text, seconds ? seconds : 1);
	const struct http_field field = {.id = HTTP_RETRY_AFTER, .value = {text, n}};
	int err = http_respond_error_with(s, 429, &field, 1);
	return err ? err : 1;
}

int guards_limit_run(const void *config, struct http_stream *s)
{
	const struct guards_limit *limit = config;
	uint64_t now_ns = io_now_ns(s->worker->loop), key;

	if (!limit_key(s, limit->config, &key))
		return 0;
	struct limit_hold *hold = arena_zalloc(s->arena, sizeof(*hold));
	if (!hold)
		return -ENOMEM;
	hold->filter.ops = &limit_filter_ops;
	hold->stream = s;
	hold->limit = limit;
	hold->key = key;
	http_stream_add_filter(s, &hold->filter);
	bool entered = guard_limit_enter(limit->limiter, key, now_ns, &hold->owed);
	/* Who may not enter is not charged, only told what he has. */
	guard_limit_take(limit->limiter, key, now_ns, entered, &hold->verdict);
	if (!entered)
		return limit_refuse(hold, LIMIT_CONNS_RETRY_NS);
	if (limit->config->dry_run)
		return 0;
	if (!hold->verdict.allowed)
		return limit_refuse(hold, hold->verdict.retry_ns);
	if (hold->verdict.delay_ns)
		return limit_wait(hold, hold->verdict.delay_ns);
	return 0;
}
