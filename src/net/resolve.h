/* internal: the resolver: names to addresses, by c-ares, without blocking the loop. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_RESOLVE_H
#define SLUICE_NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"
#include "io/io.h"
#include "net/addr.h"

/* Addresses of one answer, and targets of one SRV answer; more are cut with a log line. */
#define RESOLVE_ADDRS_MAX 256
#define RESOLVE_TARGETS_MAX 64
#define RESOLVE_NAME_MAX 255
/* Queries of one resolver at a time; the next fails with -EAGAIN. */
#define RESOLVE_QUERIES_MAX 1024
/* What a TTL is brought into; one of 0, or none (/etc/hosts), is RESOLVE_TTL_NONE_S. */
#define RESOLVE_TTL_MIN_S 1
#define RESOLVE_TTL_MAX_S 3600
#define RESOLVE_TTL_NONE_S 5

enum resolve_kind {
	RESOLVE_ADDRESS, /* A and AAAA */
	RESOLVE_SRV,     /* SRV, and A and AAAA of each target */
};

struct resolve_found {
	struct net_addr addr;
	uint16_t priority, weight; /* of SRV; else 0 and 1 */
};

struct resolve_answer {
	const struct resolve_found
		*found; /* sorted by priority, then address: the same set looks the same */
	unsigned count;
	uint32_t ttl_s; /* the smallest of all, in bounds */
	bool partial; /* SRV: some targets gave no answer now; theirs are missing here, not gone */
	/*
	 * 0; -ENOENT: there is no such name or it has no address; -ETIMEDOUT; -ECONNREFUSED: no server, or none that does
	 * more than fail; -EAGAIN; -EIO
	 */
	int result;
	const char *why; /* a phrase for the log */
};

struct resolver;

/*
 * On one loop. `servers` in place of those of the system ("127.0.0.1:5353", comma separated; NULL: /etc/resolv.conf and
 * /etc/hosts). 0 or -errno; -ENOSYS: built without c-ares, with a sentence that says so in why.
 */
int resolver_new(struct io_loop *, const char *servers, struct resolver **, char *why,
		 size_t why_len);
/* Cancels what is under way: no `done` comes any more. Turn the loop until it is not busy before it is freed. */
void resolver_free(struct resolver *);

/* Embedded by its owner, zeroed. */
struct resolve_query {
	/* From the top of the loop; the answer lives for the call. The query is idle again: start it, free it. */
	void (*done)(struct resolve_query *, const struct resolve_answer *);

	/* The resolver's. */
	struct resolver *resolver; /* NULL: idle */
	struct resolve_request *request;
	struct list link;
	int result;
	const char *why;
};
/* Always answers by `done`. `port` goes into the addresses; SRV has its own. */
void resolve_start(struct resolver *, struct resolve_query *, enum resolve_kind, struct str name,
		   uint16_t port, uint32_t timeout_ms);
/* No `done` comes any more. Harmless when idle. */
void resolve_cancel(struct resolve_query *);

#endif
