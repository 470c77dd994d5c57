// SPDX-License-Identifier: Apache-2.0
#include "observe/access.h"

#include <time.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/escape.h"

/* Everything but the fields: brackets, names, times and numbers. */
#define FRAME_BYTES 448

_Static_assert(5 * ACCESS_WORD_BYTES + ACCESS_TARGET_BYTES + 2 * ACCESS_HEADER_BYTES +
			       ACCESS_HOST_BYTES + FRAME_BYTES <=
		       ACCESS_LINE_BYTES,
	       "the longest line fits");

/* The caller has seen to the room. */
static inline char *put(char *to, struct str s)
{
	memcpy(to, s.p, s.len);
	return to + s.len;
}

static inline char *put_u64(char *to, uint64_t v)
{
	return to + str_put_u64(to, v);
}

static char *put_field(char *to, struct str s, size_t most, enum escape how)
{
	size_t taken;

	/* Every byte becomes at least one: what is longer need not be looked at. */
	to += escape_put(to, most - 3, str_head(s, most), how, &taken);
	return taken < s.len ? put(to, STR("...")) : to;
}

/* A field of a common line that stands without quotes, so that a blank would end it. */
static char *put_word(char *to, struct str s, size_t most)
{
	if (s.len == 0)
		return put(to, STR("-"));

	char *end = put_field(to, s, most, ESCAPE_QUOTED);

	for (; to < end; to++)
		if (*to == ' ')
			*to = '_';
	return end;
}

static char *put_two(char *to, unsigned v)
{
	to[0] = (char)('0' + v / 10 % 10);
	to[1] = (char)('0' + v % 10);
	return to + 2;
}

static char *put_year(char *to, const struct tm *tm)
{
	unsigned year = (unsigned)tm->tm_year + 1900;

	return put_two(put_two(to, year / 100), year);
}

static char *put_clock(char *to, const struct tm *tm)
{
	to = put_two(to, (unsigned)tm->tm_hour);
	*to++ = ':';
	to = put_two(to, (unsigned)tm->tm_min);
	*to++ = ':';
	return put_two(to, (unsigned)tm->tm_sec);
}

/* [21/Nov/2026:08:00:00 +0000], or 2026-11-21T08:00:00 */
static void cache_time(struct access_formatter *f, uint64_t seconds)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)seconds;
	struct tm tm;
	char *to = f->time;

	gmtime_r(&t, &tm);
	if (f->format == ACCESS_JSON) {
		to = put_year(to, &tm);
		*to++ = '-';
		to = put_two(to, (unsigned)tm.tm_mon + 1);
		*to++ = '-';
		to = put_two(to, (unsigned)tm.tm_mday);
		*to++ = 'T';
		to = put_clock(to, &tm);
	} else {
		*to++ = '[';
		to = put_two(to, (unsigned)tm.tm_mday);
		*to++ = '/';
		to = put(to, (struct str){months + 3 * tm.tm_mon, 3});
		*to++ = '/';
		to = put_year(to, &tm);
		*to++ = ':';
		to = put_clock(to, &tm);
		to = put(to, STR(" +0000]"));
	}
	f->time_len = (uint32_t)(to - f->time);
	f->time_s = seconds;
}

static char *put_time(char *to, struct access_formatter *f, uint64_t time_ns)
{
	uint64_t seconds = time_ns / CLOCK_NS_PER_S;

	if (SL_UNLIKELY(seconds != f->time_s || f->time_len == 0))
		cache_time(f, seconds);
	return put(to, (struct str){f->time, f->time_len});
}

static char *put_quoted(char *to, struct str s, size_t most)
{
	*to++ = '"';
	to = s.len ? put_field(to, s, most, ESCAPE_QUOTED) : put(to, STR("-"));
	*to++ = '"';
	return to;
}

static char *put_common(char *to, struct access_formatter *f, const struct access_record *r)
{
	to = put_word(to, r->client, ACCESS_WORD_BYTES);
	to = put(to, STR(" - "));
	to = put_word(to, r->user, ACCESS_WORD_BYTES);
	*to++ = ' ';
	to = put_time(to, f, r->time_ns);
	to = put(to, STR(" \""));
	if (r->method.len) {
		to = put_field(to, r->method, ACCESS_WORD_BYTES, ESCAPE_QUOTED);
		*to++ = ' ';
		to = put_field(to, r->target, ACCESS_TARGET_BYTES, ESCAPE_QUOTED);
		*to++ = ' ';
		to = put_field(to, r->protocol, ACCESS_WORD_BYTES, ESCAPE_QUOTED);
	} else {
		*to++ = '-';
	}
	to = put(to, STR("\" "));
	to = r->status ? put_u64(to, r->status) : put(to, STR("-"));
	*to++ = ' ';
	to = put_u64(to, r->body_bytes);
	if (f->format == ACCESS_COMBINED) {
		*to++ = ' ';
		to = put_quoted(to, r->referer, ACCESS_HEADER_BYTES);
		*to++ = ' ';
		to = put_quoted(to, r->user_agent, ACCESS_HEADER_BYTES);
	}
	return to;
}

/* `name` with the comma and the colon: a member is left out when there is nothing to say. */
static char *put_member(char *to, struct str name, struct str s, size_t most)
{
	if (s.len == 0)
		return to;
	to = put(to, name);
	*to++ = '"';
	to = put_field(to, s, most, ESCAPE_JSON);
	*to++ = '"';
	return to;
}

static char *put_json(char *to, struct access_formatter *f, const struct access_record *r)
{
	unsigned ms = (unsigned)(r->time_ns / CLOCK_NS_PER_MS % 1000);

	to = put(to, STR("{\"time\":\""));
	to = put_time(to, f, r->time_ns);
	*to++ = '.';
	*to++ = (char)('0' + ms / 100);
	to = put_two(to, ms);
	to = put(to, STR("Z\""));
	to = put_member(to, STR(",\"client\":"), r->client, ACCESS_WORD_BYTES);
	to = put_member(to, STR(",\"user\":"), r->user, ACCESS_WORD_BYTES);
	to = put_member(to, STR(",\"method\":"), r->method, ACCESS_WORD_BYTES);
	to = put_member(to, STR(",\"host\":"), r->host, ACCESS_HOST_BYTES);
	to = put_member(to, STR(",\"target\":"), r->target, ACCESS_TARGET_BYTES);
	to = put_member(to, STR(",\"protocol\":"), r->protocol, ACCESS_WORD_BYTES);
	to = put(to, STR(",\"status\":"));
	to = put_u64(to, r->status);
	to = put(to, STR(",\"request_bytes\":"));
	to = put_u64(to, r->request_bytes);
	to = put(to, STR(",\"body_bytes\":"));
	to = put_u64(to, r->body_bytes);
	to = put(to, STR(",\"duration_us\":"));
	to = put_u64(to, r->duration_ns / 1000);
	to = put(to, r->aborted ? STR(",\"aborted\":true") : STR(",\"aborted\":false"));
	if (r->tries) {
		to = put_member(to, STR(",\"upstream\":"), r->upstream, ACCESS_WORD_BYTES);
		to = put(to, STR(",\"tries\":"));
		to = put_u64(to, r->tries);
	}
	if (r->first_byte_ns) {
		to = put(to, STR(",\"first_byte_us\":"));
		to = put_u64(to, r->first_byte_ns / 1000);
	}
	to = put_member(to, STR(",\"referer\":"), r->referer, ACCESS_HEADER_BYTES);
	to = put_member(to, STR(",\"user_agent\":"), r->user_agent, ACCESS_HEADER_BYTES);
	*to++ = '}';
	return to;
}

size_t access_format_line(struct access_formatter *f, const struct access_record *r, char *line)
{
	char *end = f->format == ACCESS_JSON ? put_json(line, f, r) : put_common(line, f, r);

	*end++ = '\n';
	return (size_t)(end - line);
}
