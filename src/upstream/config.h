/* internal: what the configuration says of a group of servers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_CONFIG_H
#define SLUICE_UPSTREAM_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"

#define UPSTREAM_SERVERS_MAX 1024 /* of one group, those found by name included */
#define UPSTREAM_WEIGHT_MAX 256

enum upstream_balance {
	UPSTREAM_ROUND_ROBIN, /* one after another, weights ignored */
	UPSTREAM_WEIGHTED,    /* smooth weighted round robin */
	UPSTREAM_RANDOM,      /* by weight */
	UPSTREAM_P2C,         /* of two random ones that with less load */
	UPSTREAM_LEAST,       /* least active requests per weight */
	UPSTREAM_ADDRESS,     /* hash of the client's address over the usable servers */
	UPSTREAM_CONSISTENT,  /* ring of 160 points a server and weight, by `key` */
};
/* As the configuration says it: "round_robin", "p2c". */
const char *upstream_balance_name(enum upstream_balance);

/* What is hashed, for UPSTREAM_CONSISTENT. Without such a header or cookie: the client's address. */
enum upstream_key {
	UPSTREAM_KEY_ADDRESS,
	UPSTREAM_KEY_HEADER,
	UPSTREAM_KEY_COOKIE,
	UPSTREAM_KEY_URI
};

enum upstream_server_kind {
	UPSTREAM_SERVER_ADDR, /* "10.0.0.1:80", "unix:/run/app.sock" */
	UPSTREAM_SERVER_NAME, /* "app.example.com:80": every address of it is a server */
	UPSTREAM_SERVER_SRV,  /* "srv:_http._tcp.example.com" */
};

struct upstream_server_config {
	struct str text; /* as written; the name of the server */
	enum upstream_server_kind kind;
	struct net_addr addr; /* ADDR */
	struct str host;      /* NAME, SRV */
	uint16_t port;        /* NAME */
	uint32_t weight;      /* 1 to UPSTREAM_WEIGHT_MAX */
	uint32_t max_conns;   /* requests or connections at a time, of all workers; 0: no bound */
	bool backup;          /* used when no other is usable */
};
/*
 * "10.0.0.1:80", "[::1]:80", ":80" and "80" (127.0.0.1), "unix:/path", "app.example.com:80", "srv:_http._tcp.example.com":
 * weight 1; text and host are views of `text`. 0 or -EINVAL with what is wrong and the cure in why.
 */
int upstream_server_parse(struct str text, struct upstream_server_config *, char *why,
			  size_t why_len);

/* Active checks. */
struct upstream_health {
	bool on;
	bool http; /* else: a TCP connection is enough */
	uint32_t every_ms, timeout_ms;
	uint32_t jitter_percent; /* of every_ms */
	uint32_t rise, fall;     /* in a row */
	struct str path, host;   /* of the request; host empty: the server's address */
	uint16_t status_min, status_max;
	struct str body; /* must be in the first 64 KiB of the answer; empty: not looked at */
	uint16_t port;   /* another one than the server's; 0: the same */
};

/* Passive: who fails is left out for a while. */
struct upstream_outlier {
	uint32_t consecutive;         /* failures in a row; 0: off */
	uint32_t error_percent;       /* of the requests of a window; 0: off */
	uint32_t requests_min;        /* in the window, before the rate counts */
	uint32_t window_ms, eject_ms; /* eject_ms grows with each ejection, at most ten times */
	uint32_t
		ejected_max_percent; /* of the group, but one may always be, unless it is the last that is usable */
};

/* Circuit breaker; all triggers 0: none. */
struct upstream_breaker_config {
	uint32_t error_percent, requests_min, window_ms;
	uint32_t consecutive;
	uint32_t slow_ms, slow_percent; /* calls that took longer, as a share of the window */
	uint32_t open_ms;
	uint32_t probes; /* that half-open lets through; all must succeed */
};

enum upstream_retry_on {
	UPSTREAM_RETRY_CONNECT = 1, /* refused, unreachable, too slow to connect */
	UPSTREAM_RETRY_RESET = 2,   /* the connection broke before a head came */
	UPSTREAM_RETRY_TIMEOUT = 4, /* no first byte in time */
	UPSTREAM_RETRY_500 = 8,
	UPSTREAM_RETRY_502 = 16,
	UPSTREAM_RETRY_503 = 32,
	UPSTREAM_RETRY_504 = 64,
};

struct upstream_retry {
	uint32_t max;            /* tries after the first; 0: none */
	uint32_t on;             /* mask of enum upstream_retry_on */
	uint32_t budget_percent; /* of the requests of the last 10 s, and at least 3 a second */
	uint32_t backoff_ms, backoff_max_ms; /* doubled each time, with full jitter */
};

struct upstream_timeouts {
	uint32_t connect_ms, first_byte_ms, between_ms, total_ms; /* total_ms 0: no bound */
};

/* Kept connections, for each worker. */
struct upstream_keepalive {
	uint32_t idle_max, idle_timeout_ms, requests_max; /* requests_max 0: no bound */
};

/* Immutable; lives as long as its configuration. */
struct upstream_config {
	struct str name;
	const struct upstream_server_config *servers;
	unsigned server_count;
	enum upstream_balance balance;
	enum upstream_key key;
	struct str key_name; /* of the header or cookie */
	uint32_t
		load_max_percent; /* UPSTREAM_CONSISTENT: of the mean load, 125: bounded; 0: not bounded */
	struct str sticky_cookie; /* the server that answered is remembered in it; empty: off */
	uint32_t slow_start_ms;   /* a server that came back reaches its weight in this time */
	uint32_t queue_max, queue_timeout_ms; /* who waits for max_conns, in each worker */
	uint32_t requests_max;                /* bulkhead: at a time, of all workers; 0: no bound */
	struct upstream_health health;
	struct upstream_outlier outlier;
	struct upstream_breaker_config breaker, group_breaker;
	struct upstream_retry retry;
	struct upstream_timeouts timeouts;
	struct upstream_keepalive keepalive;
	uint8_t send_proxy; /* enum proxy_version: for every new connection */
};

/* RULES: round robin, connect 3 s, first byte and between 30 s, 64 kept for 60 s, one retry, budget 20 %. */
void upstream_config_init(struct upstream_config *);

#endif
