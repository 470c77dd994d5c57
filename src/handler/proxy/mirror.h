/* internal: copies of requests to another group, whose answers are thrown away. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_PROXY_MIRROR_H
#define SLUICE_HANDLER_PROXY_MIRROR_H

#include "handler/proxy/state.h"

/* Of an answer, which nobody wants: a longer one is cut. */
#define PROXY_MIRROR_ANSWER_MAX (1024 * 1024)

/*
 * The request was built: copies its share, which is exact over time, without chance: of 250 in a thousand every
 * fourth. With a body the copy grows as the body is pulled (p->body becomes the tee), and
 * leaves when it is whole. Never fails: what is over the bounds is counted and dropped.
 */
void proxy_mirror_begin(struct proxy_request *);
/* The request ends: a copy whose body is not whole is dropped. */
void proxy_mirror_finish(struct proxy_request *);
/* Ends all that are under way; from detach. */
void proxy_mirrors_stop(struct proxy *);

#endif
