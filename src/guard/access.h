/* internal: access lists: who may come in, by the longest prefix of the address. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_GUARD_ACCESS_H
#define SLUICE_GUARD_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/addr.h"

#define GUARD_ACCESS_ENTRIES_MAX 1000000u
#define GUARD_ACCESS_FILE_MAX (64u << 20)

/* Immutable. Prefixes are "10.0.0.0/8", "::1", "all". The longest one decides; a tie is refused when it is read. */
struct guard_access_config {
	struct str name;
	const struct str *allow, *deny; /* prefixes */
	unsigned allow_count, deny_count;
	const struct str *allow_files,
		*deny_files; /* one prefix a line, '#' begins a comment; absolute paths */
	unsigned allow_file_count, deny_file_count;
	bool deny_others; /* what no prefix holds */
};

struct guard_access;
/* 0; -EINVAL with "file:line: what and the cure" in why; -errno of a file. One reference. */
int guard_access_new(const struct guard_access_config *, struct guard_access **, char *why,
		     size_t why_len);
struct guard_access *guard_access_ref(struct guard_access *);
void guard_access_unref(struct guard_access *);
/* Any thread, without a lock. A Unix socket's peer is allowed. */
bool guard_access_allows(struct guard_access *, const struct net_addr *);
/*
 * Looks whether a file has changed (mtime, size, inode) and reads the lists anew when one has; what cannot be read keeps the
 * old ones, and says so in the log. Blocks: for the main thread, every GUARD_ACCESS_LOOK_MS. True: they changed.
 */
bool guard_access_refresh(struct guard_access *);
#define GUARD_ACCESS_LOOK_MS 2000

#endif
