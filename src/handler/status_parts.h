/* internal: the status of groups of servers, limits, load and relays, in each format. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_STATUS_PARTS_H
#define SLUICE_HANDLER_STATUS_PARTS_H

#include "base/json.h"
#include "base/text.h"
#include "handler/status.h"

/*
 * Each is called after what status.h tells of the process itself, on any thread. Names are of the configuration: they
 * are escaped as the format asks.
 */

/* Lines "kind name key=value ..."; nothing for what is not configured. */
void status_parts_text(struct text *, const struct status_snapshot *);
/* Members of the object that is open. */
void status_parts_json(struct json *, const struct status_snapshot *);
/* Families; nothing for what is not configured. */
void status_parts_prometheus(struct text *, const struct status_snapshot *);

#endif
