/* internal: the handler that sends clients elsewhere. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_REDIRECT_H
#define SLUICE_HANDLER_REDIRECT_H

#include <stdint.h>

#include "base/str.h"
#include "http/stream.h"

/*
 * Immutable and outlives every attach. `target` is a URL or an absolute path, in which these are replaced:
 *   $scheme  http or https
 *   $host    the host asked for, without its port
 *   $path    the normalised path, percent-encoded
 *   $rest    what follows the route's own path in it, without a slash in front
 *   $query   "?" and the query as it came, or nothing
 *   $$       a dollar
 * Bytes that may not stand in a URL leave percent-encoded, so nothing a client sends can add a field.
 */
struct redirect_config {
	uint16_t status; /* 301, 302, 303, 307 or 308 */
	struct str target;
};

/* 0, or -EINVAL with a phrase in *why: an unknown placeholder, no scheme and no '/' in front, a control character. */
int redirect_target_check(struct str target, const char **why);

/* Its config is a struct redirect_config. */
extern const struct handler_ops redirect_handler;

#endif
