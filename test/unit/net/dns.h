/* internal: a small name server on loopback that a test serves by hand, with answers good and bad */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_TEST_NET_DNS_H
#define SLUICE_TEST_NET_DNS_H

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "net/pair.h"
#include "random.h"

enum { DNS_A = 1, DNS_CNAME = 5, DNS_AAAA = 28, DNS_SRV = 33 };
enum { DNS_OK = 0, DNS_FORMERR = 1, DNS_SERVFAIL = 2, DNS_NXDOMAIN = 3, DNS_REFUSED = 5 };

enum dns_how {
	DNS_ANSWER,
	DNS_SILENT,
	DNS_GARBAGE,  /* bytes that are no message */
	DNS_CUT,      /* the message ends inside its last record */
	DNS_FALSE_ID, /* an answer to another question */
	DNS_TCP_ONLY, /* truncated over UDP, whole over TCP */
	DNS_NOISE,    /* some bytes behind the question are other ones */
};

struct dns_record {
	const char *name;
	uint16_t type;
	uint32_t ttl;
	const char *data; /* an address, a name, or "PRIORITY WEIGHT PORT TARGET" */
};

/* What is said of a name apart from its records. */
struct dns_rule {
	const char *name;
	uint8_t code;
	enum dns_how how;
};

#define DNS_RECORDS_MAX 400
#define DNS_RULES_MAX 16
#define DNS_MESSAGE_BYTES 16384
#define DNS_CALLERS_MAX 8

static struct {
	int udp, tcp;
	char servers[32]; /* for the resolver */
	struct dns_record records[DNS_RECORDS_MAX];
	unsigned record_count;
	struct dns_rule rules[DNS_RULES_MAX];
	unsigned rule_count;
	struct random random;        /* for DNS_NOISE */
	int caller[DNS_CALLERS_MAX]; /* over TCP */
	unsigned callers;
	unsigned questions, over_tcp; /* that came */
} dns;

/* A port that is free for both; one that was chosen for UDP may be somebody's in TCP. */
static inline bool dns_bind(struct sockaddr_in *a)
{
	socklen_t len = sizeof(*a);

	a->sin_port = 0;
	dns.udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(dns.udp, (struct sockaddr *)a, len), 0);
	assert_int_equal(getsockname(dns.udp, (struct sockaddr *)a, &len), 0);
	dns.tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (bind(dns.tcp, (struct sockaddr *)a, len) == 0)
		return true;
	close(dns.udp);
	close(dns.tcp);
	return false;
}

static inline void dns_open(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	unsigned tries = 0;

	memset(&dns, 0, sizeof(dns));
	while (!dns_bind(&a))
		assert_true(++tries < 100);
	assert_int_equal(listen(dns.tcp, 8), 0);
	snprintf(dns.servers, sizeof(dns.servers), "127.0.0.1:%u", ntohs(a.sin_port));
}

static inline void dns_close(void)
{
	while (dns.callers)
		close(dns.caller[--dns.callers]);
	close(dns.udp);
	close(dns.tcp);
}

static inline void dns_add(const char *name, uint16_t type, uint32_t ttl, const char *data)
{
	assert_true(dns.record_count < DNS_RECORDS_MAX);
	dns.records[dns.record_count++] = (struct dns_record){name, type, ttl, data};
}

static inline void dns_rule(const char *name, uint8_t code, enum dns_how how)
{
	assert_true(dns.rule_count < DNS_RULES_MAX);
	dns.rules[dns.rule_count++] = (struct dns_rule){name, code, how};
}

static inline void dns_forget(void)
{
	dns.record_count = dns.rule_count = 0;
}

static inline uint8_t *dns_put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
	return p + 2;
}

static inline uint8_t *dns_put_name(uint8_t *p, const char *name)
{
	while (*name && strcmp(name, ".") != 0) {
		size_t n = strcspn(name, ".");

		*p++ = (uint8_t)n;
		memcpy(p, name, n);
		p += n;
		name += n + (name[n] == '.');
	}
	*p++ = 0;
	return p;
}

static inline uint8_t *dns_put_record(uint8_t *p, const struct dns_record *r)
{
	uint8_t *length;
	unsigned priority, weight, port;
	char target[256];

	p = dns_put_name(p, r->name);
	p = dns_put16(dns_put16(p, r->type), 1);
	p = dns_put16(dns_put16(p, r->ttl >> 16), r->ttl & 0xffff);
	length = p;
	p += 2;
	switch (r->type) {
	case DNS_A:
		assert_int_equal(inet_pton(AF_INET, r->data, p), 1);
		p += 4;
		break;
	case DNS_AAAA:
		assert_int_equal(inet_pton(AF_INET6, r->data, p), 1);
		p += 16;
		break;
	case DNS_SRV:
		assert_int_equal(
			sscanf(r->data, "%u %u %u %255s", &priority, &weight, &port, target), 4);
		p = dns_put16(dns_put16(dns_put16(p, priority), weight), port);
		p = dns_put_name(p, target);
		break;
	default:
		p = dns_put_name(p, r->data);
	}
	dns_put16(length, (unsigned)(p - length - 2));
	return p;
}

/* The name that is asked for, lower case; returns what follows its type and class. */
static inline const uint8_t *dns_question(const uint8_t *p, char name[256], uint16_t *type)
{
	size_t len = 0;

	for (; *p; p += *p + 1) {
		assert_true(len + *p + 1 < 256);
		memcpy(name + len, p + 1, *p);
		len += *p;
		name[len++] = '.';
	}
	name[len ? len - 1 : 0] = '\0';
	*type = (uint16_t)(p[1] << 8 | p[2]);
	return p + 5;
}

static inline void dns_disturb(uint8_t *bytes, size_t len)
{
	for (uint64_t n = 1 + random_below(&dns.random, 4); n; n--)
		bytes[random_below(&dns.random, len)] = (uint8_t)random_u64(&dns.random);
}

/* The length of the reply; 0: none. */
static inline size_t dns_reply(const uint8_t *query, size_t len, bool tcp, uint8_t *reply)
{
	struct dns_rule rule = {"", DNS_OK, DNS_ANSWER};
	char name[256];
	uint16_t type;
	const uint8_t *end;
	uint8_t *p;
	unsigned answers = 0;
	bool known = false;

	assert_true(len > 12);
	end = dns_question(query + 12, name, &type);
	dns.questions++;
	for (unsigned i = 0; i < dns.rule_count; i++)
		if (strcasecmp(dns.rules[i].name, name) == 0)
			rule = dns.rules[i];
	if (rule.how == DNS_SILENT)
		return 0;
	if (rule.how == DNS_GARBAGE) {
		memset(reply, 0xff, 64);
		memcpy(reply, query, 2);
		return 64;
	}
	memcpy(reply, query, (size_t)(end - query));
	p = reply + (end - query);
	for (unsigned i = 0; i < dns.record_count && rule.code == DNS_OK; i++) {
		const struct dns_record *r = &dns.records[i];

		if (strcasecmp(r->name, name) != 0)
			continue;
		known = true;
		if (r->type != type || (rule.how == DNS_TCP_ONLY && !tcp))
			continue;
		assert_true(p - reply < DNS_MESSAGE_BYTES - 300);
		p = dns_put_record(p, r);
		answers++;
	}
	if (rule.code == DNS_OK && !known)
		rule.code = DNS_NXDOMAIN;
	reply[2] = 0x85 | (rule.how == DNS_TCP_ONLY && !tcp ? 2 : 0);
	reply[3] = 0x80 | rule.code;
	dns_put16(reply + 6, answers);
	memset(reply + 8, 0, 4);
	if (rule.how == DNS_FALSE_ID)
		reply[0] ^= 0xff;
	if (rule.how == DNS_NOISE && answers)
		dns_disturb(reply + (end - query), (size_t)(p - reply - (end - query)));
	return (size_t)(p - reply) - (rule.how == DNS_CUT && answers ? 3 : 0);
}

/* One question, all of whose bytes come at once on loopback. False: they are still to come. */
static inline bool dns_serve_tcp(int fd)
{
	uint8_t query[514], reply[DNS_MESSAGE_BYTES + 2];
	ssize_t n = recv(fd, query, sizeof(query), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n > 2) {
		size_t len = dns_reply(query + 2, (size_t)n - 2, true, reply + 2);

		dns_put16(reply, (unsigned)len);
		pair_send(fd, reply, len + 2);
	}
	close(fd);
	return true;
}

/* Answers what has come. True, to be used in conditions. */
static inline bool dns_serve(void)
{
	uint8_t query[512], reply[DNS_MESSAGE_BYTES];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n;
	int fd;

	while ((n = recvfrom(dns.udp, query, sizeof(query), 0, (struct sockaddr *)&from,
			     &from_len)) > 0) {
		size_t len = dns_reply(query, (size_t)n, false, reply);

		if (len)
			sendto(dns.udp, reply, len, 0, (struct sockaddr *)&from, from_len);
	}
	while (dns.callers < DNS_CALLERS_MAX && (fd = accept(dns.tcp, NULL, NULL)) >= 0) {
		dns.caller[dns.callers++] = fd;
		dns.over_tcp++;
	}
	for (unsigned i = 0; i < dns.callers;) {
		if (dns_serve_tcp(dns.caller[i]))
			dns.caller[i] = dns.caller[--dns.callers];
		else
			i++;
	}
	return true;
}

#endif
