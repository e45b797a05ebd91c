// SPDX-License-Identifier: MIT
/*
 * ack.c - see ack.h
 *
 * Little-endian.
 *	0	4	magic	"PFSA"
 *	4	1	version	1
 *	5	32	folder
 *	37	32	device
 *	69	8	t	its clock
 *	77	32	roster	digest of the roster it holds
 *	109		held	vector: count u32, then inc u64, seq u64 each
 *			less	count u32, then inc u64, seq u64 each, ascending: entries of held
 *				that it does not acknowledge so far; seq is less, 0 for not at all
 *		64	signature over all before it
 *
 * Mostly nothing is held back, and `less` is empty.
 */
#include "codec/ack.h"

#define ACK_VERSION 1

static const uint8_t magic[4] = {'P', 'F', 'S', 'A'};

void ack_fini(struct ack *a)
{
	vector_unref(a->held);
	vector_unref(a->acked);
	a->held = a->acked = NULL;
}

/* The entries of held that acked does not reach. */
static void less_encode(struct wr *w, const struct ack *a)
{
	uint32_t count = 0;

	for (uint32_t k = 0; a->held && k < a->held->count; k++)
		count += vector_get(a->acked, a->held->at[k].inc) != a->held->at[k].seq;
	wr_u32(w, count);
	for (uint32_t k = 0; a->held && k < a->held->count; k++) {
		struct where at = a->held->at[k];
		uint64_t seq = vector_get(a->acked, at.inc);
		if (seq == at.seq)
			continue;
		wr_u64(w, at.inc);
		wr_u64(w, seq);
	}
}

void ack_encode(struct wr *w, const struct ack *a, const struct sign_pair *by)
{
	size_t start = w->len;
	uint8_t sig[SIG_LEN];

	assert(memcmp(&a->device, &by->pub, sizeof(a->device)) == 0);
	assert(vector_covers(a->held, a->acked));
	wr_raw(w, magic, sizeof(magic));
	wr_u8(w, ACK_VERSION);
	wr_raw(w, a->folder.b, sizeof(a->folder.b));
	wr_raw(w, a->device.b, sizeof(a->device.b));
	wr_u64(w, a->t);
	wr_raw(w, a->roster.b, HASH_LEN);
	vector_encode(w, a->held);
	less_encode(w, a);
	if (w->bad)
		return;
	sign_make(by, (struct bytes){w->at + start, w->len - start}, sig);
	wr_raw(w, sig, sizeof(sig));
}

static enum err less_decode(struct rd *r, struct ack *a)
{
	uint32_t count = rd_u32(r), at = 0, n = 0;
	const struct vector *all = a->held;
	struct vector *v;

	if (r->bad || count > all->count || rd_left(r) != (size_t)count * sizeof(struct where))
		return fail(ERR_MALFORMED);
	v = vector_new(all->at, all->count);
	if (!v)
		return fail(ERR_NOMEM);
	a->acked = v;
	for (uint32_t k = 0; k < count; k++) {
		struct where less = {rd_u64(r), 0};
		less.seq = rd_u64(r);
		while (at < all->count && all->at[at].inc < less.inc)
			v->at[n++] = all->at[at++];
		if (at == all->count || all->at[at].inc != less.inc || less.seq >= all->at[at].seq)
			return fail(ERR_MALFORMED); /* unknown, out of order, or not less */
		at++;
		if (less.seq)
			v->at[n++] = less;
	}
	while (at < all->count)
		v->at[n++] = all->at[at++];
	v->count = n;
	return ERR_OK;
}

static enum err head_decode(struct rd *r, struct ack *a)
{
	const uint8_t *mark = rd_span(r, sizeof(magic));
	uint8_t version = rd_u8(r);

	if (!mark || memcmp(mark, magic, sizeof(magic)) != 0)
		return fail(ERR_MALFORMED);
	if (!r->bad && version != ACK_VERSION)
		return fail(ERR_VERSION);
	rd_copy(r, a->folder.b, sizeof(a->folder.b));
	rd_copy(r, a->device.b, sizeof(a->device.b));
	a->t = rd_u64(r);
	rd_copy(r, a->roster.b, HASH_LEN);
	return r->bad ? fail(ERR_MALFORMED) : ERR_OK;
}

enum err ack_decode(struct bytes from, struct ack *ret)
{
	struct ack a;

	memset(&a, 0, sizeof(a));
	if (from.len < SIG_LEN || from.len > ACK_BYTES_MAX)
		return fail(ERR_MALFORMED);
	struct rd r = rd_of((struct bytes){from.at, from.len - SIG_LEN});
	enum err e = head_decode(&r, &a);
	if (!e)
		e = vector_decode(&r, &a.held);
	if (!e)
		e = less_decode(&r, &a);
	if (e) {
		ack_fini(&a);
		return e;
	}
	*ret = a;
	return ERR_OK;
}

bool ack_verify(struct bytes whole, const struct ack *a)
{
	if (whole.len < SIG_LEN)
		return false;
	return sign_ok(&a->device, (struct bytes){whole.at, whole.len - SIG_LEN},
		       whole.at + whole.len - SIG_LEN);
}
