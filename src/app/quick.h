/* internal: configurations that the command line makes without a file: to proxy, and to relay. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_APP_QUICK_H
#define SLUICE_APP_QUICK_H

#include "app/config.h"

enum app_quick_kind { APP_QUICK_PROXY, APP_QUICK_TCP, APP_QUICK_UDP };

struct app_quick {
	enum app_quick_kind kind;
	const char *const *to; /* servers, as in `servers` of an upstream */
	unsigned to_count;
	int balance;        /* enum upstream_balance; -1: as usual */
	const char *health; /* path; NULL: no checks */
	const char *host;   /* NULL: the client's */
	const char *admin;  /* "unix:/path"; NULL: none */
	int send_proxy;     /* enum proxy_version */
};

/*
 * One service on the addresses of the overrides (a proxy: on :8080 without), with one group, in the words of the command
 * line. 0 and *made, which has one reference; -EINVAL: see errors; -ENOMEM.
 */
int app_config_quick(const struct app_quick *, const struct app_overrides *,
		     struct app_config **made, struct app_errors *);

#endif
