// SPDX-License-Identifier: MIT
/* test_seal.c - seals, signatures, boxes, and keys: what opens, and all that must not */
#include "base/rng.h"
#include "sample.h"
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

static struct folder_id folder = {{7}};

static void piece_of(struct wr *w, enum seal_kind kind, struct bytes body)
{
	struct seal_keys k;
	uint8_t nonce[SEAL_NONCE] = {1, 2, 3};

	sample_keys(&k);
	seal_piece(w, &k, &folder, kind, 0, (uint32_t)body.len, body, nonce);
	assert_false(w->bad);
}

/* What was sealed opens to the same bytes, at every length up to some and at the largest. */
static void opens_again(void)
{
	static uint8_t plain[CHUNK_BYTES_MAX], out[CHUNK_BYTES_MAX];
	struct seal_keys k;

	sample_keys(&k);
	for (size_t len = 0; len <= sizeof(plain); len = len < 70 ? len + 1 : sizeof(plain) + len) {
		struct wr w = {0};
		struct seal_info i;
		if (len == 70)
			len = sizeof(plain);
		wr_u8(&w, 0xee); /* it is appended */
		piece_of(&w, SEAL_CHUNK, (struct bytes){plain, len});
		struct bytes sealed = {w.at + 1, w.len - 1};
		assert_int_equal(sealed.len, len + SEAL_OVERHEAD);
		assert_int_equal(seal_open(sealed, &k, &folder, SEAL_CHUNK, out, &i), ERR_OK);
		assert_memory_equal(out, plain, len);
		assert_int_equal(i.plain_len, len);
		assert_int_equal(i.kind, SEAL_CHUNK);
		assert_int_equal(i.epoch, 1);
		wr_fini(&w);
	}
}

/* No bit of a sealed piece, of the folder, the key or the epoch can be another. */
static void refuses_all_else(void)
{
	struct seal_keys k, other;
	struct seal_info i = {.kind = 99};
	struct folder_id elsewhere = {{8}};
	uint8_t out[16], key[KEY_LEN] = {1};
	struct wr w = {0};

	sample_keys(&k);
	piece_of(&w, SEAL_NODE, bytes_text("hello"));
	struct bytes sealed = wr_view(&w);
	for (size_t bit = 0; bit < sealed.len * 8; bit++) {
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
		assert_int_not_equal(seal_open(sealed, &k, &folder, SEAL_NODE, out, &i), ERR_OK);
		w.at[bit / 8] = (uint8_t)(w.at[bit / 8] ^ (1u << bit % 8));
	}
	for (size_t len = 0; len < sealed.len; len++)
		assert_int_equal(
			seal_open((struct bytes){w.at, len}, &k, &folder, SEAL_NODE, out, &i),
			ERR_MALFORMED);
	assert_int_equal(seal_open(sealed, &k, &elsewhere, SEAL_NODE, out, &i), ERR_FORGED);
	assert_int_equal(seal_open(sealed, &k, &folder, SEAL_CHUNK, out, &i), ERR_FORGED);
	seal_keys_init(&other, key, 1);
	assert_int_equal(seal_open(sealed, &other, &folder, SEAL_NODE, out, &i), ERR_FORGED);
	other = k;
	other.epoch = 2;
	assert_int_equal(seal_open(sealed, &other, &folder, SEAL_NODE, out, &i), ERR_FORGED);
	assert_int_equal(i.kind, 99);
	assert_int_equal(seal_open(sealed, &k, &folder, SEAL_NODE, out, &i), ERR_OK);
	wr_fini(&w);
}

static void test_seal_opens_again(void **state)
{
	(void)state;
	opens_again();
	seal_use_fake(true);
	opens_again();
	seal_use_fake(false);
}

static void test_seal_refuses_all_else(void **state)
{
	(void)state;
	refuses_all_else();
	seal_use_fake(true);
	refuses_all_else();
	seal_use_fake(false);
}

/* A stranger sees a ciphertext; the nonce makes another one of the same plaintext. */
static void test_ciphertext_shows_nothing(void **state)
{
	struct seal_keys k;
	struct wr a = {0}, b = {0};
	uint8_t n1[SEAL_NONCE] = {1}, n2[SEAL_NONCE] = {2}, plain[64] = {0};

	(void)state;
	sample_keys(&k);
	seal_piece(&a, &k, &folder, SEAL_CHUNK, 0, 64, BYTES_OF(plain), n1);
	seal_piece(&b, &k, &folder, SEAL_CHUNK, 0, 64, BYTES_OF(plain), n2);
	assert_memory_not_equal(a.at + SEAL_HEAD, plain, 64);
	assert_memory_not_equal(a.at + SEAL_HEAD, b.at + SEAL_HEAD, 64);
	wr_fini(&a);
	wr_fini(&b);
}

/* Headers: unknown versions and the other suite are ERR_VERSION, lengths have a limit by kind. */
static void test_peek_at_limits(void **state)
{
	static const struct {
		uint8_t kind;
		uint32_t most;
	} kinds[] = {{SEAL_CHUNK, CHUNK_BYTES_MAX},
		     {SEAL_NODE, NODE_BYTES_MAX},
		     {SEAL_BUNDLE, SEAL_PLAIN_MAX}};
	struct wr w = {0};
	struct seal_info i;

	(void)state;
	piece_of(&w, SEAL_CHUNK, bytes_text("hello"));
	w.at[4] = 2;
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_VERSION);
	w.at[4] = 1;
	w.at[5] = 255;
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_VERSION);
	seal_use_fake(true);
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_OK);
	w.at[5] = 1;
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_VERSION);
	seal_use_fake(false);
	w.at[7] = 2; /* no such flag */
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_MALFORMED);
	w.at[7] = SEAL_ZSTD;
	for (size_t n = 0; n < ARRAY_LEN(kinds); n++) {
		w.at[6] = kinds[n].kind;
		for (uint32_t over = 0; over < 2; over++) {
			uint32_t len = kinds[n].most + over;
			for (size_t k = 0; k < 4; k++)
				w.at[12 + k] = (uint8_t)(len >> (8 * k));
			assert_int_equal(seal_peek(wr_view(&w), &i), over ? ERR_MALFORMED : ERR_OK);
		}
	}
	w.at[6] = 4;
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_MALFORMED);
	w.at[6] = 0;
	assert_int_equal(seal_peek(wr_view(&w), &i), ERR_MALFORMED);
	wr_fini(&w);
}

/* A signature is of one text by one device. */
static void signs_one_text(void)
{
	struct sign_pair a, b;
	uint8_t sig[SIG_LEN];

	sample_device(&a, 1);
	sample_device(&b, 2);
	sign_make(&a, bytes_text("yes"), sig);
	assert_true(sign_ok(&a.pub, bytes_text("yes"), sig));
	assert_false(sign_ok(&a.pub, bytes_text("no"), sig));
	assert_false(sign_ok(&a.pub, (struct bytes){NULL, 0}, sig));
	assert_false(sign_ok(&b.pub, bytes_text("yes"), sig));
	for (size_t bit = 0; bit < SIG_LEN * 8; bit++) {
		sig[bit / 8] = (uint8_t)(sig[bit / 8] ^ (1u << bit % 8));
		assert_false(sign_ok(&a.pub, bytes_text("yes"), sig));
		sig[bit / 8] = (uint8_t)(sig[bit / 8] ^ (1u << bit % 8));
	}
}

static void test_signatures(void **state)
{
	struct sign_pair a;
	uint8_t sig[SIG_LEN];

	(void)state;
	signs_one_text();
	seal_use_fake(true);
	signs_one_text();
	sample_device(&a, 1);
	sign_make(&a, bytes_text("yes"), sig);
	seal_use_fake(false);
	assert_false(sign_ok(&a.pub, bytes_text("yes"), sig)); /* a fake one counts nowhere else */
}

/* RFC 8032, section 7.1, test 1. */
static void test_ed25519_known_answer(void **state)
{
	static const uint8_t seed[32] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
					 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
					 0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
					 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
	static const uint8_t pub[32] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7,
					0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a,
					0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25,
					0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
	static const uint8_t begins[8] = {0xe5, 0x56, 0x43, 0x00, 0xc3, 0x60, 0xac, 0x72};
	struct sign_pair p;
	uint8_t sig[SIG_LEN];

	(void)state;
	sign_pair_init(&p, seed);
	assert_memory_equal(p.pub.b, pub, 32);
	sign_make(&p, (struct bytes){NULL, 0}, sig);
	assert_memory_equal(sig, begins, sizeof(begins));
}

/* Our boxes open with ours and with libsodium's sealed boxes, and theirs with ours. */
static void test_boxes_are_sealed_boxes(void **state)
{
	struct sign_pair mine, other;
	uint8_t pub[32], secret[32], out[64], theirs[5 + crypto_box_SEALBYTES], seed[32] = {4};
	struct wr w = {0};

	(void)state;
	sample_device(&mine, 1);
	sample_device(&other, 2);
	assert_int_equal(seal_box(&w, &mine.pub, bytes_text("hello"), seed), ERR_OK);
	assert_int_equal(w.len, 5 + BOX_OVERHEAD);
	assert_int_equal(seal_box_open(&mine, wr_view(&w), out), ERR_OK);
	assert_memory_equal(out, "hello", 5);
	assert_int_equal(seal_box_open(&other, wr_view(&w), out), ERR_FORGED);
	assert_int_equal(seal_x25519(&mine, pub, secret), ERR_OK);
	memset(out, 0, sizeof(out));
	assert_int_equal(crypto_box_seal_open(out, w.at, w.len, pub, secret), 0);
	assert_memory_equal(out, "hello", 5);
	assert_int_equal(crypto_box_seal(theirs, (const uint8_t *)"world", 5, pub), 0);
	assert_int_equal(seal_box_open(&mine, BYTES_OF(theirs), out), ERR_OK);
	assert_memory_equal(out, "world", 5);
	for (size_t k = 0; k < w.len; k++) {
		w.at[k] ^= 1;
		assert_int_equal(seal_box_open(&mine, wr_view(&w), out), ERR_FORGED);
		w.at[k] ^= 1;
	}
	for (size_t len = 0; len < BOX_OVERHEAD; len++)
		assert_int_equal(seal_box_open(&mine, (struct bytes){w.at, len}, out),
				 ERR_MALFORMED);
	wr_fini(&w);
}

/* Bytes that are no key of a device are refused, and nothing is left in the buffer. */
static void test_box_to_no_key(void **state)
{
	struct device_id none = {{2}}, small = {{1}};
	struct wr w = {0};
	uint8_t seed[32] = {4};

	(void)state;
	assert_int_equal(seal_box(&w, &none, bytes_text("x"), seed), ERR_MALFORMED);
	assert_int_equal(seal_box(&w, &small, bytes_text("x"), seed), ERR_MALFORMED);
	assert_int_equal(w.len, 0);
	wr_fini(&w);
}

static void test_x25519_is_a_pair(void **state)
{
	struct sign_pair p;
	uint8_t pub[32], secret[32], again[32];

	(void)state;
	sample_device(&p, 3);
	assert_int_equal(seal_x25519(&p, pub, secret), ERR_OK);
	crypto_scalarmult_base(again, secret);
	assert_memory_equal(pub, again, 32);
}

/* All keys made of one folder key differ, and a change of it changes all. */
static void test_keys_differ(void **state)
{
	struct seal_keys k[2];
	uint8_t fixed[2][2][KEY_LEN], key[KEY_LEN] = {0};
	const uint8_t *all[11];
	size_t n = 0;

	(void)state;
	for (size_t v = 0; v < 2; v++) {
		key[31] = (uint8_t)v;
		seal_keys_init(&k[v], key, (uint32_t)v);
		seal_fixed_keys(key, fixed[v][0], fixed[v][1]);
		assert_int_equal(k[v].epoch, v);
		all[n++] = k[v].chunk;
		all[n++] = k[v].node;
		all[n++] = k[v].bundle;
		all[n++] = fixed[v][0];
		all[n++] = fixed[v][1];
	}
	all[n++] = key;
	for (size_t a = 0; a < n; a++)
		for (size_t b = 0; b < a; b++)
			assert_memory_not_equal(all[a], all[b], KEY_LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal_opens_again),
		cmocka_unit_test(test_seal_refuses_all_else),
		cmocka_unit_test(test_ciphertext_shows_nothing),
		cmocka_unit_test(test_peek_at_limits),
		cmocka_unit_test(test_signatures),
		cmocka_unit_test(test_ed25519_known_answer),
		cmocka_unit_test(test_boxes_are_sealed_boxes),
		cmocka_unit_test(test_box_to_no_key),
		cmocka_unit_test(test_x25519_is_a_pair),
		cmocka_unit_test(test_keys_differ),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
