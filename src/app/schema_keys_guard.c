// SPDX-License-Identifier: Apache-2.0
// The table of keys, continued: limits, access lists and load.
#include "app/config_spec.h"
#include "app/schema_hooks.h"

#define BLOCK_KEYS(table) .keys = (table), .key_count = SL_ARRAY_SIZE(table)
#define LIMIT(member) SCHEMA_AT(struct spec_limit, config.member)

static const struct schema_word words_algorithm[] = {
	{"token_bucket", GUARD_TOKEN_BUCKET},
	{"leaky_bucket", GUARD_LEAKY_BUCKET},
	{"fixed_window", GUARD_FIXED_WINDOW},
	{"sliding_window", GUARD_SLIDING_WINDOW},
	{"gcra", GUARD_GCRA},
	{NULL, 0},
};

static const struct schema_word words_others[] = {
	{"allow", 0},
	{"deny", 1},
	{NULL, 0},
};

static const struct schema_key keys_limit[] = {
	{"key", SCHEMA_STRING, .def = "client_ip", .apply = hook_limit_key,
	 .doc = "Who is counted: `client_ip`, `header:NAME`, `cookie:NAME`, `route`, or `all` for all together. A request without that field is not limited"},
	{"prefix_v4", SCHEMA_INTEGER, .def = "32", .min = 1, .max = 32, LIMIT(prefix_v4),
	 .doc = "Bits of an IPv4 address that count"},
	{"prefix_v6", SCHEMA_INTEGER, .def = "64", .min = 1, .max = 128, LIMIT(prefix_v6),
	 .doc = "Bits of an IPv6 address that count: who has one usually has 2^64 of them"},
	{"rate", SCHEMA_STRING, .apply = hook_limit_rate,
	 .doc = "How often, as `50/s`, `100/min`, `1000/h` or `10/10s`; not bounded when not given"},
	{"burst", SCHEMA_INTEGER, .def = "0", .max = 1 << 30, LIMIT(burst),
	 .doc = "How many may come at once: with `token_bucket` the size of the bucket (0: as many as one period gives), with `gcra` above the first; with `leaky_bucket` so many wait. Windows have none"},
	{"algorithm", SCHEMA_WORD, .def = "token_bucket", .words = words_algorithm,
	 LIMIT(algorithm),
	 .doc = "How it is counted. `leaky_bucket` makes requests wait in place of refusing them"},
	{"conns", SCHEMA_INTEGER, .def = "0", LIMIT(conns),
	 .doc = "Requests, or connections of `tcp`, at a time; 0: no bound"},
	{"bandwidth", SCHEMA_SIZE, .def = "0", LIMIT(bytes_per_s),
	 .doc = "Bytes a second of the responses, for all of a key together; 0: no bound"},
	{"bandwidth_burst", SCHEMA_SIZE, .def = "0", LIMIT(bytes_burst),
	 .doc = "Bytes that may leave at once above that"},
	{"max_keys", SCHEMA_INTEGER, .def = "100000", .min = 1, .max = GUARD_KEYS_MAX,
	 LIMIT(keys_max),
	 .doc = "Keys that are remembered; the one that owes least makes room, and who comes back begins with what it may still owe"},
	{"dry_run", SCHEMA_BOOL, .def = "false", LIMIT(dry_run),
	 .doc = "Count and log, but refuse nothing"},
	{"no_headers", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct spec_limit, no_headers),
	 .doc = "Send no `RateLimit` and `RateLimit-Policy`"},
};

const struct schema_block block_limit = {
	.name = "limit",
	.doc = "A limit, for `limit = \"name\"` in sites, routes, `tcp` and `udp`. Who is above it gets 429. Its counts are those of all workers, and outlive a reload that does not change it.",
	BLOCK_KEYS(keys_limit),
	.begin = hook_limit_begin,
	.end = hook_limit_end,
};

#define ACCESS_LIST(member, count) SCHEMA_LIST_AT(struct spec_access, config.member, config.count)

static const struct schema_key keys_access[] = {
	{"allow", SCHEMA_LIST, .max = 65536, ACCESS_LIST(allow, allow_count),
	 .apply = hook_access_prefix,
	 .doc = "Addresses and networks, as `10.0.0.0/8`, `::1` or `all`"},
	{"deny", SCHEMA_LIST, .max = 65536, ACCESS_LIST(deny, deny_count),
	 .apply = hook_access_prefix,
	 .doc = "The same. Of all that hold an address, the longest prefix decides"},
	{"allow_file", SCHEMA_LIST, .max = 16, ACCESS_LIST(allow_files, allow_file_count),
	 .doc = "Files with one of them a line; `#` begins a comment. Read again when they change"},
	{"deny_file", SCHEMA_LIST, .max = 16, ACCESS_LIST(deny_files, deny_file_count),
	 .doc = "The same"},
	{"others", SCHEMA_WORD, .words = words_others,
	 SCHEMA_AT(struct spec_access, config.deny_others),
	 .doc = "Who is in none of them. When not given: `deny` if something is allowed, else `allow`"},
};

const struct schema_block block_access = {
	.name = "access",
	.doc = "A list of who may come in, for `access = \"name\"` in sites, routes, `tcp` and `udp`. Others get 403, or their connection is closed.",
	BLOCK_KEYS(keys_access),
	.begin = hook_access_begin,
	.end = hook_access_end,
};

#define LOAD(member) SCHEMA_AT(struct spec_load, config.member.enter)

static const struct schema_key keys_load_cpu[] = {
	{"degraded", SCHEMA_PERCENT, .def = "85%", .max = 100, LOAD(cpu_percent[0]),
	 .doc = "From here on; 0%: never"},
	{"critical", SCHEMA_PERCENT, .def = "95%", .max = 100, LOAD(cpu_percent[1]),
	 .doc = "From here on; 0%: never"},
};
static const struct schema_block block_load_cpu = {
	.name = "cpu",
	.doc = "What the server takes of the CPUs that its workers may use.",
	BLOCK_KEYS(keys_load_cpu),
};

static const struct schema_key keys_load_lag[] = {
	{"degraded", SCHEMA_DURATION, .def = "100ms", LOAD(lag_ms[0]),
	 .doc = "From here on; 0: never"},
	{"critical", SCHEMA_DURATION, .def = "500ms", LOAD(lag_ms[1]),
	 .doc = "From here on; 0: never"},
};
static const struct schema_block block_load_lag = {
	.name = "lag",
	.doc = "How late a worker comes to what it has to do.",
	BLOCK_KEYS(keys_load_lag),
};

static const struct schema_key keys_load_errors[] = {
	{"degraded", SCHEMA_PERCENT, .def = "20%", .max = 100, LOAD(error_percent[0]),
	 .doc = "From here on; 0%: never"},
	{"critical", SCHEMA_PERCENT, .def = "50%", .max = 100, LOAD(error_percent[1]),
	 .doc = "From here on; 0%: never"},
};
static const struct schema_block block_load_errors = {
	.name = "errors",
	.doc = "The share of 5xx in the answers of the last ten seconds, from 20 requests on.",
	BLOCK_KEYS(keys_load_errors),
};

static const struct schema_key keys_load_queue[] = {
	{"degraded", SCHEMA_INTEGER, .def = "100", LOAD(queue[0]), .doc = "From here on; 0: never"},
	{"critical", SCHEMA_INTEGER, .def = "1000", LOAD(queue[1]),
	 .doc = "From here on; 0: never"},
};
static const struct schema_block block_load_queue = {
	.name = "queue",
	.doc = "Requests that wait for a server, in all groups.",
	BLOCK_KEYS(keys_load_queue),
};

static const struct schema_key keys_refuse_below[] = {
	{"degraded", SCHEMA_INTEGER, .def = "0", .max = 8,
	 SCHEMA_AT(struct spec_load, refuse_below[GUARD_DEGRADED]), .doc = "At this level"},
	{"critical", SCHEMA_INTEGER, .def = "4", .max = 8,
	 SCHEMA_AT(struct spec_load, refuse_below[GUARD_CRITICAL]), .doc = "At this level"},
};
static const struct schema_block block_refuse_below = {
	.name = "refuse_below",
	.doc = "Requests with a lower `priority` are answered with 503.",
	BLOCK_KEYS(keys_refuse_below),
};

static const struct schema_key keys_load[] = {
	{"cpu", SCHEMA_BLOCK, .block = &block_load_cpu, .doc = "Share of the CPUs"},
	{"lag", SCHEMA_BLOCK, .block = &block_load_lag, .doc = "Lag of the workers"},
	{"errors", SCHEMA_BLOCK, .block = &block_load_errors, .doc = "Share of 5xx"},
	{"queue", SCHEMA_BLOCK, .block = &block_load_queue, .doc = "Requests that wait"},
	{"hold", SCHEMA_DURATION, .def = "10s", SCHEMA_AT(struct spec_load, config.hold_ms),
	 .doc = "A level lasts at least this long before it falls. It falls when every measure is well below where it begins: ten points of the CPU, half of the others"},
	{"refuse_below", SCHEMA_BLOCK, .block = &block_refuse_below,
	 .doc = "Priorities that are refused"},
};

const struct schema_block block_load = {
	.name = "load",
	.doc = "How the server is doing, once a second: `normal`, `degraded` or `critical`, by the worst of its measures. Routes say what they do then (`when_degraded`, `when_critical`, `priority`). Without this block nothing is measured.",
	BLOCK_KEYS(keys_load),
	.end = hook_load_end,
};

static const struct schema_key keys_adaptive[] = {
	{"max", SCHEMA_INTEGER, .min = 1, .max = 1000000, .def = "1000",
	 SCHEMA_AT(struct spec_guards, load.adaptive_max),
	 .doc = "At most so many requests at a time, in each worker"},
	{"min", SCHEMA_INTEGER, .min = 1, .max = 1000000, .def = "4",
	 SCHEMA_AT(struct spec_guards, load.adaptive_min), .doc = "At least so many"},
};

const struct schema_block block_adaptive = {
	.name = "adaptive",
	.doc = "Requests of the route at a time, as many as the latency bears: when it rises above its smallest, fewer are let through, and the others get 503. `adaptive = 500` names only the most.",
	BLOCK_KEYS(keys_adaptive),
	.brief = "max",
	.begin = hook_adaptive_begin,
	.end = hook_adaptive_end,
};
