/* public: the loop that everything else of libsluice runs on */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_LOOP_H
#define SLUICE_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include <sluice/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One loop a thread: everything that is made on a loop is used on the thread that runs it. Errors are -errno
 * throughout the library.
 */
struct sl_loop;

/*
 * engine: "auto", "io_uring", "epoll", "poll" or "select"; NULL is "auto". On failure NULL, with a sentence in
 * why (why_len bytes with its end; may be NULL with 0).
 */
SL_API struct sl_loop *sl_loop_new(const char *engine, char *why, size_t why_len);
/* "io_uring", "epoll", "poll" or "select". */
SL_API const char *sl_loop_engine(const struct sl_loop *);
/* Until sl_loop_stop. 0, or -errno when the poller itself failed. */
SL_API int sl_loop_run(struct sl_loop *);
/* From any thread and from signal handlers. sl_loop_run returns soon; it may be called again. */
SL_API void sl_loop_stop(struct sl_loop *);
/*
 * After everything on the loop was closed: runs what is still to be said to their owners, then frees it.
 * -EBUSY when something stays open for a second; then nothing is freed.
 */
SL_API int sl_loop_free(struct sl_loop *);

/* A timer. It is armed once; `fire` may arm it again or free it. */
struct sl_timer;
SL_API struct sl_timer *sl_timer_new(struct sl_loop *, void (*fire)(struct sl_timer *, void *owner),
				     void *owner);
SL_API void sl_timer_set(struct sl_timer *, uint64_t after_ms);
SL_API void sl_timer_stop(struct sl_timer *);
SL_API void sl_timer_free(struct sl_timer *);

#ifdef __cplusplus
}
#endif

#endif
