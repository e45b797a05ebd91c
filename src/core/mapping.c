// SPDX-License-Identifier: MIT
/*
 * mapping.c - walks manifests: see mapping.h
 *
 * A walk goes from the root to one leaf at a time, decoding entries one by one, so that neither
 * recursion nor a large buffer is needed.
 */
#include "core/mapping.h"
#include "core/tables.h"

#define RANGE_LOOKS_MAX 4096
#define LOOKS_MAX (1u << 16) /* half a second */

static struct piece *add(struct sink *k, uint64_t len)
{
	if (k->count == k->max) {
		k->full = true;
		return NULL;
	}
	struct piece *p = &k->pieces[k->count++];
	*p = (struct piece){.len = len};
	k->len += len;
	return p;
}

void sink_zero(struct sink *k, uint64_t len)
{
	if (k->count && k->pieces[k->count - 1].kind == PIECE_ZERO) {
		k->pieces[k->count - 1].len += len;
		k->len += len;
		return;
	}
	struct piece *p = add(k, len);
	if (p)
		p->kind = PIECE_ZERO;
}

void sink_data(struct sink *k, uint64_t addr, uint64_t len)
{
	struct piece *p = add(k, len);

	if (p) {
		p->kind = PIECE_DATA;
		p->addr = addr;
	}
}

void sink_missing(struct sink *k, const struct hash *name, uint8_t kind, uint32_t stored)
{
	for (uint32_t i = k->missing_count; i > 0; i--)
		if (memcmp(&k->missing[i - 1].name, name, sizeof(*name)) == 0)
			return;
	if (k->missing_count < k->missing_max)
		k->missing[k->missing_count++] = (struct missing){*name, kind, stored};
}

static void name_key(struct step_key *k, uint8_t table, const struct hash *name)
{
	step_key_init(k, table);
	step_key_raw(k, name->b, HASH_LEN);
}

enum err mapping_put_piece(struct kv *kv, const struct hash *name, uint8_t kind, uint64_t addr,
			   uint32_t stored)
{
	struct step_key k;
	uint8_t value[13];
	struct wr w = {.at = value, .room = sizeof(value)};

	name_key(&k, TABLE_PIECE, name);
	wr_u64(&w, addr);
	wr_u8(&w, kind);
	wr_u32(&w, stored);
	return kv_put(kv, step_key_view(&k), wr_view(&w));
}

enum err mapping_piece(struct kv *kv, const struct hash *name, uint64_t *addr, uint8_t *kind,
		       uint32_t *stored)
{
	struct step_key k;
	struct bytes value;

	name_key(&k, TABLE_PIECE, name);
	enum err e = kv_get(kv, step_key_view(&k), &value);
	if (e)
		return e;
	struct rd r = rd_of(value);
	*addr = rd_u64(&r);
	*kind = rd_u8(&r);
	*stored = rd_u32(&r);
	return rd_done(&r) ? ERR_OK : fail(ERR_DAMAGED);
}

enum err mapping_put_node(struct kv *kv, const struct hash *name, struct bytes plain)
{
	struct step_key k;

	name_key(&k, TABLE_NODE, name);
	return kv_put(kv, step_key_view(&k), plain);
}

enum err mapping_put_known(struct kv *kv, const struct entry *e)
{
	struct step_key k;
	uint8_t value[ENTRY_BYTES];
	struct wr w = {.at = value, .room = sizeof(value)};

	name_key(&k, TABLE_KNOWN, &e->id);
	entry_encode(&w, e);
	return kv_put(kv, step_key_view(&k), wr_view(&w));
}

enum err mapping_known(struct kv *kv, const struct hash *id, struct entry *ret)
{
	struct step_key k;
	struct bytes value;
	struct entry e;
	uint64_t addr;
	uint32_t stored;
	uint8_t kind;

	name_key(&k, TABLE_KNOWN, id);
	enum err err = kv_get(kv, step_key_view(&k), &value);
	if (err)
		return err;
	struct rd r = rd_of(value);
	err = entry_decode(&r, &e);
	if (err)
		return fail(ERR_DAMAGED);
	err = mapping_piece(kv, &e.name, &addr, &kind, &stored);
	if (!err)
		*ret = e;
	return err;
}

/* Among the entries read from r, the one over byte off, when the first starts at *start. */
static enum err child_over(struct rd *r, uint64_t off, struct entry *ret, uint64_t *start)
{
	struct entry e;

	while (rd_left(r)) {
		enum err err = entry_decode(r, &e);
		if (err)
			return fail(ERR_DAMAGED);
		if (off < *start + e.len) {
			*ret = e;
			return ERR_OK;
		}
		*start += e.len;
	}
	return fail(ERR_DAMAGED);
}

/* One level down: replace the node entry by its child over off. */
static enum err descend(struct kv *kv, uint64_t off, struct entry *e, uint64_t *start,
			struct missing *lacks)
{
	struct step_key k;
	struct bytes plain;

	name_key(&k, TABLE_NODE, &e->name);
	enum err err = kv_get(kv, step_key_view(&k), &plain);
	if (err == ERR_NOENT) {
		*lacks = (struct missing){e->name, SEAL_NODE, e->stored};
		return ERR_AGAIN;
	}
	if (err)
		return err;
	struct rd r = rd_of(plain);
	(void)rd_u8(&r); /* depth and count: checked when the node was stored */
	(void)rd_u16(&r);
	return child_over(&r, off, e, start);
}

enum err mapping_find(struct kv *kv, const struct manifest *m, uint64_t off, struct entry *ret,
		      uint64_t *start, struct missing *lacks)
{
	struct entry e = {0};
	uint64_t at = 0;
	uint32_t k = 0;

	while (k < m->count && off >= at + m->at[k].len)
		at += m->at[k++].len;
	if (k == m->count)
		return fail(ERR_INVAL);
	e = m->at[k];
	enum err err = ERR_OK;
	for (uint32_t depth = 0; e.kind == ENTRY_NODE && !err; depth++)
		err = depth <= MANIFEST_DEPTH_MAX ? descend(kv, off, &e, &at, lacks)
						  : fail(ERR_DAMAGED);
	if (err && err != ERR_AGAIN)
		return err;
	*ret = e;
	*start = at;
	return err;
}

/* One chunk: bytes [from, from + len) of it. */
static enum err map_chunk(struct kv *kv, const struct entry *e, uint64_t from, uint64_t len,
			  struct sink *sink)
{
	uint64_t addr;
	uint32_t stored;
	uint8_t kind;
	enum err err = mapping_piece(kv, &e->name, &addr, &kind, &stored);

	if (err == ERR_NOENT) {
		sink_missing(sink, &e->name, SEAL_CHUNK, e->stored);
		sink->len += len;
		return ERR_OK;
	}
	struct piece *p = err ? NULL : add(sink, len);
	if (p) {
		p->kind = PIECE_CHUNK;
		p->addr = addr;
		p->from = (uint32_t)from;
		p->entry = *e;
	}
	return err;
}

static enum err map_inline(const struct manifest *m, uint64_t off, uint64_t len, struct sink *sink)
{
	struct piece *p = add(sink, len);

	if (p) {
		p->kind = PIECE_INLINE;
		p->data = m->data.at + off;
	}
	return ERR_OK;
}

enum err mapping_range(struct kv *kv, const struct manifest *m, uint64_t off, uint64_t len,
		       struct sink *sink)
{
	uint64_t end = off + len, in = MIN(end, m->size);
	enum err err = ERR_OK;

	if (m->is_inline && off < in) {
		err = map_inline(m, off, in - off, sink);
		off = in;
	}
	for (uint32_t looks = 0; off < in && !sink->full && !err; looks++) {
		if (looks ==
		    RANGE_LOOKS_MAX) { /* chunks of a byte, or holes: no more in one step */
			sink->full = true;
			break;
		}
		struct entry e;
		struct missing lacks;
		uint64_t start;
		err = mapping_find(kv, m, off, &e, &start, &lacks);
		if (err && err != ERR_AGAIN)
			return err;
		uint64_t n = MIN(in, start + e.len) - off;
		if (err == ERR_AGAIN) {
			sink->seen = sink->blind ? sink->seen : sink->len;
			sink->blind = true;
			sink_missing(sink, &lacks.name, SEAL_NODE, lacks.stored);
			sink->len += n;
			err = ERR_OK;
		} else if (e.kind == ENTRY_HOLE) {
			sink_zero(sink, n);
		} else {
			err = map_chunk(kv, &e, off - start, n, sink);
		}
		off += n;
	}
	if (!err && !sink->full && off < end)
		sink_zero(sink, end - off);
	return err;
}

/* A node may be named many times, so a few nodes can stand for more chunks than could ever be
 * looked at: what lies behind the first LOOKS_MAX is taken to be like them. */
enum err mapping_local(struct kv *kv, const struct manifest *m, uint64_t *ret)
{
	uint64_t sum = m->is_inline ? m->size : 0;
	uint64_t off = m->is_inline ? m->size : 0;

	for (uint32_t looks = 0; off < m->size; looks++) {
		if (looks == LOOKS_MAX) {
			*ret = sum >= off ? m->size : m->size / off * sum;
			return ERR_OK;
		}
		struct entry e;
		struct missing lacks;
		uint64_t start, addr;
		uint32_t stored;
		uint8_t kind;
		enum err err = mapping_find(kv, m, off, &e, &start, &lacks);
		if (err && err != ERR_AGAIN)
			return err;
		bool here = !err && (e.kind == ENTRY_HOLE ||
				     mapping_piece(kv, &e.name, &addr, &kind, &stored) == ERR_OK);
		sum += here ? e.len : 0;
		off = start + e.len;
	}
	*ret = MIN(sum, m->size); /* a node may hold more than its parent says */
	return ERR_OK;
}
