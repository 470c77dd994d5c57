/* internal: levelled log lines as text or JSON, whole lines, one write(2) each. */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };

/* The longest line with its newline; longer messages are cut and end in "...". */
#define LOG_LINE_BYTES 2048

/* "2026-11-21T08:00:00.123Z" with its terminator, as in RFC 3339. */
#define LOG_TIME_BYTES 25

/*
 * Process-wide; default: LOG_INFO as text to descriptor 2. Any thread may log. Control characters of a
 * message are escaped, so that a peer's bytes cannot forge a line. A write that would block or fails is
 * counted (log_lost), never waited for.
 */
void log_setup(int fd, enum log_level, enum log_format);
bool log_wants(enum log_level);
void log_write(enum log_level, const char *fmt, ...) SL_PRINTF(2, 3);
uint64_t log_lost(void);

/* The time as above; returns its length without the terminator. `to` has LOG_TIME_BYTES. */
size_t log_put_time(char *to, uint64_t realtime_ns);

#define log_debug(...) (log_wants(LOG_DEBUG) ? log_write(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/*
 * At most one line a second from each place: true when the caller may log now; *suppressed gets the number of
 * refused calls since the last line. Zero the struct to begin; one thread.
 */
struct log_rate {
	uint64_t next_ns;
	uint64_t refused;
};
bool log_rate_allow(struct log_rate *, uint64_t now_ns, uint64_t *suppressed);

#endif
