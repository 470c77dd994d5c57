#include "net/pump.h"

#include <assert.h>
#include <errno.h>

/* One pull asks for at most this much: a file segment may be larger than what the conn holds, for it holds no memory. */
#define PUMP_WANT_MAX (2u * 1024 * 1024)

/* What came out of memory leaves while it is in the cache: in portions, and the last of it when no more comes. */
#define PUMP_FLUSH_BYTES (128u * 1024)
#define PUMP_FLUSH_LAST_BYTES (32u * 1024)

enum pump_state {
	PUMP_IDLE,   /* not started, stopped, or done */
	PUMP_MOVING, /* inside pump_move */
	PUMP_SOURCE, /* waits for the source's wake */
	PUMP_CONN,   /* waits for the conn to drain */
};

static void pump_flush(const struct pump *p, size_t least)
{
	if (p->conn->queued >= least && !p->file && !p->pipe)
		conn_flush(p->conn);
}

static void pump_finish(struct pump *p, int result)
{
	/* What is framed has its last chunk still to come. */
	if (!p->frame)
		pump_flush(p, PUMP_FLUSH_LAST_BYTES);
	p->state = PUMP_IDLE;
	p->source->wake = NULL;
	p->done(p, result);
}

/* As pump_one. What was not sent cannot be made good: going on would leave a hole. */
static int pump_send(struct pump *p, struct seg s)
{
	int err = p->frame ? p->frame(p, s) : conn_send(p->conn, s);

	if (err)
		pump_finish(p, err);
	else
		pump_flush(p, PUMP_FLUSH_BYTES);
	return err ? 1 : 0;
}

static unsigned pump_kinds(const struct pump *p, uint64_t left)
{
	bool copy = p->copy || (p->small && p->conn->queued);
	bool large = p->pipe || (p->bytes >= PUMP_SPLICE_AFTER && left >= PUMP_SPLICE_AFTER);

	return large && !copy ? p->conn->caps : p->conn->caps & ~(unsigned)SEG_PIPE;
}

/* 0 to go on, 1 when the pump waits, is done, or was stopped. */
static int pump_one(struct pump *p)
{
	struct seg s;
	uint64_t left = p->bytes_max - p->bytes;

	if (!left || p->conn->error) {
		pump_finish(p, left ? p->conn->error : 0);
		return 1;
	}
	if (conn_full(p->conn) || (p->file && p->conn->queued)) {
		if (p->file)
			conn_want_drained(p->conn);
		p->state = PUMP_CONN;
		return 1;
	}
	switch (source_pull(p->source, SL_MIN(left, PUMP_WANT_MAX), pump_kinds(p, left), &s)) {
	case PULL_DATA:
		p->bytes += s.len;
		p->file = s.kind == SEG_FILE;
		p->pipe |= s.kind == SEG_PIPE;
		if (s.kind == SEG_PIPE)
			p->small = s.len < PUMP_PIPE_SMALL;
		return pump_send(p, s);
	case PULL_WAIT:
		pump_flush(p, PUMP_FLUSH_LAST_BYTES);
		p->state = PUMP_SOURCE;
		return 1;
	case PULL_END:
		pump_finish(p, p->bytes_max == PUMP_TO_END ? 0 : -ENODATA);
		return 1;
	case PULL_FAIL:
		break;
	}
	pump_finish(p, p->source->error ? p->source->error : -EIO);
	return 1;
}

static void pump_move(struct pump *p)
{
	p->state = PUMP_MOVING;
	while (pump_one(p) == 0)
		;
}

static void pump_woken(struct source *source, void *consumer)
{
	struct pump *p = consumer;

	(void)source;
	assert(p->state == PUMP_SOURCE);
	pump_move(p);
}

void pump_start(struct pump *p)
{
	assert(p->state == PUMP_IDLE);
	p->file = p->pipe = false;
	p->source->wake = pump_woken;
	p->source->consumer = p;
	pump_move(p);
}

void pump_stop(struct pump *p)
{
	p->state = PUMP_IDLE;
}

void pump_drained(struct pump *p)
{
	if (p->state == PUMP_CONN || (p->state == PUMP_SOURCE && p->conn->error))
		pump_move(p);
}
