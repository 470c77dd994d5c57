// SPDX-License-Identifier: Apache-2.0
// What the server knows of itself. Called on any thread.
#include <errno.h>
#include <unistd.h>

#include "app/run.h"
#include "base/clock.h"
#include "base/log.h"
#include "sluice/version.h"

/* What all workers have together: groups, limiters, load, relays. */
static int collect_shared(struct app_server *s, struct arena *arena, struct status_snapshot *out)
{
	struct status_relay *relays = NULL;
	int err = upstream_status(s->shared.groups, arena, &out->groups, &out->group_count);

	if (!err)
		err = guard_limit_status(s->shared.limiters, arena, &out->limits,
					 &out->limit_count);
	for (unsigned i = 0; i < s->worker_count && !err; i++)
		err = app_services_status(&s->workers[i].services, arena, &relays,
					  &out->relay_count);
	out->relays = relays;
	out->load_on = atomic_load_explicit(&s->sampler.on, memory_order_relaxed);
	out->load_level = guard_load_level(&s->shared.load);
	app_load_read(&s->sampler, &out->load);
	return err;
}

int app_collect(void *server, struct arena *arena, struct status_snapshot *out)
{
	struct app_server *s = server;
	struct status_counts *counts =
		arena_zalloc(arena, s->worker_count * sizeof(struct status_counts));

	struct hist *request_ns = arena_zalloc(arena, sizeof(*request_ns));

	if (!counts || !request_ns)
		return -ENOMEM;
	for (unsigned i = 0; i < s->worker_count; i++) {
		struct app_worker *w = &s->workers[i];
		status_counts_read(&counts[i], &w->http.counts);
		hist_merge(request_ns, &w->http.request_ns);
		if (w->hands)
			counts[i].refused +=
				atomic_load_explicit(&w->hands->refused, memory_order_relaxed);
		out->access_lines_lost +=
			atomic_load_explicit(&w->access.lost, memory_order_relaxed);
	}
	int err = collect_shared(s, arena, out);
	if (err)
		return err;
	out->version = str_from(sl_version());
	out->engine = str_from(s->engine);
	out->features = str_from(s->features);
	out->config_file = str_from(s->file);
	out->pid = (uint64_t)getpid();
	out->uptime_s = (clock_monotonic_ns() - s->started_ns) / CLOCK_NS_PER_S;
	out->started_unix_s = s->started_unix_s;
	out->config_generation = atomic_load_explicit(&s->generation, memory_order_relaxed);
	out->config_loaded_unix_s = atomic_load_explicit(&s->loaded_unix_s, memory_order_relaxed);
	out->draining = atomic_load_explicit(&s->draining, memory_order_relaxed);
	out->log_lines_lost = log_lost();
	out->workers = counts;
	out->request_ns = request_ns;
	out->worker_count = s->worker_count;
	return 0;
}
