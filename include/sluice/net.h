/* public: listeners and connections */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_NET_H
#define SLUICE_NET_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/loop.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sl_listener;
struct sl_conn;

/*
 * What a connection tells its owner, always from the loop. After on_closed the sl_conn is gone; it comes exactly once, after
 * the peer, an error or sl_conn_close ended it.
 */
struct sl_conn_events {
	/*
	 * Bytes of the peer, valid during the call. Nothing more is read while sl_conn_full: a peer that sends
	 * and does not read is slowed down, not buffered.
	 */
	void (*on_data)(struct sl_conn *, const void *data, size_t len);
	/* The peer sends no more. Sending is still possible. NULL: the connection is closed. */
	void (*on_end)(struct sl_conn *);
	/* Everything that was sent has left, after sl_conn_full was true. NULL: not wanted. */
	void (*on_drained)(struct sl_conn *);
	/* error: 0, or the -errno that ended it. NULL: not wanted. */
	void (*on_closed)(struct sl_conn *, int error);
};

/*
 * Listens on ":8080", "127.0.0.1:8080", "[::1]:8080" or "unix:/path". accepted: a new connection; it calls
 * sl_conn_start, or sl_conn_close. NULL with a sentence in why.
 */
SL_API struct sl_listener *sl_listen(struct sl_loop *, const char *address,
				     void (*accepted)(struct sl_conn *, void *owner), void *owner,
				     char *why, size_t why_len);
/* The address as bound, for port 0. Returns the length, as snprintf does. */
SL_API size_t sl_listener_address(const struct sl_listener *, char *text, size_t text_len);
/* Stops accepting; connections live on. The listener is gone. */
SL_API void sl_listener_close(struct sl_listener *);

SL_API void sl_conn_start(struct sl_conn *, const struct sl_conn_events *, void *owner);
SL_API void *sl_conn_owner(const struct sl_conn *);
/* Copies the bytes to what leaves at the end of this turn of the loop. 0 or -errno. */
SL_API int sl_conn_send(struct sl_conn *, const void *data, size_t len);
/* True when more should wait for on_drained. */
SL_API int sl_conn_full(const struct sl_conn *);
/* Sends what is queued, then ends. on_closed follows. */
SL_API void sl_conn_close(struct sl_conn *);
/* Drops what is queued; the peer sees a reset. on_closed follows. */
SL_API void sl_conn_reset(struct sl_conn *);

#ifdef __cplusplus
}
#endif

#endif
