/* internal: the handler that answers with what the configuration says. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_RESPOND_H
#define SLUICE_HANDLER_RESPOND_H

#include <stdint.h>

#include "base/str.h"
#include "http/fields.h"
#include "http/stream.h"

/* Immutable and outlives every attach. */
struct respond_config {
	uint16_t status; /* 200 to 599 */
	struct str type; /* of the body; empty: "text/plain; charset=utf-8" */
	struct str body; /* not sent with 204, 205 and 304 */
};

/* Its config is a struct respond_config. Answers every method that the route lets through. */
extern const struct handler_ops respond_handler;

#endif
