// SPDX-License-Identifier: Apache-2.0
#include "app/config.h"

#include <errno.h>
#include <stdio.h>

#include "app/quick.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "handler/guards.h"
#include "handler/proxy.h"
#include "unit.h"

/* A site in one line; the column of what is put into its route is 37. */
#define ROUTE(inside) "site \"*\" { listen = :80; route / { " inside " } }"
#define TOP(text) text "\n" ROUTE("status = on;")
#define API "upstream api { servers = [\":1\", \":2\"] }\n"

static struct app_config *parse(const char *text)
{
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	if (app_config_parse(str_from(text), "/etc/s.conf", true, NULL, &config, &errors) < 0)
		fail_msg("%s", errors.count ? errors.lines[0].p : "no error is told");
	app_errors_free(&errors);
	return config;
}

static void drop(struct app_config *config)
{
	http_config_unref(config->http);
}

static const struct {
	const char *text, *errors;
} wrong[] = {
	/* Groups. */
	{ROUTE("proxy = apo") "\n" API,
	 "s.conf:1:44: no upstream \"apo\" in proxy (did you mean \"api\"?)\n"},
	{ROUTE("proxy = backend"),
	 "s.conf:1:44: no upstream \"backend\" in proxy: add upstream \"backend\" { servers = [...]; }, or write "
	 "servers with their ports\n"},
	{TOP("upstream api { }"),
	 "s.conf:1:1: upstream \"api\" has no server: add servers = [\":3000\"];\n"},
	{TOP("upstream \"a b\" { servers = :1 }"),
	 "s.conf:1:10: upstream \"a b\": expected a name of at most 64 letters, digits and . _ -\n"},
	{TOP(API "upstream api { servers = :1 }"),
	 "s.conf:2:1: upstream \"api\" is given already (line 1)\n"},
	{TOP("upstream api { servers = [\":1\", \":1\"] }"),
	 "s.conf:1:33: server \":1\" in upstream \"api\" is given already (line 1)\n"},
	{TOP("upstream api { server :1 { weight = 0 } }"),
	 "s.conf:1:37: \"0\" for \"weight\" in server \":1\": expected 1 to 256\n"},
	{TOP("upstream api { server :1 { backup = on } }"),
	 "s.conf:1:1: upstream \"api\" has only backup servers: one must not be\n"},
	{TOP("upstream api { servers = :1; balance = leastconn }"),
	 "s.conf:1:40: \"leastconn\" for \"balance\" in upstream \"api\": expected round_robin, weighted, random, p2c, "
	 "least_conn, ip_hash or consistent; did you mean \"least_conn\"?\n"},
	{TOP("upstream api { servers = :1; key = \"header:\" }"),
	 "s.conf:1:36: \"header:\" for \"key\" in upstream \"api\": expected client_ip, uri, header:NAME or "
	 "cookie:NAME\n"},
	{TOP("upstream api { servers = :1; retry { budget = 20 } }"),
	 "s.conf:1:47: \"20\" for \"budget\" in retry: a share needs its sign: write 20%\n"},
	{TOP("upstream api { servers = :1; retry { budget = \"120%\" } }"),
	 "s.conf:1:47: \"120%\" for \"budget\" in retry: expected 0 to 100%\n"},
	{TOP("upstream api { servers = :1; retry { on = [connect, 505] } }"),
	 "s.conf:1:53: \"505\" for \"on\" in retry: expected connect, reset, timeout, 500, 502, 503 or 504\n"},
	{TOP("upstream api { servers = :1; health { status = 300-200 } }"),
	 "s.conf:1:48: \"300-200\" for \"status\" in health: expected a status as 200, or two as 200-399\n"},
	{TOP("upstream api { servers = :1; health = healthz }"),
	 "s.conf:1:39: \"healthz\" for \"path\" in health: expected a path that begins with \"/\"\n"},
	/* Proxies. */
	{ROUTE("proxy { }"),
	 "s.conf:1:36: \"proxy\" has no \"to\": name an upstream, or its servers\n"},
	{ROUTE("proxy = []"),
	 "s.conf:1:36: \"proxy\" has no \"to\": name an upstream, or its servers\n"},
	{ROUTE("proxy = \"http://a:1/x\""),
	 "s.conf:1:44: server \"http://a:1/x\" in proxy: a server is an address, not a URL: write \"a:1\"\n"},
	{ROUTE("proxy = [\":1\", \":1\"]"), "s.conf:1:45: server \":1\" in proxy is given twice\n"},
	{ROUTE("proxy = :1; strip = /x"),
	 "s.conf:1:48: \"strip\" in route \"/\" belongs into its proxy { }\n"},
	{ROUTE("proxy = :1; status = on"),
	 "s.conf:1:26: route \"/\" has 2 handlers (proxy, status): keep one of them\n"},
	{ROUTE("proxy { to = :1; fallback { } }"),
	 "s.conf:1:53: \"fallback\" takes one of to, file and body, not 0\n"},
	{ROUTE("proxy { to = :1; fallback { body = x; to = :2 } }"),
	 "s.conf:1:53: \"fallback\" takes one of to, file and body, not 2\n"},
	{ROUTE("proxy { to = api; fallback = api }") "\n" API,
	 "s.conf:1:65: \"fallback\" in fallback is the group itself: it takes another one\n"},
	{ROUTE("proxy { to = :1; mirror { to = :2; share = \"0.55%\" } }"),
	 "s.conf:1:79: \"0.55%\" for \"share\" in mirror: expected a share as 10% or 0.5%\n"},
	{ROUTE("proxy { to = :1; set_headers { Host = x; X = \"$nix\" } }"),
	 "s.conf:1:67: \"Host\" in set_headers: say it with host\n"
	 "s.conf:1:81: \"$nix\" for \"X\" in proxy: expected $client, $host, $scheme, $path or $server behind a $\n"},
	/* Limits, lists, load. */
	{TOP("limit ip { }"),
	 "s.conf:1:1: limit \"ip\" limits nothing: give it rate, conns or bandwidth\n"},
	{TOP("limit ip { rate = 50 }"),
	 "s.conf:1:19: \"50\" for \"rate\" in limit \"ip\": expected a rate as 50/s, 100/min or 10/10s\n"},
	{ROUTE("status = on; limit = [ipp]") "\nlimit ip { rate = 1/s }",
	 "s.conf:1:58: no limit \"ipp\" in route \"/\" (did you mean \"ip\"?)\n"},
	{ROUTE("status = on; access = office"),
	 "s.conf:1:58: no access \"office\" in route \"/\": add access \"office\" { } at the top\n"},
	{TOP("access a { allow = nobody }"),
	 "s.conf:1:20: \"nobody\" for \"access\" in access \"a\": expected an address or a network, as 10.0.0.0/8 or "
	 "fd00::/8, or all\n"},
	{ROUTE("status = on; priority = 2"),
	 "s.conf:1:49: route \"/\" says what it does under load, but nothing measures it: add load { } at the top\n"},
	{"load { }\n" ROUTE("status = on; when_critical = fallback"),
	 "s.conf:2:49: route \"/\" has no fallback: give its proxy one, or say refuse\n"},
	{TOP("load { cpu { degraded = \"90%\"; critical = \"50%\" } }"),
	 "s.conf:1:8: \"cpu\" in load: critical is below degraded\n"},
	{ROUTE("status = on; adaptive { min = 9; max = 5 }"),
	 "s.conf:1:49: \"adaptive\": min is above max\n"},
	/* Relays. */
	{"tcp pg { }", "s.conf:1:1: tcp \"pg\" listens nowhere: add listen = \":5432\";\n"
		       "s.conf:1:1: tcp \"pg\" goes nowhere: add proxy = \"10.0.0.1:5432\";\n"},
	{ROUTE("status = on") "\ntcp pg { listen = :80; proxy = :1 }",
	 "s.conf:2:19: listen \":80\" is for something else already (line 1)\n"},
	{"tcp a { listen = :80; proxy = :1 }\ntcp b { listen = :80; proxy = :1 }",
	 "s.conf:2:18: listen \":80\" is for something else already (line 1)\n"},
	{"udp a { listen = \"unix:/x\"; proxy = :1 }",
	 "s.conf:1:18: listen \"unix:/x\": datagrams take an IP address\n"},
	{"tcp a { listen = :80; proxy = api; send_proxy = v2 }\n" API,
	 "s.conf:1:36: \"send_proxy\" belongs into upstream \"api\"\n"},
	{"tcp a { listen = :80; route x { proxy = :1 } }",
	 "s.conf:1:23: route \"x\" has neither \"sni\" nor \"alpn\": it would take everything\n"},
	{"tcp a { listen = :80; sni { \"a/b\" = \":1\" } }",
	 "s.conf:1:29: \"a/b\" in tcp \"a\" is not a name of TLS: expected example.com or *.example.com\n"},
	{"limit h { key = \"header:X\"; rate = 1/s }\ntcp a { listen = :80; proxy = :1; limit = h }",
	 "s.conf:2:43: limit \"h\" in tcp \"a\" is not by client_ip\n"},
	/* Listeners. */
	{"site a { listen :80 { proxy_protocol = v2 } route / { status = on } }",
	 "s.conf:1:23: listen \":80\": anybody could write a PROXY header: say whom to believe, trusted = "
	 "[\"10.0.0.0/8\"]\n"},
	{"site a { listen :80 { trusted = ::1 } route / { status = on } }",
	 "s.conf:1:23: \"trusted\" in listen \":80\" is for proxy_protocol, which is off\n"},
	{"udp a { listen :80 { proxy_protocol = v1; trusted = ::1 } proxy = :1 }",
	 "s.conf:1:22: listen \":80\": the PROXY protocol is for connections, not for datagrams\n"},
	{TOP("resolver = \"dns.example\";"),
	 "s.conf:1:12: \"dns.example\" for \"resolver\": expected an address as 127.0.0.1:53 or [::1]:53\n"},
};

static void test_wrong_files_are_told_in_full(void **state)
{
	for (size_t i = 0; i < SL_ARRAY_SIZE(wrong); i++) {
		struct app_config *config = NULL;
		struct app_errors errors;
		char got[4096] = "";

		app_errors_init(&errors);
		assert_int_equal(app_config_parse(str_from(wrong[i].text), "s.conf", true, NULL,
						  &config, &errors),
				 -EINVAL);
		assert_null(config);
		for (unsigned k = 0; k < errors.count; k++) {
			strcat(got, errors.lines[k].p);
			strcat(got, "\n");
		}
		assert_string_equal(got, wrong[i].errors);
		app_errors_free(&errors);
	}
}

/* The table's defaults are stored; those of the rooms must be the same, or the reference would lie. */
static void test_defaults_are_those_of_the_rooms(void **state)
{
	struct app_config *config =
		parse("upstream api { servers = :1; health { } outlier { } retry { } timeouts { }\n"
		      "  keepalive { } queue { } }\nload { }\n" ROUTE("proxy = api"));
	struct upstream_config plain = {.servers = NULL};
	struct guard_load_config load;
	const struct upstream_config *is = config->parts.groups->config;

	upstream_config_init(&plain);
	guard_load_config_init(&load);
	assert_int_equal(is->balance, plain.balance);
	assert_int_equal(is->key, plain.key);
	assert_int_equal(is->slow_start_ms, plain.slow_start_ms);
	assert_int_equal(is->load_max_percent, plain.load_max_percent);
	assert_int_equal(is->requests_max, plain.requests_max);
	assert_int_equal(is->queue_max, plain.queue_max);
	assert_int_equal(is->queue_timeout_ms, plain.queue_timeout_ms);
	assert_true(is->health.on);
	assert_true(is->health.http);
	assert_int_equal(is->health.every_ms, plain.health.every_ms);
	assert_int_equal(is->health.timeout_ms, plain.health.timeout_ms);
	assert_int_equal(is->health.jitter_percent, plain.health.jitter_percent);
	assert_int_equal(is->health.rise, plain.health.rise);
	assert_int_equal(is->health.fall, plain.health.fall);
	assert_true(str_eq(is->health.path, plain.health.path));
	assert_int_equal(is->health.status_min, plain.health.status_min);
	assert_int_equal(is->health.status_max, plain.health.status_max);
	assert_memory_equal(&is->outlier, &plain.outlier, sizeof(plain.outlier));
	assert_memory_equal(&is->breaker, &plain.breaker, sizeof(plain.breaker));
	assert_memory_equal(&is->group_breaker, &plain.group_breaker, sizeof(plain.breaker));
	assert_memory_equal(&is->retry, &plain.retry, sizeof(plain.retry));
	assert_memory_equal(&is->timeouts, &plain.timeouts, sizeof(plain.timeouts));
	assert_memory_equal(&is->keepalive, &plain.keepalive, sizeof(plain.keepalive));
	assert_int_equal(is->send_proxy, plain.send_proxy);
	load.on = true;
	assert_memory_equal(&config->parts.load.cpu_percent, &load.cpu_percent,
			    sizeof(load.cpu_percent));
	assert_memory_equal(&config->parts.load.lag_ms, &load.lag_ms, sizeof(load.lag_ms));
	assert_memory_equal(&config->parts.load.error_percent, &load.error_percent,
			    sizeof(load.error_percent));
	assert_memory_equal(&config->parts.load.queue, &load.queue, sizeof(load.queue));
	assert_int_equal(config->parts.load.hold_ms, load.hold_ms);
	drop(config);
}

static void test_a_group_in_full(void **state)
{
	struct app_config *config = parse(
		"upstream api {\n"
		"  servers = [\"10.0.0.1:80\", \"app.example.com:80\", \"srv:_http._tcp.a.de\"]\n"
		"  server \"10.0.0.2:80\" { weight = 3; max_conns = 10; backup = on }\n"
		"  balance = consistent; key = \"cookie:sid\"; load_max = \"125%\"; sticky = at; slow_start = 30s\n"
		"  max_requests = 500; queue { max = 5; timeout = 1s } send_proxy = v2\n"
		"  health { path = \"\"; every = 1s; port = 81 }\n"
		"  breaker { } group_breaker { consecutive = 9; slow = 1s }\n"
		"  retry = 0; keepalive = 16; timeouts { total = 1min }\n"
		"}\n" ROUTE("proxy = api"));
	const struct upstream_config *is = config->parts.groups->config;

	assert_int_equal(is->server_count, 4);
	assert_int_equal(is->servers[0].kind, UPSTREAM_SERVER_ADDR);
	assert_int_equal(is->servers[1].kind, UPSTREAM_SERVER_NAME);
	assert_int_equal(is->servers[2].kind, UPSTREAM_SERVER_SRV);
	assert_int_equal(is->servers[3].weight, 3);
	assert_int_equal(is->servers[3].max_conns, 10);
	assert_true(is->servers[3].backup);
	assert_int_equal(is->balance, UPSTREAM_CONSISTENT);
	assert_int_equal(is->key, UPSTREAM_KEY_COOKIE);
	assert_string_equal(is->key_name.p, "sid");
	assert_int_equal(is->load_max_percent, 125);
	assert_string_equal(is->sticky_cookie.p, "at");
	assert_int_equal(is->requests_max, 500);
	assert_int_equal(is->queue_max, 5);
	assert_int_equal(is->send_proxy, PROXY_V2);
	assert_true(is->health.on);
	assert_false(is->health.http);
	assert_int_equal(is->health.port, 81);
	assert_int_equal(is->breaker.error_percent, 50);
	assert_int_equal(is->group_breaker.error_percent, 0);
	assert_int_equal(is->group_breaker.slow_ms, 1000);
	assert_int_equal(is->retry.max, 0);
	assert_int_equal(is->keepalive.idle_max, 16);
	assert_int_equal(is->timeouts.total_ms, 60000);
	drop(config);
}

static void test_weights_ask_for_a_balance_that_knows_them(void **state)
{
	struct app_config *config = parse(
		"upstream api { servers = :1; server :2 { weight = 2 } }\n" ROUTE("proxy = api"));

	assert_int_equal(config->parts.groups->config->balance, UPSTREAM_WEIGHTED);
	drop(config);
}

static void test_the_same_list_is_the_same_group(void **state)
{
	struct app_config *config =
		parse("site a { listen = :80; route / { proxy = [\":1\", \":2\"] }\n"
		      " route /b { proxy = [\":1\", \":2\"] } route /c { proxy = :1 } }");
	unsigned count = 0;

	for (const struct app_group *g = config->parts.groups; g; g = g->next)
		count++;
	assert_int_equal(count, 2);
	drop(config);
}

static void test_a_proxy_in_full(void **state)
{
	struct app_config *config = parse(API ROUTE(
		"proxy { to = api; host = \"$server\"; strip = /a; prefix = /b; timeout = 5s; no_via = on\n"
		" set_headers { X-A = \"$client\" } remove_headers = [Cookie, X-B]\n"
		" response_set_headers { X-C = d } response_remove_headers = X-E\n"
		" fallback { body = sorry; status = 503; type = text/x } mirror { to = [\":9\"]; share = \"0.5%\" } }"));
	const struct http_route *route = config->http->routes[0];
	const struct proxy_config *proxy = route->config;

	assert_ptr_equal(route->handler, &proxy_handler);
	assert_string_equal(proxy->upstream->name.p, "api");
	assert_string_equal(proxy->host.p, "$server");
	assert_string_equal(proxy->strip.p, "/a");
	assert_string_equal(proxy->prefix.p, "/b");
	assert_int_equal(proxy->total_timeout_ms, 5000);
	assert_true(proxy->no_via);
	assert_false(proxy->no_forwarded);
	assert_int_equal(proxy->request.set_count, 1);
	assert_string_equal(proxy->request.set[0].value.p, "$client");
	assert_int_equal(proxy->request.remove_count, 2);
	assert_int_equal(proxy->response.set_count, 1);
	assert_int_equal(proxy->response.remove_count, 1);
	assert_int_equal(proxy->fallback, PROXY_FALLBACK_RESPOND);
	assert_int_equal(proxy->fallback_respond.status, 503);
	assert_string_equal(proxy->fallback_respond.body.p, "sorry");
	assert_string_equal(proxy->mirror->name.p, ":9");
	assert_int_equal(proxy->mirror_permille, 5);
	assert_int_equal(proxy->mirror_body_max, 65536);
	drop(config);
	config = parse(ROUTE("proxy = :1"));
	proxy = config->http->routes[0]->config;
	assert_int_equal(proxy->total_timeout_ms, UINT32_MAX);
	assert_int_equal(proxy->fallback, PROXY_FALLBACK_NONE);
	drop(config);
}

static void test_guards_of_sites_and_routes(void **state)
{
	struct app_config *config = parse(
		"limit ip { rate = 100/min; burst = 10; conns = 5; bandwidth = 1mb; algorithm = gcra; max_keys = 9 }\n"
		"limit all { key = all; rate = 1/10s; dry_run = on }\n"
		"access in { allow = 10.0.0.0/8 }\naccess out { deny = [10.1.0.0/16] }\n"
		"load { refuse_below { critical = 3 } }\n"
		"site a { listen = :80; limit = [ip, all]; access = in\n"
		" route / { status = on }\n"
		" route /b { status = on; limit = all; access = [in, out]; priority = 2 }\n"
		" route /c { status = on; limit = []; access = []; adaptive = 50 } }");
	const struct http_route *const *routes =
		(const struct http_route *const *)config->http->routes;
	const struct guards_limit *limit = routes[0]->steps[1].config;
	const struct guards_load *load = routes[1]->steps[2].config;

	assert_int_equal(routes[0]->step_count, 3);
	assert_ptr_equal(routes[0]->steps[0].run, guards_access_run);
	assert_ptr_equal(routes[0]->steps[1].run, guards_limit_run);
	assert_string_equal(limit->config->name.p, "ip");
	assert_int_equal(limit->config->count, 100);
	assert_int_equal(limit->config->period_ns, 60 * CLOCK_NS_PER_S);
	assert_int_equal(limit->config->bytes_per_s, 1 << 20);
	assert_int_equal(limit->config->keys_max, 9);
	assert_int_equal(limit->config->prefix_v6, 64);
	limit = routes[0]->steps[2].config;
	assert_int_equal(limit->config->key, GUARD_KEY_CONSTANT);
	assert_int_equal(limit->config->period_ns, 10 * CLOCK_NS_PER_S);
	assert_true(limit->config->dry_run);
	assert_int_equal(routes[1]->step_count, 4);
	assert_ptr_equal(routes[1]->steps[2].run, guards_load_run);
	assert_int_equal(load->priority, 2);
	assert_int_equal(load->priority_min[GUARD_CRITICAL], 3);
	assert_int_equal(routes[2]->step_count, 1);
	load = routes[2]->steps[0].config;
	assert_int_equal(load->adaptive_max, 50);
	assert_int_equal(load->adaptive_min, 4);
	drop(config);
}

static void test_more_steps_than_a_route_has(void **state)
{
	struct app_config *config = NULL;
	struct app_errors errors;
	char text[2048] = "";

	for (unsigned i = 0; i <= HTTP_STEPS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "limit l%u { rate = 1/s }\naccess a%u { others = deny }\n", i, i);
	strcat(text, "site a { listen = :80; route / { status = on;\nlimit = [l0, l1, l2, l3, l4]; "
		     "access = [a0, a1, a2, a3] } }");
	app_errors_init(&errors);
	assert_int_equal(app_config_parse(str_from(text), "s.conf", true, NULL, &config, &errors),
			 -EINVAL);
	assert_string_equal(
		errors.lines[0].p,
		"s.conf:19:24: route \"/\" has more than 8 steps before its handler (access, limit, load)");
	app_errors_free(&errors);
}

static void test_relays_in_full(void **state)
{
	struct app_config *config = parse(
		API
		"limit ip { rate = 1/s }\naccess in { allow = ::1 }\n"
		"tcp pg { listen = [:1, \":2\"]; proxy = \"10.0.0.1:5432\"; idle = 1min; lifetime = 1h; max_conns = 7\n"
		" send_proxy = v1; limit = ip; access = in; mirror = api; bandwidth = 1kb; no_splice = on\n"
		" sni { \"a.de\" = api }\n"
		" route r { sni = [b.de, c.de]; alpn = [h2, x]; proxy = [\":3\", \":4\"] } }\n"
		"udp dns { listen = :1; proxy = :53; responses = 1; idle = 5s; max_sessions = 3 }");
	const struct tcp_config *tcp = config->parts.services[0].tcp;
	const struct udp_config *udp = config->parts.services[1].udp;

	assert_int_equal(config->listen_count, 3);
	assert_int_equal(config->listens[0].kind, APP_LISTEN_TCP);
	assert_int_equal(config->listens[2].kind, APP_LISTEN_UDP);
	assert_int_equal(config->listens[2].service, 1);
	assert_string_equal(tcp->upstream->name.p, "tcp/pg");
	assert_int_equal(tcp->upstream->send_proxy, PROXY_V1);
	assert_int_equal(tcp->idle_timeout_ms, 60000);
	assert_int_equal(tcp->lifetime_max_ms, 3600000);
	assert_int_equal(tcp->hello_timeout_ms, 5000);
	assert_int_equal(tcp->conns_max, 7);
	assert_int_equal(tcp->bytes_per_s, 1024);
	assert_true(tcp->never_splice);
	assert_non_null(tcp->access);
	assert_string_equal(tcp->mirror->name.p, "api");
	assert_int_equal(tcp->route_count, 5);
	assert_string_equal(tcp->routes[0].sni.p, "a.de");
	assert_string_equal(tcp->routes[0].upstream->name.p, "api");
	assert_string_equal(tcp->routes[2].sni.p, "b.de");
	assert_string_equal(tcp->routes[2].alpn.p, "x");
	assert_int_equal(tcp->routes[4].upstream->server_count, 2);
	assert_int_equal(udp->responses, 1);
	assert_int_equal(udp->sessions_max, 3);
	assert_string_equal(udp->upstream->name.p, "udp/dns");
	drop(config);
}

static void test_listeners_that_expect_a_proxy_header(void **state)
{
	struct app_config *config = parse(
		"trusted_proxies = [10.0.0.0/8];\n"
		"site a { listen :80 { proxy_protocol = any } listen :81 { proxy_protocol = v1; trusted = [::1, 127.0.0.1] }\n"
		" listen \"unix:/x\" { proxy_protocol = v2 } route / { status = on } }");

	assert_int_equal(config->listens[0].proxy_protocol, PROXY_ANY);
	assert_int_equal(config->listens[0].trusted_count, 1);
	assert_int_equal(config->listens[1].proxy_protocol, PROXY_V1);
	assert_int_equal(config->listens[1].trusted_count, 2);
	assert_int_equal(config->listens[2].proxy_protocol, PROXY_V2);
	drop(config);
}

static void test_what_is_not_used_is_a_warning(void **state)
{
	struct app_config *config =
		parse(TOP(API "limit ip { rate = 1/s }\naccess in { allow = ::1 }"));

	assert_int_equal(config->warning_count, 3);
	assert_string_equal(config->warnings[0].p,
			    "/etc/s.conf:1:1: upstream \"api\" is not used: nothing is sent to it");
	assert_null(config->parts.groups);
	assert_null(config->parts.lists);
	drop(config);
}

static void test_the_quick_configurations(void **state)
{
	static const char *const to[] = {":1", "a.de:2"};
	static const char *const listens[] = {"127.0.0.1:0"};
	struct app_overrides o = {.listens = listens,
				  .listen_count = 1,
				  .workers = -1,
				  .engine = -1,
				  .access_format = -1,
				  .log_level = -1};
	struct app_quick quick = {.to = to, .to_count = 2, .balance = UPSTREAM_P2C, .health = "/h"};
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	assert_int_equal(app_config_quick(&quick, NULL, &config, &errors), 0);
	assert_string_equal(config->listens[0].text.p, ":8080");
	assert_string_equal(config->parts.groups->config->name.p, ":1,a.de:2");
	assert_int_equal(config->parts.groups->config->balance, UPSTREAM_P2C);
	assert_string_equal(config->parts.groups->config->health.path.p, "/h");
	drop(config);
	quick.kind = APP_QUICK_TCP;
	quick.send_proxy = PROXY_V2;
	assert_int_equal(app_config_quick(&quick, &o, &config, &errors), 0);
	assert_int_equal(config->listens[0].kind, APP_LISTEN_TCP);
	assert_int_equal(config->parts.services[0].tcp->upstream->send_proxy, PROXY_V2);
	assert_int_equal(config->parts.services[0].tcp->idle_timeout_ms, 3600000);
	drop(config);
	quick.kind = APP_QUICK_UDP;
	quick.to = (const char *const[]){"nix", ":1"};
	assert_int_equal(app_config_quick(&quick, &o, &config, &errors), -EINVAL);
	assert_true(str_starts(errors.lines[0],
			       STR("sluice: --to: server \"nix\": the port is missing")));
	app_errors_free(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_files_are_told_in_full),
		cmocka_unit_test(test_defaults_are_those_of_the_rooms),
		cmocka_unit_test(test_a_group_in_full),
		cmocka_unit_test(test_weights_ask_for_a_balance_that_knows_them),
		cmocka_unit_test(test_the_same_list_is_the_same_group),
		cmocka_unit_test(test_a_proxy_in_full),
		cmocka_unit_test(test_guards_of_sites_and_routes),
		cmocka_unit_test(test_more_steps_than_a_route_has),
		cmocka_unit_test(test_relays_in_full),
		cmocka_unit_test(test_listeners_that_expect_a_proxy_header),
		cmocka_unit_test(test_what_is_not_used_is_a_warning),
		cmocka_unit_test(test_the_quick_configurations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
