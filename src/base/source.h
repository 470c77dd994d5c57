/* internal: sources, the one way in which bytes move: whoever can send, pulls. */
#ifndef SLUICE_BASE_SOURCE_H
#define SLUICE_BASE_SOURCE_H

#include "base/seg.h"

enum pull {
	PULL_DATA, /* *out holds at least one byte; its reference is the caller's */
	PULL_WAIT, /* nothing now; the source will call wake once */
	PULL_END,  /* all bytes were given; so says every later pull */
	PULL_FAIL, /* source->error says why (-errno); so says every later pull */
};

struct source;
struct http_fields;

struct source_ops {
	/*
	 * At most `want` > 0 bytes of a kind in `kinds`. SEG_MEM may always be returned, the other kinds only
	 * when asked for. Never calls wake inline.
	 */
	enum pull (*pull)(struct source *, size_t want, unsigned kinds, struct seg *out);
	/* The consumer's last call, exactly once, after any result; why is 0 or -errno. Frees the source. */
	void (*close)(struct source *, int why);
	/* Optional, after PULL_END: the trailers, or NULL when there are none. They live until close. */
	const struct http_fields *(*trailers)(struct source *);
};

/*
 * The consumer sets wake and consumer before its first pull. After PULL_WAIT the source calls wake exactly
 * once when there is data, an end or a failure, always from the top of the loop (an operation's callback or a
 * task), so the consumer may pull, send and close inside it. No wake comes after close.
 */
struct source {
	const struct source_ops *ops;
	void (*wake)(struct source *, void *consumer);
	void *consumer;
	int error;
};

static inline enum pull source_pull(struct source *s, size_t want, unsigned kinds, struct seg *out)
{
	return s->ops->pull(s, want, kinds, out);
}

static inline void source_close(struct source *s, int why)
{
	s->ops->close(s, why);
}

static inline void source_wake(struct source *s)
{
	s->wake(s, s->consumer);
}

/*
 * A source over one segment: takes over its reference. It lives in `place`, which must outlive close.
 * With SEG_FILE, and a consumer that cannot take it, the bytes are read into buffers with pread; a file that has
 * become shorter fails with -EIO. Not for SEG_PIPE.
 */
struct source_seg {
	struct source source;
	struct seg seg;
};
struct source *source_seg_init(struct source_seg *place, struct seg seg);

#endif
