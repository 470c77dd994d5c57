/* internal: connections: a byte stream that is a source, and that takes segments. */
#ifndef SLUICE_NET_CONN_H
#define SLUICE_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/seg.h"
#include "base/source.h"
#include "io/io.h"
#include "net/addr.h"

struct conn;

/* A kind of connection: plain here; TLS, mux streams and QUIC streams elsewhere. */
struct conn_ops {
	const char *name;
	int (*send)(struct conn *, struct seg);
	uint8_t *(*reserve)(struct conn *, size_t);
	void (*commit)(struct conn *, size_t);
	void (*flush)(struct conn *);
	void (*shutdown)(struct conn *);
	void (*close)(struct conn *, int why);
	void (*unpull)(struct conn *, struct seg);
	int (*name_of)(struct conn *, bool peer, struct net_addr *);
	/* Asks below whether nothing has come: neither bytes nor an end. NULL: that is not known. */
	bool (*quiet)(struct conn *);
};

/*
 * Incoming: `source` (end after FIN, fail with the socket's error). Nothing is read unless somebody pulled, but for
 * what a receive that is already armed brings: at most CONN_AHEAD_BYTES. From a peer that sends much at once a pull
 * itself reads, up to 128 KiB of what it wants. A pull gives SEG_MEM; one that allows
 * SEG_PIPE stops the receiving into memory and gives, once what came so has been pulled, bytes that were
 * spliced into a leased pipe (net/pipe.h), where the engine can splice.
 * source.close must not be called; conn_close ends both directions.
 * Outgoing: what is sent within a loop turn leaves together at its end, or at conn_flush, in order.
 */
struct conn {
	struct source source;
	const struct conn_ops *ops;
	struct io_loop *loop;
	size_t queued; /* accepted by conn_send, not yet taken by the kernel */
	/*
	 * From the top of the loop, when `queued` fell to CONN_SEND_LOW after conn_send saw it at or over
	 * CONN_SEND_HIGH, when it fell to 0 after conn_want_drained, and once on a failure to send (see error).
	 * NULL: not wanted.
	 */
	void (*drained)(struct conn *, void *consumer);
	/* From the top of the loop, after conn_close, when everything is released; the conn is gone. */
	void (*closed)(void *consumer);
	void *consumer; /* for drained and closed; source.consumer is the puller's */
	uint64_t bytes_in, bytes_out;
	struct conn_names *names; /* net/conn_names.h; NULL: the socket's */
	int error; /* first failure to send (-errno), or 0: then sends are swallowed and released */
	uint8_t caps;         /* seg kinds that are sent without copying */
	uint8_t want_drained; /* see conn_want_drained */
	/* Set by the owner: nothing follows what is queued, and conn_close comes when it has left. FIN then rides on
	 * the last segment. */
	uint8_t last;
};

#define CONN_AHEAD_BYTES 65536
#define CONN_SEND_HIGH (256 * 1024)
#define CONN_SEND_LOW (64 * 1024)
/* The most that conn_reserve promises. */
#define CONN_RESERVE_MAX 8192

/*
 * Takes over the segment in every case. MEM of a few hundred bytes may be copied to join its neighbours. PIPE is
 * spliced out at its turn. 0, or
 * -errno (also in conn->error). FILE is read at the time of sending: a file that ended early is -ENODATA,
 * and the connection is then reset at close so that the cut shows.
 */
static inline int conn_send(struct conn *c, struct seg s)
{
	return c->ops->send(c, s);
}

/* n <= CONN_RESERVE_MAX contiguous bytes of the output to write into; NULL without memory or after an error. */
static inline uint8_t *conn_reserve(struct conn *c, size_t n)
{
	return c->ops->reserve(c, n);
}

/* The first n bytes of the last reservation are output. */
static inline void conn_commit(struct conn *c, size_t n)
{
	c->ops->commit(c, n);
}

/* Sends what is queued now and not at the end of the turn. `drained` still comes only from the top of the loop. */
static inline void conn_flush(struct conn *c)
{
	c->ops->flush(c);
}

/*
 * Gives back input that was pulled from it, to be pulled again; takes the segment over. For handing a conn on: who waited
 * is not woken any more.
 */
static inline void conn_unpull(struct conn *c, struct seg s)
{
	c->ops->unpull(c, s);
}

/* True while more should not be sent; `drained` will come. */
static inline bool conn_full(const struct conn *c)
{
	return c->queued >= CONN_SEND_HIGH;
}

/* Asks for `drained` when everything queued has left. */
void conn_want_drained(struct conn *);

/* Sends FIN after what is queued. Receiving goes on. */
static inline void conn_shutdown(struct conn *c)
{
	c->ops->shutdown(c);
}

/*
 * CONN_LINGER: what is queued is sent first, then FIN, then the peer's rest is read away for at most CONN_LINGER_MS
 * (so that the kernel does not reset what the peer has not read yet: RFC 9112 section 9.6), then closed. CONN_DONE:
 * the same without waiting for the peer, which has said that it sends no more. why < 0: what is queued is
 * dropped and the peer gets a reset; also allowed later, to cut an orderly close short. No wake and no drained
 * after this; `closed` comes last.
 */
enum conn_end { CONN_LINGER = 0, CONN_DONE = 1 };
static inline void conn_close(struct conn *c, int why)
{
	c->ops->close(c, why);
}
#define CONN_LINGER_MS 2000
#define CONN_LINGER_BYTES (256 * 1024)

int conn_names_get(const struct conn *, bool peer, struct net_addr *);
/* The peer's address, or our own, or what conn_set_names said. 0 or -errno. Asked for when needed, not for each connection. */
static inline int conn_name(struct conn *c, bool peer, struct net_addr *a)
{
	return c->names ? conn_names_get(c, peer, a) : c->ops->name_of(c, peer, a);
}

/* TCP or Unix; takes over a connected `fd` (on failure it is closed). From a pool of the thread. */
struct conn *conn_plain_new(struct io_loop *, int fd);

#endif
