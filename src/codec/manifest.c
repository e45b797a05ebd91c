// SPDX-License-Identifier: MIT
/*
 * manifest.c - bytes of manifests, nodes and entries, and the ids that make equal contents equal
 *
 * A manifest is the whole content of a file version, so it is what two versions are compared by.
 * Therefore there is one encoding of each, and what it says of lengths is checked here once:
 *
 * I1  the entries of a root or node cover its bytes exactly, and no sum overflows
 * I2  an entry's kind fits the depth at which it stands
 * I3  encode(decode(x)) is x
 *
 * Node ids are made under a key of their own, derived from the folder's id key: without that, a
 * file could be written whose one chunk has the id of a node.
 */
#include "codec/manifest.h"

enum form { FORM_INLINE = 1, FORM_TREE = 2 };

void entry_encode(struct wr *w, const struct entry *e)
{
	wr_u8(w, e->kind);
	wr_u64(w, e->len);
	wr_u32(w, e->epoch);
	wr_u32(w, e->stored);
	wr_bytes(w, BYTES_OF(e->id.b));
	wr_bytes(w, BYTES_OF(e->name.b));
}

static bool hash_zero(const struct hash *h)
{
	static const struct hash zero;

	return memcmp(h, &zero, sizeof(zero)) == 0;
}

static bool entry_sound(const struct entry *e)
{
	if (e->len == 0 || e->len > MANIFEST_SIZE_MAX)
		return false;
	if (e->kind == ENTRY_HOLE)
		return !e->epoch && !e->stored && hash_zero(&e->id) && hash_zero(&e->name);
	if (e->kind == ENTRY_CHUNK && e->len > CHUNK_BYTES_MAX)
		return false;
	if (e->kind != ENTRY_CHUNK && e->kind != ENTRY_NODE)
		return false;
	return e->stored > 0 && e->stored <= ENTRY_STORED_MAX;
}

/*
 * An entry.
 *	0	1	kind	1 chunk, 2 hole, 3 node
 *	1	8	len	bytes of the file covered, at least 1; a chunk: at most 512 KiB
 *	9	4	epoch	key epoch; 0 for holes
 *	13	4	stored	bytes of the sealed piece; 0 for holes
 *	17	32	id	zeros for holes
 *	49	32	name	zeros for holes
 */
enum err entry_decode(struct rd *r, struct entry *ret)
{
	struct entry e;

	memset(&e, 0, sizeof(e));
	e.kind = rd_u8(r);
	e.len = rd_u64(r);
	e.epoch = rd_u32(r);
	e.stored = rd_u32(r);
	rd_copy(r, e.id.b, HASH_LEN);
	rd_copy(r, e.name.b, HASH_LEN);
	if (r->bad || !entry_sound(&e))
		return fail(ERR_MALFORMED);
	*ret = e;
	return ERR_OK;
}

/* Read count entries that stand at that depth, and the sum of their lengths. */
static enum err entries_decode(struct rd *r, uint8_t depth, uint32_t count, struct entry *at,
			       uint64_t *sum)
{
	uint64_t total = 0;

	for (uint32_t k = 0; k < count; k++) {
		enum err e = entry_decode(r, &at[k]);
		if (e)
			return e;
		if ((at[k].kind == ENTRY_NODE) != (depth > 0)) /* I2 */
			return fail(ERR_MALFORMED);
		if (__builtin_add_overflow(total, at[k].len, &total))
			return fail(ERR_MALFORMED);
	}
	if (total > MANIFEST_SIZE_MAX)
		return fail(ERR_MALFORMED);
	*sum = total;
	return ERR_OK;
}

static uint64_t holes_of(const struct manifest *m)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < m->count; k++)
		sum += m->at[k].kind == ENTRY_HOLE ? m->at[k].len : 0;
	return sum;
}

void manifest_encode(struct wr *w, const struct manifest *m)
{
	if (m->is_inline) {
		assert(m->data.len == m->size);
		manifest_inline(w, m->data);
		return;
	}
	assert(m->count >= 1 && m->count <= MANIFEST_ROOT_MAX && m->depth <= MANIFEST_DEPTH_MAX);
	wr_u8(w, FORM_TREE);
	wr_u8(w, m->depth);
	wr_u8(w, (uint8_t)m->count);
	wr_u64(w, m->size);
	wr_u64(w, m->depth ? m->holes : holes_of(m));
	for (uint32_t k = 0; k < m->count; k++)
		entry_encode(w, &m->at[k]);
}

void manifest_inline(struct wr *w, struct bytes data)
{
	assert(data.len <= INLINE_BYTES_MAX);
	wr_u8(w, FORM_INLINE);
	wr_u16(w, (uint16_t)data.len);
	wr_bytes(w, data);
}

/*
 * Inline content, after the form.
 *	1	2	size	0..INLINE_BYTES_MAX
 *	3	n	data
 */
static enum err inline_decode(struct rd *r, struct manifest *ret)
{
	ret->is_inline = true;
	ret->size = rd_u16(r);
	ret->data = rd_bytes(r, (size_t)ret->size);
	if (ret->size > INLINE_BYTES_MAX || !rd_done(r))
		return fail(ERR_MALFORMED);
	return ERR_OK;
}

/*
 * A tree's root, after the form.
 *	1	1	depth	0: entries are chunks and holes; k: nodes of depth k - 1
 *	2	1	count	1..MANIFEST_ROOT_MAX
 *	3	8	size	the sum of the entries' lengths
 *	11	8	holes	how many of its bytes are holes; told, as nodes need not be here
 *	19	81 each	entries
 */
static enum err tree_decode(struct rd *r, struct manifest *ret)
{
	uint64_t sum = 0;

	ret->depth = rd_u8(r);
	ret->count = rd_u8(r);
	ret->size = rd_u64(r);
	ret->holes = rd_u64(r);
	if (r->bad || ret->depth > MANIFEST_DEPTH_MAX)
		return fail(ERR_MALFORMED);
	if (ret->count == 0 || ret->count > MANIFEST_ROOT_MAX)
		return fail(ERR_MALFORMED);
	enum err e = entries_decode(r, ret->depth, ret->count, ret->at, &sum);
	if (e)
		return e;
	if (sum != ret->size || ret->holes > sum || !rd_done(r)) /* I1 */
		return fail(ERR_MALFORMED);
	if (ret->depth == 0 && ret->holes != holes_of(ret))
		return fail(ERR_MALFORMED);
	return ERR_OK;
}

enum err manifest_decode(struct bytes from, struct manifest *ret)
{
	struct rd r = rd_of(from);
	struct manifest m;
	enum err e;

	memset(&m, 0, sizeof(m));
	switch (rd_u8(&r)) {
	case FORM_INLINE:
		e = inline_decode(&r, &m);
		break;
	case FORM_TREE:
		e = tree_decode(&r, &m);
		break;
	default:
		return fail(ERR_MALFORMED);
	}
	if (!e)
		*ret = m;
	return e;
}

bool manifest_equal(struct bytes a, struct bytes b)
{
	struct manifest m, n;

	if (manifest_decode(a, &m) || manifest_decode(b, &n))
		return false;
	if (m.size != n.size || m.is_inline != n.is_inline)
		return false;
	if (m.is_inline)
		return bytes_equal(m.data, n.data);
	if (m.depth != n.depth || m.count != n.count)
		return false;
	for (uint32_t k = 0; k < m.count; k++) {
		const struct entry *x = &m.at[k], *y = &n.at[k];
		if (x->kind != y->kind || x->len != y->len)
			return false;
		if (memcmp(x->id.b, y->id.b, HASH_LEN) != 0)
			return false;
	}
	return true;
}

void manifest_identity(struct wr *w, struct bytes encoded)
{
	struct manifest m;

	if (manifest_decode(encoded, &m) || m.is_inline) {
		wr_u32(w, (uint32_t)encoded.len);
		wr_bytes(w, encoded);
		return;
	}
	wr_u8(w, m.depth);
	wr_u64(w, m.size);
	for (uint32_t k = 0; k < m.count; k++) {
		wr_u8(w, m.at[k].kind);
		wr_u64(w, m.at[k].len);
		wr_raw(w, m.at[k].id.b, HASH_LEN);
	}
}

uint64_t manifest_size(struct bytes encoded)
{
	struct manifest m;

	m.size = 0;
	return manifest_decode(encoded, &m) ? 0 : m.size;
}

void node_encode(struct wr *w, uint8_t depth, const struct entry *at, uint32_t count)
{
	assert(count >= 1 && count <= MANIFEST_NODE_MAX && depth < MANIFEST_DEPTH_MAX);
	wr_u8(w, depth);
	wr_u16(w, (uint16_t)count);
	for (uint32_t k = 0; k < count; k++)
		entry_encode(w, &at[k]);
}

/*
 * A node.
 *	0	1	depth	0: of chunks and holes; k: of nodes of depth k - 1
 *	1	2	count	1..MANIFEST_NODE_MAX
 *	3	81 each	entries
 */
enum err node_decode(struct bytes from, uint8_t *depth, struct entry *at, uint32_t *count)
{
	struct rd r = rd_of(from);
	uint8_t d = rd_u8(&r);
	uint32_t n = rd_u16(&r);
	uint64_t sum = 0;

	if (r.bad || d >= MANIFEST_DEPTH_MAX || n == 0 || n > MANIFEST_NODE_MAX)
		return fail(ERR_MALFORMED);
	if (rd_left(&r) != (size_t)n * ENTRY_BYTES)
		return fail(ERR_MALFORMED);
	enum err e = entries_decode(&r, d, n, at, &sum);
	if (e)
		return e;
	*depth = d;
	*count = n;
	return ERR_OK;
}

/*
 * The list is hashed in runs, each with the hash of the runs before in front (zeros before the
 * first), so that no buffer of a whole node is needed.
 */
#define RUN_ENTRIES 64
#define RUN_ENTRY_BYTES (8 + HASH_LEN)

void node_id(const uint8_t id_key[KEY_LEN], const struct entry *at, uint32_t count,
	     struct hash *ret)
{
	uint8_t run[HASH_LEN + RUN_ENTRIES * RUN_ENTRY_BYTES];
	struct hash key, h = {{0}};

	assert(count >= 1 && count <= MANIFEST_NODE_MAX);
	hash_keyed(id_key, bytes_text("peerfs node"), &key);
	for (uint32_t from = 0; from < count; from += RUN_ENTRIES) {
		uint32_t n = MIN(count - from, (uint32_t)RUN_ENTRIES);
		uint8_t *to = run + HASH_LEN;

		memcpy(run, h.b, HASH_LEN);
		for (uint32_t k = from; k < from + n; k++) {
			for (size_t byte = 0; byte < 8; byte++)
				*to++ = (uint8_t)(at[k].len >> (8 * byte));
			memcpy(to, at[k].id.b, HASH_LEN);
			to += HASH_LEN;
		}
		hash_keyed(key.b, (struct bytes){run, (size_t)(to - run)}, &h);
	}
	*ret = h;
}

bool node_ends(const struct entry *e, uint32_t count)
{
	if (count < MANIFEST_NODE_MIN)
		return false;
	return count >= MANIFEST_NODE_MAX || (e->id.b[0] & MANIFEST_NODE_MASK) == 0;
}
