// SPDX-License-Identifier: Apache-2.0
#include "guard/limit.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "guard/limiter.h"

static inline struct guard_counts *core_counts(struct guard_core *core)
{
	static _Atomic unsigned threads;
	static _Thread_local unsigned mine; /* 1 + the stripe of this thread */

	if (SL_UNLIKELY(!mine))
		mine = 1 +
		       atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % GUARD_STRIPES;
	return &core->counts[mine - 1];
}

static inline void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void guard_core_count_stored(struct guard_core *core, enum guard_stored how)
{
	if (how == GUARD_STORED_NEW)
		count(&core_counts(core)->keys);
	else if (how == GUARD_STORED_EVICT)
		count(&core_counts(core)->evicted);
}

/* One line a second, from whichever thread is the first. */
static SL_COLD void limiter_would_refuse(struct guard_limiter *l, uint64_t now_ns)
{
	struct guard_core *core = l->core;
	uint64_t next = atomic_load_explicit(&core->log_next_ns, memory_order_relaxed);

	count(&core_counts(core)->would_refuse);
	count(&core->log_count);
	if (now_ns < next ||
	    !atomic_compare_exchange_strong(&core->log_next_ns, &next, now_ns + CLOCK_NS_PER_S))
		return;
	log_info("limit \"%.*s\" (dry run): would have refused %llu", STR_ARG(l->config.name),
		 (unsigned long long)atomic_exchange(&core->log_count, 0));
}

static void limiter_refused(struct guard_limiter *l, uint64_t now_ns)
{
	if (SL_UNLIKELY(l->config.dry_run))
		limiter_would_refuse(l, now_ns);
	else
		count(&core_counts(l->core)->refused);
}

void guard_limit_take(struct guard_limiter *l, uint64_t key, uint64_t now_ns, uint32_t cost,
		      struct guard_verdict *verdict)
{
	struct guard_core *core = l->core;
	struct guard_place place;

	if (!core->table.buckets) {
		*verdict = (struct guard_verdict){
			.allowed = true, .limit = UINT32_MAX, .remaining = UINT32_MAX};
		return;
	}
	guard_table_lock(&core->table, key, &place);
	bool allowed = guard_rate_take(&core->rate, place.state, now_ns, cost, verdict);
	if (!allowed || !cost)
		guard_table_unlock(&place);
	else
		guard_core_count_stored(core, guard_table_store(&place, &core->rate, now_ns));
	if (!cost)
		return;
	if (!allowed) {
		limiter_refused(l, now_ns);
		return;
	}
	count(&core_counts(core)->allowed);
	if (verdict->delay_ns && !l->config.dry_run)
		count(&core_counts(core)->delayed);
}

bool guard_limit_enter(struct guard_limiter *l, uint64_t key, uint64_t now_ns, bool *owed)
{
	struct guard_core *core = l->core;

	*owed = core->holds.buckets && guard_holds_enter(&core->holds, key, core->config.conns);
	if (*owed || !core->holds.buckets)
		return true;
	limiter_refused(l, now_ns);
	return l->config.dry_run;
}

void guard_limit_leave(struct guard_limiter *l, uint64_t key)
{
	guard_holds_leave(&l->core->holds, key);
}
