// SPDX-License-Identifier: Apache-2.0
/* The public names of HTTP: include/sluice/http.h. They stand in the lowest room that they need. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "handler/files.h"
#include "http/server.h"
#include "net/conn.h"
#include "net/listener.h"
#include "sluice/http.h"

struct sl_http {
	struct io_loop *loop;
	struct http_config *config;
	struct http_site *site;
	struct http_worker worker;
	struct net_listener listener;
	struct net_addr addr;
	bool started, listening;
	void (*stopped)(void *);
	void *owner;
};

/* Configuration of one route; in the configuration's arena. */
struct api_route {
	sl_http_handler *handler;
	void *owner;
};

/* An sl_request is an http_stream; this is its data. */
struct api_request {
	struct http_head response;
};

static struct http_stream *api_stream(const struct sl_request *r)
{
	return (struct http_stream *)(uintptr_t)r;
}

static struct sl_str api_str(struct str s)
{
	return (struct sl_str){s.p, s.len};
}

static int api_open(void *state, struct http_stream *s)
{
	const struct api_route *route = state;

	s->data = arena_zalloc(s->arena, sizeof(struct api_request));
	if (!s->data)
		return -ENOMEM;
	route->handler((struct sl_request *)s, route->owner);
	return 0;
}

static const struct handler_ops api_handler = {
	.name = "application",
	.open = api_open,
};

struct sl_http *sl_http_new(struct sl_loop *loop)
{
	struct sl_http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->loop = (struct io_loop *)loop;
	h->config = http_config_new(1);
	if (!h->config || http_router_site(h->config, 0, STR("*"), &h->site)) {
		if (h->config)
			http_config_unref(h->config);
		free(h);
		return NULL;
	}
	h->config->limits = http_limits_default;
	return h;
}

static int api_add(struct sl_http *h, const char *path, const struct handler_ops *handler,
		   const void *config)
{
	struct http_route *made;
	struct http_route route = {
		.path = arena_dup(&h->config->arena, str_from(path)),
		.handler = handler,
		.config = config,
		.body_max = h->config->limits.body_max,
	};

	if (h->started)
		return -EBUSY;
	return route.path.p ? http_router_route(h->config, h->site, &route, &made) : -ENOMEM;
}

int sl_http_route(struct sl_http *h, const char *path, sl_http_handler *handler, void *owner)
{
	struct api_route *route = arena_zalloc(&h->config->arena, sizeof(*route));

	if (!route)
		return -ENOMEM;
	*route = (struct api_route){handler, owner};
	return api_add(h, path, &api_handler, route);
}

int sl_http_files(struct sl_http *h, const char *path, const char *folder)
{
	struct files_config *files = arena_zalloc(&h->config->arena, sizeof(*files));
	struct str prefix = str_from(path);

	if (!files)
		return -ENOMEM;
	files_config_init(files);
	files->root = arena_dup(&h->config->arena, str_from(folder));
	if (prefix.len && prefix.p[prefix.len - 1] == '/')
		prefix.len--;
	files->strip = arena_dup(&h->config->arena, prefix);
	return files->root.p && files->strip.p ? api_add(h, path, &files_handler, files) : -ENOMEM;
}

static void api_accepted(struct net_listener *net, int fd)
{
	struct sl_http *h = net->owner;
	struct conn *conn = conn_plain_new(h->loop, fd);

	if (conn)
		http_worker_serve(&h->worker, conn, 0);
}

static bool api_starved(struct net_listener *net)
{
	struct sl_http *h = net->owner;

	return http_worker_close_idle(&h->worker);
}

static const struct net_listener_events api_listener_events = {
	.accepted = api_accepted,
	.starved = api_starved,
};

static int api_start(struct sl_http *h, const char *address, char *why, size_t why_len)
{
	const struct net_options options = {0};
	int fd = net_listen_text(str_from(address), &options, &h->addr, why, why_len);

	if (fd < 0)
		return fd;
	snprintf(why, why_len, "the loop or its memory is exhausted");
	int err = http_worker_init(&h->worker, h->loop, h->config);
	if (!err) {
		h->started = true;
		err = net_listener_start(&h->listener, h->loop, fd, &api_listener_events, h);
	}
	if (err)
		close(fd);
	h->listening = !err;
	return err;
}

int sl_http_start(struct sl_http *h, const char *address, char *why, size_t why_len)
{
	char reason[256] = "the server was started before";
	int err = h->started ? -EBUSY : api_start(h, address, reason, sizeof(reason));

	if (err && why_len)
		snprintf(why, why_len, "%s", reason);
	return err;
}

size_t sl_http_address(const struct sl_http *h, char *text, size_t text_len)
{
	char full[NET_ADDR_TEXT];

	net_addr_print(&h->addr, full);
	return (size_t)snprintf(text, text_len, "%s", full);
}

static void api_gone(struct sl_http *h)
{
	if (h->started)
		http_worker_free(&h->worker);
	http_config_unref(h->config);
	if (h->stopped)
		h->stopped(h->owner);
	free(h);
}

static void api_drained(struct http_worker *w)
{
	struct sl_http *h = SL_CONTAINER(w, struct sl_http, worker);

	if (!h->listening)
		api_gone(h);
}

static void api_listener_stopped(struct net_listener *net)
{
	struct sl_http *h = net->owner;

	h->listening = false;
	h->worker.drained = api_drained;
	http_worker_drain(&h->worker);
}

void sl_http_stop(struct sl_http *h, void (*stopped)(void *owner), void *owner)
{
	h->stopped = stopped;
	h->owner = owner;
	if (h->listening)
		net_listener_stop(&h->listener, api_listener_stopped);
	else
		api_gone(h);
}

struct sl_str sl_request_method(const struct sl_request *r)
{
	return api_str(api_stream(r)->request.method_text);
}

struct sl_str sl_request_path(const struct sl_request *r)
{
	return api_str(api_stream(r)->request.path);
}

struct sl_str sl_request_query(const struct sl_request *r)
{
	return api_str(api_stream(r)->request.query);
}

struct sl_str sl_request_host(const struct sl_request *r)
{
	return api_str(api_stream(r)->request.authority);
}

struct sl_str sl_request_field(const struct sl_request *r, const char *name)
{
	const struct http_fields *fields = &api_stream(r)->request.fields;

	for (unsigned i = 0; i < fields->count; i++)
		if (str_eq_nocase(fields->v[i].name, str_from(name)))
			return api_str(fields->v[i].value);
	return api_str(STR_NONE);
}

/* These the wire writes itself: a second one would let the peer see another message than was sent. */
static bool api_name_is_ours(struct str name)
{
	switch (http_name_find(name)) {
	case HTTP_CONTENT_LENGTH:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_CONNECTION:
	case HTTP_TRAILER:
	case HTTP_UPGRADE:
	case HTTP_DATE:
		return true;
	default:
		return false;
	}
}

int sl_response_field(struct sl_request *r, const char *name, const char *value)
{
	struct http_stream *s = api_stream(r);
	struct api_request *request = s->data;
	struct str n = str_from(name), v = str_from(value);

	if (!http_field_name_valid(n) || !http_field_value_valid(v) || api_name_is_ours(n))
		return -EINVAL;
	n = arena_dup(s->arena, n);
	v = arena_dup(s->arena, v);
	return n.p && v.p ? http_fields_add_named(&request->response.fields, s->arena, n, v)
			  : -ENOMEM;
}

static int api_respond(struct http_stream *s, unsigned status, struct str type, struct str body)
{
	struct http_head *head = &((struct api_request *)s->data)->response;
	struct source_seg *place = arena_alloc(s->arena, sizeof(*place));
	struct str copy = arena_dup(s->arena, body), type_copy = arena_dup(s->arena, type);

	if (status < 200 || status > 599 || !http_field_value_valid(type))
		return -EINVAL;
	if (!place || !copy.p || !type_copy.p)
		return -ENOMEM;
	int err = type.len ? http_fields_add(&head->fields, s->arena, HTTP_CONTENT_TYPE, type_copy)
			   : 0;
	if (err)
		return err;
	head->status = (uint16_t)status;
	head->content_length = (int64_t)body.len;
	return http_respond(
		s, head, body.len ? source_seg_init(place, seg_mem(copy.p, body.len, NULL)) : NULL);
}

int sl_respond(struct sl_request *r, unsigned status, const char *type, const void *body,
	       size_t len)
{
	struct http_stream *s = api_stream(r);
	struct str type_text = type ? str_from(type) : STR_NONE;
	int err = api_respond(s, status, type_text, (struct str){body, len});

	if (err && !s->responded)
		(void)http_respond_error(s, 500);
	return err;
}
