// SPDX-License-Identifier: Apache-2.0
#include "app/server.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/run.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "sluice/version.h"

/* CPUs that are looked at, to count and to pin. */
#define SERVER_CPUS_MAX 8192

static void server_set_state(struct app_server *s, enum app_state state)
{
	s->state = state;
	atomic_store(&s->draining, state >= APP_DRAINING);
}

unsigned app_order_all(struct app_server *s, enum app_order order)
{
	unsigned told = 0;

	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		if (!w->started || w->quits)
			continue;
		app_worker_order(w, order);
		told++;
	}
	return told;
}

/* The end. */

static void server_end(struct app_server *s)
{
	app_order_all(s, APP_ORDER_QUIT);
	for (unsigned i = 0; i < s->worker_count; i++)
		s->workers[i].quits = true;
	server_set_state(s, APP_ENDED);
	app_sampler_stop(s);
	io_timer_stop(&s->drain_timer);
	io_loop_stop(s->loop);
}

static void server_drained(struct app_worker *w)
{
	struct app_server *s = w->owner;

	if (++s->drained == s->worker_count)
		server_end(s);
}

static void server_drain_over(struct io_timer *timer)
{
	struct app_server *s = SL_CONTAINER(timer, struct app_server, drain_timer);

	if (s->state != APP_DRAINING)
		return;
	log_warn("requests were not done %u ms after the stop (drain_timeout) and are cut",
		 s->now.config->drain_timeout_ms);
	server_set_state(s, APP_ABORTING);
	app_order_all(s, APP_ORDER_ABORT);
}

static void server_drain(struct app_server *s)
{
	log_info("stopping: requests in hand have %u ms to finish",
		 s->now.config->drain_timeout_ms);
	server_set_state(s, APP_DRAINING);
	app_notify_send(&s->notify, "STOPPING=1");
	s->drain_timer.fire = server_drain_over;
	io_timer_set(s->loop, &s->drain_timer, s->now.config->drain_timeout_ms);
	/* What waits in the backlogs is handed over before the workers hear that it is the end. */
	app_door_close(&s->door, NULL, NULL);
	if (!s->door.closing)
		app_order_all(s, APP_ORDER_DRAIN);
}

void app_stop(struct app_server *s, bool cut)
{
	/* A change takes moments; workers are told one thing after the other. */
	if (s->change.state != APP_CHANGE_NONE) {
		s->stops += cut || !s->stops;
		return;
	}
	if (s->state == APP_SERVING) {
		server_drain(s);
	} else if (s->state == APP_DRAINING && cut) {
		log_warn("asked to stop again: what is in hand is cut");
		server_set_state(s, APP_ABORTING);
		app_order_all(s, APP_ORDER_ABORT);
	}
}

/* News from the workers. */

static void server_answered(struct app_worker *w, int result)
{
	w->asked = false;
	app_change_answered(w->owner, result);
}

/* Its connections are lost and the rest of the process is in doubt: the others finish, and then it is over. */
static void server_failed(struct app_worker *w, int result)
{
	struct app_server *s = w->owner;

	log_error("worker %u: its loop failed: %s; the server stops", w->index, err_text(result));
	if (!s->result)
		snprintf(s->why, s->why_len, "worker %u: its loop failed: %s", w->index,
			 err_text(result));
	s->result = s->result ? s->result : result;
	w->quits = true;
	if (w->asked)
		app_change_answered(s, result);
	app_stop(s, false);
	server_drained(w);
}

static const struct app_worker_events server_worker_events = {
	.answered = server_answered,
	.drained = server_drained,
	.failed = server_failed,
};

static void server_go_on(struct app_server *s)
{
	unsigned stops = s->stops;

	s->stops = 0;
	for (; stops; stops--)
		app_stop(s, true);
	if (!s->change.again)
		return;
	s->change.again = false;
	app_reload_begin(s);
}

static void server_serving(struct app_server *s)
{
	server_set_state(s, APP_SERVING);
	int err = app_admin_start(s);
	if (err)
		log_error("the admin socket cannot be watched: %s", err_text(err));
	app_watchdog_start(s);
	app_notify_send(&s->notify, "READY=1\nMAINPID=%d\nSTATUS=Serving", (int)getpid());
}

void app_changed(struct app_server *s, int result)
{
	if (s->state == APP_STARTING && result) {
		s->result = result;
		snprintf(s->why, s->why_len, "%s", s->change.why);
		server_end(s);
		return;
	}
	if (s->state == APP_STARTING)
		server_serving(s);
	else
		app_reload_end(s, result);
	server_go_on(s);
}

static const char *server_scheme(const struct app_slot *slot)
{
	if (slot->kind == APP_LISTEN_UDP)
		return "udp://";
	if (slot->kind == APP_LISTEN_TCP)
		return "tcp://";
	return slot->bound.u.sa.sa_family == AF_UNIX ? "" : "http://";
}

void app_announce(struct app_server *s)
{
	const struct app_listens *l = &s->next.listens;
	struct net_addr bound[APP_LISTENS_MAX];
	char text[NET_ADDR_TEXT];

	log_info("sluice %s: %u worker%s, %s, room for %u connections each", sl_version(),
		 s->worker_count, s->worker_count == 1 ? "" : "s", s->engine,
		 s->next.config->http->limits.connections_max);
	for (unsigned i = 0; i < l->count; i++) {
		bound[i] = l->slots[i].bound;
		net_addr_print(&bound[i], text);
		log_info("listening on %s%s", server_scheme(&l->slots[i]), text);
	}
	if (s->reload && s->reload->ready)
		s->reload->ready(s->reload->owner, s->next.config, bound, l->count);
}

/* The start. */

/* The CPUs that this process may use, in order; at least one, and at most `max` of them. */
static unsigned server_cpus(int *cpus, unsigned max)
{
	cpu_set_t sets[SERVER_CPUS_MAX / CPU_SETSIZE];
	unsigned count = 0;

	memset(sets, 0, sizeof(sets));
	if (sched_getaffinity(0, sizeof(sets), sets))
		CPU_SET_S(0, sizeof(sets), sets);
	for (int cpu = 0; cpu < SERVER_CPUS_MAX && count < max; cpu++)
		if (CPU_ISSET_S((unsigned)cpu, sizeof(sets), sets))
			cpus[count++] = cpu;
	return count;
}

static void server_place(struct app_server *s, const struct app_config *config)
{
	int cpus[APP_WORKERS_MAX];
	unsigned count = server_cpus(cpus, APP_WORKERS_MAX);

	s->worker_count = config->workers ? config->workers : count;
	for (unsigned i = 0; i < s->worker_count && s->workers; i++)
		s->workers[i].cpu = config->pin ? cpus[i % count] : -1;
}

/* All workers have the engine that the first one got, so that a fallback is told once. */
static int server_make_loop(struct app_server *s, struct app_worker *w)
{
	struct io_options options = {.engine = s->first.engine};

	if (options.engine == IO_ENGINE_AUTO && w->index > 0)
		options.engine = (enum io_engine)io_engine_parse(s->engine);
	int err = io_loop_new(&options, &w->loop, s->change.why, sizeof(s->change.why));
	if (err && s->first.engine == IO_ENGINE_AUTO && options.engine != IO_ENGINE_AUTO) {
		options.engine = IO_ENGINE_AUTO;
		err = io_loop_new(&options, &w->loop, s->change.why, sizeof(s->change.why));
	}
	return err;
}

static int server_make_workers(struct app_server *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		w->index = i;
		w->main_loop = s->loop;
		w->next = &s->next;
		w->events = &server_worker_events;
		w->owner = s;
		if (app_accept_is_main(s)) {
			w->hands = calloc(1, sizeof(*w->hands));
			if (!w->hands)
				return -ENOMEM;
		}
		int err = server_make_loop(s, w);
		if (err)
			return err;
		if (i == 0) {
			snprintf(s->engine, sizeof(s->engine), "%s", io_engine_name(w->loop));
			snprintf(s->features, sizeof(s->features), "%s", io_loop_features(w->loop));
		}
	}
	return 0;
}

static int server_start_workers(struct app_server *s)
{
	for (unsigned i = 0; i < s->worker_count; i++) {
		int err = app_worker_start(&s->workers[i]);
		if (err) {
			snprintf(s->change.why, sizeof(s->change.why),
				 "cannot start thread %u: %s; start fewer workers", i,
				 err_text(err));
			return err;
		}
		s->workers[i].started = true;
	}
	return 0;
}

/* What may take root's rights; then they are given up; then what must work without them, now and at a rotation. */
static int server_open(struct app_server *s)
{
	const struct app_config *config = &s->first;
	char *why = s->change.why;
	size_t why_len = sizeof(s->change.why);
	int err = app_user_find(&s->user, config->user, config->group, why, why_len);

	if (!err)
		err = app_pid_file_make(&s->pid_file, config->pid_file, why, why_len);
	if (!err)
		err = app_change_open_sockets(s);
	if (!err)
		err = app_admin_open(s);
	if (!err)
		err = app_user_become(&s->user, why, why_len);
	if (!err)
		err = app_log_use(&s->log_file, &config->log, why, why_len);
	if (!err)
		err = app_change_open_logs(s);
	return err;
}

static int server_prepare(struct app_server *s, struct app_config *config)
{
	const struct io_options options = {.engine = IO_ENGINE_EPOLL};

	app_limits_raise();
	log_setup(STDERR_FILENO, config->log.level, config->log.format);
	server_place(s, config);
	s->now.listens.loops = app_accept_is_main(s) ? 1 : s->worker_count;
	s->now.listens.workers = s->worker_count;
	s->workers = calloc(s->worker_count, sizeof(*s->workers));
	if (!s->workers)
		return -ENOMEM;
	server_place(s, config);
	int err = io_loop_new(&options, &s->loop, s->change.why, sizeof(s->change.why));
	if (err)
		return err;
	app_accept_init(s);
	err = app_shared_open(&s->shared, s->loop, config->resolver);
	for (unsigned i = 0; i < config->warning_count; i++)
		log_warn("%.*s", STR_ARG(config->warnings[i]));
	if (!err)
		err = app_signals_watch(s);
	if (!err)
		err = app_change_plan(s, config);
	if (!err)
		err = server_open(s);
	if (!err)
		err = server_make_workers(s);
	return err ? err : server_start_workers(s);
}

static void server_join_workers(struct app_server *s)
{
	if (s->state != APP_ENDED)
		app_order_all(s, APP_ORDER_QUIT);
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		if (w->started)
			pthread_join(w->thread, NULL);
		else if (w->loop)
			io_loop_free(w->loop);
		free(w->hands);
	}
}

/* Groups of servers have their checks and lookups on this loop: they end with their last reference, or here. */
static void server_close_loop(struct app_server *s)
{
	io_timer_stop(&s->drain_timer);
	app_sampler_stop(s);
	app_signals_close(s);
	app_admin_close(s);
	app_shared_stop(&s->shared);
	int err = 0;
	do
		err = io_loop_turn(s->loop, io_loop_busy(s->loop) ? -1 : 0);
	while (!err && io_loop_busy(s->loop));
	app_admin_free(s);
	app_shared_free(&s->shared);
	if (!err)
		io_loop_free(s->loop);
}

static void server_free(struct app_server *s)
{
	if (s->workers)
		server_join_workers(s);
	app_change_undo(s);
	for (unsigned i = 0; i < s->now.listens.count; i++)
		app_socket_file_remove(&s->now.listens.slots[i].file);
	app_access_close(&s->now.access, &(struct app_access){0});
	app_pid_file_remove(&s->pid_file);
	if (s->now.config)
		http_config_unref(s->now.config->http);
	s->now.config = NULL;
	if (s->loop)
		server_close_loop(s);
	app_notify_close(&s->notify);
	app_log_leave(&s->log_file);
	free(s->workers);
	arena_free(&s->memory);
	free(s);
}

/* Copied, as the configuration goes with its last use, and with it the groups that only it has. */
static void server_remember(struct app_server *s, const struct app_config *config)
{
	s->first = *config;
	s->first.http = NULL;
	s->first.user = arena_dup(&s->memory, config->user);
	s->first.group = arena_dup(&s->memory, config->group);
	s->first.pid_file = arena_dup(&s->memory, config->pid_file);
	s->first.resolver = arena_dup(&s->memory, config->resolver);
}

int app_serve(struct app_config *config, const struct app_reload *reload, char *why, size_t why_len)
{
	struct app_server *s = calloc(1, sizeof(*s));

	why[0] = '\0';
	if (!s) {
		http_config_unref(config->http);
		return -ENOMEM;
	}
	s->next.config = config;
	arena_init(&s->memory, 0);
	server_remember(s, config);
	s->reload = reload;
	s->why = why;
	s->why_len = why_len;
	s->pid_file.fd = -1;
	s->log_file = APP_LOG_FILE_NONE;
	s->started_ns = clock_monotonic_ns();
	s->started_unix_s = (int64_t)(clock_realtime_ns() / CLOCK_NS_PER_S);
	snprintf(s->file, sizeof(s->file), "%.*s", STR_ARG(config->file));
	app_notify_init(&s->notify);
	int err = server_prepare(s, config);
	if (!err) {
		app_change_send(s);
		err = io_loop_run(s->loop);
		if (err) {
			/* Workers run on and cannot be told: the process must end, and takes all with it. */
			snprintf(why, why_len, "the main loop failed: %s", err_text(err));
			return err;
		}
		err = s->result;
	}
	if (err && !why[0])
		snprintf(why, why_len, "%s", s->change.why[0] ? s->change.why : err_text(err));
	server_free(s);
	return err;
}
