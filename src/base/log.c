// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

/* Read by every thread, written at start and at a reload: hence atomic, and in no order with anything else. */
static int log_fd = STDERR_FILENO;
static int log_threshold = LOG_INFO;
static int log_style = LOG_TEXT;
static bool log_may_block = true;
static uint64_t log_lost_count;

void log_setup(int fd, enum log_level level, enum log_format format)
{
	struct stat st;
	bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	__atomic_store_n(&log_fd, fd, __ATOMIC_RELAXED);
	__atomic_store_n(&log_threshold, (int)level, __ATOMIC_RELAXED);
	__atomic_store_n(&log_style, (int)format, __ATOMIC_RELAXED);
	__atomic_store_n(&log_may_block, !regular, __ATOMIC_RELAXED);
}

bool log_wants(enum log_level level)
{
	return level < LOG_OFF && (int)level >= __atomic_load_n(&log_threshold, __ATOMIC_RELAXED);
}

uint64_t log_lost(void)
{
	return __atomic_load_n(&log_lost_count, __ATOMIC_RELAXED);
}

size_t log_put_time(char *to, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / CLOCK_NS_PER_S);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return (size_t)snprintf(to, LOG_TIME_BYTES, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ",
				(tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
				tm.tm_min, tm.tm_sec,
				(unsigned)(realtime_ns / CLOCK_NS_PER_MS % 1000));
}

/*
 * Fills `line` and returns its length. What does not fit, or was cut already, ends in "...".
 */
static size_t put_line(char *line, enum log_level level, enum log_format format, struct str message,
		       bool cut)
{
	const char *tail = format == LOG_JSON ? "\"}\n" : "\n";
	size_t room, taken, n;
	char time[LOG_TIME_BYTES];

	log_put_time(time, clock_realtime_ns());
	n = (size_t)snprintf(line, LOG_LINE_BYTES,
			     format == LOG_JSON ? "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\""
						: "%s %s ",
			     time, level_names[level]);
	room = LOG_LINE_BYTES - n - strlen(tail) - strlen("...");
	n += escape_put(line + n, room, message, format == LOG_JSON ? ESCAPE_JSON : ESCAPE_TEXT,
			&taken);
	if (cut || taken < message.len) {
		memcpy(line + n, "...", 3);
		n += 3;
	}
	memcpy(line + n, tail, strlen(tail));
	return n + strlen(tail);
}

/*
 * A descriptor that we share (a terminal, a pipe of the parent) must not be made non-blocking. A pipe that polls
 * as writable has room for PIPE_BUF bytes, which is more than a line.
 */
static bool would_block(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return __atomic_load_n(&log_may_block, __ATOMIC_RELAXED) &&
	       (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT));
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char message[LOG_LINE_BYTES], line[LOG_LINE_BYTES];
	int saved_errno = errno, fd = __atomic_load_n(&log_fd, __ATOMIC_RELAXED);
	va_list args;

	if (!log_wants(level))
		return;
	va_start(args, fmt);
	int len = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);

	bool cut = len >= (int)sizeof(message);
	struct str s = {message, len < 0 ? 0 : cut ? sizeof(message) - 1 : (size_t)len};
	size_t n = put_line(line, level,
			    (enum log_format)__atomic_load_n(&log_style, __ATOMIC_RELAXED), s, cut);
	ssize_t written = -1;

	if (!would_block(fd)) {
		do
			written = write(fd, line, n);
		while (written < 0 && errno == EINTR);
	}
	if (written != (ssize_t)n)
		__atomic_fetch_add(&log_lost_count, 1, __ATOMIC_RELAXED);
	errno = saved_errno;
}

bool log_rate_allow(struct log_rate *r, uint64_t now_ns, uint64_t *suppressed)
{
	if (now_ns < r->next_ns) {
		r->refused++;
		return false;
	}
	*suppressed = r->refused;
	r->refused = 0;
	r->next_ns = now_ns + CLOCK_NS_PER_S;
	return true;
}
