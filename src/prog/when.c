// SPDX-License-Identifier: MIT
/* when.c - a TIME that a user typed: see when.h */
#include "prog/when.h"
#include "base/bytes.h"
#include <stdlib.h>
#include <time.h>

static bool parse_ago(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'s', 1000}, {'m', 60000}, {'h', 3600000}, {'d', 86400000}, {'w', 604800000}};
	char *end;
	long long n = strtoll(text, &end, 10);

	if (end == text || n < 0 || n > 1000000 || strlen(end) != 1)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].unit == *end) {
			*ret_ms = now_ms - n * units[i].ms;
			return *ret_ms > 0;
		}
	return false;
}

/* So many digits, and no more, at *s. */
static bool digits(const char **s, int least, int most, int *ret)
{
	int n = 0;

	for (*ret = 0; n < most && **s >= '0' && **s <= '9'; n++)
		*ret = *ret * 10 + *(*s)++ - '0';
	return n >= least;
}

static bool skip(const char **s, char c)
{
	if (**s != c)
		return false;
	++*s;
	return true;
}

bool when_parse(const char *text, int64_t now_ms, int64_t *ret_ms)
{
	struct tm tm = {.tm_hour = 23, .tm_min = 59, .tm_sec = 59, .tm_isdst = -1};
	const char *s = text;
	int ms = 999;

	if (parse_ago(text, now_ms, ret_ms))
		return true;
	if (!digits(&s, 4, 4, &tm.tm_year) || !skip(&s, '-') || !digits(&s, 2, 2, &tm.tm_mon) ||
	    !skip(&s, '-') || !digits(&s, 2, 2, &tm.tm_mday))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	const int day = tm.tm_mday, month = tm.tm_mon;

	if (skip(&s, 'T') || skip(&s, ' ')) {
		if (!digits(&s, 2, 2, &tm.tm_hour) || !skip(&s, ':') ||
		    !digits(&s, 2, 2, &tm.tm_min))
			return false;
		if (skip(&s, ':') && !digits(&s, 2, 2, &tm.tm_sec))
			return false;
		if (skip(&s, '.') && !digits(&s, 3, 3, &ms))
			return false;
	}
	bool utc = skip(&s, 'Z');

	if (*s || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	time_t t = utc ? timegm(&tm) : mktime(&tm);

	if (t < 0 || tm.tm_mday != day || tm.tm_mon != month) /* there is no such day */
		return false;
	*ret_ms = (int64_t)t * 1000 + ms;
	return true;
}
