// SPDX-License-Identifier: Apache-2.0
#include "http/date.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"

#define DAY_S 86400
#define DAYS_400Y 146097
#define CENTURY_WINDOW_YEARS 50

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const long_days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
					"Thursday", "Friday", "Saturday"};

struct civil {
	int64_t year;
	unsigned month, day; /* from 1 */
};

/* Years begin in March here, so that the leap day is the last. Valid for all dates an int64_t of days holds. */
static int64_t days_of(struct civil c)
{
	int64_t y = c.month <= 2 ? c.year - 1 : c.year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year = y - era * 400;
	int64_t day = (153 * ((c.month + 9) % 12) + 2) / 5 + c.day - 1;

	return era * DAYS_400Y + year * 365 + year / 4 - year / 100 + day - 719468;
}

static struct civil civil_of(int64_t day)
{
	int64_t z = day + 719468;
	int64_t era = (z >= 0 ? z : z - DAYS_400Y + 1) / DAYS_400Y;
	unsigned of_era = (unsigned)(z - era * DAYS_400Y);
	unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
	unsigned march = (5 * of_year + 2) / 153;
	unsigned month = march < 10 ? march + 3 : march - 9;

	return (struct civil){era * 400 + year + (month <= 2), month,
			      of_year - (153 * march + 2) / 5 + 1};
}

static inline void put2(char *p, unsigned v)
{
	p[0] = (char)('0' + v / 10 % 10);
	p[1] = (char)('0' + v % 10);
}

/* The form has four digits for the year: what lies outside is shown as the nearest it can show. */
void http_date_print(int64_t unix_s, char out[HTTP_DATE_BYTES])
{
	const int64_t first = -62167219200, last = 253402300799;
	int64_t s = SL_MIN(SL_MAX(unix_s, first), last);
	int64_t day = (s >= 0 ? s : s - DAY_S + 1) / DAY_S;
	unsigned second = (unsigned)(s - day * DAY_S);
	struct civil c = civil_of(day);

	memcpy(out, "Xxx, 00 Xxx 0000 00:00:00 GMT", HTTP_DATE_BYTES);
	memcpy(out, days + ((day % 7 + 11) % 7) * 3, 3);
	put2(out + 5, c.day);
	memcpy(out + 8, months + ((size_t)c.month - 1) * 3, 3);
	put2(out + 12, (unsigned)c.year / 100);
	put2(out + 14, (unsigned)c.year % 100);
	put2(out + 17, second / 3600);
	put2(out + 20, second / 60 % 60);
	put2(out + 23, second % 60);
}

/* Index of the three letters in `names`, or -1. */
static int index_of(const char *p, const char *names, int count)
{
	for (int i = 0; i < count; i++)
		if (memcmp(p, names + (size_t)i * 3, 3) == 0)
			return i;
	return -1;
}

/*
 * Compares with a pattern: '#' takes a digit (and ' ' for '_' only), '@' anything, others themselves. So what
 * is read by number afterwards is known to be digits.
 */
static bool looks_like(const char *p, const char *pattern)
{
	for (; *pattern; p++, pattern++) {
		bool digit = (unsigned)(*p - '0') < 10;

		if (*pattern == '#'   ? !digit
		    : *pattern == '_' ? !digit && *p != ' '
		    : *pattern == '@' ? false
				      : *p != *pattern)
			return false;
	}
	return true;
}

static unsigned number(const char *p, unsigned n)
{
	unsigned v = 0;

	for (; n; n--, p++)
		v = v * 10 + (*p == ' ' ? 0 : (unsigned)(*p - '0'));
	return v;
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* `month` has three letters, `clock` is "00:00:00", both only known to be there. */
static int finish(struct civil c, const char *month, const char *clock, int64_t *unix_s)
{
	static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int index = index_of(month, months, 12);
	unsigned h = number(clock, 2), m = number(clock + 3, 2), s = number(clock + 6, 2);

	if (index < 0)
		return -EINVAL;
	c.month = (unsigned)index + 1;
	/* A leap second is the first second of the next minute, as in POSIX. */
	if (c.day < 1 || c.day > lengths[index] + (unsigned)(index == 1 && is_leap(c.year)) ||
	    h > 23 || m > 59 || s > 60)
		return -EINVAL;
	*unix_s = days_of(c) * DAY_S + h * 3600 + m * 60 + s;
	return 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static int parse_fixdate(const char *p, int64_t *unix_s)
{
	if (!looks_like(p, "@@@, ## @@@ #### ##:##:## GMT") || index_of(p, days, 7) < 0)
		return -EINVAL;
	return finish((struct civil){number(p + 12, 4), 0, number(p + 5, 2)}, p + 8, p + 17,
		      unix_s);
}

/* "Sun Nov  6 08:49:37 1994" */
static int parse_asctime(const char *p, int64_t *unix_s)
{
	if (!looks_like(p, "@@@ @@@ _# ##:##:## ####") || index_of(p, days, 7) < 0)
		return -EINVAL;
	return finish((struct civil){number(p + 20, 4), 0, number(p + 8, 2)}, p + 4, p + 11,
		      unix_s);
}

/* "Sunday, 06-Nov-94 08:49:37 GMT": the last such year that is not over 50 years ahead. */
static int parse_rfc850(struct str text, int64_t now_s, int64_t *unix_s)
{
	ptrdiff_t comma = str_find_byte(text, ',');
	struct civil now = civil_of((now_s >= 0 ? now_s : now_s - DAY_S + 1) / DAY_S);
	struct civil c = {0, 0, 0};
	struct civil ahead;
	const char *p;
	int64_t parsed, bound;
	bool known = false;

	if (comma < 0 || text.len - (size_t)comma != sizeof(", 06-Nov-94 08:49:37 GMT") - 1)
		return -EINVAL;
	for (unsigned i = 0; i < SL_ARRAY_SIZE(long_days); i++)
		known |= str_eq(str_head(text, (size_t)comma), str_from(long_days[i]));
	p = text.p + comma;
	if (!known || !looks_like(p, ", ##-@@@-## ##:##:## GMT"))
		return -EINVAL;
	ahead = (struct civil){now.year + CENTURY_WINDOW_YEARS, now.month, now.day};
	bound = days_of(ahead) * DAY_S + (now_s % DAY_S + DAY_S) % DAY_S;
	c.year = ahead.year - ahead.year % 100 + number(p + 9, 2);
	c.day = number(p + 2, 2);
	if (finish(c, p + 5, p + 12, &parsed))
		/* The 29th of February may still exist a century earlier. */
		parsed = INT64_MAX;
	if (parsed > bound) {
		c.year -= 100;
		return finish(c, p + 5, p + 12, unix_s);
	}
	*unix_s = parsed;
	return 0;
}

int http_date_parse(struct str text, int64_t now_s, int64_t *unix_s)
{
	if (text.len == HTTP_DATE_BYTES && text.p[3] == ',')
		return parse_fixdate(text.p, unix_s);
	if (text.len == sizeof("Sun Nov  6 08:49:37 1994") - 1 && text.p[3] == ' ')
		return parse_asctime(text.p, unix_s);
	return parse_rfc850(text, now_s, unix_s);
}
