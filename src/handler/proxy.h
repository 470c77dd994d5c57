/* internal: the handler that passes requests on to a group of servers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_PROXY_H
#define SLUICE_HANDLER_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "handler/respond.h"
#include "http/fields.h"
#include "http/stream.h"
#include "upstream/config.h"

struct upstream_group;

/* Fields set and removed on the way: removed first, then set. Values may hold $client, $host, $scheme, $path, $server. */
struct proxy_fields {
	const struct http_field *set;
	unsigned set_count;
	const struct str *remove;
	unsigned remove_count;
};
#define PROXY_FIELDS_MAX 64

enum proxy_fallback {
	PROXY_FALLBACK_NONE,    /* 502, 503 or 504 */
	PROXY_FALLBACK_GROUP,   /* one more try there */
	PROXY_FALLBACK_FILE,    /* read when the configuration is */
	PROXY_FALLBACK_RESPOND, /* a fixed answer */
};

/*
 * Immutable and outlives every attach, but for the groups: the program joins them before a worker sees this.
 */
struct proxy_config {
	const struct upstream_config *upstream;
	struct upstream_group *group;
	struct str
		host; /* sent as Host; empty: the client's is kept; "$server": the server's name */
	struct str strip;  /* taken off the front of the path: "/api"; empty: nothing */
	struct str prefix; /* put before what is left: "/v1"; empty: nothing */
	struct proxy_fields request, response;
	uint32_t total_timeout_ms; /* UINT32_MAX: the group's */
	bool no_forwarded;         /* X-Forwarded-For, -Proto, -Host and Forwarded are not sent */
	bool no_via;
	bool no_upgrade; /* Upgrade is not passed on */
	bool trace;      /* traceparent is continued, or begun */
	enum proxy_fallback fallback;
	const struct upstream_config *fallback_upstream;
	struct upstream_group *fallback_group;
	struct respond_config
		fallback_respond; /* FILE, RESPOND; status 0: the one that it stands in for */
	const struct upstream_config *mirror;
	struct upstream_group *mirror_group;
	uint32_t mirror_permille; /* of the requests */
	uint64_t mirror_body_max; /* a request with a larger body is not mirrored */
};

/* Bytes of mirrored requests that one worker holds. */
#define PROXY_MIRROR_BYTES_MAX (16u << 20)
#define PROXY_MIRROR_REQUESTS_MAX 256

/* Its config is a struct proxy_config. */
extern const struct handler_ops proxy_handler;

#endif
