// SPDX-License-Identifier: MIT
/* test_bundle.c - bundles: order, signature, the delta, and the records inside */
#include "recode.h"
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static void seal_body(struct wr *w, uint32_t epoch)
{
	struct folder_id f;
	struct seal_keys k;
	uint8_t nonce[SEAL_NONCE] = {1};

	sample_keys(&k);
	k.epoch = epoch;
	sample_folder(&f);
	seal_piece(w, &k, &f, SEAL_BUNDLE, 0, 2, bytes_text("ab"), nonce);
}

static void head_base(struct bundle_head *h, struct wr *body)
{
	struct sign_pair p;

	memset(h, 0, sizeof(*h));
	sample_device(&p, 1);
	h->device = p.pub;
	sample_folder(&h->folder);
	h->seq = 1;
	h->epoch = 1;
	h->nonce = 5;
	seal_body(body, 1);
	h->body = wr_view(body);
}

static void whole(const struct bundle_head *h, struct wr *w)
{
	struct sign_pair p;

	sample_device(&p, 1);
	wr_reset(w);
	bundle_encode(w, h);
	bundle_sign(w, 0, &p);
}

static enum err again(const struct wr *w)
{
	struct wr out = {0};
	enum err e = recode_bundle(wr_view(w), &out);

	if (!e)
		assert_true(bytes_equal(wr_view(w), wr_view(&out)));
	wr_fini(&out);
	return e;
}

/* A bundle is its device's: every bit of it is under the signature. */
static void every_bit_is_signed(void)
{
	struct bundle_head h, got;
	struct wr body = {0}, w = {0};

	head_base(&h, &body);
	whole(&h, &w);
	assert_int_equal(bundle_decode(wr_view(&w), &got), ERR_OK);
	assert_true(bundle_verify(wr_view(&w), &got));
	assert_int_equal(got.inc, hash_incarnation(&h.folder, &h.device, 5));
	bundle_head_fini(&got);
	for (size_t bit = 0; bit < w.len * 8; bit++) {
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
		if (bundle_decode(wr_view(&w), &got) == ERR_OK) {
			assert_false(bundle_verify(wr_view(&w), &got));
			bundle_head_fini(&got);
		}
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
	}
	wr_fini(&w);
	wr_fini(&body);
}

static void test_every_bit_is_signed(void **state)
{
	(void)state;
	every_bit_is_signed();
	seal_use_fake(true);
	every_bit_is_signed();
	seal_use_fake(false);
}

enum { AT_SEQ = 77, AT_PREV = 85, AT_FOLLOWS = 117, AT_EPOCH = 181, AT_DELTA = 185 };

/* Sequence 1 names no bundle before it, others do; only 1 follows another incarnation. */
static void test_order_shows_in_the_head(void **state)
{
	struct bundle_head h;
	struct wr body = {0}, w = {0};

	(void)state;
	head_base(&h, &body);
	h.follows = (struct where){77, 3};
	whole(&h, &w);
	assert_int_equal(again(&w), ERR_OK);
	w.at[AT_SEQ] = 0;
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_SEQ] = 2; /* names no bundle before it */
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_PREV] = 1; /* and follows */
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_SEQ] = 1;
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_PREV] = 0;
	w.at[AT_FOLLOWS + 8] = 0; /* bundle 0 of it */
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_FOLLOWS + 8] = 3;
	w.at[AT_FOLLOWS] = 0;
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_FOLLOWS] = 77;
	w.at[AT_FOLLOWS + 7] = 0x80;
	assert_int_equal(again(&w), ERR_MALFORMED);
	wr_fini(&w);
	wr_fini(&body);
}

/* The body is a sealed bundle of the head's epoch, and fills what is left. */
static void test_the_body_fits_the_head(void **state)
{
	struct bundle_head h;
	struct wr body = {0}, w = {0};

	(void)state;
	head_base(&h, &body);
	whole(&h, &w);
	w.at[AT_EPOCH] = 2;
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_EPOCH] = 1;
	w.at[AT_DELTA + 4 + 4 + 6] = SEAL_CHUNK;
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_DELTA + 4 + 4 + 6] = SEAL_BUNDLE;
	w.at[AT_DELTA + 4]--; /* its length */
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_DELTA + 4] = (uint8_t)(w.at[AT_DELTA + 4] + 2);
	assert_int_equal(again(&w), ERR_MALFORMED);
	w.at[AT_DELTA + 4]--;
	w.at[4] = 2;
	assert_int_equal(again(&w), ERR_VERSION);
	w.at[4] = BUNDLE_VERSION;
	assert_int_equal(again(&w), ERR_OK);
	wr_fini(&w);
	wr_fini(&body);
}

/* An entry that went back is one with a lower value; none can be taken away. */
static void test_the_delta_says_what_changed(void **state)
{
	const struct where at[] = {{5, 2}, {9, 1}};
	struct bundle_head h, got;
	struct wr body = {0}, w = {0};

	(void)state;
	head_base(&h, &body);
	h.delta = vector_new(at, 2);
	whole(&h, &w);
	assert_int_equal(bundle_decode(wr_view(&w), &got), ERR_OK);
	assert_true(vector_equal(h.delta, got.delta));
	bundle_head_fini(&got);
	w.at[AT_DELTA + 4 + 8] = 0;
	assert_int_equal(again(&w), ERR_MALFORMED);
	bundle_head_fini(&h);
	wr_fini(&w);
	wr_fini(&body);
}

static void test_whole_bundles_have_a_limit(void **state)
{
	struct bundle_head h, got;
	struct wr body = {0}, w = {0};
	struct folder_id f;
	struct seal_keys k;
	uint8_t nonce[SEAL_NONCE] = {1};
	uint32_t most = BUNDLE_BYTES_MAX - AT_DELTA - 4 - 4 - SEAL_OVERHEAD - SIG_LEN;
	uint8_t *plain = calloc(1, most);

	(void)state;
	assert_non_null(plain);
	sample_keys(&k);
	sample_folder(&f);
	head_base(&h, &body);
	wr_reset(&body);
	seal_piece(&body, &k, &f, SEAL_BUNDLE, 0, most, (struct bytes){plain, most}, nonce);
	h.body = wr_view(&body);
	whole(&h, &w);
	assert_int_equal(w.len, BUNDLE_BYTES_MAX);
	assert_int_equal(bundle_decode(wr_view(&w), &got), ERR_OK);
	bundle_head_fini(&got);
	wr_u8(&w, 0);
	assert_int_equal(bundle_decode(wr_view(&w), &got), ERR_MALFORMED);
	free(plain);
	wr_fini(&w);
	wr_fini(&body);
}

static enum err records_of(const struct wr *w, uint32_t *count)
{
	struct bundle *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->plain = malloc(w->len ? w->len : 1);
	assert_non_null(b->plain);
	if (w->len)
		memcpy(b->plain, w->at, w->len);
	enum err e = bundle_records(b, w->len);
	*count = b->count;
	bundle_free(b);
	return e;
}

/* A body is whole records and nothing else: none, some, or BUNDLE_RECORDS_MAX of them. */
static void test_bodies_are_whole_records(void **state)
{
	struct record r;
	struct wr w = {0};
	uint32_t count = 0;

	(void)state;
	assert_int_equal(records_of(&w, &count), ERR_OK);
	assert_int_equal(count, 0);
	sample_inode(&r);
	record_encode(&w, &r);
	size_t first = w.len;
	sample_content(&r);
	record_encode(&w, &r);
	size_t both = w.len;
	assert_int_equal(records_of(&w, &count), ERR_OK);
	assert_int_equal(count, 2);
	for (size_t len = 1; len < both; len++) {
		w.len = len;
		assert_int_equal(records_of(&w, &count), len == first ? ERR_OK : ERR_MALFORMED);
	}
	wr_reset(&w);
	sample_attr(&r);
	for (uint32_t k = 0; k < BUNDLE_RECORDS_MAX; k++)
		record_encode(&w, &r);
	assert_int_equal(records_of(&w, &count), ERR_OK);
	assert_int_equal(count, BUNDLE_RECORDS_MAX);
	record_encode(&w, &r);
	assert_int_equal(records_of(&w, &count), ERR_MALFORMED);
	assert_int_equal(count, 0);
	wr_fini(&w);
}

static void test_free_takes_null_and_half_built(void **state)
{
	(void)state;
	bundle_free(NULL);
	bundle_free(calloc(1, sizeof(struct bundle)));
	record_arena_free(NULL);
}

/* What the next bundle names is the hash of the whole, signature included. */
static void test_the_hash_is_of_the_whole(void **state)
{
	struct bundle_head h;
	struct wr body = {0}, w = {0};
	struct hash a, b;

	(void)state;
	head_base(&h, &body);
	whole(&h, &w);
	bundle_hash(wr_view(&w), &a);
	w.at[w.len - 1] ^= 1;
	bundle_hash(wr_view(&w), &b);
	assert_memory_not_equal(a.b, b.b, HASH_LEN);
	wr_fini(&w);
	wr_fini(&body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit_is_signed),
		cmocka_unit_test(test_order_shows_in_the_head),
		cmocka_unit_test(test_the_body_fits_the_head),
		cmocka_unit_test(test_the_delta_says_what_changed),
		cmocka_unit_test(test_whole_bundles_have_a_limit),
		cmocka_unit_test(test_bodies_are_whole_records),
		cmocka_unit_test(test_free_takes_null_and_half_built),
		cmocka_unit_test(test_the_hash_is_of_the_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
