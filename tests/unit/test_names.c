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

	for (size_t both = 2; both < 2 * (NAME_BYTES_MAX + 1u); both++) {
		const size_t len = both / 2;
		memset(name, 'x', sizeof(name));
		for (size_t k = both % 2; k + 1 < len; k += 2) /* at even and at odd places */
			memcpy(name + k, "\xc3\xa4", 2);
		if (len > 8)
			memcpy(name + len - 5, "z.txt", 5);
		if (len > 8 && name[len - 6] == 0xc3) /* half a character */
			name[len - 6] = 'x';
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

static void expect_original(const char *name, const char *want)
{
	uint8_t buf[NAME_BYTES_MAX];
	size_t len = 77;
	bool is = names_original(bytes_text(name), buf, &len);

	assert_int_equal(is, want != NULL);
	if (want)
		assert_true(bytes_equal((struct bytes){buf, len}, bytes_text(want)));
	else
		assert_int_equal(len, 77);
}

/* A copy's name tells what it is a copy of; what only looks a little like one tells nothing. */
static void test_names_tell_the_original(void **state)
{
	(void)state;
	static const char *const names[] = {
		"report.odt", "a.tar.gz", "plain",   ".profile",
		"v. 2",       "end.",     "a (b).c", "x (conflict x).y"};
	uint8_t copy[NAME_BYTES_MAX], more[NAME_BYTES_MAX], back[NAME_BYTES_MAX];
	size_t len;

	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		const char *devices[] = {"dev", "my (old) box", "a)b 2026-01-01 000000"};
		for (size_t d = 0; d < ARRAY_LEN(devices); d++) {
			const struct bytes c = {copy,
						names_conflict(bytes_text(names[k]),
							       (UINT64_C(1795010636000) << 16) + k,
							       devices[d], copy)};
			assert_true(names_original(c, back, &len));
			assert_true(bytes_equal((struct bytes){back, len}, bytes_text(names[k])));
			for (uint32_t try = 0; try < 3; try++) {
				const struct bytes m = {
					more, names_further(c, (struct inode_id){1, k}, try, more)};
				assert_true(names_original(m, back, &len));
				assert_true(bytes_equal((struct bytes){back, len},
							bytes_text(names[k])));
			}
		}
	}
	expect_original("f (conflict dev 10000-01-01 000000)", "f");
	expect_original("f (conflict a 2026-01-01 000000) (conflict b 2026-01-01 000000).c",
			"f (conflict a 2026-01-01 000000).c");
	expect_original("", NULL);
	expect_original("f", NULL);
	expect_original(" (conflict dev 2026-01-01 000000)", NULL);
	expect_original("f (conflict dev 2026-01-01 00000)", NULL);
	expect_original("f (conflict dev 2026-01-01 000000", NULL);
	expect_original("f (conflict dev 026-01-01 000000)", NULL);
	expect_original("f (conflict dev 2026-1-01 000000)", NULL);
	expect_original("f (conflict dev 2026-01-01 000000) and more", NULL);
	expect_original("f (conflict dev 2026-01-01 000000) abc.d", NULL);
	expect_original("f (conflict dev 2026-01-01 000000).a b", NULL);
	expect_original("f (conflict ", NULL);
	expect_original("f (conflict )", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_are_split_at_the_last_dot),
		cmocka_unit_test(test_names_are_dated_in_utc),
		cmocka_unit_test(test_names_are_shortened_in_their_stem),
		cmocka_unit_test(test_names_tell_the_original),
		cmocka_unit_test(test_names_never_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
