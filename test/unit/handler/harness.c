// SPDX-License-Identifier: Apache-2.0
#include "handler/harness.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"

/* Only for a test that hangs. */
#define PATIENCE_NS (20 * CLOCK_NS_PER_S)
#define TURN_NS 5000000

enum wire harness_wire;

void harness_folder(struct harness *h)
{
	memset(h, 0, sizeof(*h));
	strcpy(h->dir, "/tmp/sluice-test-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
}

void harness_path(struct harness *h, const char *name, char out[256])
{
	assert_true(snprintf(out, 256, "%s/%s", h->dir, name) < 256);
}

void harness_write(struct harness *h, const char *name, const void *bytes, size_t len)
{
	char path[256];

	harness_path(h, name, path);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

void harness_text(struct harness *h, const char *name, const char *text)
{
	harness_write(h, name, text, strlen(text));
}

void harness_mkdir(struct harness *h, const char *name)
{
	char path[256];

	harness_path(h, name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

void harness_fill(uint8_t *bytes, size_t len, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(x >> 24);
	}
}

void harness_start(struct harness *h, const struct handler_ops *handler, const void *config,
		   const struct http_error_page *error_page)
{
	struct io_options options = {.engine = harness_wire == WIRE_H1 ? IO_ENGINE_AUTO
								       : IO_ENGINE_EPOLL};
	char why[200];
	struct http_site *site = NULL;
	struct http_route *made;
	struct http_route route = {
		.path = STR("/"),
		.handler = handler,
		.config = config,
		.body_max = 1000,
		.error_pages = error_page,
		.error_page_count = error_page ? 1 : 0,
		.steps = {h->step},
		.step_count = h->step.run ? 1 : 0,
	};

	log_setup(2, LOG_OFF, LOG_TEXT);
	assert_int_equal(io_loop_new(&options, &h->loop, why, sizeof(why)), 0);
	h->config = http_config_new(1);
	assert_non_null(h->config);
	assert_int_equal(http_router_site(h->config, 0, STR("*"), &site), 0);
	assert_int_equal(http_router_route(h->config, site, &route, &made), 0);
	assert_int_equal(http_worker_init(&h->worker, h->loop, h->config), 0);
}

void *harness_state(struct harness *h)
{
	return h->worker.current->states[0];
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void harness_stop(struct harness *h)
{
	if (h->loop) {
		http_worker_free(&h->worker);
		http_config_unref(h->config);
		/* What helper threads still do for requests that are gone comes to its end. */
		while (io_loop_busy(h->loop))
			assert_int_equal(io_loop_turn(h->loop, -1), 0);
		io_loop_free(h->loop);
	}
	nftw(h->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void turn(struct harness *h, uint64_t deadline_ns)
{
	assert_true(clock_monotonic_ns() < deadline_ns);
	assert_int_equal(io_loop_turn(h->loop, TURN_NS), 0);
}

static void head_add(struct reply *reply, struct str name, struct str value)
{
	size_t used = strlen(reply->head);

	assert_true(used + name.len + value.len + 4 < sizeof(reply->head));
	for (size_t i = 0; i < name.len; i++)
		reply->head[used + i] = (char)tolower((unsigned char)name.p[i]);
	snprintf(reply->head + used + name.len, sizeof(reply->head) - used - name.len, ": %.*s\n",
		 STR_ARG(value));
}

const char *reply_field(const struct reply *reply, const char *lower_name)
{
	static char value[4096];
	size_t len = strlen(lower_name);

	for (const char *line = reply->head; *line; line = strchr(line, '\n') + 1) {
		if (strncmp(line, lower_name, len) != 0 || line[len] != ':')
			continue;
		size_t n = strcspn(line + len + 2, "\n");

		assert_true(n < sizeof(value));
		memcpy(value, line + len + 2, n);
		value[n] = '\0';
		return value;
	}
	return NULL;
}

void reply_free(struct reply *reply)
{
	free(reply->body);
	free(reply);
}

/* --- loopback --- */

static unsigned split_fields(const char *text, struct http_field *fields, unsigned max)
{
	unsigned count = 0;

	while (text && *text) {
		const char *colon = strchr(text, ':'), *end = strstr(text, "\r\n");

		assert_true(count < max && colon && end && colon < end);
		fields[count++] = (struct http_field){
			.name = {text, (size_t)(colon - text)},
			.value = str_trim((struct str){colon + 1, (size_t)(end - colon - 1)}),
		};
		text = end + 2;
	}
	return count;
}

static struct reply *ask_loopback(struct harness *h, const char *method, const char *target,
				  const char *text, size_t pause_at, void (*then)(struct harness *))
{
	struct http_field fields[32];
	struct loopback_request request = {
		.method = method,
		.authority = "example.com",
		.target = target,
		.fields = fields,
		.field_count = split_fields(text, fields, 32),
		.kinds = SEG_MEM | SEG_FILE,
		.pull_max = pause_at,
	};
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
	struct reply *reply = calloc(1, sizeof(*reply));
	struct loopback *l = loopback_send(&h->worker, 0, &request);

	assert_non_null(l);
	while (then && !l->done && l->body_len < pause_at)
		turn(h, deadline_ns);
	if (then) {
		then(h);
		turn(h, deadline_ns);
		l->pull_max = UINT64_MAX;
		loopback_pull(l);
	}
	while (!l->done)
		turn(h, deadline_ns);
	reply->status = l->response.status;
	reply->cut = l->result != 0;
	for (unsigned i = 0; i < l->response.fields.count; i++)
		head_add(reply, l->response.fields.v[i].name, l->response.fields.v[i].value);
	if (l->response.content_length >= 0) {
		char number[32];

		snprintf(number, sizeof(number), "%lld", (long long)l->response.content_length);
		head_add(reply, STR("content-length"), str_from(number));
	}
	reply->len = l->body_len;
	reply->body = calloc(1, l->body_len + 1);
	if (l->body_len)
		memcpy(reply->body, l->body, l->body_len);
	loopback_free(l);
	return reply;
}

/* --- HTTP/1 --- */

struct bytes {
	uint8_t *p;
	size_t len, cap;
};

/* False at the end of the stream. */
static bool read_some(int fd, struct bytes *in)
{
	if (in->cap - in->len <= 65536) {
		in->cap = in->cap * 2 + 131072;
		in->p = realloc(in->p, in->cap);
		assert_non_null(in->p);
	}
	ssize_t n = recv(fd, in->p + in->len, 65536, MSG_DONTWAIT);

	if (n > 0)
		in->len += (size_t)n;
	in->p[in->len] = '\0';
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static size_t head_length(const struct bytes *in)
{
	const uint8_t *end = in->len ? memmem(in->p, in->len, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - in->p) + 4 : 0;
}

static struct reply *parse_reply(struct bytes *in, bool head_only)
{
	struct reply *reply = calloc(1, sizeof(*reply));
	size_t head = head_length(in);

	assert_true(head > 0);
	assert_memory_equal(in->p, "HTTP/1.1 ", 9);
	reply->status = (unsigned)atoi((char *)in->p + 9);
	for (const char *line = strstr((char *)in->p, "\r\n") + 2; memcmp(line, "\r\n", 2) != 0;) {
		const char *colon = strchr(line, ':'), *end = strstr(line, "\r\n");

		head_add(reply, (struct str){line, (size_t)(colon - line)},
			 str_trim((struct str){colon + 1, (size_t)(end - colon - 1)}));
		line = end + 2;
	}
	reply->len = in->len - head;
	reply->body = calloc(1, reply->len + 1);
	memcpy(reply->body, in->p + head, reply->len);
	free(in->p);
	const char *promised = reply_field(reply, "content-length");

	assert_null(reply_field(reply, "transfer-encoding"));
	if (promised && !head_only && reply->status != 304)
		reply->cut = reply->len != strtoul(promised, NULL, 10);
	return reply;
}

static struct reply *ask_h1(struct harness *h, const char *method, const char *target,
			    const char *fields, size_t pause_at, void (*then)(struct harness *))
{
	uint64_t deadline_ns = clock_monotonic_ns() + PATIENCE_NS;
	struct bytes in = {0};
	char text[16384];
	int fds[2];
	int n = snprintf(text, sizeof(text),
			 "%s %s HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n%s\r\n",
			 method, target, fields ? fields : "");

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	assert_int_equal(write(fds[0], text, (size_t)n), n);
	struct conn *conn = conn_plain_new(h->loop, fds[1]);

	assert_non_null(conn);
	http_worker_serve(&h->worker, conn, 0);
	while (then && (!head_length(&in) || in.len < head_length(&in) + pause_at)) {
		turn(h, deadline_ns);
		if (!read_some(fds[0], &in))
			break;
	}
	if (then)
		then(h);
	while (read_some(fds[0], &in))
		turn(h, deadline_ns);
	close(fds[0]);
	while (h->worker.connections)
		turn(h, deadline_ns);
	return parse_reply(&in, strcmp(method, "HEAD") == 0);
}

struct reply *harness_ask(struct harness *h, const char *method, const char *target,
			  const char *fields)
{
	return harness_wire == WIRE_H1 ? ask_h1(h, method, target, fields, 0, NULL)
				       : ask_loopback(h, method, target, fields, 0, NULL);
}

struct reply *harness_ask_pausing(struct harness *h, const char *target, size_t pause_at,
				  void (*then)(struct harness *))
{
	return harness_wire == WIRE_H1 ? ask_h1(h, "GET", target, NULL, pause_at, then)
				       : ask_loopback(h, "GET", target, NULL, pause_at, then);
}

void harness_expect(struct harness *h, const char *target, unsigned status)
{
	struct reply *reply = harness_ask(h, "GET", target, NULL);

	if (reply->status != status)
		print_error("%s: %u instead of %u\n", target, reply->status, status);
	assert_int_equal(reply->status, status);
	assert_false(reply->cut);
	reply_free(reply);
}

void harness_expect_text(struct harness *h, const char *target, const char *text)
{
	struct reply *reply = harness_ask(h, "GET", target, NULL);

	if (reply->status != 200)
		print_error("%s: %u instead of 200\n", target, reply->status);
	assert_int_equal(reply->status, 200);
	assert_false(reply->cut);
	assert_int_equal(reply->len, strlen(text));
	assert_memory_equal(reply->body, text, reply->len);
	reply_free(reply);
}

int harness_run(const char *name, const struct CMUnitTest *tests, size_t count)
{
	static const char *const wires[] = {[WIRE_LOOPBACK] = "loopback", [WIRE_H1] = "http/1"};
	int failed = 0;

	for (unsigned wire = 0; wire < WIRE_COUNT; wire++) {
		print_message("over %s:\n", wires[wire]);
		harness_wire = (enum wire)wire;
		failed += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	}
	return failed;
}
