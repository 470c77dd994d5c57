/* internal: a quick check of the hosts that nearly all requests have, for parsers. */
#ifndef SLUICE_HTTP_AUTHORITY_QUICK_H
#define SLUICE_HTTP_AUTHORITY_QUICK_H

#include "http/authority.h"
#include "http/chars.h"

/* A short name or address with at most four digits of port, looked at in one vector. */
static inline bool http_authority_is_plain(const uint8_t *p, size_t len)
{
	scan_vec v = scan_load(p);
	uint64_t rest = scan_bits(scan_match_not_host(v));
	size_t colon = rest ? scan_index(rest) : SCAN_BYTES;
	uint64_t other;

	/* A stop beyond the end is not ours. */
	if (colon >= len)
		return true;
	if (p[colon] != ':' || colon == 0 || len - colon > HTTP_PORT_DIGITS_MAX)
		return false;
	other = scan_bits(scan_not(scan_and(scan_ge(v, '0'), scan_le(v, '9'))));
	return (other & scan_between(colon + 1, len)) == 0;
}

/* Whether http_authority_split takes it. */
bool http_authority_valid_any(struct str authority);

/*
 * The same at less cost. At least `readable` bytes may be read from its start on, and no less than its
 * length.
 */
static inline bool http_authority_valid(struct str authority, size_t readable)
{
	if (SL_LIKELY(authority.len - 1 < SCAN_BYTES && readable >= SCAN_BYTES) &&
	    http_authority_is_plain((const uint8_t *)authority.p, authority.len))
		return true;
	return http_authority_valid_any(authority);
}

#endif
