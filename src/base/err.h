/* internal: errors are -errno; this names them for people and for JSON. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

/*
 * A function that can fail returns 0 (or a count) when it did what it says, and -errno when it did not; it
 * has then left nothing behind. Errors of a protocol (a bad request, a refused stream) are not errno values:
 * they have an enum in the room of that protocol.
 *
 * Both functions here take an errno with either sign, are safe on every thread and never return NULL.
 */

/* "ECONNRESET" for -ECONNRESET or ECONNRESET; "E?" for an unknown one. Static storage. */
const char *err_name(int error);

/* "connection reset by peer"; static storage. */
const char *err_text(int error);

#endif
