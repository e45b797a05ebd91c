/* SPDX-License-Identifier: MIT */
/*
 * seal.h - signatures, sealing and opening: the one home of those calls
 *
 * Suite 1: XChaCha20-Poly1305 with 24 random bytes of nonce, Ed25519, BLAKE2b-256.
 * Suite 255: keyed hashes in their stead, for the simulator alone; a process chooses once, with
 * seal_use_fake(), and the daemon never does.  All calls are pure but for that choice.
 *
 * A sealed piece: magic "PFSC" 4, version u8, suite u8, kind u8, flags u8 (1: plaintext is
 * zstd), epoch u32, plain length u32 (after inflation), nonce 24, ciphertext, tag 16.
 * Associated data: those header bytes before the nonce, and the folder id.
 */
#ifndef SEAL_H
#define SEAL_H

#include "base/err.h"
#include "base/hash.h"

enum seal_kind { SEAL_CHUNK = 1, SEAL_NODE = 2, SEAL_BUNDLE = 3 };
#define SEAL_HEAD 40
#define SEAL_TAG 16
#define SEAL_OVERHEAD (SEAL_HEAD + SEAL_TAG)
#define SEAL_NONCE 24
#define SIG_LEN 64
#define SEAL_ZSTD 1 /* flag */
#define SEAL_VERSION 1
#define SEAL_PLAIN_MAX                                                                             \
	(16u << 20) /* after inflation; chunks and nodes have limits of their own                  \
		     */
#define SEAL_BYTES_MAX (SEAL_PLAIN_MAX + (1u << 17)) /* a sealed piece; zstd at its worst */

struct seal_keys { /* of one epoch; made from the epoch's folder key by crypto_kdf */
	uint32_t epoch;
	uint8_t chunk[KEY_LEN], node[KEY_LEN], bundle[KEY_LEN];
};
void seal_keys_init(struct seal_keys *k, const uint8_t folder_key[KEY_LEN], uint32_t epoch);
/* Keys that never rotate, made from the first epoch's key: for ids and for the gear table. */
void seal_fixed_keys(const uint8_t first_key[KEY_LEN], uint8_t id_key[KEY_LEN],
		     uint8_t cut_key[KEY_LEN]);

/* Append the sealed piece to w.  plain_len: length after inflation; body: as flags say. */
void seal_piece(struct wr *w, const struct seal_keys *k, const struct folder_id *folder,
		enum seal_kind kind, uint8_t flags, uint32_t plain_len, struct bytes body,
		const uint8_t nonce[SEAL_NONCE]);
struct seal_info {
	uint8_t kind, flags;
	uint32_t epoch, plain_len;
};
/* The clear header alone: plain_len is within the limits of its kind, and is the body's length
 * unless that is zstd.  ERR_MALFORMED, ERR_VERSION (also the other suite). */
enum err seal_peek(struct bytes sealed, struct seal_info *ret) MUST_USE;
/* Open into out (sealed.len - SEAL_OVERHEAD bytes); the body is still zstd if info.flags say so.
 * ERR_FORGED when the tag, kind or epoch do not fit, ERR_MALFORMED. */
enum err seal_open(struct bytes sealed, const struct seal_keys *k, const struct folder_id *folder,
		   enum seal_kind kind, uint8_t *out, struct seal_info *ret) MUST_USE;

struct sign_pair {
	struct device_id pub;
	uint8_t secret[64]; /* as Ed25519 in libsodium: seed and public key */
};
void sign_pair_init(struct sign_pair *p, const uint8_t seed[32]);
void sign_make(const struct sign_pair *p, struct bytes of, uint8_t sig[SIG_LEN]);
bool sign_ok(const struct device_id *by, struct bytes of, const uint8_t sig[SIG_LEN]);

/* A message only the owner of a device key can read (sealed box; ephemeral key from seed). */
#define BOX_OVERHEAD 48
enum err seal_box(struct wr *w, const struct device_id *to, struct bytes msg,
		  const uint8_t seed[32]) MUST_USE;
enum err seal_box_open(const struct sign_pair *mine, struct bytes box, uint8_t *out) MUST_USE;
/* Static X25519 pair for Noise from the device's Ed25519 pair. */
enum err seal_x25519(const struct sign_pair *p, uint8_t pub[32], uint8_t secret[32]) MUST_USE;

void seal_use_fake(bool fake); /* simulator only */

#endif
