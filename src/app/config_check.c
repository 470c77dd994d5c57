// SPDX-License-Identifier: Apache-2.0
// What a configuration needs of the machine it is read on.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/config_spec.h"
#include "base/err.h"

void config_check_folder(struct schema_run *run, struct ucl_pos at, struct str folder)
{
	struct stat st;

	if (run->offline || folder.len == 0)
		return;
	if (stat(folder.p, &st) < 0)
		schema_error(run, at, "folder %s: %s (%s)", folder.p, err_text(errno),
			     errno == ENOENT ? "create it, or correct the path"
					     : "let the server reach it");
	else if (!S_ISDIR(st.st_mode))
		schema_error(run, at, "%s is not a folder (name the folder that holds it)",
			     folder.p);
	else if (access(folder.p, R_OK | X_OK) < 0)
		schema_error(run, at,
			     "folder %s cannot be read: %s (chmod o+rx, or run as its owner)",
			     folder.p, err_text(errno));
}

void config_check_place(struct schema_run *run, struct ucl_pos at, struct str file)
{
	char folder[4096];
	size_t len = file.len;
	struct stat st;

	if (run->offline || file.len == 0 || file.len >= sizeof(folder))
		return;
	if (stat(file.p, &st) == 0 && S_ISDIR(st.st_mode)) {
		schema_error(run, at, "%s is a folder (name a file in it)", file.p);
		return;
	}
	while (len > 1 && file.p[len - 1] != '/')
		len--;
	memcpy(folder, file.p, len);
	folder[len] = '\0';
	if (stat(folder, &st) < 0)
		schema_error(run, at, "folder %s: %s (create it, or correct the path)", folder,
			     err_text(errno));
}

/* A number, or a name that the machine knows. */
static bool is_number(struct str s)
{
	uint64_t id;

	return str_to_u64(s, UINT32_MAX - 1, &id) == 0;
}

void config_check_user(struct schema_run *run, struct ucl_pos at, struct str user)
{
	if (!run->offline && user.len > 0 && !is_number(user) && !getpwnam(user.p))
		schema_error(
			run, at,
			"no user \"%s\" on this machine (adduser --system, or correct the name)",
			schema_show(user).text);
}

void config_check_group(struct schema_run *run, struct ucl_pos at, struct str group)
{
	if (!run->offline && group.len > 0 && !is_number(group) && !getgrnam(group.p))
		schema_error(
			run, at,
			"no group \"%s\" on this machine (addgroup --system, or correct the name)",
			schema_show(group).text);
}

/* The whole content, or -errno; -EFBIG above the cap. */
static int read_all(struct arena *arena, int fd, size_t cap, struct str *out)
{
	char *to = arena_alloc(arena, cap + 1);
	size_t n = 0;

	if (!to)
		return -ENOMEM;
	while (n <= cap) {
		ssize_t got = read(fd, to + n, cap + 1 - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	if (n > cap)
		return -EFBIG;
	*out = (struct str){to, n};
	return 0;
}

struct str config_read_page(struct schema_run *run, struct ucl_pos at, struct str file)
{
	struct str body = STR("");
	struct stat st;
	int err = 0;
	int fd;

	if (run->offline)
		return body;
	fd = open(file.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size > CONFIG_PAGE_BYTES_MAX)
		err = -EFBIG;
	else
		err = read_all(run->arena, fd, (size_t)st.st_size, &body);
	if (fd >= 0)
		close(fd);
	if (err == -EFBIG)
		schema_error(run, at, "error page %s is larger than %u kb", file.p,
			     CONFIG_PAGE_BYTES_MAX >> 10);
	else if (err < 0)
		schema_error(run, at, "error page %s: %s", file.p,
			     err == -EINVAL ? "not a regular file" : err_text(err));
	return body;
}
