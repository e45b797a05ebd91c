// SPDX-License-Identifier: MIT
/*
 * bundle.c - bytes of bundles: what a log is made of, on every disk and wire
 *
 * The head is clear, so that a helper without keys can keep order and verify; the records are in
 * the sealed body.  The signature covers both.
 *
 * I1  a log's numbering and chain show in the head: sequence 1 names no bundle before it, and only
 *     it may name a predecessor incarnation
 * I2  the incarnation is computed, so no device can write into another's log
 * I3  encode(decode(x)) is x
 */
#include "codec/bundle.h"
#include <stdlib.h>

static_assert(RECORD_BYTES_MAX < BUNDLE_BYTES_MAX, "any record fits a bundle");

static const uint8_t magic[4] = {'P', 'F', 'S', 'B'};

static bool hash_zero(const struct hash *h)
{
	static const struct hash zero;

	return memcmp(h, &zero, sizeof(zero)) == 0;
}

struct bundle_tag bundle_tag_of(const struct hash *bundle)
{
	struct bundle_tag t;

	memcpy(t.b, bundle->b, sizeof(t.b));
	return t;
}

bool bundle_tag_none(const struct bundle_tag *t)
{
	static const struct bundle_tag none;

	return memcmp(t, &none, sizeof(none)) == 0;
}

void bundle_head_fini(struct bundle_head *h)
{
	vector_unref(h->delta);
	free(h->tags);
	h->delta = NULL;
	h->tags = NULL;
}

static bool order_sound(const struct bundle_head *h) /* I1 */
{
	if (h->seq == 0 || (h->seq == 1) != hash_zero(&h->prev))
		return false;
	if ((h->follows.inc == 0) != (h->follows.seq == 0) || (h->follows.inc & DERIVED_BIT))
		return false;
	if (h->follows.seq == 0 && !bundle_tag_none(&h->follows_tag))
		return false;
	return h->seq == 1 || h->follows.seq == 0;
}

static enum err body_check(const struct bundle_head *h)
{
	struct seal_info i;
	enum err e = seal_peek(h->body, &i);

	if (e)
		return e;
	return i.kind == SEAL_BUNDLE && i.epoch == h->epoch ? ERR_OK : fail(ERR_MALFORMED);
}

void bundle_encode(struct wr *w, const struct bundle_head *h)
{
	assert(order_sound(h) && body_check(h) == ERR_OK);
	size_t start = w->len;

	wr_raw(w, magic, sizeof(magic));
	wr_u8(w, BUNDLE_VERSION);
	wr_bytes(w, BYTES_OF(h->folder.b));
	wr_bytes(w, BYTES_OF(h->device.b));
	wr_u64(w, h->nonce);
	wr_u64(w, h->seq);
	wr_bytes(w, BYTES_OF(h->prev.b));
	wr_u64(w, h->follows.inc);
	wr_u64(w, h->follows.seq);
	wr_bytes(w, BYTES_OF(h->follows_tag.b));
	wr_bytes(w, BYTES_OF(h->roster.b));
	wr_u32(w, h->epoch);
	vector_encode(w, h->delta);
	for (uint32_t k = 0; h->delta && k < h->delta->count; k++) {
		static const struct bundle_tag none;
		wr_raw(w, h->tags ? h->tags[k].b : none.b, BUNDLE_TAG);
	}
	wr_u32(w, (uint32_t)h->body.len);
	wr_bytes(w, h->body);
	assert(w->bad || w->len - start <= BUNDLE_BYTES_MAX - SIG_LEN);
}

void bundle_sign(struct wr *w, size_t start, const struct sign_pair *p)
{
	uint8_t sig[SIG_LEN];

	if (w->bad)
		return;
	sign_make(p, (struct bytes){w->at + start, w->len - start}, sig);
	wr_bytes(w, BYTES_OF(sig));
}

/*
 * A bundle.
 *	0	4	magic	"PFSB"
 *	4	1	version	1
 *	5	32	folder
 *	37	32	device	whose log it is, and who signs
 *	69	8	nonce	of the incarnation
 *	77	8	seq	from 1
 *	85	32	prev	hash of the bundle before; zeros if seq is 1
 *	117	16	follows	predecessor incarnation and its last bundle; zeros if seq > 1
 *			or none
 *	133	16	tag	of that bundle; zeros if there is none
 *	149	32	roster	hash of the roster head
 *	181	4	epoch	of the body's key
 *	185	4+16n	delta	vector: count, then incarnation and sequence each
 *	..	16n	tags	of the bundles that it names, in its order
 *	..	4	length	of the body
 *	..	n	body	sealed piece of kind bundle
 *	..	64	signature over all before it
 */
static enum err head_read(struct rd *r, struct bundle_head *h)
{
	const uint8_t *mark = rd_span(r, sizeof(magic));
	uint8_t version = rd_u8(r);

	if (!mark || memcmp(mark, magic, sizeof(magic)) != 0)
		return fail(ERR_MALFORMED);
	if (!r->bad && version != BUNDLE_VERSION)
		return fail(ERR_VERSION);
	rd_copy(r, h->folder.b, sizeof(h->folder.b));
	rd_copy(r, h->device.b, sizeof(h->device.b));
	h->nonce = rd_u64(r);
	h->seq = rd_u64(r);
	rd_copy(r, h->prev.b, HASH_LEN);
	h->follows.inc = rd_u64(r);
	h->follows.seq = rd_u64(r);
	rd_copy(r, h->follows_tag.b, BUNDLE_TAG);
	rd_copy(r, h->roster.b, HASH_LEN);
	h->epoch = rd_u32(r);
	return r->bad || !order_sound(h) ? fail(ERR_MALFORMED) : ERR_OK;
}

static enum err delta_read(struct rd *r, struct bundle_head *h)
{
	enum err e = vector_decode(r, &h->delta);

	if (e || h->delta->count == 0)
		return e;
	if (rd_left(r) < (size_t)h->delta->count * BUNDLE_TAG)
		return fail(ERR_MALFORMED);
	h->tags = malloc((size_t)h->delta->count * sizeof(*h->tags));
	if (!h->tags)
		return fail(ERR_NOMEM);
	rd_copy(r, h->tags[0].b, (size_t)h->delta->count * BUNDLE_TAG);
	return ERR_OK;
}

static enum err tail_read(struct rd *r, struct bundle_head *h)
{
	h->body = rd_bytes(r, rd_u32(r));
	rd_copy(r, h->sig, SIG_LEN);
	return rd_done(r) ? body_check(h) : fail(ERR_MALFORMED);
}

enum err bundle_decode(struct bytes from, struct bundle_head *ret)
{
	struct bundle_head h;

	memset(&h, 0, sizeof(h));
	if (from.len < SIG_LEN || from.len > BUNDLE_BYTES_MAX)
		return fail(ERR_MALFORMED);
	struct rd r = rd_of(from);
	enum err e = head_read(&r, &h);
	if (!e)
		e = delta_read(&r, &h);
	if (!e)
		e = tail_read(&r, &h);
	if (e) {
		bundle_head_fini(&h);
		return e;
	}
	h.inc = hash_incarnation(&h.folder, &h.device, h.nonce); /* I2 */
	*ret = h;
	return ERR_OK;
}

bool bundle_verify(struct bytes whole, const struct bundle_head *h)
{
	assert(whole.len >= SIG_LEN);
	return sign_ok(&h->device, (struct bytes){whole.at, whole.len - SIG_LEN}, h->sig);
}

void bundle_hash(struct bytes whole, struct hash *ret)
{
	hash_blake(whole, ret);
}

void bundle_free(struct bundle *b)
{
	if (!b)
		return;
	bundle_head_fini(&b->head);
	record_arena_free(b->arena);
	free(b->records);
	free(b->plain);
	free(b->raw);
	free(b);
}

/* How many framed records body holds; more than BUNDLE_RECORDS_MAX if it does not hold whole ones,
 * or too many. */
static uint32_t records_count(struct bytes body)
{
	struct rd r = rd_of(body);
	uint32_t count = 0;

	while (rd_left(&r) && count <= BUNDLE_RECORDS_MAX) {
		(void)rd_span(&r, rd_u32(&r));
		if (r.bad)
			return BUNDLE_RECORDS_MAX + 1;
		count++;
	}
	return count;
}

enum err bundle_records(struct bundle *b, size_t len)
{
	struct bytes body = {b->plain, len};

	assert(!b->records && !b->arena);
	if (len > BUNDLE_BODY_MAX)
		return fail(ERR_MALFORMED);
	uint32_t count = len ? records_count(body) : 0;
	if (count > BUNDLE_RECORDS_MAX)
		return fail(ERR_MALFORMED);
	b->arena = record_arena_new();
	b->records = calloc(count ? count : 1, sizeof(b->records[0]));
	if (!b->arena || !b->records)
		return fail(ERR_NOMEM);
	struct rd r = {.at = b->plain, .end = b->plain};
	if (len)
		r = rd_of(body);
	for (uint32_t k = 0; k < count; k++) {
		enum err e = record_decode(&r, b->arena, &b->records[k]);
		if (e)
			return e;
	}
	b->count = count;
	return ERR_OK;
}
