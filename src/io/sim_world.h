/* internal: the inside of the simulator, the world, its time, its loops and its files. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_IO_SIM_WORLD_H
#define SLUICE_IO_SIM_WORLD_H

#include "base/list.h"
#include "io/backend.h"
#include "io/sim.h"

/* Something that will happen. Embedded; zeroed when idle. Its place in the queue is reserved by its owner. */
struct sim_event {
	uint64_t due_ns, seq;
	uint32_t at; /* 1 + its index in the queue; 0: idle */
	void (*fire)(struct sim *, struct sim_event *);
};

/* An op without an io_fd. */
struct sim_job {
	struct list in_world;
	struct sim_event event;
	struct io_op *op;
};

struct sim_loop {
	struct list in_world;
	struct sim *world;
	struct io_loop *loop;
	struct list ready;
	bool progress; /* an op finished or called back in this wait */
};

struct sim_rule {
	unsigned skip, count;
	int error;
	enum sim_call call;
};

struct sim {
	struct sim_options o;
	uint64_t now_ns, random, trace_hash, event_seq;
	struct sim_event **events; /* a binary heap by time, then by age */
	uint32_t event_count, event_room, event_reserved;
	struct list loops, links, jobs;
	unsigned loop_count, link_count, job_count, fd_count, fd_hint;
	struct sim_socket **fds;
	uint16_t next_port;
	struct sim_rule rules[SIM_RULES_MAX];
	uint64_t disk_room;
	bool driving, stopped;
};

/* sim.c */
bool sim_chance(struct sim *, uint16_t per_mille);
/* min <= result <= max. */
uint64_t sim_between(struct sim *, uint64_t min, uint64_t max);
uint64_t sim_latency(struct sim *);
/* True when a scripted rule hits this call; *error gets its (positive) error. */
bool sim_rule_hits(struct sim *, enum sim_call, int *error);
void sim_trace(struct sim *, const char *what, int64_t a, int64_t b);
/* Room for n events more (or fewer), so that scheduling cannot fail. 0 or -ENOMEM. */
int sim_events_reserve(struct sim *, int n);
void sim_event_at(struct sim *, struct sim_event *, uint64_t due_ns);
void sim_event_stop(struct sim *, struct sim_event *);

int sim_loop_init(struct io_loop *, const struct io_options *, char *why, size_t why_len);
void sim_loop_fini(struct io_loop *);
int sim_loop_wait(struct io_loop *, int64_t timeout_ns);
uint64_t sim_loop_now_ns(struct io_loop *);

/* sim_op.c */
void sim_drain(struct sim_loop *);
void sim_jobs_drop(struct sim *);

/* sim_net.c */
void sim_drop_all(struct sim *);

#endif
