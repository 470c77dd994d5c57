// SPDX-License-Identifier: Apache-2.0
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "handler/files/compress.h"
#include "handler/files/state.h"

/* --- a small file into memory --- */

static void load_end(struct files_req *req)
{
	struct files *files = req->files;
	struct file_rep *rep = req->loading;

	free(req->bytes);
	req->bytes = NULL;
	req->loading = NULL;
	file_rep_read_end(rep);
	if (req->entry)
		file_cache_recount(&files->cache, req->entry);
	file_rep_unref(rep);
}

/* All bytes are there. They are one state of the file only when it did not change while they were read. */
static void load_done(struct files_req *req)
{
	struct file_rep *rep = req->loading;

	if (!rep->content) {
		if (file_rep_look(rep) < 0) {
			load_end(req);
			files_req_restart(req);
			return;
		}
		file_rep_adopt(rep, req->bytes);
		req->bytes = NULL;
	}
	load_end(req);
	files_answer(req, req->entry);
}

static void load_read(struct io_op *op, int result);

/* Reads what is in the page cache; the rest through the loop. */
static void load_more(struct files_req *req)
{
	struct file_rep *rep = req->loading;

	while (req->loaded < rep->size) {
		uint8_t *to = req->bytes + req->loaded;
		size_t want = rep->size - req->loaded;
		ssize_t n = io_try_read(req->files->loop, rep->fd, to, want, (int64_t)req->loaded);

		if (n > 0) {
			req->loaded += (uint64_t)n;
			continue;
		}
		if (n == 0) {
			load_end(req);
			files_req_restart(req);
			return;
		}
		/* Anything else than "not in memory" will fail again, and then say why. */
		req->op = (struct io_op){.cb = load_read, .code = IO_READ};
		req->op.u.file.fd = rep->fd;
		req->op.u.file.mem = to;
		req->op.u.file.len = want;
		req->op.u.file.off = (int64_t)req->loaded;
		req->in_flight = true;
		io_submit(req->files->loop, &req->op);
		return;
	}
	load_done(req);
}

static void load_read(struct io_op *op, int result)
{
	struct files_req *req = SL_CONTAINER(op, struct files_req, op);

	req->in_flight = false;
	if (!req->stream) {
		load_end(req);
		files_req_free(req);
	} else if (result < 0) {
		files_log_error(req->files, "read", req->loading->path, result);
		load_end(req);
		files_req_fail(req, 500);
	} else if (result == 0) {
		load_end(req);
		files_req_restart(req);
	} else {
		req->loaded += (uint64_t)result;
		load_more(req);
	}
}

void files_load(struct files_req *req, struct file_rep *rep)
{
	assert(rep->size > 0 && rep->fd >= 0);
	req->bytes = malloc(rep->size);
	if (!req->bytes) {
		files_req_fail(req, 503);
		return;
	}
	req->state = REQ_LOAD;
	req->loading = file_rep_ref(rep);
	req->loaded = 0;
	file_rep_read_begin(rep);
	load_more(req);
}

/* --- a coding that is not there yet --- */

struct compress_job {
	struct io_op op;
	struct files *files;
	struct file_entry *entry;
	struct file_rep *rep;
	enum http_coding coding;
	int level;
	uint8_t *bytes;
	size_t len;
};

static int job_run(struct io_op *op)
{
	struct compress_job *job = SL_CONTAINER(op, struct compress_job, op);

	return compress_rep(job->rep, job->coding, job->level, &job->bytes, &job->len);
}

/* Takes over the job's bytes. */
static void job_keep(struct compress_job *job)
{
	struct file_entry *entry = job->entry;
	struct file_rep_make make = {
		.config = job->files->config,
		.path = entry->key,
		.id = job->rep->id,
		.size = job->len,
		.coding = job->coding,
		.generated = true,
		.negotiated = true,
		.now_ns = (int64_t)clock_realtime_ns(),
	};
	struct file_rep *rep = entry->reps[job->coding] ? NULL : file_rep_new(&make);

	if (!rep) {
		free(job->bytes);
		return;
	}
	file_rep_adopt(rep, job->bytes);
	entry->reps[job->coding] = rep;
	file_cache_recount(&job->files->cache, entry);
}

static void wake_waiters(struct file_entry *entry, enum http_coding coding)
{
	struct list woken;

	list_init(&woken);
	while (!list_empty(&entry->waiters)) {
		struct list *item = entry->waiters.next;

		list_del(item);
		list_add(&woken, item);
	}
	while (!list_empty(&woken)) {
		struct list *item = woken.next;
		struct files_req *req = SL_CONTAINER(item, struct files_req, waiter);

		list_del(item);
		if (req->coding == coding)
			files_answer(req, entry);
		else
			list_add(&entry->waiters, item);
	}
}

static void job_done(struct io_op *op, int result)
{
	struct compress_job *job = SL_CONTAINER(op, struct compress_job, op);
	struct file_entry *entry = job->entry;
	struct files *files = job->files;

	files->compressions--;
	entry->compressing &= (uint8_t) ~(1u << job->coding);
	if (result == 0 && files->detached)
		free(job->bytes);
	else if (result == 0)
		job_keep(job);
	if (!entry->reps[job->coding]) {
		entry->refused |= (uint8_t)(1u << job->coding);
		entry->offered &= (uint8_t) ~(1u << job->coding);
	}
	wake_waiters(entry, job->coding);
	file_rep_unref(job->rep);
	file_entry_unref(entry);
	free(job);
	files_unref(files);
}

static bool job_start(struct files *files, struct file_entry *entry, enum http_coding coding)
{
	struct compress_job *job;

	if (files->compressions == FILES_COMPRESSIONS_MAX)
		return false;
	job = malloc(sizeof(*job));
	if (!job)
		return false;
	*job = (struct compress_job){
		.op = {.cb = job_done, .code = IO_WORK},
		.files = files,
		.entry = entry,
		.rep = file_rep_ref(entry->reps[HTTP_IDENTITY]),
		.coding = coding,
		.level = files->config->compress.level,
	};
	job->op.u.work.run = job_run;
	entry->refs++;
	entry->compressing |= (uint8_t)(1u << coding);
	files->refs++;
	files->compressions++;
	io_submit(files->loop, &job->op);
	return true;
}

bool files_compress(struct files_req *req, enum http_coding coding)
{
	struct file_entry *entry = req->entry;

	if (!(entry->compressing & (1u << coding)) && !job_start(req->files, entry, coding))
		return false;
	req->state = REQ_COMPRESS;
	req->coding = (uint8_t)coding;
	list_add(&entry->waiters, &req->waiter);
	return true;
}
