// SPDX-License-Identifier: MIT
/* test_names.c - names of conflict copies: where they are split, dated and shortened */
#include "core/names.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static void expect_name(const char *name, uint64_t ms, const char *want)
{
	uint8_t buf[NAME_BYTES_MAX + 1];
	size_t len = names_conflict(bytes_text(name), ms << 16, "dev", buf);

	buf[len] = 0;
	assert_string_equal((const char *)buf, want);
}

static void test_names_are_split_at_the_last_dot(void **state)
{
	(void)state;
	expect_name("report.odt", 0, "report (conflict dev 1970-01-01 000000).odt");
	expect_name("a.tar.gz", 0, "a.tar (conflict dev 1970-01-01 000000).gz");
	expect_name("plain", 0, "plain (conflict dev 1970-01-01 000000)");
	expect_name(".profile", 0, ".profile (conflict dev 1970-01-01 000000)");
	expect_name("v. 2", 0, "v. 2 (conflict dev 1970-01-01 000000)");
	expect_name("end.", 0, "end (conflict dev 1970-01-01 000000).");
}

static void test_names_are_dated_in_utc(void **state)
{
	(void)state;
	expect_name("f", UINT64_C(951782399) * 1000, "f (conflict dev 2000-02-28 235959)");
	expect_name("f", UINT64_C(951782400) * 1000, "f (conflict dev 2000-02-29 000000)");
	expect_name("f", UINT64_C(1795010636) * 1000, "f (conflict dev 2026-11-18 140356)");
	expect_name("f", UINT64_C(4107542400) * 1000, "f (conflict dev 2100-03-01 000000)");
}

/* However long the name, the result fits, keeps its extension and cuts no character in two. */
static void test_names_are_shortened_in_their_stem(void **state)
{
	(void)state;
	uint8_t name[NAME_BYTES_MAX], buf[NAME_BYTES_MAX + 1], more[NAME_BYTES_MAX + 1];

	for (size_t len = 1; len <= NAME_BYTES_MAX; len++) {
		memset(name, 'x', sizeof(name));
		for (size_t k = 0; k + 1 < len; k += 2)
			memcpy(name + k, "\xc3\xa4", 2);
		if (len > 8)
			memcpy(name + len - 5, "z.txt", 5);
		size_t got = names_conflict((struct bytes){name, len}, 0, "dev", buf);
		assert_true(got <= NAME_BYTES_MAX && name_ok((struct bytes){buf, got}));
		assert_true(len <= 8 || memcmp(buf + got - 4, ".txt", 4) == 0);
		const uint8_t *blank = memchr(buf, ' ', got);
		assert_true(blank && (blank == buf || blank[-1] != 0xc3));
		for (uint32_t try = 0; try < 70; try++) {
			size_t n = names_further((struct bytes){buf, got}, (struct inode_id){1, 2},
						 try, more);
			assert_true(n <= NAME_BYTES_MAX && name_ok((struct bytes){more, n}));
		}
	}
	memset(name, '.', sizeof(name)); /* an extension as long as the name can be */
	size_t got = names_conflict(BYTES_OF(name), 0, "a/b", buf);
	assert_true(got <= NAME_BYTES_MAX && name_ok((struct bytes){buf, got}));
}

/* Each further try is another name, without end. */
static void test_names_never_run_out(void **state)
{
	(void)state;
	uint8_t last[NAME_BYTES_MAX + 1], buf[NAME_BYTES_MAX + 1];
	size_t last_len = 0;

	for (uint32_t try = 0; try < 200; try++) {
		size_t len = names_further(bytes_text("f.c"), (struct inode_id){1, 2}, try, buf);
		assert_true(try == 0 || len != last_len || memcmp(buf, last, len) != 0);
		memcpy(last, buf, len);
		last_len = len;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_split_at_the_last_dot),
		cmocka_unit_test(test_names_are_dated_in_utc),
		cmocka_unit_test(test_names_are_shortened_in_their_stem),
		cmocka_unit_test(test_names_never_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
