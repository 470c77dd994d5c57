// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/process.h"
#include "base/err.h"

/* Locked, and still the file that the path names: another server may have removed it in between. -EAGAIN: it has. */
static int pid_file_lock(int fd, const char *path)
{
	struct stat mine, there;

	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EEXIST : -errno;
	if (fstat(fd, &mine))
		return -errno;
	return stat(path, &there) || there.st_ino != mine.st_ino || there.st_dev != mine.st_dev
		     ? -EAGAIN
		     : 0;
}

static int pid_file_open(const char *path)
{
	/* A few times at most: each turn needs a server that ended at that moment. */
	for (unsigned i = 0; i < 10; i++) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			return -errno;
		int err = pid_file_lock(fd, path);
		if (!err)
			return fd;
		close(fd);
		if (err != -EAGAIN)
			return err;
	}
	return -EAGAIN;
}

static int pid_file_write(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0))
		return -errno;
	ssize_t written = pwrite(fd, text, (size_t)n, 0);
	if (written != n)
		return written < 0 ? -errno : -ENOSPC;
	return 0;
}

int app_pid_file_make(struct app_pid_file *file, struct str path, char *why, size_t why_len)
{
	*file = (struct app_pid_file){.fd = -1, .path = path.p};
	if (!path.len)
		return 0;
	int fd = pid_file_open(path.p);
	if (fd == -EEXIST)
		snprintf(
			why, why_len,
			"pid file %s: a server is running with it already: stop that one first (sluice "
			"stop), or choose another file",
			path.p);
	else if (fd < 0)
		snprintf(why, why_len,
			 "pid file %s: %s; its folder must exist and be writable at the start",
			 path.p, err_text(fd));
	if (fd < 0)
		return fd;
	int err = pid_file_write(fd);
	if (err) {
		snprintf(why, why_len, "pid file %s: %s", path.p, err_text(err));
		unlink(path.p);
		close(fd);
		return err;
	}
	file->fd = fd;
	return 0;
}

void app_pid_file_remove(struct app_pid_file *file)
{
	if (file->fd < 0)
		return;
	if (unlink(file->path) && ftruncate(file->fd, 0))
		(void)errno; /* the lock ends with us, and says the same */
	close(file->fd);
	file->fd = -1;
}
