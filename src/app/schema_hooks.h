/* internal: what single keys and blocks do beyond storing: called by the table of schema_keys.c. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_SCHEMA_HOOKS_H
#define SLUICE_APP_SCHEMA_HOOKS_H

#include "app/schema.h"

/*
 * The contracts are those of schema_key.apply, schema_block.begin, .end and .lent. `target` is what the block
 * of the key stores into: struct spec at the top, then spec_site, spec_route, spec_files and so on.
 */
/* clang-format off */
#define HOOKS(X) \
	X(hook_access_end) X(hook_access_file) X(hook_access_log_end) X(hook_access_prefix) \
	X(hook_adaptive_end) X(hook_admin_listen) X(hook_breaker_end) X(hook_cidr) \
	X(hook_error_page) X(hook_fallback_body) X(hook_fallback_end) \
	X(hook_fallback_status) X(hook_fallback_to) X(hook_files_cache_control) \
	X(hook_files_end) X(hook_files_index) X(hook_files_root) X(hook_files_strip) \
	X(hook_files_try) X(hook_files_type) X(hook_group) X(hook_header) X(hook_health_end) \
	X(hook_health_path) X(hook_health_status) X(hook_limit_end) X(hook_limit_key) \
	X(hook_limit_rate) X(hook_listen) X(hook_listen_end) X(hook_listen_proxy) \
	X(hook_listen_trusted) X(hook_load_end) X(hook_log_file) X(hook_mirror_end) \
	X(hook_mirror_to) X(hook_pid) X(hook_proxy_end) X(hook_proxy_host) \
	X(hook_proxy_path) X(hook_proxy_remove) X(hook_proxy_response_set) X(hook_proxy_set) \
	X(hook_proxy_to) X(hook_redirect_end) X(hook_redirect_to) X(hook_resolver) \
	X(hook_route_access) X(hook_route_end) X(hook_route_lent) X(hook_route_limit) \
	X(hook_route_load) X(hook_servers) X(hook_service_access) X(hook_service_end) \
	X(hook_service_limit) X(hook_service_listen) X(hook_service_mirror) \
	X(hook_service_proxy) X(hook_service_send_proxy) X(hook_site_access) \
	X(hook_site_end) X(hook_site_limit) X(hook_sni_end) X(hook_sni_name) \
	X(hook_sni_pair) X(hook_sni_proxy) X(hook_text) X(hook_top_end) \
	X(hook_upstream_balance) X(hook_upstream_end) X(hook_upstream_key) \
	X(hook_upstream_sticky) X(hook_user)

#define X(name) void name(struct schema_run *, const struct ucl_node *, void *target);
HOOKS(X)
#undef X

#define HOOK_BEGINS(X) \
	X(hook_access_begin) X(hook_adaptive_begin) X(hook_admin_begin) \
	X(hook_fallback_begin) X(hook_files_begin) X(hook_limit_begin) X(hook_listen_begin) \
	X(hook_mirror_begin) X(hook_proxy_begin) X(hook_redirect_begin) \
	X(hook_respond_begin) X(hook_route_begin) X(hook_server_begin) X(hook_site_begin) \
	X(hook_sni_begin) X(hook_tcp_begin) X(hook_udp_begin) X(hook_upstream_begin)


#define X(name) void *name(struct schema_run *, const struct ucl_node *, void *parent);
HOOK_BEGINS(X)
#undef X
/* clang-format on */

/* The parts of the table that stand in files of their own. */
extern const struct schema_block block_upstream, block_proxy, block_limit, block_access, block_load,
	block_adaptive, block_tcp, block_udp;
extern const struct schema_block block_listen;
extern const struct schema_word schema_words_send_proxy[];

#endif
