/* internal: the running server, as its own files share it. Everything here belongs to the main thread. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_RUN_H
#define SLUICE_APP_RUN_H

#include <stdatomic.h>

#include "app/admin.h"
#include "app/process.h"
#include "app/sampler.h"
#include "app/server.h"
#include "app/worker.h"
#include "base/text.h"
#include "handler/status.h"

enum app_state {
	APP_STARTING, /* workers prepare the first configuration */
	APP_SERVING,
	APP_DRAINING, /* no new connections; those in hand are finished */
	APP_ABORTING, /* the rest is being cut */
	APP_ENDED,    /* every worker has its last order */
};

/* A change of configuration; the first one is the start. */
enum app_change_state {
	APP_CHANGE_NONE,
	APP_CHANGE_PREPARING,  /* every worker makes what it needs */
	APP_CHANGE_COMMITTING, /* every worker could */
	APP_CHANGE_DISCARDING, /* one could not, so nobody does */
};

#define APP_WHY_BYTES 512
/* The text of a reload: errors and warnings. */
#define APP_REPORT_BYTES (64u * 1024)

struct app_change {
	enum app_change_state state;
	unsigned waiting; /* workers that have not answered */
	int result;
	char why[APP_WHY_BYTES];
	struct text report;    /* lines for whoever asked */
	uint64_t round;        /* counts reloads, done or refused */
	bool again, reloading; /* asked for meanwhile; this is not the start */
};

/* Clients of the admin socket at a time; the next is told to come again. */
#define APP_ADMIN_CLIENTS_MAX 16
struct app_admin;
struct app_admin_client;

struct app_server {
	enum app_state state;
	struct app_config
		first; /* what takes a restart to change is as it says; only that is whole */
	struct arena memory;
	const struct app_reload *reload;
	struct io_loop *loop;
	struct app_worker *workers;
	unsigned worker_count, drained;
	struct app_shared shared;
	struct app_sampler sampler;
	struct app_next now, next; /* workers look at `next` while they change */
	struct app_change change;
	struct app_door door; /* accept = main */
	unsigned stops;       /* asked for while the server could not */
	struct io_timer drain_timer;

	struct io_fd signal_fd;
	struct io_op signal_op;
	struct app_admin *admin;
	struct app_user user;
	struct app_pid_file pid_file;
	struct app_log_file log_file;
	struct app_notify notify;
	struct io_timer watchdog;

	/* What others read: set once, or atomic. */
	char engine[16], features[256], file[4096];
	uint64_t started_ns;
	int64_t started_unix_s;
	_Atomic uint64_t generation;
	_Atomic int64_t loaded_unix_s;
	_Atomic bool draining;

	int result;
	char *why;
	size_t why_len;
};

/* server.c: SIGTERM, SIGINT, `stop`: drains; when it does already and `cut` is set, cuts. */
void app_stop(struct app_server *, bool cut);
/* The start, or a reload, came to its end; result is 0 or -errno. */
void app_changed(struct app_server *, int result);
/* To every worker that still takes orders; so many do. */
unsigned app_order_all(struct app_server *, enum app_order);

/* Logs the addresses and calls reload->ready; workers are about to accept. */
void app_announce(struct app_server *);

/* limits.c: raises the soft limit of open files to the hard one. */
void app_limits_raise(void);
/* How many connections a worker takes: as configured, and not more than the limit of open files has room for. */
void app_limits_connections(const struct app_server *, struct app_config *);

/* reload.c: the steps of a change. Each: 0, or -errno with a sentence in change.why. */
int app_change_plan(struct app_server *, struct app_config *); /* takes over the reference */
int app_change_open_sockets(struct app_server *);
int app_change_open_logs(struct app_server *);
/* Sends workers off; app_changed follows. */
void app_change_send(struct app_server *);
/* Undoes what was planned and opened. */
void app_change_undo(struct app_server *);
void app_change_answered(struct app_server *, int result);
/* Reads the configuration anew, now or after the change that is under way. */
void app_reload_begin(struct app_server *);
void app_reload_end(struct app_server *, int result);

/* signals.c */
int app_signals_watch(struct app_server *);
void app_signals_close(struct app_server *);
/* Pings the service manager as long as every worker's loop turns. */
void app_watchdog_start(struct app_server *);

/* accept.c: accept = main. */
void app_accept_init(struct app_server *);
bool app_accept_is_main(const struct app_server *);
void app_accept_open_fresh(struct app_server *);

/* admin_server.c. 0, or -errno with a sentence in why; NULL-safe after that. */
int app_admin_open(struct app_server *);
/* Begins to answer; before that, who connects waits. */
int app_admin_start(struct app_server *);
/* admin_change.c: the command `server` without its first word. True: it was done; lines for the answer in any case. */
bool app_admin_change(struct app_server *, struct str line, struct text *answer);
/* A reload is done: answers everybody who waited for it. */
void app_admin_reloaded(struct app_server *, int result);
void app_admin_close(struct app_server *);
/* After the loop has come to rest. */
void app_admin_free(struct app_server *);

/* snapshot.c: the contract of status_config.collect, with the server as its owner. */
int app_collect(void *server, struct arena *, struct status_snapshot *);

#endif
