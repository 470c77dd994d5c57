// SPDX-License-Identifier: Apache-2.0
#include "handler/udp/io.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/compiler.h"

/* In <linux/udp.h>, which does not go with <netinet/udp.h>; older C libraries lack them. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define UDP_CONTROL_BYTES 128

struct udp_control {
	_Alignas(struct cmsghdr) uint8_t bytes[UDP_CONTROL_BYTES];
};

struct udp_batch {
	struct udp_packet packets[UDP_BATCH];
	struct mmsghdr in[UDP_BATCH];
	struct iovec in_iov[UDP_BATCH];
	struct udp_control in_control[UDP_BATCH];
	struct mmsghdr out[UDP_SEND_BATCH];
	struct iovec out_iov[UDP_SEND_BATCH];
	struct udp_control out_control[UDP_SEND_BATCH];
	uint8_t bytes[UDP_BATCH][UDP_PACKET_BYTES];
};

struct udp_batch *udp_batch_new(void)
{
	struct udp_batch *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	memset(b->in, 0, sizeof(b->in));
	memset(b->out, 0, sizeof(b->out));
	for (unsigned i = 0; i < UDP_BATCH; i++) {
		b->in_iov[i] = (struct iovec){b->bytes[i], UDP_PACKET_BYTES};
		b->in[i].msg_hdr.msg_iov = &b->in_iov[i];
		b->in[i].msg_hdr.msg_iovlen = 1;
		b->in[i].msg_hdr.msg_name = &b->packets[i].from;
		b->in[i].msg_hdr.msg_control = &b->in_control[i];
	}
	for (unsigned i = 0; i < UDP_SEND_BATCH; i++) {
		b->out[i].msg_hdr.msg_iov = &b->out_iov[i];
		b->out[i].msg_hdr.msg_iovlen = 1;
	}
	return b;
}

void udp_batch_free(struct udp_batch *b)
{
	free(b);
}

bool udp_prepare(int fd)
{
	const int on = 1, none = 0;

	/* Each is a help that a kernel may lack; only one of the second and third fits the family. */
	(void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof(none)) == 0;
}

/* Receiving. */

static void packet_control(struct udp_packet *p, struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int part;
			memcpy(&part, CMSG_DATA(c), sizeof(part));
			p->part = part > 0 && (uint32_t)part < p->len ? (uint32_t)part : 0;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			/* On an IPv6 socket the other one says the same, and can be sent back. */
			if (p->to.family)
				continue;
			p->to.family = AF_INET;
			memcpy(&p->to.ip, &info.ipi_addr, sizeof(info.ipi_addr));
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			memcpy(&info, CMSG_DATA(c), sizeof(info));
			p->to.family = AF_INET6;
			p->to.ip = info.ipi6_addr;
		}
	}
}

int udp_receive(struct udp_batch *b, int fd, struct udp_packet **packets)
{
	int n;

	for (unsigned i = 0; i < UDP_BATCH; i++) {
		b->in[i].msg_hdr.msg_namelen = sizeof(b->packets[i].from);
		b->in[i].msg_hdr.msg_controllen = UDP_CONTROL_BYTES;
	}
	do
		n = recvmmsg(fd, b->in, UDP_BATCH, MSG_DONTWAIT, NULL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct udp_packet *p = &b->packets[i];
		p->bytes = b->bytes[i];
		p->len = b->in[i].msg_len;
		p->part = 0;
		p->cut = (b->in[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
		p->apart = false;
		p->to = (struct udp_own){0};
		packet_control(p, &b->in[i].msg_hdr);
	}
	*packets = b->packets;
	return n;
}

/* Sending. */

static void control_add(struct msghdr *m, int level, int type, const void *value, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), value, len);
	m->msg_controllen += CMSG_SPACE(len);
}

static void control_fill(struct udp_batch *b, unsigned i, const struct udp_target *t, uint32_t part)
{
	struct msghdr *m = &b->out[i].msg_hdr;

	m->msg_control = &b->out_control[i];
	m->msg_controllen = 0;
	if (part) {
		uint16_t size = (uint16_t)part;
		control_add(m, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
	}
	if (t->from && t->from->family == AF_INET) {
		struct in_pktinfo info = {0};
		memcpy(&info.ipi_spec_dst, &t->from->ip, sizeof(info.ipi_spec_dst));
		control_add(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else if (t->from && t->from->family == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_addr = t->from->ip};
		control_add(m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
	if (!m->msg_controllen)
		m->msg_control = NULL;
}

static void out_put(struct udp_batch *b, unsigned i, const struct udp_target *t,
		    const uint8_t *bytes, uint32_t len, uint32_t part)
{
	struct msghdr *m = &b->out[i].msg_hdr;

	b->out_iov[i] = (struct iovec){(void *)(uintptr_t)bytes, len};
	m->msg_name = (void *)(uintptr_t)t->to;
	m->msg_namelen = 0;
	if (t->to)
		m->msg_namelen =
			t->to->sa.sa_family == AF_INET ? sizeof(t->to->v4) : sizeof(t->to->v6);
	control_fill(b, i, t, part);
}

/* As many messages as fit. A packet is one, or as many as it has parts. */
static unsigned out_gather(struct udp_batch *b, const struct udp_target *t,
			   const struct udp_packet *p, unsigned count)
{
	unsigned n = 0;

	for (unsigned i = 0; i < count && n < UDP_SEND_BATCH; i++) {
		if (!p[i].part || (*t->segments && !p[i].apart)) {
			out_put(b, n++, t, p[i].bytes, p[i].len, p[i].part);
			continue;
		}
		for (uint32_t at = 0; at < p[i].len && n < UDP_SEND_BATCH; at += p[i].part)
			out_put(b, n++, t, p[i].bytes + at, SL_MIN(p[i].part, p[i].len - at), 0);
	}
	return n;
}

/* The message of so many bytes at the beginning of the packet is done with. The datagrams that it was. */
static uint32_t packet_pass(struct udp_packet *p, unsigned *at, size_t len)
{
	uint32_t n = len == p->len ? udp_packet_datagrams(p) : 1;

	p->bytes += len;
	p->len -= (uint32_t)len;
	if (!p->len)
		++*at;
	else if (p->len <= p->part)
		p->part = 0;
	return n;
}

static bool out_unreachable(int err)
{
	return err == ECONNREFUSED || err == EHOSTUNREACH || err == ENETUNREACH ||
	       err == EHOSTDOWN || err == ENETDOWN;
}

static bool out_no_room(int err)
{
	return err == EAGAIN || err == ENOBUFS || err == ENOMEM;
}

/* Whether a packet in one piece is to be tried again in parts. */
static bool out_cannot_segment(const struct udp_target *t, struct udp_packet *p, int err)
{
	if (!p->part || p->apart || !*t->segments)
		return false;
	if (err == EIO || err == EOPNOTSUPP || err == ENOPROTOOPT)
		*t->segments = false;
	else if (err != EINVAL && err != EMSGSIZE)
		return false;
	p->apart = true;
	return true;
}

int udp_send(struct udp_batch *b, const struct udp_target *t, struct udp_packet *p, unsigned count,
	     unsigned *at, struct udp_sent *sent)
{
	while (*at < count) {
		unsigned n = out_gather(b, t, p + *at, count - *at);
		int done = sendmmsg(t->fd, b->out, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		int err = done < 0 ? errno : 0;

		for (int i = 0; i < done; i++) {
			size_t len = b->out_iov[i].iov_len;
			sent->bytes += len;
			sent->datagrams += packet_pass(&p[*at], at, len);
		}
		if (!err || err == EINTR || out_cannot_segment(t, &p[*at], err))
			continue;
		if (!t->to && out_unreachable(err))
			return -err;
		if (!out_no_room(err)) {
			sent->dropped += packet_pass(&p[*at], at, b->out_iov[0].iov_len);
			continue;
		}
		for (; *at < count; ++*at)
			sent->dropped += udp_packet_datagrams(&p[*at]);
	}
	return 0;
}
