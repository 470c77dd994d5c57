// SPDX-License-Identifier: Apache-2.0
#include "base/source.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

static enum pull fail(struct source_seg *s, int error)
{
	s->source.error = error;
	return PULL_FAIL;
}

static enum pull pull_copy(struct source_seg *s, size_t want, struct seg *out)
{
	struct buf *b = buf_alloc();
	ssize_t n;

	if (!b)
		return fail(s, -ENOMEM);
	do
		n = pread(s->seg.u.file.fd, b->data, SL_MIN(want, BUF_CAPACITY), s->seg.u.file.off);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		int error = n < 0 ? -errno : -EIO;

		buf_unref(b);
		return fail(s, error);
	}
	b->end = (uint32_t)n;
	*out = seg_mem(b->data, (size_t)n, &b->owner);
	seg_advance(&s->seg, (size_t)n);
	return PULL_DATA;
}

static enum pull seg_pull(struct source *source, size_t want, unsigned kinds, struct seg *out)
{
	struct source_seg *s = SL_CONTAINER(source, struct source_seg, source);
	size_t n = SL_MIN(want, s->seg.len);

	assert(want > 0);
	if (source->error)
		return PULL_FAIL;
	if (n == 0)
		return PULL_END;
	if (s->seg.kind == SEG_FILE && !(kinds & SEG_FILE))
		return pull_copy(s, n, out);
	*out = s->seg;
	out->len = n;
	seg_owner_ref(out->owner);
	seg_advance(&s->seg, n);
	return PULL_DATA;
}

static void seg_close(struct source *source, int why)
{
	seg_release(&SL_CONTAINER(source, struct source_seg, source)->seg);
}

struct source *source_seg_init(struct source_seg *place, struct seg seg)
{
	static const struct source_ops ops = {.pull = seg_pull, .close = seg_close};

	assert(seg.kind != SEG_PIPE);
	*place = (struct source_seg){.source = {.ops = &ops}, .seg = seg};
	return &place->source;
}
