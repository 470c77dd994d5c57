// SPDX-License-Identifier: Apache-2.0
// sluice explain: which listener, site, route and handler would answer a URL, and with what. The request is really
// made, inside this process: what is printed is what the handler says, not what somebody thinks that it would say.
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "cli/cli.h"
#include "handler/files.h"
#include "handler/guards.h"
#include "handler/proxy.h"
#include "handler/redirect.h"
#include "handler/respond.h"
#include "handler/status.h"
#include "http/authority.h"
#include "http/loopback.h"
#include "http/path.h"
#include "sluice/version.h"

/* A handler that has not answered by then never will. */
#define TURNS_MAX 500
#define TURN_NS 10000000
/* What helper threads still do for a request that is over. */
#define TURNS_AFTER 20

struct explain {
	const char *file;
	struct app_config *config;
	struct str authority, target; /* of the URL; target with its query */
	unsigned port;                /* 0: the URL is a path alone */
	bool port_given;              /* it stands in the URL */
	unsigned listener;
	struct http_route *routes; /* as they are: see stand_in */
	struct arena arena;
};

static const struct cli_option options[] = {
	{'c', "config", "FILE",
	 "the configuration; ./sluice.conf or /etc/sluice/sluice.conf when not given"},
	{0, NULL, NULL, NULL},
};

static bool take(void *owner, int key, const char *arg)
{
	((struct explain *)owner)->file = arg;
	return true;
}

static void row(const char *name, const char *fmt, ...) SL_PRINTF(2, 3);

static void row(const char *name, const char *fmt, ...)
{
	const struct cli_colours *c = cli_colours(stdout);
	va_list ap;

	printf("%s%-9s%s ", c->dim, name, c->off);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	fputc('\n', stdout);
}

/*
 * Servers are not asked, and nobody is counted: where a route has steps or passes requests on, this answers in its
 * place, and the route is told as it stands in the configuration.
 */
static int stand_in_open(void *state, struct http_stream *s)
{
	return http_respond_text(s, 200, STR("text/plain"), STR(""));
}

static const struct handler_ops stand_in = {.name = "stand-in", .open = stand_in_open};

static int replace_handlers(struct explain *e)
{
	struct http_config *http = e->config->http;

	e->routes = arena_zalloc(&e->arena, (http->route_count + 1) * sizeof(*e->routes));
	if (!e->routes)
		return -ENOMEM;
	for (unsigned i = 0; i < http->route_count; i++) {
		struct http_route *route = http->routes[i];

		e->routes[i] = *route;
		route->step_count = 0;
		if (route->handler == &proxy_handler)
			route->handler = &stand_in;
	}
	return 0;
}

/* "http://host:80/path?query", "host/path" or "/path". */
static int split_url(const struct cli_command *command, struct explain *e, const char *url)
{
	struct str rest = str_from(url), host, port = STR_NONE;
	ptrdiff_t at;

	if (str_starts_nocase(rest, STR("http://"))) {
		rest = str_skip(rest, 7);
		e->port = 80;
	} else if (str_starts_nocase(rest, STR("https://"))) {
		return cli_usage(command,
				 "explain: there is no TLS in this version: ask for http://");
	}
	at = str_find_byte(rest, '/');
	e->authority = at < 0 ? rest : str_head(rest, (size_t)at);
	e->target = at < 0 ? STR("/") : str_skip(rest, (size_t)at);
	at = str_find_byte(e->target, '#');
	if (at >= 0)
		e->target.len = (size_t)at;
	if (e->authority.len == 0)
		e->authority = STR("localhost");
	else if (e->port == 0)
		e->port = 80;
	if (str_starts(e->target, STR("//")) || !http_authority_split(e->authority, &host, &port))
		return cli_usage(command,
				 "explain: \"%s\" is not a URL: expected http://host/path or /path",
				 url);
	e->port_given = port.len > 0;
	if (e->port_given) {
		uint64_t n = 0;

		str_to_u64(port, UINT16_MAX, &n);
		e->port = (unsigned)n;
	}
	return CLI_OK;
}

/* The address with the port of the URL; the first for a path alone, or when only the usual port was meant. */
static bool find_listener(struct explain *e)
{
	for (unsigned i = 0; i < e->config->listen_count; i++) {
		const struct app_listen *listen = &e->config->listens[i];

		if (listen->kind != APP_LISTEN_HTTP ||
		    (e->port && net_addr_port(&listen->addr) != e->port))
			continue;
		e->listener = i;
		return true;
	}
	e->listener = 0;
	return !e->port_given && e->config->listens[0].kind == APP_LISTEN_HTTP;
}

static int collect(void *owner, struct arena *arena, struct status_snapshot *out)
{
	static const struct hist no_requests;

	out->version = str_from(sl_version());
	out->request_ns = &no_requests;
	return 0;
}

static struct str try_of(const struct files_config *files, unsigned i)
{
	return files->try_count ? files->tries[i] : STR("$path");
}

static bool print_candidate(struct explain *e, const char *path)
{
	struct stat st;
	bool there = stat(path, &st) == 0 && S_ISREG(st.st_mode);

	row(there ? "file" : "no file", "%s", path);
	return there;
}

/* A folder: its index. */
static bool print_indexes(struct explain *e, const struct files_config *files, struct str folder)
{
	for (unsigned i = 0; i < files->index_count; i++) {
		struct str path = arena_printf(&e->arena, "%.*s%.*s", STR_ARG(folder),
					       STR_ARG(files->index[i]));

		if (path.p && print_candidate(e, path.p))
			return true;
	}
	return false;
}

/* What the handler looks for, in its order, up to the file that is there. */
static void print_files(struct explain *e, const struct files_config *files, struct str path)
{
	size_t strip = files->strip.len;

	if (strip > 0 && files->strip.p[strip - 1] == '/')
		strip--;
	if (strip <= path.len && str_starts(path, str_head(files->strip, strip)))
		path = str_skip(path, strip);
	for (unsigned i = 0; i < (files->try_count ? files->try_count : 1); i++) {
		struct str element = try_of(files, i), file;
		struct str end = str_skip(element, str_starts(element, STR("$path")) ? 5 : 0);

		if (element.len > 0 && element.p[0] == '=')
			return;
		file = arena_printf(&e->arena, "%s%.*s%.*s", files->root.p,
				    end.len == element.len ? 0 : (int)path.len, path.p,
				    STR_ARG(end));
		if (!file.p)
			return;
		if (str_ends(file, STR("/")) ? print_indexes(e, files, file)
					     : print_candidate(e, file.p))
			return;
	}
}

static void print_group(const char *name, const struct upstream_config *group)
{
	char text[256];
	struct text servers;

	text_init_fixed(&servers, text, sizeof(text));
	for (unsigned i = 0; i < group->server_count; i++)
		text_printf(&servers, "%s%.*s", i ? ", " : "", STR_ARG(group->servers[i].text));
	if (servers.full)
		row(name, "%.*s (%u servers, %s)", STR_ARG(group->name), group->server_count,
		    upstream_balance_name(group->balance));
	else
		row(name, "%.*s (%s: %.*s)", STR_ARG(group->name),
		    upstream_balance_name(group->balance), (int)servers.len, text);
}

/* What a server is asked for. */
static void print_proxy(struct explain *e, const struct proxy_config *proxy, struct str path)
{
	row("handler", "proxy");
	print_group("to", proxy->upstream);
	if (str_starts(path, proxy->strip))
		path = str_skip(path, proxy->strip.len);
	row("asks for", "%.*s%s%.*s", STR_ARG(proxy->prefix), str_starts(path, STR("/")) ? "" : "/",
	    STR_ARG(path));
	if (proxy->host.len)
		row("host", "%.*s", STR_ARG(proxy->host));
	if (proxy->fallback == PROXY_FALLBACK_GROUP)
		print_group("fallback", proxy->fallback_upstream);
	else if (proxy->fallback != PROXY_FALLBACK_NONE)
		row("fallback", "%u bytes of %s", (unsigned)proxy->fallback_respond.body.len,
		    proxy->fallback_respond.type.len ? proxy->fallback_respond.type.p
						     : "text/plain; charset=utf-8");
	if (proxy->mirror)
		print_group("mirror", proxy->mirror);
}

static void print_steps(const struct http_route *route)
{
	for (unsigned i = 0; i < route->step_count; i++) {
		const struct http_step *step = &route->steps[i];

		if (step->run == guards_limit_run)
			row(i ? "" : "steps", "limit %s",
			    ((const struct guards_limit *)step->config)->config->name.p);
		else
			row(i ? "" : "steps", step->run == guards_access_run ? "access" : "load");
	}
	if (route->step_count == 0)
		row("steps", "none");
}

static void print_handler(struct explain *e, const struct http_route *route, struct str path)
{
	if (route->handler == &files_handler) {
		const struct files_config *files = route->config;

		row("handler", "files %s", files->root.p);
		print_files(e, files, path);
	} else if (route->handler == &redirect_handler) {
		row("handler", "redirect to %s",
		    ((const struct redirect_config *)route->config)->target.p);
	} else if (route->handler == &proxy_handler) {
		print_proxy(e, route->config, path);
	} else {
		row("handler", "%s", route->handler->name);
	}
}

static void print_route(struct explain *e, const struct loopback *l)
{
	const struct http_route *route = l->http.route;
	const struct app_origin *origin;

	if (!route) {
		row("route", "none");
		return;
	}
	route = &e->routes[route->index];
	origin = &e->config->origins[route->index];
	row("site", "%s", origin->site.p);
	row("route", "%s%s (%s:%u)", route->path.p, route->exact ? " exactly" : "",
	    e->config->file.p, origin->line);
	print_steps(route);
	print_handler(e, route, l->http.request.path);
}

static void print_answer(const struct loopback *l)
{
	const struct http_head *head = &l->response;

	if (l->http.handler == &stand_in) {
		row("answer", "that of the server");
		return;
	}
	row("answer", "%u %.*s", head->status, STR_ARG(http_status_text(head->status)));
	for (unsigned i = 0; i < head->fields.count; i++) {
		const struct http_field *f = &head->fields.v[i];

		row("", "%.*s: %.*s", STR_ARG(f->name), STR_ARG(f->value));
	}
	if (head->content_length >= 0)
		row("", "Content-Length: %lld", (long long)head->content_length);
}

static int ask(struct explain *e, struct http_worker *worker)
{
	struct str target = arena_dup(&e->arena, e->target);
	struct str authority = arena_dup(&e->arena, e->authority);
	struct loopback_request request = {.method = "GET",
					   .authority = authority.p,
					   .target = target.p,
					   .body_length = -1,
					   .pull_max = 1};
	struct loopback *l;
	int done = CLI_OK;

	l = target.p && authority.p ? loopback_send(worker, e->listener, &request) : NULL;
	if (!l) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	for (unsigned i = 0; i < TURNS_MAX && !l->head_done && !l->done; i++)
		io_loop_turn(worker->loop, TURN_NS);
	row("listener", "%s", e->config->listens[e->listener].text.p);
	print_route(e, l);
	if (l->head_done) {
		print_answer(l);
	} else {
		cli_error("no answer");
		done = CLI_FAILED;
	}
	if (!l->done)
		loopback_cancel(l);
	for (unsigned i = 0; i < TURNS_MAX && !l->done; i++)
		io_loop_turn(worker->loop, TURN_NS);
	if (l->done)
		loopback_free(l);
	return done;
}

static int answer(struct explain *e)
{
	struct io_options o = {.engine = IO_ENGINE_EPOLL};
	struct io_loop *loop;
	struct http_worker worker;
	char why[256] = "";
	int done = CLI_FAILED;

	if (e->config->status)
		*e->config->status = (struct status_config){.collect = collect};
	if (io_loop_new(&o, &loop, why, sizeof(why)) < 0) {
		cli_error("%s", why);
		return CLI_FAILED;
	}
	if (replace_handlers(e) == 0 && http_worker_init(&worker, loop, e->config->http) == 0) {
		done = ask(e, &worker);
		for (unsigned i = 0; i < TURNS_AFTER; i++)
			io_loop_turn(loop, 1000000);
		http_worker_free(&worker);
		for (unsigned i = 0; i < TURNS_AFTER; i++)
			io_loop_turn(loop, 1000000);
	} else {
		cli_error("out of memory");
	}
	io_loop_free(loop);
	return done;
}

static int explain(struct explain *e)
{
	struct app_errors errors;
	int done;

	app_errors_init(&errors);
	done = app_config_load(e->file, NULL, &e->config, &errors) < 0 ? cli_print_errors(&errors)
								       : CLI_OK;
	app_errors_free(&errors);
	if (done != CLI_OK)
		return done;
	log_setup(2, LOG_WARN, LOG_TEXT);
	if (find_listener(e)) {
		arena_init(&e->arena, 0);
		done = answer(e);
		arena_free(&e->arena);
	} else {
		cli_error("nothing listens on port %u in %s", e->port, e->file);
		done = CLI_FAILED;
	}
	http_config_unref(e->config->http);
	return done;
}

static int run_explain(const struct cli_command *command, int argc, char **argv)
{
	struct explain e = {.file = NULL};
	const char *url = NULL;
	int done = cli_parse(command, argc, argv, take, &e, &url);

	if (done != CLI_OK)
		return done;
	if (!url)
		return cli_usage(command,
				 "explain: which URL? sluice explain http://host/path -c FILE");
	done = split_url(command, &e, url);
	if (done != CLI_OK)
		return done;
	e.file = cli_config_file(e.file);
	return explain(&e);
}

const struct cli_command cli_explain = {
	.name = "explain",
	.args = "URL [-c FILE]",
	.summary = "say what would answer a URL, and why",
	.more = "The request is made inside this process, without a running server: the listener, the site, the route\n"
		"and its handler, the files that are looked for, and the answer with its fields.",
	.options = options,
	.args_max = 1,
	.run = run_explain,
};
