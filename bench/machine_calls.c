// SPDX-License-Identifier: MIT
/*
 * machine_calls.c - what each library call on the path of a byte costs here, at our sizes
 *
 *	machine_calls [TEXTFILE]	text to compress; without it, made-up words
 *
 * A byte that is written is cut, named, compressed, sealed and named again; one that is fetched is
 * opened from its frame, named, opened and inflated.  The sum of these figures (ns per byte, one
 * core) is the floor of a path, and our throughput is told as a multiple of it.  The inputs
 * walk through 8 MiB, so that they come from where fresh data comes from, not from the first cache.
 */
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "figure.h"

#define ARENA (8u << 20)
#define PIECES_MAX 2048
#define CHUNK (96u << 10) /* an average chunk */
#define FRAME (64u << 10) /* a Noise frame */
#define PAGE 4096u
#define MESSAGE 128u /* a short bundle's header and hash */
#define SLACK 1024u /* how much longer what is made of a piece may be than the piece */
#define REPEATS 7
#define REPEAT_NS 60000000u

struct lab {
	uint8_t *words, *noise; /* ARENA bytes each: text, and what does not compress */
	uint8_t *in; /* one of the two */
	uint8_t *made; /* what prepare made of each piece */
	size_t made_len[PIECES_MAX];
	uint8_t *out;
	size_t size; /* of a piece */
	ZSTD_CCtx *deflate;
	ZSTD_DCtx *inflate;
	uint64_t gear[256];
	uint8_t key[32], nonce[24], pub[32], secret[64], scalar[32], point[32];
};

static const uint8_t *in_at(const struct lab *l, size_t k)
{
	return l->in + k * l->size;
}

static uint8_t *made_at(const struct lab *l, size_t k)
{
	return l->made + k * (l->size + SLACK);
}

/* Each call hands something back that depends on its work, so that none is left out. */
static uint64_t call_memcpy(struct lab *l, size_t k)
{
	memcpy(l->out, in_at(l, k), l->size);
	return l->out[l->size / 2];
}

static uint64_t call_blake2b(struct lab *l, size_t k)
{
	crypto_generichash(l->out, 32, in_at(l, k), l->size, NULL, 0);
	return l->out[0];
}

static uint64_t call_xxh3(struct lab *l, size_t k)
{
	return XXH3_64bits(in_at(l, k), l->size);
}

static uint64_t call_xchacha_seal(struct lab *l, size_t k)
{
	unsigned long long len;

	crypto_aead_xchacha20poly1305_ietf_encrypt(made_at(l, k), &len, in_at(l, k), l->size, NULL,
						   0, NULL, l->nonce, l->key);
	l->made_len[k] = (size_t)len;
	return len;
}

static uint64_t call_xchacha_open(struct lab *l, size_t k)
{
	return (uint64_t)crypto_aead_xchacha20poly1305_ietf_decrypt(
		l->out, NULL, NULL, made_at(l, k), l->made_len[k], NULL, 0, l->nonce, l->key);
}

static uint64_t call_chacha_seal(struct lab *l, size_t k)
{
	unsigned long long len;

	crypto_aead_chacha20poly1305_ietf_encrypt(made_at(l, k), &len, in_at(l, k), l->size, NULL,
						  0, NULL, l->nonce, l->key);
	l->made_len[k] = (size_t)len;
	return len;
}

static uint64_t call_chacha_open(struct lab *l, size_t k)
{
	return (uint64_t)crypto_aead_chacha20poly1305_ietf_decrypt(
		l->out, NULL, NULL, made_at(l, k), l->made_len[k], NULL, 0, l->nonce, l->key);
}

static uint64_t call_deflate(struct lab *l, size_t k)
{
	l->made_len[k] = ZSTD_compressCCtx(l->deflate, made_at(l, k), l->size + SLACK, in_at(l, k),
					   l->size, 1);
	return l->made_len[k];
}

static uint64_t call_inflate(struct lab *l, size_t k)
{
	return ZSTD_decompressDCtx(l->inflate, l->out, l->size, made_at(l, k), l->made_len[k]);
}

/* The plain loop over a gear hash: one shift, one sum, one test per byte. */
static uint64_t call_gear(struct lab *l, size_t k)
{
	const uint8_t *at = in_at(l, k), *end = at + l->size;
	const uint64_t mask = (((uint64_t)1 << 17) - 1) << 40;
	uint64_t hash = 0, cuts = 0;

	for (; at < end; at++) {
		hash = (hash << 1) + l->gear[*at];
		if (!(hash & mask))
			cuts++;
	}
	return hash + cuts;
}

static uint64_t call_sign(struct lab *l, size_t k)
{
	crypto_sign_detached(made_at(l, k), NULL, in_at(l, k), l->size, l->secret);
	return *made_at(l, k);
}

static uint64_t call_verify(struct lab *l, size_t k)
{
	return (uint64_t)crypto_sign_verify_detached(made_at(l, k), in_at(l, k), l->size, l->pub);
}

static uint64_t call_x25519(struct lab *l, size_t k)
{
	(void)k;
	return (uint64_t)crypto_scalarmult(l->out, l->scalar, l->point);
}

static const struct call {
	const char *name;
	size_t size;
	bool text;
	bool whole; /* a price per call, not per byte */
	uint64_t (*prepare)(struct lab *l, size_t k);
	uint64_t (*run)(struct lab *l, size_t k);
} calls[] = {
	{"memcpy-4K", PAGE, false, false, NULL, call_memcpy},
	{"memcpy-96K", CHUNK, false, false, NULL, call_memcpy},
	{"gear-96K", CHUNK, false, false, NULL, call_gear},
	{"blake2b-256-4K", PAGE, false, false, NULL, call_blake2b},
	{"blake2b-256-96K", CHUNK, false, false, NULL, call_blake2b},
	{"xxh3-4K", PAGE, false, false, NULL, call_xxh3},
	{"xxh3-96K", CHUNK, false, false, NULL, call_xxh3},
	{"zstd1-deflate-text-96K", CHUNK, true, false, NULL, call_deflate},
	{"zstd1-deflate-random-96K", CHUNK, false, false, NULL, call_deflate},
	{"zstd1-inflate-text-96K", CHUNK, true, false, call_deflate, call_inflate},
	{"zstd1-inflate-random-96K", CHUNK, false, false, call_deflate, call_inflate},
	{"xchacha20poly1305-seal-4K", PAGE, false, false, NULL, call_xchacha_seal},
	{"xchacha20poly1305-open-4K", PAGE, false, false, call_xchacha_seal, call_xchacha_open},
	{"xchacha20poly1305-seal-96K", CHUNK, false, false, NULL, call_xchacha_seal},
	{"xchacha20poly1305-open-96K", CHUNK, false, false, call_xchacha_seal, call_xchacha_open},
	{"chacha20poly1305-seal-64K", FRAME, false, false, NULL, call_chacha_seal},
	{"chacha20poly1305-open-64K", FRAME, false, false, call_chacha_seal, call_chacha_open},
	{"ed25519-sign-128", MESSAGE, false, true, NULL, call_sign},
	{"ed25519-verify-128", MESSAGE, false, true, call_sign, call_verify},
	{"x25519", MESSAGE, false, true, NULL, call_x25519},
};

static volatile uint64_t sink;

static void measure(struct lab *l, const struct call *c)
{
	size_t pieces = ARENA / c->size < PIECES_MAX ? ARENA / c->size : PIECES_MAX;
	size_t batch = c->size < CHUNK / 4 && !c->whole ? 64 : 4;
	double cost[REPEATS];
	size_t k = 0;

	l->in = c->text ? l->words : l->noise;
	l->size = c->size;
	for (size_t p = 0; c->prepare && p < pieces; p++)
		sink += c->prepare(l, p);
	for (int r = 0; r < REPEATS; r++) {
		uint64_t began = figure_now(), spent, done = 0;

		do {
			for (size_t b = 0; b < batch; b++, k = (k + 1) % pieces)
				sink += c->run(l, k);
			done += batch;
			spent = figure_now() - began;
		} while (spent < REPEAT_NS);
		cost[r] = (double)spent / (double)done;
	}
	double median = figure_quantile(cost, REPEATS, 0.5);
	if (c->whole)
		figure_print(c->name, median / 1000, "us");
	else
		figure_print(c->name, median / (double)c->size, "ns/B");
}

/* Words of a made-up vocabulary, the frequent ones much more often, in lines. */
static void write_words(uint8_t *to, size_t len)
{
	uint64_t state = 88172645463325252u;
	size_t at = 0;

	while (at < len) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		uint64_t word = (state >> 33) % 4096;
		word = word * word / 4096 * 2654435761u; /* low numbers are denser */
		size_t letters = 2 + word % 9;
		for (size_t k = 0; k < letters && at < len; k++, word = word * 31 + 7)
			to[at++] = (uint8_t)('a' + (word >> 7) % 26);
		if (at < len)
			to[at++] = (state >> 60) == 0 ? '\n' : ' ';
	}
}

/* The file's bytes, over and over until the arena is full. */
static void read_words(uint8_t *to, size_t len, const char *path)
{
	FILE *f = fopen(path, "re");
	size_t at = f ? fread(to, 1, len, f) : 0;

	if (at == 0)
		figure_die(path);
	fclose(f);
	for (size_t k = at; k < len; k++)
		to[k] = to[k - at];
}

static void lab_init(struct lab *l, const char *text)
{
	const uint8_t seed[32] = "the machine's own figures";

	l->words = malloc(ARENA);
	l->noise = malloc(ARENA);
	l->made = malloc(ARENA + PIECES_MAX * SLACK);
	l->out = malloc(FRAME + CHUNK);
	l->deflate = ZSTD_createCCtx();
	l->inflate = ZSTD_createDCtx();
	if (!l->words || !l->noise || !l->made || !l->out || !l->deflate || !l->inflate)
		figure_die("memory");
	if (text)
		read_words(l->words, ARENA, text);
	else
		write_words(l->words, ARENA);
	randombytes_buf_deterministic(l->noise, ARENA, seed);
	randombytes_buf_deterministic(l->gear, sizeof(l->gear), seed);
	randombytes_buf_deterministic(l->key, sizeof(l->key), seed);
	randombytes_buf_deterministic(l->scalar, sizeof(l->scalar), seed);
	memset(l->made, 1,
	       ARENA + PIECES_MAX * SLACK); /* first touch is slow: before the clock runs */
	crypto_sign_seed_keypair(l->pub, l->secret, seed);
	crypto_scalarmult_base(l->point, l->key);
}

int main(int argc, char **argv)
{
	static struct lab lab;

	if (argc > 2) {
		fprintf(stderr, "usage: machine_calls [TEXTFILE]\n");
		return 2;
	}
	if (sodium_init() < 0)
		figure_die("sodium_init");
	lab_init(&lab, argc == 2 ? argv[1] : NULL);
	for (size_t k = 0; k < sizeof(calls) / sizeof(calls[0]); k++)
		measure(&lab, &calls[k]);
	free(lab.words);
	free(lab.noise);
	free(lab.made);
	free(lab.out);
	ZSTD_freeCCtx(lab.deflate);
	ZSTD_freeDCtx(lab.inflate);
	return 0;
}
