// SPDX-License-Identifier: Apache-2.0
// The admin socket, served by the main loop.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/run.h"
#include "base/err.h"
#include "base/log.h"
#include "net/conn.h"
#include "net/listener.h"

/* A command must be whole by then. */
#define ADMIN_COMMAND_MS 10000

enum admin_state {
	ADMIN_FREE,
	ADMIN_READING, /* until the end of the line */
	ADMIN_WAITING, /* for a reload */
	ADMIN_ENDING,  /* the answer is on its way */
};

struct app_admin_client {
	struct app_admin *admin;
	struct conn *conn;
	enum admin_state state;
	uint64_t round; /* of the reload that it waits for */
	size_t len;
	struct io_timer timer;
	char line[APP_ADMIN_LINE_BYTES];
};

struct app_admin {
	struct app_server *server;
	struct app_socket_file file;
	int fd; /* until the listener has it */
	bool listening;
	struct net_listener listener;
	struct app_admin_client clients[APP_ADMIN_CLIENTS_MAX];
};

/* The text of an answer, which lives until it has left. */
struct admin_text {
	struct seg_owner owner;
	char bytes[];
};

static void admin_set_state(struct app_admin_client *c, enum admin_state state)
{
	c->state = state;
	if (state != ADMIN_READING)
		io_timer_stop(&c->timer);
}

static void admin_text_free(struct seg_owner *owner)
{
	free(SL_CONTAINER(owner, struct admin_text, owner));
}

static void admin_answer(struct app_admin_client *c, bool ok, struct str text)
{
	struct str head = ok ? STR("ok\n") : STR("error\n");
	struct admin_text *t = malloc(sizeof(*t) + head.len + text.len);

	admin_set_state(c, ADMIN_ENDING);
	if (!t) {
		conn_close(c->conn, -ENOMEM);
		return;
	}
	t->owner = (struct seg_owner){.refs = 1, .free = admin_text_free};
	memcpy(t->bytes, head.p, head.len);
	if (text.len)
		memcpy(t->bytes + head.len, text.p, text.len);
	conn_send(c->conn, seg_mem(t->bytes, head.len + text.len, &t->owner));
	conn_close(c->conn, CONN_LINGER);
}

/* Commands. */

static void admin_status(struct app_admin_client *c, enum status_format format)
{
	struct status_snapshot snapshot = {0};
	struct arena arena;

	arena_init(&arena, 0);
	struct str text = app_collect(c->admin->server, &arena, &snapshot)
				? STR_NONE
				: status_render(&snapshot, format, &arena);
	if (text.p)
		admin_answer(c, true, text);
	else
		admin_answer(c, false, STR("out of memory\n"));
	arena_free(&arena);
}

static void admin_reload(struct app_admin_client *c)
{
	struct app_server *s = c->admin->server;

	admin_set_state(c, ADMIN_WAITING);
	/* One that is under way may have read the file before it was changed: the next one counts. */
	c->round = s->change.round + 1;
	app_reload_begin(s);
}

static void admin_change(struct app_admin_client *c, struct str line)
{
	struct text answer;

	text_init(&answer, APP_REPORT_BYTES);
	bool done = app_admin_change(c->admin->server, line, &answer);
	admin_answer(c, done, text_str(&answer));
	text_free(&answer);
}

static void admin_command(struct app_admin_client *c, struct str line)
{
	log_debug("admin socket: %.*s", STR_ARG(line));
	struct str word = STR("status ");
	int format =
		str_starts(line, word) ? status_format_parse(str_skip(line, word.len)) : -EINVAL;

	if (str_eq(line, STR("status")) || format >= 0) {
		admin_status(c, format >= 0 ? (enum status_format)format : STATUS_TEXT);
	} else if (str_eq(line, STR("reload"))) {
		admin_reload(c);
	} else if (str_starts(line, STR("server "))) {
		admin_change(c, str_skip(line, STR("server ").len));
	} else if (str_eq(line, STR("stop"))) {
		admin_answer(c, true, STR_NONE);
		app_stop(c->admin->server, false);
	} else {
		admin_answer(
			c, false,
			STR("unknown command: expected status, status json, status prometheus, reload, server or stop\n"));
	}
}

void app_admin_reloaded(struct app_server *s, int result)
{
	struct str text = text_str(&s->change.report);

	if (result == -ESHUTDOWN)
		text = STR("the server is stopping\n");
	for (unsigned i = 0; s->admin && i < APP_ADMIN_CLIENTS_MAX; i++) {
		struct app_admin_client *c = &s->admin->clients[i];
		if (c->state == ADMIN_WAITING && c->round <= s->change.round)
			admin_answer(c, result == 0, text);
	}
}

/* A client's connection. */

static void admin_closed(void *consumer)
{
	struct app_admin_client *c = consumer;

	c->conn = NULL;
	admin_set_state(c, ADMIN_FREE);
}

static void admin_cut(struct app_admin_client *c, int why)
{
	admin_set_state(c, ADMIN_ENDING);
	conn_close(c->conn, why);
}

static void admin_timed_out(struct io_timer *timer)
{
	admin_cut(SL_CONTAINER(timer, struct app_admin_client, timer), -ETIMEDOUT);
}

/* Takes bytes up to the end of the line. */
static void admin_take(struct app_admin_client *c, const struct seg *seg)
{
	const uint8_t *end = memchr(seg->u.mem, '\n', seg->len);
	size_t n = end ? (size_t)(end - seg->u.mem) : seg->len;

	if (c->len + n >= sizeof(c->line)) {
		admin_answer(c, false, STR("the command is too long\n"));
		return;
	}
	memcpy(c->line + c->len, seg->u.mem, n);
	c->len += n;
	if (end)
		admin_command(c, (struct str){c->line, c->len});
}

static void admin_read(struct app_admin_client *c)
{
	struct seg seg;

	while (c->state == ADMIN_READING) {
		switch (source_pull(&c->conn->source, sizeof(c->line), SEG_MEM, &seg)) {
		case PULL_DATA:
			admin_take(c, &seg);
			seg_release(&seg);
			break;
		case PULL_WAIT:
			return;
		case PULL_END:
		case PULL_FAIL:
			admin_cut(c, -ECONNRESET);
			return;
		}
	}
}

static void admin_woken(struct source *source, void *consumer)
{
	(void)source;
	admin_read(consumer);
}

/* File permissions keep others out, but an abstract name has none. */
static bool admin_allows(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* Takes the command away first, so that the close that follows is no reset and the answer is read. */
static void admin_turn_away(int fd, struct str answer)
{
	char line[APP_ADMIN_LINE_BYTES];

	(void)!recv(fd, line, sizeof(line), MSG_DONTWAIT);
	(void)!send(fd, answer.p, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

static void admin_accepted(struct net_listener *listener, int fd)
{
	struct app_admin *a = listener->owner;
	struct app_admin_client *c = a->clients;

	while (c < a->clients + APP_ADMIN_CLIENTS_MAX && c->state != ADMIN_FREE)
		c++;
	if (!admin_allows(fd)) {
		admin_turn_away(fd, STR("error\nonly root and the user of the server may ask\n"));
		return;
	}
	if (c == a->clients + APP_ADMIN_CLIENTS_MAX) {
		admin_turn_away(fd, STR("error\ntoo many ask at once: try again\n"));
		return;
	}
	*c = (struct app_admin_client){.admin = a, .timer.fire = admin_timed_out};
	c->conn = conn_plain_new(a->server->loop, fd);
	if (!c->conn)
		return;
	c->conn->consumer = c;
	c->conn->closed = admin_closed;
	c->conn->source.consumer = c;
	c->conn->source.wake = admin_woken;
	admin_set_state(c, ADMIN_READING);
	io_timer_set(a->server->loop, &c->timer, ADMIN_COMMAND_MS);
	admin_read(c);
}

static bool admin_starved(struct net_listener *listener)
{
	(void)listener;
	return false;
}

static const struct net_listener_events admin_events = {
	.accepted = admin_accepted,
	.starved = admin_starved,
};

/* The socket itself. */

int app_admin_open(struct app_server *s)
{
	const struct net_addr *addr = &s->first.admin;
	const struct net_options options = {.unix_mode = 0600};

	if (!addr->len)
		return 0;
	s->admin = calloc(1, sizeof(*s->admin));
	if (!s->admin)
		return -ENOMEM;
	s->admin->server = s;
	s->admin->fd = net_listen(addr, &options, s->change.why, sizeof(s->change.why));
	if (s->admin->fd < 0)
		return s->admin->fd;
	app_socket_file_note(&s->admin->file, addr);
	/* The user that the server becomes may ask, and may remove it at the end. */
	if (s->user.wanted && s->admin->file.path[0] && geteuid() == 0 &&
	    lchown(s->admin->file.path, s->user.uid, s->user.gid))
		log_warn("admin socket: its owner stays root: %s", err_text(errno));
	return 0;
}

int app_admin_start(struct app_server *s)
{
	struct app_admin *a = s->admin;

	if (!a)
		return 0;
	int err = net_listener_start(&a->listener, s->loop, a->fd, &admin_events, a);
	if (err)
		return err;
	a->fd = -1;
	a->listening = true;
	return 0;
}

void app_admin_close(struct app_server *s)
{
	struct app_admin *a = s->admin;

	if (!a)
		return;
	if (a->listening)
		net_listener_stop(&a->listener, NULL);
	else if (a->fd >= 0)
		close(a->fd);
	a->listening = false;
	a->fd = -1;
	for (unsigned i = 0; i < APP_ADMIN_CLIENTS_MAX; i++) {
		struct app_admin_client *c = &a->clients[i];
		if (c->state == ADMIN_READING || c->state == ADMIN_WAITING)
			admin_cut(c, -ECANCELED);
	}
}

void app_admin_free(struct app_server *s)
{
	if (s->admin)
		app_socket_file_remove(&s->admin->file);
	free(s->admin);
	s->admin = NULL;
}
