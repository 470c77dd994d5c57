/* internal: what single keys and blocks do beyond storing: called by the table of schema_keys.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_SCHEMA_HOOKS_H
#define SLUICE_APP_SCHEMA_HOOKS_H

#include "app/schema.h"

/*
 * The contracts are those of schema_key.apply, schema_block.begin, .end and .lent. `target` is what the block
 * of the key stores into: struct spec at the top, then spec_site, spec_route, spec_files and so on.
 */
#define HOOKS(X)                    \
	X(hook_access_file)         \
	X(hook_access_log_end)      \
	X(hook_admin_listen)        \
	X(hook_cidr)                \
	X(hook_error_page)          \
	X(hook_files_cache_control) \
	X(hook_files_end)           \
	X(hook_files_index)         \
	X(hook_files_root)          \
	X(hook_files_strip)         \
	X(hook_files_try)           \
	X(hook_files_type)          \
	X(hook_group)               \
	X(hook_header)              \
	X(hook_listen)              \
	X(hook_listen_end)          \
	X(hook_log_file)            \
	X(hook_pid)                 \
	X(hook_redirect_end)        \
	X(hook_redirect_to)         \
	X(hook_route_end)           \
	X(hook_route_lent)          \
	X(hook_site_end)            \
	X(hook_text)                \
	X(hook_top_end)             \
	X(hook_user)

#define X(name) void name(struct schema_run *, const struct ucl_node *, void *target);
HOOKS(X)
#undef X

#define HOOK_BEGINS(X)         \
	X(hook_admin_begin)    \
	X(hook_files_begin)    \
	X(hook_listen_begin)   \
	X(hook_redirect_begin) \
	X(hook_respond_begin)  \
	X(hook_route_begin)    \
	X(hook_site_begin)

#define X(name) void *name(struct schema_run *, const struct ucl_node *, void *parent);
HOOK_BEGINS(X)
#undef X

#endif
