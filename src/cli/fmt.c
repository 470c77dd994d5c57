// SPDX-License-Identifier: Apache-2.0
// sluice fmt: prints a configuration in the one canonical form.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/ucl.h"
#include "cli/cli.h"

struct fmt {
	const char *file;
	bool write;
};

static const struct cli_option options[] = {
	{'c', "config", "FILE",
	 "the configuration; ./sluice.conf or /etc/sluice/sluice.conf when not given"},
	{CLI_KEY_WRITE, "write", NULL, "write it back instead of printing it"},
	{0, NULL, NULL, NULL},
};

static bool take(void *owner, int key, const char *arg)
{
	struct fmt *fmt = owner;

	if (key == 'c')
		fmt->file = arg;
	else
		fmt->write = true;
	return true;
}

/* 0 or -errno; -EFBIG above what a configuration may be. */
static int read_text(const char *file, struct arena *arena, struct str *text)
{
	FILE *in = fopen(file, "re");
	char *to = in ? arena_alloc(arena, APP_CONFIG_BYTES_MAX + 1) : NULL;
	int err = in ? 0 : -errno;

	if (!in)
		return err;
	if (to) {
		errno = 0;
		text->p = to;
		text->len = fread(to, 1, APP_CONFIG_BYTES_MAX + 1, in);
		err = ferror(in) ? (errno ? -errno : -EIO) : 0;
	} else {
		err = -ENOMEM;
	}
	fclose(in);
	return err == 0 && text->len > APP_CONFIG_BYTES_MAX ? -EFBIG : err;
}

static int write_whole(int fd, struct str text)
{
	while (text.len > 0) {
		ssize_t n = write(fd, text.p, text.len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			text = str_skip(text, (size_t)n);
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* The new text takes the place of the old in one step; links are followed first. */
static int replace(const char *file, struct str text)
{
	char path[PATH_MAX];
	char temporary[PATH_MAX + 8];
	struct stat st;
	int err, fd;

	if (!realpath(file, path) || stat(path, &st) < 0)
		return -errno;
	snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write_whole(fd, text);
	if (err == 0 && fchmod(fd, st.st_mode & 07777) < 0)
		err = -errno;
	/* The owner stays where that is allowed; who may not give it away owns the file already or could not write it. */
	if (err == 0 && fchown(fd, st.st_uid, st.st_gid) < 0 && errno != EPERM)
		err = -errno;
	if (close(fd) < 0 && err == 0)
		err = -errno;
	if (err == 0 && rename(temporary, path) < 0)
		err = -errno;
	if (err < 0)
		unlink(temporary);
	return err;
}

static int format(const struct fmt *fmt, struct arena *arena)
{
	struct str text = STR(""), out;
	struct ucl_error error;
	struct ucl_node *root;
	int err = read_text(fmt->file, arena, &text);

	if (err < 0) {
		cli_error("%s: %s", fmt->file, strerror(-err));
		return CLI_FAILED;
	}
	root = ucl_parse(text, arena, &error);
	if (!root) {
		fprintf(stderr, "%s:%u:%u: %s\n", fmt->file, error.at.line, error.at.column,
			error.text);
		return CLI_FAILED;
	}
	out = ucl_format(root, arena);
	if (!out.p) {
		cli_error("out of memory");
		return CLI_FAILED;
	}
	if (fmt->write && !str_eq(text, out))
		err = replace(fmt->file, out);
	else if (!fmt->write && fwrite(out.p, 1, out.len, stdout) != out.len)
		err = -EIO;
	if (err == 0)
		return CLI_OK;
	cli_error("%s: %s", fmt->write ? fmt->file : "standard output", strerror(-err));
	return CLI_FAILED;
}

static int run_fmt(const struct cli_command *command, int argc, char **argv)
{
	struct fmt fmt = {.file = NULL};
	struct arena arena;
	int done = cli_parse(command, argc, argv, take, &fmt, NULL);

	if (done != CLI_OK)
		return done;
	fmt.file = cli_config_file(fmt.file);
	arena_init(&arena, 0);
	done = format(&fmt, &arena);
	arena_free(&arena);
	return done;
}

const struct cli_command cli_fmt = {
	.name = "fmt",
	.args = "[-c FILE] [--write]",
	.summary = "print a configuration in its usual form",
	.more = "Tabs, one key per line, comments as they are. A file with a slip of syntax is refused and left alone.",
	.options = options,
	.run = run_fmt,
};
