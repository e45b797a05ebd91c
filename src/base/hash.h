/* SPDX-License-Identifier: MIT */
/*
 * hash.h - BLAKE2b for everything that names or identifies, XXH3 for local tables and bit rot
 *
 * No identity is ever XXH3 (threats.md 27).
 */
#ifndef HASH_H
#define HASH_H

#include "base/ids.h"

void hash_blake(struct bytes of, struct hash *ret); /* RFC 7693, 32 bytes */
void hash_keyed(const uint8_t key[KEY_LEN], struct bytes of, struct hash *ret);
/* The hash of several runs, one after another. */
void hash_blake_all(const struct bytes *of, size_t count, struct hash *ret);
uint64_t hash_xxh(struct bytes of, uint64_t seed); /* XXH3, 64 bits */
/* The first 63 bits: incarnation(folder, device, nonce); never 0, top bit clear. */
uint64_t hash_incarnation(const struct folder_id *f, const struct device_id *d, uint64_t nonce);
/* The id of the conflict copy of version v of inode i: top bit set. */
struct inode_id hash_copy_id(struct inode_id i, struct dot v);

#endif
