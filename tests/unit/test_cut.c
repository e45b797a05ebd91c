// SPDX-License-Identifier: MIT
/* test_cut.c - chunk lengths: limits, average, and that an insert moves few cuts */
#include "base/rng.h"
#include "codec/cut.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define DATA_BYTES ((size_t)48 << 20)
#define CUTS_MAX (DATA_BYTES / CHUNK_BYTES_MIN + 2)

static struct cutter cutter;
static uint8_t *data;

static void cutter_of(uint8_t n, struct cutter *c)
{
	uint8_t key[KEY_LEN];

	memset(key, n, sizeof(key));
	cut_init(c, key);
}

static size_t cut_all(struct bytes b, size_t *ends)
{
	size_t at = 0, n = 0;

	while (at < b.len) {
		size_t len = cut_next(&cutter, (struct bytes){b.at + at, b.len - at}, true);
		assert_in_range(len, 1, CHUNK_BYTES_MAX);
		at += len;
		assert_true(len >= CHUNK_BYTES_MIN || at == b.len);
		ends[n++] = at;
	}
	return n;
}

/* Random data is cut at CUT_AVERAGE on average, within a fifth. */
static void test_average_of_random_data(void **state)
{
	static size_t ends[CUTS_MAX];
	size_t n = cut_all((struct bytes){data, DATA_BYTES}, ends);

	(void)state;
	assert_in_range(DATA_BYTES / n, CUT_AVERAGE * 4 / 5, CUT_AVERAGE * 6 / 5);
}

/* Bytes put into the middle change the cuts around them and no others. */
static void test_an_insert_moves_few_cuts(void **state)
{
	static size_t before[CUTS_MAX], after[CUTS_MAX];
	size_t len = DATA_BYTES / 4, at = len / 2, more = 777, same = 0;
	uint8_t *longer = malloc(len + more);

	(void)state;
	assert_non_null(longer);
	memcpy(longer, data, at);
	memset(longer + at, 0x5a, more);
	memcpy(longer + at + more, data + at, len - at);
	size_t n = cut_all((struct bytes){data, len}, before);
	size_t m = cut_all((struct bytes){longer, len + more}, after);
	for (size_t k = 0, j = 0; k < n; k++) {
		size_t want = before[k] < at ? before[k] : before[k] + more;
		while (j < m && after[j] < want)
			j++;
		same += j < m && after[j] == want;
	}
	assert_true(n > 50);
	assert_true(same + 6 >= n);
	free(longer);
}

/* With less than a chunk's worth the answer is 0, unless it is the last; with more it is the same
 * however much more there is. */
static void test_needs_bytes_or_the_end(void **state)
{
	size_t whole = cut_next(&cutter, (struct bytes){data, DATA_BYTES}, false);

	(void)state;
	assert_true(whole > CHUNK_BYTES_MIN && whole < CHUNK_BYTES_MAX);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, whole}, false), whole);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, whole}, true), whole);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, whole - 1}, false), 0);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, whole - 1}, true), whole - 1);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, CHUNK_BYTES_MIN}, false), 0);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, CHUNK_BYTES_MIN}, true),
			 CHUNK_BYTES_MIN);
	assert_int_equal(cut_next(&cutter, (struct bytes){data, 1}, true), 1);
	assert_int_equal(cut_next(&cutter, (struct bytes){NULL, 0}, true), 0);
	assert_int_equal(cut_next(&cutter, (struct bytes){NULL, 0}, false), 0);
}

/* Bytes that never hash to a cut are cut at the maximum. */
static void test_the_maximum_holds(void **state)
{
	uint8_t *same = calloc(1, (size_t)CHUNK_BYTES_MAX + 1);

	(void)state;
	assert_non_null(same);
	for (unsigned v = 0; v < 256; v += 51) {
		memset(same, (int)v, (size_t)CHUNK_BYTES_MAX + 1);
		size_t len = cut_next(&cutter, (struct bytes){same, CHUNK_BYTES_MAX + 1}, false);
		assert_in_range(len, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
		assert_int_equal(cut_next(&cutter, (struct bytes){same, CHUNK_BYTES_MAX}, false),
				 len);
	}
	free(same);
}

/* Another key cuts elsewhere; the same key cuts alike. */
static void test_cuts_are_keyed(void **state)
{
	struct cutter other;
	struct bytes b = {data, DATA_BYTES};

	(void)state;
	cutter_of(1, &other);
	assert_int_equal(cut_next(&other, b, true), cut_next(&cutter, b, true));
	cutter_of(2, &other);
	assert_int_not_equal(cut_next(&other, b, true), cut_next(&cutter, b, true));
}

/* Every length between the minimum and the maximum is reached on the way to the first cut. */
static void test_odd_lengths_and_places(void **state)
{
	(void)state;
	for (size_t from = 0; from < 40; from++) {
		struct bytes b = {data + from, DATA_BYTES - from};
		size_t len = cut_next(&cutter, b, true);
		for (size_t cut = len - 3; cut < len; cut++)
			assert_int_equal(cut_next(&cutter, (struct bytes){b.at, cut}, false), 0);
		for (size_t more = len; more < len + 5; more++)
			assert_int_equal(cut_next(&cutter, (struct bytes){b.at, more}, false), len);
	}
}

static int setup(void **state)
{
	struct rng rng;

	(void)state;
	data = malloc(DATA_BYTES);
	if (!data)
		return -1;
	rng_init_number(&rng, 42);
	rng_bytes(&rng, data, DATA_BYTES);
	cutter_of(1, &cutter);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_average_of_random_data),
		cmocka_unit_test(test_an_insert_moves_few_cuts),
		cmocka_unit_test(test_needs_bytes_or_the_end),
		cmocka_unit_test(test_the_maximum_holds),
		cmocka_unit_test(test_cuts_are_keyed),
		cmocka_unit_test(test_odd_lengths_and_places),
	};

	if (argc == 2 && strcmp(argv[1], "--speed") == 0) {
		static size_t ends[CUTS_MAX];
		(void)setup(NULL);
		clock_t t = clock();
		for (int k = 0; k < 10; k++)
			(void)cut_all((struct bytes){data, DATA_BYTES}, ends);
		printf("%.2f GB/s\n",
		       10.0 * (double)DATA_BYTES / ((double)(clock() - t) / CLOCKS_PER_SEC) / 1e9);
		return teardown(NULL);
	}
	return cmocka_run_group_tests(tests, setup, teardown);
}
