/* internal: sockets and connections of the simulated world. Only the simulator includes this. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_IO_SIM_NET_H
#define SLUICE_IO_SIM_NET_H

#include "io/sim_world.h"

/* The segments of one direction that are on their way; more are merged into the last. */
#define SIM_SEGMENTS_MAX 32

/* One direction of a connection. Counters are bytes since the beginning; read <= delivered <= written. */
struct sim_dir {
	struct sim_link *link;
	struct sim_event arrive, cut;
	uint8_t *ring; /* send_bytes + recv_bytes */
	uint64_t written, delivered, read;
	uint64_t cut_at; /* scripted: the connection breaks when so many are delivered */
	struct {
		uint64_t upto, due_ns;
	} segments[SIM_SEGMENTS_MAX];
	unsigned first, count;
	uint64_t last_due_ns; /* nothing overtakes */
	uint8_t from;         /* the index of the sending end */
	bool fin, fin_arrived;
	bool blocked; /* the receiver's buffer is full */
};

/* A connection; freed when both ends are closed. dir[i] carries what end[i] sends. */
struct sim_link {
	struct list in_world;
	struct sim_dir dir[2];
	struct sim_socket *end[2];
	uint64_t stall_from_ns, stall_to_ns;
};

enum sim_socket_state {
	SIM_FRESH,      /* made, not connected */
	SIM_LISTENING,  /* has a queue of ends that wait to be accepted */
	SIM_CONNECTING, /* its IO_CONNECT is under way */
	SIM_OPENED,     /* has a link */
	SIM_BROKEN,     /* was reset; what had arrived may still be read */
};

enum sim_side { SIM_RD, SIM_WR };

/* One side of a socket as its loop sees it: is there something that the op there could do? */
struct sim_slot {
	struct list ready;     /* in its loop's list */
	struct sim_event late; /* a wake that is delayed */
	struct sim_socket *socket;
	uint8_t side;
};

struct sim_socket {
	struct sim *world;
	struct io_fd *io;        /* NULL: no loop watches it */
	struct sim_slot slot[2]; /* by side */
	struct sim_event connect;
	struct sim_link *link;
	struct list in_queue; /* of its listener, until accepted */
	struct list queue;    /* a listener's */
	unsigned queued, backlog, tries;
	int fd;    /* -1 until accepted */
	int error; /* told once */
	int connect_result;
	uint8_t state, index; /* link->end[index] == this */
	bool answered, reset_at_close;
	struct sockaddr_storage name, peer;
	socklen_t name_len, peer_len;
};

/* sim_net.c: descriptors and connections. */
struct sim_socket *sim_socket_of(struct sim *, int fd);
/* NULL without memory. */
struct sim_socket *sim_socket_new(struct sim *, int domain);
/* Gives it the lowest free number, or -EMFILE. */
int sim_socket_number(struct sim_socket *);
void sim_socket_close(struct sim_socket *);
/* The outcome goes to sim_connected, later. */
void sim_connect_begin(struct sim_socket *, const struct sockaddr *, socklen_t);
void sim_connect_stop(struct sim_socket *);
/* A descriptor, -EAGAIN, -EMFILE, -ECONNABORTED. */
int sim_accept(struct sim_socket *);

/* sim_link.c: connections. */
/* NULL without memory. */
struct sim_link *sim_link_new(struct sim *, struct sim_socket *, struct sim_socket *);
/* The end is gone for its link, with a reset or in order. */
void sim_link_leave(struct sim_socket *, bool reset);
/* Bytes that have arrived and wait. */
size_t sim_unread(const struct sim_socket *);
/* Bytes, 0 at the end, -EAGAIN, or what the stream has to tell. */
ssize_t sim_take(struct sim_socket *, void *to, size_t);
bool sim_can_take(const struct sim_socket *);
/* The room for at most `max` bytes: its length and where it is; or -EAGAIN, or what the stream has to tell. */
ssize_t sim_put_room(struct sim_socket *, size_t max, struct iovec room[2]);
/* The first n bytes of that room are sent. */
void sim_put_commit(struct sim_socket *, size_t n);
bool sim_can_put(const struct sim_socket *);
int sim_send_end(struct sim_socket *);

/* sim_op.c: ops of loops. */
void sim_wake(struct sim_socket *, enum sim_side);
void sim_connected(struct sim_socket *, int result);

#endif
