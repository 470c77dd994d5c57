/* internal: limiters: how often, how many at a time, and how fast, by key; shared by all workers. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_LIMIT_H
#define SLUICE_GUARD_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/source.h"
#include "base/str.h"
#include "io/io.h"

enum guard_algorithm {
	GUARD_FIXED_WINDOW,
	GUARD_SLIDING_WINDOW, /* two windows, the older one weighed by what is left of it */
	GUARD_TOKEN_BUCKET,
	GUARD_LEAKY_BUCKET, /* delays instead of refusing, up to `burst` waiting */
	GUARD_GCRA,
};

enum guard_key {
	GUARD_KEY_CONSTANT,
	GUARD_KEY_ADDRESS,
	GUARD_KEY_HEADER,
	GUARD_KEY_COOKIE,
	GUARD_KEY_ROUTE
};

/* Immutable. */
struct guard_limit_config {
	struct str name;
	enum guard_key key;
	struct str key_name; /* of the header or cookie; a request without it is not limited */
	uint8_t prefix_v4, prefix_v6; /* bits of an address that count: 32, 64 */
	enum guard_algorithm algorithm;
	uint32_t count;     /* in each period; 0: no limit of the rate */
	uint64_t period_ns; /* "50/s": 1 s */
	uint32_t burst;     /* above the rate at once; windows have none */
	uint32_t conns;     /* at a time; 0: no bound */
	uint64_t bytes_per_s,
		bytes_burst; /* of responses, for all of a key together; 0: no bound */
	uint32_t keys_max;
	bool dry_run; /* counts and logs, refuses nothing */
};
#define GUARD_KEYS_DEFAULT 100000
#define GUARD_KEYS_MAX 16000000

struct guard_limiter;
struct guard_registry;

/* Found by name and kept over reloads; a change of anything but `dry_run` begins anew. One reference. NULL without memory. */
struct guard_registry *guard_registry_new(void);
void guard_registry_free(struct guard_registry *);
struct guard_limiter *guard_limiter_join(struct guard_registry *,
					 const struct guard_limit_config *);
struct guard_limiter *guard_limiter_ref(struct guard_limiter *);
/* Any thread. */
void guard_limiter_unref(struct guard_limiter *);
const struct guard_limit_config *guard_limiter_config(const struct guard_limiter *);

struct guard_verdict {
	bool allowed;      /* in a dry run: as it would be; the caller lets it pass */
	uint64_t delay_ns; /* allowed, but only after this time (leaky bucket) */
	uint64_t retry_ns; /* refused: until it would be allowed */
	uint32_t limit, remaining;
	uint64_t reset_ns; /* until the whole quota is there again */
};

/* 64 bits of a key, never 0: hash_bytes of it with the limiter's kind of key in. */
uint64_t guard_key_bytes(struct str);
struct net_addr;
uint64_t guard_key_address(const struct net_addr *, uint8_t prefix_v4, uint8_t prefix_v6);

/* Any thread, any number at once; below 100 ns. now_ns is monotonic and may lag behind that of other threads. */
void guard_limit_take(struct guard_limiter *, uint64_t key, uint64_t now_ns, uint32_t cost,
		      struct guard_verdict *);
/* Concurrency: true, and guard_limit_leave is owed; false: `conns` are there already (true in a dry run, nothing is owed). */
bool guard_limit_enter(struct guard_limiter *, uint64_t key, uint64_t now_ns, bool *owed);
void guard_limit_leave(struct guard_limiter *, uint64_t key);

/*
 * A source that gives what `from` gives, no faster than the limiter's bytes_per_s for this key, or (limiter NULL) than
 * `bytes_per_s`. Owns `from`; passes every kind of segment. NULL without memory: from is still the caller's.
 */
struct source *guard_throttle_new(struct io_loop *, struct source *from, struct guard_limiter *,
				  uint64_t key, uint64_t bytes_per_s);

struct guard_limit_status {
	struct str name;
	uint64_t allowed, refused, delayed, would_refuse, evicted;
	uint32_t keys, keys_max;
	uint64_t memory_bytes;
};
struct arena;
/* All limiters, any thread. 0 or -ENOMEM. */
int guard_limit_status(struct guard_registry *, struct arena *, const struct guard_limit_status **,
		       unsigned *count);

#endif
