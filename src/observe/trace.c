// SPDX-License-Identifier: Apache-2.0
#include "observe/trace.h"

#include <errno.h>

/* Lower case only: upper case is invalid in this field. */
static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static bool get_hex(const char *from, uint8_t *to, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int high = hex_digit(from[2 * i]), low = hex_digit(from[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static char *put_hex(char *to, const uint8_t *from, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		*to++ = "0123456789abcdef"[from[i] >> 4];
		*to++ = "0123456789abcdef"[from[i] & 15];
	}
	return to;
}

static bool is_zero(const uint8_t *p, unsigned n)
{
	uint8_t any = 0;

	for (unsigned i = 0; i < n; i++)
		any |= p[i];
	return any == 0;
}

int trace_parse(struct str value, struct trace *out)
{
	struct trace t;
	uint8_t version, flags;
	const char *p = value.p;

	if (value.len < TRACE_PARENT_BYTES)
		return -EINVAL;
	if (p[2] != '-' || p[35] != '-' || p[52] != '-')
		return -EINVAL;
	if (!get_hex(p, &version, 1) || !get_hex(p + 3, t.trace_id, 16) ||
	    !get_hex(p + 36, t.span_id, 8) || !get_hex(p + 53, &flags, 1))
		return -EINVAL;
	if (version == 0xff || is_zero(t.trace_id, 16) || is_zero(t.span_id, 8))
		return -EINVAL;
	/* Version 00 ends here; a later one may go on, after a dash. */
	if (value.len > TRACE_PARENT_BYTES && (version == 0 || p[TRACE_PARENT_BYTES] != '-'))
		return -EINVAL;
	t.sampled = flags & 1;
	*out = t;
	return 0;
}

/* xoroshiro128+ (Blackman and Vigna, 2018). */
static uint64_t next_random(struct trace_random *r)
{
	uint64_t a = r->state[0], b = r->state[1], sum = a + b;

	b ^= a;
	r->state[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
	r->state[1] = b << 37 | b >> 27;
	return sum;
}

static void draw(struct trace_random *r, uint8_t *to)
{
	uint64_t v;

	/* One in 2^64, but an id of zeros is not valid. */
	do
		v = next_random(r);
	while (v == 0);
	memcpy(to, &v, sizeof(v));
}

void trace_begin(struct trace *t, struct trace_random *r, bool sampled)
{
	draw(r, t->trace_id);
	draw(r, t->trace_id + 8);
	draw(r, t->span_id);
	t->sampled = sampled;
}

void trace_continue(struct trace *t, const struct trace *parent, struct trace_random *r)
{
	*t = *parent;
	draw(r, t->span_id);
}

void trace_write(const struct trace *t, char *to)
{
	to = put_hex(to, (const uint8_t[]){0}, 1);
	*to++ = '-';
	to = put_hex(to, t->trace_id, 16);
	*to++ = '-';
	to = put_hex(to, t->span_id, 8);
	*to++ = '-';
	put_hex(to, (const uint8_t[]){t->sampled}, 1);
}
