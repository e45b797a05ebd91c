// SPDX-License-Identifier: MIT
/* test_map.c - the ordered map against a sorted array, and the kv in front of it */
#include "base/map.h"
#include "base/rng.h"
#include "core/kv.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define KEYS 3000

static size_t key_of(uint32_t n, uint8_t *to)
{
	size_t len = 1 + n % 7;

	for (size_t k = 0; k < len; k++)
		to[k] = (uint8_t)(n * 2654435761u >> (8 * (k % 4)));
	to[0] = (uint8_t)(n >> 4);
	to[len] = (uint8_t)n;
	to[len + 1] = (uint8_t)(n >> 8);
	return len + 2;
}

/* The whole map, walked by next, is exactly the set of live keys in order. */
static void check_walk(const struct map *m, const uint32_t *value)
{
	uint8_t at[16] = {0}, buf[16];
	struct bytes from = {at, 0}, key, got;
	size_t seen = 0;
	bool beyond = false;

	while (map_next(m, from, beyond, &key, &got)) {
		if (beyond)
			assert_true(bytes_compare(from, key) < 0);
		assert_true(key.len <= sizeof(at));
		memcpy(at, key.at, key.len);
		from.len = key.len;
		beyond = true;
		seen++;
	}
	assert_int_equal(seen, map_count(m));
	size_t live = 0;
	for (uint32_t n = 0; n < KEYS; n++) {
		struct bytes k = {buf, key_of(n, buf)};
		bool there = map_get(m, k, &got);
		assert_int_equal(there, value[n] != 0);
		if (there) {
			assert_int_equal(got.len, value[n] % 200);
			for (size_t i = 0; i < got.len; i++)
				assert_int_equal(got.at[i], (uint8_t)value[n]);
		}
		live += there;
	}
	assert_int_equal(live, map_count(m));
}

/* Puts, replacements and deletions in any order leave what a plain table would hold. */
static void test_map_is_a_table(void **state)
{
	(void)state;
	struct map *m = map_new();
	struct rng r;
	uint8_t buf[16], value[256];
	uint32_t *shadow = calloc(KEYS, sizeof(*shadow));

	assert_non_null(m);
	assert_non_null(shadow);
	size_t empty = map_bytes(m);
	rng_init_number(&r, 7);
	for (int round = 0; round < 40; round++) {
		uint32_t dels = (uint32_t)rng_below(&r, 100);
		for (int k = 0; k < 2000; k++) {
			uint32_t n = (uint32_t)rng_below(&r, KEYS);
			struct bytes key = {buf, key_of(n, buf)};
			if (rng_below(&r, 100) < dels) {
				assert_int_equal(map_del(m, key), shadow[n] != 0);
				shadow[n] = 0;
				continue;
			}
			shadow[n] = 1 + (uint32_t)rng_below(&r, 100000);
			memset(value, (uint8_t)shadow[n], sizeof(value));
			assert_int_equal(map_put(m, key, (struct bytes){value, shadow[n] % 200}),
					 ERR_OK);
		}
		check_walk(m, shadow);
	}
	for (uint32_t n = 0; n < KEYS; n++) {
		struct bytes key = {buf, key_of(n, buf)};
		map_del(m, key);
	}
	assert_int_equal(map_count(m), 0);
	assert_int_equal(map_bytes(m), empty); /* nothing is leaked nor miscounted */
	map_free(m);
	free(shadow);
}

/* From any key, there or not, next finds the neighbour; beyond skips the key itself. */
static void test_map_next_finds_the_neighbour(void **state)
{
	(void)state;
	struct map *m = map_new();
	struct bytes key, value;

	for (uint32_t n = 0; n < 10000; n += 2) {
		uint8_t b[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				(uint8_t)n};
		assert_int_equal(map_put(m, BYTES_OF(b), BYTES_OF(b)), ERR_OK);
	}
	for (uint32_t n = 0; n < 9998; n++) {
		uint8_t b[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				(uint8_t)n};
		uint32_t want = n % 2 ? n + 1 : n;
		assert_true(map_next(m, BYTES_OF(b), false, &key, &value));
		assert_int_equal(key.at[2] << 8 | key.at[3], want);
		want = n % 2 ? n + 1 : n + 2;
		assert_true(map_next(m, BYTES_OF(b), true, &key, &value));
		assert_int_equal(key.at[2] << 8 | key.at[3], want);
	}
	uint8_t end[4] = {0, 0, 9998 >> 8, (uint8_t)9998};
	assert_false(map_next(m, BYTES_OF(end), true, &key, &value));
	map_free(m);
}

/* A value borrowed from the map may be put back, into its own row or another. */
static void test_map_takes_its_own_bytes(void **state)
{
	(void)state;
	struct map *m = map_new();
	struct bytes a = bytes_text("a"), b = bytes_text("b"), got;

	assert_int_equal(map_put(m, a, bytes_text("0123456789")), ERR_OK);
	assert_true(map_get(m, a, &got));
	assert_int_equal(map_put(m, b, got), ERR_OK);
	assert_true(map_get(m, a, &got));
	got.at += 2;
	got.len -= 2;
	assert_int_equal(map_put(m, a, got), ERR_OK);
	assert_true(map_get(m, a, &got));
	assert_true(bytes_equal(got, bytes_text("23456789")));
	map_free(m);
}

/* The kv in memory: absent rows, empty values, the end. */
static void test_kv_map(void **state)
{
	(void)state;
	struct kv *kv = kv_new_map();
	struct bytes key, value;

	assert_non_null(kv);
	assert_int_equal(kv_get(kv, bytes_text("x"), &value), ERR_NOENT);
	assert_int_equal(kv_del(kv, bytes_text("x")), ERR_OK);
	assert_int_equal(kv_put(kv, bytes_text("x"), (struct bytes){NULL, 0}), ERR_OK);
	assert_int_equal(kv_get(kv, bytes_text("x"), &value), ERR_OK);
	assert_int_equal(value.len, 0);
	assert_int_equal(kv_next(kv, bytes_text("a"), false, &key, &value), ERR_OK);
	assert_true(bytes_equal(key, bytes_text("x")));
	assert_int_equal(kv_next(kv, bytes_text("x"), true, &key, &value), ERR_NOENT);
	kv_free_map(kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_is_a_table),
		cmocka_unit_test(test_map_next_finds_the_neighbour),
		cmocka_unit_test(test_map_takes_its_own_bytes),
		cmocka_unit_test(test_kv_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
