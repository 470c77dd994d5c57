// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include "net/conn.h"
#include "net/proxy_header.h"
#include "world.h"

/* A server that answers each request with "ok", on the main loop. */
#define SESSIONS_MAX 64
#define HEARD_MAX 512

struct session {
	struct conn *conn;
	char heard[HEARD_MAX];
	size_t len;
	unsigned answered;
};

static struct {
	struct io_fd fd;
	struct io_op accept;
	struct session sessions[SESSIONS_MAX];
	unsigned count, open;
	bool mute; /* reads and does not answer */
	bool closed;
} server;

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

static void session_end(struct session *s)
{
	conn_close(s->conn, CONN_DONE);
	s->conn = NULL;
}

static void session_closed(void *consumer)
{
	server.open--;
}

static void session_read(struct source *source, void *consumer)
{
	struct session *s = consumer;
	struct seg seg;
	enum pull r;

	while ((r = source_pull(source, HEARD_MAX, SEG_MEM, &seg)) == PULL_DATA) {
		assert_true(s->len + seg.len < HEARD_MAX);
		memcpy(s->heard + s->len, seg.u.mem, seg.len);
		s->len += seg.len;
		seg_release(&seg);
		if (server.mute || s->len < 4 || memcmp(s->heard + s->len - 4, "\r\n\r\n", 4) != 0)
			continue;
		s->answered++;
		conn_send(s->conn, seg_mem(answer, sizeof(answer) - 1, NULL));
	}
	if (r != PULL_WAIT)
		session_end(s);
}

static void accepted(struct io_op *op, int result)
{
	struct session *s = &server.sessions[server.count];

	if (result < 0) {
		assert_int_equal(result, -ECANCELED);
		return;
	}
	assert_true(server.count++ < SESSIONS_MAX);
	server.open++;
	s->conn = conn_plain_new(world.main, result);
	assert_non_null(s->conn);
	s->conn->consumer = s;
	s->conn->closed = session_closed;
	s->conn->source.wake = session_read;
	s->conn->source.consumer = s;
	session_read(&s->conn->source, s);
	if (!(op->flags & IO_MORE))
		io_submit(world.main, op);
}

/* The first server of the world, which has another address than the others. */
static void serve(void)
{
	const struct net_addr *a = &world.servers[0].addr;

	memset(&server, 0, sizeof(server));
	assert_int_equal(
		io_fd_init(world.main, &server.fd, sim_listen(world.sim, &a->u.sa, a->len, 16)), 0);
	server.accept = (struct io_op){.cb = accepted, .code = IO_ACCEPT, .fd = &server.fd};
	io_submit(world.main, &server.accept);
}

static void server_closed(struct io_fd *fd)
{
	server.closed = true;
}

static void stop_serving(void)
{
	for (unsigned i = 0; i < server.count; i++)
		if (server.sessions[i].conn)
			session_end(&server.sessions[i]);
	io_close(&server.fd, server_closed);
	world_run_ms(5000);
	assert_true(server.closed);
	assert_int_equal(server.open, 0);
}

/* One request, with its turn. */
struct request {
	struct visitor visitor;
	struct http_call call;
	struct http_head head;
	struct arena arena;
	unsigned dones;
	int why;
};

static void request_body(struct source *source, void *consumer)
{
	struct request *r = consumer;
	struct seg seg;

	while (r->call.body && source_pull(source, 100, SEG_MEM, &seg) == PULL_DATA)
		seg_release(&seg);
}

static void request_respond(struct http_call *call)
{
	struct request *r = call->owner;

	assert_int_equal(call->response.status, 200);
	call->body->wake = request_body;
	call->body->consumer = r;
	request_body(call->body, r);
}

static void request_done(struct http_call *call, int why)
{
	struct request *r = call->owner;

	r->dones++;
	r->why = why;
	upstream_give(&r->visitor.turn, why ? UPSTREAM_FAILED : UPSTREAM_OK, CLOCK_NS_PER_MS);
}

static const struct http_call_ops call_ops = {.respond = request_respond, .done = request_done};

static struct http_link *request_start(struct request *r, bool fresh, const struct net_addr *client)
{
	struct http_link *link;

	memset(r, 0, sizeof(*r));
	arena_init(&r->arena, 0);
	r->head = (struct http_head){.method = HTTP_GET,
				     .method_text = STR("GET"),
				     .target = STR("/"),
				     .authority = STR("example.com"),
				     .content_length = 0};
	r->call = (struct http_call){.ops = &call_ops,
				     .owner = r,
				     .arena = &r->arena,
				     .request = &r->head,
				     .connect_timeout_ms = 1000,
				     .first_byte_timeout_ms = 1000,
				     .between_timeout_ms = 1000};
	assert_int_equal(visit(&r->visitor, 0), 0);
	link = upstream_link(&r->visitor.turn, fresh, true, client);
	assert_non_null(link);
	http_call_start(link, &r->call);
	return link;
}

static void request_end(struct request *r)
{
	assert_int_equal(r->dones, 1);
	if (r->call.body)
		source_close(r->call.body, 0);
	arena_free(&r->arena);
}

/* The number of the session that it had, from 1. */
static unsigned request_whole(bool fresh)
{
	struct request r;
	unsigned before = server.count;
	struct http_link *link = request_start(&r, fresh, NULL);
	unsigned calls = link->calls;

	world_run_ms(20);
	assert_int_equal(r.why, 0);
	assert_true(r.call.reused == (calls > 1));
	request_end(&r);
	return server.count > before ? server.count : 0;
}

static void test_a_link_is_kept_and_used_again(void **state)
{
	world_prepare(1);
	world_open();
	serve();
	assert_int_equal(request_whole(false), 1);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(request_whole(false), 0);
	assert_int_equal(server.sessions[0].answered, 6);
	assert_int_equal(request_whole(true), 2);
	assert_int_equal(atomic_load(&world_server(0)->connects), 2);
	assert_int_equal(atomic_load(&world_server(0)->reused), 5);
	assert_int_equal(atomic_load(&world_server(0)->requests), 7);
	stop_serving();
	world_close();
}

static void test_the_last_used_is_the_first_taken(void **state)
{
	struct request r[3];

	world_prepare(1);
	world.config.keepalive.idle_max = 2;
	world_open();
	serve();
	for (unsigned i = 0; i < 3; i++)
		request_start(&r[i], false, NULL);
	world_run_ms(20);
	for (unsigned i = 0; i < 3; i++)
		request_end(&r[i]);
	/* Two are kept, and of these only one is ever used. */
	assert_int_equal(server.count, 3);
	assert_int_equal(server.open, 2);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(request_whole(false), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(server.sessions[i].answered == 1 || server.sessions[i].answered == 11);
	stop_serving();
	world_close();
}

static void test_a_kept_link_has_its_time(void **state)
{
	world_prepare(1);
	world.config.keepalive.idle_timeout_ms = 10000;
	world_open();
	serve();
	assert_int_equal(request_whole(false), 1);
	world_run_ms(9000);
	assert_int_equal(request_whole(false), 0);
	world_run_ms(9500);
	assert_int_equal(server.open, 1);
	world_run_ms(600);
	assert_int_equal(server.open, 0);
	assert_int_equal(request_whole(false), 2);
	stop_serving();
	world_close();
}

static void test_a_link_carries_so_many_requests(void **state)
{
	world_prepare(1);
	world.config.keepalive.requests_max = 3;
	world_open();
	serve();
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(request_whole(false), i % 3 ? 0 : i / 3 + 1);
	stop_serving();
	world_close();
}

static void test_a_server_that_hung_up_is_noticed(void **state)
{
	world_prepare(1);
	world_open();
	serve();
	assert_int_equal(request_whole(false), 1);
	assert_int_equal(request_whole(true), 2);
	/* The one that would be taken, and then the other. */
	session_end(&server.sessions[1]);
	world_run_ms(20);
	assert_int_equal(request_whole(false), 0);
	session_end(&server.sessions[0]);
	world_run_ms(20);
	assert_int_equal(request_whole(false), 3);
	stop_serving();
	world_close();
}

static void test_links_of_a_server_that_is_down_are_closed(void **state)
{
	world_prepare(2);
	world_open();
	serve();
	/* The second server is not there: down by a check, say. */
	atomic_fetch_or(&world_server(1)->flags, UPSTREAM_FLAG_DOWN);
	assert_int_equal(request_whole(false), 1);
	assert_int_equal(server.open, 1);
	atomic_fetch_or(&world_server(0)->flags, UPSTREAM_FLAG_DOWN);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), -ENOENT);
	world_run_ms(100);
	assert_int_equal(server.open, 0);
	stop_serving();
	world_close();
}

static void test_links_of_a_server_that_left_are_closed(void **state)
{
	struct request busy;
	char why[128];

	world_prepare(2);
	world_open();
	serve();
	atomic_fetch_or(&world_server(1)->flags, UPSTREAM_FLAG_DOWN);
	assert_int_equal(request_whole(true), 1);
	assert_int_equal(request_whole(true), 2);
	server.mute = true;
	request_start(&busy, false, NULL);
	assert_int_equal(server.open, 2);
	assert_int_equal(upstream_change(world.registry, world.group->name, world.servers[0].text,
					 UPSTREAM_REMOVE, 0, why, sizeof(why)),
			 0);
	assert_int_equal(visit_briefly(0, UPSTREAM_OK), -ENOENT);
	world_run_ms(100);
	/* The idle one is gone, the call goes on, and its link is not kept. */
	assert_int_equal(server.open, 1);
	assert_int_equal(busy.dones, 0);
	for (unsigned i = 0; i < 2; i++)
		if (server.sessions[i].conn)
			conn_send(server.sessions[i].conn,
				  seg_mem(answer, sizeof(answer) - 1, NULL));
	world_run_ms(100);
	request_end(&busy);
	assert_int_equal(busy.why, 0);
	assert_int_equal(server.open, 0);
	stop_serving();
	world_close();
}

static void test_nobody_listens(void **state)
{
	struct request r;

	world_prepare(1);
	world_open();
	request_start(&r, false, NULL);
	world_run_ms(20);
	assert_int_equal(r.why, -ECONNREFUSED);
	request_end(&r);
	assert_int_equal(atomic_load(&world_server(0)->failures), 1);
	world_close();
}

/* A link that begins with a PROXY header is one client's. */
static void test_a_proxy_header_goes_first(void **state)
{
	struct request r;
	struct net_addr client, local;
	static const char first[] =
		"PROXY TCP4 192.0.2.7 198.51.100.1 1234 80\r\nGET / HTTP/1.1\r\n";
	char why[128];

	world_prepare(1);
	world.config.send_proxy = PROXY_V1;
	world_open();
	serve();
	assert_int_equal(net_addr_parse(STR("192.0.2.7:1234"), &client, why, sizeof(why)), 0);
	assert_int_equal(net_addr_parse(STR("198.51.100.1:80"), &local, why, sizeof(why)), 0);
	for (unsigned i = 0; i < 2; i++) {
		request_start(&r, false, &client);
		world_run_ms(20);
		request_end(&r);
		assert_int_equal(server.count, i + 1);
		assert_int_equal(server.open, 0);
	}
	assert_memory_equal(server.sessions[0].heard, "PROXY TCP4 192.0.2.7 ", 21);
	stop_serving();

	/* A raw connection, which says where the client came to. */
	struct visitor v = {.turn.local = &local};
	struct conn *conn;

	serve();
	server.mute = true;
	assert_int_equal(visit(&v, 0), 0);
	conn = upstream_connect(&v.turn, &client, NULL);
	assert_non_null(conn);
	assert_int_equal(conn_send(conn, seg_mem("GET / HTTP/1.1\r\n", 16, NULL)), 0);
	world_run_ms(20);
	assert_memory_equal(server.sessions[0].heard, first, sizeof(first) - 1);
	conn_close(conn, CONN_DONE);
	upstream_give(&v.turn, UPSTREAM_OK, 0);
	assert_int_equal(atomic_load(&world_server(0)->connects), 3);
	stop_serving();
	world_close();
}

/* The view is put while a call is on its way and a link is kept: all goes, at its time. */
static void test_a_view_is_put_with_links(void **state)
{
	struct request r;

	world_prepare(1);
	world_open();
	serve();
	assert_int_equal(request_whole(true), 1);
	server.mute = true;
	request_start(&r, true, NULL);
	world_run_ms(20);
	assert_int_equal(server.open, 2);
	upstream_view_put(world.views[0]);
	world.views[0] = NULL;
	world_run_ms(20);
	assert_int_equal(server.open, 1);
	world_run_ms(1100);
	assert_int_equal(r.why, -ETIMEDOUT);
	request_end(&r);
	assert_int_equal(server.open, 0);
	stop_serving();
	world_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_link_is_kept_and_used_again),
		cmocka_unit_test(test_the_last_used_is_the_first_taken),
		cmocka_unit_test(test_a_kept_link_has_its_time),
		cmocka_unit_test(test_a_link_carries_so_many_requests),
		cmocka_unit_test(test_a_server_that_hung_up_is_noticed),
		cmocka_unit_test(test_links_of_a_server_that_is_down_are_closed),
		cmocka_unit_test(test_links_of_a_server_that_left_are_closed),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_a_proxy_header_goes_first),
		cmocka_unit_test(test_a_view_is_put_with_links),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
