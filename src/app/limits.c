// SPDX-License-Identifier: Apache-2.0
// How many connections there is room for.
#include <sys/resource.h>
#include <sys/select.h>

#include "app/run.h"
#include "base/log.h"

/* Logs, signals, the admin socket and its clients; and of each worker its loop, and a reserve for each listener. */
#define LIMITS_OWN 64
#define LIMITS_WORKER 8
#define LIMITS_LISTENER 2
/* Of the rest a quarter is kept for the files that are being served, and at most so many for each worker. */
#define LIMITS_FILES_SHARE 4
#define LIMITS_FILES_MAX 1024

void app_limits_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

void app_limits_connections(const struct app_server *s, struct app_config *config)
{
	struct rlimit limit;
	uint64_t workers = s->worker_count;

	uint32_t *max = &config->http->limits.connections_max;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	uint64_t all = limit.rlim_cur;
	if (config->engine == IO_ENGINE_SELECT)
		all = SL_MIN(all, FD_SETSIZE);
	uint64_t own = LIMITS_OWN +
		       workers * (LIMITS_WORKER + LIMITS_LISTENER * (uint64_t)config->listen_count);
	uint64_t left = all > own ? all - own : 0;
	uint64_t files = SL_MIN(left / LIMITS_FILES_SHARE, workers * LIMITS_FILES_MAX);
	/* What is passed on takes a descriptor on either side. */
	uint64_t sides = config->parts.groups ? 2 : 1;
	uint64_t each = SL_MIN((left - files) / workers / sides, UINT32_MAX);
	each = each ? each : 1;
	if (*max > each)
		log_warn("`connections` is %u, but %llu open files leave room for %llu in each "
			 "worker; raise the limit (ulimit -n, LimitNOFILE=)",
			 *max, (unsigned long long)all, (unsigned long long)each);
	if (!*max || *max > each)
		*max = (uint32_t)each;
	log_debug("room for %u connections a worker: of %llu open files %llu are kept for files "
		  "that are served, and %llu for the server itself",
		  *max, (unsigned long long)all, (unsigned long long)files,
		  (unsigned long long)own);
}
