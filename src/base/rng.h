/* SPDX-License-Identifier: MIT */
/*
 * rng.h - a node's own random numbers: ChaCha20 under a seed, the same seed the same numbers
 *
 * Good enough for nonces and keys when the seed is 32 secret bytes from the kernel (sys/rand),
 * and repeatable in the simulator.  Not thread-safe: one owner.
 */
#ifndef RNG_H
#define RNG_H

#include "base/bytes.h"

struct rng {
	uint8_t key[32];
	uint64_t block;
	uint8_t buf[512];
	size_t used;
};

void rng_init(struct rng *r, const uint8_t seed[32]);
void rng_init_number(struct rng *r, uint64_t seed); /* for tests and the simulator */
void rng_bytes(struct rng *r, void *to, size_t len);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* 0..bound-1, unbiased; bound > 0 */

#endif
