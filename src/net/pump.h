/* internal: the pump moves a source into a conn; the only loop of its kind. */
#ifndef SLUICE_NET_PUMP_H
#define SLUICE_NET_PUMP_H

#include "net/conn.h"

#define PUMP_TO_END UINT64_MAX

/* Pipes are asked for after this much, when there is as much to come: below it copying is cheaper. */
#define PUMP_SPLICE_AFTER 65536
/* Each pipe is two descriptors: after one with less than this, none is asked for while the conn has bytes to send. */
#define PUMP_PIPE_SMALL 4096

/*
 * Pulls while the conn is not full, waits for whichever side is slow. Embedded by its owner, zeroed. After a segment of
 * a file it pulls on when the kernel has taken all of it: a source that looks at its file then knows what was sent.
 * frame: if set, is given each segment instead of conn_send and sends it framed (chunked coding); takes the
 * segment over; 0 or -errno.
 * done: from the top of the loop or from inside pump_start; 0 when every byte was handed to the conn, else -errno:
 * the source's, the conn's, frame's, or -ENODATA when the source ended before bytes_max. The source is still open: the
 * owner asks it for trailers and closes it.
 */
struct pump {
	struct source *source;
	struct conn *conn;
	uint64_t bytes; /* pulled so far */
	uint64_t
		bytes_max; /* what is promised; more is not pulled. PUMP_TO_END: to the source's end */
	int (*frame)(struct pump *, struct seg);
	void (*done)(struct pump *, int result);
	void *owner;
	uint8_t state; /* enum pump_state */
	bool file;     /* the last segment was of a file */
	bool pipe;     /* some were pipes: the last bytes may be, too */
	bool copy;     /* the owner wants no pipes now */
	bool small;    /* so was the last pipe */
};

/* Sets source->wake and conn->drained. source, conn, bytes_max, frame, done and owner are set by the caller. */
void pump_start(struct pump *);
/* Stops moving; no done. The source stays the owner's, who closes it or waits for it himself before the loop goes on. */
void pump_stop(struct pump *);

/* The owner of conn->drained forwards it here while the pump runs. */
void pump_drained(struct pump *);

#endif
