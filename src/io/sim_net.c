// SPDX-License-Identifier: Apache-2.0

/* Sockets of the simulated world: descriptors, listening, connecting, accepting, closing. */

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "io/sim_net.h"

/* A SYN that finds the listener's queue full is sent again after 1, 2, 4, ... seconds. */
#define SIM_SYN_TRIES 5
#define SIM_PORT_FIRST 49152
#define SOCKET_EVENTS 3

static void connect_fire(struct sim *w, struct sim_event *e);

/* Descriptors. */

struct sim_socket *sim_socket_of(struct sim *w, int fd)
{
	if (fd < SIM_FD_BASE || (unsigned)(fd - SIM_FD_BASE) >= w->o.fds_max)
		return NULL;
	return w->fds[fd - SIM_FD_BASE];
}

struct sim_socket *sim_socket_new(struct sim *w, int domain)
{
	struct sim_socket *s = calloc(1, sizeof(*s));

	if (!s || sim_events_reserve(w, SOCKET_EVENTS) < 0) {
		free(s);
		return NULL;
	}
	s->world = w;
	s->fd = -1;
	s->connect.fire = connect_fire;
	s->name.ss_family = (sa_family_t)domain;
	s->name_len = sizeof(s->name.ss_family);
	list_init(&s->queue);
	list_init(&s->in_queue);
	for (uint8_t side = 0; side < 2; side++) {
		s->slot[side].socket = s;
		s->slot[side].side = side;
		list_init(&s->slot[side].ready);
	}
	return s;
}

int sim_socket_number(struct sim_socket *s)
{
	struct sim *w = s->world;

	while (w->fd_hint < w->o.fds_max && w->fds[w->fd_hint])
		w->fd_hint++;
	if (w->fd_hint == w->o.fds_max)
		return -EMFILE;
	w->fds[w->fd_hint] = s;
	w->fd_count++;
	s->fd = SIM_FD_BASE + (int)w->fd_hint;
	return s->fd;
}

/* A new socket with a number: the number, or -errno. */
static int socket_open(struct sim *w, int domain, struct sim_socket **out)
{
	struct sim_socket *s = sim_socket_new(w, domain);
	int fd;

	if (!s)
		return -ENOMEM;
	fd = sim_socket_number(s);
	if (fd < 0)
		sim_socket_close(s);
	else
		*out = s;
	return fd;
}

int sim_pair(struct sim *w, int fds[2])
{
	struct sim_socket *s[2];

	fds[0] = socket_open(w, AF_UNIX, &s[0]);
	if (fds[0] < 0)
		return fds[0];
	fds[1] = socket_open(w, AF_UNIX, &s[1]);
	if (fds[1] < 0) {
		sim_socket_close(s[0]);
		return fds[1];
	}
	if (!sim_link_new(w, s[0], s[1])) {
		sim_socket_close(s[0]);
		sim_socket_close(s[1]);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < 2; i++) {
		s[i]->state = SIM_OPENED;
		s[i]->peer = s[i]->name;
		s[i]->peer_len = s[i]->name_len;
	}
	return 0;
}

/* Connecting and accepting. */

static uint16_t *addr_port(struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return &((struct sockaddr_in *)a)->sin_port;
	if (a->ss_family == AF_INET6)
		return &((struct sockaddr_in6 *)a)->sin6_port;
	return NULL;
}

static bool addr_is_any(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(INADDR_ANY);
	return a->ss_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

/* True when a listener on `at` is asked by who connects to `to`. */
static bool addr_answers(const struct sockaddr_storage *at, socklen_t at_len,
			 const struct sockaddr_storage *to, socklen_t to_len)
{
	struct sockaddr_storage any = *at;

	if (at->ss_family != to->ss_family)
		return false;
	if (!addr_is_any(at))
		return at_len == to_len && memcmp(at, to, at_len) == 0;
	return *addr_port(&any) == *addr_port((struct sockaddr_storage *)to);
}

int sim_listen(struct sim *w, const struct sockaddr *addr, socklen_t len, unsigned backlog)
{
	struct sim_socket *s;
	uint16_t *port;
	int fd;

	if (len < sizeof(addr->sa_family) || len > sizeof(s->name) || !backlog)
		return -EINVAL;
	fd = socket_open(w, addr->sa_family, &s);
	if (fd < 0)
		return fd;
	memcpy(&s->name, addr, len);
	s->name_len = len;
	port = addr_port(&s->name);
	if (port && !*port)
		*port = htons((uint16_t)(SIM_PORT_FIRST - 1 - (fd - SIM_FD_BASE)));
	s->backlog = backlog;
	s->state = SIM_LISTENING;
	return fd;
}

/* One of those that listen there, or NULL. */
static struct sim_socket *listener_for(struct sim *w, const struct sim_socket *s)
{
	struct sim_socket *found = NULL;
	unsigned count = 0;

	for (unsigned i = 0; i < w->o.fds_max; i++) {
		struct sim_socket *l = w->fds[i];

		if (l && l->state == SIM_LISTENING &&
		    addr_answers(&l->name, l->name_len, &s->peer, s->peer_len) &&
		    sim_random(w, ++count) == 0)
			found = l;
	}
	return found;
}

static void connect_answer(struct sim_socket *s, int result)
{
	s->connect_result = result;
	s->answered = true;
	sim_event_at(s->world, &s->connect, s->world->now_ns + sim_latency(s->world));
}

/* The other end is made, and waits to be accepted; it may already send. */
static int connect_queue(struct sim_socket *s, struct sim_socket *listener)
{
	struct sim_socket *n = sim_socket_new(s->world, s->name.ss_family);

	if (!n)
		return -ENOMEM;
	if (!sim_link_new(s->world, s, n)) {
		sim_socket_close(n);
		return -ENOMEM;
	}
	n->name = s->peer;
	n->name_len = s->peer_len;
	n->peer = s->name;
	n->peer_len = s->name_len;
	n->state = SIM_OPENED;
	list_add(&listener->queue, &n->in_queue);
	listener->queued++;
	sim_wake(listener, SIM_RD);
	return 0;
}

static void connect_arrives(struct sim_socket *s)
{
	struct sim *w = s->world;
	struct sim_socket *listener = listener_for(w, s);
	int rc;

	if (!listener) {
		connect_answer(s, -ECONNREFUSED);
		return;
	}
	if (listener->queued >= listener->backlog) {
		if (++s->tries == SIM_SYN_TRIES)
			connect_answer(s, -ETIMEDOUT);
		else
			sim_event_at(w, &s->connect,
				     w->now_ns + (CLOCK_NS_PER_S << (s->tries - 1)));
		return;
	}
	rc = connect_queue(s, listener);
	connect_answer(s, rc);
	if (rc == 0)
		s->link->dir[1].last_due_ns = s->connect.due_ns;
}

static void connect_fire(struct sim *w, struct sim_event *e)
{
	struct sim_socket *s = SL_CONTAINER(e, struct sim_socket, connect);
	int result = s->connect_result;

	if (!s->answered) {
		if (result < 0)
			connect_answer(s, result);
		else
			connect_arrives(s);
		return;
	}
	if (s->state == SIM_BROKEN) {
		result = -s->error;
		s->error = 0;
	} else {
		s->state = result < 0 ? SIM_FRESH : SIM_OPENED;
	}
	sim_trace(w, "connect", s->fd, result);
	sim_connected(s, result);
	/* A WAIT_IN may have been submitted before there was a connection. */
	sim_wake(s, SIM_RD);
}

static void client_name(struct sim_socket *s)
{
	struct sim *w = s->world;

	if (s->peer.ss_family == AF_UNIX)
		return;
	s->name = s->peer;
	s->name_len = s->peer_len;
	*addr_port(&s->name) = htons((uint16_t)(SIM_PORT_FIRST + w->next_port));
	w->next_port = (uint16_t)((w->next_port + 1) % (UINT16_MAX - SIM_PORT_FIRST));
}

void sim_connect_begin(struct sim_socket *s, const struct sockaddr *addr, socklen_t len)
{
	struct sim *w = s->world;
	int error;

	s->answered = false;
	s->connect_result = 0;
	s->tries = 0;
	if (s->state != SIM_FRESH) {
		connect_answer(s, -EISCONN);
		return;
	}
	s->state = SIM_CONNECTING;
	if (len > sizeof(s->peer) || addr->sa_family != s->name.ss_family) {
		connect_answer(s, -EAFNOSUPPORT);
		return;
	}
	memcpy(&s->peer, addr, len);
	s->peer_len = len;
	client_name(s);
	if (sim_rule_hits(w, SIM_CONNECT, &error))
		s->connect_result = -error;
	else if (sim_chance(w, w->o.faults.refuse))
		s->connect_result = -ECONNREFUSED;
	sim_event_at(w, &s->connect, w->now_ns + sim_latency(w));
}

void sim_connect_stop(struct sim_socket *s)
{
	sim_event_stop(s->world, &s->connect);
	if (s->link)
		sim_link_leave(s, true);
	if (s->state == SIM_CONNECTING || s->state == SIM_BROKEN)
		s->state = SIM_FRESH;
}

/* Takes the first end out of a listener's queue. */
static struct sim_socket *queue_take(struct sim_socket *listener)
{
	struct sim_socket *s = SL_CONTAINER(listener->queue.next, struct sim_socket, in_queue);

	list_del(&s->in_queue);
	listener->queued--;
	return s;
}

int sim_accept(struct sim_socket *listener)
{
	struct sim *w = listener->world;
	int fd = -EAGAIN, error;

	if (listener->state != SIM_LISTENING)
		return -EINVAL;
	while (!list_empty(&listener->queue)) {
		struct sim_socket *s;

		if (sim_rule_hits(w, SIM_ACCEPT, &error))
			return -error;
		if (sim_chance(w, w->o.faults.accept_emfile))
			return -EMFILE;
		s = SL_CONTAINER(listener->queue.next, struct sim_socket, in_queue);
		/* The backends pass over connections that died in the queue. */
		if (sim_chance(w, w->o.faults.accept_abort)) {
			s = queue_take(listener);
			s->reset_at_close = true;
			sim_socket_close(s);
			continue;
		}
		fd = sim_socket_number(s);
		if (fd >= 0)
			queue_take(listener);
		break;
	}
	return fd;
}

/* Closing. */

void sim_socket_close(struct sim_socket *s)
{
	struct sim *w = s->world;
	/* Linux resets when it is closed with bytes that nobody read. */
	bool reset = s->reset_at_close || s->state == SIM_CONNECTING || sim_unread(s);

	sim_trace(w, reset ? "reset" : "close", s->fd, 0);
	for (struct list *at = s->queue.next, *next; at != &s->queue; at = next) {
		struct sim_socket *queued = SL_CONTAINER(at, struct sim_socket, in_queue);

		next = at->next;
		queued->reset_at_close = true;
		sim_socket_close(queued);
	}
	list_del(&s->in_queue);
	for (unsigned side = 0; side < 2; side++) {
		list_del(&s->slot[side].ready);
		sim_event_stop(w, &s->slot[side].late);
	}
	sim_event_stop(w, &s->connect);
	if (s->link)
		sim_link_leave(s, reset);
	if (s->fd >= 0) {
		unsigned i = (unsigned)(s->fd - SIM_FD_BASE);

		w->fds[i] = NULL;
		w->fd_count--;
		w->fd_hint = SL_MIN(w->fd_hint, i);
	}
	sim_events_reserve(w, -SOCKET_EVENTS);
	free(s);
}

void sim_close(struct sim *w, int fd)
{
	struct sim_socket *s = sim_socket_of(w, fd);

	assert(s && !s->io);
	sim_socket_close(s);
}

void sim_drop_all(struct sim *w)
{
	for (unsigned i = 0; i < w->o.fds_max; i++)
		if (w->fds[i])
			sim_socket_close(w->fds[i]);
	assert(!w->link_count && !w->fd_count);
}
