// SPDX-License-Identifier: Apache-2.0
// The client of the admin socket, for the command line: blocking, bounded in time and in bytes.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/admin.h"
#include "base/clock.h"

#define READ_BYTES 65536

/* Waits for the events until the deadline. */
static int wait_for(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {fd, events, 0};

	for (;;) {
		uint64_t now = clock_monotonic_ns();
		int n;

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		n = poll(&p, 1, (int)((deadline_ns - now) / CLOCK_NS_PER_MS) + 1);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int send_line(int fd, const char *command, uint64_t deadline_ns)
{
	char line[APP_ADMIN_LINE_BYTES];
	int len = snprintf(line, sizeof(line), "%s\n", command);
	int sent = 0;

	if (len >= (int)sizeof(line))
		return -E2BIG;
	while (sent < len) {
		ssize_t n =
			send(fd, line + sent, (size_t)(len - sent), MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = n < 0 ? -errno : 0;

		if (n > 0)
			sent += (int)n;
		else if (err == -EAGAIN)
			err = wait_for(fd, POLLOUT, deadline_ns);
		if (err < 0 && err != -EINTR)
			return err;
	}
	return 0;
}

/* Up to the end of the connection. What one buffer does not hold goes on in one of twice the size. */
static int receive(int fd, struct arena *arena, struct str *all, uint64_t deadline_ns)
{
	size_t cap = READ_BYTES, len = 0;
	char *to = arena_alloc(arena, cap);

	while (to) {
		ssize_t n;
		int err = wait_for(fd, POLLIN, deadline_ns);

		if (err < 0)
			return err;
		n = recv(fd, to + len, cap - len, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (n == 0) {
			*all = (struct str){to, len};
			return 0;
		}
		len += n > 0 ? (size_t)n : 0;
		if (len < cap)
			continue;
		if (cap >= APP_ADMIN_ANSWER_BYTES)
			return -EPROTO;
		char *more = arena_alloc(arena, cap * 2);

		if (more)
			memcpy(more, to, len);
		to = more;
		cap *= 2;
	}
	return -ENOMEM;
}

int app_admin_request(const struct net_addr *admin, const char *command, struct arena *arena,
		      struct str *answer)
{
	uint64_t deadline_ns = clock_monotonic_ns() + APP_ADMIN_TIMEOUT_MS * CLOCK_NS_PER_MS;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct str all = STR("");
	int err;

	*answer = STR("");
	if (fd < 0)
		return -errno;
	err = connect(fd, &admin->u.sa, admin->len) < 0 ? -errno
							: send_line(fd, command, deadline_ns);
	if (err == 0)
		err = receive(fd, arena, &all, deadline_ns);
	close(fd);
	if (err < 0)
		return err;
	if (str_starts(all, STR("ok\n"))) {
		*answer = str_skip(all, 3);
		return 0;
	}
	if (!str_starts(all, STR("error\n")))
		return -EPROTO;
	*answer = str_skip(all, 6);
	return -EREMOTEIO;
}
