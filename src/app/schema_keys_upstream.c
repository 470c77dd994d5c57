// SPDX-License-Identifier: Apache-2.0
// The table of keys, continued: groups of servers, and the handler that passes requests to them.
#include "app/config_spec.h"
#include "app/schema_hooks.h"
#include "net/proxy_header.h"

#define BLOCK_KEYS(table) .keys = (table), .key_count = SL_ARRAY_SIZE(table)
#define GROUP(member) SCHEMA_AT(struct spec_upstream, config.member)

static const struct schema_word words_balance[] = {
	{"round_robin", UPSTREAM_ROUND_ROBIN}, {"weighted", UPSTREAM_WEIGHTED},
	{"random", UPSTREAM_RANDOM},           {"p2c", UPSTREAM_P2C},
	{"least_conn", UPSTREAM_LEAST},        {"ip_hash", UPSTREAM_ADDRESS},
	{"consistent", UPSTREAM_CONSISTENT},   {NULL, 0},
};

static const struct schema_word words_retry[] = {
	{"connect", 0}, {"reset", 1}, {"timeout", 2}, {"500", 3},
	{"502", 4},     {"503", 5},   {"504", 6},     {NULL, 0},
};
_Static_assert(UPSTREAM_RETRY_CONNECT == 1 << 0 && UPSTREAM_RETRY_RESET == 1 << 1 &&
		       UPSTREAM_RETRY_TIMEOUT == 1 << 2 && UPSTREAM_RETRY_500 == 1 << 3 &&
		       UPSTREAM_RETRY_502 == 1 << 4 && UPSTREAM_RETRY_503 == 1 << 5 &&
		       UPSTREAM_RETRY_504 == 1 << 6,
	       "words name the bits");

const struct schema_word schema_words_send_proxy[] = {
	{"off", PROXY_NONE},
	{"v1", PROXY_V1},
	{"v2", PROXY_V2},
	{NULL, 0},
};

static const struct schema_key keys_server[] = {
	{"weight", SCHEMA_INTEGER, .def = "1", .min = 1, .max = UPSTREAM_WEIGHT_MAX,
	 SCHEMA_AT(struct spec_server, config.weight),
	 .doc = "Its share of the requests, beside the weights of the others"},
	{"max_conns", SCHEMA_INTEGER, .def = "0", SCHEMA_AT(struct spec_server, config.max_conns),
	 .doc = "Requests or connections at a time, of all workers; more wait in the `queue`. 0: no bound"},
	{"backup", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct spec_server, config.backup),
	 .doc = "Used only when no other server is usable"},
};

static const struct schema_block block_server = {
	.name = "server",
	.doc = "One server of a group: `server \"10.0.0.1:80\" { weight = 2; }`.",
	BLOCK_KEYS(keys_server),
	.begin = hook_server_begin,
};

static const struct schema_key keys_health[] = {
	{"path", SCHEMA_STRING, .def = "/", GROUP(health.path), .apply = hook_health_path,
	 .doc = "What is asked for by `GET`. `\"\"` asks for nothing: a TCP connection is enough"},
	{"host", SCHEMA_STRING, GROUP(health.host), .apply = hook_text,
	 .doc = "Sent as `Host`; the server's address when not given"},
	{"every", SCHEMA_DURATION, .def = "5s", .min = 100, GROUP(health.every_ms),
	 .doc = "Time between two checks of a server"},
	{"jitter", SCHEMA_PERCENT, .def = "10%", .max = 50, GROUP(health.jitter_percent),
	 .doc = "How far each check may be off that time, so that servers are not asked all at once"},
	{"timeout", SCHEMA_DURATION, .def = "2s", .min = 1, GROUP(health.timeout_ms),
	 .doc = "A check that takes longer has failed"},
	{"rise", SCHEMA_INTEGER, .def = "2", .min = 1, .max = 1000, GROUP(health.rise),
	 .doc = "Good checks in a row that bring a server back"},
	{"fall", SCHEMA_INTEGER, .def = "3", .min = 1, .max = 1000, GROUP(health.fall),
	 .doc = "Bad checks in a row that take a server out"},
	{"status", SCHEMA_STRING, .def = "200-399", .apply = hook_health_status,
	 .doc = "What is good: a status, or the first and the last"},
	{"body", SCHEMA_STRING, GROUP(health.body),
	 .doc = "Must be found in the first 64 KiB of the answer, when given"},
	{"port", SCHEMA_INTEGER, .def = "0", .max = UINT16_MAX, GROUP(health.port),
	 .doc = "Where checks go in place of the server's port; 0: there"},
};

static const struct schema_block block_health = {
	.name = "health",
	.doc = "Active checks; there are none without this block. `health = \"/healthz\"` names only the path.",
	BLOCK_KEYS(keys_health),
	.brief = "path",
	.end = hook_health_end,
};

static const struct schema_key keys_outlier[] = {
	{"consecutive", SCHEMA_INTEGER, .def = "5", .max = 1000000, GROUP(outlier.consecutive),
	 .doc = "Failures in a row after which a server is left out; 0: off"},
	{"errors", SCHEMA_PERCENT, .def = "0%", .max = 100, GROUP(outlier.error_percent),
	 .doc = "Share of failures after which a server is left out; 0%: off"},
	{"min_requests", SCHEMA_INTEGER, .def = "20", .min = 1, GROUP(outlier.requests_min),
	 .doc = "Requests in the window before `errors` counts"},
	{"window", SCHEMA_DURATION, .def = "10s", .min = 100, GROUP(outlier.window_ms),
	 .doc = "What `errors` looks back on"},
	{"eject", SCHEMA_DURATION, .def = "10s", .min = 1, GROUP(outlier.eject_ms),
	 .doc = "How long it is left out; longer each time, at most ten times as long"},
	{"max_ejected", SCHEMA_PERCENT, .def = "50%", .max = 100,
	 GROUP(outlier.ejected_max_percent),
	 .doc = "At most this share of the group is left out, but one server may always be, unless no other is usable"},
};

static const struct schema_block block_outlier = {
	.name = "outlier",
	.doc = "Passive checks: a server whose requests fail is left out for a while. They are on; `consecutive = 0` turns them off.",
	BLOCK_KEYS(keys_outlier),
};

#define BREAKER(member) SCHEMA_AT(struct upstream_breaker_config, member)

static const struct schema_key keys_breaker[] = {
	{"errors", SCHEMA_PERCENT, .def = "0%", .max = 100, BREAKER(error_percent),
	 .doc = "Share of failures that opens it; 50% when the block says no reason at all"},
	{"min_requests", SCHEMA_INTEGER, .def = "20", .min = 1, BREAKER(requests_min),
	 .doc = "Requests in the window before shares count"},
	{"window", SCHEMA_DURATION, .def = "10s", .min = 100, BREAKER(window_ms),
	 .doc = "What shares look back on"},
	{"consecutive", SCHEMA_INTEGER, .def = "0", .max = 1000000, BREAKER(consecutive),
	 .doc = "Failures in a row that open it; 0: off"},
	{"slow", SCHEMA_DURATION, .def = "0", BREAKER(slow_ms),
	 .doc = "Calls that take longer are slow; 0: off"},
	{"slow_share", SCHEMA_PERCENT, .def = "50%", .min = 1, .max = 100, BREAKER(slow_percent),
	 .doc = "Share of slow calls that opens it"},
	{"open", SCHEMA_DURATION, .def = "15s", .min = 1, BREAKER(open_ms),
	 .doc = "How long nothing is let through"},
	{"probes", SCHEMA_INTEGER, .def = "3", .min = 1, .max = 1000, BREAKER(probes),
	 .doc = "Requests that are let through then: when all go well it closes"},
};

static const struct schema_block block_breaker = {
	.name = "breaker",
	.doc = "Circuit breaker of each server, or as `group_breaker` of the whole group: none without this block.",
	BLOCK_KEYS(keys_breaker),
	.end = hook_breaker_end,
};

static const struct schema_key keys_retry[] = {
	{"max", SCHEMA_INTEGER, .def = "1", .max = 8, GROUP(retry.max),
	 .doc = "Tries after the first; 0: none"},
	{"on", SCHEMA_FLAGS, .words = words_retry, GROUP(retry.on),
	 .doc = "What is tried again, on another server where there is one: `connect` and `reset` when not given. Requests that may not be repeated are tried again only when nothing was sent"},
	{"budget", SCHEMA_PERCENT, .def = "20%", .max = 100, GROUP(retry.budget_percent),
	 .doc = "Retries as a share of the requests of the last ten seconds; three a second are always allowed"},
	{"backoff", SCHEMA_DURATION, .def = "25ms", GROUP(retry.backoff_ms),
	 .doc = "Wait before the first retry, at most; doubled each time, by chance below that"},
	{"backoff_max", SCHEMA_DURATION, .def = "1s", GROUP(retry.backoff_max_ms),
	 .doc = "It does not grow beyond this"},
};

static const struct schema_block block_retry = {
	.name = "retry",
	.doc = "When a request is tried again. `retry = 0` turns it off.",
	BLOCK_KEYS(keys_retry),
	.brief = "max",
};

static const struct schema_key keys_timeouts[] = {
	{"connect", SCHEMA_DURATION, .def = "3s", .min = 1, GROUP(timeouts.connect_ms),
	 .doc = "Until a server has taken the connection"},
	{"first_byte", SCHEMA_DURATION, .def = "30s", .min = 1, GROUP(timeouts.first_byte_ms),
	 .doc = "From the end of the request until the answer begins: 504 after that"},
	{"between", SCHEMA_DURATION, .def = "30s", .min = 1, GROUP(timeouts.between_ms),
	 .doc = "Silence within an answer after which it is cut"},
	{"total", SCHEMA_DURATION, .def = "0", GROUP(timeouts.total_ms),
	 .doc = "For the whole of it, retries included; 0: no bound"},
};

static const struct schema_block block_timeouts = {
	.name = "timeouts",
	.doc = "How long servers may take.",
	BLOCK_KEYS(keys_timeouts),
};

static const struct schema_key keys_keepalive[] = {
	{"idle", SCHEMA_INTEGER, .def = "64", .max = 65536, GROUP(keepalive.idle_max),
	 .doc = "Connections that each worker keeps open without a request; 0: none"},
	{"timeout", SCHEMA_DURATION, .def = "60s", .min = 1, GROUP(keepalive.idle_timeout_ms),
	 .doc = "How long they are kept"},
	{"requests", SCHEMA_INTEGER, .def = "0", GROUP(keepalive.requests_max),
	 .doc = "Requests on one connection before it is closed; 0: no bound"},
};

static const struct schema_block block_keepalive = {
	.name = "keepalive",
	.doc = "Connections to servers that are used again. `keepalive = 16` names only how many.",
	BLOCK_KEYS(keys_keepalive),
	.brief = "idle",
};

static const struct schema_key keys_queue[] = {
	{"max", SCHEMA_INTEGER, .def = "100", .max = 1000000, GROUP(queue_max),
	 .doc = "Requests that wait in each worker; more are answered with 503"},
	{"timeout", SCHEMA_DURATION, .def = "5s", .min = 1, GROUP(queue_timeout_ms),
	 .doc = "How long they wait: 503 after that"},
};

static const struct schema_block block_queue = {
	.name = "queue",
	.doc = "Requests that wait while all servers are at their `max_conns`.",
	BLOCK_KEYS(keys_queue),
};

static const struct schema_key keys_upstream[] = {
	{"servers", SCHEMA_LIST, .max = UPSTREAM_SERVERS_MAX, .apply = hook_servers,
	 .doc = "Addresses: `\"10.0.0.1:8080\"`, `\":8080\"` of this machine, `\"unix:/run/app.sock\"`; names, each of whose addresses is a server: `\"app.example.com:8080\"`, `\"srv:_http._tcp.example.com\"`"},
	{"server", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_server,
	 .doc = "One server with options of its own: `server \"10.0.0.1:80\" { weight = 2; }`"},
	{"balance", SCHEMA_WORD, .words = words_balance, .apply = hook_upstream_balance,
	 GROUP(balance),
	 .doc = "Who is next. `p2c`: of two random ones that with less load; `ip_hash`: by the client's address; `consistent`: by `key`, so that few keys move when servers come and go. `round_robin` when not given, `weighted` when servers have weights"},
	{"key", SCHEMA_STRING, .def = "client_ip", .apply = hook_upstream_key,
	 .doc = "What `consistent` goes by: `client_ip`, `uri`, `header:NAME` or `cookie:NAME`"},
	{"load_max", SCHEMA_PERCENT, .def = "0%", .max = 1000, GROUP(load_max_percent),
	 .doc = "With `consistent`: a server above this share of the mean load gives to the next, as `125%`. 0%: not bounded"},
	{"sticky", SCHEMA_STRING, GROUP(sticky_cookie), .apply = hook_upstream_sticky,
	 .doc = "A cookie of this name brings a client back to the server that it had"},
	{"slow_start", SCHEMA_DURATION, .def = "0", GROUP(slow_start_ms),
	 .doc = "A server that comes back reaches its share in this time"},
	{"max_requests", SCHEMA_INTEGER, .def = "0", GROUP(requests_max),
	 .doc = "At a time, of all workers; more are answered with 503, so that one slow group cannot take everything. 0: no bound"},
	{"queue", SCHEMA_BLOCK, .block = &block_queue, .doc = "Who waits for `max_conns`"},
	{"health", SCHEMA_BLOCK, .block = &block_health, .doc = "Active checks"},
	{"outlier", SCHEMA_BLOCK, .block = &block_outlier, .doc = "Passive checks"},
	{"breaker", SCHEMA_BLOCK, .block = &block_breaker,
	 .at = offsetof(struct spec_upstream, config.breaker),
	 .doc = "Circuit breaker of each server"},
	{"group_breaker", SCHEMA_BLOCK, .block = &block_breaker,
	 .at = offsetof(struct spec_upstream, config.group_breaker),
	 .doc = "Circuit breaker of the whole group"},
	{"retry", SCHEMA_BLOCK, .block = &block_retry, .doc = "When a request is tried again"},
	{"timeouts", SCHEMA_BLOCK, .block = &block_timeouts, .doc = "How long servers may take"},
	{"keepalive", SCHEMA_BLOCK, .block = &block_keepalive,
	 .doc = "Connections that are used again"},
	{"send_proxy", SCHEMA_WORD, .def = "off", .words = schema_words_send_proxy,
	 GROUP(send_proxy),
	 .doc = "Tell servers the client's address ahead of each connection, by the PROXY protocol"},
};

const struct schema_block block_upstream = {
	.name = "upstream",
	.doc = "A group of servers, for `proxy`, `tcp` and `udp`. Its state outlives a reload.",
	BLOCK_KEYS(keys_upstream),
	.begin = hook_upstream_begin,
	.end = hook_upstream_end,
};

#define PROXY(member) SCHEMA_AT(struct spec_proxy, config.member)

static const struct schema_key keys_fallback[] = {
	{"to", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, .apply = hook_fallback_to,
	 SCHEMA_LIST_AT(struct spec_proxy, fallback.to.to, fallback.to.to_count),
	 .doc = "Another group, or servers, for one more try"},
	{"file", SCHEMA_PATH, SCHEMA_AT(struct spec_proxy, fallback.file),
	 .doc = "A file that is sent; read once, at most 256kb"},
	{"status", SCHEMA_INTEGER, .def = "0", .max = 599, PROXY(fallback_respond.status),
	 .apply = hook_fallback_status,
	 .doc = "With `file` or `body`: the status; 0: the 502, 503 or 504 that it stands in for"},
	{"type", SCHEMA_STRING, PROXY(fallback_respond.type), .apply = hook_text,
	 .doc = "Content type of the body; `text/plain; charset=utf-8` when not given"},
	{"body", SCHEMA_STRING, PROXY(fallback_respond.body), .apply = hook_fallback_body,
	 .doc = "A text that is sent"},
};

static const struct schema_block block_fallback = {
	.name = "fallback",
	.doc = "What answers when the group cannot: `to`, `file` or `body`. `fallback = \"spare\"` names only the group.",
	BLOCK_KEYS(keys_fallback),
	.brief = "to",
	.begin = hook_fallback_begin,
	.end = hook_fallback_end,
};

static const struct schema_key keys_mirror[] = {
	{"to", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, .apply = hook_mirror_to,
	 SCHEMA_LIST_AT(struct spec_proxy, mirror.to.to, mirror.to.to_count),
	 .doc = "A group, or servers"},
	{"share", SCHEMA_PERCENT, .flags = SCHEMA_TENTHS, .def = "100%", .max = 1000,
	 PROXY(mirror_permille), .doc = "How many of the requests, as `10%` or `0.5%`"},
	{"body_max", SCHEMA_SIZE, .def = "64kb", PROXY(mirror_body_max),
	 .doc = "A request with a larger body is not sent twice"},
};

static const struct schema_block block_mirror = {
	.name = "mirror",
	.doc = "Requests that are sent to another group, too; its answers are thrown away. `mirror = \"next\"` sends all.",
	BLOCK_KEYS(keys_mirror),
	.brief = "to",
	.begin = hook_mirror_begin,
	.end = hook_mirror_end,
};

static const struct schema_key keys_proxy[] = {
	{"to", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, .apply = hook_proxy_to,
	 SCHEMA_LIST_AT(struct spec_proxy, to.to, to.to_count),
	 .doc = "The name of an `upstream`, or servers as in its `servers`"},
	{"host", SCHEMA_STRING, PROXY(host), .apply = hook_proxy_host,
	 .doc = "Sent as `Host`; the client's when not given. `$server`: the server's own"},
	{"strip", SCHEMA_STRING, PROXY(strip), .apply = hook_proxy_path,
	 .doc = "Taken off the front of the path, as `/api`"},
	{"prefix", SCHEMA_STRING, PROXY(prefix), .apply = hook_proxy_path,
	 .doc = "Put before the path, after `strip`"},
	{"set_headers", SCHEMA_MAP, .apply = hook_proxy_set,
	 .doc = "Fields of the request that are set: `set_headers { X-Real-IP = $client; }`. Values know `$client`, `$host`, `$scheme`, `$path` and `$server`"},
	{"remove_headers", SCHEMA_LIST, .max = PROXY_FIELDS_MAX, .apply = hook_proxy_remove,
	 SCHEMA_LIST_AT(struct spec_proxy, config.request.remove, config.request.remove_count),
	 .doc = "Fields of the request that are not passed on"},
	{"response_set_headers", SCHEMA_MAP, .apply = hook_proxy_response_set,
	 .doc = "Fields of the response that are set"},
	{"response_remove_headers", SCHEMA_LIST, .max = PROXY_FIELDS_MAX,
	 .apply = hook_proxy_remove,
	 SCHEMA_LIST_AT(struct spec_proxy, config.response.remove, config.response.remove_count),
	 .doc = "Fields of the response that are not passed on"},
	{"timeout", SCHEMA_DURATION, PROXY(total_timeout_ms),
	 .doc = "For the whole of it, in place of `timeouts { total }` of the group; 0: no bound"},
	{"no_forwarded", SCHEMA_BOOL, .def = "false", PROXY(no_forwarded),
	 .doc = "Send neither `Forwarded` nor `X-Forwarded-For`, `-Proto` and `-Host`"},
	{"no_via", SCHEMA_BOOL, .def = "false", PROXY(no_via), .doc = "Send no `Via`"},
	{"no_upgrade", SCHEMA_BOOL, .def = "false", PROXY(no_upgrade),
	 .doc = "Do not pass `Upgrade` on: no WebSocket"},
	{"trace", SCHEMA_BOOL, .def = "false", PROXY(trace),
	 .doc = "Continue the client's `traceparent`, or begin one"},
	{"fallback", SCHEMA_BLOCK, .block = &block_fallback,
	 .doc = "What answers when the group cannot"},
	{"mirror", SCHEMA_BLOCK, .block = &block_mirror,
	 .doc = "Requests that are sent to another group, too"},
};

const struct schema_block block_proxy = {
	.name = "proxy",
	.doc = "Passes requests to a group of servers: `proxy = \"api\"` names one, `proxy = [\":3000\", \":3001\"]` says its servers.",
	BLOCK_KEYS(keys_proxy),
	.brief = "to",
	.begin = hook_proxy_begin,
	.end = hook_proxy_end,
};
