// SPDX-License-Identifier: Apache-2.0
#include "handler/proxy/request.h"

#include <errno.h>
#include <netinet/in.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "handler/proxy/state.h"
#include "http/hop.h"
#include "http/path.h"

#define BIT(name) ((uint64_t)1 << HTTP_##name)
/* Not copied: written anew, or sent in another form. */
#define REBUILT                                                                                    \
	(BIT(HOST) | BIT(EXPECT) | BIT(FORWARDED) | BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_HOST) | \
	 BIT(X_FORWARDED_PROTO))
/* What is added to the fields of a request by default: the four above without Host, Via and traceparent. */
#define FIELDS_ADDED 6
/* The keys of consistent hashing must be the same after a restart and on every machine. */
#define KEY_SEED 0x736c7569636571ull

_Static_assert(HTTP_NAME_COUNT <= 64, "masks of names");

bool proxy_idempotent(enum http_method method)
{
	return (1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_PUT | 1u << HTTP_DELETE |
		1u << HTTP_OPTIONS | 1u << HTTP_TRACE) >>
		       method &
	       1;
}

bool proxy_upgrade_allowed(struct str protocols)
{
	struct str protocol;

	while (str_next(&protocols, ',', &protocol))
		if (str_starts_nocase(protocol, STR("h2c")))
			return false;
	return true;
}

/* Targets. */

static struct str target_join(struct str prefix, struct str path, struct str query, bool has_query,
			      struct arena *arena)
{
	char *text = arena_alloc(arena, prefix.len + path.len + query.len + 2), *to = text;

	if (!text)
		return STR_NONE;
	if (!path.len)
		path = STR("/");
	/* "/v1/" and "/a" are "/v1/a". */
	if (prefix.len && prefix.p[prefix.len - 1] == '/' && path.p[0] == '/')
		prefix.len--;
	if (prefix.len)
		to = mempcpy(to, prefix.p, prefix.len);
	if (path.p[0] != '/')
		*to++ = '/';
	to = mempcpy(to, path.p, path.len);
	if (has_query)
		*to++ = '?';
	if (query.len)
		to = mempcpy(to, query.p, query.len);
	return (struct str){text, (size_t)(to - text)};
}

/* The path of the target as it came; of the absolute form what follows the authority. May be empty. */
static struct str target_raw_path(const struct http_head *head)
{
	struct str raw = head->target;

	if (head->query.p)
		raw.len = (size_t)(head->query.p - 1 - raw.p);
	if (raw.len && raw.p[0] == '/')
		return raw;
	ptrdiff_t authority = str_find(raw, STR("://"));
	if (authority < 0)
		return raw;
	raw = str_skip(raw, (size_t)authority + 3);
	ptrdiff_t slash = str_find_byte(raw, '/');
	return slash < 0 ? STR("") : str_skip(raw, (size_t)slash);
}

/* Whether `strip` is at the front of the path, as whole segments. */
static bool target_strips(struct str path, struct str strip)
{
	if (!strip.len || !str_starts(path, strip))
		return false;
	return path.len == strip.len || strip.p[strip.len - 1] == '/' || path.p[strip.len] == '/';
}

/* What is left of the path, as the client wrote it when that means the same as what was matched. */
static struct str target_rest(struct str raw, struct str path, struct str strip,
			      struct arena *arena)
{
	struct str rest = path, normal = STR_NONE;

	if (target_strips(path, strip) && strip.len > 1) {
		/* The slash between them is the rest's. */
		if (strip.p[strip.len - 1] == '/')
			strip.len--;
		rest = str_skip(path, strip.len);
		if (!target_strips(raw, strip))
			return http_path_encode(rest, arena);
		raw = str_skip(raw, strip.len);
	}
	if (str_eq(raw, rest))
		return raw;
	int err = http_path_normalise(raw.len ? raw : STR("/"), arena, &normal);
	if (err == -ENOMEM)
		return STR_NONE;
	if (!err && str_eq(normal, rest.len ? rest : STR("/")))
		return raw;
	return http_path_encode(rest, arena);
}

struct str proxy_target(const struct http_head *head, struct str strip, struct str prefix,
			struct arena *arena)
{
	struct str raw;

	if (SL_LIKELY(!strip.len && !prefix.len && head->target.p[0] == '/'))
		return head->target;
	if (str_eq(head->path, STR("*")))
		return STR("*");
	raw = target_raw_path(head);
	if (strip.len || prefix.len) {
		raw = target_rest(raw, head->path, strip, arena);
		if (!raw.p)
			return STR_NONE;
	}
	return target_join(prefix, raw, head->query, head->query.p != NULL, arena);
}

/* Fields. */

static struct str client_text(struct http_stream *s)
{
	char text[NET_ADDR_TEXT];
	struct net_addr client;

	if (http_client(s, &client))
		return STR("unknown");
	size_t n = net_addr_print_host(&client, text);
	return arena_dup(s->arena, (struct str){text, n});
}

/* The value of the variable at the start of `text` (after '$'), and its length; STR_NONE and 0: no variable. */
static struct str variable(const struct proxy_vars *vars, struct str text, size_t *len)
{
	static const struct str names[] = {STR("client"), STR("host"), STR("scheme"), STR("path"),
					   STR("server")};
	const struct http_head *request = &vars->stream->request;
	unsigned i = 0;

	*len = 0;
	while (i < SL_ARRAY_SIZE(names) && !str_starts(text, names[i]))
		i++;
	if (i == SL_ARRAY_SIZE(names))
		return STR_NONE;
	*len = names[i].len;
	switch (i) {
	case 0:
		return client_text(vars->stream);
	case 1:
		return request->authority.p ? request->authority : STR("");
	case 2:
		return request->scheme;
	case 3:
		return http_path_encode(request->path, vars->stream->arena);
	default:
		return vars->server.p ? vars->server : STR("");
	}
}

/* STR_NONE without memory. */
static struct str expand(const struct proxy_vars *vars, struct str value, struct arena *arena)
{
	struct str done = STR("");

	for (;;) {
		ptrdiff_t dollar = str_find_byte(value, '$');
		struct str plain = dollar < 0 ? value : str_head(value, (size_t)dollar), filled;
		size_t skip = 0;

		filled = STR("");
		if (dollar >= 0) {
			filled = variable(vars, str_skip(value, (size_t)dollar + 1), &skip);
			if (skip && !filled.p)
				return STR_NONE;
			if (!skip)
				filled = STR("$");
			skip += (size_t)dollar + 1;
		}
		done = arena_printf(arena, "%.*s%.*s%.*s", STR_ARG(done), STR_ARG(plain),
				    STR_ARG(filled));
		if (!done.p || dollar < 0)
			return done;
		value = str_skip(value, skip);
	}
}

int proxy_fields_apply(struct http_fields *fields, const struct proxy_fields *config,
		       const struct proxy_vars *vars, struct arena *arena)
{
	for (unsigned i = 0; i < config->remove_count; i++)
		http_fields_remove_named(fields, config->remove[i]);
	for (unsigned i = 0; i < config->set_count; i++) {
		const struct http_field *f = &config->set[i];
		struct str name = f->name.len ? f->name : http_name_h1((enum http_name)f->id);
		struct str value = f->value;

		if (str_find_byte(value, '$') >= 0)
			value = expand(vars, value, arena);
		if (!value.p && f->value.len)
			return -ENOMEM;
		if (!http_field_value_valid(value))
			continue;
		int err = http_fields_set_named(fields, arena, name, value);
		if (err)
			return err;
	}
	return 0;
}

static int fields_copy(struct http_fields *to, const struct http_fields *from, uint64_t without,
		       struct arena *arena)
{
	unsigned cap = SL_MIN(from->count + FIELDS_ADDED, HTTP_FIELDS_MAX);

	to->v = arena_alloc(arena, cap * sizeof(*to->v));
	if (!to->v)
		return -ENOMEM;
	to->cap = (uint16_t)cap;
	for (unsigned i = 0; i < from->count; i++) {
		const struct http_field *f = &from->v[i];

		if (!(without >> f->id & 1))
			http_fields_put(to, (enum http_name)f->id, f->name, f->value);
	}
	return 0;
}

static int trace_add(struct proxy_request *p)
{
	static const struct str parent_name = STR("traceparent");
	struct http_stream *s = p->stream;
	const struct http_fields *in = &s->request.fields;
	struct str value = STR_NONE;
	struct trace parent, own;
	unsigned seen = 0;
	char *text = arena_alloc(s->arena, TRACE_PARENT_BYTES);

	if (!text)
		return -ENOMEM;
	for (unsigned i = 0; i < in->count; i++)
		if (!in->v[i].id && str_eq_nocase(in->v[i].name, parent_name)) {
			value = in->v[i].value;
			seen++;
		}
	if (seen == 1 && trace_parse(value, &parent) == 0) {
		trace_continue(&own, &parent, &p->proxy->trace);
	} else {
		trace_begin(&own, &p->proxy->trace, false);
		http_fields_remove_named(&p->out.fields, STR("tracestate"));
	}
	trace_write(&own, text);
	return http_fields_set_named(&p->out.fields, s->arena, parent_name,
				     (struct str){text, TRACE_PARENT_BYTES});
}

/* What speaks of the way that the request took. */
static int way_add(struct proxy_request *p)
{
	const struct proxy_config *config = p->proxy->config;
	struct http_stream *s = p->stream;
	const struct http_head *in = &s->request;
	struct net_addr peer;
	int err = 0;

	if (!config->no_forwarded)
		err = proxy_forwarded_add(&p->out.fields, &in->fields,
					  http_peer(s, &peer) ? NULL : &peer, in->authority,
					  in->scheme, s->arena);
	if (!err && !config->no_via)
		err = proxy_via_add(&p->out.fields, &in->fields, in->version, s->arena);
	if (!err && config->trace)
		err = trace_add(p);
	return err;
}

static bool expects_continue(const struct http_stream *s)
{
	struct str expect = http_fields_get(&s->request.fields, HTTP_EXPECT);

	return expect.p && s->request_body && s->request.version >= 11 &&
	       str_eq_nocase(expect, STR("100-continue"));
}

int proxy_request_build(struct proxy_request *p)
{
	const struct proxy_config *config = p->proxy->config;
	struct http_stream *s = p->stream;
	const struct http_head *in = &s->request;
	struct http_head *out = &p->out;
	uint64_t without = REBUILT | (config->no_via ? 0 : BIT(VIA));

	out->method = in->method;
	out->method_text = in->method_text;
	out->scheme = in->scheme;
	out->version = 11;
	out->content_length = s->request_body ? in->content_length : 0;
	out->target = proxy_target(in, config->strip, config->prefix, s->arena);
	p->idempotent = proxy_idempotent(in->method);
	p->expects = expects_continue(s);
	int err =
		out->target.p ? fields_copy(&out->fields, &in->fields, without, s->arena) : -ENOMEM;
	if (!err)
		err = http_hop_remove(&out->fields, &p->upgrade);
	return err ? err : way_add(p);
}

/* A value that hangs on the server is set again by the next try. */
int proxy_request_address(struct proxy_request *p)
{
	const struct proxy_config *config = p->proxy->config;
	struct http_head *out = &p->out;
	const struct proxy_vars vars = {.stream = p->stream,
					.server = upstream_server_name(p->turn->server)};

	if (SL_LIKELY(!config->host.len))
		out->authority = p->stream->request.authority;
	else
		out->authority = str_eq(config->host, STR("$server")) ? vars.server : config->host;
	/* HTTP/1.0 may come without. */
	if (!out->authority.len)
		out->authority = vars.server;
	if (SL_LIKELY(!config->request.set_count && !config->request.remove_count))
		return 0;
	int err = proxy_fields_apply(&out->fields, &config->request, &vars, p->stream->arena);
	/* Host is told by the authority alone. */
	if (!err && out->fields.first[HTTP_HOST]) {
		out->authority = http_fields_get(&out->fields, HTTP_HOST);
		http_fields_remove(&out->fields, HTTP_HOST);
	}
	return err;
}

/* Balancing. */

static uint64_t hash_str(struct str s)
{
	return hash_bytes_fixed(s.p, s.len, KEY_SEED);
}

static uint64_t hash_client(struct http_stream *s)
{
	struct net_addr client;

	if (http_client(s, &client))
		return 0;
	if (client.u.sa.sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&client.u.storage;
		return hash_bytes_fixed(&v4->sin_addr, sizeof(v4->sin_addr), KEY_SEED);
	}
	if (client.u.sa.sa_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&client.u.storage;
		/* The same client over either family of the listener. */
		if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
			return hash_bytes_fixed(&v6->sin6_addr.s6_addr[12], 4, KEY_SEED);
		return hash_bytes_fixed(&v6->sin6_addr, sizeof(v6->sin6_addr), KEY_SEED);
	}
	return 0;
}

/* STR_NONE: the client's address stands in for it. */
static struct str key_text(const struct upstream_config *config, const struct http_stream *s)
{
	const struct http_fields *fields = &s->request.fields;

	switch (config->key) {
	case UPSTREAM_KEY_URI:
		return s->request.target;
	case UPSTREAM_KEY_COOKIE:
		return http_cookie(fields, config->key_name);
	case UPSTREAM_KEY_HEADER:
		for (unsigned i = 0; i < fields->count; i++)
			if (str_eq_nocase(fields->v[i].name, config->key_name))
				return fields->v[i].value;
		return STR_NONE;
	case UPSTREAM_KEY_ADDRESS:
		break;
	}
	return STR_NONE;
}

void proxy_turn_key(struct upstream_turn *turn, const struct upstream_config *config,
		    struct http_stream *s)
{
	struct str text;

	if (config->sticky_cookie.len)
		turn->sticky = http_cookie(&s->request.fields, config->sticky_cookie);
	if (config->balance == UPSTREAM_ADDRESS)
		turn->hash = hash_client(s);
	if (config->balance != UPSTREAM_CONSISTENT)
		return;
	text = key_text(config, s);
	turn->hash = text.p && text.len ? hash_str(text) : hash_client(s);
}
