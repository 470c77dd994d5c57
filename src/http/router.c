// SPDX-License-Identifier: Apache-2.0
#include "http/router.h"

#include <errno.h>

#include "base/compiler.h"
#include "http/authority.h"
#include "http/path.h"

#define METHODS_ALL ((1u << HTTP_METHOD_COUNT) - 1)
#define METHOD_GET (1u << HTTP_GET)
#define METHOD_HEAD (1u << HTTP_HEAD)
#define SLOTS_FIRST 8
/* So few are looked at one by one. */
#define SLOTS_LINEAR 4

/* Routes of one path, those that are exact first. */
struct site_route {
	struct http_route *route;
	struct site_route *next;
};

/* One path. */
struct site_node {
	struct str path;
	uint64_t key; /* see key_of() */
	struct site_node
		*parent; /* the longest other path that this one begins with, byte by byte */
	struct site_route *routes;
	uint32_t allow_equal; /* methods for the path itself */
	uint32_t allow_below; /* and for what is below it */
};

/*
 * Paths in byte order. The paths of a site that some path begins with are all found on the way from the last
 * node that is not after it up through its parents: whatever stands between a prefix and that path in this
 * order begins with the prefix too.
 */
struct site_slot {
	uint64_t key;
	struct site_node *node;
};

struct http_site {
	struct site_slot *slots;
	unsigned count, cap;
};

/* The first eight bytes, so that numbers are in the order of the bytes; a shorter path ends in zeros. */
static inline uint64_t key_of(struct str path)
{
	uint64_t key = 0;

	if (SL_LIKELY(path.len >= 8)) {
		memcpy(&key, path.p, 8);
		return be64toh(key);
	}
	for (size_t i = 0; i < path.len; i++)
		key = key << 8 | (unsigned char)path.p[i];
	return path.len ? key << (8 - path.len) * 8 : 0;
}

/* What the keys do not tell; a call of its own, so that the search above it needs no stack frame. */
static __attribute__((noinline)) int compare_rest(struct str path, struct str other)
{
	int r = path.len > 8 && other.len > 8
		      ? memcmp(path.p + 8, other.p + 8, SL_MIN(path.len, other.len) - 8)
		      : 0;

	return r ? r : path.len < other.len ? -1 : path.len > other.len;
}

static inline bool is_before(struct str path, uint64_t key, const struct site_slot *slot)
{
	if (SL_LIKELY(key != slot->key))
		return key < slot->key;
	return compare_rest(path, slot->node->path) < 0;
}

/* How many slots are not after the path. */
static inline unsigned slots_upto(const struct http_site *site, struct str path, uint64_t key)
{
	unsigned low = 0, high = site->count;

	while (SL_UNLIKELY(high - low > SLOTS_LINEAR)) {
		unsigned mid = (low + high) / 2;

		if (is_before(path, key, &site->slots[mid]))
			high = mid;
		else
			low = mid + 1;
	}
	while (high > low && is_before(path, key, &site->slots[high - 1]))
		high--;
	return high;
}

static __attribute__((noinline)) bool begins_with_long(struct str path, struct str other)
{
	return memcmp(path.p + 8, other.p + 8, other.len - 8) == 0;
}

static inline bool begins_with(struct str path, uint64_t key, const struct site_node *node)
{
	size_t len = node->path.len;

	if (len > path.len)
		return false;
	if (len <= 8)
		return (key ^ node->key) >> (8 - len) * 8 == 0;
	return key == node->key && begins_with_long(path, node->path);
}

/* Whether `path`, which begins with the node's and is longer, is below it and not beside it ("/ab" and "/a"). */
static inline bool is_below(struct str path, const struct site_node *node)
{
	size_t len = node->path.len;

	return node->path.p[len - 1] == '/' || path.p[len] == '/';
}

static struct http_route *route_for(const struct site_node *node, bool equal, uint32_t wanted)
{
	for (struct site_route *r = node->routes; r; r = r->next) {
		uint32_t methods = r->route->methods ? r->route->methods : METHODS_ALL;

		if (methods & wanted && (equal || !r->route->exact))
			return r->route;
	}
	return NULL;
}

static inline enum http_match match_path(const struct http_site *site, const struct http_head *head,
					 struct http_route **route, uint32_t *allow)
{
	struct str path = head->path;
	uint64_t key = key_of(path);
	unsigned at = slots_upto(site, path, key);
	uint32_t wanted = 1u << head->method;

	for (struct site_node *n = at ? site->slots[at - 1].node : NULL; n; n = n->parent) {
		bool equal = n->path.len == path.len;

		if (!begins_with(path, key, n) || (!equal && !is_below(path, n)))
			continue;
		uint32_t methods = equal ? n->allow_equal : n->allow_below;

		if (SL_UNLIKELY(!methods))
			continue;
		struct http_route *found = route_for(n, equal, wanted);

		/* What answers GET answers HEAD. */
		if (!found && wanted == METHOD_HEAD)
			found = route_for(n, equal, METHOD_GET);
		*allow = methods;
		*route = found;
		return found ? HTTP_MATCH : HTTP_MATCH_METHOD;
	}
	*route = NULL;
	*allow = 0;
	return HTTP_MATCH_NONE;
}

/* Lower case, without port and without the dot of the root. `to` has HTTP_HOST_MAX bytes. */
static struct str fold_host(struct str authority, char *to)
{
	struct str host = http_authority_host(authority);

	if (host.len && host.p[host.len - 1] == '.')
		host.len--;
	if (host.len > HTTP_HOST_MAX)
		return STR_NONE;
	for (size_t i = 0; i < host.len; i++) {
		char c = host.p[i];

		to[i] = (char)((unsigned)(c - 'A') < 26 ? c | 0x20 : c);
	}
	return (struct str){to, host.len};
}

static __attribute__((noinline)) struct http_site *find_site(const struct http_router *r,
							     struct str authority)
{
	char folded[HTTP_HOST_MAX];
	struct str host = fold_host(authority, folded);
	struct http_site *site = NULL;

	if (host.len && r->exact.count)
		site = hash_get(&r->exact, host);
	/* The longest suffix first; never the whole host. */
	while (!site && r->suffix.count && host.len) {
		ptrdiff_t dot = str_find_byte(host, '.');

		if (dot < 0)
			break;
		host = str_skip(host, (size_t)dot + 1);
		site = hash_get(&r->suffix, host);
	}
	if (!site)
		site = r->fallback;
	return site || r->strict_hosts ? site : r->sites;
}

enum http_match http_router_match(const struct http_router *r, const struct http_head *head,
				  struct http_route **route, uint32_t *allow)
{
	struct http_site *site = r->only;

	if (SL_UNLIKELY(!site || (r->strict_hosts && site != r->fallback)))
		site = find_site(r, head->authority);
	if (SL_LIKELY(site))
		return match_path(site, head, route, allow);
	*route = NULL;
	*allow = 0;
	return HTTP_MATCH_HOST;
}

/* A host pattern without its "*." and folded into the arena. 0, -EINVAL or -ENOMEM. */
static int parse_pattern(struct http_config *c, struct str text, bool *suffix, struct str *host)
{
	struct str port;
	char *to;

	*suffix = str_starts(text, STR("*."));
	if (*suffix)
		text = str_skip(text, 2);
	/* A name may hold an asterisk by its grammar; here it could only be a mistake. */
	if (!http_authority_split(text, host, &port) || port.p || str_starts(*host, STR(".")) ||
	    str_find_byte(*host, '*') >= 0)
		return -EINVAL;
	to = arena_alloc(&c->arena, host->len);
	if (!to)
		return -ENOMEM;
	*host = fold_host(*host, to);
	return host->len ? 0 : -EINVAL;
}

int http_router_site(struct http_config *c, unsigned listener, struct str host,
		     struct http_site **site)
{
	struct http_router *r;
	struct http_site *made = *site;
	bool fallback = !host.len || str_eq(host, STR("*"));
	bool suffix = false;
	int err = 0;

	if (listener >= c->router_count)
		return -EINVAL;
	r = c->routers[listener];
	if (fallback && r->fallback)
		return -EEXIST;
	if (!fallback)
		err = parse_pattern(c, host, &suffix, &host);
	if (err)
		return err;
	if (!made)
		made = arena_zalloc(&c->arena, sizeof(*made));
	if (!made)
		return -ENOMEM;
	if (fallback)
		r->fallback = made;
	else
		err = hash_put(suffix ? &r->suffix : &r->exact, host, made);
	if (err)
		return err;
	r->only = !r->sites || r->only == made ? made : NULL;
	if (!r->sites)
		r->sites = made;
	*site = made;
	return 0;
}

/* Puts the node in its place, and between its parent and those that begin with it. 0 or -ENOMEM. */
static int insert_node(struct http_config *c, struct http_site *site, struct site_node *node)
{
	unsigned at = slots_upto(site, node->path, node->key);

	if (site->count == site->cap) {
		unsigned cap = site->cap ? site->cap * 2 : SLOTS_FIRST;
		struct site_slot *slots = arena_alloc(&c->arena, cap * sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		if (site->count)
			memcpy(slots, site->slots, site->count * sizeof(*slots));
		site->slots = slots;
		site->cap = cap;
	}
	memmove(site->slots + at + 1, site->slots + at, (site->count - at) * sizeof(*site->slots));
	site->slots[at] = (struct site_slot){node->key, node};
	site->count++;

	for (struct site_node *n = at ? site->slots[at - 1].node : NULL; n; n = n->parent) {
		if (begins_with(node->path, node->key, n)) {
			node->parent = n;
			break;
		}
	}
	for (unsigned i = at + 1; i < site->count; i++) {
		struct site_node *n = site->slots[i].node;

		if (!begins_with(n->path, n->key, node))
			break;
		if (n->parent == node->parent)
			n->parent = node;
	}
	return 0;
}

static struct site_node *find_node(const struct http_site *site, struct str path)
{
	unsigned at = slots_upto(site, path, key_of(path));

	return at && str_eq(site->slots[at - 1].node->path, path) ? site->slots[at - 1].node : NULL;
}

static void add_to_node(struct site_node *node, struct site_route *entry)
{
	struct site_route **at = &node->routes;
	uint32_t methods = entry->route->methods ? entry->route->methods : METHODS_ALL;

	if (methods & METHOD_GET)
		methods |= METHOD_HEAD;
	node->allow_equal |= methods;
	if (!entry->route->exact)
		node->allow_below |= methods;
	while (*at && (*at)->route->exact >= entry->route->exact)
		at = &(*at)->next;
	entry->next = *at;
	*at = entry;
}

static bool overlaps(const struct site_node *node, const struct http_route *route)
{
	uint32_t methods = route->methods ? route->methods : METHODS_ALL;

	for (struct site_route *r = node->routes; r; r = r->next)
		if (r->route->exact == route->exact &&
		    (!r->route->methods || r->route->methods & methods))
			return true;
	return false;
}

/* Room for one more in the list of all routes. 0 or -ENOMEM. */
static int reserve_route(struct http_config *c)
{
	unsigned cap = c->route_cap ? c->route_cap * 2 : SLOTS_FIRST;
	struct http_route **routes;

	if (c->route_count < c->route_cap)
		return 0;
	routes = arena_alloc(&c->arena, cap * sizeof(struct http_route *));
	if (!routes)
		return -ENOMEM;
	if (c->route_count)
		memcpy(routes, c->routes, c->route_count * sizeof(struct http_route *));
	c->routes = routes;
	c->route_cap = cap;
	return 0;
}

static bool is_normalised(struct http_config *c, struct str path)
{
	struct str out;

	return http_path_normalise(path, &c->arena, &out) == 0 && str_eq(path, out);
}

int http_router_route(struct http_config *c, struct http_site *site, const struct http_route *route,
		      struct http_route **made)
{
	struct site_node *node;
	struct http_route *copy;
	struct site_route *entry;

	if (!is_normalised(c, route->path) || route->step_count > HTTP_STEPS_MAX)
		return -EINVAL;
	node = find_node(site, route->path);
	if (node && overlaps(node, route))
		return -EEXIST;
	copy = arena_alloc(&c->arena, sizeof(*copy));
	entry = arena_zalloc(&c->arena, sizeof(*entry));
	if (!copy || !entry || reserve_route(c))
		return -ENOMEM;
	*copy = *route;
	if (!node) {
		node = arena_zalloc(&c->arena, sizeof(*node));
		copy->path = arena_dup(&c->arena, route->path);
		if (!node || !copy->path.p)
			return -ENOMEM;
		node->path = copy->path;
		node->key = key_of(node->path);
		if (insert_node(c, site, node))
			return -ENOMEM;
	}
	copy->path = node->path;
	copy->index = c->route_count;
	c->routes[c->route_count++] = copy;
	entry->route = copy;
	add_to_node(node, entry);
	*made = copy;
	return 0;
}
