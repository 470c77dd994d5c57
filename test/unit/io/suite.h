/* internal: the behavioural suite of the loop: worlds to run it in, ends of connections, recorded operations */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_IO_SUITE_H
#define SLUICE_TEST_IO_SUITE_H

#include <netinet/in.h>

#include "base/compiler.h"
#include "io/io.h"
#include "unit.h"

/*
 * What is below the loop. Tests touch sockets through the loop and through this alone, so that they run in a
 * world without a kernel too.
 */
struct suite_world {
	const char *engine;
	/* Makes suite_loop; 0 or -errno with a sentence in why. */
	int (*open)(char *why, size_t why_len);
	void (*close)(void);
	/* One turn of the loop, sleeping if there is nothing to do. */
	void (*turn)(void);
	/* Turns until nothing more can come of what was done so far. */
	void (*settle)(void);
	/* Two connected, non-blocking ends of a byte stream that knows resets. */
	void (*pair)(int fds[2]);
	/* The same without resets; once full it stays so until the other end reads. */
	void (*pipe)(int fds[2]);
	/* A listener on a loopback address of its choice, which goes to *addr. */
	int (*listen)(struct sockaddr_in *addr, unsigned backlog);
	bool kernel; /* descriptors are the kernel's */
};
extern const struct suite_world suite_sim; /* suite_sim.c */

extern const struct suite_world *suite_world;
extern struct io_loop *suite_loop;

/* Leaves the test as skipped in worlds without a kernel. */
void suite_needs_kernel(void);

#define SUITE_TURNS_MAX 20000
/* Turns until the condition holds; fails when it never does. */
#define suite_until(condition)                                     \
	do {                                                       \
		for (unsigned turn_ = 0; !(condition); turn_++) {  \
			if (turn_ == SUITE_TURNS_MAX)              \
				fail_msg("never: %s", #condition); \
			suite_world->turn();                       \
		}                                                  \
	} while (0)

/* An operation and what became of it. */
struct rec {
	struct io_op op;
	unsigned mores, finals;
	int last;                   /* the latest result */
	uint64_t bytes;             /* received */
	bool corrupt;               /* a byte was not the one of the pattern */
	bool submitting;            /* inside io_submit: a callback now would break the rules */
	void (*then)(struct rec *); /* called at the end of each callback */
	void *arg;
};

/* One end of a connection, or a listener. */
struct end {
	struct io_fd fd;
	struct rec rd, wr;
	uint64_t sent; /* bytes of the pattern */
	struct iovec iov;
	unsigned closed;
};

/* Byte number `at` of the stream that every sender sends and every receiver expects. */
uint8_t suite_pattern(uint64_t at);

void suite_end(struct end *, int fd);
void suite_pair(struct end *, struct end *);
/*
 * For a test that fills one and then expects it to be full: TCP of a kernel acknowledges late, probes a closed
 * window, and so finds room for a little more when nobody has read.
 */
void suite_pipe(struct end *, struct end *);
/* Closes without waiting; suite_until(end->closed) follows. */
void suite_close_begin(struct end *);
void suite_close(struct end *);
void suite_listen(struct end *, struct sockaddr_in *);

/* Fills in the callback and submits; checks that nothing is called back inline. */
void suite_submit(struct end *, struct rec *, enum io_code, unsigned flags);
void suite_submit_connect(struct end *, const struct sockaddr_in *);
/* IO_SEND of n bytes of the pattern, n <= SUITE_SEND_MAX. */
void suite_submit_send(struct end *, size_t n);
#define SUITE_SEND_MAX (1u << 20)
/* Operations without an io_fd: the caller sets code and u. */
void suite_submit_free(struct rec *);
/* Sends exactly n bytes, turning the loop while there is no room. */
void suite_send(struct end *, size_t n);
/* As many as there is room for, at most n. */
size_t suite_try_send(struct end *, size_t n);
/* Sends until there is no room; the end is of suite_pipe. */
void suite_fill(struct end *);
/* Receives until `n` bytes of the pattern have come (one multishot op, which is canceled at the end). */
void suite_recv(struct end *, size_t n);

int suite_ops_run(void);
int suite_net_run(void);
int suite_cancel_run(void);
int suite_file_run(void);
int suite_loop_run(void);

/* A test in a world of its own. */
struct suite_case {
	void (*run)(void **);
};
void suite_run(void **);
int suite_setup(void **);
int suite_teardown(void **);
#define suite_test_with(f, setup, teardown)                          \
	{                                                            \
#f, suite_run, setup, teardown, &(struct suite_case) \
		{                                                    \
			.run = (f)                                   \
		}                                                    \
	}
#define suite_test(f) suite_test_with(f, suite_setup, suite_teardown)

#endif
