// SPDX-License-Identifier: MIT
/* hash.c - see hash.h; the only home of xxhash and of sodium's hashing */
#include "base/hash.h"
#include <sodium.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

void hash_blake(struct bytes of, struct hash *ret)
{
	crypto_generichash(ret->b, HASH_LEN, of.at, of.len, NULL, 0);
}

void hash_keyed(const uint8_t key[KEY_LEN], struct bytes of, struct hash *ret)
{
	crypto_generichash(ret->b, HASH_LEN, of.at, of.len, key, KEY_LEN);
}

void hash_blake_all(const struct bytes *of, size_t count, struct hash *ret)
{
	crypto_generichash_state s;

	crypto_generichash_init(&s, NULL, 0, HASH_LEN);
	for (size_t k = 0; k < count; k++)
		crypto_generichash_update(&s, of[k].at, of[k].len);
	crypto_generichash_final(&s, ret->b, HASH_LEN);
}

uint64_t hash_xxh(struct bytes of, uint64_t seed)
{
	return XXH3_64bits_withSeed(of.at, of.len, seed);
}

uint64_t hash_incarnation(const struct folder_id *f, const struct device_id *d, uint64_t nonce)
{
	struct hash h;
	uint8_t number[8];

	for (size_t k = 0; k < 8; k++)
		number[k] = (uint8_t)(nonce >> (8 * k));
	const struct bytes parts[] = {BYTES_OF(f->b), BYTES_OF(d->b), BYTES_OF(number)};
	hash_blake_all(parts, ARRAY_LEN(parts), &h);
	struct rd r = {.at = h.b, .end = h.b + 8};
	uint64_t inc = rd_u64(&r) & ~DERIVED_BIT;
	return inc ? inc : 1;
}

struct inode_id hash_copy_id(struct inode_id i, struct dot v)
{
	uint8_t key[32];
	const uint64_t numbers[4] = {i.inc, i.op, v.inc, v.op};
	struct hash h;

	for (size_t k = 0; k < 32; k++)
		key[k] = (uint8_t)(numbers[k / 8] >> (8 * (k % 8)));
	hash_blake(BYTES_OF(key), &h);
	struct rd r = {.at = h.b, .end = h.b + 16};
	uint64_t inc = rd_u64(&r) | DERIVED_BIT;
	return (struct inode_id){inc, rd_u64(&r)};
}
