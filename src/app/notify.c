// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/process.h"
#include "base/clock.h"
#include "base/err.h"

#define NOTIFY_BYTES 512

static uint64_t notify_number(const char *name)
{
	const char *text = getenv(name);
	uint64_t value;

	return text && str_to_u64(str_from(text), UINT64_MAX / 2, &value) == 0 ? value : 0;
}

static void notify_init_watchdog(struct app_notify *n)
{
	uint64_t usec = notify_number("WATCHDOG_USEC");

	if (getenv("WATCHDOG_PID") && notify_number("WATCHDOG_PID") != (uint64_t)getpid())
		return;
	n->watchdog_ms = usec / 1000;
}

void app_notify_init(struct app_notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	*n = (struct app_notify){.fd = -1, .addr.sun_family = AF_UNIX};
	if (len < 2 || len >= sizeof(n->addr.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(n->addr.sun_path, path, len);
	n->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	/* An abstract name begins with a zero byte, and its length ends it; a path has a zero byte at its end. */
	if (path[0] == '@')
		n->addr.sun_path[0] = '\0';
	else
		n->len++;
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd >= 0)
		notify_init_watchdog(n);
}

void app_notify_send(const struct app_notify *n, const char *fmt, ...)
{
	char text[NOTIFY_BYTES];
	va_list args;

	if (n->fd < 0)
		return;
	va_start(args, fmt);
	int len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (len < 0 || len >= (int)sizeof(text))
		return;
	if (sendto(n->fd, text, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL,
		   (const struct sockaddr *)&n->addr, n->len) < 0)
		log_warn("the service manager (NOTIFY_SOCKET) cannot be told: %s", err_text(errno));
}

void app_notify_close(struct app_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}
