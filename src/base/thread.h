/* internal: what a thread that used the base room does before it ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_THREAD_H
#define SLUICE_BASE_THREAD_H

#include <stddef.h>

/*
 * Buffers, chain nodes, arena blocks and every other slab belong to the thread that first used them, and so
 * does their memory: it does not go back by itself when the thread ends. A thread calls this last, after
 * its loop is closed and everything that it made is freed.
 *
 * Pools with nothing in use are emptied, whichever room they belong to. Returns the number of objects that are
 * still in use: those are leaks of the caller, and their pools stay as they are. Calling it twice is harmless,
 * and a thread may go on using its pools afterwards: they start again from nothing. (Destructors of thread-local
 * storage are no place for this: their order is not ours.)
 */
size_t base_thread_exit(void);

/*
 * What else a thread keeps for later use, which is not memory: base_thread_exit calls `run` once, before it empties the
 * pools, and forgets it. Not while it is registered already.
 */
struct base_thread_hook {
	struct base_thread_hook *next;
	void (*run)(void);
};
void base_thread_at_exit(struct base_thread_hook *);

#endif
