/* internal: the simulator: a deterministic world with virtual time and faults, below ordinary loops. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_IO_SIM_H
#define SLUICE_IO_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

/*
 * A world is one thread's. Loops made with IO_ENGINE_SIM and io_options.sim attach to it. Its sockets are byte
 * streams that behave as Linux's do: a close with unread bytes resets, bytes for a closed end bring a reset, an
 * error is told once and then the stream looks ended. Files are real, but every operation on one completes at
 * a later virtual time. A run is a function of the options alone: all chance comes from the seed.
 */
struct sim;

/* Chances per mille. Reads and writes of files include sendfile. */
struct sim_faults {
	uint16_t short_read, short_write; /* of sockets: fewer bytes than could be had */
	uint16_t split;                   /* what was sent at once arrives in pieces */
	uint16_t delay;   /* a segment or a wake comes late, by up to delay_max_ns */
	uint16_t again;   /* try_send says EAGAIN with room left, a wait ends for nothing */
	uint16_t reset;   /* by segment sent: the network breaks the connection */
	uint16_t refuse;  /* by connect */
	uint16_t no_bufs; /* ENOBUFS from a receive into a pooled buffer */
	uint16_t accept_emfile, accept_abort;
	uint16_t open_enoent, open_eacces;
	uint16_t read_eio, read_short,
		read_end; /* read_end: as if the file had been truncated there */
	uint16_t write_eio, write_full, write_short, sync_eio;
	uint16_t slow_file;   /* an operation without an io_fd takes up to slow_max_ns */
	uint16_t cold;        /* io_try_read and io_try_openat say EAGAIN: nothing is in memory */
	uint16_t cancel_race; /* a cancelled op gives its real result when it can */
	uint16_t reorder;     /* what is ready is served out of order */
};

struct sim_options {
	uint64_t seed;
	struct sim_faults faults;
	uint64_t latency_min_ns, latency_max_ns; /* each way; 0, 0: SIM_LATENCY_* */
	uint64_t delay_max_ns, slow_max_ns;      /* 0: SIM_DELAY_MAX_NS */
	uint32_t send_bytes, recv_bytes; /* socket buffers, at least 1; 0: SIM_SOCKBUF_BYTES */
	uint32_t fds_max;                /* open descriptors; 0: SIM_FDS_MAX */
	FILE *trace;                     /* NULL, or where each event is told */
};
#define SIM_LATENCY_MIN_NS 50000ull
#define SIM_LATENCY_MAX_NS 500000ull
#define SIM_DELAY_MAX_NS 200000000ull
#define SIM_SOCKBUF_BYTES 65536u
#define SIM_FDS_MAX 16384u
/* Descriptors of a world are numbers that the kernel never gives, so that a mix-up is an EBADF. */
#define SIM_FD_BASE (1 << 20)

/* Each fault is off, rare or frequent, as the seed says: a different kind of bad day for each seed. */
void sim_faults_pick(uint64_t seed, struct sim_faults *);

/* 0 or -ENOMEM, -EINVAL (a chance over 1000). */
int sim_new(const struct sim_options *, struct sim **);
/* All loops are freed. What is still open is dropped. */
void sim_free(struct sim *);

/* Faults may change while the world runs: a calm start, a bad middle. */
void sim_set_faults(struct sim *, const struct sim_faults *);
uint64_t sim_now_ns(const struct sim *);
/* 0 <= result < n, from the world's chance: for tests that must choose. n >= 1. */
uint64_t sim_random(struct sim *, uint64_t n);
/* A number that two equal runs share: it covers every event, its time and its size, but no content. */
uint64_t sim_trace_hash(const struct sim *);

/* What a test should find at zero when it is over. A connection lives until both ends are closed. */
struct sim_live {
	unsigned fds, connections, file_ops;
};
struct sim_live sim_live(const struct sim *);

enum sim_end {
	SIM_STOPPED,  /* sim_stop was called: the test has what it wanted */
	SIM_TIME,     /* the time is up */
	SIM_DEADLOCK, /* nothing can run, nothing is on its way, no timer is armed */
	SIM_LIVELOCK, /* SIM_TURNS_MAX turns and the time did not advance: somebody spins */
};
#define SIM_TURNS_MAX 100000u

/* Runs all loops of the world, and time between their turns, for at most for_ns of virtual time. */
enum sim_end sim_run(struct sim *, uint64_t for_ns);
void sim_stop(struct sim *);
/* For messages of tests. Static storage. */
const char *sim_end_text(enum sim_end);

/* A listening descriptor for IO_ACCEPT; several may share an address. -EMFILE, -EINVAL, -ENOMEM. */
int sim_listen(struct sim *, const struct sockaddr *, socklen_t, unsigned backlog);
/* Two connected ends, as socketpair(2). 0 or -errno. */
int sim_pair(struct sim *, int fds[2]);
/* Closes a descriptor that no loop watches. */
void sim_close(struct sim *, int fd);

/* Scripted faults, by a descriptor of either end where one is asked for; 0 or -errno. */

/* The connection breaks for both ends when exactly `bytes` bytes that fd's end sent have arrived. */
int sim_reset_after(struct sim *, int fd, uint64_t bytes);
/* Nothing arrives on the connection, either way, from now + after_ns for for_ns. */
int sim_stall(struct sim *, int fd, uint64_t after_ns, uint64_t for_ns);

enum sim_call {
	SIM_OPEN,
	SIM_READ,
	SIM_WRITE,
	SIM_SYNC,
	SIM_ACCEPT,
	SIM_CONNECT,
	SIM_RECV,
	SIM_SEND
};
/*
 * After `skip` more of these calls, the next `count` fail with -error. Error 0 is for reads, which then find the
 * end of the file, and for writes, which take one byte. SIM_READ covers sendfile; SIM_RECV and SIM_SEND are by
 * attempt that could move bytes. -ENOSPC: SIM_RULES_MAX rules are still waiting; -EINVAL.
 */
int sim_fail(struct sim *, enum sim_call, unsigned skip, unsigned count, int error);
#define SIM_RULES_MAX 16
/* The disk takes this many bytes more, then -ENOSPC. UINT64_MAX: no end (as at first). */
void sim_disk_room(struct sim *, uint64_t bytes);

#endif
