// SPDX-License-Identifier: Apache-2.0
#include "observe/access_ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "base/thread.h"

/* A pipe that polls as writable takes this much without blocking. */
#define PIPE_PART_BYTES 4096
/* Looks without a line before the writer goes to sleep. */
#define IDLE_LOOKS 20
#define REPORT_NS (60 * CLOCK_NS_PER_S)

struct access_log {
	char *path;
	int fd;
	int wake_fd; /* eventfd */
	bool regular;
	uint32_t ring_bytes;
	pthread_t thread;

	/* Set by the writer before it sleeps long, cleared by whoever wakes it. */
	bool sleeping;

	/* Under the lock: the first ring, and what was asked for and done. */
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct access_ring *rings;
	uint64_t flush_asked, flush_done;
	int flush_error;
	bool reopen_asked, stop_asked;

	/* The writer's own. */
	struct access_ring *torn; /* a part of its last line is written: it goes on first */
	int error;                /* of the last write; 0: it went through */
	bool complained;          /* in the server's log, and not yet taken back */
	uint64_t report_ns;       /* no complaint before this */
	uint64_t lost_reported;

	uint64_t lost; /* lines of rings that are gone, and those that a rotation or the end cut */
};

static void wake(struct access_log *log)
{
	uint64_t one = 1;
	ssize_t n = write(log->wake_fd, &one, sizeof(one));

	/* A counter that is full wakes as well. */
	(void)n;
}

bool access_ring_put(struct access_ring *r, const char *line, size_t n)
{
	uint32_t size = r->mask + 1, at = (uint32_t)r->head & r->mask;
	size_t first = SL_MIN(n, size - at);
	uint64_t used = r->head - r->tail_seen;

	assert(n > 0 && line[n - 1] == '\n');
	if (SL_UNLIKELY(n > size - used)) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		used = r->head - r->tail_seen;
		if (n > size - used) {
			__atomic_store_n(&r->lost, r->lost + 1, __ATOMIC_RELAXED);
			return false;
		}
	}
	memcpy(r->bytes + at, line, first);
	memcpy(r->bytes, line + first, n - first);
	__atomic_store_n(&r->head, r->head + n, __ATOMIC_RELEASE);

	/*
	 * The half is passed by what the worker knows. tail_seen may be old: then the writer is woken once too
	 * often. A writer that falls asleep at this very moment sees the line after ACCESS_IDLE_POLL_MS: a fence
	 * for every line would cost more than that is worth.
	 */
	if (SL_UNLIKELY(used < size / 2 && used + n >= size / 2)) {
		r->tail_seen = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
		if (r->head - r->tail_seen >= size / 2)
			wake(r->log);
	}
	if (SL_UNLIKELY(__atomic_load_n(&r->log->sleeping, __ATOMIC_RELAXED)) &&
	    __atomic_exchange_n(&r->log->sleeping, false, __ATOMIC_RELAXED))
		wake(r->log);
	return true;
}

struct access_ring *access_ring_open(struct access_log *log)
{
	struct access_ring *r = NULL;

	if (posix_memalign((void **)&r, 64, sizeof(*r)))
		return NULL;
	*r = (struct access_ring){.log = log, .mask = log->ring_bytes - 1};
	r->bytes = malloc(log->ring_bytes);
	if (!r->bytes) {
		free(r);
		return NULL;
	}
	pthread_mutex_lock(&log->lock);
	r->next = log->rings;
	log->rings = r;
	pthread_mutex_unlock(&log->lock);
	return r;
}

void access_ring_close(struct access_ring *r)
{
	__atomic_store_n(&r->closed, true, __ATOMIC_RELEASE);
}

static void ring_free(struct access_ring *r)
{
	free(r->bytes);
	free(r);
}

/* A descriptor or -errno. */
static int open_file(const char *path)
{
	int fd;

	if (strcmp(path, "-") == 0)
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			  0640);
	return fd < 0 ? -errno : fd;
}

static void use_file(struct access_log *log, int fd)
{
	struct stat st;

	log->fd = fd;
	log->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Up to n bytes from where the ring stands; the count, or -errno. */
static ssize_t write_part(struct access_log *log, struct access_ring *r, size_t n)
{
	struct pollfd p = {.fd = log->fd, .events = POLLOUT};
	uint32_t at = (uint32_t)r->tail & r->mask;
	ssize_t written;

	if (!log->regular) {
		/* Standard output is shared with others and cannot be made non-blocking. */
		if (poll(&p, 1, 0) == 0)
			return -EAGAIN;
		n = SL_MIN(n, PIPE_PART_BYTES);
	}

	size_t first = SL_MIN(n, r->mask + 1 - at);
	struct iovec iov[2] = {{r->bytes + at, first}, {r->bytes, n - first}};

	do
		written = writev(log->fd, iov, n > first ? 2 : 1);
	while (written < 0 && errno == EINTR);
	if (written <= 0)
		return written < 0 ? -errno : -EIO;
	return written;
}

/* Writes what the ring holds now; 0 or -errno, and then the rest is still there. */
static int write_ring(struct access_log *log, struct access_ring *r)
{
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

	while (r->tail != head) {
		ssize_t n = write_part(log, r, head - r->tail);
		uint8_t last;

		if (n < 0)
			return (int)n;
		last = r->bytes[(r->tail + (uint64_t)n - 1) & r->mask];
		log->torn = last == '\n' ? NULL : r;
		__atomic_store_n(&r->tail, r->tail + (uint64_t)n, __ATOMIC_RELEASE);
	}
	return 0;
}

static void add_lost(struct access_log *log, uint64_t n)
{
	__atomic_store_n(&log->lost, log->lost + n, __ATOMIC_RELAXED);
}

/* Takes closed rings that are empty out of the list. */
static void sweep_rings(struct access_log *log)
{
	pthread_mutex_lock(&log->lock);
	for (struct access_ring **at = &log->rings; *at;) {
		struct access_ring *r = *at;

		if (!__atomic_load_n(&r->closed, __ATOMIC_ACQUIRE) ||
		    __atomic_load_n(&r->head, __ATOMIC_RELAXED) != r->tail) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		add_lost(log, r->lost);
		ring_free(r);
	}
	pthread_mutex_unlock(&log->lock);
}

/* One pass over all rings: *wrote says whether there was anything. */
static int drain(struct access_log *log, bool *wrote)
{
	struct access_ring *first;
	int error = 0;

	*wrote = false;
	if (log->torn)
		error = write_ring(log, log->torn);
	pthread_mutex_lock(&log->lock);
	first = log->rings;
	pthread_mutex_unlock(&log->lock);
	/* New rings come before `first`, and only this thread takes one away: the rest of the list stands still. */
	for (struct access_ring *r = first; r && !error; r = r->next) {
		uint64_t tail = r->tail;

		error = write_ring(log, r);
		*wrote |= r->tail != tail;
	}
	sweep_rings(log);
	return error;
}

static const char *cure_for(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		return "free some space";
	case -EFBIG:
		return "rotate the file";
	case -EAGAIN:
		return "whoever reads it does not keep up";
	case -EPIPE:
		return "whoever read it has gone: start it, then send SIGUSR1";
	default:
		return "see to the file, then send SIGUSR1";
	}
}

/* At most one complaint a minute, and one line when it is over. */
static void report(struct access_log *log, int error, uint64_t now_ns)
{
	uint64_t lost = access_log_lost(log);
	/* A pipe that is full for a moment is nothing to talk about. */
	bool failing = error && (error != -EAGAIN || lost != log->lost_reported);

	log->error = error;
	if (failing && now_ns >= log->report_ns) {
		log_error("access log %s: %s: %s. Lines wait in memory, then are lost (%" PRIu64
			  " so far)",
			  log->path, err_text(error), cure_for(error), lost);
		log->complained = true;
	} else if (!error && log->complained) {
		log_info("access log %s: written again, %" PRIu64 " lines lost so far", log->path,
			 lost);
		log->complained = false;
		log->lost_reported = lost;
		return;
	} else if (!error && lost != log->lost_reported && now_ns >= log->report_ns) {
		log_warn("access log %s: the file is slower than the requests: use a faster disk. "
			 "%" PRIu64 " lines lost so far",
			 log->path, lost);
	} else {
		return;
	}
	log->report_ns = now_ns + REPORT_NS;
	log->lost_reported = lost;
}

/* The rest of a line whose beginning is in the old file has no place in the new one. */
static void drop_torn(struct access_log *log)
{
	struct access_ring *r = log->torn;
	uint64_t at;

	if (!r)
		return;
	for (at = r->tail; r->bytes[at & r->mask] != '\n'; at++)
		;
	__atomic_store_n(&r->tail, at + 1, __ATOMIC_RELEASE);
	log->torn = NULL;
	add_lost(log, 1);
}

static void reopen(struct access_log *log)
{
	int fd = open_file(log->path);

	if (fd < 0) {
		log_error(
			"access log %s: cannot be opened again: %s. The old file stays in use; see that the "
			"user of the server may write there, then send SIGUSR1",
			log->path, err_text(fd));
		return;
	}
	close(log->fd);
	use_file(log, fd);
	drop_torn(log);
}

static uint64_t count_lines(const struct access_ring *r)
{
	uint64_t lines = 0;

	for (uint64_t at = r->tail; at != r->head; at++)
		lines += r->bytes[at & r->mask] == '\n';
	return lines;
}

static void wait_for_lines(struct access_log *log, bool idle)
{
	struct pollfd p = {.fd = log->wake_fd, .events = POLLIN};
	uint64_t count;

	if (idle)
		__atomic_store_n(&log->sleeping, true, __ATOMIC_RELAXED);
	if (poll(&p, 1, idle ? ACCESS_IDLE_POLL_MS : ACCESS_POLL_MS) > 0) {
		ssize_t n = read(log->wake_fd, &count, sizeof(count));

		(void)n;
	}
	__atomic_store_n(&log->sleeping, false, __ATOMIC_RELAXED);
}

/* One turn of the writer: drain, what was asked for, report. True when there were lines. */
static bool turn(struct access_log *log)
{
	uint64_t asked;
	bool reopening, wrote, more;
	int error;

	pthread_mutex_lock(&log->lock);
	asked = log->flush_asked;
	reopening = log->reopen_asked;
	log->reopen_asked = false;
	pthread_mutex_unlock(&log->lock);

	error = drain(log, &wrote);
	if (reopening) {
		reopen(log);
		/* What the old file refused may go to the new one. */
		error = drain(log, &more);
		wrote |= more;
	}
	report(log, error, clock_monotonic_ns());

	pthread_mutex_lock(&log->lock);
	log->flush_error = error;
	log->flush_done = asked;
	pthread_cond_broadcast(&log->done);
	pthread_mutex_unlock(&log->lock);
	return wrote;
}

static bool stopping(struct access_log *log)
{
	bool stop;

	pthread_mutex_lock(&log->lock);
	stop = log->stop_asked;
	pthread_mutex_unlock(&log->lock);
	return stop;
}

static void *run(void *arg)
{
	struct access_log *log = arg;
	unsigned idle = 0;
	uint64_t deadline_ns;

	while (!stopping(log)) {
		idle = turn(log) ? 0 : idle + 1;
		wait_for_lines(log, idle > IDLE_LOOKS && !log->error);
	}
	deadline_ns = clock_monotonic_ns() + ACCESS_CLOSE_MS * CLOCK_NS_PER_MS;
	turn(log);
	while (log->error && clock_monotonic_ns() < deadline_ns) {
		wait_for_lines(log, false);
		turn(log);
	}
	base_thread_exit();
	return NULL;
}

static int start_writer(struct access_log *log)
{
	sigset_t all, old;
	int error;

	/* Signals are for the threads that expect them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&log->thread, NULL, run, log);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!error)
		pthread_setname_np(log->thread, "sluice-log");
	return -error;
}

static void log_free(struct access_log *log)
{
	if (log->fd >= 0)
		close(log->fd);
	if (log->wake_fd >= 0)
		close(log->wake_fd);
	pthread_mutex_destroy(&log->lock);
	pthread_cond_destroy(&log->done);
	free(log->path);
	free(log);
}

static int log_start(struct access_log *log, const char *path)
{
	int fd;

	log->path = strdup(path);
	if (!log->path)
		return -ENOMEM;
	log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (log->wake_fd < 0)
		return -errno;
	fd = open_file(path);
	if (fd < 0)
		return fd;
	use_file(log, fd);
	return start_writer(log);
}

int access_log_open(struct access_log **out, const char *path, uint32_t ring_bytes)
{
	struct access_log *log = malloc(sizeof(*log));
	int error;

	assert(ring_bytes >= ACCESS_RING_BYTES_MIN && (ring_bytes & (ring_bytes - 1)) == 0);
	if (!log)
		return -ENOMEM;
	*log = (struct access_log){.fd = -1, .wake_fd = -1, .ring_bytes = ring_bytes};
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->done, NULL);
	error = log_start(log, path);
	if (error) {
		log_free(log);
		return error;
	}
	*out = log;
	return 0;
}

void access_log_reopen(struct access_log *log)
{
	pthread_mutex_lock(&log->lock);
	log->reopen_asked = true;
	pthread_mutex_unlock(&log->lock);
	wake(log);
}

int access_log_flush(struct access_log *log)
{
	uint64_t mine;
	int error;

	pthread_mutex_lock(&log->lock);
	mine = ++log->flush_asked;
	wake(log);
	while (log->flush_done < mine)
		pthread_cond_wait(&log->done, &log->lock);
	error = log->flush_error;
	pthread_mutex_unlock(&log->lock);
	return error;
}

uint64_t access_log_lost(struct access_log *log)
{
	uint64_t lost;

	pthread_mutex_lock(&log->lock);
	lost = __atomic_load_n(&log->lost, __ATOMIC_RELAXED);
	for (const struct access_ring *r = log->rings; r; r = r->next)
		lost += __atomic_load_n(&r->lost, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&log->lock);
	return lost;
}

void access_log_close(struct access_log *log)
{
	uint64_t left = 0;

	if (!log)
		return;
	pthread_mutex_lock(&log->lock);
	log->stop_asked = true;
	pthread_mutex_unlock(&log->lock);
	wake(log);
	pthread_join(log->thread, NULL);
	while (log->rings) {
		struct access_ring *r = log->rings;

		log->rings = r->next;
		left += count_lines(r);
		ring_free(r);
	}
	if (left)
		log_error("access log %s: the last %" PRIu64 " lines could not be written: %s",
			  log->path, left, err_text(log->error));
	log_free(log);
}
