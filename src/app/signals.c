// SPDX-License-Identifier: Apache-2.0
// Signals by signalfd, and the watchdog of the service manager.
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/run.h"
#include "base/err.h"
#include "base/log.h"

static void signals_reopen_logs(struct app_server *s)
{
	app_log_reopen(&s->log_file, &s->now.config->log);
	if (s->now.access.log)
		access_log_reopen(s->now.access.log);
	log_info("logs were opened again");
}

static void signals_take(struct app_server *s, int number)
{
	switch (number) {
	case SIGTERM:
	case SIGINT:
		app_stop(s, true);
		break;
	case SIGHUP:
		app_reload_begin(s);
		break;
	case SIGUSR1:
		if (s->now.config)
			signals_reopen_logs(s);
		break;
	default:
		break;
	}
}

static void signals_came(struct io_op *op, int result)
{
	struct app_server *s = SL_CONTAINER(op, struct app_server, signal_op);
	struct signalfd_siginfo info;

	if (result == -ECANCELED)
		return;
	if (result < 0)
		log_error("signals cannot be watched any more: %s", err_text(result));
	while (read(s->signal_fd.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		signals_take(s, (int)info.ssi_signo);
	if (result >= 0)
		io_submit(s->loop, &s->signal_op);
}

int app_signals_watch(struct app_server *s)
{
	static const int watched[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < SL_ARRAY_SIZE(watched); i++)
		sigaddset(&set, watched[i]);
	/* Before any thread begins, so that all of them inherit the mask. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* A peer that is gone and a file at its size limit are errors of one call, not ends of the process. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int err = io_fd_init(s->loop, &s->signal_fd, fd);
	if (err) {
		close(fd);
		return err;
	}
	s->signal_op = (struct io_op){.cb = signals_came, .fd = &s->signal_fd, .code = IO_WAIT_IN};
	io_submit(s->loop, &s->signal_op);
	return 0;
}

void app_signals_close(struct app_server *s)
{
	io_timer_stop(&s->watchdog);
	if (s->signal_fd.loop)
		io_close(&s->signal_fd, NULL);
}

/* A worker whose loop does not turn does not answer, and then the manager hears nothing and restarts us. */
static void watchdog_fired(struct io_timer *timer)
{
	struct app_server *s = SL_CONTAINER(timer, struct app_server, watchdog);
	bool alive = true;

	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		if (w->quits)
			continue;
		if (atomic_load(&w->beats) != w->beats_asked) {
			alive = false;
			continue;
		}
		w->beats_asked++;
		app_worker_order(w, APP_ORDER_BEAT);
	}
	if (alive)
		app_notify_send(&s->notify, "WATCHDOG=1");
	io_timer_set(s->loop, &s->watchdog, s->notify.watchdog_ms / 2);
}

void app_watchdog_start(struct app_server *s)
{
	if (!s->notify.watchdog_ms)
		return;
	s->watchdog.fire = watchdog_fired;
	io_timer_set(s->loop, &s->watchdog, s->notify.watchdog_ms / 2);
}
