// SPDX-License-Identifier: Apache-2.0
#include "guard/access.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "guard/access_table.h"

/* Threads that look something up share so many counters; a power of two. */
#define ACCESS_LANES 64
#define ACCESS_WHY_MAX 512
/* Files are told apart by a number of 16 bits, the last of which stands for the configuration. */
#define ACCESS_FILES_MAX 1024u
#define ACCESS_INLINE UINT16_MAX

/* Lookups that are running, of the threads of this lane. */
struct access_lane {
	_Atomic uint32_t running;
	uint8_t apart[60];
};

/* What a file looked like when it was read; all zero: it was not there. */
struct access_mark {
	uint64_t device, inode, size;
	struct timespec changed;
};

struct access_file {
	struct str path;
	bool allow;
	struct access_mark mark;
};

/*
 * The table that is looked at is replaced as a whole. Who looks something up counts itself into a lane first and
 * takes the table after that; so once a lane was seen empty after the change, nobody in it holds the old table. Lookups
 * take tens of nanoseconds, so every lane is soon seen empty.
 */
struct guard_access {
	_Atomic(struct access_table *) table;
	_Atomic uint32_t refs;
	struct access_lane *lanes;
	struct arena arena; /* what follows */
	struct str name;
	struct str *inline_allow, *inline_deny;
	unsigned inline_allow_count, inline_deny_count;
	struct access_file *files;
	unsigned file_count;
	bool allow_others;
};

static _Atomic uint32_t next_lane;
static _Thread_local uint32_t own_lane; /* plus one */

static struct access_lane *lane_of(struct guard_access *a)
{
	if (SL_UNLIKELY(!own_lane))
		own_lane = 1 + atomic_fetch_add_explicit(&next_lane, 1, memory_order_relaxed) %
				       ACCESS_LANES;
	return &a->lanes[own_lane - 1];
}

bool guard_access_allows(struct guard_access *a, const struct net_addr *addr)
{
	struct access_lane *lane = lane_of(a);

	/* In one order for all threads: whoever replaces the table sees us, or we see the new one. */
	atomic_fetch_add(&lane->running, 1);
	bool allowed = access_table_allows(atomic_load(&a->table), addr);
	atomic_fetch_sub_explicit(&lane->running, 1, memory_order_release);
	return allowed;
}

static void access_publish(struct guard_access *a, struct access_table *table)
{
	struct access_table *old = atomic_exchange(&a->table, table);

	for (unsigned i = 0; old && i < ACCESS_LANES; i++)
		while (atomic_load(&a->lanes[i].running))
			sched_yield();
	access_table_free(old);
}

/* Reading. */

struct access_reading {
	struct guard_access *access;
	struct access_entries entries;
	char *why;
	size_t why_len;
};

static int read_failed(struct access_reading *r, const struct access_file *f, int err)
{
	snprintf(r->why, r->why_len, "%.*s: cannot be read: %s", STR_ARG(f->path), err_text(err));
	return err;
}

static int read_lines(struct access_reading *r, uint16_t number, struct str text)
{
	const struct access_file *f = &r->access->files[number];
	char reason[ACCESS_WHY_MAX];
	uint32_t at = 0;
	struct str line;

	while (str_next(&text, '\n', &line)) {
		ptrdiff_t comment = str_find_byte(line, '#');

		at++;
		if (line.len && line.p[line.len - 1] == '\r')
			line.len--;
		if (comment >= 0)
			line = str_head(line, (size_t)comment);
		line = str_trim(line);
		if (!line.len)
			continue;
		int err = access_entries_add(&r->entries, line, f->allow, at, number, reason,
					     sizeof(reason));
		if (err) {
			snprintf(r->why, r->why_len, "%.*s:%" PRIu32 ": %s", STR_ARG(f->path), at,
				 reason);
			return err;
		}
	}
	return 0;
}

static struct access_mark mark_of(const struct stat *st)
{
	return (struct access_mark){.device = st->st_dev,
				    .inode = st->st_ino,
				    .size = (uint64_t)st->st_size,
				    .changed = st->st_mtim};
}

static bool mark_eq(const struct access_mark *a, const struct access_mark *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* What is there now, up to the size that the mark tells. */
static int read_text(struct access_reading *r, struct access_file *f, int fd, char **text,
		     size_t *len)
{
	struct stat st;
	ssize_t n = 1;

	if (fstat(fd, &st))
		return read_failed(r, f, -errno);
	if (!S_ISREG(st.st_mode)) {
		snprintf(r->why, r->why_len, "%.*s: not a regular file", STR_ARG(f->path));
		return -EINVAL;
	}
	f->mark = mark_of(&st);
	if (f->mark.size > GUARD_ACCESS_FILE_MAX) {
		snprintf(r->why, r->why_len, "%.*s: larger than %u MiB (split it)",
			 STR_ARG(f->path), GUARD_ACCESS_FILE_MAX >> 20);
		return -EFBIG;
	}
	*text = malloc(f->mark.size + 1);
	if (!*text)
		return read_failed(r, f, -ENOMEM);
	for (*len = 0; *len < f->mark.size && n > 0; *len += (size_t)n) {
		n = read(fd, *text + *len, f->mark.size - *len);
		if (n < 0)
			return read_failed(r, f, -errno);
	}
	return 0;
}

static int read_file(struct access_reading *r, uint16_t number)
{
	struct access_file *f = &r->access->files[number];
	int fd = open(f->path.p, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text = NULL;
	size_t len = 0;

	f->mark = (struct access_mark){0};
	if (fd < 0)
		return read_failed(r, f, -errno);
	int err = read_text(r, f, fd, &text, &len);
	close(fd);
	if (!err)
		err = read_lines(r, number, (struct str){text, len});
	free(text);
	return err;
}

static int read_inline(struct access_reading *r, const struct str *v, unsigned n, bool allow)
{
	for (unsigned i = 0; i < n; i++) {
		int err = access_entries_add(&r->entries, v[i], allow, 0, ACCESS_INLINE, r->why,
					     r->why_len);
		if (err)
			return err;
	}
	return 0;
}

static size_t print_place(const struct access_reading *r, const struct access_entry *e, char *to,
			  size_t len)
{
	int n = e->source == ACCESS_INLINE
		      ? snprintf(to, len, "the configuration")
		      : snprintf(to, len, "%.*s:%" PRIu32,
				 STR_ARG(r->access->files[e->source].path), e->line);

	return (size_t)n;
}

static int read_refuse_tie(struct access_reading *r, const struct access_entry *tie)
{
	char here[ACCESS_WHY_MAX], there[ACCESS_WHY_MAX];
	unsigned later = tie[0].source == ACCESS_INLINE ? 1 : 0;

	/* The place of a file goes first: it has a line. */
	print_place(r, &tie[later], here, sizeof(here));
	print_place(r, &tie[!later], there, sizeof(there));
	snprintf(r->why, r->why_len,
		 "%s: the same prefix is %s here and %s in %s (remove one of them)", here,
		 tie[later].allow ? "allowed" : "denied", tie[later].allow ? "denied" : "allowed",
		 there);
	return -EINVAL;
}

static int access_read(struct guard_access *a, struct access_table **table, char *why,
		       size_t why_len)
{
	struct access_reading r = {.access = a, .why = why, .why_len = why_len};
	const struct access_entry *tie = NULL;
	int err = read_inline(&r, a->inline_allow, a->inline_allow_count, true);

	if (!err)
		err = read_inline(&r, a->inline_deny, a->inline_deny_count, false);
	/* All of them, so that each has a mark: a wrong one is not read again before it changes. */
	for (unsigned i = 0; i < a->file_count; i++) {
		char ignored[ACCESS_WHY_MAX];
		r.why = err ? ignored : why;
		r.why_len = err ? sizeof(ignored) : why_len;
		int failed = read_file(&r, (uint16_t)i);
		err = err ? err : failed;
	}
	r.why = why;
	r.why_len = why_len;
	if (!err)
		err = access_table_new(&r.entries, a->allow_others, table, &tie);
	if (tie)
		err = read_refuse_tie(&r, tie);
	else if (err == -ENOMEM)
		snprintf(why, why_len, "out of memory");
	access_entries_free(&r.entries);
	return err == -E2BIG || err == -EFBIG ? -EINVAL : err;
}

/* Making. */

static struct str *copy_list(struct guard_access *a, const struct str *v, unsigned n)
{
	struct str *copy = arena_zalloc(&a->arena, (n + 1) * sizeof(*copy));

	for (unsigned i = 0; copy && i < n; i++) {
		copy[i] = arena_dup(&a->arena, v[i]);
		if (!copy[i].p)
			return NULL;
	}
	return copy;
}

static int access_copy(struct guard_access *a, const struct guard_access_config *c)
{
	struct str *allow = copy_list(a, c->allow_files, c->allow_file_count);
	struct str *deny = copy_list(a, c->deny_files, c->deny_file_count);

	a->file_count = c->allow_file_count + c->deny_file_count;
	a->files = arena_zalloc(&a->arena, (a->file_count + 1) * sizeof(*a->files));
	a->name = arena_dup(&a->arena, c->name);
	a->inline_allow = copy_list(a, c->allow, c->allow_count);
	a->inline_deny = copy_list(a, c->deny, c->deny_count);
	if (!allow || !deny || !a->files || !a->name.p || !a->inline_allow || !a->inline_deny)
		return -ENOMEM;
	a->inline_allow_count = c->allow_count;
	a->inline_deny_count = c->deny_count;
	a->allow_others = !c->deny_others;
	for (unsigned i = 0; i < a->file_count; i++) {
		bool is_allow = i < c->allow_file_count;
		a->files[i].path = is_allow ? allow[i] : deny[i - c->allow_file_count];
		a->files[i].allow = is_allow;
	}
	return 0;
}

static void access_free(struct guard_access *a)
{
	access_table_free(atomic_load(&a->table));
	arena_free(&a->arena);
	free(a->lanes);
	free(a);
}

int guard_access_new(const struct guard_access_config *c, struct guard_access **out, char *why,
		     size_t why_len)
{
	if (c->allow_file_count > ACCESS_FILES_MAX || c->deny_file_count > ACCESS_FILES_MAX) {
		snprintf(why, why_len, "more than %u files (join some)", ACCESS_FILES_MAX);
		return -EINVAL;
	}
	struct guard_access *a = calloc(1, sizeof(*a));
	struct access_table *table = NULL;
	int err = -ENOMEM;

	if (a) {
		arena_init_shared(&a->arena);
		a->lanes = aligned_alloc(64, ACCESS_LANES * sizeof(*a->lanes));
		err = a->lanes ? access_copy(a, c) : -ENOMEM;
	}
	if (err) {
		snprintf(why, why_len, "out of memory");
		if (a)
			access_free(a);
		return err;
	}
	for (unsigned i = 0; i < ACCESS_LANES; i++)
		atomic_init(&a->lanes[i].running, 0);
	atomic_init(&a->refs, 1);
	err = access_read(a, &table, why, why_len);
	if (err) {
		access_free(a);
		return err;
	}
	atomic_store(&a->table, table);
	*out = a;
	return 0;
}

struct guard_access *guard_access_ref(struct guard_access *a)
{
	if (a)
		atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
	return a;
}

void guard_access_unref(struct guard_access *a)
{
	if (a && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
		access_free(a);
}

/* Reading anew. */

static bool access_changed(const struct guard_access *a)
{
	for (unsigned i = 0; i < a->file_count; i++) {
		struct access_mark mark = {0};
		struct stat st;

		if (stat(a->files[i].path.p, &st) == 0)
			mark = mark_of(&st);
		if (!mark_eq(&mark, &a->files[i].mark))
			return true;
	}
	return false;
}

bool guard_access_refresh(struct guard_access *a)
{
	struct access_table *table = NULL;
	char why[ACCESS_WHY_MAX];

	if (!access_changed(a))
		return false;
	if (access_read(a, &table, why, sizeof(why))) {
		log_error("access \"%.*s\": the lists stay as they were: %s", STR_ARG(a->name),
			  why);
		return false;
	}
	log_info("access \"%.*s\": read anew, %zu prefixes in %zu bytes", STR_ARG(a->name),
		 table->entries, table->bytes);
	access_publish(a, table);
	return true;
}
