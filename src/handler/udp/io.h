/* internal: datagrams in batches: many in one call, and those that the kernel joined sent on as they came. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_UDP_IO_H
#define SLUICE_HANDLER_UDP_IO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Of one call of recvmmsg(2) or sendmmsg(2). */
#define UDP_BATCH 16
#define UDP_SEND_BATCH 64
/* No datagram is larger, nor what the kernel joins (UDP_GRO). */
#define UDP_PACKET_BYTES 65536

union udp_address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Our own address, to which a datagram was sent. */
struct udp_own {
	uint8_t family;     /* 0: not known */
	struct in6_addr ip; /* of AF_INET in the first four bytes */
};

struct udp_packet {
	const uint8_t *bytes;
	uint32_t len;
	uint32_t
		part; /* the kernel joined datagrams of so many bytes, the last may be shorter; 0: it is one */
	bool cut;   /* it was longer: not to be passed on */
	bool apart; /* its parts must be sent one by one */
	union udp_address from;
	struct udp_own to;
};
static inline uint32_t udp_packet_datagrams(const struct udp_packet *p)
{
	return p->part ? (p->len + p->part - 1) / p->part : 1;
}

/* A megabyte, of which the kernel touches what it fills. */
struct udp_batch;
struct udp_batch *udp_batch_new(void);
void udp_batch_free(struct udp_batch *);

/* Asks for what helps: joined datagrams, our own address. True: UDP_SEGMENT works. */
bool udp_prepare(int fd);
/* How many came, in the batch's packets until its next use; 0: none is there; or -errno. */
int udp_receive(struct udp_batch *, int fd, struct udp_packet **);

struct udp_target {
	int fd;
	const union udp_address *to; /* NULL: fd is connected */
	const struct udp_own *from;  /* NULL: the system chooses */
	bool *segments;              /* UDP_SEGMENT works; cleared when it does not */
};
struct udp_sent {
	uint64_t datagrams, bytes, dropped;
};
/*
 * Sends packets from *at on, in order, and moves *at. What there is no room for is dropped: 0. On a connected socket -errno
 * when the other end cannot be reached: the packet at *at, or what is left of it, was not sent.
 */
int udp_send(struct udp_batch *, const struct udp_target *, struct udp_packet *, unsigned count,
	     unsigned *at, struct udp_sent *);

#endif
