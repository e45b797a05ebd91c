// SPDX-License-Identifier: MIT
/* test_base.c - cursors, ids, hashes, random numbers, vectors, errors */
#include "base/hash.h"
#include "base/rng.h"
#include "base/vector.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

/* Past the end a cursor gives zeros, says so, and stays there. */
static void test_rd_past_the_end_is_zero_and_sticks(void **state)
{
	static const uint8_t three[] = {1, 2, 3};
	struct rd r = rd_of(BYTES_OF(three));
	uint8_t four[4] = {9, 9, 9, 9};

	(void)state;
	assert_int_equal(rd_u16(&r), 0x0201);
	assert_false(rd_done(&r));
	assert_int_equal(rd_u16(&r), 0);
	assert_true(r.bad);
	assert_int_equal(rd_u8(&r), 0); /* there is one byte left, but the cursor is bad */
	rd_copy(&r, four, sizeof(four));
	assert_int_equal(four[0] | four[1] | four[2] | four[3], 0);
	assert_null(rd_bytes(&r, 1).at);
	assert_false(rd_done(&r));
}

/* What wr writes, rd reads; keys are big-endian. */
static void test_wr_and_rd_agree(void **state)
{
	struct wr w = {0};

	(void)state;
	wr_u8(&w, 0xfe);
	wr_u16(&w, 0x0102);
	wr_u32(&w, 0);
	wr_u64(&w, UINT64_MAX - 1);
	wr_be64(&w, 0x0102030405060708);
	wr_patch_u32(&w, 3, 0xdeadbeef);
	assert_int_equal(w.at[15], 1);
	assert_int_equal(w.at[22], 8);
	struct rd r = rd_of(wr_view(&w));
	assert_int_equal(rd_u8(&r), 0xfe);
	assert_int_equal(rd_u16(&r), 0x0102);
	assert_int_equal(rd_u32(&r), 0xdeadbeef);
	assert_int_equal(rd_u64(&r), UINT64_MAX - 1);
	assert_int_equal(rd_be64(&r), 0x0102030405060708);
	assert_true(rd_done(&r));
	size_t len = 0;
	uint8_t *p = wr_take(&w, &len);
	assert_int_equal(len, 23);
	assert_null(w.at);
	free(p);
}

/* A buffer that is bad keeps what it has, drops the rest, and is usable after a reset. */
static void test_wr_when_bad(void **state)
{
	struct wr w = {0};

	(void)state;
	wr_u8(&w, 1);
	w.bad = true; /* as without memory */
	assert_null(wr_span(&w, 1));
	wr_u8(&w, 2);
	wr_patch_u32(&w, 0, 7);
	assert_int_equal(w.len, 1);
	assert_int_equal(w.at[0], 1);
	wr_reset(&w);
	wr_u8(&w, 3);
	assert_int_equal(w.at[0], 3);
	wr_fini(&w);
}

static void test_wr_grows_by_many_small_writes(void **state)
{
	struct wr w = {0};

	(void)state;
	for (uint32_t k = 0; k < 100000; k++)
		wr_u32(&w, k);
	struct rd r = rd_of(wr_view(&w));
	for (uint32_t k = 0; k < 100000; k++)
		assert_int_equal(rd_u32(&r), k);
	wr_fini(&w);
}

/* Runs of bytes order as memcmp has it, the shorter first. */
static void test_bytes_order(void **state)
{
	(void)state;
	assert_true(bytes_compare(bytes_text("a"), bytes_text("ab")) < 0);
	assert_true(bytes_compare(bytes_text("b"), bytes_text("ab")) > 0);
	assert_int_equal(bytes_compare(bytes_text("ab"), bytes_text("ab")), 0);
	assert_true(bytes_compare((struct bytes){NULL, 0}, bytes_text("a")) < 0);
	assert_true(bytes_prefix(bytes_text("abc"), bytes_text("ab")));
	assert_true(bytes_prefix(bytes_text("abc"), (struct bytes){NULL, 0}));
	assert_false(bytes_prefix(bytes_text("ab"), bytes_text("abc")));
	assert_true(bytes_equal((struct bytes){NULL, 0}, bytes_text("")));
}

/* The order of keys is the order of ids. */
static void test_keys_order_as_ids(void **state)
{
	struct rng rng;

	(void)state;
	rng_init_number(&rng, 2);
	for (int n = 0; n < 2000; n++) {
		struct name_id a = {rng_below(&rng, 3), rng_u64(&rng) >> (n % 60), n & 1}, b = a;
		if (n % 3)
			b.inc = rng_u64(&rng) >> (n % 50);
		b.h ^= rng_below(&rng, 2);
		struct wr wa = {0}, wb = {0};
		ids_key_name(&wa, a);
		ids_key_name(&wb, b);
		int c = bytes_compare(wr_view(&wa), wr_view(&wb)), d = name_id_compare(a, b);
		assert_true((c < 0) == (d < 0) && (c > 0) == (d > 0));
		struct rd r = rd_of(wr_view(&wa));
		assert_int_equal(name_id_compare(ids_rd_key_name(&r), a), 0);
		assert_true(rd_done(&r));
		wr_fini(&wa);
		wr_fini(&wb);
	}
}

static void test_inode_keys_and_numbers(void **state)
{
	struct inode_id i = {0x0102030405060708, 9};
	struct wr w = {0};

	(void)state;
	ids_key_inode(&w, i);
	struct rd r = rd_of(wr_view(&w));
	assert_true(inode_equal(ids_rd_key_inode(&r), i));
	wr_fini(&w);
	assert_int_equal(ids_ino(INODE_ROOT), 1);
	for (uint64_t op = 0; op < 1000; op++) {
		uint64_t ino = ids_ino((struct inode_id){5, op});
		assert_true(ino > 1);
		assert_true(ino != ids_ino((struct inode_id){5, op + 1}));
	}
	assert_true(inode_none((struct inode_id){0, 0}));
	assert_false(inode_none(INODE_ROOT));
	assert_true(inode_derived((struct inode_id){DERIVED_BIT, 0}));
}

/* Names: 1 to 255 bytes, no '/', no NUL, neither "." nor "..". */
static void test_name_ok_at_its_limits(void **state)
{
	char name[257];

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_false(name_ok((struct bytes){(uint8_t *)name, 0}));
	assert_true(name_ok((struct bytes){(uint8_t *)name, 1}));
	assert_true(name_ok((struct bytes){(uint8_t *)name, 255}));
	assert_false(name_ok((struct bytes){(uint8_t *)name, 256}));
	assert_false(name_ok(bytes_text(".")));
	assert_false(name_ok(bytes_text("..")));
	assert_true(name_ok(bytes_text("...")));
	assert_true(name_ok(bytes_text(".a")));
	assert_true(name_ok(bytes_text("\xff\xfe")));
	assert_false(name_ok(bytes_text("a/b")));
	assert_false(name_ok((struct bytes){(const uint8_t *)"a\0b", 3}));
}

/* BLAKE2b-256 and XXH3-64 as published. */
static void test_hashes_known_answers(void **state)
{
	static const uint8_t abc[HASH_LEN] = {0xbd, 0xdd, 0x81, 0x3c, 0x63, 0x42, 0x39, 0x72,
					      0x31, 0x71, 0xef, 0x3f, 0xee, 0x98, 0x57, 0x9b,
					      0x94, 0x96, 0x4e, 0x3b, 0xb1, 0xcb, 0x3e, 0x42,
					      0x72, 0x62, 0xc8, 0xc0, 0x68, 0xd5, 0x23, 0x19};
	const struct bytes parts[] = {bytes_text("a"), {NULL, 0}, bytes_text("bc")};
	struct hash h, k1, k2;
	uint8_t key[KEY_LEN] = {1};

	(void)state;
	hash_blake(bytes_text("abc"), &h);
	assert_memory_equal(h.b, abc, HASH_LEN);
	hash_blake_all(parts, ARRAY_LEN(parts), &h);
	assert_memory_equal(h.b, abc, HASH_LEN);
	hash_keyed(key, bytes_text("abc"), &k1);
	key[0] = 2;
	hash_keyed(key, bytes_text("abc"), &k2);
	assert_memory_not_equal(k1.b, k2.b, HASH_LEN);
	assert_memory_not_equal(k1.b, abc, HASH_LEN);
	assert_int_equal(hash_xxh((struct bytes){(const uint8_t *)"", 0}, 0), 0x2d06800538d394c2);
}

/* Incarnations have their top bit clear, ids of copies have it set. */
static void test_derived_numbers_never_meet(void **state)
{
	struct folder_id f = {{1}};
	struct device_id d = {{2}};

	(void)state;
	for (uint64_t n = 0; n < 1000; n++) {
		uint64_t inc = hash_incarnation(&f, &d, n);
		assert_true(inc != 0 && (inc & DERIVED_BIT) == 0);
		assert_true(inc != hash_incarnation(&f, &d, n + 1));
		struct inode_id c = hash_copy_id((struct inode_id){inc, 1}, (struct dot){inc, n});
		assert_true(inode_derived(c));
	}
}

/* The same seed gives the same numbers, however they are asked for. */
static void test_rng_is_a_function_of_its_seed(void **state)
{
	struct rng a, b;
	uint8_t x[3000], y[3000];

	(void)state;
	rng_init_number(&a, 7);
	rng_init_number(&b, 7);
	rng_bytes(&a, x, sizeof(x));
	for (size_t at = 0; at < sizeof(y);) {
		size_t n = MIN((size_t)1 + at % 97, sizeof(y) - at);
		rng_bytes(&b, y + at, n);
		at += n;
	}
	assert_memory_equal(x, y, sizeof(x));
	rng_init_number(&b, 8);
	rng_bytes(&b, y, sizeof(y));
	assert_memory_not_equal(x, y, sizeof(x));
}

static void test_rng_below_reaches_all_and_no_more(void **state)
{
	struct rng r;
	int seen[6] = {0};

	(void)state;
	rng_init_number(&r, 1);
	for (int k = 0; k < 6000; k++) {
		uint64_t v = rng_below(&r, 6);
		assert_true(v < 6);
		seen[v]++;
	}
	for (int k = 0; k < 6; k++)
		assert_in_range(seen[k], 800, 1200);
	assert_int_equal(rng_below(&r, 1), 0);
	assert_true(rng_below(&r, UINT64_MAX) < UINT64_MAX);
}

/* Entry by entry the lesser and the greater, where an absent entry is 0 and never written. */
static void test_vector_meet_and_join(void **state)
{
	struct rng r;

	(void)state;
	rng_init(&r, (const uint8_t[32]){7});
	for (int k = 0; k < 500; k++) {
		struct vector *v[2] = {NULL, NULL};
		for (uint64_t n = rng_below(&r, 14); n > 0; n--) {
			struct vector **to = &v[rng_below(&r, 2)], *old = *to;
			*to = vector_with(old, 1 + rng_below(&r, 8), 1 + rng_below(&r, 3));
			vector_unref(old);
		}
		struct vector *meet = vector_meet(v[0], v[1]), *join = vector_join(v[0], v[1]);
		uint32_t met = 0, joined = 0;
		for (uint64_t inc = 1; inc <= 8; inc++) {
			uint64_t a = vector_get(v[0], inc), b = vector_get(v[1], inc);
			assert_int_equal(vector_get(meet, inc), MIN(a, b));
			assert_int_equal(vector_get(join, inc), MAX(a, b));
			met += MIN(a, b) > 0;
			joined += MAX(a, b) > 0;
		}
		assert_int_equal(meet->count, met);
		assert_int_equal(join->count, joined);
		vector_unref(meet);
		vector_unref(join);
		vector_unref(v[0]);
		vector_unref(v[1]);
	}
}

static void test_vector_with_puts_replaces_and_removes(void **state)
{
	struct vector *v = NULL;

	(void)state;
	for (uint64_t inc = 50; inc > 0; inc--) {
		struct vector *n = vector_with(v, inc * 2, inc);
		vector_unref(v);
		v = n;
	}
	assert_int_equal(v->count, 50);
	for (uint32_t k = 1; k < v->count; k++)
		assert_true(v->at[k - 1].inc < v->at[k].inc);
	assert_int_equal(vector_get(v, 20), 10);
	assert_int_equal(vector_get(v, 21), 0);
	struct vector *w = vector_with(v, 20, 11), *x = vector_with(w, 20, 0);
	assert_int_equal(vector_get(w, 20), 11);
	assert_int_equal(w->count, 50);
	assert_int_equal(x->count, 49);
	assert_true(vector_covers(w, v));
	assert_false(vector_covers(v, w));
	assert_true(vector_covers(v, x));
	assert_true(vector_covers(v, NULL));
	assert_true(vector_covers(NULL, NULL));
	assert_false(vector_covers(NULL, v));
	assert_false(vector_equal(v, w));
	assert_true(vector_equal(v, v));
	struct vector *y = vector_with(x, 999, 0); /* removing what is not there */
	assert_true(vector_equal(x, y));
	vector_unref(y);
	vector_unref(x);
	vector_unref(w);
	assert_ptr_equal(vector_ref(v), v);
	vector_unref(v);
	assert_int_equal(vector_get(v, 2), 1);
	vector_unref(v);
}

static enum err vector_try(const struct where *at, uint32_t count, uint32_t said)
{
	struct wr w = {0};
	struct vector *v = NULL;

	wr_u32(&w, said);
	for (uint32_t k = 0; k < count; k++) {
		wr_u64(&w, at[k].inc);
		wr_u64(&w, at[k].seq);
	}
	struct rd r = rd_of(wr_view(&w));
	enum err e = vector_decode(&r, &v);
	if (!e) {
		struct wr again = {0};
		assert_true(rd_done(&r));
		vector_encode(&again, v);
		assert_true(bytes_equal(wr_view(&w), wr_view(&again)));
		wr_fini(&again);
		vector_unref(v);
	}
	wr_fini(&w);
	return e;
}

/* Sorted, nonzero, at most VECTOR_MAX: at the limit and one past it. */
static void test_vector_decode_is_strict(void **state)
{
	static struct where many[VECTOR_MAX + 1];
	const struct where twice[] = {{1, 1}, {1, 2}}, down[] = {{2, 1}, {1, 1}}, zero[] = {{1, 0}};

	(void)state;
	for (uint32_t k = 0; k <= VECTOR_MAX; k++)
		many[k] = (struct where){k, 1};
	assert_int_equal(vector_try(NULL, 0, 0), ERR_OK);
	assert_int_equal(vector_try(many, VECTOR_MAX, VECTOR_MAX), ERR_OK);
	assert_int_equal(vector_try(many, VECTOR_MAX + 1, VECTOR_MAX + 1), ERR_MALFORMED);
	assert_int_equal(vector_try(many, 3, 4), ERR_MALFORMED);
	assert_int_equal(vector_try(many, 0, UINT32_MAX), ERR_MALFORMED);
	assert_int_equal(vector_try(twice, 2, 2), ERR_MALFORMED);
	assert_int_equal(vector_try(down, 2, 2), ERR_MALFORMED);
	assert_int_equal(vector_try(zero, 1, 1), ERR_MALFORMED);
}

static int births;
static void count_birth(void *arg, enum err e, const char *file, int line)
{
	enum err *last = arg;

	*last = e;
	births += file != NULL && line > 0;
}

/* Every error has a text and an errno, and the last births are remembered, newest last. */
static void test_errors_have_texts_and_a_trail(void **state)
{
	enum err last = ERR_OK;

	(void)state;
	for (unsigned e = 0; e < ERR_COUNT; e++) {
		assert_true(strlen(err_text((enum err)e)) > 0);
		assert_true((err_errno((enum err)e) == 0) == (e == ERR_OK));
	}
	assert_string_equal(err_text((enum err)9999), "unknown error");
	assert_int_equal(err_errno((enum err)9999), EIO);
	for (int k = 0; k < ERR_TRAIL + 5; k++)
		err_note(ERR_BUSY, __FILE__, __LINE__);
	err_note(ERR_LOOP, __FILE__, __LINE__);
	births = 0;
	err_trail(count_birth, &last);
	assert_int_equal(births, ERR_TRAIL);
	assert_int_equal(last, ERR_LOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rd_past_the_end_is_zero_and_sticks),
		cmocka_unit_test(test_wr_and_rd_agree),
		cmocka_unit_test(test_wr_when_bad),
		cmocka_unit_test(test_wr_grows_by_many_small_writes),
		cmocka_unit_test(test_bytes_order),
		cmocka_unit_test(test_keys_order_as_ids),
		cmocka_unit_test(test_inode_keys_and_numbers),
		cmocka_unit_test(test_name_ok_at_its_limits),
		cmocka_unit_test(test_hashes_known_answers),
		cmocka_unit_test(test_derived_numbers_never_meet),
		cmocka_unit_test(test_rng_is_a_function_of_its_seed),
		cmocka_unit_test(test_rng_below_reaches_all_and_no_more),
		cmocka_unit_test(test_vector_with_puts_replaces_and_removes),
		cmocka_unit_test(test_vector_meet_and_join),
		cmocka_unit_test(test_vector_decode_is_strict),
		cmocka_unit_test(test_errors_have_texts_and_a_trail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
