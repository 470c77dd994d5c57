/* internal: from listener, host, path and method to a route. Built once at load time, then immutable. */
#ifndef SLUICE_HTTP_ROUTER_H
#define SLUICE_HTTP_ROUTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/hash.h"
#include "http/fields.h"
#include "net/addr.h"

struct handler_ops;
struct http_stream;

/*
 * A step before the handler: 0 goes on; 1: the step answered (or will); HTTP_STEP_WAIT: it calls http_stream_resume later, and
 * has set s->handler to operations of its own (gone, on_close) that stand in until then; -errno as in handler_ops.open.
 */
#define HTTP_STEP_WAIT 2
struct http_step {
	int (*run)(const void *config, struct http_stream *);
	const void *config;
};
#define HTTP_STEPS_MAX 8

struct http_error_page {
	uint16_t status;
	struct str type, body;
};

struct http_route {
	/*
	 * "/a/": itself and all below it. "/a": the same, and "/a/...", but not "/ab". Normalised (http/path.h).
	 */
	struct str path;
	bool exact; /* matches only itself */
	uint32_t
		methods; /* mask of 1 << enum http_method, GET stands for HEAD too; 0: all. Others get 405 with Allow */
	struct http_step steps[HTTP_STEPS_MAX];
	unsigned step_count;
	const struct handler_ops *handler;
	const void *config;               /* the handler's */
	unsigned index;                   /* into a worker's handler states; set by the router */
	uint64_t body_max;                /* rule 19 */
	const struct http_block *headers; /* added to every response of the route; NULL: none */
	const struct http_error_page *error_pages;
	unsigned error_page_count;
	bool log; /* access log */
};

struct http_site;

/*
 * One for each listening address. Hosts: exact ("example.com", case folded, port ignored), "*.example.com" (any
 * depth, not the bare suffix), "" or "*" the default; without a default the first site added serves what
 * nothing matches... unless strict_hosts, then 421.
 */
struct http_router {
	struct arena *arena; /* shared arena of the snapshot */
	struct hash exact, suffix;
	struct http_site *fallback, *sites; /* the default; the first that was added */
	struct http_site *only;             /* set while every host has the same site */
	bool strict_hosts;
};

/* Limits and defaults of RULES: the same names as in the configuration. */
struct http_limits {
	uint32_t request_line_max, fields_bytes_max, fields_max;
	uint64_t body_max;
	uint32_t head_timeout_ms, stall_timeout_ms, idle_timeout_ms;
	uint32_t rate_min; /* bytes a second that must move, averaged over stall_timeout; 0: off */
	uint32_t requests_max;    /* per connection */
	uint32_t connections_max; /* per worker; 0: from RLIMIT_NOFILE */
	bool keep_underscores, allow_connect, allow_trace;
	bool server_name; /* send Server: sluice */
};
extern const struct http_limits http_limits_default;

struct http_cidr {
	uint8_t family_bytes; /* 4 or 16 */
	uint8_t bits;
	uint8_t addr[16];
};
bool http_cidr_parse(struct str, struct http_cidr *);
bool http_cidr_match(const struct http_cidr *, unsigned count, const struct net_addr *);

/* A whole HTTP configuration: immutable once published; the last reference (any thread) frees it. */
struct http_config {
	_Atomic uint32_t refs;
	struct arena arena;           /* shared: everything below lives in it */
	struct http_router **routers; /* by listener number; NULL: not listened on any more */
	unsigned router_count;
	struct http_route **routes; /* all, by index */
	unsigned route_count, route_cap;
	struct http_limits limits;
	struct http_cidr *trusted; /* rule 14 */
	unsigned trusted_count;
	void (*freed)(struct http_config *); /* releases what is not in the arena; NULL: nothing */
	void *owner;
};

/* One reference. NULL without memory. */
struct http_config *http_config_new(unsigned listeners);
struct http_config *http_config_ref(struct http_config *);
void http_config_unref(struct http_config *);

/* 0; -EINVAL: not a host pattern; -EEXIST: that host has a site; -ENOMEM. Several hosts may share a site: pass it in *site. */
int http_router_site(struct http_config *, unsigned listener, struct str host,
		     struct http_site **site);
/* The route is copied into the arena, *made points to it. -EEXIST: same path and overlapping methods; -EINVAL: path not normalised. */
int http_router_route(struct http_config *, struct http_site *, const struct http_route *,
		      struct http_route **made);

enum http_match {
	HTTP_MATCH,
	HTTP_MATCH_NONE /* 404 */,
	HTTP_MATCH_METHOD /* 405 */,
	HTTP_MATCH_HOST /* 421 */
};
/* Longest path wins; exact before prefix; *allow gets the methods of the path for 405 and OPTIONS. */
enum http_match http_router_match(const struct http_router *, const struct http_head *,
				  struct http_route **, uint32_t *allow);

#endif
