// SPDX-License-Identifier: Apache-2.0
// Built in place of resolve.c where there is no c-ares: nobody can have a resolver.
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "net/resolve.h"

int resolver_new(struct io_loop *loop, const char *servers, struct resolver **out, char *why,
		 size_t why_len)
{
	(void)loop;
	(void)servers;
	*out = NULL;
	snprintf(why, why_len, "names are not looked up: sluice was built without c-ares");
	return -ENOSYS;
}

void resolver_free(struct resolver *r)
{
	assert(!r);
}

void resolve_start(struct resolver *r, struct resolve_query *query, enum resolve_kind kind,
		   struct str name, uint16_t port, uint32_t timeout_ms)
{
	(void)query;
	(void)kind;
	(void)name;
	(void)port;
	(void)timeout_ms;
	assert(r);
}

void resolve_cancel(struct resolve_query *query)
{
	assert(!query->resolver);
}
