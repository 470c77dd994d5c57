// SPDX-License-Identifier: Apache-2.0
#include "app/config.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/compiler.h"
#include "handler/files.h"
#include "handler/redirect.h"
#include "handler/respond.h"
#include "handler/status.h"
#include "unit.h"

/* A site in one line; the column of what is put into its route is 37, into the site 24. */
#define SITE(inside) "site \"*\" { listen = :80; " inside " }"
#define ROUTE(inside) SITE("route / { " inside " }")
#define TOP(text) text "\n" ROUTE("status = on;")

static struct app_config *parse(const char *text)
{
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	if (app_config_parse(str_from(text), "/etc/s.conf", true, NULL, &config, &errors) < 0)
		fail_msg("%s", errors.count ? errors.lines[0].p : "no error is told");
	assert_int_equal(errors.count, 0);
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
	/* Syntax: only the first. */
	{"workers = ;\nnix = ;", "s.conf:1:11: expected a value for \"workers\", not ;\n"},
	/* Keys. */
	{TOP("wrokers = 2;"), "s.conf:1:1: unknown key \"wrokers\" (did you mean \"workers\"?)\n"},
	{TOP("xyzzy = 2;"), "s.conf:1:1: unknown key \"xyzzy\"\n"},
	{TOP("listen = :80;"), "s.conf:1:1: unknown key \"listen\" (it belongs in admin)\n"},
	{TOP("route / { status = on; }"),
	 "s.conf:1:1: unknown key \"route\" (it belongs in site)\n"},
	{SITE("\nroute \"/api/\" {\n\tfilse = /srv; status = on }"),
	 "s.conf:3:2: unknown key \"filse\" in route \"/api/\" (did you mean \"files\"?)\n"},
	{ROUTE("status = on; workers = 1"),
	 "s.conf:1:49: unknown key \"workers\" in route \"/\" (it belongs at the top, outside of every block)\n"},
	{TOP("pin = on; pin = off;"), "s.conf:1:11: \"pin\" is given already (line 1)\n"},
	{TOP("log { level = info }\n\nlog { }"), "s.conf:3:1: \"log\" is given already (line 1)\n"},
	{ROUTE("files = /a; files = /b"),
	 "s.conf:1:48: \"files\" in route \"/\" is given already (line 1)\n"},
	{ROUTE("files = /a; listing = on; listing = off"),
	 "s.conf:1:62: \"listing\" in route \"/\" is given already (line 1)\n"},
	/* Values. */
	{TOP("workers = two;"), "s.conf:1:11: \"two\" for \"workers\": expected a number\n"},
	{TOP("workers = -1;"), "s.conf:1:11: \"-1\" for \"workers\": expected a number\n"},
	{TOP("workers = 2000;"), "s.conf:1:11: \"2000\" for \"workers\": expected 0 to 1024\n"},
	{TOP("workers = [1, 2];"), "s.conf:1:11: \"workers\" takes a number, not a list\n"},
	{TOP("workers { a = 1 }"), "s.conf:1:9: \"workers\" takes a number, not a block\n"},
	{TOP("limits = 5;"), "s.conf:1:10: \"limits\" takes a block, not a value\n"},
	{TOP("limits \"x\" { }"), "s.conf:1:8: \"limits\" takes no name\n"},
	{TOP("pin = maybe;"), "s.conf:1:7: \"maybe\" for \"pin\": expected true or false\n"},
	{TOP("engine = epol;"),
	 "s.conf:1:10: \"epol\" for \"engine\": expected auto, io_uring, epoll, poll or select; did you mean \"epoll\"?\n"},
	{TOP("drain_timeout = 10m;"),
	 "s.conf:1:17: \"10m\" for \"drain_timeout\": \"m\" could be minutes or millions: write 10min\n"},
	{TOP("drain_timeout = 10;"),
	 "s.conf:1:17: \"10\" for \"drain_timeout\": a duration needs its unit: write 10s for seconds\n"},
	{TOP("drain_timeout = soon;"),
	 "s.conf:1:17: \"soon\" for \"drain_timeout\": expected a duration as 500ms, 30s, 10min, 2h or 1d\n"},
	{TOP("drain_timeout = 9999999999d;"),
	 "s.conf:1:17: \"9999999999d\" for \"drain_timeout\": expected 0 to 2147483647ms\n"},
	{TOP("limits { body_max = 10m }"),
	 "s.conf:1:21: \"10m\" for \"body_max\" in limits: \"m\" could be of 1,000 or of 1,024: write 10mb\n"},
	{TOP("limits { body_max = 99999999999gb }"),
	 "s.conf:1:21: \"99999999999gb\" for \"body_max\" in limits: expected a size as 512, 16kb, 10mb or 1gb\n"},
	{TOP("limits { fields_max = 101 }"),
	 "s.conf:1:23: \"101\" for \"fields_max\" in limits: expected 8 to 100\n"},
	{TOP("limits { head_timeout = 0 }"),
	 "s.conf:1:25: \"0\" for \"head_timeout\" in limits: expected 1 to 2147483647ms\n"},
	{TOP("admin { listen = :9000 }"),
	 "s.conf:1:18: \":9000\" for \"listen\" in admin: expected a Unix socket with an absolute path, as "
	 "unix:/run/sluice.sock\n"},
	{TOP("trusted_proxies = [10.0.0.0/8, nobody];"),
	 "s.conf:1:32: \"nobody\" for \"trusted_proxies\": expected an address or a network, as 10.0.0.0/8 or fd00::/8\n"},
	{TOP("access_log = loud;"),
	 "s.conf:1:14: \"loud\" for \"format\" in access_log: expected off, common, combined or json\n"},
	/* Sites. */
	{"",
	 "s.conf: no site: add site \"*\" { listen = \":8080\"; route \"/\" { files = \".\"; } }\n"},
	{"site { }", "s.conf:1:1: \"site\" needs a name: site \"...\" { }\n"},
	{"site \"*\" { }",
	 "s.conf:1:1: site \"*\" listens nowhere: add listen = \":80\";\n"
	 "s.conf:1:1: site \"*\" has no route: add route \"/\" { files = \"...\"; }\n"},
	{"site \"a b\" { listen = :80; route / { status = on } }",
	 "s.conf:1:1: \"a b\" is not a host: expected example.com, *.example.com or *\n"},
	{ROUTE("status = on") "\nsite \"*\" { listen = :80; route / { status = on } }",
	 "s.conf:2:1: host \"*\" is on :80 twice (line 1 has it first): merge the sites\n"},
	{"site A.de { listen = :80; route / { status = on } }\n"
	 "site b.de { names = a.de; listen = :80; route / { status = on } }",
	 "s.conf:2:1: host \"a.de\" is on :80 twice (line 1 has it first): merge the sites\n"},
	{SITE("listen = :80; route / { status = on }"),
	 "s.conf:1:35: listen \":80\" is given already\n"},
	{SITE("listen :81 { mode = 0660 } route / { status = on }"),
	 "s.conf:1:39: \"mode\" in listen \":81\" is for Unix sockets only\n"},
	{SITE("listen :81 { backlog = 5 } route / { status = on }") "\n"
								    "site b { listen :81 { backlog = 6 } route / { status = on } }",
	 "s.conf:2:17: listen \":81\" has other options elsewhere (line 1): give them once\n"},
	{SITE("listen \"unix:/x\" { mode = 999 } route / { status = on }"),
	 "s.conf:1:52: \"999\" for \"mode\" in listen \"unix:/x\": expected permissions in octal, as 0660\n"},
	/* Routes. */
	{SITE("route api { status = on }"),
	 "s.conf:1:32: route \"api\": a path begins with \"/\"\n"},
	{SITE("route \"/a//b\" { status = on }"),
	 "s.conf:1:32: route \"/a//b\" is never asked for: its normal form is \"/a/b\"\n"},
	{SITE("route \"/..\" { status = on }"),
	 "s.conf:1:32: route \"/..\" is not a path that a request can have\n"},
	{ROUTE(""),
	 "s.conf:1:26: route \"/\" has no handler: give it files, proxy, respond, redirect or status\n"},
	{ROUTE("status = off"),
	 "s.conf:1:26: route \"/\" has no handler: give it files, proxy, respond, redirect or status\n"},
	{ROUTE("files = /srv; redirect = /x"),
	 "s.conf:1:26: route \"/\" has 2 handlers (files, redirect): keep one of them\n"},
	{ROUTE("status = on; respond = x"),
	 "s.conf:1:26: route \"/\" has 2 handlers (respond, status): keep one of them\n"},
	{SITE("route / { status = on }\nroute / { respond = x; exact = off }"),
	 "s.conf:2:1: route \"/\" can never be reached: line 1 answers for the same path and methods\n"},
	{SITE("route / { status = on; methods = [GET, POST] }\nroute / { respond = x; methods = POST }"),
	 "s.conf:2:1: route \"/\" can never be reached: line 1 answers for the same path and methods\n"},
	{ROUTE("status = on; methods = [GET, get]"),
	 "s.conf:1:65: \"get\" for \"methods\" in route \"/\": expected GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, "
	 "CONNECT or TRACE\n"},
	{ROUTE("status = on; listing = on"),
	 "s.conf:1:49: \"listing\" in route \"/\" is a key of files, which it does not have\n"},
	{ROUTE("files { root = /srv } listing = on"),
	 "s.conf:1:58: \"listing\" in route \"/\" belongs into its files { }\n"},
	{ROUTE("files { }"), "s.conf:1:36: \"files\" has no \"root\": name the folder to serve\n"},
	{ROUTE("files = \"\""), "s.conf:1:44: \"\" for \"root\" in files: expected a path\n"},
	{ROUTE("files = /srv; try = [\"$path\", nix]"),
	 "s.conf:1:66: \"nix\" for \"try\" in route \"/\": begins with neither '$path', '/' nor '='\n"},
	{ROUTE("files = /srv; try = [\"=404\", \"$path\"]"),
	 "s.conf:1:57: \"=404\" for \"try\" in route \"/\": a status ends the list, what follows is never tried\n"},
	{ROUTE("files = /srv; strip = x"),
	 "s.conf:1:58: \"x\" for \"strip\" in route \"/\": expected a path that begins with \"/\"\n"},
	{ROUTE("files = /srv; index = a/b"),
	 "s.conf:1:58: \"a/b\" for \"index\" in route \"/\": expected the name of a file\n"},
	{ROUTE("files = /srv; types { \".js\" = text/x; css = x }"),
	 "s.conf:1:58: \".js\" in types: expected an extension in lower case, without its dot\n"
	 "s.conf:1:80: \"x\" for \"types\" in route \"/\": expected a content type, as text/html\n"},
	{ROUTE("files = /srv; compress = [lzma]"),
	 "s.conf:1:62: \"lzma\" for \"codings\" in compress: expected zstd, br or gzip\n"},
	{ROUTE("redirect { }"),
	 "s.conf:1:36: \"redirect\" has no \"to\": say where to send clients\n"},
	{ROUTE("redirect = nowhere"),
	 "s.conf:1:47: \"nowhere\" for \"to\" in redirect: it begins with neither '/' nor a scheme\n"},
	{ROUTE("redirect { to = /x; status = 300 }"),
	 "s.conf:1:65: \"300\" for \"status\" in redirect: expected 301, 302, 303, 307 or 308\n"},
	{ROUTE("respond { status = 100 }"),
	 "s.conf:1:55: \"100\" for \"status\" in respond: expected 200 to 599\n"},
	{ROUTE("status = on; headers { Content-Length = 5; \"a b\" = c; X = \"a\\nb\" }"),
	 "s.conf:1:59: \"Content-Length\" in headers: the server writes this field itself\n"
	 "s.conf:1:79: \"a b\" is not the name of a field\n"
	 "s.conf:1:94: \"a\\nb\" for \"X\" in route \"/\": it would break a field of a response\n"},
	{ROUTE("status = on; headers { A = 1; A = 2 }"),
	 "s.conf:1:66: \"A\" is in headers already (line 1)\n"},
	{ROUTE("status = on; headers { A = [] }"),
	 "s.conf:1:63: \"A\" in headers takes a string, not a list\n"},
	{ROUTE("status = on; error_pages { 200 = x }"),
	 "s.conf:1:63: \"200\" in error_pages: expected a status from 400 to 599\n"},
	/* Bytes of the file do not reach the terminal as they are. */
	{TOP("\"a\\u001b[2J\" = 1;"), "s.conf:1:1: unknown key \"a\\x1b[2J\"\n"},
	/* All of them, in the order of the file. */
	{"pin = x;\nsite b {\n listen = :81;\n route / { status = on; exakt = on }\n}\nlog { file = [] }\nuser { }",
	 "s.conf:1:7: \"x\" for \"pin\": expected true or false\n"
	 "s.conf:4:25: unknown key \"exakt\" in route \"/\" (did you mean \"exact\"?)\n"
	 "s.conf:6:14: \"file\" in log takes a path, not a list\n"
	 "s.conf:7:6: \"user\" takes a string, not a block\n"},
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
		assert_int_equal(errors.more, 0);
		app_errors_free(&errors);
	}
}

static void test_errors_are_bounded(void **state)
{
	struct app_config *config = NULL;
	struct app_errors errors;
	char text[4096] = "";

	for (unsigned i = 0; i < 100; i++)
		strcat(text, "nonsense = 1;\n");
	app_errors_init(&errors);
	assert_int_equal(app_config_parse(str_from(text), "s.conf", true, NULL, &config, &errors),
			 -EINVAL);
	assert_int_equal(errors.count, APP_ERRORS_MAX);
	assert_true(errors.more > 0);
	assert_string_equal(errors.lines[0].p, "s.conf:1:1: unknown key \"nonsense\"");
	assert_string_equal(errors.lines[19].p, "s.conf:20:1: unknown key \"nonsense\"");
	app_errors_free(&errors);
}

static void test_a_file_at_the_size_limit_and_above(void **state)
{
	static const char start[] = TOP("") "\n#";
	struct app_config *config = NULL;
	struct app_errors errors;
	char *text = malloc(APP_CONFIG_BYTES_MAX + 1);

	assert_non_null(text);
	memset(text, 'x', APP_CONFIG_BYTES_MAX + 1);
	memcpy(text, start, sizeof(start) - 1);
	app_errors_init(&errors);
	assert_int_equal(app_config_parse((struct str){text, APP_CONFIG_BYTES_MAX}, "s.conf", true,
					  NULL, &config, &errors),
			 0);
	drop(config);
	assert_int_equal(app_config_parse((struct str){text, APP_CONFIG_BYTES_MAX + 1}, "s.conf",
					  true, NULL, &config, &errors),
			 -EINVAL);
	assert_string_equal(errors.lines[0].p, "s.conf: larger than 1048576 bytes");
	app_errors_free(&errors);
	free(text);
}

/* The table's defaults are stored; those of the rooms must be the same, or the reference would lie. */
static void test_defaults_are_those_of_the_rooms(void **state)
{
	struct app_config *config = parse(ROUTE("files = www"));
	const struct files_config *files = config->http->routes[0]->config;
	struct files_config plain;

	files_config_init(&plain);
	assert_memory_equal(&config->http->limits, &http_limits_default,
			    sizeof(http_limits_default));
	assert_string_equal(files->root.p, "/etc/www");
	assert_int_equal(files->index_count, plain.index_count);
	assert_string_equal(files->index[0].p, plain.index[0].p);
	assert_int_equal(files->try_count, plain.try_count);
	assert_int_equal(files->listing, plain.listing);
	assert_int_equal(files->hidden, plain.hidden);
	assert_int_equal(files->no_symlinks, plain.no_symlinks);
	assert_int_equal(files->no_etag, plain.no_etag);
	assert_int_equal(files->precompressed, plain.precompressed);
	assert_int_equal(files->compress.codings, plain.compress.codings);
	assert_int_equal(files->compress.type_count, plain.compress.type_count);
	assert_int_equal(files->compress.size_min, plain.compress.size_min);
	assert_int_equal(files->compress.size_max, plain.compress.size_max);
	assert_int_equal(files->compress.level, plain.compress.level);
	assert_memory_equal(&files->cache, &plain.cache, sizeof(plain.cache));
	assert_string_equal(files->default_type.p, plain.default_type.p);
	assert_string_equal(files->charset.p, plain.charset.p);
	assert_int_equal(config->http->routes[0]->body_max, http_limits_default.body_max);
	assert_true(config->http->routes[0]->log);
	drop(config);
}

static void test_defaults_of_the_program(void **state)
{
	struct app_config *config = parse(ROUTE("status = on"));

	assert_int_equal(config->engine, IO_ENGINE_AUTO);
	assert_int_equal(config->workers, 0);
	assert_int_equal(config->accept, APP_ACCEPT_REUSEPORT);
	assert_int_equal(config->drain_timeout_ms, 30000);
	assert_int_equal(config->log.level, LOG_INFO);
	assert_int_equal(config->access_log.format, APP_ACCESS_OFF);
	assert_int_equal(config->admin.len, 0);
	assert_int_equal(config->user.len, 0);
	assert_non_null(config->status);
	assert_ptr_equal(config->http->routes[0]->config, config->status);
	assert_string_equal(config->file.p, "/etc/s.conf");
	drop(config);
}

static void test_everything_that_can_be_said(void **state)
{
	struct app_config *config = parse(
		"engine = epoll; workers = 3; pin = yes; accept = main; connections = 500; user = www; group = 33;\n"
		"pid = /run/s.pid; drain_timeout = 2min; strict_hosts = on; trusted_proxies = 10.0.0.0/8;\n"
		"log { level = debug; format = json; file = log/s.log; }\n"
		"access_log { file = /var/log/a.log }\n"
		"admin { listen = unix:/run/s.sock }\n"
		"limits { body_max = 1gb; idle_timeout = 1h; requests_max = 1; server_name = no }\n"
		"site a.de { listen = [:80, \"[::1]:81\"]; listen unix:/x { mode = 0660; backlog = 9 }\n"
		"  route / { redirect { to = \"https://$host$path$query\"; status = 308 } } }");

	assert_int_equal(config->engine, IO_ENGINE_EPOLL);
	assert_int_equal(config->workers, 3);
	assert_true(config->pin);
	assert_int_equal(config->accept, APP_ACCEPT_MAIN);
	assert_string_equal(config->user.p, "www");
	assert_string_equal(config->group.p, "33");
	assert_string_equal(config->pid_file.p, "/run/s.pid");
	assert_int_equal(config->drain_timeout_ms, 120000);
	assert_int_equal(config->log.level, LOG_DEBUG);
	assert_int_equal(config->log.format, LOG_JSON);
	assert_string_equal(config->log.file.p, "/etc/log/s.log");
	assert_int_equal(config->access_log.format, APP_ACCESS_COMBINED);
	assert_string_equal(config->access_log.file.p, "/var/log/a.log");
	assert_int_equal(config->admin.u.sa.sa_family, AF_UNIX);
	assert_int_equal(config->http->limits.connections_max, 500);
	assert_int_equal(config->http->limits.body_max, 1ull << 30);
	assert_int_equal(config->http->limits.idle_timeout_ms, 3600000);
	assert_int_equal(config->http->limits.requests_max, 1);
	assert_false(config->http->limits.server_name);
	assert_int_equal(config->http->trusted_count, 1);
	assert_int_equal(config->listen_count, 3);
	assert_int_equal(config->http->router_count, 3);
	assert_true(config->http->routers[0]->strict_hosts);
	assert_int_equal(config->listens[2].options.unix_mode, 0660);
	assert_int_equal(config->listens[2].options.backlog, 9);
	assert_string_equal(config->origins[0].site.p, "a.de");
	assert_int_equal(config->origins[0].line, 8);
	assert_int_equal(((const struct redirect_config *)config->http->routes[0]->config)->status,
			 308);
	drop(config);
}

static void test_a_route_in_full(void **state)
{
	struct app_config *config = parse(ROUTE(
		"exact = on; methods = [GET, POST]; body_max = 5; log = off; headers { X-A = b; Vary = \"c \" }\n"
		"error_pages { 404 = x.html }\n"
		"files { root = /srv; strip = /s; index = [a, b]; try = [\"$path\", \"=404\"]; listing = on;\n"
		"  precompressed = [br, gzip]; compress { codings = zstd; types = text/; level = 19 }\n"
		"  cache { entries = 0 } types { x = a/b } cache_control { \"*.x\" = c; \"/d/*\" = e } charset = \"\" }"));
	const struct http_route *route = config->http->routes[0];
	const struct files_config *files = route->config;

	assert_true(route->exact);
	assert_int_equal(route->methods, 1u << HTTP_GET | 1u << HTTP_POST);
	assert_int_equal(route->body_max, 5);
	assert_false(route->log);
	assert_int_equal(route->headers->count, 2);
	assert_int_equal(route->headers->v[1].id, HTTP_VARY);
	assert_int_equal(route->headers->h1.len, strlen("X-A: b\r\nVary: c\r\n"));
	assert_memory_equal(route->headers->h1.p, "X-A: b\r\nVary: c\r\n", route->headers->h1.len);
	assert_int_equal(route->error_page_count, 1);
	assert_int_equal(route->error_pages[0].status, 404);
	assert_string_equal(route->error_pages[0].type.p, "text/html; charset=utf-8");
	assert_string_equal(files->strip.p, "/s");
	assert_int_equal(files->index_count, 2);
	assert_int_equal(files->try_count, 2);
	assert_true(files->listing);
	assert_int_equal(files->precompressed, 1u << HTTP_BR | 1u << HTTP_GZIP);
	assert_int_equal(files->compress.codings, 1u << HTTP_ZSTD);
	assert_int_equal(files->compress.type_count, 1);
	assert_int_equal(files->compress.level, 19);
	assert_int_equal(files->cache.entries_max, 0);
	assert_int_equal(files->type_count, 1);
	assert_int_equal(files->cache_control_count, 2);
	assert_string_equal(files->cache_control[1].glob.p, "/d/*");
	assert_int_equal(files->charset.len, 0);
	drop(config);
}

static void test_keys_of_files_may_stand_before_it(void **state)
{
	struct app_config *config =
		parse(ROUTE("listing = on; compress = gzip; files = /srv; hidden = on"));
	const struct files_config *files = config->http->routes[0]->config;

	assert_true(files->listing);
	assert_true(files->hidden);
	assert_int_equal(files->compress.codings, 1u << HTTP_GZIP);
	assert_string_equal(files->root.p, "/srv");
	drop(config);
}

static void test_sites_share_an_address_and_its_options(void **state)
{
	struct app_config *config =
		parse("site a { listen = :80; route / { respond = a } }\n"
		      "site b { listen :80 { backlog = 7 } route / { respond = b } }\n"
		      "site c { listen = [:80, :81]; route / { respond = c } }");

	assert_int_equal(config->listen_count, 2);
	assert_int_equal(config->listens[0].options.backlog, 7);
	assert_int_equal(config->http->route_count, 3);
	drop(config);
}

static void test_the_command_line_wins(void **state)
{
	const char *listens[] = {"127.0.0.1:0", "unix:/y"};
	struct app_overrides o = {.listens = listens,
				  .listen_count = 2,
				  .workers = 9,
				  .engine = IO_ENGINE_POLL,
				  .access_format = APP_ACCESS_JSON,
				  .log_level = LOG_WARN};
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	assert_int_equal(app_config_parse(STR("workers = 1; access_log { file = /x }\n"
					      "site a { route / { respond = a } }\n"
					      "site b { listen = :80; route / { respond = b } }"),
					  "s.conf", true, &o, &config, &errors),
			 0);
	assert_int_equal(config->listen_count, 2);
	assert_int_equal(config->workers, 9);
	assert_int_equal(config->engine, IO_ENGINE_POLL);
	assert_int_equal(config->log.level, LOG_WARN);
	assert_int_equal(config->access_log.format, APP_ACCESS_JSON);
	assert_int_equal(config->access_log.file.len, 0);
	drop(config);
	listens[1] = "127.0.0.1:0";
	assert_int_equal(app_config_parse(STR("site a { route / { respond = a } }"), "s.conf", true,
					  &o, &config, &errors),
			 -EINVAL);
	assert_string_equal(errors.lines[0].p, "s.conf: --listen \"127.0.0.1:0\" is given already");
	app_errors_free(&errors);
}

static void test_the_quick_configuration(void **state)
{
	struct app_config *config = NULL;
	struct app_errors errors;
	const struct files_config *files;
	char cwd[4096];

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	app_errors_init(&errors);
	assert_int_equal(app_config_files(".", NULL, &config, &errors), 0);
	files = config->http->routes[0]->config;
	assert_string_equal(files->root.p, cwd);
	assert_true(files->listing);
	assert_false(files->hidden);
	assert_int_equal(config->listen_count, 1);
	assert_string_equal(config->listens[0].text.p, ":8080");
	assert_memory_equal(&config->http->limits, &http_limits_default,
			    sizeof(http_limits_default));
	drop(config);
	assert_int_equal(app_config_files("/no/such/folder", NULL, &config, &errors), -EINVAL);
	assert_string_equal(
		errors.lines[0].p,
		"sluice: folder /no/such/folder: no such file or directory (create it, or correct "
		"the path)");
	app_errors_free(&errors);
}

static void test_what_the_machine_lacks_is_told(void **state)
{
	struct app_config *config = NULL;
	struct app_errors errors;

	app_errors_init(&errors);
	assert_int_equal(
		app_config_parse(
			STR("user = no-such-user; group = no-such-group; log { file = /no/such/f }\n"
			    "site a { listen = :80; route / { files = /etc/passwd }\n"
			    " route /x { files = nix; error_pages { 404 = nix.html } } }"),
			"/no/s.conf", false, NULL, &config, &errors),
		-EINVAL);
	assert_int_equal(errors.count, 6);
	assert_string_equal(errors.lines[0].p,
			    "/no/s.conf:1:8: no user \"no-such-user\" on this machine "
			    "(adduser --system, or correct the name)");
	assert_string_equal(errors.lines[1].p,
			    "/no/s.conf:1:30: no group \"no-such-group\" on this machine "
			    "(addgroup --system, or correct the name)");
	assert_string_equal(errors.lines[2].p,
			    "/no/s.conf:1:58: folder /no/such/: no such file or directory "
			    "(create it, or correct the path)");
	assert_string_equal(errors.lines[3].p,
			    "/no/s.conf:2:42: /etc/passwd is not a folder (name the folder "
			    "that holds it)");
	assert_string_equal(errors.lines[4].p,
			    "/no/s.conf:3:21: folder /no/nix: no such file or directory "
			    "(create it, or correct the path)");
	assert_string_equal(errors.lines[5].p,
			    "/no/s.conf:3:46: error page /no/nix.html: no such file or directory");
	app_errors_free(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_files_are_told_in_full),
		cmocka_unit_test(test_errors_are_bounded),
		cmocka_unit_test(test_a_file_at_the_size_limit_and_above),
		cmocka_unit_test(test_defaults_are_those_of_the_rooms),
		cmocka_unit_test(test_defaults_of_the_program),
		cmocka_unit_test(test_everything_that_can_be_said),
		cmocka_unit_test(test_a_route_in_full),
		cmocka_unit_test(test_keys_of_files_may_stand_before_it),
		cmocka_unit_test(test_sites_share_an_address_and_its_options),
		cmocka_unit_test(test_the_command_line_wins),
		cmocka_unit_test(test_the_quick_configuration),
		cmocka_unit_test(test_what_the_machine_lacks_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
