// SPDX-License-Identifier: Apache-2.0
// The table of keys, continued: TCP and UDP that is relayed to groups of servers.
#include "app/config_spec.h"
#include "app/schema_hooks.h"

#define BLOCK_KEYS(table) .keys = (table), .key_count = SL_ARRAY_SIZE(table)
#define TCP(member) SCHEMA_AT(struct spec_service, tcp.member)
#define UDP(member) SCHEMA_AT(struct spec_service, udp.member)
#define TARGET(type, member) SCHEMA_LIST_AT(type, member.to, member.to_count)
#define NAMES(member) SCHEMA_LIST_AT(struct spec_service, member.v, member.count)

static const struct schema_key keys_tcp_route[] = {
	{"sni", SCHEMA_LIST, .max = TCP_ROUTES_MAX,
	 SCHEMA_LIST_AT(struct spec_sni, names, name_count), .apply = hook_sni_name,
	 .doc = "Names that the client asks for by TLS, as `example.com` or `*.example.com`; any when not given"},
	{"alpn", SCHEMA_LIST, .max = 16, SCHEMA_LIST_AT(struct spec_sni, alpns, alpn_count),
	 .doc = "Protocols, one of which it offers, as `h2`; any when not given"},
	{"proxy", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, TARGET(struct spec_sni, to),
	 .apply = hook_sni_proxy, .doc = "The name of an `upstream`, or servers"},
};

static const struct schema_block block_tcp_route = {
	.name = "route",
	.doc = "Connections go by what their ClientHello says, without being decrypted: the first route that matches, in the order of the file.",
	BLOCK_KEYS(keys_tcp_route),
	.begin = hook_sni_begin,
	.end = hook_sni_end,
};

static const struct schema_key keys_tcp[] = {
	{"listen", SCHEMA_LIST, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_listen,
	 .apply = hook_service_listen, .max = APP_LISTENS_MAX, .doc = "Addresses, as for a site"},
	{"proxy", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, TARGET(struct spec_service, to),
	 .apply = hook_service_proxy,
	 .doc = "The name of an `upstream`, or servers. When no route matches; without it such a connection is closed. With routes, so is one that does not begin with TLS"},
	{"sni", SCHEMA_MAP, .apply = hook_sni_pair,
	 .doc = "Short for routes: `sni { \"a.example.com\" = \"group\"; }`"},
	{"route", SCHEMA_BLOCK, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_tcp_route,
	 .doc = "By name or protocol of TLS: `route \"web\" { sni = \"*.example.com\"; alpn = h2; proxy = \"web\"; }`"},
	{"idle", SCHEMA_DURATION, .def = "1h", TCP(idle_timeout_ms),
	 .doc = "A connection on which nothing moves is closed after this; 0: never"},
	{"lifetime", SCHEMA_DURATION, .def = "0", TCP(lifetime_max_ms),
	 .doc = "Closed after this in any case; 0: never"},
	{"hello_timeout", SCHEMA_DURATION, .def = "5s", .min = 1, TCP(hello_timeout_ms),
	 .doc = "How long the ClientHello may take, with routes"},
	{"max_conns", SCHEMA_INTEGER, .def = "0", TCP(conns_max),
	 .doc = "Connections at a time, in each worker; 0: what the limit of open files allows"},
	{"bandwidth", SCHEMA_SIZE, .def = "0", TCP(bytes_per_s),
	 .doc = "Bytes a second, each way of each connection; 0: no bound"},
	{"limit", SCHEMA_LIST, .max = 1, NAMES(limit), .apply = hook_service_limit,
	 .doc = "A `limit` by `client_ip`: how often and how many may connect"},
	{"access", SCHEMA_LIST, .max = 1, NAMES(access), .apply = hook_service_access,
	 .doc = "An `access` list"},
	{"mirror", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, TARGET(struct spec_service, mirror),
	 .apply = hook_service_mirror,
	 .doc = "A group that gets a copy of what clients send; its answers are thrown away"},
	{"send_proxy", SCHEMA_WORD, .words = schema_words_send_proxy,
	 SCHEMA_AT(struct spec_service, send_proxy), .apply = hook_service_send_proxy,
	 .doc = "Of the servers in `proxy`, as in `upstream`; an upstream with a name says it itself"},
	{"no_splice", SCHEMA_BOOL, .def = "false", TCP(never_splice),
	 .doc = "Copy large flows, too"},
};

const struct schema_block block_tcp = {
	.name = "tcp",
	.doc = "Relays TCP connections to a group of servers: `tcp \"pg\" { listen = \":5432\"; proxy = \"10.0.1.1:5432\"; }`.",
	BLOCK_KEYS(keys_tcp),
	.begin = hook_tcp_begin,
	.end = hook_service_end,
};

static const struct schema_key keys_udp[] = {
	{"listen", SCHEMA_LIST, .flags = SCHEMA_REPEAT | SCHEMA_NAMED, .block = &block_listen,
	 .apply = hook_service_listen, .max = APP_LISTENS_MAX, .doc = "Addresses"},
	{"proxy", SCHEMA_LIST, .max = SPEC_ANONYMOUS_MAX, TARGET(struct spec_service, to),
	 .apply = hook_service_proxy, .doc = "The name of an `upstream`, or servers"},
	{"idle", SCHEMA_DURATION, .def = "60s", .min = 1, UDP(idle_timeout_ms),
	 .doc = "A session ends when nothing came for so long"},
	{"max_sessions", SCHEMA_INTEGER, .def = "10000", .min = 1, .max = 1 << 20,
	 UDP(sessions_max),
	 .doc = "Clients at a time, in each worker; datagrams of others are dropped and counted"},
	{"responses", SCHEMA_INTEGER, .def = "0", UDP(responses),
	 .doc = "A session ends after so many answers, as 1 for DNS; 0: by time alone"},
	{"limit", SCHEMA_LIST, .max = 1, NAMES(limit), .apply = hook_service_limit,
	 .doc = "A `limit` by `client_ip`: how often sessions may begin"},
	{"access", SCHEMA_LIST, .max = 1, NAMES(access), .apply = hook_service_access,
	 .doc = "An `access` list"},
};

const struct schema_block block_udp = {
	.name = "udp",
	.doc = "Relays datagrams to a group of servers, each client to one of them: `udp \"dns\" { listen = \":53\"; proxy = \"10.0.0.53:53\"; responses = 1; }`.",
	BLOCK_KEYS(keys_udp),
	.begin = hook_udp_begin,
	.end = hook_service_end,
};
