// SPDX-License-Identifier: MIT
/*
 * seal.c - signatures, sealing, opening and boxes: the one home of those calls
 *
 * A chunk, node or bundle is sealed once, at birth, and rests and travels as those bytes.  The
 * ciphertext is made where it will stay, in the caller's buffer.
 *
 * I1  what a sealed piece says of itself (header) and where it belongs (folder) is authenticated
 * I2  a piece of one suite is never opened, and a signature of one suite never accepted, by the
 *     other
 *
 * Key conversions are the same under both suites: they are rare.
 */
#include "codec/seal.h"
#include "codec/manifest.h"
#include <sodium.h>
#include <stdatomic.h>

enum suite { SUITE_XCHACHA = 1, SUITE_FAKE = 255 };

#define SEAL_BOUND 16 /* header bytes before the nonce */
#define AD_LEN (SEAL_BOUND + HASH_LEN)

static const uint8_t magic[4] = {'P', 'F', 'S', 'C'};

/*
 * The one process-wide switch in this room: the simulator sets it before it makes its first node,
 * and runs thousands of them for which real signatures would be most of the time.  The daemon
 * never sets it, and so refuses suite 255.
 */
static atomic_bool fake;

void seal_use_fake(bool on)
{
	atomic_store_explicit(&fake, on, memory_order_relaxed);
}

static bool is_fake(void)
{
	return atomic_load_explicit(&fake, memory_order_relaxed);
}

static void derive(uint8_t to[KEY_LEN], uint64_t number, const char context[8],
		   const uint8_t from[KEY_LEN])
{
	static_assert(crypto_kdf_KEYBYTES == KEY_LEN, "folder keys are kdf keys");
	static_assert(crypto_kdf_CONTEXTBYTES == 8, "contexts have 8 bytes");
	int failed = crypto_kdf_derive_from_key(to, KEY_LEN, number, context, from);

	assert(!failed);
}

void seal_keys_init(struct seal_keys *k, const uint8_t folder_key[KEY_LEN], uint32_t epoch)
{
	k->epoch = epoch;
	derive(k->chunk, SEAL_CHUNK, "pfs-seal", folder_key);
	derive(k->node, SEAL_NODE, "pfs-seal", folder_key);
	derive(k->bundle, SEAL_BUNDLE, "pfs-seal", folder_key);
}

void seal_fixed_keys(const uint8_t first_key[KEY_LEN], uint8_t id_key[KEY_LEN],
		     uint8_t cut_key[KEY_LEN])
{
	derive(id_key, 1, "pfs-fix_", first_key);
	derive(cut_key, 2, "pfs-fix_", first_key);
}

static const uint8_t *key_of(const struct seal_keys *k, enum seal_kind kind)
{
	if (kind == SEAL_CHUNK)
		return k->chunk;
	return kind == SEAL_NODE ? k->node : k->bundle;
}

static uint32_t plain_max(unsigned kind) /* 0: no such kind */
{
	if (kind == SEAL_CHUNK)
		return CHUNK_BYTES_MAX;
	if (kind == SEAL_NODE)
		return NODE_BYTES_MAX;
	return kind == SEAL_BUNDLE ? SEAL_PLAIN_MAX : 0;
}

static void put_u32(uint8_t *to, uint32_t v)
{
	for (size_t k = 0; k < 4; k++)
		to[k] = (uint8_t)(v >> (8 * k));
}

static void ad_make(uint8_t ad[AD_LEN], const uint8_t *head, const struct folder_id *folder)
{
	memcpy(ad, head, SEAL_BOUND);
	memcpy(ad + SEAL_BOUND, folder->b, HASH_LEN);
}

/* Suite 255: no damage passes, whoever means to can make any. */
static void fake_hash(struct bytes of, uint64_t seed, uint8_t *to, size_t len)
{
	for (size_t k = 0; k < len; k += 8)
		bytes_put_u64(to + k, hash_xxh(of, seed + k));
}

/* The body stays readable, the tag is a keyed hash over all that the real one binds. */
static void fake_tag(const uint8_t *key, const uint8_t ad[AD_LEN], const uint8_t *nonce,
		     struct bytes body, uint8_t tag[SEAL_TAG])
{
	uint8_t all[KEY_LEN + AD_LEN + SEAL_NONCE + 8];

	memcpy(all, key, KEY_LEN);
	memcpy(all + KEY_LEN, ad, AD_LEN);
	memcpy(all + KEY_LEN + AD_LEN, nonce, SEAL_NONCE);
	fake_hash(body, 0, all + KEY_LEN + AD_LEN + SEAL_NONCE, 8);
	fake_hash(BYTES_OF(all), 0, tag, SEAL_TAG);
}

/*
 * A sealed piece.
 *	0	4	magic	"PFSC"
 *	4	1	version	1
 *	5	1	suite	1 XChaCha20-Poly1305; 255 in the simulator
 *	6	1	kind	enum seal_kind
 *	7	1	flags	1: the plaintext is a zstd frame
 *	8	4	epoch	of the folder key
 *	12	4	plain	length after inflation
 *	16	24	nonce
 *	40	n	ciphertext
 *	40+n	16	tag	over bytes 0..15, the folder's id, and the ciphertext
 */
void seal_piece(struct wr *w, const struct seal_keys *k, const struct folder_id *folder,
		enum seal_kind kind, uint8_t flags, uint32_t plain_len, struct bytes body,
		const uint8_t nonce[SEAL_NONCE])
{
	assert(plain_max(kind) && plain_len <= plain_max(kind));
	assert((flags & ~SEAL_ZSTD) == 0 && (flags || body.len == plain_len));
	assert(body.len <= SEAL_BYTES_MAX - SEAL_OVERHEAD);
	uint8_t ad[AD_LEN], *p = wr_span(w, body.len + SEAL_OVERHEAD);

	if (!p)
		return;
	memcpy(p, magic, sizeof(magic));
	p[4] = SEAL_VERSION;
	p[5] = is_fake() ? SUITE_FAKE : SUITE_XCHACHA;
	p[6] = (uint8_t)kind;
	p[7] = flags;
	put_u32(p + 8, k->epoch);
	put_u32(p + 12, plain_len);
	memcpy(p + SEAL_BOUND, nonce, SEAL_NONCE);
	ad_make(ad, p, folder);
	if (p[5] == SUITE_XCHACHA) {
		crypto_aead_xchacha20poly1305_ietf_encrypt(p + SEAL_HEAD, NULL, body.at, body.len,
							   ad, AD_LEN, NULL, nonce,
							   key_of(k, kind));
		return;
	}
	if (body.len)
		memcpy(p + SEAL_HEAD, body.at, body.len);
	fake_tag(key_of(k, kind), ad, nonce, body, p + SEAL_HEAD + body.len);
}

enum err seal_peek(struct bytes sealed, struct seal_info *ret)
{
	struct rd r = rd_of(sealed);
	const uint8_t *mark = rd_span(&r, sizeof(magic));
	uint8_t version = rd_u8(&r), suite = rd_u8(&r);
	struct seal_info i;

	memset(&i, 0, sizeof(i));
	if (sealed.len < SEAL_OVERHEAD || sealed.len > SEAL_BYTES_MAX)
		return fail(ERR_MALFORMED);
	if (!mark || memcmp(mark, magic, sizeof(magic)) != 0)
		return fail(ERR_MALFORMED);
	if (version != SEAL_VERSION || suite != (is_fake() ? SUITE_FAKE : SUITE_XCHACHA)) /* I2 */
		return fail(ERR_VERSION);
	i.kind = rd_u8(&r);
	i.flags = rd_u8(&r);
	i.epoch = rd_u32(&r);
	i.plain_len = rd_u32(&r);
	if (!plain_max(i.kind) || i.plain_len > plain_max(i.kind) || (i.flags & ~SEAL_ZSTD) != 0)
		return fail(ERR_MALFORMED);
	if (!i.flags && i.plain_len != sealed.len - SEAL_OVERHEAD)
		return fail(ERR_MALFORMED);
	*ret = i;
	return ERR_OK;
}

static bool fake_open(const uint8_t *key, const uint8_t ad[AD_LEN], struct bytes sealed,
		      uint8_t *out)
{
	struct bytes body = {sealed.at + SEAL_HEAD, sealed.len - SEAL_OVERHEAD};
	uint8_t tag[SEAL_TAG];

	fake_tag(key, ad, sealed.at + SEAL_BOUND, body, tag);
	if (memcmp(tag, body.at + body.len, SEAL_TAG) != 0)
		return false;
	if (body.len)
		memcpy(out, body.at, body.len);
	return true;
}

enum err seal_open(struct bytes sealed, const struct seal_keys *k, const struct folder_id *folder,
		   enum seal_kind kind, uint8_t *out, struct seal_info *ret)
{
	struct seal_info i;
	uint8_t ad[AD_LEN];
	bool ok;
	enum err e = seal_peek(sealed, &i);

	if (e)
		return e;
	if (i.kind != kind || i.epoch != k->epoch)
		return fail(ERR_FORGED);
	ad_make(ad, sealed.at, folder);
	if (is_fake())
		ok = fake_open(key_of(k, kind), ad, sealed, out);
	else
		ok = crypto_aead_xchacha20poly1305_ietf_decrypt(
			     out, NULL, NULL, sealed.at + SEAL_HEAD, sealed.len - SEAL_HEAD, ad,
			     AD_LEN, sealed.at + SEAL_BOUND, key_of(k, kind)) == 0;
	if (!ok)
		return fail(ERR_FORGED);
	*ret = i;
	return ERR_OK;
}

void sign_pair_init(struct sign_pair *p, const uint8_t seed[32])
{
	static_assert(sizeof(p->secret) == crypto_sign_SECRETKEYBYTES, "seed and public key");
	static_assert(SIG_LEN == crypto_sign_BYTES, "an Ed25519 signature");
	crypto_sign_seed_keypair(p->pub.b, p->secret, seed);
}

static void fake_sign(const struct device_id *by, struct bytes of, uint8_t sig[SIG_LEN])
{
	uint64_t who = hash_xxh(BYTES_OF(by->b), 0);

	fake_hash(of, who, sig, SIG_LEN);
}

/* As long as a real one: the recipient, a tag over it and the message, the message. */
static void fake_box(uint8_t *to, const struct device_id *who, struct bytes msg)
{
	memcpy(to, who->b, sizeof(who->b));
	fake_hash(msg, hash_xxh(BYTES_OF(who->b), 1), to + sizeof(who->b), SEAL_TAG);
	if (msg.len)
		memcpy(to + BOX_OVERHEAD, msg.at, msg.len);
}

static bool fake_box_open(const struct device_id *mine, struct bytes box, uint8_t *out)
{
	uint8_t want[BOX_OVERHEAD];
	struct bytes msg = {box.at + BOX_OVERHEAD, box.len - BOX_OVERHEAD};

	static_assert(BOX_OVERHEAD == sizeof(*mine) + SEAL_TAG, "as long as a real one");
	memcpy(want, mine->b, sizeof(mine->b));
	fake_hash(msg, hash_xxh(BYTES_OF(mine->b), 1), want + sizeof(mine->b), SEAL_TAG);
	if (memcmp(want, box.at, sizeof(want)) != 0)
		return false;
	if (msg.len)
		memcpy(out, msg.at, msg.len);
	return true;
}

void sign_make(const struct sign_pair *p, struct bytes of, uint8_t sig[SIG_LEN])
{
	if (is_fake())
		fake_sign(&p->pub, of, sig);
	else
		crypto_sign_detached(sig, NULL, of.at, of.len, p->secret);
}

bool sign_ok(const struct device_id *by, struct bytes of, const uint8_t sig[SIG_LEN])
{
	uint8_t want[SIG_LEN];

	if (!is_fake())
		return crypto_sign_verify_detached(sig, of.at, of.len, by->b) == 0;
	fake_sign(by, of, want);
	return memcmp(want, sig, SIG_LEN) == 0;
}

/* libsodium's sealed box, but that the ephemeral key comes from a seed: nothing draws its own
 * randomness here. */
static bool box_make(uint8_t *to, const uint8_t pub[32], struct bytes msg, const uint8_t seed[32])
{
	uint8_t secret[crypto_box_SECRETKEYBYTES], nonce[crypto_box_NONCEBYTES], both[64];

	static_assert(BOX_OVERHEAD == crypto_box_SEALBYTES, "key and tag");
	static_assert(crypto_box_SEEDBYTES == 32, "a seed");
	crypto_box_seed_keypair(to, secret, seed);
	memcpy(both, to, 32);
	memcpy(both + 32, pub, 32);
	crypto_generichash(nonce, sizeof(nonce), both, sizeof(both), NULL, 0);
	bool ok = crypto_box_easy(to + 32, msg.at, msg.len, nonce, pub, secret) == 0;
	sodium_memzero(secret, sizeof(secret));
	return ok;
}

enum err seal_box(struct wr *w, const struct device_id *to, struct bytes msg,
		  const uint8_t seed[32])
{
	uint8_t pub[crypto_box_PUBLICKEYBYTES];

	if (!is_fake() && crypto_sign_ed25519_pk_to_curve25519(pub, to->b))
		return fail(ERR_MALFORMED);
	size_t before = w->len;
	uint8_t *p = wr_span(w, msg.len + BOX_OVERHEAD);
	if (!p)
		return fail(ERR_NOMEM);
	if (is_fake()) {
		fake_box(p, to, msg);
		return ERR_OK;
	}
	if (!box_make(p, pub, msg, seed)) {
		w->len = before;
		return fail(ERR_MALFORMED);
	}
	return ERR_OK;
}

enum err seal_box_open(const struct sign_pair *mine, struct bytes box, uint8_t *out)
{
	uint8_t pub[32], secret[32];

	if (box.len < BOX_OVERHEAD)
		return fail(ERR_MALFORMED);
	if (is_fake())
		return fake_box_open(&mine->pub, box, out) ? ERR_OK : fail(ERR_FORGED);
	enum err e = seal_x25519(mine, pub, secret);
	if (e)
		return e;
	bool ok = crypto_box_seal_open(out, box.at, box.len, pub, secret) == 0;
	sodium_memzero(secret, sizeof(secret));
	return ok ? ERR_OK : fail(ERR_FORGED);
}

enum err seal_x25519(const struct sign_pair *p, uint8_t pub[32], uint8_t secret[32])
{
	uint8_t key[32];

	if (crypto_sign_ed25519_pk_to_curve25519(key, p->pub.b))
		return fail(ERR_MALFORMED);
	memcpy(pub, key, sizeof(key));
	crypto_sign_ed25519_sk_to_curve25519(secret, p->secret);
	return ERR_OK;
}
