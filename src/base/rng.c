// SPDX-License-Identifier: MIT
/* rng.c - see rng.h */
#include "base/rng.h"
#include <assert.h>
#include <sodium.h>

void rng_init(struct rng *r, const uint8_t seed[32])
{
	memset(r, 0, sizeof(*r));
	memcpy(r->key, seed, sizeof(r->key));
	r->used = sizeof(r->buf);
}

void rng_init_number(struct rng *r, uint64_t seed)
{
	uint8_t key[32] = {0};

	for (size_t k = 0; k < 8; k++)
		key[k] = (uint8_t)(seed >> (8 * k));
	rng_init(r, key);
}

static void refill(struct rng *r)
{
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES] = {0};

	for (size_t k = 0; k < 8; k++)
		nonce[k] = (uint8_t)(r->block >> (8 * k));
	crypto_stream_chacha20(r->buf, sizeof(r->buf), nonce, r->key);
	r->block++;
	r->used = 0;
}

void rng_bytes(struct rng *r, void *to, size_t len)
{
	uint8_t *at = to;

	while (len) {
		if (r->used == sizeof(r->buf))
			refill(r);
		size_t n = MIN(len, sizeof(r->buf) - r->used);
		memcpy(at, r->buf + r->used, n);
		memset(r->buf + r->used, 0, n);
		r->used += n;
		at += n;
		len -= n;
	}
}

uint64_t rng_u64(struct rng *r)
{
	uint8_t b[8];
	uint64_t v = 0;

	rng_bytes(r, b, sizeof(b));
	for (size_t k = 0; k < 8; k++)
		v |= (uint64_t)b[k] << (8 * k);
	return v;
}

uint64_t rng_below(struct rng *r, uint64_t bound)
{
	assert(bound > 0);
	uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
	uint64_t v = rng_u64(r);

	while (v >= limit)
		v = rng_u64(r);
	return v % bound;
}
