// SPDX-License-Identifier: Apache-2.0
#include "app/server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/worker.h"
#include "base/err.h"
#include "base/log.h"
#include "sluice/version.h"

enum server_state {
	SERVER_STARTING, /* workers are being made */
	SERVER_SERVING,
	SERVER_DRAINING, /* no new connections; those in hand are finished */
	SERVER_ABORTING, /* the rest is being cut */
};

struct server {
	struct app_config *config;
	const struct app_reload *reload;
	enum server_state state;
	struct io_loop *loop;
	struct io_fd signal_fd;
	struct io_op signal_op;
	struct io_timer drain_timer;
	struct app_worker *workers;
	unsigned worker_count, started, ended;
	int *sockets; /* worker_count rows of listen_count */
	int result;
	char *why;
	size_t why_len;
};

static int *server_sockets(struct server *s, unsigned worker)
{
	return s->sockets + (size_t)worker * s->config->listen_count;
}

static void server_order(struct server *s, enum app_order order)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].loop)
			app_worker_order(&s->workers[i], order);
}

/* The end. */

static void server_abort(struct server *s)
{
	if (s->state != SERVER_DRAINING)
		return;
	s->state = SERVER_ABORTING;
	server_order(s, APP_ORDER_ABORT);
}

static void server_drain_over(struct io_timer *timer)
{
	struct server *s = SL_CONTAINER(timer, struct server, drain_timer);

	log_warn("connections were still busy after %u ms and are cut",
		 s->config->drain_timeout_ms);
	server_abort(s);
}

static void server_drain(struct server *s)
{
	if (s->state != SERVER_SERVING)
		return;
	s->state = SERVER_DRAINING;
	s->drain_timer.fire = server_drain_over;
	io_timer_set(s->loop, &s->drain_timer, s->config->drain_timeout_ms);
	server_order(s, APP_ORDER_DRAIN);
}

static void server_ended(struct app_worker *w)
{
	struct server *s = w->owner;

	if (++s->ended == s->worker_count)
		io_loop_stop(s->loop);
}

/* Signals. */

static void server_signal(struct server *s, int number)
{
	if (number != SIGTERM && number != SIGINT)
		return;
	if (s->state == SERVER_DRAINING) {
		log_warn("asked to stop again: what is in flight is cut");
		server_abort(s);
	} else {
		log_info("stopping: connections in hand have %u ms to finish",
			 s->config->drain_timeout_ms);
		server_drain(s);
	}
}

static void server_signaled(struct io_op *op, int result)
{
	struct server *s = SL_CONTAINER(op, struct server, signal_op);
	struct signalfd_siginfo info;

	if (result == -ECANCELED)
		return;
	while (read(s->signal_fd.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		server_signal(s, (int)info.ssi_signo);
	io_submit(s->loop, &s->signal_op);
}

static int server_watch_signals(struct server *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Before any thread begins, so that all of them inherit the mask. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = io_fd_init(s->loop, &s->signal_fd, fd);
	if (err) {
		close(fd);
		return err;
	}
	s->signal_op =
		(struct io_op){.cb = server_signaled, .fd = &s->signal_fd, .code = IO_WAIT_IN};
	io_submit(s->loop, &s->signal_op);
	return 0;
}

/* The start. */

static void server_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static unsigned server_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static int server_open(struct server *s, unsigned worker, unsigned number)
{
	struct app_listen *listen = &s->config->listens[number];
	int fd = worker ? -ENOENT : net_inherited(&listen->addr);

	if (fd >= 0)
		return fd;
	struct net_options options = listen->options;
	options.reuseport = true;
	struct net_addr addr = listen->addr;
	/* With port 0 the first socket decides, the others join it. */
	if (worker && !net_addr_port(&addr) && addr.u.sa.sa_family != AF_UNIX &&
	    getsockname(server_sockets(s, 0)[number], &addr.u.sa, &addr.len))
		return -errno;
	return net_listen(&addr, &options, s->why, s->why_len);
}

static int server_open_all(struct server *s)
{
	size_t count = (size_t)s->worker_count * s->config->listen_count;

	s->sockets = malloc(count * sizeof(*s->sockets));
	if (!s->sockets)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		s->sockets[i] = -1;
	for (unsigned n = 0; n < s->config->listen_count; n++) {
		bool is_unix = s->config->listens[n].addr.u.sa.sa_family == AF_UNIX;
		/* A Unix socket has one queue; the workers share its descriptor. */
		for (unsigned w = 0; w < s->worker_count; w++) {
			int fd = is_unix && w ? dup(server_sockets(s, 0)[n]) : server_open(s, w, n);
			if (fd < 0)
				return fd;
			server_sockets(s, w)[n] = fd;
		}
	}
	return 0;
}

static void server_announce(struct server *s)
{
	struct net_addr bound[APP_LISTENS_MAX];
	char text[NET_ADDR_TEXT];

	for (unsigned i = 0; i < s->config->listen_count; i++) {
		bound[i].len = sizeof(bound[i].u.storage);
		if (getsockname(server_sockets(s, 0)[i], &bound[i].u.sa, &bound[i].len))
			bound[i] = s->config->listens[i].addr;
		net_addr_print(&bound[i], text);
		log_info("sluice %s: %u worker%s, %s, http://%s", sl_version(), s->worker_count,
			 s->worker_count == 1 ? "" : "s", io_engine_name(s->workers[0].loop), text);
	}
	if (s->reload && s->reload->ready)
		s->reload->ready(s->reload->owner, s->config, bound, s->config->listen_count);
}

static void server_started(struct app_worker *w, int result)
{
	struct server *s = w->owner;

	if (result && !s->result) {
		s->result = result;
		snprintf(s->why, s->why_len, "worker %u cannot start: %s", w->index,
			 err_text(result));
	}
	if (++s->started < s->worker_count)
		return;
	s->state = SERVER_SERVING;
	if (s->result) {
		server_drain(s);
		return;
	}
	server_announce(s);
	server_order(s, APP_ORDER_LISTEN);
}

static const struct app_worker_events server_worker_events = {
	.started = server_started,
	.ended = server_ended,
};

static int server_make_workers(struct server *s)
{
	const struct io_options options = {.engine = s->config->engine};

	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		w->index = i;
		w->cpu = s->config->pin ? (int)(i % server_cpus()) : -1;
		w->main_loop = s->loop;
		w->config = s->config;
		w->sockets = server_sockets(s, i);
		w->events = &server_worker_events;
		w->owner = s;
		int err = io_loop_new(&options, &w->loop, s->why, s->why_len);
		if (err)
			return err;
	}
	return 0;
}

static int server_run(struct server *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		int err = app_worker_start(&s->workers[i]);
		if (err) {
			/* Those that run are told to end by the count of those that began. */
			snprintf(s->why, s->why_len, "cannot start a thread: %s", err_text(err));
			s->result = err;
			s->worker_count = i;
			break;
		}
	}
	int err = s->worker_count ? io_loop_run(s->loop) : 0;
	for (unsigned i = 0; i < s->worker_count; i++)
		pthread_join(s->workers[i].thread, NULL);
	return s->result ? s->result : err;
}

static int server_prepare(struct server *s)
{
	const struct io_options options = {.engine = IO_ENGINE_EPOLL};

	server_raise_limit();
	s->worker_count = s->config->workers ? s->config->workers : server_cpus();
	s->workers = calloc(s->worker_count, sizeof(*s->workers));
	if (!s->workers)
		return -ENOMEM;
	int err = io_loop_new(&options, &s->loop, s->why, s->why_len);
	if (!err)
		err = server_watch_signals(s);
	if (!err)
		err = server_open_all(s);
	if (!err)
		err = server_make_workers(s);
	return err;
}

static void server_free(struct server *s)
{
	for (unsigned i = 0; i < s->worker_count; i++)
		if (s->workers[i].loop)
			io_loop_free(s->workers[i].loop);
	if (s->loop) {
		io_timer_stop(&s->drain_timer);
		if (s->signal_fd.loop) {
			io_close(&s->signal_fd, NULL);
			io_loop_turn(s->loop, 0);
		}
		io_loop_free(s->loop);
	}
	free(s->workers);
	free(s->sockets);
	http_config_unref(s->config->http);
}

int app_serve(struct app_config *config, const struct app_reload *reload, char *why, size_t why_len)
{
	struct server s = {.config = config, .reload = reload, .why = why, .why_len = why_len};

	why[0] = 0;
	int err = server_prepare(&s);
	if (!err)
		err = server_run(&s);
	if (err && !why[0])
		snprintf(why, why_len, "cannot start: %s", err_text(err));
	server_free(&s);
	return err;
}
