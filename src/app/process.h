/* internal: what the server does as a process: its user, its pid file, its log, and what it tells the service manager. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_PROCESS_H
#define SLUICE_APP_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "app/config.h"

/* Whom to become. Names or numbers. */
struct app_user {
	bool wanted; /* user or group was given */
	uid_t uid;
	gid_t gid;
	char name[64]; /* for initgroups; empty when the user has no name */
};

/* 0; -ENOENT and a sentence in why: no such user or group. */
int app_user_find(struct app_user *, struct str user, struct str group, char *why, size_t why_len);
/*
 * Becomes it, for good: groups, group, user, and then no capability is left. Before any thread begins. 0, or -errno with
 * a sentence in why; then the process must not go on. Nothing to do when it is that user already.
 */
int app_user_become(const struct app_user *, char *why, size_t why_len);

/* The file with the number of the process. It is locked while the server runs: so a stale one is known. */
struct app_pid_file {
	int fd; /* -1: none */
	const char *path;
};
/*
 * An empty path: none. 0, or -errno with a sentence in why: -EEXIST: a server is running. `path` stays the
 * caller's and must outlive the file.
 */
int app_pid_file_make(struct app_pid_file *, struct str path, char *why, size_t why_len);
/* Removes it, or empties it where the folder is closed to the user that the process has become. */
void app_pid_file_remove(struct app_pid_file *);

/* Where the server's log goes. Zero fd and path to begin; the default is standard error. */
struct app_log_file {
	int fd; /* -1: standard error. Its number stays the same when the file changes: other threads write to it */
	char *path; /* NULL: standard error */
};
#define APP_LOG_FILE_NONE ((struct app_log_file){.fd = -1})
/* Level, format and file as told. 0, or -errno with a sentence in why, and all is as before. */
int app_log_use(struct app_log_file *, const struct app_log *, char *why, size_t why_len);
/* Opens the path again, after a rotation. On failure the old file stays in use, and an error is logged in it. */
void app_log_reopen(struct app_log_file *, const struct app_log *);
/* Back to standard error. */
void app_log_leave(struct app_log_file *);

/* The service manager: sd_notify(3), by NOTIFY_SOCKET. */
struct app_notify {
	int fd; /* -1: nobody wants to know */
	struct sockaddr_un addr;
	socklen_t len;
	uint64_t watchdog_ms; /* how often it wants to hear WATCHDOG=1 at least; 0: never */
};
void app_notify_init(struct app_notify *);
/* Never waits: what the manager does not take at once is lost, and a warning says so. */
void app_notify_send(const struct app_notify *, const char *fmt, ...) SL_PRINTF(2, 3);
void app_notify_close(struct app_notify *);

#endif
