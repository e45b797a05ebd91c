// SPDX-License-Identifier: MIT
/* test_ack.c - acknowledgements: read back, signed, and refused where they contradict themselves */
#include "base/rng.h"
#include "recode.h"
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static struct sign_pair author;

static void make(struct ack *a, struct vector *applied, struct vector *acked)
{
	*a = (struct ack){.t = 77, .held = applied, .acked = acked};
	sample_device(&author, 1);
	a->device = author.pub;
	a->folder.b[0] = 9;
	a->roster.b[31] = 4;
}

/* Whatever part of a vector is acknowledged, just that comes back. */
static void test_what_is_acked_comes_back(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, (const uint8_t[32]){3});
	for (int k = 0; k < 300; k++) {
		struct vector *applied = vector_new(NULL, 0), *acked = vector_new(NULL, 0);
		struct ack a, b;
		struct wr w = {0};
		for (uint64_t inc = 1, n = rng_below(&rng, 20); inc <= n; inc++) {
			uint64_t seq = 1 + rng_below(&rng, 4), part = rng_below(&rng, seq + 1);
			struct vector *more = vector_with(applied, inc, seq);
			vector_unref(applied);
			applied = more;
			more = vector_with(acked, inc, part);
			vector_unref(acked);
			acked = more;
		}
		make(&a, applied, acked);
		ack_encode(&w, &a, &author);
		assert_int_equal(ack_decode(wr_view(&w), &b), ERR_OK);
		assert_true(vector_equal(a.held, b.held));
		assert_true(vector_equal(a.acked, b.acked));
		assert_int_equal(b.t, 77);
		assert_memory_equal(&a.device, &b.device, sizeof(a.device));
		assert_memory_equal(&a.folder, &b.folder, sizeof(a.folder));
		assert_memory_equal(&a.roster, &b.roster, sizeof(a.roster));
		assert_true(ack_verify(wr_view(&w), &b));
		ack_fini(&a);
		ack_fini(&b);
		wr_fini(&w);
	}
}

static void sample_bytes(struct wr *w)
{
	for (size_t k = 0; k < samples_count; k++)
		if (strcmp(samples[k].name, "ack") == 0)
			samples[k].make(w);
	assert_true(w->len > 0);
}

/* No byte can be changed: it is malformed, or the signature is not that of the device. */
static void test_every_byte_is_signed(void **state)
{
	struct wr w = {0};

	(void)state;
	sample_bytes(&w);
	for (size_t k = 0; k < w.len; k++) {
		struct ack a;
		w.at[k] ^= 1;
		if (ack_decode(wr_view(&w), &a) == ERR_OK) {
			assert_false(ack_verify(wr_view(&w), &a));
			ack_fini(&a);
		}
		w.at[k] ^= 1;
	}
	wr_fini(&w);
}

/* Offsets in the example: `less` begins behind two entries of held. */
#define LESS_AT (ACK_HEAD_BYTES + 4 + 2 * 16)

static enum err with_entry(uint64_t inc, uint64_t seq, uint32_t count)
{
	struct wr w = {0}, out = {0};

	sample_bytes(&w);
	w.len = LESS_AT;
	wr_u32(&w, count);
	wr_u64(&w, inc);
	wr_u64(&w, seq);
	for (size_t k = 0; k < SIG_LEN; k++)
		wr_u8(&w, 0);
	enum err e = recode_ack(wr_view(&w), &out);
	assert_true(e || bytes_equal(wr_view(&w), wr_view(&out)));
	wr_fini(&w);
	wr_fini(&out);
	return e;
}

/* Less than what is applied, and of that alone, in order, and as many as it says. */
static void test_what_is_less_is_judged(void **state)
{
	const uint64_t first = 0x0102030405060708, second = 0x1122334455667788;

	(void)state;
	assert_int_equal(with_entry(second, 11, 1), ERR_OK);
	assert_int_equal(with_entry(second, 0, 1), ERR_OK);
	assert_int_equal(with_entry(first, 2, 1), ERR_OK);
	assert_int_equal(with_entry(second, 12, 1), ERR_MALFORMED);
	assert_int_equal(with_entry(second, 13, 1), ERR_MALFORMED);
	assert_int_equal(with_entry(first, 3, 1), ERR_MALFORMED);
	assert_int_equal(with_entry(first + 1, 1, 1), ERR_MALFORMED);
	assert_int_equal(with_entry(second + 1, 1, 1), ERR_MALFORMED);
	assert_int_equal(with_entry(second, 11, 0), ERR_MALFORMED);
	assert_int_equal(with_entry(second, 11, 2), ERR_MALFORMED);
	assert_int_equal(with_entry(second, 11, UINT32_MAX), ERR_MALFORMED);
}

/* The same entry twice, or two in the wrong order. */
static void test_order_is_strict(void **state)
{
	const uint64_t incs[2] = {0x0102030405060708, 0x1122334455667788};

	(void)state;
	for (unsigned way = 0; way < 4; way++) {
		struct wr w = {0}, out = {0};
		sample_bytes(&w);
		w.len = LESS_AT;
		wr_u32(&w, 2);
		wr_u64(&w, incs[way & 1]);
		wr_u64(&w, 1);
		wr_u64(&w, incs[way >> 1]);
		wr_u64(&w, 2);
		for (size_t k = 0; k < SIG_LEN; k++)
			wr_u8(&w, 0);
		assert_int_equal(recode_ack(wr_view(&w), &out), way == 2 ? ERR_OK : ERR_MALFORMED);
		wr_fini(&w);
		wr_fini(&out);
	}
}

/* The longest there can be is taken; one that claims more is not. */
static void test_vectors_at_their_limit(void **state)
{
	struct where *at = calloc(VECTOR_MAX, sizeof(*at));
	struct ack a, b;
	struct wr w = {0};

	(void)state;
	assert_non_null(at);
	for (uint64_t k = 0; k < VECTOR_MAX; k++)
		at[k] = (struct where){k + 1, 2};
	make(&a, vector_new(at, VECTOR_MAX), NULL);
	ack_encode(&w, &a, &author);
	assert_int_equal(w.len, ACK_BYTES_MAX);
	assert_int_equal(ack_decode(wr_view(&w), &b), ERR_OK);
	assert_int_equal(b.acked->count, 0);
	ack_fini(&b);
	wr_u8(&w, 0);
	assert_int_equal(ack_decode(wr_view(&w), &b), ERR_MALFORMED);
	ack_fini(&a);
	wr_fini(&w);
	free(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_acked_comes_back),
		cmocka_unit_test(test_every_byte_is_signed),
		cmocka_unit_test(test_what_is_less_is_judged),
		cmocka_unit_test(test_order_is_strict),
		cmocka_unit_test(test_vectors_at_their_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
