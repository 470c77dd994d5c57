// SPDX-License-Identifier: Apache-2.0
#include "handler/proxy_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"

/* Only for a test that hangs. */
#define PATIENCE_NS (20 * CLOCK_NS_PER_S)
#define TURN_NS 2000000

/* Servers. */

struct fake_conn {
	struct fake *fake;
	unsigned number;
};

static void *fake_conn_main(void *arg)
{
	struct fake_conn c = *(struct fake_conn *)arg;

	free(arg);
	c.fake->serve(c.fake, c.fake->fds[c.number], c.number);
	shutdown(c.fake->fds[c.number], SHUT_RDWR);
	atomic_fetch_add(&c.fake->ended, 1);
	return NULL;
}

static void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		unsigned n = atomic_load(&f->conns);

		if (fd < 0 || n == FAKE_CONNS_MAX) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		struct fake_conn *c = malloc(sizeof(*c));

		*c = (struct fake_conn){f, n};
		f->fds[n] = fd;
		/* Counted before it can answer. The acceptor is joined before the thread is. */
		atomic_fetch_add(&f->conns, 1);
		pthread_create(&f->threads[n], NULL, fake_conn_main, c);
	}
}

static void fake_bind(struct fake *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);

	memset(f, 0, sizeof(*f));
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(f->listener, (struct sockaddr *)&a, &len), 0);
	f->port = ntohs(a.sin_port);
	snprintf(f->address, sizeof(f->address), "127.0.0.1:%u", f->port);
	pthread_mutex_init(&f->lock, NULL);
}

void fake_start(struct fake *f, void (*serve)(struct fake *, int, unsigned))
{
	fake_bind(f);
	f->serve = serve;
	assert_int_equal(listen(f->listener, 64), 0);
	assert_int_equal(pthread_create(&f->acceptor, NULL, fake_main, f), 0);
}

/* Bound and not listening: a connection is refused, and nobody else gets the port. */
void fake_none(struct fake *f)
{
	fake_bind(f);
}

void fake_stop(struct fake *f)
{
	if (f->serve) {
		shutdown(f->listener, SHUT_RDWR);
		pthread_join(f->acceptor, NULL);
	}
	for (unsigned i = 0; i < atomic_load(&f->conns); i++) {
		shutdown(f->fds[i], SHUT_RDWR);
		pthread_join(f->threads[i], NULL);
		close(f->fds[i]);
	}
	close(f->listener);
	pthread_mutex_destroy(&f->lock);
}

static bool fake_whole(const char *text, size_t len)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4), *length;

	if (!end)
		return false;
	if (strcasestr(text, "\r\nTransfer-Encoding: chunked"))
		return len > 5 && strstr(end, "\r\n0\r\n") &&
		       memcmp(text + len - 4, "\r\n\r\n", 4) == 0;
	length = strcasestr(text, "\r\nContent-Length: ");
	return !length || (size_t)(text + len - (end + 4)) >= strtoul(length + 18, NULL, 10);
}

static bool fake_read_until(struct fake *f, int fd, bool head)
{
	char *text = calloc(1, FAKE_REQUEST_BYTES);
	size_t len = 0;

	while (head ? !strstr(text, "\r\n\r\n") : !fake_whole(text, len)) {
		/* A head alone is read byte by byte: what follows is the script's. */
		ssize_t n = recv(fd, text + len, head ? 1 : FAKE_REQUEST_BYTES - 1 - len, 0);

		if (n <= 0) {
			free(text);
			return false;
		}
		len += (size_t)n;
		text[len] = '\0';
	}
	pthread_mutex_lock(&f->lock);
	memcpy(f->request, text, len + 1);
	pthread_mutex_unlock(&f->lock);
	free(text);
	atomic_fetch_add(&f->requests, 1);
	return true;
}

bool fake_read(struct fake *f, int fd)
{
	return fake_read_until(f, fd, false);
}

bool fake_read_head(struct fake *f, int fd)
{
	return fake_read_until(f, fd, true);
}

void fake_send(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

void fake_reset(int fd)
{
	struct linger linger = {.l_onoff = 1};
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	/* A reset without giving the number of the descriptor up. */
	(void)connect(fd, &none, sizeof(none));
}

const char *fake_request(struct fake *f)
{
	static char copy[FAKE_REQUEST_BYTES];

	pthread_mutex_lock(&f->lock);
	memcpy(copy, f->request, sizeof(copy));
	pthread_mutex_unlock(&f->lock);
	return copy;
}

void fake_serve_ok(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd)) {
		char text[256], body[16];
		int n = snprintf(body, sizeof(body), "%u", atomic_load(&f->requests));

		snprintf(text, sizeof(text),
			 "HTTP/1.1 200 OK\r\nServer: fake\r\nContent-Type: text/plain\r\n"
			 "Content-Length: %d\r\n\r\n%s",
			 n, body);
		fake_send(fd, text);
	}
}

void fake_serve_503(struct fake *f, int fd, unsigned number)
{
	while (fake_read(f, fd))
		fake_send(fd, "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
}

/* The proxy. */

static enum io_engine rig_engine;

int rig_run_tests(const char *name, const struct CMUnitTest *tests, size_t count)
{
	static const char *const engines[] = {"io_uring", "epoll", "poll", "select"};
	int failed = 0;

	for (unsigned i = 0; i < 4; i++) {
		struct io_options options = {.engine = (enum io_engine)io_engine_parse(engines[i])};
		struct io_loop *loop;
		char why[200];

		if (io_loop_new(&options, &loop, why, sizeof(why))) {
			print_message("not over %s: %s\n", engines[i], why);
			continue;
		}
		io_loop_free(loop);
		print_message("over %s:\n", engines[i]);
		rig_engine = options.engine;
		failed += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	}
	return failed;
}

void rig_init(struct rig *r)
{
	static const char *const names[] = {"main", "spare", "copy"};

	memset(r, 0, sizeof(*r));
	for (unsigned i = 0; i < 3; i++) {
		upstream_config_init(&r->groups[i]);
		r->groups[i].name = str_from(names[i]);
		r->groups[i].servers = r->servers[i];
		r->groups[i].retry.backoff_ms = 1;
		r->groups[i].retry.backoff_max_ms = 1;
		r->groups[i].outlier = (struct upstream_outlier){0};
		r->groups[i].breaker = r->groups[i].group_breaker =
			(struct upstream_breaker_config){0};
	}
	r->config.total_timeout_ms = UINT32_MAX;
	r->config.mirror_body_max = 65536;
	r->body_max = 100000;
}

void rig_server(struct rig *r, unsigned group, const struct fake *f)
{
	struct upstream_server_config *s = &r->servers[group][r->groups[group].server_count++];
	char why[128];

	s->text = str_from(f->address);
	s->kind = UPSTREAM_SERVER_ADDR;
	s->weight = 1;
	assert_int_equal(net_addr_parse(s->text, &s->addr, why, sizeof(why)), 0);
}

static struct upstream_group *rig_group(struct rig *r, unsigned group)
{
	struct upstream_group *g = NULL;

	if (r->groups[group].server_count) {
		g = upstream_group_join(r->registry, &r->groups[group]);
		assert_non_null(g);
	}
	return g;
}

void rig_run(struct rig *r)
{
	struct io_options options = {.engine = rig_engine};
	struct http_site *site = NULL;
	struct http_route *made;
	char why[200];
	struct http_route route = {
		.path = STR("/"),
		.handler = &proxy_handler,
		.config = &r->config,
		.steps = {r->step},
		.step_count = r->step.run != NULL,
		.body_max = r->body_max,
	};

	log_setup(2, getenv("RIG_LOG") ? LOG_DEBUG : LOG_OFF, LOG_TEXT);
	assert_int_equal(io_loop_new(&options, &r->loop, why, sizeof(why)), 0);
	options.engine = IO_ENGINE_EPOLL;
	assert_int_equal(io_loop_new(&options, &r->main, why, sizeof(why)), 0);
	r->registry = upstream_registry_new(r->main, NULL);
	assert_non_null(r->registry);
	r->config.upstream = &r->groups[0];
	r->config.group = rig_group(r, 0);
	r->config.fallback_group = rig_group(r, 1);
	r->config.mirror_group = rig_group(r, 2);
	r->http = http_config_new(1);
	assert_int_equal(http_router_site(r->http, 0, STR("*"), &site), 0);
	assert_int_equal(http_router_route(r->http, site, &route, &made), 0);
	assert_int_equal(http_worker_init(&r->worker, r->loop, r->http), 0);
}

static void rig_settle(struct io_loop *loop)
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;

	while (io_loop_busy(loop)) {
		assert_true(clock_monotonic_ns() < deadline_ns);
		assert_int_equal(io_loop_turn(loop, TURN_NS), 0);
	}
}

static bool no_connections(void *arg)
{
	struct rig *r = arg;

	return r->worker.connections == 0;
}

void rig_stop(struct rig *r)
{
	if (!r->loop)
		return;
	http_worker_abort(&r->worker);
	rig_until(r, no_connections, r);
	http_worker_free(&r->worker);
	http_config_unref(r->http);
	rig_settle(r->loop);
	upstream_group_unref(r->config.group);
	if (r->config.fallback_group)
		upstream_group_unref(r->config.fallback_group);
	if (r->config.mirror_group)
		upstream_group_unref(r->config.mirror_group);
	upstream_registry_stop(r->registry);
	rig_settle(r->main);
	upstream_registry_free(r->registry);
	io_loop_free(r->loop);
	io_loop_free(r->main);
	r->loop = NULL;
}

void rig_turn(struct rig *r)
{
	assert_int_equal(io_loop_turn(r->loop, TURN_NS), 0);
}

void rig_until(struct rig *r, bool (*over)(void *), void *arg)
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;

	while (!over(arg)) {
		assert_true(clock_monotonic_ns() < deadline_ns);
		rig_turn(r);
	}
}

/* TCP, so that the client has an address. */
int rig_connect(struct rig *r)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(a);

	assert_int_equal(bind(listener, (struct sockaddr *)&a, len), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, len), 0);
	int served = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	close(listener);
	struct conn *conn = conn_plain_new(r->loop, served);

	assert_non_null(conn);
	http_worker_serve(&r->worker, conn, 0);
	return fd;
}

/* Where the final head begins: after all 1xx, but 101 is final. NULL: not there yet. */
static char *final_head(char *text)
{
	for (;;) {
		char *end = strstr(text, "\r\n\r\n");

		if (!end)
			return NULL;
		if (text[9] != '1' || strncmp(text + 9, "101", 3) == 0)
			return text;
		text = end + 4;
	}
}

static bool answer_whole(struct answer *a, size_t len, bool head_only)
{
	char *head = final_head(a->text), *end = head ? strstr(head, "\r\n\r\n") : NULL;

	if (!end)
		return false;
	const char *length = strcasestr(head, "\r\nContent-Length: ");
	const char *chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked");

	a->status = (unsigned)atoi(head + 9);
	a->body = end + 4;
	a->len = len - (size_t)(a->body - a->text);
	if (head_only || a->status == 101 || a->status == 204 || a->status == 304)
		return true;
	if (chunked && chunked < end)
		return a->len >= 5 && strstr(a->body - 2, "\r\n0\r\n") &&
		       memcmp(a->text + len - 4, "\r\n\r\n", 4) == 0;
	return length && length < end && a->len >= strtoul(length + 18, NULL, 10);
}

void rig_ask_on(struct rig *r, int fd, const char *request, struct answer *a)
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
	bool head_only = strncmp(request, "HEAD ", 5) == 0;
	size_t len = 0;

	memset(a, 0, offsetof(struct answer, text));
	a->text[0] = '\0';
	a->body = a->text;
	fake_send(fd, request);
	while (!answer_whole(a, len, head_only)) {
		assert_true(clock_monotonic_ns() < deadline_ns);
		rig_turn(r);
		ssize_t n = recv(fd, a->text + len, sizeof(a->text) - 1 - len, MSG_DONTWAIT);

		if (n > 0) {
			len += (size_t)n;
			a->text[len] = '\0';
		} else if (n == 0 || errno != EAGAIN) {
			a->cut = !answer_whole(a, len, head_only);
			return;
		}
	}
}

void rig_ask(struct rig *r, const char *request, struct answer *a)
{
	int fd = rig_connect(r);

	rig_ask_on(r, fd, request, a);
	close(fd);
	rig_until(r, no_connections, r);
}

void rig_expect(struct rig *r, unsigned status, struct answer *a)
{
	rig_ask(r, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", a);
	if (a->status != status)
		print_error("%s\n", a->text);
	assert_int_equal(a->status, status);
}

bool answer_has(const struct answer *a, const char *line)
{
	const char *at = strcasestr(a->text, line);

	return at && at < a->body && at[-1] == '\n' && at[strlen(line)] == '\r';
}
