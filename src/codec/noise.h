/* SPDX-License-Identifier: MIT */
/*
 * noise.h - Noise_XX_25519_ChaChaPoly_BLAKE2b (noiseprotocol.org, revision 34): pure states
 *
 * The hash is BLAKE2b with 64 bytes, as the published vectors of cacophony and snow have it.
 * A nonce moves only after its tag has verified (threats.md 11).
 */
#ifndef NOISE_H
#define NOISE_H

#include "base/err.h"
#include "base/ids.h"

#define NOISE_TAG 16
#define NOISE_MESSAGE_MAX 65535
#define NOISE_HASH 64

struct noise_cipher {
	uint8_t key[32];
	uint64_t nonce;
};
struct noise { /* one handshake; wipe with noise_fini() */
	bool initiator, has_key;
	int step; /* messages done, 0 to 3 */
	uint8_t s_pub[32], s_secret[32], e_pub[32], e_secret[32], rs[32], re[32];
	uint8_t ck[NOISE_HASH], h[NOISE_HASH];
	struct noise_cipher cipher;
};
/* e_seed: 32 random bytes, the ephemeral secret. */
void noise_init(struct noise *n, bool initiator, struct bytes prologue, const uint8_t s_secret[32],
		const uint8_t e_secret[32]);
/* Write the next handshake message with its payload, appended to w.  ERR_FULL if too long. */
enum err noise_write(struct noise *n, struct bytes payload, struct wr *w) MUST_USE;
/* Read one; the payload is appended to w.  ERR_FORGED, ERR_MALFORMED. */
enum err noise_read(struct noise *n, struct bytes message, struct wr *w) MUST_USE;
bool noise_done(const struct noise *n);
/* After the third message: the two directions, and the hash both sides share. */
void noise_split(struct noise *n, struct noise_cipher *sending, struct noise_cipher *receiving,
		 uint8_t hash[NOISE_HASH]);
void noise_fini(struct noise *n);
/* Transport: out gets plain.len + NOISE_TAG bytes.  ERR_FULL when the nonce is used up. */
enum err noise_seal(struct noise_cipher *c, struct bytes plain, uint8_t *out) MUST_USE;
/* out gets sealed.len - NOISE_TAG bytes; ERR_FORGED leaves the cipher as it was. */
enum err noise_open(struct noise_cipher *c, struct bytes sealed, uint8_t *out) MUST_USE;
void noise_rekey(struct noise_cipher *c);

#endif
