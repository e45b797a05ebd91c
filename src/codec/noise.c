// SPDX-License-Identifier: MIT
/*
 * noise.c - the Noise handshake XX and its transport ciphers, over libsodium's pure calls
 *
 *	-> e
 *	<- e, ee, s, es
 *	-> s, se
 *
 * The three objects of the specification (revision 34, section 5) are folded into one struct: the
 * cipher of the handshake, the chaining key with the transcript hash, and the keys of both sides.
 *
 * I1  a nonce moves only after its tag has verified, so garbage cannot desynchronise two peers
 * I2  a handshake that failed is never continued: step becomes FAILED and every call refuses
 * I3  secrets leave the stack wiped
 *
 * Pure: the ephemeral secret is an argument.  Called by sys/hello.c and sys/flow.c.
 */
#include "codec/noise.h"
#include <sodium.h>

#define FAILED 100
#define BLOCK 128 /* of BLAKE2b, for HMAC */
#define KEY 32

static_assert(crypto_aead_chacha20poly1305_IETF_ABYTES == NOISE_TAG, "tag length");
static_assert(crypto_generichash_BYTES_MAX == NOISE_HASH, "BLAKE2b-512");

/* ---- cipher ---- */

static void nonce_bytes(uint64_t nonce, uint8_t to[12])
{
	memset(to, 0, 4);
	for (size_t k = 0; k < 8; k++)
		to[4 + k] = (uint8_t)(nonce >> (8 * k));
}

static enum err cipher_seal(struct noise_cipher *c, struct bytes ad, struct bytes plain,
			    uint8_t *out)
{
	uint8_t nonce[12];

	if (c->nonce == UINT64_MAX) /* reserved for rekeying */
		return fail(ERR_FULL);
	nonce_bytes(c->nonce, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain.at, plain.len, ad.at, ad.len,
						  NULL, nonce, c->key);
	c->nonce++;
	return ERR_OK;
}

static enum err cipher_open(struct noise_cipher *c, struct bytes ad, struct bytes sealed,
			    uint8_t *out)
{
	uint8_t nonce[12];

	if (sealed.len < NOISE_TAG)
		return fail(ERR_FORGED);
	if (c->nonce == UINT64_MAX)
		return fail(ERR_FULL);
	nonce_bytes(c->nonce, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed.at, sealed.len, ad.at,
						      ad.len, nonce, c->key))
		return fail(ERR_FORGED);
	c->nonce++; /* I1 */
	return ERR_OK;
}

enum err noise_seal(struct noise_cipher *c, struct bytes plain, uint8_t *out)
{
	return cipher_seal(c, (struct bytes){NULL, 0}, plain, out);
}

enum err noise_open(struct noise_cipher *c, struct bytes sealed, uint8_t *out)
{
	return cipher_open(c, (struct bytes){NULL, 0}, sealed, out);
}

/* Section 4.2: the new key is the start of zeros sealed under the greatest nonce. */
void noise_rekey(struct noise_cipher *c)
{
	uint8_t nonce[12], zeros[KEY] = {0}, out[KEY + NOISE_TAG];

	nonce_bytes(UINT64_MAX, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, zeros, KEY, NULL, 0, NULL, nonce,
						  c->key);
	memcpy(c->key, out, KEY);
	sodium_memzero(out, sizeof(out));
}

/* ---- chaining key and transcript ---- */

static void mix_hash(struct noise *n, struct bytes data)
{
	crypto_generichash_state s;

	crypto_generichash_init(&s, NULL, 0, NOISE_HASH);
	crypto_generichash_update(&s, n->h, NOISE_HASH);
	crypto_generichash_update(&s, data.at, data.len);
	crypto_generichash_final(&s, n->h, NOISE_HASH);
}

/* HMAC (RFC 2104) over BLAKE2b: the specification wants it, not BLAKE2's own keyed mode. */
static void hmac(const uint8_t key[NOISE_HASH], struct bytes a, struct bytes b,
		 uint8_t out[NOISE_HASH])
{
	crypto_generichash_state s;
	uint8_t pad[BLOCK];

	memset(pad, 0x36, BLOCK);
	for (size_t k = 0; k < NOISE_HASH; k++)
		pad[k] ^= key[k];
	crypto_generichash_init(&s, NULL, 0, NOISE_HASH);
	crypto_generichash_update(&s, pad, BLOCK);
	crypto_generichash_update(&s, a.at, a.len);
	crypto_generichash_update(&s, b.at, b.len);
	uint8_t inner[NOISE_HASH];
	crypto_generichash_final(&s, inner, NOISE_HASH);

	for (size_t k = 0; k < BLOCK; k++)
		pad[k] ^= 0x36 ^ 0x5c;
	crypto_generichash_init(&s, NULL, 0, NOISE_HASH);
	crypto_generichash_update(&s, pad, BLOCK);
	crypto_generichash_update(&s, inner, NOISE_HASH);
	crypto_generichash_final(&s, out, NOISE_HASH);
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
	sodium_memzero(&s, sizeof(s));
}

static void hkdf(const uint8_t ck[NOISE_HASH], struct bytes input, uint8_t out1[NOISE_HASH],
		 uint8_t out2[NOISE_HASH])
{
	const uint8_t one = 1, two = 2;
	uint8_t temp[NOISE_HASH], first[NOISE_HASH];

	hmac(ck, input, (struct bytes){NULL, 0}, temp);
	hmac(temp, (struct bytes){&one, 1}, (struct bytes){NULL, 0}, first);
	hmac(temp, BYTES_OF(first), (struct bytes){&two, 1}, out2);
	memcpy(out1, first, NOISE_HASH);
	sodium_memzero(temp, sizeof(temp));
	sodium_memzero(first, sizeof(first));
}

static enum err mix_dh(struct noise *n, const uint8_t secret[KEY], const uint8_t pub[KEY])
{
	uint8_t shared[KEY], key[NOISE_HASH];

	/* Fails for points of small order, with which a peer could fix the shared secret. */
	if (crypto_scalarmult_curve25519(shared, secret, pub))
		return fail(ERR_FORGED);
	hkdf(n->ck, BYTES_OF(shared), n->ck, key);
	memcpy(n->cipher.key, key, KEY);
	n->cipher.nonce = 0;
	n->has_key = true;
	sodium_memzero(shared, sizeof(shared));
	sodium_memzero(key, sizeof(key));
	return ERR_OK;
}

/* Append data, sealed if there is a key yet, and mix what was written into the transcript. */
static enum err put(struct noise *n, struct bytes data, struct wr *w)
{
	size_t len = data.len + (n->has_key ? NOISE_TAG : 0);
	uint8_t *to = wr_span(w, len);

	if (!to)
		return fail(ERR_NOMEM);
	if (n->has_key) {
		enum err e = cipher_seal(&n->cipher, BYTES_OF(n->h), data, to);
		if (e)
			return e;
	} else if (data.len) {
		memcpy(to, data.at, data.len);
	}
	mix_hash(n, (struct bytes){to, len});
	return ERR_OK;
}

/* The reverse of put(): out gets the plaintext of from. */
static enum err take(struct noise *n, struct bytes from, uint8_t *out)
{
	if (n->has_key) {
		enum err e = cipher_open(&n->cipher, BYTES_OF(n->h), from, out);
		if (e)
			return e;
	} else if (from.len) {
		memcpy(out, from.at, from.len);
	}
	mix_hash(n, from);
	return ERR_OK;
}

/* ---- handshake ---- */

void noise_init(struct noise *n, bool initiator, struct bytes prologue, const uint8_t s_secret[32],
		const uint8_t e_secret[32])
{
	static const char name[] = "Noise_XX_25519_ChaChaPoly_BLAKE2b";

	static_assert(sizeof(name) - 1 <= NOISE_HASH, "a short name is padded, not hashed");
	*n = (struct noise){.initiator = initiator};
	memcpy(n->h, name, sizeof(name) - 1);
	memcpy(n->ck, n->h, NOISE_HASH);
	memcpy(n->s_secret, s_secret, KEY);
	memcpy(n->e_secret, e_secret, KEY);
	crypto_scalarmult_curve25519_base(n->s_pub, s_secret);
	crypto_scalarmult_curve25519_base(n->e_pub, e_secret);
	mix_hash(n, prologue);
}

static bool my_turn(const struct noise *n)
{
	return n->step < 3 && (n->step % 2 == 0) == n->initiator;
}

static enum err write_keys(struct noise *n, struct wr *w)
{
	enum err e = ERR_OK;

	if (n->step < 2) {
		e = put(n, BYTES_OF(n->e_pub), w); /* before the first key: in clear */
		if (!e && n->step == 1)
			e = mix_dh(n, n->e_secret, n->re); /* ee */
	}
	if (!e && n->step > 0)
		e = put(n, BYTES_OF(n->s_pub), w);
	if (!e && n->step > 0) /* es for the responder, se for the initiator */
		e = mix_dh(n, n->s_secret, n->re);
	return e;
}

enum err noise_write(struct noise *n, struct bytes payload, struct wr *w)
{
	size_t overhead = n->step == 0   ? KEY
			  : n->step == 1 ? 2 * KEY + 2 * NOISE_TAG
					 : KEY + 2 * NOISE_TAG;

	if (n->step == FAILED)
		return fail(ERR_CLOSED);
	assert(my_turn(n));
	if (payload.len > NOISE_MESSAGE_MAX - overhead)
		return fail(ERR_FULL);
	enum err e = write_keys(n, w);
	if (!e)
		e = put(n, payload, w);
	n->step = e ? FAILED : n->step + 1;
	return e;
}

static enum err read_keys(struct noise *n, struct rd *r)
{
	if (n->step < 2) {
		struct bytes e_pub = rd_bytes(r, KEY);
		if (r->bad)
			return fail(ERR_MALFORMED);
		memcpy(n->re, e_pub.at, KEY);
		mix_hash(n, e_pub);
		enum err e = n->step == 1 ? mix_dh(n, n->e_secret, n->re) : ERR_OK; /* ee */
		if (e)
			return e;
	}
	if (n->step == 0)
		return ERR_OK;
	struct bytes s_pub = rd_bytes(r, KEY + NOISE_TAG);
	if (r->bad)
		return fail(ERR_MALFORMED);
	enum err e = take(n, s_pub, n->rs);
	return e ? e : mix_dh(n, n->e_secret, n->rs); /* es seen from here, or se */
}

enum err noise_read(struct noise *n, struct bytes message, struct wr *w)
{
	struct rd r = rd_of(message);

	if (n->step == FAILED)
		return fail(ERR_CLOSED);
	assert(!my_turn(n) && n->step < 3);
	enum err e = read_keys(n, &r);
	size_t tag = n->has_key ? NOISE_TAG : 0;
	if (!e && (message.len > NOISE_MESSAGE_MAX || rd_left(&r) < tag))
		e = fail(ERR_MALFORMED);
	if (!e) {
		struct bytes rest = rd_bytes(&r, rd_left(&r));
		size_t before = w->len;
		uint8_t *out = wr_span(w, rest.len - tag);
		e = fail(ERR_NOMEM);
		if (out)
			e = take(n, rest, out);
		if (e && out)
			w->len = before; /* nothing unverified is handed out */
	}
	n->step = e ? FAILED : n->step + 1;
	return e;
}

bool noise_done(const struct noise *n)
{
	return n->step == 3;
}

void noise_split(struct noise *n, struct noise_cipher *sending, struct noise_cipher *receiving,
		 uint8_t hash[NOISE_HASH])
{
	uint8_t one[NOISE_HASH], two[NOISE_HASH];

	assert(noise_done(n));
	hkdf(n->ck, (struct bytes){NULL, 0}, one, two);
	memcpy(sending->key, n->initiator ? one : two, KEY);
	memcpy(receiving->key, n->initiator ? two : one, KEY);
	sending->nonce = receiving->nonce = 0;
	memcpy(hash, n->h, NOISE_HASH);
	sodium_memzero(one, sizeof(one));
	sodium_memzero(two, sizeof(two));
}

void noise_fini(struct noise *n)
{
	sodium_memzero(n, sizeof(*n));
}
