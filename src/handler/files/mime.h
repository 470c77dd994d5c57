/* internal: the content type of a file, from its name. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HANDLER_FILES_MIME_H
#define SLUICE_HANDLER_FILES_MIME_H

#include <stdbool.h>

#include "base/str.h"
#include "handler/files.h"

/* `text`: written in a character set, which the caller may name. */
struct mime {
	struct str type;
	bool text;
};

/* Extensions longer than this are unknown. */
#define MIME_EXTENSION_MAX 16

/*
 * By the extension of the last segment of `path`, of any case, or by the whole segment when it has no dot
 * ("README"). The configuration's own types come first, then the built-in table, then the default type. A
 * configured type is sent as it is written, so `text` is false.
 */
struct mime mime_find(const struct files_config *, struct str path);

/* True when `type` (parameters do not count) is in the list: "text/" takes all below it. */
bool mime_listed(struct str type, const struct str *list, unsigned count);

#endif
