// SPDX-License-Identifier: MIT
/* test_when.c - what users type for a time */
#include "base/bytes.h"
#include "prog/when.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define NOW INT64_C(1795615200000) /* 2026-11-25 14:00:00 UTC */

static void is(const char *text, int64_t want)
{
	int64_t ms = 77;

	assert_true(when_parse(text, NOW, &ms));
	assert_int_equal(ms, want);
}

static void is_none(const char *text)
{
	int64_t ms = 77;

	assert_false(when_parse(text, NOW, &ms));
}

static void zone(const char *tz)
{
	assert_int_equal(setenv("TZ", tz, 1), 0);
	tzset();
}

/* So long ago. */
static void test_when_ago(void **state)
{
	(void)state;
	is("0s", NOW);
	is("90s", NOW - 90000);
	is("30m", NOW - 1800000);
	is("2h", NOW - 7200000);
	is("3d", NOW - 259200000);
	is("1w", NOW - 604800000);
	is_none("h");
	is_none("2");
	is_none("2y");
	is_none("-2h");
	is_none("2h3m");
	is_none("1000000d"); /* before there were any */
	is_none("99999999999999999999s");
}

/* A time that is not complete means its end, for that is what a user who reads it means. */
static void test_when_dates(void **state)
{
	(void)state;
	zone("UTC");
	is("2026-11-25", NOW + 10 * 3600000 - 1);
	is("2026-11-25 14:00", NOW + 60000 - 1);
	is("2026-11-25T14:00", NOW + 60000 - 1);
	is("2026-11-25 14:00:00", NOW + 1000 - 1);
	is("2026-11-25 14:00:00.120", NOW + 120);
	is("2026-11-25 14:00:00.000", NOW);
	is("2024-02-29", INT64_C(1709251199999));
	is("1970-01-01 00:00:00.001", 1);
	is_none("");
	is_none("2026");
	is_none("2026-11");
	is_none("2026-11-25 14");
	is_none("2026-11-25 14:00:0");
	is_none("2026-11-25 14:00:00.12");
	is_none("2026-11-25 24:00");
	is_none("2026-11-25 14:60");
	is_none("2026-02-29");
	is_none("2026-13-01");
	is_none("2026-00-01");
	is_none("1969-12-31");
	is_none("2026-11-25 14:00 ");
	is_none("yesterday");
}

/* Local unless it says that it is not, also where clocks go back and forth. */
static void test_when_zones(void **state)
{
	(void)state;
	zone("EST5EDT,M3.2.0,M11.1.0");
	is("2026-11-25 09:00:00.000", NOW);
	is("2026-11-25 14:00:00.000Z", NOW);
	is("2026-11-25T14:00Z", NOW + 60000 - 1);
	is("2026-07-01 10:00:00.000", INT64_C(1782914400000));
	zone("UTC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_when_ago),
		cmocka_unit_test(test_when_dates),
		cmocka_unit_test(test_when_zones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
