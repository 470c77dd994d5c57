// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/process.h"
#include "base/err.h"

/* A FIFO without a reader is refused and not waited for. */
static int log_file_open(const char *path)
{
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

	return fd < 0 ? -errno : fd;
}

/* Puts `fd` in the place of the file in use, in one step: a line goes to the one or to the other. */
static int log_file_swap(struct app_log_file *file, int fd)
{
	if (file->fd < 0) {
		file->fd = fd;
		return 0;
	}
	int err = dup3(fd, file->fd, O_CLOEXEC) < 0 ? -errno : 0;
	close(fd);
	return err;
}

int app_log_use(struct app_log_file *file, const struct app_log *log, char *why, size_t why_len)
{
	char *path = NULL;
	int err = 0, fd = -1;

	if (log->file.len && (!file->path || strcmp(file->path, log->file.p) != 0)) {
		path = strdup(log->file.p);
		fd = path ? log_file_open(path) : -ENOMEM;
	} else if (!log->file.len && file->path) {
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
		fd = fd < 0 ? -errno : fd;
	} else {
		goto same;
	}
	err = fd < 0 ? fd : log_file_swap(file, fd);
	if (err) {
		snprintf(
			why, why_len,
			"log %s: %s; let the user of the server write there, or choose another file",
			log->file.p, err_text(err));
		free(path);
		return err;
	}
	free(file->path);
	file->path = path;
same:
	log_setup(file->fd < 0 ? STDERR_FILENO : file->fd, log->level, log->format);
	return 0;
}

void app_log_reopen(struct app_log_file *file, const struct app_log *log)
{
	if (!file->path)
		return;
	int fd = log_file_open(file->path);
	int err = fd < 0 ? fd : log_file_swap(file, fd);
	if (err)
		log_error("log %s cannot be opened again: %s. The old file stays in use; let the "
			  "user of the server write there, then send SIGUSR1",
			  file->path, err_text(err));
	else
		log_setup(file->fd, log->level, log->format);
}

void app_log_leave(struct app_log_file *file)
{
	log_setup(STDERR_FILENO, LOG_INFO, LOG_TEXT);
	if (file->fd >= 0)
		close(file->fd);
	free(file->path);
	*file = APP_LOG_FILE_NONE;
}
