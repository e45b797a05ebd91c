// SPDX-License-Identifier: MIT
/*
 * hello.c - the handshake of a session
 *
 * The Noise static key is certified by the device's Ed25519 key: a signature over a context and
 * the key.  It may be shown again by anybody, but without the key's secret the handshake's next
 * tag fails.  Version and suite stand in the prologue, so a downgrade is a failed handshake
 * (threats.md 26).
 *
 *	1  initiator	knock 16: MAC under the folder id over context and ephemeral key
 *	2  responder	device 32, certificate 64
 *	3  initiator	device 32, certificate 64, tag 32, flags u8 (bit 0: joining)
 *
 * The tag is a MAC under the folder id over context and the transcript so far, so it is bound to
 * this session and tells a stranger nothing.
 *
 * Loop thread only; called by sys/conn.c.
 */
#include "sys/hello.h"
#include "codec/wire.h"
#include <stdlib.h>

#define FLAG_JOINING 1
#define SUITE 1

static const char knock_context[] = "peerfs knock";
static const char cert_context[] = "peerfs session key";
static const char tag_context[] = "peerfs folder";

/* Contexts are of different lengths, and are written with their NUL: none is another's prefix. */
#define CERT_LEN (sizeof(cert_context) + 32)

static void cert_bytes(const uint8_t noise_pub[32], uint8_t to[CERT_LEN])
{
	memcpy(to, cert_context, sizeof(cert_context));
	memcpy(to + sizeof(cert_context), noise_pub, 32);
}

enum err hello_self_init(struct hello_self *s, const struct sign_pair *device)
{
	uint8_t pub[32], text[CERT_LEN];
	enum err e = seal_x25519(device, pub, s->noise_secret);

	if (e)
		return e;
	s->device = device->pub;
	cert_bytes(pub, text);
	sign_make(device, BYTES_OF(text), s->cert);
	return ERR_OK;
}

void hello_init(struct hello *h, const struct hello_self *self, bool initiator,
		const uint8_t e_secret[32])
{
	static const uint8_t prologue[] = {'p', 'e', 'e', 'r', 'f', 's', WIRE_VERSION, SUITE};

	*h = (struct hello){.self = self};
	noise_init(&h->noise, initiator, BYTES_OF(prologue), self->noise_secret, e_secret);
}

static void knock_of(const struct folder_id *folder, const uint8_t e_pub[32],
		     uint8_t to[HELLO_KNOCK])
{
	uint8_t text[sizeof(knock_context) + 32];
	struct hash h;

	memcpy(text, knock_context, sizeof(knock_context));
	memcpy(text + sizeof(knock_context), e_pub, 32);
	hash_keyed(folder->b, BYTES_OF(text), &h);
	memcpy(to, h.b, HELLO_KNOCK);
}

static void tag_of(const struct hello *h, const struct folder_id *folder, struct hash *ret)
{
	uint8_t text[sizeof(tag_context) + NOISE_HASH];

	memcpy(text, tag_context, sizeof(tag_context));
	memcpy(text + sizeof(tag_context), h->bound, NOISE_HASH);
	hash_keyed(folder->b, BYTES_OF(text), ret);
}

/* In time that does not depend on where they differ. */
static bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
	unsigned diff = 0;

	for (size_t k = 0; k < len; k++)
		diff |= (unsigned)(a[k] ^ b[k]);
	return diff == 0;
}

bool hello_knocks(struct bytes first, const struct folder_id *folder)
{
	uint8_t mine[HELLO_KNOCK];

	if (first.len != HELLO_FIRST)
		return false;
	knock_of(folder, first.at, mine);
	return same(mine, first.at + 32, HELLO_KNOCK);
}

bool hello_names(const struct hello *h, const struct folder_id *folder)
{
	struct hash mine;

	tag_of(h, folder, &mine);
	return same(mine.b, h->tag.b, HASH_LEN);
}

static size_t length_of(int step)
{
	return step == 0 ? HELLO_FIRST : step == 1 ? HELLO_SECOND : HELLO_THIRD;
}

enum err hello_write(struct hello *h, const struct folder_id *folder, bool joining, struct wr *w)
{
	uint8_t payload[32 + SIG_LEN + HASH_LEN + 1];
	size_t len = 32 + SIG_LEN;
	int step = h->noise.step;

	assert(step < 3);
	if (step == 0) {
		knock_of(folder, h->noise.e_pub, payload);
		len = HELLO_KNOCK;
	} else {
		memcpy(payload, h->self->device.b, 32);
		memcpy(payload + 32, h->self->cert, SIG_LEN);
	}
	if (step == 2) {
		struct hash tag;
		tag_of(h, folder, &tag);
		memcpy(payload + len, tag.b, HASH_LEN);
		payload[len + HASH_LEN] = joining ? FLAG_JOINING : 0;
		len += HASH_LEN + 1;
	}
	size_t sealed = length_of(step);
	wr_u8(w, (uint8_t)(sealed >> 8));
	wr_u8(w, (uint8_t)sealed);
	size_t before = w->len;
	enum err e = noise_write(&h->noise, (struct bytes){payload, len}, w);
	if (e)
		return e;
	assert(w->bad || w->len - before == sealed);
	if (step == 1)
		memcpy(h->bound, h->noise.h, NOISE_HASH);
	return w->bad ? fail(ERR_NOMEM) : ERR_OK;
}

static enum err payload_read(struct hello *h, int step, struct bytes payload)
{
	uint8_t text[CERT_LEN];
	struct device_id peer;
	struct rd r = rd_of(payload);

	if (step == 0)
		return ERR_OK; /* hello_knocks() has looked at it */
	rd_copy(&r, peer.b, sizeof(peer.b));
	const uint8_t *cert = rd_span(&r, SIG_LEN);
	if (!cert)
		return fail(ERR_MALFORMED);
	cert_bytes(h->noise.rs, text);
	if (!sign_ok(&peer, BYTES_OF(text), cert))
		return fail(ERR_FORGED);
	if (step == 2) {
		rd_copy(&r, h->tag.b, HASH_LEN);
		uint8_t flags = rd_u8(&r);
		if (flags & ~FLAG_JOINING)
			return fail(ERR_MALFORMED);
		h->joining = flags & FLAG_JOINING;
	}
	if (!rd_done(&r))
		return fail(ERR_MALFORMED);
	h->peer = peer;
	return ERR_OK;
}

enum err hello_read(struct hello *h, struct bytes message)
{
	struct wr payload = {0};
	int step = h->noise.step;

	if (step >= 3 || message.len != length_of(step))
		return fail(ERR_MALFORMED);
	enum err e = noise_read(&h->noise, message, &payload);
	if (!e)
		e = payload_read(h, step, wr_view(&payload));
	if (!e && step == 1)
		memcpy(h->bound, h->noise.h, NOISE_HASH);
	wr_fini(&payload);
	return e;
}

struct hello *hello_free(struct hello *h)
{
	if (h)
		noise_fini(&h->noise);
	free(h);
	return NULL;
}
