// SPDX-License-Identifier: Apache-2.0
/* What a server is told of the client and of the way that a message took. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include "base/compiler.h"
#include "handler/proxy/request.h"
#include "http/hop.h"

static char *put(char *to, struct str s)
{
	if (s.len)
		memcpy(to, s.p, s.len);
	return to + s.len;
}

struct str proxy_list_append(const struct http_fields *in, enum http_name id, struct str more,
			     struct arena *arena)
{
	size_t len = more.len;
	struct str value;

	if (SL_LIKELY(!in->first[id]))
		return more;
	for (unsigned at = 0; http_fields_next(in, id, &at, &value);)
		len += value.len + 2;
	char *text = arena_alloc(arena, len), *to = text;
	if (!text)
		return STR_NONE;
	for (unsigned at = 0; http_fields_next(in, id, &at, &value);)
		to = put(put(to, value), STR(", "));
	to = put(to, more);
	return (struct str){text, (size_t)(to - text)};
}

static int list_add(struct http_fields *out, const struct http_fields *in, enum http_name id,
		    struct str more, struct arena *arena)
{
	struct str value = proxy_list_append(in, id, more, arena);

	return value.p ? http_fields_add(out, arena, id, value) : -ENOMEM;
}

int proxy_via_add(struct http_fields *out, const struct http_fields *in, unsigned version,
		  struct arena *arena)
{
	struct str own = version == 10 ? STR("1.0 sluice")
		       : version == 20 ? STR("2 sluice")
		       : version == 30 ? STR("3 sluice")
				       : STR("1.1 sluice");

	struct str value = proxy_list_append(in, HTTP_VIA, own, arena);
	if (!value.p)
		return -ENOMEM;
	return out->first[HTTP_VIA] ? http_fields_set(out, arena, HTTP_VIA, value)
				    : http_fields_add(out, arena, HTTP_VIA, value);
}

static bool is_token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	       c == '.' || c == '-' || c == '_' || c == '~';
}

/* A port or an IPv6 address needs quotes (RFC 7239 section 4). No authority has quotes or backslashes in it. */
static char *put_value(char *to, struct str value)
{
	size_t plain = 0;

	while (plain < value.len && is_token_byte(value.p[plain]))
		plain++;
	if (plain == value.len)
		return put(to, value);
	*to++ = '"';
	to = put(to, value);
	*to++ = '"';
	return to;
}

/* "192.0.2.7", "[2001:db8::1]" or "unknown", as for= wants it but for the quotes. */
static size_t print_node(const struct net_addr *peer, char text[NET_ADDR_TEXT + 2])
{
	if (!peer || (peer->u.sa.sa_family != AF_INET && peer->u.sa.sa_family != AF_INET6))
		return (size_t)(put(text, STR("unknown")) - text);
	size_t n = net_addr_print_host(peer, text + 1);
	if (!memchr(text + 1, ':', n)) {
		memmove(text, text + 1, n);
		return n;
	}
	text[0] = '[';
	text[n + 1] = ']';
	return n + 2;
}

/* The element of Forwarded; *node is set to the address inside it, without brackets, or to nothing. */
static struct str forwarded_element(const struct net_addr *peer, struct str host, struct str scheme,
				    struct str *node, struct arena *arena)
{
	char text[NET_ADDR_TEXT + 2];
	size_t n = print_node(peer, text);
	char *element = arena_alloc(arena, n + host.len + scheme.len + 32), *to = element;

	if (!element)
		return STR_NONE;
	to = put(to, STR("for="));
	char *at = to;
	to = put_value(to, (struct str){text, n});
	*node = (struct str){at, (size_t)(to - at)};
	if (at[0] == '"')
		*node = (struct str){at + 2, node->len - 4};
	else if (at[0] == 'u')
		*node = STR_NONE;
	if (host.len)
		to = put_value(put(to, STR(";host=")), host);
	to = put(put(to, STR(";proto=")), scheme);
	return (struct str){element, (size_t)(to - element)};
}

/* What the first proxy saw is what the client asked for. */
static int first_add(struct http_fields *out, const struct http_fields *in, enum http_name id,
		     struct str own, struct arena *arena)
{
	struct str before = http_fields_get(in, id), value = before.len ? before : own;

	return value.len ? http_fields_add(out, arena, id, value) : 0;
}

int proxy_forwarded_add(struct http_fields *out, const struct http_fields *in,
			const struct net_addr *peer, struct str host, struct str scheme,
			struct arena *arena)
{
	struct str node = STR_NONE;
	struct str element = forwarded_element(peer, host, scheme, &node, arena);
	int err = element.p ? 0 : -ENOMEM;

	if (!err && (node.p || in->first[HTTP_X_FORWARDED_FOR]))
		err = list_add(out, in, HTTP_X_FORWARDED_FOR, node.p ? node : STR("unknown"),
			       arena);
	if (!err)
		err = first_add(out, in, HTTP_X_FORWARDED_PROTO, scheme, arena);
	if (!err)
		err = first_add(out, in, HTTP_X_FORWARDED_HOST, host, arena);
	return err ? err : list_add(out, in, HTTP_FORWARDED, element, arena);
}
