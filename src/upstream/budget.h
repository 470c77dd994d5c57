/* internal: how many requests of a group may be tried again, so that retries do not finish a server that is tired. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_UPSTREAM_BUDGET_H
#define SLUICE_UPSTREAM_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BUDGET_SECONDS 10
/* A second: a group with few requests may still try again. They may come at once: the sum over BUDGET_SECONDS counts. */
#define BUDGET_RETRIES_MIN 3
/* Of requests and of retries a second; what is above is not counted. */
#define BUDGET_COUNT_MAX ((1u << 22) - 1)

/* Of one group, used by all workers; a second is one word, with its time in it. Zeroed at the beginning. */
struct budget {
	_Atomic uint64_t seconds[BUDGET_SECONDS];
};

/* That many requests began: their first tries. */
void budget_requests(struct budget *, uint64_t now_ns, uint32_t count);
/*
 * Whether it may be tried again: counted when it may. Exact: of any number of threads that ask at once no more than the budget
 * hear yes.
 */
bool budget_retry(struct budget *, uint32_t percent, uint64_t now_ns);

#endif
