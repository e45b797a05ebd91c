// SPDX-License-Identifier: MIT
/* test_extents.c - extents against a file of bytes that remembers where each byte came from */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#undef fail

#include "base/rng.h"
#include "core/extents.h"
#include "core/tables.h"

#define SPAN 4096u
#define WORK 7u

struct model {
	uint64_t addr[SPAN]; /* address of each byte + 1; 0: in no extent */
};

static void compare(struct extents *x, const struct model *m)
{
	struct extent e;
	uint64_t off = 0, live = 0;

	for (uint64_t k = 0; k < SPAN; k++)
		live += m->addr[k] != 0;
	while (off < SPAN && extents_find(x, WORK, off, &e) == ERR_OK) {
		for (; off < e.off; off++)
			assert_int_equal(m->addr[off], 0);
		for (; off < e.off + e.len; off++)
			assert_int_equal(m->addr[off], e.addr + (off - e.off) + 1);
	}
	for (; off < SPAN; off++)
		assert_int_equal(m->addr[off], 0);
	assert_int_equal(extents_live(x), live);
}

static void put(struct extents *x, struct model *m, uint64_t off, uint64_t len, uint64_t addr)
{
	assert_int_equal(extents_put(x, WORK, (struct extent){off, len, addr}), ERR_OK);
	for (uint64_t k = 0; k < len; k++)
		m->addr[off + k] = addr + k + 1;
}

static void cut(struct extents *x, struct model *m, uint64_t off, uint64_t end)
{
	assert_int_equal(extents_cut(x, WORK, off, end), ERR_OK);
	for (uint64_t k = off; k < MIN(end, (uint64_t)SPAN); k++)
		m->addr[k] = 0;
}

/* Whatever is written over whatever, each byte is found where it was written last. */
static void test_extents_are_the_last_writes(void **state)
{
	struct rng rng;
	uint64_t addr = EXTENTS_SEGMENT_BYTES; /* segment 1 */

	(void)state;
	rng_init_number(&rng, 1);
	for (int round = 0; round < 200; round++) {
		struct kv *kv = kv_new_map();
		struct extents *x = extents_new(kv);
		static struct model m;
		memset(&m, 0, sizeof(m));
		for (int k = 0; k < 40; k++) {
			uint64_t off = rng_below(&rng, SPAN), len = 1 + rng_below(&rng, SPAN - off);
			if (rng_below(&rng, 4) == 0) {
				cut(x, &m, off, rng_below(&rng, 2) ? off + len : UINT64_MAX);
			} else {
				put(x, &m, off, len, addr);
				addr += len + rng_below(&rng, 2);
			}
			compare(x, &m);
		}
		extents_free(x);
		x = extents_new(kv); /* the rows alone tell it all again */
		assert_int_equal(extents_load(x), ERR_OK);
		compare(x, &m);
		extents_free(x);
		kv_free_map(kv);
	}
}

/* Writes in order are one extent, however many they are; one never crosses a segment's end. */
static void test_extents_join(void **state)
{
	struct kv *kv = kv_new_map();
	struct extents *x = extents_new(kv);
	struct extent e;
	uint64_t addr = 2 * (uint64_t)EXTENTS_SEGMENT_BYTES - 100;

	(void)state;
	for (uint64_t off = 0; off < 200; off += 10)
		assert_int_equal(extents_put(x, WORK, (struct extent){off, 10, addr + off}),
				 ERR_OK);
	assert_int_equal(extents_find(x, WORK, 0, &e), ERR_OK);
	assert_int_equal(e.len, 100);
	assert_int_equal(extents_find(x, WORK, 100, &e), ERR_OK);
	assert_int_equal(e.off, 100);
	assert_int_equal(e.len, 100);
	assert_true(extents_in_use(x, 1) && extents_in_use(x, 2) && !extents_in_use(x, 3));
	assert_int_equal(extents_find(x, WORK + 1, 0, &e), ERR_NOENT);
	assert_int_equal(extents_cut(x, WORK, 0, UINT64_MAX), ERR_OK);
	assert_false(extents_in_use(x, 1) || extents_in_use(x, 2));
	extents_free(x);
	kv_free_map(kv);
}

/* Neighbours join only where both the file and the log go on, and within one work. */
static void test_extents_that_do_not_join(void **state)
{
	static const struct extent next[] = {
		{11, 10, 5010}, /* a hole in the file */
		{10, 10, 5011}, /* a hole in the log */
		{10, 10, 5009},
	};
	struct extent e;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(next); k++) {
		struct kv *kv = kv_new_map();
		struct extents *x = extents_new(kv);
		assert_int_equal(extents_put(x, WORK, (struct extent){0, 10, 5000}), ERR_OK);
		assert_int_equal(extents_put(x, WORK - 1, (struct extent){10, 10, 5010}), ERR_OK);
		assert_int_equal(extents_put(x, WORK, next[k]), ERR_OK);
		assert_int_equal(extents_find(x, WORK, 0, &e), ERR_OK);
		assert_int_equal(e.len, 10);
		assert_int_equal(extents_find(x, WORK, next[k].off, &e), ERR_OK);
		assert_memory_equal(&e, &next[k], sizeof(e));
		assert_int_equal(extents_find(x, WORK - 1, 10, &e), ERR_OK);
		assert_int_equal(e.len, 10);
		assert_int_equal(extents_cut(x, WORK, 5, 5), ERR_OK); /* nothing */
		assert_int_equal(extents_live(x), 30);
		extents_free(x);
		kv_free_map(kv);
	}
}

/* A row that nobody wrote so is damage to whoever comes to it, and never an absence of writes. */
static void test_damaged_rows(void **state)
{
	uint8_t key[18] = {TABLE_EXTENT, 0, 0, 0, 0, 0, 0, 0, WORK}, value[17] = {0};
	struct extent e;

	(void)state;
	key[16] = 9; /* last byte */
	for (size_t len = 2; len <= sizeof(key); len++) {
		for (size_t have = 15; have <= sizeof(value); have++) {
			struct kv *kv = kv_new_map();
			struct extents *x = extents_new(kv);
			bool good = len == 17 && have == 16;
			assert_int_equal(
				kv_put(kv, (struct bytes){key, len}, (struct bytes){value, have}),
				ERR_OK);
			assert_int_equal(extents_load(x), good ? ERR_OK : ERR_DAMAGED);
			if (len >= 17) {
				enum err want = good ? ERR_OK : ERR_DAMAGED;
				assert_int_equal(extents_find(x, WORK, 0, &e), want);
				assert_int_equal(extents_put(x, WORK, (struct extent){20, 1, 500}),
						 ERR_OK);
				assert_int_equal(extents_put(x, WORK, (struct extent){5, 1, 500}),
						 want);
				assert_int_equal(extents_cut(x, WORK, 0, 3), want);
			}
			extents_free(x);
			kv_free_map(kv);
		}
	}
	struct kv *kv = kv_new_map();
	struct extents *x = extents_new(kv);
	value[0] = 10; /* it would begin behind its end */
	assert_int_equal(kv_put(kv, (struct bytes){key, 17}, (struct bytes){value, 16}), ERR_OK);
	assert_int_equal(extents_find(x, WORK, 0, &e), ERR_DAMAGED);
	assert_int_equal(extents_put(x, WORK, (struct extent){10, 1, 500}), ERR_DAMAGED);
	extents_free(x);
	kv_free_map(kv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extents_are_the_last_writes),
		cmocka_unit_test(test_extents_join),
		cmocka_unit_test(test_extents_that_do_not_join),
		cmocka_unit_test(test_damaged_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
