// SPDX-License-Identifier: Apache-2.0
#include "http/forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/compiler.h"
#include "http/hop.h"

#define FORWARDED_NAMES                                                        \
	((uint64_t)1 << HTTP_FORWARDED | (uint64_t)1 << HTTP_X_FORWARDED_FOR | \
	 (uint64_t)1 << HTTP_X_FORWARDED_HOST | (uint64_t)1 << HTTP_X_FORWARDED_PROTO)

static bool is_forwarded(const struct http_field *f, const void *data)
{
	(void)data;
	return FORWARDED_NAMES >> f->id & 1 ||
	       (f->id == HTTP_OTHER && str_starts_nocase(f->name, STR("x-forwarded-")));
}

void http_forwarded_remove(struct http_fields *f)
{
	http_fields_remove_if(f, is_forwarded, NULL);
}

/* Splits "host:port" so that the colons of an IPv6 address are left alone. */
static bool split_port(struct str text, struct str *host, struct str *port)
{
	ptrdiff_t end;

	*host = text;
	*port = STR_NONE;
	if (str_starts(text, STR("["))) {
		end = str_find_byte(text, ']');
		if (end < 0)
			return false;
		*host = str_skip(str_head(text, (size_t)end), 1);
		text = str_skip(text, (size_t)end + 1);
		if (!text.len)
			return true;
		if (!str_starts(text, STR(":")))
			return false;
		*port = str_skip(text, 1);
		return true;
	}
	end = str_find_byte(text, ':');
	if (end >= 0 && str_find_byte(str_skip(text, (size_t)end + 1), ':') < 0) {
		*host = str_head(text, (size_t)end);
		*port = str_skip(text, (size_t)end + 1);
	}
	return true;
}

bool http_hop_parse(struct str text, struct net_addr *a)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a->u.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a->u.storage;
	char zero[INET6_ADDRSTRLEN];
	struct str host, port;
	uint64_t number = 0;

	if (!split_port(text, &host, &port) || !host.p || !host.len || host.len >= sizeof(zero) ||
	    (port.p && str_to_u64(port, UINT16_MAX, &number)))
		return false;
	memcpy(zero, host.p, host.len);
	zero[host.len] = '\0';
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, zero, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)number);
		a->len = sizeof(*v4);
		return true;
	}
	if (inet_pton(AF_INET6, zero, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)number);
		a->len = sizeof(*v6);
		return true;
	}
	return false;
}

/*
 * Cuts the last element off a list. A comma inside quotes cuts too: no address has one, so what is wrong then
 * is no hop, and ends the list.
 */
static struct str cut_last(struct str *list)
{
	struct str last = *list;

	for (size_t i = list->len; i > 0; i--) {
		if (list->p[i - 1] == ',') {
			last = str_skip(*list, i);
			list->len = i - 1;
			return str_trim(last);
		}
	}
	list->len = 0;
	return str_trim(last);
}

/* The value of for= in one element of Forwarded, its quotes removed; STR_NONE without one. */
static struct str for_of(struct str element)
{
	struct str pair;

	while (str_next(&element, ';', &pair)) {
		if (!str_starts_nocase(pair, STR("for=")))
			continue;
		pair = str_skip(pair, 4);
		if (pair.len >= 2 && pair.p[0] == '"' && pair.p[pair.len - 1] == '"')
			pair = (struct str){pair.p + 1, pair.len - 2};
		return pair;
	}
	return STR_NONE;
}

struct net_addr http_client_addr(const struct net_addr *peer, const struct http_cidr *trusted,
				 unsigned count, struct http_fields *fields)
{
	struct net_addr client = *peer, hop;
	enum http_name id =
		fields->first[HTTP_X_FORWARDED_FOR] ? HTTP_X_FORWARDED_FOR : HTTP_FORWARDED;
	unsigned hops = 0;

	if (SL_LIKELY(!http_cidr_match(trusted, count, peer))) {
		http_forwarded_remove(fields);
		return client;
	}
	if (!fields->first[id])
		return client;
	for (unsigned i = fields->count; i-- > 0;) {
		struct str list = fields->v[i].value;

		while (fields->v[i].id == id && list.len) {
			struct str last = cut_last(&list);

			if (id == HTTP_FORWARDED)
				last = for_of(last);
			if (++hops > HTTP_HOPS_MAX || !http_hop_parse(last, &hop))
				return client;
			client = hop;
			if (!http_cidr_match(trusted, count, &client))
				return client;
		}
	}
	return client;
}
