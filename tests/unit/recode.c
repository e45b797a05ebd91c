// SPDX-License-Identifier: MIT
/*
 * recode.c - decode and encode again, for each format: see recode.h
 *
 * Signatures and seals are carried over: these formats are decoded before they are verified.
 */
#include "recode.h"
#include <stdlib.h>

enum err recode_manifest(struct bytes from, struct wr *w)
{
	struct manifest m;
	enum err e = manifest_decode(from, &m);

	if (!e)
		manifest_encode(w, &m);
	return e;
}

enum err recode_node(struct bytes from, struct wr *w)
{
	struct entry *at = calloc(MANIFEST_NODE_MAX, sizeof(*at));
	uint8_t depth = 0;
	uint32_t count = 0;

	if (!at)
		return fail(ERR_NOMEM);
	enum err e = node_decode(from, &depth, at, &count);
	if (!e)
		node_encode(w, depth, at, count);
	free(at);
	return e;
}

enum err recode_record(struct bytes from, struct wr *w)
{
	struct record_arena *a = record_arena_new();
	struct rd r = rd_of(from);
	struct record c;

	if (!a)
		return fail(ERR_NOMEM);
	enum err e = record_decode(&r, a, &c);
	if (!e && !rd_done(&r))
		e = fail(ERR_MALFORMED);
	if (!e) {
		size_t before = w->len;
		record_encode(w, &c);
		assert(w->bad || w->len - before == record_bytes(&c));
	}
	record_arena_free(a);
	return e;
}

enum err recode_version(struct bytes from, struct wr *w)
{
	struct record_arena *a = record_arena_new();
	struct rd r = rd_of(from);
	struct version v;

	if (!a)
		return fail(ERR_NOMEM);
	enum err e = version_decode(&r, a, &v);
	if (!e && !rd_done(&r))
		e = fail(ERR_MALFORMED);
	if (!e)
		version_encode(w, &v);
	record_arena_free(a);
	return e;
}

enum err recode_bundle(struct bytes from, struct wr *w)
{
	struct bundle_head h;
	enum err e = bundle_decode(from, &h);

	if (e)
		return e;
	bundle_encode(w, &h);
	wr_bytes(w, BYTES_OF(h.sig));
	bundle_head_fini(&h);
	return ERR_OK;
}

enum err recode_body(struct bytes from, struct wr *w)
{
	struct bundle *b = calloc(1, sizeof(*b));

	if (!b)
		return fail(ERR_NOMEM);
	b->plain = malloc(from.len ? from.len : 1);
	if (b->plain && from.len)
		memcpy(b->plain, from.at, from.len);
	enum err e = b->plain ? bundle_records(b, from.len) : fail(ERR_NOMEM);
	for (uint32_t k = 0; !e && k < b->count; k++)
		record_encode(w, &b->records[k]);
	bundle_free(b);
	return e;
}

enum err recode_member(struct bytes from, struct wr *w)
{
	struct member_record m;
	struct sign_pair author = {.secret = {0}}; /* its signature is replaced by the one read */
	enum err e = member_decode(from, &m);

	if (e)
		return e;
	author.pub = m.author;
	member_encode(w, &m, &author);
	if (!w->bad)
		memcpy(w->at + w->len - SIG_LEN, m.sig, SIG_LEN);
	vector_unref(m.vec);
	return ERR_OK;
}

enum err recode_keys(struct bytes from, struct wr *w)
{
	struct folder_keys k;
	enum err e = folder_keys_decode(from, &k);

	if (!e)
		folder_keys_encode(w, &k);
	return e;
}

enum err recode_journal(struct bytes from, struct wr *w)
{
	uint8_t head[JOURNAL_HEAD];
	struct bytes payload;
	enum err e = journal_next(from, RECODE_JOURNAL_AT, &payload);

	if (!e && payload.len != from.len - JOURNAL_HEAD)
		e = fail(ERR_MALFORMED);
	if (e)
		return e;
	journal_head(head, RECODE_JOURNAL_AT, payload);
	wr_bytes(w, BYTES_OF(head));
	wr_bytes(w, payload);
	return ERR_OK;
}

enum err recode_pack(struct bytes from, struct wr *w)
{
	uint8_t head[PACK_HEAD];
	struct pack_head h;

	if (from.len < PACK_HEAD)
		return fail(ERR_MALFORMED);
	enum err e = pack_head_decode(from.at, &h);
	if (!e && h.len != from.len - PACK_HEAD)
		e = fail(ERR_MALFORMED);
	if (e)
		return e;
	pack_head_encode(head, &h);
	wr_bytes(w, BYTES_OF(head));
	wr_raw(w, from.at + PACK_HEAD, h.len);
	return ERR_OK;
}

enum err recode_local(struct bytes from, struct wr *w)
{
	struct local_db l;
	enum err e = local_db_decode(from, &l);

	if (!e)
		local_db_encode(w, &l);
	return e;
}

enum err recode_sealed(struct bytes from, struct wr *w)
{
	struct seal_info i;
	enum err e = seal_peek(from, &i);

	if (!e)
		wr_bytes(w, from);
	return e;
}

enum err recode_ack(struct bytes from, struct wr *w)
{
	static const uint8_t seed[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
					 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	struct sign_pair by;
	struct ack a;
	enum err e = ack_decode(from, &a);

	if (e)
		return e;
	sign_pair_init(&by, seed);
	by.pub = a.device;
	size_t start = w->len;
	ack_encode(w, &a, &by);
	if (w->len >= start + SIG_LEN) /* whoever made it, its signature is its own */
		memcpy(w->at + w->len - SIG_LEN, from.at + from.len - SIG_LEN, SIG_LEN);
	ack_fini(&a);
	return ERR_OK;
}
