// SPDX-License-Identifier: Apache-2.0
#include "app/sampler.h"

#include <sched.h>
#include <time.h>

#include "app/run.h"
#include "base/clock.h"
#include "base/log.h"

void app_load_read(const struct app_sampler *sampler, struct guard_load_sample *sample)
{
#define READ(name) sample->name = atomic_load_explicit(&sampler->name, memory_order_relaxed)
	READ(cpu_percent);
	READ(lag_ms);
	READ(error_percent);
	READ(queue);
#undef READ
}

static uint64_t process_cpu_ns(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t))
		return 0;
	return (uint64_t)t.tv_sec * CLOCK_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* How many of them the workers can keep busy. */
static unsigned usable_cpus(const struct app_server *s)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) ? 0 : CPU_COUNT(&set);

	unsigned cpus = count > 0 ? SL_MIN((unsigned)count, s->worker_count) : s->worker_count;

	return SL_MAX(cpus, 1);
}

static uint32_t sample_cpu(struct app_server *s, uint64_t now_ns)
{
	struct app_sampler *sampler = &s->sampler;
	uint64_t cpu_ns = process_cpu_ns(), wall = now_ns - sampler->wall_ns;
	uint64_t used = cpu_ns - sampler->cpu_ns;

	sampler->wall_ns = now_ns;
	sampler->cpu_ns = cpu_ns;
	if (!wall)
		return 0;
	return (uint32_t)SL_MIN(used * 100 / (wall * usable_cpus(s)), 100);
}

static uint32_t sample_errors(struct app_server *s)
{
	struct app_sampler *sampler = &s->sampler;
	unsigned slots = SL_ARRAY_SIZE(sampler->seconds);
	uint64_t responses = 0, errors = 0;

	for (unsigned i = 0; i < s->worker_count; i++)
		for (unsigned class = 1; class <= 5; class ++) {
			uint64_t n = atomic_load_explicit(&s->workers[i].http.counts.status[class],
							  memory_order_relaxed);
			responses += class > 1 ? n : 0;
			errors += class == 5 ? n : 0;
		}
	sampler->second = (sampler->second + 1) % slots;
	sampler->seconds[sampler->second].responses = responses;
	sampler->seconds[sampler->second].errors = errors;
	responses -= sampler->seconds[(sampler->second + 1) % slots].responses;
	errors -= sampler->seconds[(sampler->second + 1) % slots].errors;
	return responses < APP_ERROR_REQUESTS_MIN ? 0 : (uint32_t)(errors * 100 / responses);
}

static uint32_t sample_queue(struct app_server *s)
{
	const struct upstream_group_status *groups = NULL;
	unsigned count = 0;
	struct arena arena;
	uint32_t queued = 0;

	arena_init(&arena, 0);
	if (upstream_status(s->shared.groups, &arena, &groups, &count) < 0)
		count = 0;
	for (unsigned i = 0; i < count; i++)
		queued += groups[i].queued;
	arena_free(&arena);
	return queued;
}

static void sampler_tell(const struct guard_load_sample *sample, enum guard_level level)
{
	log_write(level == GUARD_NORMAL ? LOG_INFO : LOG_WARN,
		  "load is %s: CPU %u %%, lag %u ms, errors %u %%, %u requests wait",
		  guard_level_name(level), sample->cpu_percent, sample->lag_ms,
		  sample->error_percent, sample->queue);
}

static void sampler_take(struct app_server *s, uint64_t now_ns)
{
	struct app_sampler *sampler = &s->sampler;
	struct guard_load_sample sample = {
		.cpu_percent = sample_cpu(s, now_ns),
		.lag_ms = (uint32_t)SL_MIN(sampler->lag_ns / CLOCK_NS_PER_MS, UINT32_MAX),
		.error_percent = sample_errors(s),
		.queue = sample_queue(s),
	};

	sampler->lag_ns = 0;
	atomic_store_explicit(&sampler->cpu_percent, sample.cpu_percent, memory_order_relaxed);
	atomic_store_explicit(&sampler->lag_ms, sample.lag_ms, memory_order_relaxed);
	atomic_store_explicit(&sampler->error_percent, sample.error_percent, memory_order_relaxed);
	atomic_store_explicit(&sampler->queue, sample.queue, memory_order_relaxed);
	if (guard_load_update(&s->shared.load, &s->now.config->parts.load, &sample, now_ns))
		sampler_tell(&sample, guard_load_level(&s->shared.load));
}

/* How late a worker comes to a message; one that has not come to the last yet is late by so much already. */
static void sampler_ping(struct app_server *s, struct app_worker *w, uint64_t now_ns)
{
	uint64_t sent = atomic_load(&w->ping_ns);
	uint64_t lag = sent ? now_ns - sent : atomic_load(&w->lag_ns);

	s->sampler.lag_ns = SL_MAX(s->sampler.lag_ns, lag);
	if (sent || w->quits)
		return;
	atomic_store(&w->ping_ns, now_ns);
	app_worker_order(w, APP_ORDER_PING);
}

static void sampler_pinged(struct io_timer *timer)
{
	struct app_server *s = SL_CONTAINER(timer, struct app_server, sampler.ping);
	uint64_t now_ns = clock_monotonic_ns();

	for (unsigned i = 0; i < s->worker_count; i++)
		sampler_ping(s, &s->workers[i], now_ns);
	if (++s->sampler.pings == APP_PINGS) {
		s->sampler.pings = 0;
		sampler_take(s, now_ns);
	}
	io_timer_set(s->loop, &s->sampler.ping, APP_PING_MS);
}

static void sampler_looked(struct io_timer *timer)
{
	struct app_server *s = SL_CONTAINER(timer, struct app_server, sampler.look);

	app_parts_refresh(&s->now.config->parts);
	io_timer_set(s->loop, &s->sampler.look, GUARD_ACCESS_LOOK_MS);
}

static void sampler_begin(struct app_server *s)
{
	struct app_sampler *sampler = &s->sampler;

	sampler->wall_ns = clock_monotonic_ns();
	sampler->cpu_ns = process_cpu_ns();
	for (unsigned i = 0; i < SL_ARRAY_SIZE(sampler->seconds); i++)
		sample_errors(s);
	sampler->ping.fire = sampler_pinged;
	io_timer_set(s->loop, &sampler->ping, APP_PING_MS);
}

void app_sampler_configure(struct app_server *s)
{
	const struct app_parts *parts = &s->now.config->parts;
	bool on = atomic_load(&s->sampler.on), files = false;

	for (const struct app_list *l = parts->lists; l; l = l->next)
		files = files || l->files;
	if (parts->load.on && !on)
		sampler_begin(s);
	if (!parts->load.on && on) {
		io_timer_stop(&s->sampler.ping);
		atomic_store(&s->shared.load.level, GUARD_NORMAL);
	}
	atomic_store(&s->sampler.on, parts->load.on);
	s->sampler.look.fire = sampler_looked;
	if (files)
		io_timer_set(s->loop, &s->sampler.look, GUARD_ACCESS_LOOK_MS);
	else
		io_timer_stop(&s->sampler.look);
}

void app_sampler_stop(struct app_server *s)
{
	io_timer_stop(&s->sampler.ping);
	io_timer_stop(&s->sampler.look);
}
