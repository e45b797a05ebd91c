// SPDX-License-Identifier: MIT
/*
 * store.c - bytes on disk: frames of the journal, heads of packs' pieces, local.db
 *
 * All of it is our own, so the checksums are against tears and bit rot, not against people.
 *
 * I1  a frame's checksum depends on where it stands, so that old bytes of a reused disk block are
 *     no frame, and neither is a run of zeros
 * I2  encode(decode(x)) is x
 */
#include "codec/store.h"
#include "codec/seal.h"

static const uint8_t pack_magic[2] = {'P', 'K'};
static const uint8_t local_magic[4] = {'P', 'F', 'S', 'L'};

static void put_little(uint8_t *to, uint64_t v, size_t len)
{
	for (size_t k = 0; k < len; k++)
		to[k] = (uint8_t)(v >> (8 * k));
}

/*
 * A journal frame, at offset at of the file.
 *	0	4	length	of the payload: 1..JOURNAL_PAYLOAD_MAX
 *	4	8	sum	XXH3-64 of the payload, seeded with at
 *	12	n	payload
 */
void journal_head(uint8_t head[JOURNAL_HEAD], uint64_t at, struct bytes payload)
{
	assert(payload.len > 0 && payload.len <= JOURNAL_PAYLOAD_MAX);
	put_little(head, payload.len, 4);
	put_little(head + 4, hash_xxh(payload, at), 8);
}

enum err journal_next(struct bytes rest, uint64_t at, struct bytes *payload)
{
	if (rest.len < JOURNAL_HEAD)
		return fail(ERR_MALFORMED);
	struct rd r = rd_of(rest);
	struct journal_frame f = {.len = rd_u32(&r)};

	f.sum = rd_u64(&r);
	if (f.len == 0 || f.len > JOURNAL_PAYLOAD_MAX)
		return fail(ERR_MALFORMED);
	struct bytes b = rd_bytes(&r, f.len);
	if (r.bad || hash_xxh(b, at) != f.sum) /* I1 */
		return fail(ERR_MALFORMED);
	*payload = b;
	return ERR_OK;
}

/*
 * The head of a piece in a pack.
 *	0	2	magic	"PK"
 *	2	1	kind	enum seal_kind
 *	3	1	zero
 *	4	4	length	of the sealed bytes that follow
 *	8	32	name	BLAKE2b-256 of them
 */
void pack_head_encode(uint8_t to[PACK_HEAD], const struct pack_head *h)
{
	assert(h->kind >= SEAL_CHUNK && h->kind <= SEAL_BUNDLE);
	assert(h->len > 0 && h->len <= SEAL_BYTES_MAX);
	memcpy(to, pack_magic, sizeof(pack_magic));
	to[2] = h->kind;
	to[3] = 0;
	put_little(to + 4, h->len, 4);
	memcpy(to + 8, h->name.b, HASH_LEN);
}

enum err pack_head_decode(const uint8_t from[PACK_HEAD], struct pack_head *ret)
{
	struct rd r = rd_of((struct bytes){from, PACK_HEAD});
	const uint8_t *mark = rd_span(&r, sizeof(pack_magic));
	struct pack_head h = {.kind = rd_u8(&r)};
	uint8_t pad = rd_u8(&r);

	h.len = rd_u32(&r);
	rd_copy(&r, h.name.b, HASH_LEN);
	if (!mark || memcmp(mark, pack_magic, sizeof(pack_magic)) != 0 || pad != 0)
		return fail(ERR_MALFORMED);
	if (h.kind < SEAL_CHUNK || h.kind > SEAL_BUNDLE)
		return fail(ERR_MALFORMED);
	if (h.len == 0 || h.len > SEAL_BYTES_MAX)
		return fail(ERR_MALFORMED);
	*ret = h;
	return ERR_OK;
}

/*
 * local.db.
 *	0	4	magic	"PFSL"
 *	4	4	version	STORE_VERSION
 *	8	32	folder
 *	40	32	device
 *	72	16	store id
 *	88	8	machine
 *	96	1	clean	0 or 1
 *	97	1	length	of the name
 *	98	n	name	no NUL
 *	98+n	8	sum	XXH3-64 of all before it
 */
void local_db_encode(struct wr *w, const struct local_db *l)
{
	size_t start = w->len, name_len = strnlen(l->name, LOCAL_TEXT_MAX);

	wr_raw(w, local_magic, sizeof(local_magic));
	wr_u32(w, STORE_VERSION);
	wr_bytes(w, BYTES_OF(l->folder.b));
	wr_bytes(w, BYTES_OF(l->device.b));
	wr_bytes(w, BYTES_OF(l->store_id));
	wr_u64(w, l->machine);
	wr_u8(w, l->clean);
	wr_u8(w, (uint8_t)name_len);
	wr_raw(w, l->name, name_len);
	if (!w->bad)
		wr_u64(w, hash_xxh((struct bytes){w->at + start, w->len - start}, 0));
}

enum err local_db_decode(struct bytes from, struct local_db *ret)
{
	struct rd r = rd_of(from);
	const uint8_t *mark = rd_span(&r, sizeof(local_magic));
	struct local_db l;

	memset(&l, 0, sizeof(l));
	l.version = rd_u32(&r);
	if (!mark || memcmp(mark, local_magic, sizeof(local_magic)) != 0 || r.bad)
		return fail(ERR_MALFORMED);
	if (l.version > STORE_VERSION)
		return fail(ERR_VERSION);
	rd_copy(&r, l.folder.b, sizeof(l.folder.b));
	rd_copy(&r, l.device.b, sizeof(l.device.b));
	rd_copy(&r, l.store_id, sizeof(l.store_id));
	l.machine = rd_u64(&r);
	uint8_t clean = rd_u8(&r);
	struct bytes name = rd_bytes(&r, rd_u8(&r));
	uint64_t sum = rd_u64(&r);
	if (!rd_done(&r) || l.version == 0 || clean > 1)
		return fail(ERR_MALFORMED);
	if (name.len && memchr(name.at, 0, name.len))
		return fail(ERR_MALFORMED);
	if (sum != hash_xxh((struct bytes){from.at, from.len - 8}, 0))
		return fail(ERR_MALFORMED);
	l.clean = clean;
	if (name.len)
		memcpy(l.name, name.at, name.len);
	*ret = l;
	return ERR_OK;
}
