// SPDX-License-Identifier: Apache-2.0
#include "observe/metric.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

_Thread_local uint64_t metric_slots[METRIC_SLOTS_MAX];
_Thread_local struct hist *metric_hists[METRIC_HISTS_MAX];

/* One for each thread that has entered, in its thread-local storage. */
struct counting_thread {
	struct list link;
	uint64_t *slots;
	struct hist **hists;
	bool entered;
};

static _Thread_local struct counting_thread this_thread;

/* Held to register, to enter and leave, and to read: never to count. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list threads = {&threads, &threads};
static struct metric *metrics; /* by name, then by labels */
static uint64_t past_slots[METRIC_SLOTS_MAX];
static struct hist past_hists[METRIC_HISTS_MAX];
static uint16_t slots_used = 1, hists_used = 1;

static int compare(const struct metric *a, const struct metric *b)
{
	int order = strcmp(a->name, b->name);

	return order ? order : strcmp(a->labels ? a->labels : "", b->labels ? b->labels : "");
}

static int register_locked(struct metric *m)
{
	uint16_t *used = m->kind == METRIC_HIST ? &hists_used : &slots_used;
	uint16_t most = m->kind == METRIC_HIST ? METRIC_HISTS_MAX : METRIC_SLOTS_MAX;
	struct metric **at = &metrics;

	for (struct metric *other = metrics; other; other = other->next)
		if (strcmp(other->name, m->name) == 0 && other->kind != m->kind)
			return -EEXIST;
	while (*at && compare(*at, m) < 0)
		at = &(*at)->next;
	if (*at && compare(*at, m) == 0)
		return -EEXIST;
	if (!m->read) {
		if (*used == most)
			return -ENOSPC;
		m->index = (*used)++;
	}
	m->next = *at;
	*at = m;
	return 0;
}

int metric_register(struct metric *m)
{
	int error;

	pthread_mutex_lock(&lock);
	error = register_locked(m);
	pthread_mutex_unlock(&lock);
	return error;
}

void metric_thread_enter(void)
{
	struct counting_thread *t = &this_thread;

	if (t->entered)
		return;
	memset(metric_slots, 0, sizeof(metric_slots));
	pthread_mutex_lock(&lock);
	t->slots = metric_slots;
	t->hists = metric_hists;
	t->entered = true;
	list_add(&threads, &t->link);
	pthread_mutex_unlock(&lock);
}

void metric_thread_leave(void)
{
	struct counting_thread *t = &this_thread;

	if (!t->entered)
		return;
	pthread_mutex_lock(&lock);
	list_del(&t->link);
	t->entered = false;
	for (const struct metric *m = metrics; m; m = m->next)
		if (m->kind == METRIC_COUNTER)
			past_slots[m->index] += metric_slots[m->index];
	for (unsigned i = 0; i < METRIC_HISTS_MAX; i++) {
		if (!metric_hists[i])
			continue;
		hist_merge(&past_hists[i], metric_hists[i]);
		free(metric_hists[i]);
		metric_hists[i] = NULL;
	}
	memset(metric_slots, 0, sizeof(metric_slots));
	pthread_mutex_unlock(&lock);
}

/* A thread's histogram of 15 KiB is made when it has a first value. */
struct hist *metric_hist_slow(const struct metric *m)
{
	struct hist *h;

	if (!this_thread.entered || m->index == 0)
		return NULL;
	h = calloc(1, sizeof(*h));
	__atomic_store_n(&metric_hists[m->index], h, __ATOMIC_RELEASE);
	return h;
}

static uint64_t read_locked(const struct metric *m)
{
	uint64_t sum;

	if (m->read)
		return m->read();
	if (m->index == 0)
		return 0;
	sum = past_slots[m->index];
	for (struct list *at = threads.next; at != &threads; at = at->next) {
		const struct counting_thread *t = SL_CONTAINER(at, struct counting_thread, link);

		sum += __atomic_load_n(&t->slots[m->index], __ATOMIC_RELAXED);
	}
	return sum;
}

static void read_hist_locked(const struct metric *m, struct hist *into)
{
	if (m->index == 0)
		return;
	hist_merge(into, &past_hists[m->index]);
	for (struct list *at = threads.next; at != &threads; at = at->next) {
		const struct counting_thread *t = SL_CONTAINER(at, struct counting_thread, link);
		const struct hist *h = __atomic_load_n(&t->hists[m->index], __ATOMIC_ACQUIRE);

		if (h)
			hist_merge(into, h);
	}
}

uint64_t metric_read(const struct metric *m)
{
	uint64_t value;

	pthread_mutex_lock(&lock);
	value = read_locked(m);
	pthread_mutex_unlock(&lock);
	return value;
}

void metric_read_hist(const struct metric *m, struct hist *into)
{
	pthread_mutex_lock(&lock);
	read_hist_locked(m, into);
	pthread_mutex_unlock(&lock);
}

static void write_value(struct text *t, const struct metric *m)
{
	uint64_t value = read_locked(m);

	text_printf(t, m->labels ? "%s{%s} " : "%s%s ", m->name, m->labels ? m->labels : "");
	/* A gauge may be below zero for a moment: one thread's share is read after another's. */
	if (m->kind == METRIC_GAUGE && (int64_t)value < 0)
		text_printf(t, "%lld\n", (long long)value);
	else
		text_printf(t, "%llu\n", (unsigned long long)value);
}

static void write_buckets(struct text *t, const struct metric *m)
{
	const char *labels = m->labels ? m->labels : "", *comma = m->labels ? "," : "";
	struct hist h = {0};

	read_hist_locked(m, &h);
	for (unsigned bits = m->from_bits; bits <= m->to_bits; bits++) {
		uint64_t bound = bits < 64 ? (1ull << bits) - 1 : UINT64_MAX;

		text_printf(t, "%s_bucket{%s%sle=\"%.9g\"} %llu\n", m->name, labels, comma,
			    (double)bound * m->scale, (unsigned long long)hist_count_to(&h, bound));
	}
	text_printf(t, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", m->name, labels, comma,
		    (unsigned long long)h.count);
	text_printf(t, m->labels ? "%s_sum{%s} %.9g\n" : "%s_sum%s %.9g\n", m->name, labels,
		    (double)h.sum * m->scale);
	text_printf(t, m->labels ? "%s_count{%s} %llu\n" : "%s_count%s %llu\n", m->name, labels,
		    (unsigned long long)h.count);
}

void metric_write_prometheus(struct text *t)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	const char *family = "";

	pthread_mutex_lock(&lock);
	for (const struct metric *m = metrics; m; m = m->next) {
		if (strcmp(family, m->name) != 0)
			text_printf(t, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
				    kinds[m->kind]);
		family = m->name;
		if (m->kind == METRIC_HIST)
			write_buckets(t, m);
		else
			write_value(t, m);
	}
	pthread_mutex_unlock(&lock);
}

static void write_json_hist(struct json *j, const char *key, const struct metric *m)
{
	struct hist h = {0};

	read_hist_locked(m, &h);
	json_open_object(j, key);
	json_u64(j, "count", h.count);
	json_double(j, "sum", (double)h.sum * m->scale);
	json_double(j, "min", (double)h.min * m->scale);
	json_double(j, "p50", (double)hist_quantile(&h, 0.5) * m->scale);
	json_double(j, "p90", (double)hist_quantile(&h, 0.9) * m->scale);
	json_double(j, "p99", (double)hist_quantile(&h, 0.99) * m->scale);
	json_double(j, "p999", (double)hist_quantile(&h, 0.999) * m->scale);
	json_double(j, "max", (double)h.max * m->scale);
	json_close(j);
}

void metric_write_json(struct json *j)
{
	pthread_mutex_lock(&lock);
	for (const struct metric *m = metrics; m; m = m->next) {
		char space[512];
		struct text key;

		text_init_fixed(&key, space, sizeof(space) - 1);
		text_put(&key, str_from(m->name));
		if (m->labels)
			text_printf(&key, "{%s}", m->labels);
		space[key.len] = 0;
		if (m->kind == METRIC_HIST)
			write_json_hist(j, space, m);
		else if (m->kind == METRIC_GAUGE)
			json_i64(j, space, (int64_t)read_locked(m));
		else
			json_u64(j, space, read_locked(m));
	}
	pthread_mutex_unlock(&lock);
}
