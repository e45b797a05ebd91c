// SPDX-License-Identifier: MIT
/* test_noise.c - the published vectors byte for byte, then every way to disturb a handshake */
#include "codec/noise.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#define MESSAGES_MAX 8

struct script { /* one published vector; all runs are owned */
	struct wr prologue, init_s, init_e, resp_s, resp_e, hash;
	struct wr payload[MESSAGES_MAX], cipher[MESSAGES_MAX];
	int payloads, ciphers;
};

static void hex(const char *text, struct wr *to)
{
	for (; text[0] && text[1] && text[0] != '\n'; text += 2) {
		char two[3] = {text[0], text[1], 0};
		wr_u8(to, (uint8_t)strtoul(two, NULL, 16));
	}
}

static void script_load(const char *path, struct script *ret)
{
	static char line[4096];
	struct script s = {0};
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *value = strchr(line, ' ');
		if (line[0] == '#' || !value)
			continue;
		*value++ = '\0';
		struct {
			const char *name;
			struct wr *to;
		} const names[] = {{"init_prologue", &s.prologue}, {"init_static", &s.init_s},
				   {"init_ephemeral", &s.init_e},  {"resp_static", &s.resp_s},
				   {"resp_ephemeral", &s.resp_e},  {"handshake_hash", &s.hash}};
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (strcmp(line, names[k].name) == 0)
				hex(value, names[k].to);
		if (strcmp(line, "payload") == 0)
			hex(value, &s.payload[s.payloads++]);
		if (strcmp(line, "ciphertext") == 0)
			hex(value, &s.cipher[s.ciphers++]);
		assert_true(s.payloads < MESSAGES_MAX);
	}
	fclose(f);
	assert_true(s.payloads > 3 && s.payloads == s.ciphers && s.init_e.len == 32);
	*ret = s;
}

static void script_fini(struct script *s)
{
	struct wr *const all[] = {&s->prologue, &s->init_s, &s->init_e,
				  &s->resp_s,   &s->resp_e, &s->hash};

	for (size_t k = 0; k < ARRAY_LEN(all); k++)
		wr_fini(all[k]);
	for (int k = 0; k < s->payloads; k++) {
		wr_fini(&s->payload[k]);
		wr_fini(&s->cipher[k]);
	}
}

static void pair_init(const struct script *s, struct noise side[2])
{
	noise_init(&side[0], true, wr_view(&s->prologue), s->init_s.at, s->init_e.at);
	noise_init(&side[1], false, wr_view(&s->prologue), s->resp_s.at, s->resp_e.at);
}

static void assert_same(struct bytes a, struct bytes b)
{
	assert_int_equal(a.len, b.len);
	assert_true(bytes_equal(a, b));
}

/* The messages after the handshake go on alternating: the fourth is the responder's. */
static void play_transport(const struct script *s, struct noise_cipher send[2],
			   struct noise_cipher receive[2])
{
	for (int k = 3; k < s->payloads; k++) {
		uint8_t sealed[256], plain[256];
		int from = k % 2;
		size_t len = s->payload[k].len;

		assert_int_equal(noise_seal(&send[from], wr_view(&s->payload[k]), sealed), ERR_OK);
		assert_same((struct bytes){sealed, len + NOISE_TAG}, wr_view(&s->cipher[k]));
		assert_int_equal(noise_open(&receive[!from], wr_view(&s->cipher[k]), plain),
				 ERR_OK);
		assert_same((struct bytes){plain, len}, wr_view(&s->payload[k]));
	}
}

static void play(const char *path)
{
	struct script s;
	struct noise side[2];
	struct noise_cipher send[2], receive[2];
	uint8_t hash[2][NOISE_HASH];

	script_load(path, &s);
	pair_init(&s, side);
	for (int k = 0; k < 3; k++) {
		struct wr out = {0}, got = {0};
		int from = k % 2;

		assert_false(noise_done(&side[from]));
		assert_int_equal(noise_write(&side[from], wr_view(&s.payload[k]), &out), ERR_OK);
		assert_same(wr_view(&out), wr_view(&s.cipher[k]));
		assert_int_equal(noise_read(&side[!from], wr_view(&s.cipher[k]), &got), ERR_OK);
		assert_same(wr_view(&got), wr_view(&s.payload[k]));
		wr_fini(&out);
		wr_fini(&got);
	}
	for (int k = 0; k < 2; k++) {
		assert_true(noise_done(&side[k]));
		assert_memory_equal(side[k].rs, side[!k].s_pub, 32);
		noise_split(&side[k], &send[k], &receive[k], hash[k]);
	}
	noise_fini(&side[0]);
	noise_fini(&side[1]);
	assert_memory_equal(hash[0], hash[1], NOISE_HASH);
	if (s.hash.len)
		assert_memory_equal(hash[0], s.hash.at, NOISE_HASH);
	play_transport(&s, send, receive);
	script_fini(&s);
}

static void test_published_vectors(void **state)
{
	(void)state;
	play(VECTORS "/noise-cacophony.txt");
	play(VECTORS "/noise-snow.txt");
}

/* Both sides handshake; the byte at flip_at of message flip_message is changed on its way. */
static enum err run(const struct script *s, struct noise side[2], int flip_message, size_t flip_at)
{
	for (int k = 0; k < 3; k++) {
		struct wr out = {0}, got = {0};
		int from = k % 2;

		assert_int_equal(noise_write(&side[from], wr_view(&s->payload[k]), &out), ERR_OK);
		if (k == flip_message)
			out.at[flip_at] ^= 0x20;
		enum err e = noise_read(&side[!from], wr_view(&out), &got);
		if (e)
			assert_int_equal(got.len, 0); /* nothing unverified comes out */
		wr_fini(&out);
		wr_fini(&got);
		if (e) { /* and the state is dead */
			assert_int_equal(noise_write(&side[!from], wr_view(&s->payload[0]), &got),
					 ERR_CLOSED);
			return e;
		}
	}
	return ERR_OK;
}

/* Two sides whose prologues differ in any byte never agree (threat 26: no downgrade). */
static void test_every_prologue_byte_counts(void **state)
{
	struct script s;
	struct noise side[2];

	(void)state;
	script_load(VECTORS "/noise-cacophony.txt", &s);
	for (size_t at = 0; at < s.prologue.len; at++) {
		pair_init(&s, side);
		s.prologue.at[at] ^= 1;
		noise_init(&side[1], false, wr_view(&s.prologue), s.resp_s.at, s.resp_e.at);
		s.prologue.at[at] ^= 1;
		assert_int_equal(run(&s, side, -1, 0), ERR_FORGED);
	}
	pair_init(&s, side);
	assert_int_equal(run(&s, side, -1, 0), ERR_OK);
	script_fini(&s);
}

/* A byte changed anywhere in any message ends the handshake, here or at the next message. */
static void test_every_message_byte_counts(void **state)
{
	struct script s;
	struct noise side[2];

	(void)state;
	script_load(VECTORS "/noise-snow.txt", &s);
	for (int k = 0; k < 3; k++)
		for (size_t at = 0; at < s.cipher[k].len; at++) {
			pair_init(&s, side);
			/* X25519 ignores the top bit of a point; the transcript does not */
			assert_int_equal(run(&s, side, k, at), ERR_FORGED);
		}
	script_fini(&s);
}

static void test_every_prefix_is_refused(void **state)
{
	struct script s;
	struct noise side[2];

	(void)state;
	script_load(VECTORS "/noise-snow.txt", &s);
	const size_t least[3] = {32, 32 + 48 + 16, 48 + 16};
	for (int k = 0; k < 3; k++)
		for (size_t len = 0; len < s.cipher[k].len; len++) {
			struct wr out = {0};
			pair_init(&s, side);
			for (int before = 0; before < k; before++) {
				wr_reset(&out);
				assert_int_equal(noise_write(&side[before % 2],
							     wr_view(&s.payload[before]), &out),
						 ERR_OK);
				struct wr got = {0};
				assert_int_equal(
					noise_read(&side[1 - before % 2], wr_view(&out), &got),
					ERR_OK);
				wr_fini(&got);
			}
			uint8_t *cut = malloc(len ? len : 1); /* ASan sees the end */
			memcpy(cut, s.cipher[k].at, len);
			wr_reset(&out);
			enum err e = noise_read(&side[1 - k % 2], (struct bytes){cut, len}, &out);
			/* the first message's payload is in clear: any length of it is one */
			if (k == 0 && len >= least[0])
				assert_int_equal(e, ERR_OK);
			else
				assert_int_equal(e, len < least[k] ? ERR_MALFORMED : ERR_FORGED);
			free(cut);
			wr_fini(&out);
		}
	script_fini(&s);
}

/* A peer whose point has small order would choose the secret: refused. */
static void test_points_of_small_order(void **state)
{
	struct script s;
	struct noise side[2];
	uint8_t zeros[200] = {0};
	struct wr out = {0};

	(void)state;
	script_load(VECTORS "/noise-snow.txt", &s);
	pair_init(&s, side);
	assert_int_equal(noise_write(&side[0], BYTES_OF("x"), &out), ERR_OK);
	assert_int_equal(noise_read(&side[0], BYTES_OF(zeros), &out), ERR_FORGED);
	wr_fini(&out);
	script_fini(&s);
}

/* Garbage between records leaves the cipher as it was: the next true record opens (threat 11). */
static void test_garbage_does_not_move_the_nonce(void **state)
{
	struct noise_cipher a = {.nonce = 7}, b = {.nonce = 7};
	uint8_t sealed[64 + NOISE_TAG], bad[64 + NOISE_TAG], out[64 + NOISE_TAG], plain[64];

	(void)state;
	memset(a.key, 9, sizeof(a.key));
	memset(b.key, 9, sizeof(b.key));
	for (int round = 0; round < 50; round++) {
		memset(plain, round, sizeof(plain));
		assert_int_equal(noise_seal(&a, BYTES_OF(plain), sealed), ERR_OK);
		for (size_t at = 0; at < sizeof(sealed); at++) {
			memcpy(bad, sealed, sizeof(bad));
			bad[at] ^= (uint8_t)(1 << (at % 8));
			struct noise_cipher before = b;
			assert_int_equal(noise_open(&b, BYTES_OF(bad), out), ERR_FORGED);
			assert_memory_equal(&before, &b, sizeof(b));
			assert_int_equal(noise_open(&b, (struct bytes){bad, at}, out), ERR_FORGED);
		}
		assert_int_equal(noise_open(&b, BYTES_OF(sealed), out), ERR_OK);
		assert_memory_equal(out, plain, sizeof(plain));
		assert_int_equal(noise_open(&b, BYTES_OF(sealed), out), ERR_FORGED); /* replay */
	}
	assert_int_equal(b.nonce, 57);
}

static void test_limits(void **state)
{
	static uint8_t big[NOISE_MESSAGE_MAX + 1];
	struct script s;
	struct noise side[2];
	struct noise_cipher c = {.nonce = UINT64_MAX - 1};
	uint8_t out[32];

	(void)state;
	script_load(VECTORS "/noise-snow.txt", &s);
	for (int over = 0; over < 2; over++) {
		struct wr w = {0}, got = {0};
		pair_init(&s, side);
		struct bytes payload = {big, NOISE_MESSAGE_MAX - 32 + (size_t)over};
		assert_int_equal(noise_write(&side[0], payload, &w), over ? ERR_FULL : ERR_OK);
		if (!over)
			assert_int_equal(noise_read(&side[1], wr_view(&w), &got), ERR_OK);
		wr_fini(&w);
		wr_fini(&got);
	}
	pair_init(&s, side);
	struct wr got = {0};
	assert_int_equal(noise_read(&side[1], BYTES_OF(big), &got), ERR_MALFORMED);
	wr_fini(&got);
	assert_int_equal(noise_seal(&c, (struct bytes){big, 16}, out), ERR_OK);
	assert_int_equal(noise_seal(&c, (struct bytes){big, 16}, out), ERR_FULL);
	assert_int_equal(noise_open(&c, (struct bytes){out, 32}, big), ERR_FULL);
	script_fini(&s);
}

/* After rekeying on both sides records flow on; on one side alone they do not. */
static void test_rekey(void **state)
{
	struct noise_cipher a = {.nonce = 3}, b = {.nonce = 3};
	uint8_t plain[16] = "sixteen letters", sealed[32], out[16];

	(void)state;
	noise_rekey(&a);
	assert_int_equal(noise_seal(&a, BYTES_OF(plain), sealed), ERR_OK);
	assert_int_equal(noise_open(&b, BYTES_OF(sealed), out), ERR_FORGED);
	noise_rekey(&b);
	assert_int_equal(noise_open(&b, BYTES_OF(sealed), out), ERR_OK);
	assert_memory_equal(out, plain, 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_vectors),
		cmocka_unit_test(test_every_prologue_byte_counts),
		cmocka_unit_test(test_every_message_byte_counts),
		cmocka_unit_test(test_every_prefix_is_refused),
		cmocka_unit_test(test_points_of_small_order),
		cmocka_unit_test(test_garbage_does_not_move_the_nonce),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_rekey),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
