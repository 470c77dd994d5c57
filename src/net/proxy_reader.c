// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "net/conn_names.h"
#include "net/proxy_header.h"

static void reader_leave(struct proxy_reader *r)
{
	io_timer_stop(&r->timer);
	io_undefer(r->conn->loop, &r->task);
	r->conn->source.wake = NULL;
	r->conn->source.consumer = NULL;
	r->conn = NULL;
}

static void reader_fail(struct proxy_reader *r, int result)
{
	struct conn *c = r->conn;

	reader_leave(r);
	conn_close(c, result == -ENODATA ? CONN_DONE : result);
	r->done(r, NULL, result);
}

static void reader_succeed(struct proxy_reader *r, const struct proxy_header *h)
{
	struct conn *c = r->conn;

	if (!h->local && conn_set_names(c, &h->src, &h->dst)) {
		reader_fail(r, -ENOMEM);
		return;
	}
	reader_leave(r);
	r->done(r, c, 0);
}

/* True when it is over. */
static bool reader_take(struct proxy_reader *r, struct seg s)
{
	struct proxy_header h;
	const char *why;
	uint32_t before = r->len;

	memcpy(r->bytes + r->len, s.u.mem, s.len);
	r->len += (uint32_t)s.len;
	int n = proxy_header_parse(r->bytes, r->len, r->accept, &h, &why);
	if (n <= 0) {
		seg_release(&s);
		if (n < 0)
			reader_fail(r, n);
		return n < 0;
	}
	/* Without this segment it was not whole: what is over is at its end. */
	seg_advance(&s, (size_t)n - before);
	conn_unpull(r->conn, s);
	reader_succeed(r, &h);
	return true;
}

static void reader_run(struct proxy_reader *r)
{
	struct source *source = &r->conn->source;
	struct seg s;

	for (;;) {
		switch (source_pull(source, sizeof(r->bytes) - r->len, SEG_MEM, &s)) {
		case PULL_DATA:
			if (reader_take(r, s))
				return;
			break;
		case PULL_WAIT:
			return;
		case PULL_END:
			reader_fail(r, -ENODATA);
			return;
		case PULL_FAIL:
			reader_fail(r, source->error);
			return;
		}
	}
}

static void reader_woken(struct source *source, void *consumer)
{
	(void)source;
	reader_run(consumer);
}

static void reader_begin(struct io_task *task)
{
	reader_run(SL_CONTAINER(task, struct proxy_reader, task));
}

static void reader_late(struct io_timer *timer)
{
	reader_fail(SL_CONTAINER(timer, struct proxy_reader, timer), -ETIMEDOUT);
}

void proxy_reader_start(struct proxy_reader *r, struct conn *c, enum proxy_version accept)
{
	r->conn = c;
	r->accept = accept;
	r->len = 0;
	r->timer = (struct io_timer){.fire = reader_late};
	r->task = (struct io_task){.run = reader_begin};
	c->source.wake = reader_woken;
	c->source.consumer = r;
	io_timer_set(c->loop, &r->timer, PROXY_READ_TIMEOUT_MS);
	io_defer(c->loop, &r->task);
}

void proxy_reader_cancel(struct proxy_reader *r)
{
	struct conn *c = r->conn;

	if (!c)
		return;
	reader_leave(r);
	conn_close(c, -ECANCELED);
}
