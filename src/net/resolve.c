// SPDX-License-Identifier: Apache-2.0
#include "net/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/resolve_channel.h"

#define DNS_HEADER_BYTES 12
#define DNS_CLASS_IN 1
#define DNS_TYPE_SRV 33
/* Type, class, TTL and length: what stands between the name of a record and its data. */
#define DNS_RECORD_BYTES 10
#define FOUND_MIN 8

struct resolver {
	struct resolve_channel channel;
	struct io_loop *loop;
	struct list finished; /* queries whose `done` comes next */
	struct io_task task;
	unsigned under_way; /* requests, given up ones included: c-ares still works on them */
	bool calling, closing, closed;
};

/* One query as c-ares sees it: goes on by itself when the query was cancelled or came too late. */
struct resolve_request {
	struct resolver *resolver;
	struct resolve_query *query; /* NULL: nobody wants it any more */
	struct io_timer timer;
	enum resolve_kind kind;
	unsigned pending; /* callbacks of c-ares that are still to come */
	uint16_t port;
	uint32_t ttl_s;
	bool partial, cut;
	int result; /* of what failed, if nothing is found */
	const char *why;
	struct resolve_found *found;
	unsigned count, room;
	char name[RESOLVE_NAME_MAX + 1];
};

struct resolve_target {
	struct resolve_request *request;
	uint16_t priority, weight, port;
};

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}

/*
 * What c-ares says, in our words. It asks the next server when one says SERVFAIL, NOTIMP or REFUSED, and in the end
 * forgets what they said.
 */
static int result_of(int status, const char **why)
{
	static const struct {
		int status, result;
		const char *why;
	} table[] = {
		{ARES_ENOTFOUND, -ENOENT, "no such name"},
		{ARES_ENODATA, -ENOENT, "the name has no address"},
		{ARES_EBADNAME, -ENOENT, "that is not a name"},
		{ARES_ETIMEOUT, -ETIMEDOUT, "no answer from the name server"},
		{ARES_ECONNREFUSED, -ECONNREFUSED,
		 "no name server is reached, or all of them fail"},
		{ARES_ESERVFAIL, -EIO, "the name server failed (SERVFAIL)"},
		{ARES_EREFUSED, -EIO, "the name server refused (REFUSED)"},
		{ARES_ENOTIMP, -EIO, "the name server does not know such queries (NOTIMP)"},
		{ARES_EFORMERR, -EIO, "the name server did not understand (FORMERR)"},
		{ARES_EBADRESP, -EIO, "a malformed answer from the name server"},
		{ARES_ENOMEM, -EAGAIN, "out of memory"},
		{ARES_EDESTRUCTION, -EAGAIN, "the resolver stops"},
	};

	for (unsigned i = 0; i < SL_ARRAY_SIZE(table); i++) {
		if (table[i].status != status)
			continue;
		*why = table[i].why;
		return table[i].result;
	}
	*why = "the lookup failed";
	return -EIO;
}

static void request_free(struct resolve_request *q)
{
	io_timer_stop(&q->timer);
	q->resolver->under_way--;
	free(q->found);
	free(q);
}

/* The query leaves its request; the request goes when c-ares is done with it, too. */
static void query_detach(struct resolve_query *query)
{
	struct resolve_request *q = query->request;

	query->request = NULL;
	if (!q)
		return;
	q->query = NULL;
	io_timer_stop(&q->timer);
	if (q->pending == 0)
		request_free(q);
}

static void query_finish(struct resolve_query *query, int result, const char *why)
{
	struct resolver *r = query->resolver;

	if (query->request)
		io_timer_stop(&query->request->timer);
	query->result = result;
	query->why = why;
	list_add(&r->finished, &query->link);
	io_defer(r->loop, &r->task);
}

static void request_finish(struct resolve_request *q)
{
	struct resolve_query *query = q->query;

	if (query && q->resolver->closing) {
		query->resolver = NULL;
		query->request = NULL;
		query = NULL;
	}
	if (!query) {
		request_free(q);
		return;
	}
	/* It is in the queue already when its time is over. */
	if (!list_empty(&query->link))
		return;
	if (q->cut)
		log_warn("%s: more than %u addresses or %u targets; the rest is left out", q->name,
			 RESOLVE_ADDRS_MAX, RESOLVE_TARGETS_MAX);
	if (q->count)
		query_finish(query, 0, "found");
	else
		query_finish(query, q->result, q->why);
}

static void request_failed(struct resolve_request *q, int result, const char *why)
{
	/* What may be better at the next try says more than that a name is not there. */
	if (q->result == 0 || q->result == -ENOENT) {
		q->result = result;
		q->why = why;
	}
	if (result != -ENOENT)
		q->partial = true;
}

static void request_overdue(struct io_timer *timer)
{
	struct resolve_request *q = SL_CONTAINER(timer, struct resolve_request, timer);

	/* Half an answer is none: what is missing would look as if it were gone. */
	query_finish(q->query, -ETIMEDOUT, "no answer in time");
}

static void request_ttl(struct resolve_request *q, uint32_t ttl_s)
{
	if (ttl_s == 0)
		ttl_s = RESOLVE_TTL_NONE_S;
	ttl_s = SL_MIN(SL_MAX(ttl_s, RESOLVE_TTL_MIN_S), RESOLVE_TTL_MAX_S);
	q->ttl_s = SL_MIN(q->ttl_s, ttl_s);
}

static bool request_has(const struct resolve_request *q, const struct net_addr *addr)
{
	for (unsigned i = 0; i < q->count; i++)
		if (net_addr_eq(&q->found[i].addr, addr))
			return true;
	return false;
}

static void request_add(struct resolve_request *q, const struct sockaddr *sa, socklen_t len,
			const struct resolve_target *target)
{
	struct resolve_found found = {
		.addr.len = len,
		.priority = target ? target->priority : 0,
		.weight = target ? target->weight : 1,
	};
	uint16_t port = htons(target ? target->port : q->port);

	if (len > sizeof(found.addr.u))
		return;
	memcpy(&found.addr.u, sa, len);
	if (sa->sa_family == AF_INET)
		((struct sockaddr_in *)&found.addr.u)->sin_port = port;
	else if (sa->sa_family == AF_INET6)
		((struct sockaddr_in6 *)&found.addr.u)->sin6_port = port;
	else
		return;
	if (request_has(q, &found.addr))
		return;
	if (q->count == RESOLVE_ADDRS_MAX) {
		q->cut = true;
		return;
	}
	if (q->count == q->room) {
		unsigned room = q->room ? q->room * 2 : FOUND_MIN;
		struct resolve_found *grown = reallocarray(q->found, room, sizeof(*grown));

		if (!grown) {
			request_failed(q, -EAGAIN, "out of memory");
			return;
		}
		q->found = grown;
		q->room = room;
	}
	q->found[q->count++] = found;
}

static void request_addresses(struct resolve_request *q, int status, struct ares_addrinfo *info,
			      const struct resolve_target *target)
{
	const char *why;
	int result = status == ARES_SUCCESS ? 0 : result_of(status, &why);

	if (result == 0 && (!info || !info->nodes)) {
		result = -ENOENT;
		why = "the name has no address";
	}
	if (result < 0) {
		request_failed(q, result, why);
	} else {
		for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
			request_add(q, n->ai_addr, n->ai_addrlen, target);
			request_ttl(q, n->ai_ttl > 0 ? (uint32_t)n->ai_ttl : 0);
		}
		for (struct ares_addrinfo_cname *c = info->cnames; c; c = c->next)
			request_ttl(q, c->ttl > 0 ? (uint32_t)c->ttl : 0);
	}
	if (info)
		ares_freeaddrinfo(info);
	if (--q->pending == 0)
		request_finish(q);
}

static void addresses_came(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	(void)timeouts;
	request_addresses(arg, status, info, NULL);
}

static void target_came(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct resolve_target *target = arg;

	(void)timeouts;
	request_addresses(target->request, status, info, target);
	free(target);
}

static void lookup_addresses(struct resolve_request *q, const char *name, struct resolve_target *t)
{
	/* The order is ours (and sorting as RFC 6724 says would open sockets for it). */
	const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = ARES_AI_NOSORT,
	};

	q->pending++;
	if (t)
		ares_getaddrinfo(q->resolver->channel.ares, name, NULL, &hints, target_came, t);
	else
		ares_getaddrinfo(q->resolver->channel.ares, name, NULL, &hints, addresses_came, q);
}

/* data: priority, weight, port, and the name of the target (RFC 2782). -EBADMSG: malformed. */
static int srv_target(struct resolve_request *q, const uint8_t *message, int len,
		      const uint8_t *data, size_t data_len)
{
	struct resolve_target *t;
	char *name;
	long used;

	if (data_len < 7 || ares_expand_name(data + 6, message, len, &name, &used) != ARES_SUCCESS)
		return -EBADMSG;
	if ((size_t)used > data_len - 6) {
		ares_free_string(name);
		return -EBADMSG;
	}
	/* A target of "." says that there is no such service. */
	if (*name == '\0') {
		ares_free_string(name);
		return 0;
	}
	t = malloc(sizeof(*t));
	if (t) {
		*t = (struct resolve_target){q, be16(data), be16(data + 2), be16(data + 4)};
		lookup_addresses(q, name, t);
	} else {
		request_failed(q, -EAGAIN, "out of memory");
	}
	ares_free_string(name);
	return 0;
}

/* Moves *at behind a name of the message. */
static int dns_skip_name(const uint8_t *message, int len, int *at)
{
	char *name;
	long used;

	if (*at >= len ||
	    ares_expand_name(message + *at, message, len, &name, &used) != ARES_SUCCESS)
		return -EBADMSG;
	ares_free_string(name);
	if (used > len - *at)
		return -EBADMSG;
	*at += (int)used;
	return 0;
}

/* Section 4.1 of RFC 1035. c-ares has an own parser of SRV answers, but it does not tell the TTL. */
static int srv_answer(struct resolve_request *q, const uint8_t *message, int len)
{
	int at = DNS_HEADER_BYTES, targets = 0;

	if (len < DNS_HEADER_BYTES)
		return -EBADMSG;
	for (unsigned n = be16(message + 4); n > 0; n--) {
		if (dns_skip_name(message, len, &at) < 0 || len - at < 4)
			return -EBADMSG;
		at += 4;
	}
	for (unsigned n = be16(message + 6); n > 0; n--) {
		if (dns_skip_name(message, len, &at) < 0 || len - at < DNS_RECORD_BYTES)
			return -EBADMSG;
		const uint8_t *record = message + at;
		int data_len = be16(record + 8);

		at += DNS_RECORD_BYTES;
		if (data_len > len - at)
			return -EBADMSG;
		request_ttl(q, be32(record + 4));
		if (be16(record) == DNS_TYPE_SRV && be16(record + 2) == DNS_CLASS_IN) {
			if (targets++ == RESOLVE_TARGETS_MAX) {
				q->cut = true;
				return 0;
			}
			if (srv_target(q, message, len, message + at, (size_t)data_len) < 0)
				return -EBADMSG;
		}
		at += data_len;
	}
	return 0;
}

static void srv_came(void *arg, int status, int timeouts, unsigned char *message, int len)
{
	struct resolve_request *q = arg;
	const char *why;

	(void)timeouts;
	if (status != ARES_SUCCESS) {
		int result = result_of(status, &why);

		request_failed(q, result, why);
	} else if (q->query) {
		if (srv_answer(q, message, len) < 0)
			request_failed(q, -EIO, "a malformed answer from the name server");
		else if (q->pending == 1)
			request_failed(q, -ENOENT, "the service has no servers");
	}
	if (--q->pending == 0)
		request_finish(q);
}

static int found_order(const void *left, const void *right)
{
	const struct resolve_found *a = left, *b = right;
	int order = (int)a->priority - (int)b->priority;

	if (!order)
		order = (int)a->addr.len - (int)b->addr.len;
	if (!order && a->addr.u.sa.sa_family == AF_INET6)
		order = memcmp(&((const struct sockaddr_in6 *)&a->addr.u)->sin6_addr,
			       &((const struct sockaddr_in6 *)&b->addr.u)->sin6_addr,
			       sizeof(struct in6_addr));
	else if (!order)
		order = memcmp(&((const struct sockaddr_in *)&a->addr.u)->sin_addr,
			       &((const struct sockaddr_in *)&b->addr.u)->sin_addr,
			       sizeof(struct in_addr));
	return order ? order : (int)net_addr_port(&a->addr) - (int)net_addr_port(&b->addr);
}

static void query_deliver(struct resolve_query *query)
{
	struct resolve_request *q = query->request;
	struct resolve_answer answer = {.result = query->result, .why = query->why};

	if (q && query->result == 0) {
		qsort(q->found, q->count, sizeof(*q->found), found_order);
		answer.found = q->found;
		answer.count = q->count;
		answer.ttl_s = q->ttl_s;
		answer.partial = q->partial;
	}
	if (q) {
		q->query = NULL;
		q->pending++;
	}
	query->request = NULL;
	query->resolver = NULL;
	query->done(query, &answer);
	/* Still under way when its time was over; and the resolver may be gone by `done`. */
	if (q && --q->pending == 0)
		request_free(q);
}

static void resolver_gone(struct resolver *r)
{
	if (r->closing && r->closed && !r->calling)
		free(r);
}

static void resolver_deliver(struct io_task *task)
{
	struct resolver *r = SL_CONTAINER(task, struct resolver, task);

	r->calling = true;
	while (!list_empty(&r->finished)) {
		struct list *first = r->finished.next;

		list_del(first);
		query_deliver(SL_CONTAINER(first, struct resolve_query, link));
	}
	r->calling = false;
	resolver_gone(r);
}

static void resolver_closed(struct resolve_channel *channel)
{
	struct resolver *r = SL_CONTAINER(channel, struct resolver, channel);

	r->closed = true;
	resolver_gone(r);
}

int resolver_new(struct io_loop *loop, const char *servers, struct resolver **out, char *why,
		 size_t why_len)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int rc;

	if (!r) {
		snprintf(why, why_len, "out of memory");
		return -ENOMEM;
	}
	rc = resolve_channel_open(&r->channel, loop, servers, why, why_len);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->loop = loop;
	r->channel.closed = resolver_closed;
	r->task.run = resolver_deliver;
	list_init(&r->finished);
	*out = r;
	return 0;
}

void resolver_free(struct resolver *r)
{
	if (!r)
		return;
	r->closing = true;
	io_undefer(r->loop, &r->task);
	while (!list_empty(&r->finished))
		resolve_cancel(SL_CONTAINER(r->finished.next, struct resolve_query, link));
	/* Every query that is left belongs to a request, whose callback now comes and finds nobody. */
	resolve_channel_close(&r->channel);
}

/* A number needs no name server. */
static bool request_number(struct resolve_request *q)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, q->name, &v4.sin_addr) == 1)
		request_add(q, (struct sockaddr *)&v4, sizeof(v4), NULL);
	else if (inet_pton(AF_INET6, q->name, &v6.sin6_addr) == 1)
		request_add(q, (struct sockaddr *)&v6, sizeof(v6), NULL);
	return q->count > 0;
}

void resolve_start(struct resolver *r, struct resolve_query *query, enum resolve_kind kind,
		   struct str name, uint16_t port, uint32_t timeout_ms)
{
	struct resolve_request *q;

	assert(!query->resolver && !r->closing);
	query->resolver = r;
	query->request = NULL;
	list_init(&query->link);
	if (name.len == 0 || name.len > RESOLVE_NAME_MAX || memchr(name.p, 0, name.len)) {
		query_finish(query, -ENOENT, "that is not a name");
		return;
	}
	q = r->under_way < RESOLVE_QUERIES_MAX ? calloc(1, sizeof(*q)) : NULL;
	if (!q) {
		query_finish(query, -EAGAIN, "too many lookups at a time");
		return;
	}
	r->under_way++;
	query->request = q;
	*q = (struct resolve_request){
		.resolver = r,
		.query = query,
		.timer.fire = request_overdue,
		.kind = kind,
		.port = port,
		.ttl_s = RESOLVE_TTL_MAX_S,
	};
	memcpy(q->name, name.p, name.len);
	if (kind == RESOLVE_ADDRESS && request_number(q)) {
		request_finish(q);
		return;
	}
	io_timer_set(r->loop, &q->timer, timeout_ms);
	if (kind == RESOLVE_SRV) {
		q->pending = 1;
		ares_query(r->channel.ares, q->name, DNS_CLASS_IN, DNS_TYPE_SRV, srv_came, q);
	} else {
		lookup_addresses(q, q->name, NULL);
	}
	resolve_channel_arm(&r->channel);
}

void resolve_cancel(struct resolve_query *query)
{
	if (!query->resolver)
		return;
	list_del(&query->link);
	query->resolver = NULL;
	query_detach(query);
}
