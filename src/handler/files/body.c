// SPDX-License-Identifier: Apache-2.0
#include "handler/files/body.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

int file_rep_look(const struct file_rep *rep)
{
	struct file_id id;
	struct stat st;

	if (fstat(rep->fd, &st) < 0)
		return -errno;
	file_id_from_stat(&id, &st);
	/* Not the inode's own time: a file replaced by rename changes it, and stays what it was. */
	return id.size == rep->id.size && id.mtime_ns == rep->id.mtime_ns ? 0 : -ESTALE;
}

static enum pull body_fail(struct file_body *body, int error)
{
	body->source.error = error;
	body->warm->calls->failed(body->warm, body->rep, error);
	return PULL_FAIL;
}

static void body_warmed(struct warm_wait *wait, int result)
{
	struct file_body *body = SL_CONTAINER(wait, struct file_body, wait);

	/* An end of the file here is earlier than the head promised. */
	if (result <= 0)
		body_fail(body, result < 0 ? result : -ESTALE);
	else
		body->warm_until = wait->off + (uint64_t)result;
	body->looked_ns = 0;
	body->waiting = false;
	source_wake(&body->source);
}

static enum pull body_warm(struct file_body *body, uint64_t off, uint64_t len)
{
	body->wait.rep = body->rep;
	body->wait.off = off;
	body->wait.len = (uint32_t)SL_MIN(len, WARM_BYTES);
	body->wait.done = body_warmed;
	int error = warm_start(body->warm, &body->wait);

	if (error < 0)
		return body_fail(body, error);
	body->waiting = true;
	return PULL_WAIT;
}

/* For a consumer that takes memory only. */
static enum pull body_read(struct file_body *body, uint64_t off, size_t want, struct seg *out)
{
	struct buf *buf = buf_alloc();

	if (!buf)
		return body_fail(body, -ENOMEM);
	size_t len = SL_MIN(want, BUF_CAPACITY);
	ssize_t n = io_try_read(body->warm->loop, body->rep->fd, buf->data, len, (int64_t)off);

	if (n == -EAGAIN) {
		buf_unref(buf);
		return body_warm(body, off, want);
	}
	if (n == -EOPNOTSUPP) {
		n = pread(body->rep->fd, buf->data, len, (off_t)off);
		n = n < 0 ? -errno : n;
	}
	if (n <= 0) {
		int error = n < 0 ? (int)n : -ESTALE;

		buf_unref(buf);
		return body_fail(body, error);
	}
	*out = seg_mem(buf->data, (size_t)n, &buf->owner);
	return PULL_DATA;
}

/* Read first and looked at then: what was sent before was of this file too. */
static enum pull body_read_tail(struct file_body *body, uint64_t off, size_t len, struct seg *out)
{
	enum pull got = body_read(body, off, len, out);
	int error = got == PULL_DATA ? file_rep_look(body->rep) : 0;

	if (error == 0)
		return got;
	seg_release(out);
	return body_fail(body, error);
}

/* `left` bytes of the piece are to come, from `off` of the file. */
static enum pull body_pull_file(struct file_body *body, uint64_t off, uint64_t left, size_t want,
				unsigned kinds, struct seg *out)
{
	struct file_rep *rep = body->rep;
	uint64_t now_ns = io_now_ns(body->warm->loop);
	bool tail = left <= BODY_TAIL_BYTES;
	size_t len = SL_MIN(want, tail ? left : SL_MIN(left - BODY_TAIL_BYTES, BODY_CHUNK_BYTES));

	if (body->looked_ns != now_ns && !tail) {
		int error = file_rep_look(rep);

		if (error < 0)
			return body_fail(body, error);
		body->looked_ns = now_ns;
	}
	if (off < body->warm_until)
		len = SL_MIN(len, body->warm_until - off);
	else if (!residency_known(rep, off, len, now_ns))
		return body_warm(body, off, len);
	if (tail)
		return body_read_tail(body, off, len, out);
	if (!(kinds & SEG_FILE))
		return body_read(body, off, len, out);
	*out = seg_file(rep->fd, (off_t)off, len, seg_owner_ref(&rep->owner));
	return PULL_DATA;
}

static enum pull body_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct file_body *body = SL_CONTAINER(source, struct file_body, source);
	enum pull got = PULL_DATA;

	if (source->error)
		return PULL_FAIL;
	if (body->waiting)
		return PULL_WAIT;
	if (body->at == body->count)
		return PULL_END;
	const struct file_piece *piece = &body->pieces[body->at];
	uint64_t off = piece->off + body->done, left = piece->len - body->done;
	size_t len = SL_MIN(want, left);

	if (piece->text)
		*out = seg_mem(piece->text + body->done, len, NULL);
	else if (body->rep->content)
		*out = seg_mem(body->rep->content + off, len, seg_owner_ref(&body->rep->owner));
	else
		got = body_pull_file(body, off, left, want, kinds, out);
	if (got != PULL_DATA)
		return got;
	body->done += out->len;
	if (body->done == piece->len) {
		body->at++;
		body->done = 0;
	}
	return PULL_DATA;
}

static void body_close(struct source *source, int why)
{
	struct file_body *body = SL_CONTAINER(source, struct file_body, source);

	warm_stop(&body->wait);
}

static const struct source_ops body_ops = {.pull = body_pull, .close = body_close};

struct source *file_body_init(struct file_body *body, struct warm *warm, struct file_rep *rep,
			      const struct file_piece *pieces, unsigned count, uint64_t looked_ns)
{
	body->source = (struct source){.ops = &body_ops};
	body->warm = warm;
	body->rep = rep;
	body->pieces = pieces;
	body->count = count;
	body->at = 0;
	body->done = 0;
	body->warm_until = 0;
	body->looked_ns = looked_ns;
	body->waiting = false;
	body->wait.queued = false;
	body->wait.slot = NULL;
	return &body->source;
}

struct source *file_body_init_range(struct file_body *body, struct warm *warm, struct file_rep *rep,
				    uint64_t off, uint64_t len, uint64_t looked_ns)
{
	body->one = (struct file_piece){NULL, off, len};
	return file_body_init(body, warm, rep, &body->one, 1, looked_ns);
}
