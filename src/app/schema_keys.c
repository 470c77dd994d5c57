// SPDX-License-Identifier: Apache-2.0
// The table of keys. It is the reference, too: `sluice help config` and docs/configuration.md print it.
#include "app/config_spec.h"
#include "app/schema_hooks.h"

#define BLOCK_KEYS(table) .keys = (table), .key_count = SL_ARRAY_SIZE(table)

static const struct schema_word words_engine[] = {
	{"auto", IO_ENGINE_AUTO}, {"io_uring", IO_ENGINE_URING}, {"epoll", IO_ENGINE_EPOLL},
	{"poll", IO_ENGINE_POLL}, {"select", IO_ENGINE_SELECT},  {NULL, 0},
};

static const struct schema_word words_accept[] = {
	{"reuseport", APP_ACCEPT_REUSEPORT},
	{"main", APP_ACCEPT_MAIN},
	{NULL, 0},
};

static const struct schema_word words_level[] = {
	{"debug", LOG_DEBUG}, {"info", LOG_INFO}, {"warn", LOG_WARN},
	{"error", LOG_ERROR}, {"off", LOG_OFF},   {NULL, 0},
};

static const struct schema_word words_log_format[] = {
	{"text", LOG_TEXT},
	{"json", LOG_JSON},
	{NULL, 0},
};

static const struct schema_word words_access[] = {
	{"off", APP_ACCESS_OFF},
	{"common", APP_ACCESS_COMMON},
	{"combined", APP_ACCESS_COMBINED},
	{"json", APP_ACCESS_JSON},
	{NULL, 0},
};

static const struct schema_word words_method[] = {
	{"GET", HTTP_GET},       {"HEAD", HTTP_HEAD},
	{"POST", HTTP_POST},     {"PUT", HTTP_PUT},
	{"DELETE", HTTP_DELETE}, {"OPTIONS", HTTP_OPTIONS},
	{"PATCH", HTTP_PATCH},   {"CONNECT", HTTP_CONNECT},
	{"TRACE", HTTP_TRACE},   {NULL, 0},
};

static const struct schema_word words_coding[] = {
	{"zstd", HTTP_ZSTD},
	{"br", HTTP_BR},
	{"gzip", HTTP_GZIP},
	{NULL, 0},
};

static const struct schema_word words_proxy_protocol[] = {
	{"off", PROXY_NONE}, {"v1", PROXY_V1}, {"v2", PROXY_V2}, {"any", PROXY_ANY}, {NULL, 0},
};

static const struct schema_word words_when[] = {
	{"full", GUARDS_FULL},
	{"fallback", GUARDS_FALLBACK},
	{"stale", GUARDS_STALE},
	{"refuse", GUARDS_REFUSE},
	{NULL, 0},
};

static const struct schema_word words_redirect[] = {
	{"301", 301}, {"302", 302}, {"303", 303}, {"307", 307}, {"308", 308}, {NULL, 0},
};

static const struct schema_key keys_log[] = {
	{"level", SCHEMA_WORD, .def = "info", .words = words_level,
	 SCHEMA_AT(struct app_log, level), .doc = "The least important lines that are written"},
	{"format", SCHEMA_WORD, .def = "text", .words = words_log_format,
	 SCHEMA_AT(struct app_log, format), .doc = "How lines look"},
	{"file", SCHEMA_PATH, SCHEMA_AT(struct app_log, file), .apply = hook_log_file,
	 .doc = "Where they go; standard error when not given. Opened again at `SIGUSR1`"},
};

static const struct schema_block block_log = {
	.name = "log",
	.doc = "What the server tells about itself.",
	BLOCK_KEYS(keys_log),
};

static const struct schema_key keys_access_log[] = {
	{"format", SCHEMA_WORD, .def = "off", .words = words_access,
	 SCHEMA_AT(struct app_access_log, format),
	 .doc = "`common` and `combined` are those of Apache, `json` has one object a line. `off` without this block, `combined` when the block does not say"},
	{"file", SCHEMA_PATH, SCHEMA_AT(struct app_access_log, file), .apply = hook_access_file,
	 .doc = "Where the lines go; standard output when not given. Opened again at `SIGUSR1`"},
};

static const struct schema_block block_access_log = {
	.name = "access_log",
	.doc = "One line for each request. `access_log = json` is short for `access_log { format = json; }`.",
	BLOCK_KEYS(keys_access_log),
	.brief = "format",
	.end = hook_access_log_end,
};

static const struct schema_key keys_admin[] = {
	{"listen", SCHEMA_ADDRESS, SCHEMA_AT(struct app_config, admin), .apply = hook_admin_listen,
	 .doc = "A Unix socket, as `unix:/run/sluice.sock`"},
};

static const struct schema_block block_admin = {
	.name = "admin",
	.doc = "Where `sluice status`, `reload` and `stop` reach the running server.",
	BLOCK_KEYS(keys_admin),
	.begin = hook_admin_begin,
};

static const struct schema_key keys_limits[] = {
	{"request_line_max", SCHEMA_SIZE, .def = "8kb", .min = 256, .max = 8192,
	 SCHEMA_AT(struct http_limits, request_line_max),
	 .doc = "A longer request line is answered with 414"},
	{"fields_bytes_max", SCHEMA_SIZE, .def = "32kb", .min = 512, .max = 32768,
	 SCHEMA_AT(struct http_limits, fields_bytes_max),
	 .doc = "More in all fields of a head together is answered with 431"},
	{"fields_max", SCHEMA_INTEGER, .def = "100", .min = 8, .max = HTTP_FIELDS_MAX,
	 SCHEMA_AT(struct http_limits, fields_max),
	 .doc = "More fields in a head are answered with 431"},
	{"body_max", SCHEMA_SIZE, .def = "10mb", SCHEMA_AT(struct http_limits, body_max),
	 .doc = "A larger request body is answered with 413; a route may say its own"},
	{"head_timeout", SCHEMA_DURATION, .def = "10s", .min = 1,
	 SCHEMA_AT(struct http_limits, head_timeout_ms),
	 .doc = "A head that is not whole by then is answered with 408"},
	{"stall_timeout", SCHEMA_DURATION, .def = "30s", .min = 1,
	 SCHEMA_AT(struct http_limits, stall_timeout_ms),
	 .doc = "A body or a response that does not move for this long is cut"},
	{"idle_timeout", SCHEMA_DURATION, .def = "60s", .min = 1,
	 SCHEMA_AT(struct http_limits, idle_timeout_ms),
	 .doc = "How long a connection waits for its next request"},
	{"rate_min", SCHEMA_SIZE, .def = "128", SCHEMA_AT(struct http_limits, rate_min),
	 .doc = "Bytes a second that a body or a response must move at least, on average over `stall_timeout`; 0 asks for none"},
	{"requests_max", SCHEMA_INTEGER, .def = "10000", .min = 1,
	 SCHEMA_AT(struct http_limits, requests_max),
	 .doc = "Requests on one connection before it is closed"},
	{"keep_underscores", SCHEMA_BOOL, .def = "false",
	 SCHEMA_AT(struct http_limits, keep_underscores),
	 .doc = "Keep request fields with `_` in their name, which are dropped otherwise"},
	{"allow_connect", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct http_limits, allow_connect),
	 .doc = "Let `CONNECT` through to handlers, which is answered with 405 otherwise"},
	{"allow_trace", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct http_limits, allow_trace),
	 .doc = "Let `TRACE` through to handlers, which is answered with 405 otherwise"},
	{"server_name", SCHEMA_BOOL, .def = "true", SCHEMA_AT(struct http_limits, server_name),
	 .doc = "Send `Server: sluice`"},
};

static const struct schema_block block_limits = {
	.name = "limits",
	.doc = "What a client may do, for all sites.",
	BLOCK_KEYS(keys_limits),
};

static const struct schema_key keys_listen[] = {
	{"backlog", SCHEMA_INTEGER, .max = 1 << 20, .min = 1,
	 SCHEMA_AT(struct spec_listen, options.backlog),
	 .doc = "Connections that may wait to be accepted; `net.core.somaxconn` when not given"},
	{"defer_accept", SCHEMA_DURATION, .flags = SCHEMA_SECONDS, .max = 3600,
	 SCHEMA_AT(struct spec_listen, options.defer_accept_s),
	 .doc = "Hand over a connection when its first bytes are there, or after this time (`TCP_DEFER_ACCEPT`)"},
	{"fastopen", SCHEMA_INTEGER, .max = 1 << 16,
	 SCHEMA_AT(struct spec_listen, options.fastopen),
	 .doc = "Length of the queue for TCP Fast Open; 0: off"},
	{"keepalive", SCHEMA_DURATION, .flags = SCHEMA_SECONDS, .max = 32767,
	 SCHEMA_AT(struct spec_listen, options.keepalive_s),
	 .doc = "Probe a silent peer after this time (`SO_KEEPALIVE`, `TCP_KEEPIDLE`)"},
	{"user_timeout", SCHEMA_DURATION, SCHEMA_AT(struct spec_listen, options.user_timeout_ms),
	 .doc = "Give a connection up when sent bytes are not acknowledged for this long (`TCP_USER_TIMEOUT`)"},
	{"notsent_lowat", SCHEMA_SIZE, SCHEMA_AT(struct spec_listen, options.notsent_lowat),
	 .doc = "Bytes not yet sent above which the kernel takes no more (`TCP_NOTSENT_LOWAT`)"},
	{"rcvbuf", SCHEMA_SIZE, SCHEMA_AT(struct spec_listen, options.recv_bytes),
	 .doc = "Size of the receive buffer (`SO_RCVBUF`), which the kernel adapts when not given"},
	{"sndbuf", SCHEMA_SIZE, SCHEMA_AT(struct spec_listen, options.send_bytes),
	 .doc = "Size of the send buffer (`SO_SNDBUF`), which the kernel adapts when not given"},
	{"v6only", SCHEMA_BOOL, SCHEMA_AT(struct spec_listen, options.v6only),
	 .doc = "An IPv6 address takes no IPv4 connections"},
	{"mode", SCHEMA_MODE, SCHEMA_AT(struct spec_listen, options.unix_mode),
	 .doc = "Permissions of a Unix socket, as `0660`"},
	{"proxy_protocol", SCHEMA_WORD, .words = words_proxy_protocol,
	 SCHEMA_AT(struct spec_listen, proxy_protocol), .apply = hook_listen_proxy,
	 .doc = "Every connection begins with a header of the PROXY protocol, which says who the client is. Only peers in `trusted` may connect then"},
	{"trusted", SCHEMA_LIST, .max = 256,
	 SCHEMA_LIST_AT(struct spec_listen, trusted, trusted_count), .apply = hook_listen_trusted,
	 .doc = "Addresses and networks whose PROXY header is believed; `trusted_proxies` when not given. Connections of others are closed"},
};

const struct schema_block block_listen = {
	.name = "listen",
	.doc = "Options of one listening socket. `TCP_NODELAY` is always on.",
	BLOCK_KEYS(keys_listen),
	.begin = hook_listen_begin,
	.end = hook_listen_end,
};

#define FILES(member) SCHEMA_AT(struct spec_files, config.member)
#define FILES_LIST(member, count) SCHEMA_LIST_AT(struct spec_files, config.member, config.count)

static const struct schema_key keys_compress[] = {
	{"codings", SCHEMA_FLAGS, .words = words_coding, FILES(compress.codings),
	 .doc = "What is made; the client's choice decides between them"},
	{"types", SCHEMA_LIST, .max = 64, FILES_LIST(compress.types, compress.type_count),
	 .doc = "Content types, as `text/html`, or `text/` for all below it; text, JSON, XML, JavaScript, SVG and the like when not given"},
	{"min", SCHEMA_SIZE, .def = "512", FILES(compress.size_min),
	 .doc = "Smaller files are sent as they are"},
	{"max", SCHEMA_SIZE, .def = "4mb", FILES(compress.size_max),
	 .doc = "Larger files are sent as they are"},
	{"level", SCHEMA_INTEGER, .def = "0", .max = 19, FILES(compress.level),
	 .doc = "1 to 19, cut to what the coding knows; 0: gzip 6, br 5, zstd 3"},
};

static const struct schema_block block_compress = {
	.name = "compress",
	.doc = "Compression of files, made once and kept. `compress = [zstd, br, gzip]` names only the codings.",
	BLOCK_KEYS(keys_compress),
	.brief = "codings",
};

static const struct schema_key keys_cache[] = {
	{"entries", SCHEMA_INTEGER, .def = "1024", .max = 1 << 24, FILES(cache.entries_max),
	 .doc = "Files kept open or in memory; 0 keeps nothing between requests"},
	{"bytes", SCHEMA_SIZE, .def = "32mb", FILES(cache.bytes_max),
	 .doc = "Memory for the contents of files"},
	{"file_max", SCHEMA_SIZE, .def = "256kb", FILES(cache.file_bytes_max),
	 .doc = "A larger file is sent from its descriptor"},
	{"revalidate", SCHEMA_DURATION, .def = "1s", FILES(cache.revalidate_ms),
	 .doc = "How long an entry is trusted before the folder is asked again; 0 asks every time"},
};

static const struct schema_block block_cache = {
	.name = "cache",
	.doc = "Open files and small contents, for each route in each worker.",
	BLOCK_KEYS(keys_cache),
};

static const struct schema_key keys_files[] = {
	{"root", SCHEMA_PATH, .flags = SCHEMA_OWN, FILES(root), .apply = hook_files_root,
	 .doc = "The folder; nothing outside of it is served"},
	{"strip", SCHEMA_STRING, FILES(strip), .apply = hook_files_strip,
	 .doc = "Taken off the front of the path before the file is looked for, as `/static`"},
	{"index", SCHEMA_LIST, .def = "index.html", .max = FILES_INDEX_MAX,
	 FILES_LIST(index, index_count), .apply = hook_files_index,
	 .doc = "What is served for a folder: the first that is there"},
	{"try", SCHEMA_LIST, .max = FILES_TRIES_MAX, FILES_LIST(tries, try_count),
	 .apply = hook_files_try,
	 .doc = "What is looked for, in order: `$path`, `$path.html`, `/index.html` (of the root), `=404` (a status, last)"},
	{"listing", SCHEMA_BOOL, .def = "false", FILES(listing),
	 .doc = "Show what is in a folder without an index"},
	{"hidden", SCHEMA_BOOL, .def = "false", FILES(hidden),
	 .doc = "Serve names that begin with a dot; `/.well-known/` always is"},
	{"no_symlinks", SCHEMA_BOOL, .def = "false", FILES(no_symlinks),
	 .doc = "Follow no symbolic link; otherwise those that stay below the root are followed"},
	{"no_etag", SCHEMA_BOOL, .def = "false", FILES(no_etag), .doc = "Send no `ETag`"},
	{"precompressed", SCHEMA_FLAGS, .words = words_coding, FILES(precompressed),
	 .doc = "Send `FILE.zst`, `FILE.br` or `FILE.gz` beside `FILE`, when the client takes it and it is not older"},
	{"compress", SCHEMA_BLOCK, .block = &block_compress, .doc = "Compress on the fly"},
	{"cache", SCHEMA_BLOCK, .block = &block_cache, .doc = "What is kept open or in memory"},
	{"types", SCHEMA_MAP, .apply = hook_files_type,
	 .doc = "Content types by extension, before those that are built in: `types { wasm = \"application/wasm\"; }`"},
	{"default_type", SCHEMA_STRING, .def = "application/octet-stream", FILES(default_type),
	 .apply = hook_text, .doc = "Content type of unknown extensions"},
	{"charset", SCHEMA_STRING, .def = "utf-8", FILES(charset), .apply = hook_text,
	 .doc = "Of the built-in text types; `\"\"` names none"},
	{"cache_control", SCHEMA_MAP, .apply = hook_files_cache_control,
	 .doc = "`Cache-Control` by pattern, the first that matches: `cache_control { \"*.css\" = \"max-age=3600\"; }`. A pattern with a slash is for the path below the root, one without for the name"},
};

static const struct schema_block block_files = {
	.name = "files",
	.doc = "Serves a folder. `files = \"/srv/www\"` names only the root; the keys of this block may then stand beside it in the route.",
	BLOCK_KEYS(keys_files),
	.brief = "root",
	.lent_out = true,
	.begin = hook_files_begin,
	.end = hook_files_end,
};

static const struct schema_key keys_respond[] = {
	{"status", SCHEMA_INTEGER, .def = "200", .min = 200, .max = 599,
	 SCHEMA_AT(struct respond_config, status), .doc = "The status"},
	{"type", SCHEMA_STRING, SCHEMA_AT(struct respond_config, type), .apply = hook_text,
	 .doc = "Content type of the body; `text/plain; charset=utf-8` when not given"},
	{"body", SCHEMA_STRING, SCHEMA_AT(struct respond_config, body), .doc = "The body"},
};

static const struct schema_block block_respond = {
	.name = "respond",
	.doc = "Answers with what stands here. `respond = \"text\"` names only the body.",
	BLOCK_KEYS(keys_respond),
	.brief = "body",
	.begin = hook_respond_begin,
};

static const struct schema_key keys_redirect[] = {
	{"to", SCHEMA_STRING, SCHEMA_AT(struct redirect_config, target), .apply = hook_redirect_to,
	 .doc = "A URL or a path, with `$scheme`, `$host`, `$path`, `$rest` (of the path behind the route's) and `$query`"},
	{"status", SCHEMA_WORD, .def = "302", .words = words_redirect,
	 SCHEMA_AT(struct redirect_config, status),
	 .doc = "302 and 307 are for now, 301 and 308 for ever; 307 and 308 keep the method"},
};

static const struct schema_block block_redirect = {
	.name = "redirect",
	.doc = "Sends clients elsewhere. `redirect = \"https://$host$path$query\"` names only the target.",
	BLOCK_KEYS(keys_redirect),
	.brief = "to",
	.begin = hook_redirect_begin,
	.end = hook_redirect_end,
};

static const struct schema_key keys_route[] = {
	{"files", SCHEMA_BLOCK, .block = &block_files, .doc = "Serve a folder"},
	{"proxy", SCHEMA_BLOCK, .block = &block_proxy,
	 .doc = "Pass requests to a group of servers"},
	{"respond", SCHEMA_BLOCK, .block = &block_respond, .doc = "Answer with a text"},
	{"redirect", SCHEMA_BLOCK, .block = &block_redirect, .doc = "Send clients elsewhere"},
	{"status", SCHEMA_BOOL, SCHEMA_AT(struct spec_route, has_status),
	 .doc = "Show what the server knows of itself, as text, JSON (`?format=json`) or for Prometheus (`?format=prometheus`)"},
	{"exact", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct spec_route, route.exact),
	 .doc = "Match the path itself and nothing below it"},
	{"methods", SCHEMA_FLAGS, .words = words_method,
	 SCHEMA_AT(struct spec_route, route.methods),
	 .doc = "Answer only these; others get 405. All when not given"},
	{"headers", SCHEMA_MAP, .apply = hook_header,
	 .doc = "Fields that are added to every response: `headers { X-Frame-Options = DENY; }`"},
	{"error_pages", SCHEMA_MAP, .apply = hook_error_page,
	 .doc = "Files that are sent with an error, by status: `error_pages { 404 = \"404.html\"; }`. Read once, at most 256kb each"},
	{"limit", SCHEMA_LIST, .max = HTTP_STEPS_MAX,
	 SCHEMA_LIST_AT(struct spec_route, guards.limits.v, guards.limits.count),
	 .apply = hook_route_limit,
	 .doc = "Names of `limit` blocks, in place of those of the site; `[]` lifts them"},
	{"access", SCHEMA_LIST, .max = HTTP_STEPS_MAX,
	 SCHEMA_LIST_AT(struct spec_route, guards.lists.v, guards.lists.count),
	 .apply = hook_route_access,
	 .doc = "Names of `access` lists, in place of those of the site: all must let the client in; `[]` lifts them"},
	{"priority", SCHEMA_INTEGER, .def = "4", .max = 7, .apply = hook_route_load,
	 SCHEMA_AT(struct spec_route, guards.load.priority),
	 .doc = "0 to 7; under `load` the lowest go first"},
	{"priority_header", SCHEMA_STRING, .apply = hook_route_load,
	 SCHEMA_AT(struct spec_route, guards.load.priority_header),
	 .doc = "A field in which trusted proxies may say another priority"},
	{"when_degraded", SCHEMA_WORD, .def = "full", .words = words_when, .apply = hook_route_load,
	 SCHEMA_AT(struct spec_route, guards.load.at[GUARD_DEGRADED]),
	 .doc = "What it does at this level of `load`: all as always; its `fallback` in place of the servers; `stale`: what a cache has, else as `fallback`; 503"},
	{"when_critical", SCHEMA_WORD, .def = "full", .words = words_when, .apply = hook_route_load,
	 SCHEMA_AT(struct spec_route, guards.load.at[GUARD_CRITICAL]), .doc = "The same"},
	{"adaptive", SCHEMA_BLOCK, .block = &block_adaptive,
	 .doc = "As many requests at a time as the latency bears"},
	{"body_max", SCHEMA_SIZE, SCHEMA_AT(struct spec_route, route.body_max),
	 .doc = "A larger request body is answered with 413; that of `limits` when not given"},
	{"log", SCHEMA_BOOL, .def = "true", SCHEMA_AT(struct spec_route, route.log),
	 .doc = "Write requests to the access log"},
};

static const struct schema_block block_route = {
	.name = "route",
	.doc = "What answers for a path and all below it. It has exactly one of `files`, `proxy`, `respond`, `redirect` and `status`. The longest path wins; the order of routes never matters.",
	BLOCK_KEYS(keys_route),
	.also = &block_files,
	.also_at = offsetof(struct spec_route, files),
	.lent = hook_route_lent,
	.begin = hook_route_begin,
	.end = hook_route_end,
};

static const struct schema_key keys_site[] = {
	{"listen", SCHEMA_LIST, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_listen,
	 .apply = hook_listen, .max = APP_LISTENS_MAX,
	 .doc = "Addresses: `:80`, `127.0.0.1:8080`, `\"[::1]:80\"`, `unix:/run/www.sock`. Sites may share one"},
	{"names", SCHEMA_LIST, .max = 256, SCHEMA_LIST_AT(struct spec_site, names, name_count),
	 .doc = "More hosts that this site answers for, as `www.example.com` or `*.example.com`"},
	{"limit", SCHEMA_LIST, .max = HTTP_STEPS_MAX,
	 SCHEMA_LIST_AT(struct spec_site, guards.limits.v, guards.limits.count),
	 .apply = hook_site_limit, .doc = "Names of `limit` blocks, for routes that name none"},
	{"access", SCHEMA_LIST, .max = HTTP_STEPS_MAX,
	 SCHEMA_LIST_AT(struct spec_site, guards.lists.v, guards.lists.count),
	 .apply = hook_site_access, .doc = "Names of `access` lists, for routes that name none"},
	{"route", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_route,
	 .doc = "One for each path: `route \"/\" { }`"},
};

static const struct schema_block block_site = {
	.name = "site",
	.doc = "What is served for a host: its name, `*.example.com` for all below a name, or `*` for every host that no site names. Without `*` the first site of an address answers for those.",
	BLOCK_KEYS(keys_site),
	.begin = hook_site_begin,
	.end = hook_site_end,
};

static const struct schema_key keys_top[] = {
	{"engine", SCHEMA_WORD, .def = "auto", .words = words_engine,
	 SCHEMA_AT(struct spec, app.engine),
	 .doc = "How workers wait for the kernel. `auto` takes the best that works here; one that does not is an error"},
	{"workers", SCHEMA_INTEGER, .def = "0", .max = APP_WORKERS_MAX,
	 SCHEMA_AT(struct spec, app.workers), .doc = "Threads that serve; 0: one for each CPU"},
	{"pin", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct spec, app.pin),
	 .doc = "Keep each worker on a CPU of its own"},
	{"accept", SCHEMA_WORD, .def = "reuseport", .words = words_accept,
	 SCHEMA_AT(struct spec, app.accept),
	 .doc = "`reuseport`: each worker listens for itself; `main`: one accepts and gives to the least loaded worker"},
	{"connections", SCHEMA_INTEGER, .def = "0", SCHEMA_AT(struct spec, limits.connections_max),
	 .doc = "Most connections of one worker; 0: what the limit of open files allows"},
	{"user", SCHEMA_STRING, SCHEMA_AT(struct spec, app.user), .apply = hook_user,
	 .doc = "Who to become when the sockets are open"},
	{"group", SCHEMA_STRING, SCHEMA_AT(struct spec, app.group), .apply = hook_group,
	 .doc = "Which group to become; that of the user when not given"},
	{"pid", SCHEMA_PATH, SCHEMA_AT(struct spec, app.pid_file), .apply = hook_pid,
	 .doc = "A file for the number of the process"},
	{"drain_timeout", SCHEMA_DURATION, .def = "30s",
	 SCHEMA_AT(struct spec, app.drain_timeout_ms),
	 .doc = "How long requests may take to finish when the server is asked to end"},
	{"strict_hosts", SCHEMA_BOOL, .def = "false", SCHEMA_AT(struct spec, strict_hosts),
	 .doc = "Answer 421 for a host that no site names"},
	{"trusted_proxies", SCHEMA_LIST, .max = 256,
	 SCHEMA_LIST_AT(struct spec, trusted, trusted_count), .apply = hook_cidr,
	 .doc = "Addresses and networks, as `10.0.0.0/8`, whose `Forwarded` and `X-Forwarded-For` are believed"},
	{"log", SCHEMA_BLOCK, .block = &block_log, SCHEMA_AT(struct spec, app.log),
	 .doc = "What the server tells about itself"},
	{"access_log", SCHEMA_BLOCK, .block = &block_access_log,
	 SCHEMA_AT(struct spec, app.access_log), .doc = "One line for each request"},
	{"admin", SCHEMA_BLOCK, .block = &block_admin, .doc = "The socket for commands"},
	{"limits", SCHEMA_BLOCK, .block = &block_limits, SCHEMA_AT(struct spec, limits),
	 .doc = "What a client may do"},
	{"resolver", SCHEMA_LIST, .max = 8, .apply = hook_resolver,
	 .doc = "Servers that names are asked of, as `127.0.0.1:53`; those of the system when not given"},
	{"upstream", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_upstream,
	 .doc = "A group of servers: `upstream \"api\" { servers = [\":3000\", \":3001\"]; }`"},
	{"limit", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_limit,
	 .doc = "A limit: `limit \"ip\" { rate = \"50/s\"; burst = 100; }`"},
	{"access", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_access,
	 .doc = "An access list: `access \"office\" { allow = \"10.0.0.0/8\"; }`"},
	{"load", SCHEMA_BLOCK, .block = &block_load, .at = offsetof(struct spec, load),
	 .doc = "Levels of load"},
	{"site", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_site,
	 .doc = "One for each host: `site \"example.com\" { }`"},
	{"tcp", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_tcp,
	 .doc = "TCP that is relayed: `tcp \"pg\" { listen = \":5432\"; proxy = \"pg\"; }`"},
	{"udp", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_udp,
	 .doc = "UDP that is relayed"},
};

const struct schema_block schema_top = {
	.name = "",
	.doc = "The top of the file.",
	BLOCK_KEYS(keys_top),
	.end = hook_top_end,
};
