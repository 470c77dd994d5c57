/* internal: the way of access-log lines from workers, which never wait, to one thread that writes the file. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_OBSERVE_ACCESS_RING_H
#define SLUICE_OBSERVE_ACCESS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A ring takes this much by default, some 30 ms of lines at 200,000 a second; a power of two from
 * ACCESS_RING_BYTES_MIN up.
 */
#define ACCESS_RING_BYTES 1048576
#define ACCESS_RING_BYTES_MIN 8192
/* How often the writer looks: while lines come, and when none came for a while (a line wakes it then). */
#define ACCESS_POLL_MS 50
#define ACCESS_IDLE_POLL_MS 1000
/* How long closing waits for a file that does not take the last lines. */
#define ACCESS_CLOSE_MS 1000

struct access_log;

/*
 * Bytes from one worker to the writer, always whole lines. `head` counts what was ever put, `tail` what was ever
 * written. Only the worker writes the first group, only the writer the second.
 */
struct access_ring {
	uint64_t head __attribute__((aligned(64)));
	uint64_t tail_seen; /* the worker's last look at tail */
	uint64_t lost;      /* lines that found no room */
	bool closed;        /* nothing will be put any more */

	uint64_t tail __attribute__((aligned(64)));

	struct access_log *log __attribute__((aligned(64)));
	struct access_ring *next;
	uint8_t *bytes;
	uint32_t mask;
};

/*
 * Opens `path` to append (created with mode 0640), or standard output when it is "-", and starts the
 * writer. A FIFO needs a reader. 0 or -errno, with nothing left behind.
 *
 * While the file takes nothing (a full disk, an error) lines wait in their rings, then new ones are lost
 * and counted. One line in the server's log says so at the start, again each minute, and at the end.
 */
int access_log_open(struct access_log **, const char *path, uint32_t ring_bytes);

/*
 * A ring for a worker, from any thread; NULL without memory. The worker closes it when it ends, and the
 * writer frees it when it is empty.
 */
struct access_ring *access_ring_open(struct access_log *);
void access_ring_close(struct access_ring *);

/*
 * Copies one line, which ends in a newline. False when there was no room: it is lost and counted. Never waits, and
 * makes no system call, but to wake the writer: when the ring passes its half, or after a pause.
 */
bool access_ring_put(struct access_ring *, const char *line, size_t n);

/*
 * Any thread: opens the path again, after a rotation moved the file away. Lines put before go to the old file.
 * When the new file cannot be opened the old one stays in use, and the server's log says so.
 */
void access_log_reopen(struct access_log *);

/*
 * Waits until every line put before, and every reopen asked for before, is done: 0; or until the file refused to
 * take a line: -errno, and the line is still waiting.
 */
int access_log_flush(struct access_log *);

/* Lines lost since the start, from any thread. */
uint64_t access_log_lost(struct access_log *);

/*
 * Every worker has ended: writes what is left (up to ACCESS_CLOSE_MS), stops the writer, and frees all with the
 * rings. Lines that could not be written are counted and said in the server's log. NULL is allowed.
 */
void access_log_close(struct access_log *);

#endif
