/* internal: copies strings one after another, for what is printed into heads. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_HTTP_H1_PUT_H
#define SLUICE_HTTP_H1_PUT_H

#include <stdint.h>
#include <string.h>

#include "base/str.h"

/* Short strings are the rule here, and a call for each would cost more than the copy. */
static inline __attribute__((always_inline)) uint8_t *h1_put(uint8_t *to, struct str s)
{
	struct {
		uint64_t v[2];
	} a, b;

	if (s.len > 2 * sizeof(a)) {
		memcpy(to, s.p, s.len);
	} else if (s.len >= sizeof(a)) {
		memcpy(&a, s.p, sizeof(a));
		memcpy(&b, s.p + s.len - sizeof(a), sizeof(a));
		memcpy(to, &a, sizeof(a));
		memcpy(to + s.len - sizeof(a), &b, sizeof(a));
	} else if (s.len >= 8) {
		memcpy(a.v, s.p, 8);
		memcpy(b.v, s.p + s.len - 8, 8);
		memcpy(to, a.v, 8);
		memcpy(to + s.len - 8, b.v, 8);
	} else if (s.len >= 4) {
		memcpy(a.v, s.p, 4);
		memcpy(b.v, s.p + s.len - 4, 4);
		memcpy(to, a.v, 4);
		memcpy(to + s.len - 4, b.v, 4);
	} else if (s.len) {
		to[0] = (uint8_t)s.p[0];
		to[s.len / 2] = (uint8_t)s.p[s.len / 2];
		to[s.len - 1] = (uint8_t)s.p[s.len - 1];
	}
	return to + s.len;
}

#endif
