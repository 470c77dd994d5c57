/* internal: the whole configuration, parsed and validated: what the server is started or reloaded with. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_CONFIG_H
#define SLUICE_APP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "app/parts.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/str.h"
#include "http/router.h"
#include "io/io.h"
#include "net/addr.h"
#include "net/listener.h"

struct status_config;

/* At most this many addresses; a file of configuration is at most this large. */
#define APP_LISTENS_MAX 64
#define APP_CONFIG_BYTES_MAX (1u << 20)
#define APP_WORKERS_MAX 1024
#define APP_ROUTES_MAX 16384 /* of all sites */

enum app_listen_kind { APP_LISTEN_HTTP, APP_LISTEN_TCP, APP_LISTEN_UDP };

/* An address to listen on. Its place in `listens` is the listener number of http_config.routers. */
struct app_listen {
	struct net_addr addr;
	struct net_options options; /* reuseport is the server's to set, by `accept` */
	struct str text;            /* as it was written: ":8080" */
	enum app_listen_kind kind;
	unsigned service;       /* TCP, UDP: its place in parts.services */
	uint8_t proxy_protocol; /* enum proxy_version */
	struct http_cidr
		*trusted; /* whose PROXY header is believed; a Unix socket's peers always are */
	unsigned trusted_count;
};

/* Where a route comes from, for `sluice explain`. */
struct app_origin {
	struct str site;
	uint32_t line; /* 0: from the command line */
};

/* reuseport does not count. */
bool app_options_eq(const struct net_options *, const struct net_options *);

enum app_accept {
	APP_ACCEPT_REUSEPORT, /* each worker listens for itself */
	APP_ACCEPT_MAIN,      /* one accepts and hands connections to the least loaded worker */
};

enum app_access_format {
	APP_ACCESS_OFF,
	APP_ACCESS_COMMON,
	APP_ACCESS_COMBINED,
	APP_ACCESS_JSON,
};

struct app_log {
	enum log_level level;
	enum log_format format;
	struct str file; /* empty: standard error */
};

struct app_access_log {
	enum app_access_format format; /* OFF: none is kept */
	struct str file;               /* empty: standard output */
};

/*
 * Every str is terminated, and empty when the key was not given; paths are absolute. Immutable once a worker
 * has it. It lives exactly as long as `http`: take and drop references there, also to keep this.
 */
struct app_config {
	struct http_config *http;
	const struct app_origin *origins; /* by index of the route */
	struct app_listen *listens;
	unsigned listen_count; /* at least 1 */
	enum io_engine engine;
	unsigned workers; /* 0: one for each CPU this process may use */
	bool pin;         /* each worker to a CPU */
	enum app_accept accept;
	struct str user, group; /* to become after the sockets are open; both exist */
	struct str pid_file;
	struct app_log log;
	struct app_access_log access_log;
	struct net_addr admin; /* a Unix socket; admin.len 0: none */
	uint32_t drain_timeout_ms;
	struct str resolver; /* as upstream_registry_new wants it */
	struct str file;     /* where it was read from; empty: made by the command line */
	/* What routes with `status` show: the server sets its members before a worker sees this. NULL: no such route. */
	struct status_config *status;
	struct app_parts parts; /* joined by the server before a worker sees them */
	/* What is allowed but hardly meant: "file:line:column: ..." */
	const struct str *warnings;
	unsigned warning_count;
	struct arena arena; /* shared; holds all of this but `http` */
};

/* What the command line says; it wins over the file, at a reload too. */
struct app_overrides {
	const char *const *listens; /* replace those of every site */
	unsigned listen_count;
	int workers;       /* -1: as the file says */
	int engine;        /* enum io_engine; -1 */
	int access_format; /* enum app_access_format, then to standard output; -1 */
	int log_level;     /* enum log_level; -1 */
};
#define APP_OVERRIDES_NONE \
	((struct app_overrides){.workers = -1, .engine = -1, .access_format = -1, .log_level = -1})

/* What was wrong, one "file:line:column: message" a line, in the order of the file. */
#define APP_ERRORS_MAX 20
struct app_errors {
	struct arena arena; /* app_errors_init, app_errors_free */
	struct str lines[APP_ERRORS_MAX];
	uint32_t at[APP_ERRORS_MAX][2]; /* line and column; 0: of the file as a whole */
	unsigned count;
	unsigned more; /* those that did not fit */
};
void app_errors_init(struct app_errors *);
void app_errors_free(struct app_errors *);

/* 0 and *made, which has one reference; -EINVAL: see errors; -ENOMEM. NULL overrides: none. */
int app_config_load(const char *file, const struct app_overrides *, struct app_config **made,
		    struct app_errors *);
/*
 * The same from memory. `file` is for messages and for relative paths (to its folder). offline: nothing of
 * the machine is looked at (folders, files, users).
 */
int app_config_parse(struct str text, const char *file, bool offline, const struct app_overrides *,
		     struct app_config **made, struct app_errors *);
/* What `sluice files DIR` serves: one site with one route, listings on, no text anywhere. Listens on :8080 unless told. */
int app_config_files(const char *dir, const struct app_overrides *, struct app_config **made,
		     struct app_errors *);

#endif
