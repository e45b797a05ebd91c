// SPDX-License-Identifier: MIT
/* test_store.c - journal frames, heads in packs, local.db */
#include "recode.h"
#include "sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static void frame(struct wr *w, uint64_t at, struct bytes payload)
{
	uint8_t head[JOURNAL_HEAD];

	journal_head(head, at, payload);
	wr_bytes(w, BYTES_OF(head));
	wr_bytes(w, payload);
}

/* Frames are read one after another, each at its own offset. */
static void test_frames_in_a_row(void **state)
{
	struct wr w = {0};
	struct bytes got;

	(void)state;
	frame(&w, 1000, bytes_text("first"));
	size_t second = w.len;
	frame(&w, 1000 + second, bytes_text("second one"));
	assert_int_equal(journal_next(wr_view(&w), 1000, &got), ERR_OK);
	assert_true(bytes_equal(got, bytes_text("first")));
	assert_ptr_equal(got.at, w.at + JOURNAL_HEAD);
	struct bytes rest = {w.at + second, w.len - second};
	assert_int_equal(journal_next(rest, 1000 + second, &got), ERR_OK);
	assert_true(bytes_equal(got, bytes_text("second one")));
	wr_fini(&w);
}

/* A frame that is torn, garbled, or stands at another offset is none; nor are zeros. */
static void test_what_is_no_frame(void **state)
{
	static const uint8_t zeros[64];
	struct wr w = {0};
	struct bytes got = {NULL, 77};

	(void)state;
	frame(&w, 1000, bytes_text("payload"));
	for (size_t len = 0; len < w.len; len++)
		assert_int_equal(journal_next((struct bytes){w.at, len}, 1000, &got),
				 ERR_MALFORMED);
	for (size_t bit = 0; bit < w.len * 8; bit++) {
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
		assert_int_equal(journal_next(wr_view(&w), 1000, &got), ERR_MALFORMED);
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
	}
	assert_int_equal(journal_next(wr_view(&w), 1001, &got), ERR_MALFORMED);
	assert_int_equal(journal_next(wr_view(&w), 0, &got), ERR_MALFORMED);
	assert_int_equal(journal_next(BYTES_OF(zeros), 0, &got), ERR_MALFORMED);
	assert_int_equal(journal_next(BYTES_OF(zeros), 1000, &got), ERR_MALFORMED);
	assert_int_equal(got.len, 77);
	wr_fini(&w);
}

static void test_payloads_have_a_limit(void **state)
{
	uint8_t *big = calloc(1, (size_t)JOURNAL_PAYLOAD_MAX + 1 + JOURNAL_HEAD);
	struct bytes got;

	(void)state;
	assert_non_null(big);
	struct bytes payload = {big + JOURNAL_HEAD, JOURNAL_PAYLOAD_MAX};
	struct bytes all = {big, (size_t)JOURNAL_PAYLOAD_MAX + 1 + JOURNAL_HEAD};
	journal_head(big, 5, payload);
	assert_int_equal(journal_next(all, 5, &got), ERR_OK);
	assert_int_equal(got.len, JOURNAL_PAYLOAD_MAX);
	uint64_t sum = hash_xxh((struct bytes){payload.at, payload.len + 1}, 5);
	big[0]++; /* and the right sum for it */
	for (size_t k = 0; k < 8; k++)
		big[4 + k] = (uint8_t)(sum >> (8 * k));
	assert_int_equal(journal_next(all, 5, &got), ERR_MALFORMED);
	free(big);
}

static void test_pack_heads(void **state)
{
	struct pack_head h = {.kind = SEAL_NODE, .len = SEAL_BYTES_MAX, .name = {{9}}}, got;
	uint8_t b[PACK_HEAD];

	(void)state;
	pack_head_encode(b, &h);
	assert_int_equal(pack_head_decode(b, &got), ERR_OK);
	assert_int_equal(got.kind, h.kind);
	assert_int_equal(got.len, h.len);
	assert_memory_equal(got.name.b, h.name.b, HASH_LEN);
	b[4]++; /* one past the longest */
	assert_int_equal(pack_head_decode(b, &got), ERR_MALFORMED);
	h.len = 1;
	pack_head_encode(b, &h);
	assert_int_equal(pack_head_decode(b, &got), ERR_OK);
	b[4] = 0;
	assert_int_equal(pack_head_decode(b, &got), ERR_MALFORMED);
	b[4] = 1;
	for (size_t at = 0; at < 4; at++) {
		uint8_t was = b[at];
		b[at] = 0x40;
		assert_int_equal(pack_head_decode(b, &got), ERR_MALFORMED);
		b[at] = was;
	}
	b[2] = 0;
	assert_int_equal(pack_head_decode(b, &got), ERR_MALFORMED);
}

/* Names of 0 to LOCAL_TEXT_MAX bytes come back. */
static void test_local_db_names(void **state)
{
	struct local_db l = {.machine = 5, .clean = true}, got;
	struct wr w = {0};

	(void)state;
	for (size_t len = 0; len <= LOCAL_TEXT_MAX; len++) {
		if (len)
			l.name[len - 1] = 'n';
		wr_reset(&w);
		local_db_encode(&w, &l);
		assert_int_equal(local_db_decode(wr_view(&w), &got), ERR_OK);
		assert_string_equal(got.name, l.name);
		assert_int_equal(got.version, STORE_VERSION);
		assert_true(got.clean);
		assert_int_equal(got.machine, 5);
	}
	wr_fini(&w);
}

/* A newer store is named as such, whatever else it holds; any garbled bit is seen. */
static void test_local_db_is_strict(void **state)
{
	struct local_db l = {.name = "papers"}, got = {.machine = 77};
	struct wr w = {0};

	(void)state;
	local_db_encode(&w, &l);
	for (size_t bit = 0; bit < w.len * 8; bit++) {
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
		assert_int_not_equal(local_db_decode(wr_view(&w), &got), ERR_OK);
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
	}
	w.at[4] = STORE_VERSION + 1;
	assert_int_equal(local_db_decode((struct bytes){w.at, 8}, &got), ERR_VERSION);
	assert_int_equal(local_db_decode(wr_view(&w), &got), ERR_VERSION);
	w.at[4] = 0;
	assert_int_equal(local_db_decode(wr_view(&w), &got), ERR_MALFORMED);
	assert_int_equal(got.machine, 77);
	wr_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_in_a_row),
		cmocka_unit_test(test_what_is_no_frame),
		cmocka_unit_test(test_payloads_have_a_limit),
		cmocka_unit_test(test_pack_heads),
		cmocka_unit_test(test_local_db_names),
		cmocka_unit_test(test_local_db_is_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
