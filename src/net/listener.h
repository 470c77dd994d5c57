/* internal: listening sockets: opening, inheriting, accepting without spinning. */
#ifndef SLUICE_NET_LISTENER_H
#define SLUICE_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "io/io.h"
#include "net/addr.h"

/* 0 or negative: the system's default, unless a comment says otherwise. */
struct net_options {
	int backlog;                /* 0: somaxconn */
	int recv_bytes, send_bytes; /* SO_RCVBUF, SO_SNDBUF */
	int keepalive_s;            /* SO_KEEPALIVE and TCP_KEEPIDLE */
	int user_timeout_ms;        /* TCP_USER_TIMEOUT */
	int notsent_lowat;          /* TCP_NOTSENT_LOWAT */
	int fastopen;               /* TCP_FASTOPEN queue */
	int defer_accept_s;         /* TCP_DEFER_ACCEPT */
	int unix_mode;              /* permissions of a Unix socket, e.g. 0660 */
	bool reuseport;             /* SO_REUSEPORT: one socket a worker */
	bool v6only;
};

/*
 * A listening, non-blocking socket, or -errno with a sentence that says the cure in why ("port 80 needs
 * CAP_NET_BIND_SERVICE or root", "address in use: another program listens on :8080"). ":PORT" listens on [::] for
 * both families and on 0.0.0.0 where the machine has no IPv6. A stale Unix socket file is replaced, one
 * that answers is not. TCP_NODELAY is always on and inherited by accepted sockets.
 */
int net_listen(const struct net_addr *, const struct net_options *, char *why, size_t why_len);

/*
 * A bound, non-blocking datagram socket; the same errors. Of the options recv_bytes, send_bytes, reuseport and v6only count.
 * Unix sockets are refused.
 */
int net_bind_datagram(const struct net_addr *, const struct net_options *, char *why,
		      size_t why_len);

/*
 * net_listen for an address as text (net_addr_parse); *bound gets what it is bound to, which tells the port that was
 * chosen for 0.
 */
int net_listen_text(struct str, const struct net_options *, struct net_addr *bound, char *why,
		    size_t why_len);

/*
 * Sockets of systemd (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS): the descriptor bound to this address, marked
 * close-on-exec, or -ENOENT. Each is handed out once per process.
 */
int net_inherited(const struct net_addr *);

struct net_listener;
struct net_listener_events {
	/* A new connection's descriptor; the callee owns it. */
	void (*accepted)(struct net_listener *, int fd);
	/* Out of descriptors: close something idle. False: nothing was idle, so new connections are refused. */
	bool (*starved)(struct net_listener *);
};

/*
 * Accepts on a loop. At EMFILE or ENFILE, when somebody waits: asks `starved` once, else uses a reserve descriptor to accept and close
 * (a quick refusal), logs one rate-limited line, and rests NET_STARVED_MS, so that the loop never spins.
 * Embedded by its owner.
 */
struct net_listener {
	struct io_fd fd;
	struct io_op op;
	struct io_timer rest;
	const struct net_listener_events *events;
	void *owner;
	int reserve;
	struct log_rate log;
	uint64_t accepted, refused;
	void (*stopped)(struct net_listener *);
};
#define NET_STARVED_MS 50
/* Turned away in one go, and taken from the backlog at a stop. */
#define NET_REFUSE_MAX 64
#define NET_DRAIN_MAX 4096

/* Takes over `fd`. 0, or -errno: then it is still the caller's. */
int net_listener_start(struct net_listener *, struct io_loop *, int fd,
		       const struct net_listener_events *, void *owner);
/* Stops accepting and closes; `stopped` from the loop. Connections in the backlog are accepted first. */
void net_listener_stop(struct net_listener *, void (*stopped)(struct net_listener *));

#endif
